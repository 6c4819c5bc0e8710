"""What the kernel does in the panel's benchmark: one stream of text, shown in one of four ways; no network.

Knows displays and clocks. Must not know: browsers, how the figures are compared. `panel.py` runs it.
"""

from __future__ import annotations

import html
import json
import threading
import time
from collections.abc import Callable, Iterator

from streamnb import attention
from streamnb.events import Arrival, Chunk, Event, Outcome
from streamnb.simulator.prose import tokens

STEP_S = 0.002
PAINT_S = 0.05
END = "\n\n# END\n"


def show(way: str, n: int, per_s: float = 5000.0) -> None:
    """Stream `n` tokens at `per_s` a second through `way`; print what it cost as one JSON line.

    Args:
        way: `none`, `panel`, `markdown` or `html`.
        n: tokens; each arrives as a read of its own.
        per_s: tokens a second.
    """
    pieces = [*tokens(7, n - 1), END]
    cpu_s, began = time.process_time(), time.monotonic()
    with attention.paid([]):  # as in every run
        finish = {"none": _none, "panel": _panel, "markdown": _markdown, "html": _html}[way](pieces, per_s)
        finish()
    done = time.time()
    spent = {"cpu_s": time.process_time() - cpu_s, "wall_s": time.monotonic() - began, "done": done}
    print("figures " + json.dumps(spent | {"n_chars": sum(map(len, pieces))}))


def _arrivals(pieces: list[str]) -> Iterator[Arrival]:
    for seq, piece in enumerate(pieces):
        yield Arrival(Chunk(seq, 0, time.monotonic_ns(), len(piece), len(piece), b""), (Event("delta", piece),))


def _play(pieces: list[str], per_s: float, take: Callable[[Arrival], None], paint: Callable[[], None]) -> None:
    """Hand the arrivals over on a thread, at their pace, and paint here meanwhile."""
    arrivals = _arrivals(pieces)

    def produce() -> None:
        began, sent = time.monotonic(), 0
        while sent < len(pieces):
            due = min(len(pieces), int((time.monotonic() - began) * per_s) + 1)
            for _ in range(due - sent):
                take(next(arrivals))
            sent = due
            time.sleep(STEP_S)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    while thread.is_alive():
        paint()
        thread.join(PAINT_S)


def _none(pieces: list[str], per_s: float) -> Callable[[], None]:
    kept: list[str] = []
    _play(pieces, per_s, lambda arrival: kept.append(arrival.events[0].text), lambda: None)
    return lambda: None


def _panel(pieces: list[str], per_s: float) -> Callable[[], None]:
    from streamnb.display import Final, Header, open_view

    view = open_view("panel")
    view.open(Header("openai_chat", "benchmark", "benchmark", "127.0.0.1", "run"), lambda: None)
    view.phase("connecting", time.monotonic_ns())
    view.phase("waiting", time.monotonic_ns())
    _play(pieces, per_s, view.arrive, lambda: view.paint(time.monotonic_ns()))
    final = Final("".join(pieces), "", Outcome.COMPLETE, None, {}, ())
    return lambda: view.close(final)


def _markdown(pieces: list[str], per_s: float) -> Callable[[], None]:
    from IPython.display import Markdown, display

    kept: list[str] = []
    handle = display(Markdown(""), display_id=True)

    def paint() -> None:
        handle.update(Markdown("".join(kept)))

    _play(pieces, per_s, lambda arrival: kept.append(arrival.events[0].text), paint)
    return paint


def _html(pieces: list[str], per_s: float) -> Callable[[], None]:
    import ipywidgets
    from IPython.display import display

    kept: list[str] = []
    widget = ipywidgets.HTML()
    display(widget)

    def paint() -> None:
        text = "".join(kept)
        widget.value = f"<pre>{html.escape(text)}</pre>" + ("<h1>END</h1>" if text.endswith(END) else "")

    _play(pieces, per_s, lambda arrival: kept.append(arrival.events[0].text), paint)
    return paint


def late_reads(display: str, tokens: int, gap_s: float, sleep_s: float) -> None:
    """Stream from the simulator and print how many reads came over 10 ms after they were sent.

    Args:
        display: `panel`, whose rendering then sleeps, or `none`.
        tokens: reads.
        gap_s: between two of them.
        sleep_s: how long each painting sleeps.
    """
    import streamnb
    from streamnb.display import board

    paint = board.Board.paint

    def slow(self: board.Board, now_ns: int) -> None:
        time.sleep(sleep_s)
        paint(self, now_ns)

    board.Board.paint = slow  # type: ignore[method-assign]
    try:
        pace = {"tokens": tokens, "gap": gap_s, "gap_dist": "constant", "stamps": 1, "ttft": 0.05}
        run = streamnb.stream("demo", "Hi", display=display, pace=pace, record=False)
    finally:
        board.Board.paint = paint  # type: ignore[method-assign]
    lag_ms = ((run.chunks["t_ns"] - run.chunks["server_t_ns"]) / 1e6).dropna()
    late = int((lag_ms > 10).sum())
    print("figures " + json.dumps({"reads": len(lag_ms), "late": late, "p99_ms": lag_ms.quantile(0.99)}))
