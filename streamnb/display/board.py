"""A board: the lanes of one widget, their numbered messages, and the door for what a page asks.

Knows the messages that the page reads and writes. Must not know: recordings, transports, clocks, what a click means.
"""

from __future__ import annotations

import bisect
import collections
import math
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from IPython.core.getipython import get_ipython

from streamnb.display import widget
from streamnb.display.inert import visible
from streamnb.display.lane import Lane
from streamnb.display.view import TABS, EventRow, Sent, Style
from streamnb.display.view import Final as FinalState

Layout = Literal["one", "race", "chat"]

VIEW_MIME: Final = "application/vnd.jupyter.widget-view+json"
_PER_KERNEL_HZ: Final = 200
"""Messages a second of all boards together (R13)."""
_HEARTBEAT_NS: Final = 5_000_000_000
"""A message at least this often while a run lives: the page can tell a quiet stream from a lost kernel."""
_GRACE_MS: Final = {True: 2500, False: 400}
"""How long the page waits for a Stop to be acknowledged before it interrupts the kernel: with the hook it will be."""
_MOST_ROWS: Final = 500
_KEPT_IDS: Final = 1000
_QUESTIONS: Final = frozenset({"resync", "rows", "raw", "request"})
_HOW: Final = {
    "hook": "Stop, Esc, or interrupt the kernel (I, I)",
    "subshell": "Stop and Esc where the page is JupyterLab 4.4 or later, else interrupt the kernel (I, I)",
    "late": "this kernel hears clicks when the cell has ended: Stop interrupts the kernel (I, I)",
}


class Board:
    """One widget with lanes. `paint` and the rest from one thread at a time; `heard` from any.

    Args:
        layout: how the page arranges the lanes.
        style: how it looks.
        act: what a message from the page means beyond those that only ask; called on any thread, sets flags only.
    """

    _open: ClassVar[weakref.WeakSet[Board]] = weakref.WeakSet()

    def __init__(self, layout: Layout, style: Style, act: Callable[[Mapping[str, Any]], None]) -> None:
        self.lanes: list[Lane] = []
        self.extra: dict[str, Any] = {}
        self._style = style
        self._act = act
        self._lock = threading.RLock()
        self._asked: collections.deque[Mapping[str, Any]] = collections.deque()
        self._seen: collections.OrderedDict[Any, None] = collections.OrderedDict()
        self._seq = 0
        self._due_ns = 0
        self._sent_ns = 0
        self._full_wanted = False
        self._extra_sent: dict[str, Any] = {}
        hears = widget.can_hear()
        self._widget: widget.Panel | None = None
        self._fixed: dict[str, Any] = {
            "layout": layout,
            "kernel_id": _kernel_id(),
            "tabs": [tab for tab in style.tabs if tab in TABS],
            "height": style.height_px,
            "motion": not style.reduced_motion,
            "grace_ms": _GRACE_MS[hears],
            "hears": hears,
            "how": _HOW["hook" if hears else "subshell" if widget.has_subshells() else "late"],
        }

    # -- to the page --------------------------------------------------------------------------------------------

    def show(self) -> dict[str, Any]:
        """The view to display, alone: no text beside it would ever change in a saved notebook. Main thread."""
        if self._widget is None:
            self._widget = widget.Panel(self.state, self.heard)
            if self._fixed["hears"]:
                self._widget.hear_while_busy()
        return {VIEW_MIME: self._widget.get_view_spec()}

    def add(self, lane: Lane) -> None:
        """A lane more, in its place by its number, whatever the order in which they come."""
        with self._lock:
            bisect.insort(self.lanes, lane, key=lambda one: one.ident)
            self._open.add(self)
            self._send_lane(lane)

    def keep(self, lanes: Sequence[Lane]) -> None:
        """These lanes only."""
        with self._lock:
            self.lanes = list(lanes)
            self._send({"k": "lanes", "keep": [lane.ident for lane in lanes]})

    def paint(self, now_ns: int) -> None:
        """Send what is new, if anything is and a message is due; answer what was asked."""
        with self._lock:
            self._answer()
            if now_ns < self._due_ns:
                return
            message = self._message(now_ns)
            if message is None:
                return
            interval_ns = round(1e9 * max(1 / self._style.rate_hz, len(self._open) / _PER_KERNEL_HZ))
            self._due_ns = max(self._due_ns, now_ns - interval_ns) + interval_ns
            seen_ns = min((lane.due_ns(now_ns) for lane in self.lanes if lane.final is None), default=now_ns)
            self._due_ns = max(self._due_ns, seen_ns)
            self._sent_ns = now_ns
            self._send(message)

    def end(self, lane: Lane, final: FinalState) -> None:
        """A lane has its final state: what is left of its news, and the account that replaces the live figures."""
        with self._lock:
            self._answer()
            last = lane.finish(final)
            if not self.live:
                self._open.discard(self)
            self._send({"k": "end", "i": lane.ident, **last})

    def send_all(self) -> None:
        """Send everything, whatever the page has."""
        with self._lock:
            self._send({"k": "full"})

    def release(self) -> None:
        """No lane comes any more: let the widget go."""
        self._open.discard(self)
        if self._widget is not None:
            self._widget.release()

    @property
    def live(self) -> bool:
        """True while a lane has no final state."""
        return any(lane.final is None for lane in self.lanes)

    def state(self) -> dict[str, Any]:
        """The whole board as the page needs it: asked for by a reloaded page or a second one, from any thread."""
        with self._lock:
            began = [lane.began_ns for lane in self.lanes]
            first = min((t_ns for t_ns in began if t_ns is not None), default=0)
            lanes = [
                lane.state(round(((t_ns or first) - first) / 1e6)) for lane, t_ns in zip(self.lanes, began, strict=True)
            ]
            return self._fixed | {"race": None, "chat": None} | self.extra | {"n": self._seq, "lanes": lanes}

    def _message(self, now_ns: int) -> dict[str, Any] | None:
        heartbeat = now_ns - self._sent_ns >= _HEARTBEAT_NS
        live = [lane for lane in self.lanes if lane.final is None]
        parts = [part for lane in live if (part := lane.news(now_ns, heartbeat=heartbeat)) is not None]
        if self._full_wanted:
            return {"k": "full"}
        extra = {key: value for key, value in self.extra.items() if self._extra_sent.get(key) != value}
        return {"k": "delta", "lanes": parts} | extra if parts or extra else None

    def _send_lane(self, lane: Lane) -> None:
        at = self.lanes.index(lane)
        self._send({"k": "lane", "lane": self.state()["lanes"][at], "at": at})

    def _send(self, message: dict[str, Any]) -> None:
        if self._widget is None:  # nobody looks yet: the widget begins with the whole state
            return
        self._seq += 1
        if message["k"] == "full":
            self._full_wanted = False
            message["board"] = self.state()
        if message["k"] in {"full", "delta"}:
            self._extra_sent = dict(self.extra)
        self._widget.send(message | {"n": self._seq})

    # -- from the page ------------------------------------------------------------------------------------------

    def heard(self, content: Any, *, early: bool = False) -> None:
        """A message from the page, on whatever thread, and twice where ipykernel lets us hear it early.

        Args:
            content: what the page sent.
            early: heard on the thread that routes the kernel's messages: it must not be kept.
        """
        if not isinstance(content, dict) or (early and content.get("k") in _QUESTIONS and not self.live):
            return  # nobody paints: it is answered when it comes the ordinary way
        if not self._first_time(content.get("q")):
            return
        match content.get("k"):
            case "resync":
                self._full_wanted = True
                if self._widget is not None and content.get("plain") is True:
                    self._widget.packs = False
            case "rows" | "raw" | "request":
                self._asked.append(content)
            case _:
                self._act(content)
        if not self.live and not early:
            with self._lock:
                self._answer()
                if self._full_wanted:
                    self.send_all()

    def _first_time(self, ident: Any) -> bool:
        if not isinstance(ident, (int, float, str)):
            return True
        new = ident not in self._seen
        self._seen[ident] = None
        if len(self._seen) > _KEPT_IDS:
            self._seen.popitem(last=False)
        return new

    def _answer(self) -> None:
        while self._asked:
            asked = self._asked.popleft()
            lane = next((lane for lane in self.lanes if lane.ident == asked.get("lane")), None)
            if lane is None or lane.look is None or self._widget is None:
                continue
            self._widget.send({"k": asked["k"], "lane": lane.ident} | _ANSWERS[asked["k"]](lane, asked))


def _rows(lane: Lane, asked: Mapping[str, Any]) -> dict[str, Any]:
    first, n, wanted = asked.get("from"), asked.get("count"), asked.get("kinds")
    first = max(0, first) if isinstance(first, int) else 0
    n = min(max(0, n), _MOST_ROWS) if isinstance(n, int) else _MOST_ROWS
    kinds = [kind for kind in wanted if isinstance(kind, str)] if isinstance(wanted, list) else None
    assert lane.look is not None  # noqa: S101  # checked by the caller
    total, rows = lane.look.rows(first, n, kinds)
    return {"from": first, "total": total, "kinds": dict(lane.look.kinds()), "rows": [_row(row) for row in rows]}


def _row(row: EventRow) -> list[Any]:
    name = None if row.name is None else visible(row.name)
    return [row.seq, _ms(row.t_s), row.kind, visible(row.text), name, row.chunk, int(row.coalesced)]


def _raw(lane: Lane, asked: Mapping[str, Any]) -> dict[str, Any]:
    seq = asked.get("seq")
    found = lane.look.raw(seq) if lane.look is not None and isinstance(seq, int) else None
    if found is None:
        return {"seq": seq, "text": None, "n_bytes": 0, "cut": False, "t_ms": None}
    text = visible(found.data.decode("utf-8", "replace"))
    cut = found.n_bytes > len(found.data)
    return {"seq": seq, "text": text, "n_bytes": found.n_bytes, "cut": cut, "t_ms": _ms(found.t_s)}


def _request(lane: Lane, asked: Mapping[str, Any]) -> dict[str, Any]:
    del asked
    return {"calls": [_call(sent) for sent in (lane.look.sent() if lane.look is not None else ())]}


def _call(sent: Sent) -> dict[str, Any]:
    return {
        "name": sent.name,
        "method": sent.method,
        "url": visible(sent.url),
        "headers": [[visible(part) for part in pair] for pair in sent.headers],
        "body": visible(sent.body),
        "status": sent.status,
        "reply_headers": [[visible(part) for part in pair] for pair in sent.reply_headers],
        "curl": sent.curl,
    }


_ANSWERS: Final[Mapping[str, Callable[[Lane, Mapping[str, Any]], dict[str, Any]]]] = {
    "rows": _rows,
    "raw": _raw,
    "request": _request,
}


def _ms(t_s: float) -> float | None:
    return round(t_s * 1000, 3) if math.isfinite(t_s) else None


def _kernel_id() -> str:
    """The id under which a Jupyter server knows this kernel: it names the connection file after it."""
    kernel = getattr(get_ipython(), "kernel", None)
    connection_file = getattr(getattr(kernel, "parent", None), "connection_file", "") or ""
    return Path(connection_file).stem.removeprefix("kernel-")
