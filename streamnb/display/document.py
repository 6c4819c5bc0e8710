"""The answer as the page has it: blocks at positions, and what must be told to change them. Each block is sent once.

Knows Markdown blocks, pieces of text and times that are handed in. Must not know: widgets, arrivals, what a run is.
"""

from __future__ import annotations

import bisect
import copy
import dataclasses
import html
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from streamnb.display import markdown as md

Block = dict[str, Any]
Op = list[Any]

RENDER_NS: Final = 100_000_000
"""Between two renderings: 10 a second, and never more than a tenth of the time (S8)."""
_REST: Final = 10
_SLOW_NS: Final = 250_000_000
"""A block that took longer to render was made to: what follows it is plain text."""
_OPEN_LIMIT: Final = 4096
"""Characters of an open block beyond which it travels as plain text until it closes."""
_PIECE: Final = 4000
"""Characters of a piece of plain text, up to the next line end, so that a page lays out only the last one again."""
_UNSURE: Final = 3
"""Blocks at the end of a source that are sought again without its last line."""
_FOLD_NS: Final = 500_000_000
_LOOSE: Final = 200
"""So many may wait for their place; more of them take the one they have."""


@dataclasses.dataclass(slots=True)
class _Extra:
    """What stands between the blocks of the answer.

    Attributes:
        at: how much of the answer had come before it, characters.
        block: what the page gets, without its position.
        after: the block of the answer it comes after, once that cannot change any more.
        p: its position on the page.
        due_ns: earliest time to send it again.
    """

    at: int
    block: Block
    after: int | None = None
    p: float | None = None
    due_ns: int = 0


class Document:
    """What the page knows of one answer, and what it does not know yet.

    Text comes in already inert (`inert.visible`, well formed); as Markdown it is hostile, and only `markdown.render`
    makes HTML of it. Blocks of the answer stand at 0, 1, 2 ...; whatever else arrives stands behind the block that was
    open then, at a fraction. A block is finished when complete lines say so: an incomplete one may still join it.

    Args:
        markdown: False shows everything as it came.
        clock_ns: measures what a rendering costs: CPU time of the thread, so that a busy machine makes no text plain.
    """

    def __init__(self, *, markdown: bool = True, clock_ns: Callable[[], int] = time.thread_time_ns) -> None:
        self._as_markdown = markdown
        self._clock_ns = clock_ns
        self._page: dict[float, Block] = {}
        self._loose: list[_Extra] = []
        self._behind: dict[int, int] = {}
        self._folds: dict[str, _Extra] = {}
        self._touched: dict[str, _Extra] = {}
        self._said = 0
        self._due_ns = 0
        self._slow = False
        self._obsolete = False
        self._top = 0
        self._begin()

    def _begin(self) -> None:
        """An answer starts, at the first position that was never used."""
        self._plain = not self._as_markdown or self._slow
        self._first = self._next = self._top
        self._starts: list[int] = []  # where finished blocks start in the source,
        self._open_starts: list[int] = []  # and those shown that may still change
        self._length = 0
        self._base = 0  # the part of the source that is finished
        self._tail: list[str] = []
        self._fresh: list[str] = []  # plain text that the page does not have yet
        self._beyond: list[str] = []
        self._growing: int | None = None  # the open block that travels as plain text
        self._known: dict[str, str] = {}
        self._dirty = False

    @property
    def rendered_ns(self) -> int | None:
        """When the next rendering is due; None where text goes out as it comes, plain."""
        return None if self._plain or self._growing is not None else self._due_ns

    # -- what arrives -------------------------------------------------------------------------------------------------

    def append(self, text: str) -> None:
        """A piece of the answer."""
        text = md.clean(text)
        room = max(md.TOTAL_LIMIT - self._length, 0)
        self._length += len(text)
        if self._plain:
            self._fresh.append(text)
            return
        self._tail.append(text[:room])
        if self._growing is not None:
            self._fresh.append(text[:room])
        if len(text) > room:
            self._beyond.append(text[room:])
        self._dirty = True

    def cite(self, number: int) -> None:
        """A citation arrived here: its mark goes to the end of the text so far."""
        mark = md.cite(number)
        if self._plain or self._length + len(mark) > md.TOTAL_LIMIT:
            return
        self._tail.append(mark)
        self._length += len(mark)
        self._dirty = True

    def message(self, text: str) -> None:
        """A whole message of a bot: a bubble of its own."""
        text = md.clean(text)
        self._said += len(text)
        plain = not self._as_markdown or self._slow or self._said > md.TOTAL_LIMIT
        self._extra({"k": "msg", "h": md.plain(text) if plain else self._rendered(text)})

    def note(self, text: str) -> None:
        """A quiet line."""
        self._extra({"k": "note", "t": text})

    def fold(self, key: str, title: str, text: str, *, open_: bool = False) -> None:
        """Something to unfold: a tool call and its result. The same key again replaces it in its place.

        Args:
            key: names it in this document.
            title: what is seen while it is folded.
            text: all of what is inside.
            open_: it is not complete yet.
        """
        block = {"k": "fold", "s": title, "t": text} | ({"w": 1} if open_ else {})
        fold = self._folds.get(key)
        if fold is None:
            self._folds[key] = self._extra(block)
        elif block != fold.block:
            if fold.block.get("w") != block.get("w"):
                fold.due_ns = 0
            fold.block = block
            self._touched[key] = fold

    def restart(self) -> None:
        """The answer so far is no longer the answer; what stood beside it stays."""
        for extra in self._loose:
            if extra.after is None:
                extra.after = self._top - 1 if extra.p is None else int(extra.p // 1)
        self._obsolete = self._top > self._first or self._obsolete
        self._begin()
        self._dirty = not self._plain  # plain text is poured, not rendered

    def _extra(self, block: Block) -> _Extra:
        extra = _Extra(self._length, block)
        self._loose.append(extra)
        return extra

    # -- what the page is told ----------------------------------------------------------------------------------------

    def ops(self, now_ns: int, *, last: bool = False) -> list[Op]:
        """What changed since the last call. Plain text comes at once, the rest when a rendering is due.

        Args:
            now_ns: the present, on any clock that goes on.
            last: nothing follows: everything is finished now.
        """
        ops: list[Op] = []
        due = last or now_ns >= self._due_ns
        if self._obsolete and (due or self._plain):
            self._obsolete = False
            self._page = {p: block for p, block in self._page.items() if block["k"] not in {"md", "pre"}}
            ops.append(["clear"])
        ops += self._pour()
        if (self._dirty and due) or (last and self._open_starts):
            before_ns = self._clock_ns()
            ops += self._render_tail(closing=last or bool(self._beyond))
            self._due_ns = now_ns + max(RENDER_NS, _REST * (self._clock_ns() - before_ns))
        if not self._dirty:
            ops += self._place()
        return ops + self._refresh(now_ns, last=last)

    def blocks(self) -> list[Block]:
        """Everything the page was told so far, in the order of `p`; what `ops` says next continues it."""
        return [dict(self._page[p]) for p in sorted(self._page)]

    def html(self) -> str:
        """Everything that arrived as static HTML, in order: for a saved notebook. Changes nothing."""
        return "\n".join(self.pieces())

    def pieces(self) -> list[str]:
        """The blocks of `html`, each whole in itself."""
        whole = self
        if any((self._obsolete, self._dirty, self._fresh, self._loose, self._touched, self._open_starts)):
            whole = copy.deepcopy(self)
            whole.ops(self._due_ns, last=True)
        return list(_static(whole.blocks()))

    def _put(self, block: Block) -> Iterator[Op]:
        p, before = block["p"], self._page.get(block["p"])
        if before == block:
            return
        self._page[p] = block
        kinds = (before and before["k"], block["k"])
        if before and kinds == ("md", "md"):
            keep = _common(before["h"], block["h"])
            yield ["splice", p, _utf16(block["h"][:keep]), block["h"][keep:]]
        elif before and kinds == ("pre", "pre") and block["t"].startswith(before["t"]):
            yield ["text", p, block["t"][len(before["t"]) :]]
        else:
            yield ["set", dict(block)]

    def _drop(self, p: float) -> Op:
        del self._page[p]
        return ["drop", p]

    # -- plain text ---------------------------------------------------------------------------------------------------

    def _pour(self) -> list[Op]:
        """Send plain text: at the end of the open block, or in pieces when the answer is plain altogether."""
        text, self._fresh = "".join(self._fresh), []
        ops: list[Op] = []
        if self._growing is not None and text:
            grown = self._page[self._growing]["t"] + text
            ops += self._put({"p": self._growing, "k": "pre", "t": grown})
            return ops
        while text:
            piece = self._page.get(self._next, {"t": ""})["t"]
            if not piece:
                self._starts.append(self._base)
                self._top = self._next + 1
            cut, full = _cut(len(piece), text)
            ops += self._put({"p": self._next, "k": "pre", "t": piece + text[:cut]})
            self._base += cut
            self._next += full
            text = text[cut:]
        return ops

    def _give_up(self, rest: str) -> list[Op]:
        """The rest of this answer is plain text."""
        self._plain = True
        self._growing = None
        self._fresh = [md.without_marks(rest), *self._beyond]
        self._tail, self._beyond, self._open_starts, self._known = [], [], [], {}
        ops = [self._drop(p) for p in range(self._next, self._top)]
        return ops + self._pour()

    # -- Markdown -----------------------------------------------------------------------------------------------------

    def _render_tail(self, *, closing: bool) -> list[Op]:
        tail = "".join(self._tail)
        final, shown = _finished(tail, closing=closing)
        self._dirty = False
        self._growing, self._fresh = None, []
        ops: list[Op] = []
        done = 0
        for start, end in final:
            if self._slow:
                break
            self._starts.append(self._base + start)
            ops += self._put({"p": self._next, "k": "md", "h": self._rendered(tail[start:end])})
            self._next += 1
            done = end
        self._open_starts = [self._base + start for start, _ in shown]
        if not self._slow:
            ops += self._show(tail, shown)
        self._top = max(self._top, self._next)
        if self._slow:
            done = len(tail) - len(tail[done:].lstrip("\n"))
        elif closing:
            done = len(tail)
        self._base += done
        self._tail = [tail[done:]]
        return ops + (self._give_up(tail[done:]) if self._slow or self._beyond else [])

    def _show(self, tail: str, shown: list[tuple[int, int]]) -> list[Op]:
        """The blocks that may still change: as Markdown, or from one that became too long on as plain text."""
        ops: list[Op] = []
        known: dict[str, str] = {}
        p = self._next
        for start, end in shown:
            if end - start > _OPEN_LIMIT:
                self._growing = p
                ops += self._put({"p": p, "k": "pre", "t": md.without_marks(tail[start:])})
            else:
                known[tail[start:end]] = h = self._rendered(tail[start:end])
                ops += self._put({"p": p, "k": "md", "h": h})
            p += 1
            if self._growing is not None or self._slow:
                break
        self._known = known
        ops += [self._drop(gone) for gone in range(p, self._top)]
        self._top = p
        return ops

    def _rendered(self, source: str) -> str:
        known = self._known.get(source)
        if known is not None:
            return known
        before_ns = self._clock_ns()
        rendered = md.render(source)
        self._slow |= self._clock_ns() - before_ns > _SLOW_NS
        return rendered

    # -- what stands between the blocks -------------------------------------------------------------------------------

    def _place(self) -> list[Op]:
        """Give what arrived its position; one behind a block that may still change may have to move."""
        behind: dict[int, int] = {}
        moved: list[tuple[_Extra, float]] = []
        loose: list[_Extra] = []
        for extra in self._loose:
            k = extra.after
            if k is None:
                k = self._first - 1
                k += bisect.bisect_left(self._starts, extra.at) + bisect.bisect_left(self._open_starts, extra.at)
            n = behind[k] = behind.get(k, self._behind.get(k, 0)) + 1
            p = k + 1 - 1 / (n + 1)
            if p != extra.p:
                moved.append((extra, p))
            certain = extra.after is not None or not extra.at or (self._starts and k < self._next)
            if certain or len(self._loose) > _LOOSE:
                self._behind[k] = n
            else:
                loose.append(extra)
        self._loose = loose
        ops = [self._drop(extra.p) for extra, _ in moved if extra.p is not None]
        for extra, p in moved:
            extra.p = p
            ops += self._put({"p": p} | extra.block)
        return ops

    def _refresh(self, now_ns: int, *, last: bool) -> list[Op]:
        """Folds that changed; one that goes on growing only twice a second."""
        ops: list[Op] = []
        for key, fold in list(self._touched.items()):
            if fold.p is not None and (last or now_ns >= fold.due_ns):
                fold.due_ns = now_ns + _FOLD_NS
                ops += self._put({"p": fold.p} | fold.block)
                del self._touched[key]
        return ops


def _finished(tail: str, *, closing: bool) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The blocks that nothing can change any more, and those that are shown as they look now.

    Only complete lines finish a block: "#" looks like a heading until "#b" shows that it goes on with the paragraph.
    But a letter at the start of a line says at once whether the line goes on with the block before it.
    """
    blocks = md.split(tail)
    if closing:
        return blocks, []
    line = tail.rfind("\n") + 1
    if line == len(tail) or (blocks and blocks[-1][0] >= line and tail[line].isalpha()):
        return blocks[:-1], blocks[-1:]
    before = blocks[:-_UNSURE]  # an incomplete line changes what it may join, no more
    base = blocks[len(before)][0] if before else 0
    final = [*before, *((base + start, base + end) for start, end in md.split(tail[base:line]))][:-1]
    end = final[-1][1] if final else 0
    return final, [block for block in blocks if block[0] >= end]


def _cut(filled: int, text: str) -> tuple[int, bool]:
    """How much of `text` a piece takes that has `filled` characters already, and whether it is full then."""
    end = text.find("\n", max(_PIECE - 1 - filled, 0)) + 1
    most = 2 * _PIECE - filled
    if end and end <= most:
        return end, True
    return (most, True) if len(text) >= most else (len(text), False)


def _common(one: str, other: str) -> int:
    """Length of the common beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _utf16(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _static(blocks: list[Block]) -> Iterator[str]:
    pre = ""
    for at, block in enumerate(blocks):
        match block["k"]:
            case "pre":
                pre += block["t"]
                if at + 1 == len(blocks) or blocks[at + 1]["k"] != "pre":
                    yield md.plain(pre)
                    pre = ""
            case "note":
                yield f"<p>{html.escape(block['t'])}</p>"
            case "fold":
                title, text = html.escape(block["s"]), html.escape(block["t"])
                yield f"<details><summary>{title}</summary>\n<pre>\n{text}</pre>\n</details>"
            case _:
                yield block["h"]
