"""Every transcript, found by globbing: whole, at every cut, interleaved, and every beginning of its file."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from samples import PATHS, Body, bodies, contents, golden, joined, name_of, replay

from streamnb.errors import TranscriptError, UsageError
from streamnb.events import Event, Outcome, Prompt
from streamnb.providers import Provider, Seen, load, names
from streamnb.shelf import read_file
from streamnb.testing import events
from streamnb.transcript import encode
from streamnb.wire import Frame

BLESS = "pytest tests/test_providers.py --bless"
SMALL = 4000
FEW = 60
PLACES, ENDS = 23, 8
STREAMS = [
    pytest.param(body, id=f"{name_of(path)}-{n}")
    for path in PATHS
    for n, body in enumerate(bodies(path))
    if body.call.stream and body.data
]

every_transcript = pytest.mark.parametrize("path", PATHS, ids=name_of)
every_stream = pytest.mark.parametrize("body", STREAMS)


def bless(path: Path) -> str:
    return f"if what the provider says now is right: {BLESS} -k {name_of(path)}; then read what changed"


@every_transcript
def test_a_transcript_means_the_events_of_its_golden_file(path: Path, request: pytest.FixtureRequest):
    said, _, _ = replay(path)
    lines = [golden(event) for event in said]
    expected = path.with_suffix(".events")
    if request.config.getoption("--bless"):
        expected.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    assert expected.exists(), f"{expected.name} is missing: {BLESS} -k {name_of(path)}; then read it"
    assert lines == expected.read_text("utf-8").split("\n")[:-1], bless(path)


@every_transcript
def test_a_transcript_ends_as_its_last_line_says(path: Path, request: pytest.FixtureRequest):
    _, conversation, _ = replay(path)
    end = contents(path).end
    reworded = conversation.outcome is Outcome(end.outcome) and conversation.error != end.error
    if reworded and request.config.getoption("--bless"):
        last = encode(dataclasses.replace(end, error=conversation.error))  # its words may change, how it ended may not
        path.write_bytes(b"".join([*path.read_bytes().splitlines(keepends=True)[:-1], last]))
        end = contents(path).end
    assert conversation.outcome is Outcome(end.outcome), "if it was wrong before: make it anew with tests/transcribe.py"
    assert conversation.error == end.error, bless(path)
    assert conversation.call is None


@every_transcript
def test_a_transcript_holds_the_calls_that_its_flow_asks_for(path: Path):
    _, conversation, asked = replay(path)
    for call, line in asked:
        now, recorded = ((one.name, one.method, one.body, one.stream) for one in (call, line))
        assert now == recorded, f"{name_of(path)}: the request is another one: make it anew with tests/transcribe.py"
        base_url = call.base_url or conversation.provider.base_url
        query = {key: value for key, value in call.query.items() if isinstance(value, str)}
        assert line.url == f"{base_url}{call.path}" + (f"?{urlencode(query)}" if query else "")
    pauses = [line.t_ns for _, line in asked]
    ends = contents(path).end.ending["ends_ns"]
    assert all(
        pause - end >= call.delay_s * 1e9 for (call, _), pause, end in zip(asked[1:], pauses[1:], ends, strict=False)
    )


@every_transcript
def test_a_transcript_opened_from_disk_says_the_same_as_live(path: Path):
    said, conversation, _ = replay(path)
    record, provider, prompt = read_file(path)
    columns = record.events
    assert columns.kind == [event.kind for event in said]
    assert columns.text == [event.text for event in said]
    assert columns.name == [event.name for event in said]
    assert columns.id == [event.id for event in said]
    assert columns.flags == [" ".join(sorted(event.flags)) for event in said]
    assert list(columns.choice) == [-1 if event.choice is None else event.choice for event in said]
    assert [None if data is None else json.loads(data) for data in columns.data] == [
        json.loads(json.dumps(event.data)) for event in said
    ]
    assert (record.outcome, record.error) == (conversation.outcome, conversation.error)
    assert provider.name == path.parent.name
    assert prompt.text == contents(path).run.prompt["text"]
    assert record.counts() == contents(path).end.counts


def test_every_golden_file_has_its_transcript():
    assert {path.with_suffix(".jsonl") for path in PATHS[0].parent.parent.glob("*/*.events")} == set(PATHS)


@pytest.mark.parametrize("name", names())
def test_every_provider_has_transcripts_of_its_endings(name: str):
    wanted = {"error_in_stream", "truncated", "ended_unverified" if name == "sse" else "complete"}
    missing = wanted - {contents(path).end.outcome for path in PATHS if path.parent.name == name}
    assert not missing, f"no run in tests/transcripts/{name}/ ended {sorted(missing)}: CONTRIBUTING, step 4"


def cuttings(data: bytes, places: Iterable[int]) -> Iterator[tuple[bytes, ...]]:
    for place in places:
        yield data[:place], data[place:]
    yield tuple(data[n : n + 1] for n in range(len(data)))


def some_places(data: bytes) -> set[int]:
    """Here and there, and before, in and after line ends: tests/test_wire_*.py cut at every byte."""
    ends = [match.start() for match in re.finditer(rb"\r?\n", data)]
    near = {end + shift for end in ends[:: max(1, len(ends) // ENDS)] for shift in (0, 1, 2)}
    return (near | set(range(1, len(data), max(1, len(data) // PLACES)))) - {0, len(data), len(data) + 1}


def check_cut(body: Body, places: Iterable[int]) -> None:
    whole, outcome = body.read([body.data])
    raw_text = all(frame.event == "text" for frame in _frames(body))
    same = joined if raw_text else list
    for pieces in cuttings(body.data, places):
        cut, ending = body.read(pieces)
        assert same(cut) == same(whole), pieces
        assert ending is outcome, pieces


@every_stream
def test_how_a_stream_is_cut_changes_nothing(body: Body):
    check_cut(body, some_places(body.data))


@pytest.mark.slow
@every_stream
def test_a_stream_cut_anywhere_says_the_same(body: Body):
    check_cut(body, range(1, len(body.data), 1 if len(body.data) <= SMALL else len(body.data) // FEW))


def _frames(body: Body) -> list:
    reading = body.reading()
    reading.feed(body.data)
    frames = list(reading.frames)
    reading.close()
    return [*frames, *reading.frames]


def _neighbours() -> list:
    pairs = []
    for _, group in itertools.groupby(STREAMS, lambda param: param.values[0].provider.name):
        mine = list(group)
        pairs += [
            pytest.param(one.values[0], other.values[0], id=f"{one.id}+{other.id}")
            for one, other in zip(mine, mine[1:] + mine[:1], strict=True)
        ]
    return pairs


@pytest.mark.parametrize(("one", "other"), _neighbours())
def test_two_streams_on_one_provider_do_not_mix(one: Body, other: Body):
    provider = one.provider
    apart = [one.read([one.data])[0], other.read([other.data], provider)[0]]
    readings = [one.reading(), other.reading(provider)]
    together: list[list] = [[], []]
    for pieces in itertools.zip_longest(_pieces(one.data, 7), _pieces(other.data, 11), fillvalue=b""):
        for n, piece in enumerate(pieces):
            together[n] += readings[n].feed(piece).events
    for n, reading in enumerate(readings):
        together[n] += reading.close().events
    assert [joined(said) for said in together] == [joined(said) for said in apart]


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@every_transcript
def test_every_beginning_of_a_transcript_loads(path: Path, tmp_path: Path):
    # P3: every line boundary, and offsets inside the lines.
    data = path.read_bytes()
    whole = "".join(event.text for event in replay(path)[0] if event.kind == "delta")
    first = data.index(b"\n") + 1
    boundaries = {n + 1 for n, byte in enumerate(data) if byte == 10}
    torn, start = tmp_path / "torn.jsonl", 0
    with torn.open("wb", buffering=0) as file:
        for stop in sorted({0, 1, first - 1} | boundaries | set(range(first, len(data), 997))):
            file.write(data[start:stop])
            start = stop
            if stop < first:
                with pytest.raises(TranscriptError, match=r"torn\.jsonl: line 1: "):
                    read_file(torn)
                continue
            record, _, _ = read_file(torn)
            text = "".join(
                piece for piece, kind in zip(record.events.text, record.events.kind, strict=True) if kind == "delta"
            )
            assert whole.startswith(text.removesuffix("\ufffd"))
            assert (record.outcome is Outcome.CRASHED) == (stop < len(data))
    assert start == len(data)


@pytest.mark.parametrize("name", names())
def test_a_provider_is_constructible_without_a_key(name: str, monkeypatch: pytest.MonkeyPatch):
    cls = load(name)
    if cls.key_env:
        monkeypatch.delenv(cls.key_env, raising=False)
    provider = cls()
    assert isinstance(provider, Provider)
    assert provider.name == name
    assert provider.base_url.startswith("http")
    assert provider.title, "README's table shows the title"
    assert provider.doc_url.startswith("https://"), "README's table links to the API's own documentation"


@pytest.mark.parametrize("name", names())
def test_a_provider_is_frozen(name: str):
    provider = load(name)()
    with pytest.raises(AttributeError, match="frozen: base_url"):
        provider.base_url = "http://elsewhere.example"
    with pytest.raises(TypeError):
        provider.values["x"] = 1


@pytest.mark.parametrize("name", names())
def test_every_option_has_a_help_and_a_default_that_fits(name: str):
    cls = load(name)
    for option in cls.options:
        assert option.help
        assert cls(**{option.name: option.default}).values[option.name] == option.default


def test_an_unknown_provider_names_the_nearest():
    with pytest.raises(UsageError, match=r"There is no provider 'openai_chap'\. Did you mean openai_chat\?"):
        load("openai_chap")


PLUGIN = """
from streamnb.events import Event
from streamnb.providers import Call, Provider

class Acme(Provider):
    key_env = None
    base_url = "https://acme.example"

    def request(self, prompt):
        return Call("chat", path="/chat", body={"say": prompt.text}, stream=True)

    def read(self, frame, seen):
        yield Event("delta", frame.data)

class Sketch(Provider):
    pass
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another package on the path that registers providers."""
    (tmp_path / "acme_streams.py").write_text(PLUGIN)
    info = tmp_path / "acme_streams-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-streams\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[streamnb.providers]\n"
        "acme = acme_streams:Acme\nacme_module = acme_streams\nsketch = acme_streams:Sketch\n"
        "nothing = pathlib\nopenai_chat = acme_streams:Acme\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("acme_streams", None)


def test_another_package_can_bring_a_provider(plugin: None):
    assert {"acme", "acme_module", "openai_chat"} <= set(names())
    acme = load("acme")()
    assert repr(acme) == "<acme at https://acme.example>"
    assert acme.credentials() == ({}, {})
    assert [event.text for event in events("acme", b"data: Hi\n\n")] == ["Hi"]
    assert load("acme_module").name == "acme_module"


def test_another_package_cannot_replace_a_built_in_provider(plugin: None):
    assert load("openai_chat").__module__ == "streamnb.providers.openai_chat"


def test_a_package_without_a_provider_class_is_named_as_the_one_to_blame(plugin: None):
    with pytest.raises(UsageError, match=r"'nothing' is registered in streamnb.providers but holds no Provider class"):
        load("nothing")


def test_a_provider_that_defines_nothing_says_so(plugin: None):
    sketch = load("sketch")()
    with pytest.raises(UsageError, match="sketch defines neither flow"):
        next(sketch.flow(Prompt("Hi")))
    with pytest.raises(UsageError, match=r"sketch defines no read\(\)"):
        sketch.read(Frame("x"), Seen())
    assert sketch.answer(Event("tool_call"), 1) is None
