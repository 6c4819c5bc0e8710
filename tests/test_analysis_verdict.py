from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from fault_server import DONE, END, FaultServer, Wire, serving
from fault_server import delta as sse_delta
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import T0_NS, Read, S, delta, events_of, read, reasoning, record, usage

import streamnb
from streamnb import tables
from streamnb.analysis import VERDICTS, Verdict, verdict
from streamnb.companions import simulator_url
from streamnb.errors import UsageError
from streamnb.events import Event
from streamnb.session import Session, ask

PACED = [0.5 + 0.02 * n for n in range(50)]
AWAKE: list[tuple[str, int, int]] = []


def judged(*reads: Read, lags: list[tuple[str, float, float]] | None = None, **stamps: Any) -> Verdict:
    """The verdict on a run put together by hand; `lags` in s, stamps as functions of t_ns of the reads."""
    made = record(*reads)
    made.lags = [(kind, T0_NS + round(start * S), round(length * S)) for kind, start, length in lags or ()]
    chunks = tables.chunks(made)
    for name, stamp in stamps.items():
        chunks[name] = stamp(chunks["t_ns"])
    return verdict(chunks, tables.events(made), None if lags is None else tables.lags(made))


def paced(*times: float, **more: Any) -> list[Read]:
    return [read(t, delta("word "), **more) for t in times or PACED]


def value(found: Verdict, check: str, column: str = "value") -> Any:
    return found.evidence.set_index("check").loc[check, column]


def fired(found: Verdict) -> set[str]:
    rows = found.evidence
    return set(rows["check"][rows["fires"].fillna(value=False)])


def test_an_ordinary_stream_is_clean_and_says_so():
    found = judged(*paced(), lags=AWAKE)
    assert (found.name, found.clean, str(found), fired(found)) == ("clean", True, "clean", set())
    assert found.explain().startswith("No check found anything that bends these times.")
    assert repr(found) == f"<Verdict clean: {found.explain()}>"


@pytest.mark.parametrize("reads", [[], [read(1, Event("message", "whole"))], [read(-3, delta("Hello"))]])
def test_without_a_piece_of_text_nothing_streamed(reads):
    found = judged(*reads)
    assert (found.name, fired(found)) == ("no_stream", {"text_events"})
    assert found.explain().startswith("No piece of text was streamed.")
    assert value(found, "shared_reads", "fires") is pd.NA


def test_text_from_one_json_body_did_not_stream():
    whole = [read(1, data=b' {"answer": '), read(1.5, delta("a" * 20), delta("b"), data=b'"ab"}\n')]
    found = judged(*whole)
    assert (found.name, value(found, "whole_json_body")) == ("no_stream", 1)
    assert found.explain().startswith("The reply came as one JSON body.")


@pytest.mark.parametrize("data", [b'{"a": 1}\n', b"{}", b"[1,", b"data: {}\n\n"])
def test_lines_of_json_and_other_bodies_are_streams(data):
    assert value(judged(*paced(data=data)), "whole_json_body") == 0


def test_stamps_that_run_backwards_are_no_measurement():
    found = judged(*paced(0.5, 0.6, 0.55, 0.7))
    assert (found.name, value(found, "stamps_backwards")) == ("clock_suspect", 1)
    assert "stamps ran backwards (once)" in found.explain()


def test_each_call_has_its_own_order():
    first, second = paced(0.5, 0.6, 0.7, 0.8), [read(t, delta(), call=1) for t in (0.55, 0.65, 0.75, 0.85)]
    assert value(judged(*first, *second), "stamps_backwards") == 0


def test_the_kernel_cannot_have_bytes_after_they_were_read():
    found = judged(*paced(), kernel_ns=lambda t_ns: (t_ns + 1).astype("Int64"))
    assert (found.name, value(found, "kernel_after_read")) == ("clock_suspect", 50)


def test_a_wall_clock_that_was_set_makes_every_stamp_suspect():
    found = judged(*paced(), lags=[("clock", 0.7, 3.0)])
    assert (found.name, value(found, "wall_clock_set")) == ("clock_suspect", 1)
    assert np.isnan(value(judged(*paced()), "wall_clock_set"))


def bursts(n: int, size: int, apart_s: float = 0.4) -> list[Read]:
    """`n` bursts of `size` pieces, 0.1 ms between the pieces."""
    return [read(apart_s * (1 + k) + 0.0001 * i, delta("word ")) for k in range(n) for i in range(size)]


def test_a_buffer_that_is_emptied_now_and_then_gives_bursts():
    found = judged(*bursts(4, 16), lags=AWAKE)
    assert (found.name, value(found, "text_in_bursts")) == ("buffered", 1)
    assert found.explain().startswith("100% of the text came in bursts faster than it can have been generated")
    assert "proxy_buffering off" in found.explain()


def test_an_answer_that_comes_whole_after_a_wait_was_not_streamed_to_us():
    at_once = judged(*[read(4 + 0.0001 * n, delta("word ")) for n in range(60)])
    one_piece = judged(read(4, delta("x" * 500), data=b"data: x"))
    assert (at_once.name, one_piece.name) == ("buffered", "buffered")
    assert value(at_once, "ttft_of_total", "fires")
    assert fired(one_piece) == {"text_in_bursts", "ttft_of_total"}


@pytest.mark.parametrize(
    "reads",
    [
        [read(4, delta("Yes."))],
        [read(0.05 + 0.0001 * n, delta("word ")) for n in range(60)],
        bursts(20, 4),
        bursts(50, 16, 0.05),
        [read(0.5 * n, delta("x" * 300)) for n in range(1, 9)],
        [*bursts(1, 16), *paced()],
    ],
    ids=["one word", "no wait", "few at a time", "no silence", "whole paragraphs", "one burst in a stream"],
)
def test_what_can_have_been_generated_like_that_is_no_buffer(reads):
    assert "text_in_bursts" not in fired(judged(*reads, lags=AWAKE))


def test_a_silence_in_which_this_process_slept_is_no_buffers_fault():
    slept = [("loop", 0.8 + 0.4 * k, 0.39) for k in range(3)]
    assert judged(*bursts(4, 16), lags=slept).name != "buffered"


def test_without_t0_the_wait_for_the_first_text_is_not_known():
    reads = [read(4 + 0.0001 * n, delta("word ")) for n in range(60)]
    made = record(*reads, t0=False)
    assert verdict(tables.chunks(made), tables.events(made)).name != "buffered"


def late(lag_s: float):
    """A kernel stamp that is earlier than the read by so much, while the read's stamp is used."""
    return {
        "kernel_ns": lambda t_ns: (t_ns - round(lag_s * S)).astype("Int64"),
        "client_lag_s": lambda t_ns: pd.Series(lag_s, t_ns.index),
    }


def test_a_client_that_reads_late_limits_what_it_measures():
    found = judged(*paced(), **late(0.003))
    assert (found.name, fired(found)) == ("client_limited", {"client_lag_p90"})
    assert value(found, "client_lag_p90", "threshold") == pytest.approx(0.002)
    assert "one read in ten was at least 3.0 ms late (2.0 ms is too much)" in found.explain()
    assert judged(*paced(), **late(0.0019)).clean


def test_a_kernel_stamp_does_not_know_how_late_it_was_read():
    exact = judged(*paced(), kernel_ns=lambda t_ns: t_ns.astype("Int64"), client_lag_s=lambda t_ns: t_ns * 0 + 0.5)
    assert (exact.name, value(exact, "client_lag_p90")) == ("clean", 0.0)


def test_a_first_text_that_was_read_late_is_named():
    reads = paced(*[0.01 + 0.1 * n for n in range(9)])
    first_late = judged(*reads, kernel_ns=lambda t_ns: (t_ns - 1).astype("Int64"), client_lag_s=lag_of_the_first)
    assert (first_late.name, fired(first_late)) == ("client_limited", {"first_text_lag"})
    assert "the read of the first text was 2.0 ms late" in first_late.explain()


def lag_of_the_first(t_ns: pd.Series) -> pd.Series:
    return pd.Series([0.002] + [0.0] * (len(t_ns) - 1), t_ns.index)


def sent_before(*delays_s: float):
    """Server stamps earlier than the reads, in turn."""
    return lambda t_ns: pd.Series(
        [t - round(delays_s[n % len(delays_s)] * S) for n, t in enumerate(t_ns)], t_ns.index, dtype="Int64"
    )


def test_delay_behind_the_servers_stamps_beyond_the_smallest_is_lateness():
    assert judged(*paced(), server_t_ns=sent_before(0.1)).clean  # far away, not late
    found = judged(*paced(), server_t_ns=sent_before(0.001, 0.005))
    assert (found.name, value(found, "client_lag_p90")) == ("client_limited", pytest.approx(0.004))


def test_delay_that_the_log_knows_nothing_of_is_not_ours_beyond_its_blind_spot():
    slow = paced(*[0.5 + 0.1 * n for n in range(50)])
    sent = sent_before(0.001, 0.081)
    assert judged(*slow, server_t_ns=sent).name == "client_limited"
    assert judged(*slow, server_t_ns=sent, lags=AWAKE).clean
    assert judged(*slow, server_t_ns=sent, lags=[("loop", 0, 9.0)]).name == "client_limited"


def test_server_stamps_by_another_clock_are_left_alone():
    found = judged(*paced(), server_t_ns=sent_before(-5.0, 0.001))
    assert (found.name, np.isnan(value(found, "client_lag_p90"))) == ("clean", True)


def test_the_log_alone_can_tell_that_reads_were_late():
    busy = [("loop", t - 0.008, 0.008) for t in PACED]
    found = judged(*paced(), lags=busy)
    assert (found.name, value(found, "client_lag_p90")) == ("client_limited", pytest.approx(0.008))


def test_lateness_of_a_few_reads_is_not_typical():
    assert value(judged(*paced(0.5, 0.6, 0.7), lags=AWAKE), "client_lag_p90", "fires") is pd.NA


def test_events_that_share_a_read_share_its_stamp():
    found = judged(*(read(t, delta(), reasoning() if n % 8 == 0 else Event("ping")) for n, t in enumerate(PACED)))
    assert (found.name, value(found, "shared_reads")) == ("coalesced", pytest.approx(14 / 57))
    assert found.explain().startswith("25% of the text events shared a read with others")


def test_a_first_read_of_several_texts_makes_ttft_too_long_and_that_is_said():
    together = read(0.06, *[delta("word ")] * 3)  # they were there at 0.02, 0.04 and 0.06 s
    rest = paced(*(0.06 + 0.02 * n for n in range(1, 100)))
    found = judged(together, *rest, lags=AWAKE)
    assert (found.name, fired(found)) == ("coalesced", {"first_text_shared"})
    assert value(found, "first_text_shared") == pytest.approx(0.04, rel=0.02)
    assert value(found, "first_text_shared", "threshold") == pytest.approx(0.006)
    assert "TTFT may be 39 ms too long (6.0 ms is too much)" in found.explain()
    last = read(2.06, *[delta("word ")] * 3)
    assert judged(*rest, last, lags=AWAKE).clean  # at the end it bends no TTFT


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (read(0.06, Event("start"), delta(), usage(3, 1)), {}),
        (read(2.0, delta(), delta()), {}),
        (read(0.06, delta(), delta()), {"t0": False}),
    ],
    ids=["one text and what is none", "little beside the wait", "no wait known"],
)
def test_a_first_read_that_bends_ttft_by_nothing_to_speak_of_is_let_pass(first, more):
    made = record(first, *paced(*(first.t_s + 0.02 * n for n in range(1, 100))), **more)
    assert verdict(tables.chunks(made), tables.events(made)).clean


def test_reads_that_a_coarse_clock_cannot_tell_apart_share_their_stamp():
    coarse = [0.5 + 0.015 * (n // 3) for n in range(60)]
    found = judged(*paced(*coarse), lags=AWAKE)
    assert (found.name, value(found, "shared_reads")) == ("coalesced", 1)


def test_what_carries_no_text_shares_nothing_that_matters():
    assert judged(*(read(t, Event("start"), delta(), Event("ping")) for t in PACED)).clean


def test_what_makes_the_rest_meaningless_comes_first_and_the_rest_stays_in_the_evidence():
    reads = [read(0.4 + 0.1 * (n // 8) * 5 + 0.0001 * n, delta("word "), delta("word ")) for n in range(64)]
    found = judged(*reads, lags=[("loop", 0.39, 0.02)])
    assert found.name == "buffered"
    assert fired(found) >= {"text_in_bursts", "shared_reads"}
    assert judged(*reads, lags=[("clock", 1, 1)]).name == "clock_suspect"
    assert VERDICTS[:3] == ("no_stream", "clock_suspect", "buffered")


def test_tables_of_several_runs_are_refused():
    one, two = record(*paced()), record(*paced(), run_id="r2")
    both = [pd.concat([table(one), table(two)]) for table in (tables.chunks, tables.events)]
    with pytest.raises(UsageError, match=r"tables of 2 runs; judge them one by one"):
        verdict(*both)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 400_000_000), st.integers(0, 3)), max_size=30),
    st.lists(st.tuples(st.sampled_from(["gc", "loop", "clock"]), st.floats(0, 5), st.floats(0, 1)), max_size=5)
    | st.none(),
)
def test_whatever_came_has_one_verdict_and_evidence_of_declared_types(steps, lags):
    t_s, reads = 0.0, []
    for step, n in steps:
        t_s += step / S
        reads.append(read(t_s, *[delta("a")] * n))
    found = judged(*reads, lags=lags)
    assert found.name in VERDICTS
    assert {name: str(dtype) for name, dtype in found.evidence.dtypes.items()} == tables.COLUMNS["evidence"]
    assert found.explain().count(". ") >= 1
    assert found.clean == (not fired(found))
    counts = [check for check in found.evidence.to_dict("records") if check["check"] in fired(found)]
    assert found.name == next((name for name in VERDICTS if name in {check["points_to"] for check in counts}), "clean")
    assert all(check["value"] >= check["threshold"] or check["check"] == "text_events" for check in counts)


# -- scenarios: each verdict by a stream that deserves it --------------------------------------------------------------


def proxy(page: int):
    """A script of a proxy that hands on what a server sends in pages of so many bytes, and the rest at the end."""

    async def relay(wire: Wire) -> None:
        parts = urlsplit(simulator_url())
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(wire.request)
        kept = await reader.readuntil(b"\r\n\r\n")
        while not kept.endswith(END):
            kept += await reader.read(65536)
            if len(kept) >= page:
                await wire.send(kept)
                kept = b""
        await wire.send(kept)
        writer.close()

    return relay


def through(server: FaultServer, pace: str) -> streamnb.Run:
    base_url = f"{server.origin}/~stamps=1,gap_dist=constant,{pace}/v1"
    return streamnb.stream("openai_chat", "hi", base_url=base_url, model="m", record=False)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-the-simulator")


@pytest.mark.parametrize("page", [8192, 1 << 30], ids=["pages", "whole"])
def test_a_buffering_proxy_gives_buffered(page):
    with serving(proxy(page)) as server:
        run = through(server, "tokens=120,gap=0.01")
    assert run.verdict.name == "buffered", run.verdict
    assert run.summary["verdict"].item() == "buffered"
    assert "timing verdict: buffered" in run._repr_mimebundle_()["text/plain"]


def test_a_stream_at_its_own_pace_is_clean():
    run = streamnb.stream("demo", "hi", pace={"tokens": 30, "gap": 0.1, "gap_dist": "constant"}, record=False)
    assert run.verdict.name == "clean", run.verdict
    assert "times:" not in run._repr_mimebundle_()["text/plain"]


def busy(*, kernel_stamps: bool) -> streamnb.Run:
    """A run while the main thread computes and lets go of the interpreter only when it must."""
    pace = {"tokens": 150, "gap": 0.008, "gap_dist": "constant"}
    started = Session(ask("demo", "hi", pace=pace, record=False, kernel_stamps=kernel_stamps))
    task = started.start()
    while not task.done():
        sum(range(1_000_000))  # one step of the interpreter: the lock is not given up in it
    return started.wait()


def test_a_spinning_main_thread_without_kernel_stamps_gives_client_limited():
    run = busy(kernel_stamps=False)
    assert set(run.chunks["stamp_source"]) == {"read"}
    assert run.verdict.name == "client_limited", run.verdict


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps")
def test_with_kernel_stamps_the_same_can_only_coalesce():
    run = busy(kernel_stamps=True)
    assert run.verdict.name in {"clean", "coalesced"}, run.verdict
    assert value(run.verdict, "client_lag_p90") == 0


def test_pieces_that_are_sent_together_give_coalesced():
    pace = {"tokens": 90, "gap": 0.02, "gap_dist": "constant", "burst": 3}
    run = streamnb.stream("demo", "hi", pace=pace, record=False)
    assert run.verdict.name == "coalesced", run.verdict


def test_a_whole_reply_gives_no_stream():
    run = streamnb.stream("demo", "hi", scenario="json-200", record=False)
    assert run.verdict.name == "no_stream"
    assert "verdict" not in run._repr_mimebundle_()["text/plain"]  # no figure there that it could judge


def test_a_refused_request_gives_no_stream_and_its_line_does_not_repeat_it():
    run = streamnb.stream("demo", "hi", scenario="http-500", record=False)
    assert run.verdict.name == "no_stream"
    assert "times:" not in run._repr_mimebundle_()["text/plain"]


def test_a_body_of_one_json_value_gives_no_stream_although_it_has_text():
    async def whole(wire: Wire) -> None:
        await wire.reply(b'{"message":{"role":"assistant","content":"Hi"},"done":true}\n')

    with serving(whole) as server:
        run = streamnb.stream("ollama", "hi", base_url=server.origin, model="m", record=False)
    assert (run.text, run.verdict.name) == ("Hi", "no_stream")


def test_a_verdict_is_read_again_from_a_run_file(recordings: Path):
    with serving(proxy(1 << 30)) as server:
        base_url = f"{server.origin}/~tokens=40,gap=0.01/v1"
        run = streamnb.stream("openai_chat", "hi", base_url=base_url, model="m")
    assert streamnb.open(run.path).verdict.name == run.verdict.name == "buffered"


def test_a_run_that_still_runs_has_a_verdict_on_what_is_there():
    async def begin(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(sse_delta("Hel"), DONE)
        await wire.obey()

    with serving(begin) as server:
        started = Session(ask("openai_chat", "hi", base_url=server.origin, model="m", record=False))
        started.start()
        while not started.run.text:
            started.tick()
        assert started.run.verdict.name == "clean"
        server.tell(END, None)
        assert started.wait().outcome == "complete"


def test_the_inputs_are_left_as_they_were():
    made = record(*paced())
    chunks, events = tables.chunks(made), events_of(*paced())
    before = chunks.copy(deep=True), events.copy(deep=True)
    verdict(chunks, events, tables.lags(made))
    pd.testing.assert_frame_equal(chunks, before[0])
    pd.testing.assert_frame_equal(events, before[1])
