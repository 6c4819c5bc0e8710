"""The live panel: an anywidget that gets numbered deltas at most 20 times a second and ends as a static bundle.

Knows the messages that panel.js reads. Must not know: recordings, transports, clocks, HTML.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

from IPython.core.getipython import get_ipython
from IPython.display import display

from streamnb.display.feed import SHOWN_LIMIT, Batch, Feed
from streamnb.display.figures import number, outcome_words, summary_line, verdict
from streamnb.display.inert import visible, well_formed
from streamnb.display.static import bundle
from streamnb.display.view import Final as FinalState
from streamnb.display.view import Header, Look
from streamnb.display.widget import Panel
from streamnb.events import Arrival

_VIEW_MIME: Final = "application/vnd.jupyter.widget-view+json"
_INTERVAL_NS: Final = 50_000_000
"""Between two messages of one panel: 20/s (R13)."""
_SHARED_INTERVAL_NS: Final = 5_000_000
"""Times the panels open in this kernel: 200/s for all of them (R13)."""
_HEARTBEAT_NS: Final = 5_000_000_000
"""A message at least this often while the run lives: the page can tell a quiet stream from a lost kernel."""
_GRACE_MS: Final = {True: 2500, False: 400}
"""How long the page waits for a Stop to be acknowledged before it interrupts the kernel: with the hook it will be."""


class PanelView:
    """A panel in the cell's output while the run lives, its static bundle afterwards (NOTEBOOK.md 4, 7, 9)."""

    _open_panels: ClassVar[weakref.WeakSet[PanelView]] = weakref.WeakSet()

    def __init__(self) -> None:
        self._feed = Feed(lambda: visible)
        self._lock = threading.Lock()
        self._widget: Panel | None = None
        self._header: Header | None = None
        self._ask_run_to_stop: Callable[[], None] | None = None
        self._fixed: dict[str, Any] = {}
        self._status: dict[str, Any] = {"phase": "connecting", "ms": 0, "stop": False}
        self._final: FinalState | None = None
        self._seq = 0
        self._due_ns = 0
        self._sent_ns = 0
        self._stop_asked = False
        self._full_wanted = False

    def open(self, header: Header, stop: Callable[[], None], look: Look | None = None) -> None:
        """Display the panel: the widget view alone, so that no dead repr stays in a saved notebook."""
        self._header = header
        self._ask_run_to_stop = stop
        self._fixed = {
            "names": _safe(header.names),
            "host": _safe(header.host),
            "note": _safe(header.note),
            "kernel_id": _kernel_id(),
            "grace_ms": _GRACE_MS[False],
        }
        self._widget = Panel(self._state, self._heard)
        self._fixed["grace_ms"] = _GRACE_MS[self._widget.hear_while_busy()]
        self._handle = display({_VIEW_MIME: self._widget.get_view_spec()}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self._open_panels.add(self)

    def phase(self, name: str, t_ns: int) -> None:
        """Announce a phase."""
        self._feed.phase(name, t_ns)

    def arrive(self, arrival: Arrival) -> None:
        """Hand over an arrival."""
        self._feed.arrive(arrival)

    def paint(self, now_ns: int) -> None:
        """Send what is new, if anything is and a message is due."""
        if self._widget is None or self._final is not None or now_ns < self._due_ns:
            return
        with self._lock:
            message = self._message(self._feed.drain(), now_ns)
        if message is None:
            return
        interval_ns = max(_INTERVAL_NS, _SHARED_INTERVAL_NS * len(self._open_panels))
        self._due_ns = max(self._due_ns, now_ns - interval_ns) + interval_ns
        self._sent_ns = now_ns
        self._widget.send(message)

    def close(self, final: FinalState) -> None:
        """Send the whole final state, replace the panel by the static bundle, let the widget go."""
        if self._widget is None or self._header is None or self._final is not None:
            return
        with self._lock:
            self._feed.drain()
            self._feed.meter.finish()
            self._final = final = self._feed.measured(final)
            self._seq += 1
        self._open_panels.discard(self)
        self._widget.send({"k": "full", "n": self._seq, "run": self._state()})
        self._handle.update(bundle(self._header, final), raw=True)
        self._widget.release()

    def _message(self, batch: Batch, now_ns: int) -> dict[str, Any] | None:
        status = self._status_at(now_ns)
        news = batch or self._full_wanted or status | {"ms": 0} != self._status | {"ms": 0}
        if not news and now_ns - self._sent_ns < _HEARTBEAT_NS:
            return None
        self._status = status
        self._seq += 1
        if self._full_wanted or batch.replaced:
            self._full_wanted = False
            return {"k": "full", "n": self._seq, "run": self._state_now()}
        parts = {
            "a": "".join(batch.of("answer")),
            "r": "".join(batch.of("reasoning")),
            "m": batch.of("before"),
            "m2": batch.of("after"),
            "e": batch.of("error"),
        }
        return {"k": "delta", "n": self._seq, "st": status} | {key: part for key, part in parts.items() if part}

    def _status_at(self, now_ns: int) -> dict[str, Any]:
        meter, started_ns = self._feed.meter, self._feed.started_ns
        data_ns = meter.last_data_ns
        known = started_ns is not None
        return {
            "phase": self._feed.phase_at(now_ns),
            "ms": round((now_ns - (started_ns or 0)) / 1e6) if known else 0,
            "data_ms": round((data_ns - (started_ns or 0)) / 1e6) if known and data_ns is not None else None,
            "ttft": _json(meter.ttft_s),
            "ttfa": _json(meter.ttfa_s),
            "rate": _json(meter.rate_per_s),
            "unit": meter.rate_unit,
            "chunks": meter.n_chunks,
            "stop": self._stop_asked,
        }

    def _state(self) -> dict[str, Any]:
        """The whole run as the page needs it: asked for by a reloaded page or a second one, from any thread."""
        with self._lock:
            return self._state_now()

    def _state_now(self) -> dict[str, Any]:
        feed, final = self._feed, self._final
        state = self._fixed | {"n": self._seq, "st": self._status, "live": final is None}
        if final is None:
            lines = {"m": list(feed.before), "m2": list(feed.after), "e": list(feed.errors)}
            return state | {"a": feed.answer.text, "r": feed.reasoning.text, "out": None} | lines
        before, after = final.messages_around
        status = self._status | {"phase": "done", "ttft": _json(final.summary["ttft_s"])}
        out = {"verdict": verdict(final.outcome), "outcome": outcome_words(final.outcome), "line": summary_line(final)}
        return state | {
            "st": status,
            "a": _safe(final.text[:SHOWN_LIMIT]),
            "r": _safe(final.reasoning[:SHOWN_LIMIT]),
            "m": [_safe(message) for message in before],
            "m2": [_safe(message) for message in after],
            "e": [_safe(final.error)] if final.error else [],
            "out": out,
        }

    def _heard(self, content: Any) -> None:
        """A message from the page, on whatever thread: it only sets flags."""
        kind = content.get("k") if isinstance(content, dict) else None
        if kind == "resync":
            self._full_wanted = True
        elif kind == "stop" and not self._stop_asked and self._final is None and self._ask_run_to_stop is not None:
            self._stop_asked = True
            self._ask_run_to_stop()


def _safe(text: str) -> str:
    return visible(well_formed(text))


def _json(value: Any) -> float | None:
    amount = number(value)
    return amount if math.isfinite(amount) else None


def _kernel_id() -> str:
    """The id under which a Jupyter server knows this kernel: it names the connection file after it."""
    kernel = getattr(get_ipython(), "kernel", None)
    connection_file = getattr(getattr(kernel, "parent", None), "connection_file", "") or ""
    return Path(connection_file).stem.removeprefix("kernel-")
