from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from fault_server import DONE, END, STOP, Wire, chunk, delta, serving, until

import streamnb
from streamnb import client
from streamnb.errors import UsageError
from streamnb.providers import names
from streamnb.settings import PROFILES

FAST = {"ttft": 0, "gap": 0, "tokens": 12, "seed": 1}


async def answer(wire: Wire) -> None:
    await wire.head()
    await wire.chunks(delta("Hel"), delta("lo"), STOP, DONE)
    await wire.send(END)


async def endless(wire: Wire) -> None:
    await wire.head()
    await wire.repeat(chunk(delta("x ")), 0.002)


@pytest.mark.parametrize(("target", "options"), [("demo", {}), ("typebot", {"sim": True, "typebot": "demo"})])
def test_every_read_is_stamped_after_the_server_sent_it_and_none_before_another(
    target: str, options: dict[str, object]
):
    run = streamnb.stream(target, "hi", pace={"ttft": 0.005, "gap": 0.002, "tokens": 100}, **options)
    assert run.outcome == "complete"
    chunks = run.chunks
    stamped = chunks.dropna(subset=["server_t_ns"])
    assert len(stamped) > 50
    late = stamped["t_ns"] - stamped["server_t_ns"].astype("int64")
    assert (late >= 0).all()
    assert late.median() < 100_000_000
    assert chunks["t_ns"].is_monotonic_increasing
    assert set(chunks["stamp_source"]) == {"kernel" if sys.platform == "linux" else "read"}


def test_a_run_returns_also_when_the_api_failed():
    run = streamnb.stream("demo", "hi", pace=FAST, scenario="http-429")
    assert (run.ok, run.outcome) == (False, "http_error")
    with pytest.raises(streamnb.RunError, match="openai_chat answered 429") as caught:
        run.raise_for_outcome()
    assert caught.value.run is run


def test_an_ended_run_shows_its_row_in_the_table_of_the_session():
    run = streamnb.stream("demo", "hi", pace=FAST)
    assert streamnb.last() is run
    row = streamnb.runs().iloc[-1]
    assert (row["run_id"], row["outcome"], row["target"]) == (run.run_id, "complete", "demo")
    pd.testing.assert_frame_equal(streamnb.runs().tail(1).reset_index(drop=True), run.summary)


def test_what_is_not_to_be_recorded_is_in_no_file(recordings: Path):
    run = streamnb.stream("demo", "hi", pace=FAST, record=False)
    assert (run.path, run.outcome, recordings.exists()) == (None, "complete", False)
    assert len(streamnb.recordings()) == 0


def test_a_recorded_run_opens_by_path_or_by_name():
    run = streamnb.stream("demo", "hi", pace=FAST)
    assert streamnb.open(run.path).text == streamnb.open(str(run.path)).text == run.text
    assert streamnb.recordings()["run_id"].tolist() == [run.run_id]


def test_a_word_that_no_option_has_is_told():
    with pytest.raises(UsageError, match=r"demo has no option 'tmeout'\. Did you mean timeout"):
        streamnb.stream("demo", "hi", tmeout=3)


def test_the_prompt_goes_out_byte_for_byte():
    prompt = "{x} $y {{z}} 'q' \"d\"\\n\t; é \u2028 end;"
    with serving(answer) as server:
        streamnb.stream("openai_chat", prompt, base_url=server.origin, model="m")
        assert b'"content": "{x} $y {{z}} \'q\' \\"d\\"\\\\n\\t; \xc3\xa9 \xe2\x80\xa8 end;"' in server.requests[0]


async def test_astream_gives_the_run_to_a_caller_that_awaits():
    runs = await asyncio.gather(*(streamnb.astream("demo", f"hi {n}", pace=FAST) for n in range(3)))
    assert [run.outcome for run in runs] == ["complete"] * 3
    assert len({run.run_id for run in runs}) == 3


async def test_open_stream_hands_over_the_events_as_they_come():
    with serving(Wire.obey) as server:
        server.tell(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        async with streamnb.open_stream("openai_chat", "hi", base_url=server.origin, model="m") as live:
            events = aiter(live)
            for text in ("one", "two"):
                server.tell(chunk(delta(text)))
                event = await anext(events)
                while event.kind == "start":
                    event = await anext(events)
                assert (event.kind, event.text, live.run.text[-3:]) == ("delta", text, text)
                assert not live.finished
            server.tell(chunk(STOP + DONE) + END, None)
            assert [event.kind async for event in events] == ["end", "end"]
            assert live.finished
        assert live.run.outcome == "complete"


async def test_the_arrivals_of_a_stream_are_its_reads():
    with serving(answer) as server:
        async with streamnb.open_stream("openai_chat", "hi", base_url=server.origin, model="m") as live:
            arrivals = [arrival async for arrival in live.arrivals()]
    assert b"".join(arrival.chunk.data for arrival in arrivals) == live.run.raw
    assert [arrival.chunk.t_ns for arrival in arrivals] == live.run.chunks["t_ns"].tolist()


async def test_who_iterates_again_after_the_end_gets_nothing_and_is_not_left_waiting():
    async with streamnb.open_stream("demo", "hi", pace=FAST) as live:
        first = [event async for event in live]
        assert first
        assert [event async for event in live] == []


@pytest.mark.parametrize("how", ["leave", "stop", "raise"])
async def test_leaving_early_stops_the_run_and_closes_the_socket(how: str):
    with serving(endless) as server:
        try:
            async with streamnb.open_stream("openai_chat", "hi", base_url=server.origin, model="m") as live:
                async for event in live:
                    if event.kind == "delta" and how == "stop":
                        live.stop()
                    elif event.kind == "delta":
                        assert 1 / (how == "leave")
                        break
        except ZeroDivisionError:
            assert how == "raise"
        assert live.run.outcome == "stopped"
        assert live.run.text.startswith("x ")
        await asyncio.to_thread(server.wait_left)


async def test_a_cancelled_block_ends_its_run():
    async def watch() -> None:
        async with streamnb.open_stream("openai_chat", "hi", base_url=server.origin, model="m") as live:
            runs.append(live.run)
            async for _ in live:
                pass

    runs: list[streamnb.Run] = []
    with serving(endless) as server:
        task = asyncio.create_task(watch())
        await until(lambda: runs and runs[0].text)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_left)
    assert runs[0].outcome in {"stopped", "interrupted"}


async def test_a_block_that_is_entered_and_left_at_once_is_a_stopped_run():
    async with streamnb.open_stream("demo", "hi", pace={"ttft": 5}) as live:
        pass
    assert live.run.outcome == "stopped"


def test_run_runs_a_coroutine_where_no_loop_runs():
    assert streamnb.run(streamnb.astream("demo", "hi", pace=FAST)).outcome == "complete"


INSIDE = """
import asyncio, sys, httpx, streamnb

async def main():
    async with httpx.AsyncClient() as mine:  # bound to this loop
        async def ask():
            return (await mine.get(sys.argv[1])).status_code
        run = streamnb.run(streamnb.astream("openai_chat", "hi", base_url=sys.argv[1], model="m"))
        return streamnb.run(ask()), run.outcome, streamnb.run(ask())

print(*asyncio.run(main()))
assert "nest_asyncio2" in sys.modules
"""


def test_run_runs_a_coroutine_inside_a_running_loop_too():
    with serving(answer) as server:
        words = [sys.executable, "-W", "error", "-c", INSIDE, server.origin]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("200 complete 200\n", "")


def test_the_public_names_are_those_of_the_package():
    for name in client.__all__:
        assert hasattr(client, name)
    assert streamnb.open is client.open_recording


@pytest.mark.parametrize("name", [*names(), *PROFILES])
def test_every_target_streams_from_the_simulator(name: str):
    run = streamnb.stream(name, "Hi", sim=True, pace={"tokens": 3, "ttft": 0, "gap": 0}, record=False)
    assert (run.ok, run.error) == (True, None)
    assert len(run.events) > 3
