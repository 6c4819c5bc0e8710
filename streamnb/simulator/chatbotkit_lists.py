"""ChatBotKit's lists: which rows a query means, as one page of JSON and as a stream over all pages.

Knows the query and the forms of a list. Must not know: conversations, paths, sockets.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from streamnb.simulator.chatbotkit_answer import GENERIC_ERROR, broken
from streamnb.simulator.chatbotkit_lines import CSV, ENCODERS, stamp
from streamnb.simulator.pace import Pace, writes
from streamnb.simulator.scenarios import Limits, Out, Script

NOP_S: Final = 50 / 3
"""A stream that has said nothing for so long sends one `nop`."""

LIMITS: Final = Limits(total_s=800.0)
"""The platform's cap of any stream."""

Json = dict[str, Any]

_MOST_ROWS: Final = 100
_WHOLE: Final = re.compile(r"\s*([+-]?[0-9]+)")
_WORDS: Final = {"true": True, "false": False}


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """What a list request asks for.

    Attributes:
        cursor: id after which the rows begin.
        order: `asc` or `desc`, by the time of creation.
        take: number of rows; 0 = all.
        meta: values that a row's `meta` must have.
    """

    cursor: str = ""
    order: str = "desc"
    take: int = 0
    meta: tuple[tuple[str, str | bool], ...] = ()

    @property
    def size(self) -> int:
        """Rows of one page: `take`, at least 1 and at most 100."""
        return min(max(1, self.take or _MOST_ROWS), _MOST_ROWS)


def read(parameters: Iterable[tuple[str, str]], order: str) -> Query:
    """Read a query string; `order` is the list's own unless another known one is asked for."""
    items = [(name, value) for name, value in parameters if value]
    values = dict(items)
    wanted = values.get("order", order)
    take = _WHOLE.match(values.get("take", ""))
    return Query(
        cursor=values.get("cursor", "").strip(),
        order=wanted if wanted in {"asc", "desc"} else order,
        take=int(take[1]) if take else 0,
        meta=tuple((key, _WORDS.get(value, value)) for name, value in items if (key := _meta(name))),
    )


def page(rows: list[Json], query: Query) -> Json:
    """Return the first page, with the cursor of the next one: the last row's id, also when no row follows."""
    items = _chosen(rows, query)[: query.size]
    return {"items": items, "cursor": items[-1]["id"]} if items else {"items": []}


def pages(rows: list[Json], query: Query) -> list[Json]:
    """Return the rows of a stream, which walks over the pages until there is none, or until it has `take` rows.

    Pages stay whole: `take=120` means two pages of a hundred.
    """
    chosen = _chosen(rows, query)
    return chosen[: query.size * max(1, -(-query.take // query.size))] if query.take else chosen


def script(rows: list[Json], media: str, pace: Pace) -> Script:
    """Return rows as a stream, one after each gap. It ends with its body; the scenario `late` adds the documented end.

    Args:
        rows: what to send.
        media: the form.
        pace: with as many tokens as there are rows.
    """
    encode = ENCODERS[media]
    header = (",".join(rows[0]) + "\n").encode() if rows and media == CSV else b""
    items = (encode("item", row, timed=False) for row in rows)
    return Script(
        body=_spread(itertools.chain((header + block for block in itertools.islice(items, 1)), items), pace, media),
        error=(encode("error", GENERIC_ERROR, timed=False),),
        malformed=(broken(encode, "item"),),
        bad_utf8=(encode("item", {"name": "<odd>"}, timed=False).replace(b"<odd>", b"\xff\xfe"),),
        late=(encode("result", {"complete": True}, timed=False),),
        ping=encode("nop", {}, timed=False),
        stamp=stamp,
        limits=LIMITS,
    )


def _spread(items: Iterator[bytes], pace: Pace, media: str) -> Iterator[Out]:
    for number, write in enumerate(writes(pace)):
        if number == 0 and write.at_s > NOP_S:
            yield Out(NOP_S, (ENCODERS[media]("nop", {}, timed=False),), stamped=False)
        yield Out(write.at_s, tuple(itertools.islice(items, len(write.tokens))))


def _chosen(rows: list[Json], query: Query) -> list[Json]:
    """Return the rows behind the cursor, in order; an unknown cursor has none behind it."""
    ordered: Iterable[Json] = rows if query.order == "asc" else rows[::-1]
    if query.cursor:
        ordered = itertools.islice(itertools.dropwhile(lambda row: row["id"] != query.cursor, ordered), 1, None)
    return [row for row in ordered if all(row["meta"].get(key) == value for key, value in query.meta)]


def _meta(name: str) -> str:
    """Return the key of a `meta.key` or `meta[key]` parameter, else nothing."""
    if name.startswith("meta."):
        return name.removeprefix("meta.")
    return name[len("meta[") : -1] if name.startswith("meta[") and name.endswith("]") else ""
