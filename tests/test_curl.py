"""A request as a curl command: pasted into a real shell, it is the same request, and nothing else happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from fault_server import DONE, END, STOP, FaultServer, Wire, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated import url

import streamnb
from streamnb import curl
from streamnb.events import Prompt
from streamnb.minutes import call_line
from streamnb.providers import Provider, load, names
from streamnb.redaction import forms
from streamnb.results import Run
from streamnb.transcript import CallLine
from streamnb.transport import Keyring, prepare

KEY = "canary-key-0123456789abcdef"
SHELLS = [shell for shell in ("sh", "bash", "zsh", "ksh") if shutil.which(shell)]
CURLS_OWN = {"host", "user-agent", "accept-encoding", "content-length"}
STYLES = ("bearer", "token", "raw", "x-api-key", "api-key", "query")
pasted = pytest.mark.skipif(not (SHELLS and shutil.which("curl")), reason="needs a POSIX shell and curl")


class Asked(NamedTuple):
    """A request as a server got it; the body is its JSON value."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any

    @classmethod
    def of(cls, request: bytes) -> Asked:
        top, _, body = request.partition(b"\r\n\r\n")
        first, *rest = top.decode().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        said = {name: value for name, value in headers.items() if name not in CURLS_OWN}
        return cls(method, target, said, json.loads(body) if body else None)


async def relay(wire: Wire) -> None:
    """Pass a request on to the simulator, and its reply back."""
    simulator = urlsplit(url())
    reader, writer = await asyncio.open_connection(simulator.hostname, simulator.port)
    first, _, rest = wire.request.partition(b"\r\n")
    with contextlib.closing(writer):
        writer.write(first + b"\r\nConnection: close\r\n" + rest)
        while piece := await reader.read(65536):
            await wire.send(piece)
    wire.fin()


async def ok(wire: Wire) -> None:
    await wire.reply(b"{}")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with serving(ok) as found:
        yield found


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A dummy key in the environment of this process, and the same for the shell."""
    found = {env: f"{KEY}-{env}" for env in (load(name).key_env for name in names()) if env}
    for env, value in found.items():
        monkeypatch.setenv(env, value)
    return found


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A directory where a command that did more than it should would leave something."""
    path = tmp_path / "empty"
    path.mkdir()
    return path


def paste(command: str, where: Path, keys: dict[str, str] | None = None, shell: str = "sh") -> bytes:
    """What the command prints, with the reply's headers."""
    home = where.parent / "home"
    home.mkdir(exist_ok=True)
    (home / ".curlrc").write_text('silent\nshow-error\ninclude\nmax-time = 20\nnoproxy = "*"\n')
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **(keys or {})}
    typed = command.encode() + b"\n"
    done = subprocess.run([shell], input=typed, env=env, cwd=where, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b""), command
    assert list(where.iterdir()) == []
    return done.stdout


def line_of(provider: Provider, prompt: Prompt) -> CallLine:
    """The line of the first call, as the driver makes it."""
    call = next(provider.flow(prompt))
    keyring = Keyring(provider.name)
    request = prepare(provider, call, keyring)
    return call_line(0, 0, call, request, keyring.used)


def line(address: str, **fields: Any) -> CallLine:
    return CallLine(0, 0, "stream", "POST", address, **{"headers": [], **fields})


def openai(origin: str, **options: Any) -> Provider:
    return load("openai_chat")(origin, **options)


# -- the same request -------------------------------------------------------------------------------------------------

CASES: dict[str, dict[str, Any]] = {
    "openai_chat": {"model": "m"},
    "oliver": {},
    "voiceflow": {"project": "demo"},
    "voiceflow v2": {"project": "demo", "api_version": "v2"},
    "chatbotkit": {"create": True, "model": "simulated"},
    "chatbotkit sse": {"accept": "sse", "auth_scheme": "token", "model": "simulated"},
    "deepset": {"pipeline": "demo"},
    "typebot": {"typebot": "two-streams"},
    "typebot preview": {"typebot": "demo", "preview": True},
    "ollama": {"model": "m"},
    "sse": {"path": "/v1/chat/completions", "prompt_field": "messages", "model": "m"},
}


def rerun(run: Run, server: FaultServer, where: Path, keys: dict[str, str]) -> tuple[list[Asked], list[bytes]]:
    """Every request of a run pasted in its order: what the server saw, and what came back."""
    server.requests.clear()
    commands = [curl.command(row.line, run.provider) for row in run.recorded.calls]
    replies = [paste(command, where, keys) for command in commands]
    assert not any(key in command for key in keys.values() for command in commands)
    return list(map(Asked.of, server.requests)), replies


@pasted
@pytest.mark.parametrize("case", CASES)
def test_a_pasted_command_sends_what_streamnb_sent_and_gets_the_same_stream(
    case: str, empty: Path, keys: dict[str, str]
):
    name, options = case.partition(" ")[0], CASES[case]
    with serving(relay) as server:
        base_url = f"{server.origin}/~ttft=0,gap=0,tokens=5{urlsplit(load(name).base_url).path}"
        run = streamnb.stream(name, "It's me!", base_url=base_url, **options)
        mine = list(map(Asked.of, server.requests))
        again, replies = rerun(run, server, empty, keys)
    assert run.outcome is not None
    assert run.recorded.calls[-1].status == 200, run.error
    assert again == mine
    for row, reply in zip(run.recorded.calls, replies, strict=True):
        top, _, body = reply.partition(b"\r\n\r\n")
        assert int(top.split(b" ")[1]) == row.status
        if row.stream:
            assert row.headers.get("content-type", "").encode() in top
            assert body.count(b"\n") >= 5


@pasted
@pytest.mark.parametrize("style", STYLES)
def test_every_way_to_send_a_key_arrives_as_streamnb_sends_it(style: str, empty: Path, keys: dict[str, str]):
    async def answer(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(STOP, DONE)
        await wire.send(END)

    with serving(answer) as server:
        run = streamnb.stream("openai_chat", "hi", base_url=server.origin, model="m", auth=style)
        mine = list(map(Asked.of, server.requests))
        assert rerun(run, server, empty, keys)[0] == mine
    assert keys["OPENAI_API_KEY"] in str(mine)


@pasted
def test_a_turn_of_voiceflow_v4_carries_the_key_of_its_session(empty: Path, keys: dict[str, str]):
    with serving(relay) as server:
        base_url = f"{server.origin}/~ttft=0,gap=0,tokens=5"
        run = streamnb.stream("voiceflow", "hi", base_url=base_url, project="demo", api_version="v4")
        mine = list(map(Asked.of, server.requests))
        session_key = mine[1].headers["authorization"]
        server.requests.clear()
        commands = [curl.command(row.line, run.provider) for row in run.recorded.calls]
        replies = [paste(command, empty, {**keys, "sessionKey": session_key}) for command in commands[1:]]
    assert [row.name for row in run.recorded.calls] == ["session", "launch", "interact"]
    assert '-H "Authorization: $VOICEFLOW_API_KEY"' in commands[0]
    assert list(map(Asked.of, server.requests)) == mine[1:]
    assert [reply[:12] for reply in replies] == [b"HTTP/1.1 200"] * 2
    assert session_key not in str(commands)


def test_an_opened_run_knows_which_variable_held_its_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with serving(ok) as server:
        run = streamnb.stream("openai_chat", "hi", base_url=server.origin, model="m", key_env="MY_KEY")
    opened = streamnb.open(run.path)
    said = [curl.command(one.recorded.calls[0].line, one.provider) for one in (run, opened)]
    assert said[0] == said[1]
    assert '"Authorization: Bearer $MY_KEY"' in said[0]


@pasted
def test_a_list_and_an_answer_to_a_function_are_calls_like_any_other(empty: Path, keys: dict[str, str]):
    with serving(relay) as server:
        base_url = f"{server.origin}/~ttft=0,gap=0"
        streamnb.records("chatbotkit", "conversations", take=3, base_url=base_url, display="none")
        listed = streamnb.last()
        mine = list(map(Asked.of, server.requests))
        assert rerun(listed, server, empty, keys)[0] == mine
        assert [(one.method, one.body) for one in mine] == [("GET", None)]
        tool = {"weather": lambda city: f"rain in {city}"}
        server.requests.clear()
        run = streamnb.stream("chatbotkit", "hi", base_url=base_url, model="simulated", tools=tool)
        answer = run.recorded.calls[1]
        assert answer.side
        paste(curl.command(answer.line, run.provider), empty, keys)
        _, first, second = map(Asked.of, server.requests)
        assert first == second


@pasted
def test_a_run_that_was_opened_again_says_the_same(empty: Path, keys: dict[str, str]):
    with serving(relay) as server:
        run = streamnb.stream("openai_chat", "hi", base_url=f"{server.origin}/~ttft=0,gap=0,tokens=3/v1", model="m")
        mine = list(map(Asked.of, server.requests))
        opened = streamnb.open(run.path)
        assert rerun(opened, server, empty, keys)[0] == mine
    before, after = run.recorded.calls[0].line, opened.recorded.calls[0].line
    assert curl.command(before, run.provider) == curl.command(after, opened.provider)


def test_the_command_reads_as_a_person_would_write_it(keys: dict[str, str]):
    provider = openai("https://api.example.com/v1")
    said = curl.command(line_of(provider, Prompt("It's 5 €!", model="m")), provider)
    assert said == (
        "curl -N -X POST 'https://api.example.com/v1/chat/completions' \\\n"
        "  -H 'Accept: text/event-stream, application/json;q=0.9, */*;q=0.8' \\\n"
        "  -H 'Cache-Control: no-store' \\\n"
        '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"model": "m", "messages": [{"role": "user", "content": "It\'\\\'\'s 5 €!"}], "stream": true, '
        '"stream_options": {"include_usage": true}}\''
    )


def test_a_request_without_a_body_is_a_plain_get(keys: dict[str, str]):
    provider = load("sse")("https://api.example.com/events", method="GET")
    said = curl.command(line_of(provider, Prompt("hi")), provider)
    assert said.startswith("curl -N 'https://api.example.com/events' \\\n")
    assert "-X" not in said
    assert "-d" not in said


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "shown"),
    [
        ("bearer", '-H "Authorization: Bearer $MY_KEY"'),
        ("token", '-H "Authorization: Token $MY_KEY"'),
        ("raw", '-H "Authorization: $MY_KEY"'),
        ("x-api-key", '-H "x-api-key: $MY_KEY"'),
        ("api-key", '-H "api-key: $MY_KEY"'),
        ("query", '"https://api.example.com/v1/chat/completions?key=$MY_KEY"'),
    ],
)
def test_a_key_is_the_variable_that_holds_it(style: str, shown: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", KEY)
    provider = openai("https://api.example.com/v1", key_env="MY_KEY", auth=style)
    said = curl.command(line_of(provider, Prompt("hi", model="m")), provider)
    assert said.count(shown) == 1
    assert "REDACTED" not in said.upper()


def test_a_key_in_the_middle_of_a_query_keeps_its_end():
    provider = openai("https://h.example", auth="query")
    said = curl.command(line("https://h.example/a?monkey=REDACTED&key=REDACTED&b=1!"), provider)
    assert said.splitlines() == [
        """curl -N -X POST "https://h.example/a?monkey=REDACTED&key=${OPENAI_API_KEY}&b=1"'!'"\""""
    ]


def test_what_nobody_can_explain_stays_redacted():
    provider = openai("https://h.example")
    headers = [("X-Team", "<redacted>"), ("authorization", "<redacted>")]
    said = curl.command(line("https://h.example/a?token=REDACTED", headers=headers), provider)
    assert "-H 'X-Team: <redacted>'" in said
    assert '-H "Authorization: Bearer $OPENAI_API_KEY"' in said
    assert "'https://h.example/a?token=REDACTED'" in said


@pytest.mark.parametrize(
    "other",
    ["https://evil.example/v1", "http://h.example/v1", "https://h.example:444/", "https://h.example@evil.example"],
)
def test_no_key_is_named_for_a_host_that_is_not_the_providers(other: str):
    said = curl.command(line(other, headers=[("Authorization", "<redacted>")]), openai("https://h.example/v1"))
    assert "-H 'Authorization: <redacted>'" in said
    assert "$" not in said


@pytest.mark.parametrize("base_url", ["https://h.example:443", "https://H.example", "https://u:p@h.example"])
def test_the_same_host_may_be_written_otherwise(base_url: str):
    said = curl.command(line("https://h.example/v1", headers=[("Authorization", "<redacted>")]), openai(base_url))
    assert '"Authorization: Bearer $OPENAI_API_KEY"' in said


def test_a_host_that_an_option_names_gets_its_key_too(keys: dict[str, str]):
    provider = load("typebot")(typebot="b", preview=True, builder_url="https://builder.example")
    said = curl.command(line_of(provider, Prompt("hi")), provider)
    assert "'https://builder.example/api/v1/typebots/b/preview/startChat'" in said
    assert '-H "Authorization: Bearer $TYPEBOT_API_TOKEN"' in said


def test_an_address_that_is_none_has_no_keys():
    good, odd, broken = "http://h.example", "http://h.example:port/", "http://[broken"
    for address, base_url in ((good, broken), (odd, good), (odd, broken), (broken, broken)):
        said = curl.command(line(address, headers=[("Authorization", "<redacted>")]), load("sse")(base_url))
        assert "-H 'Authorization: <redacted>'" in said


def test_a_name_that_is_no_variables_is_not_shown():
    provider = openai("https://h.example", key_env="$(touch canary)")
    said = curl.command(line("https://h.example", headers=[("Authorization", "<redacted>")]), provider)
    assert "touch" not in said


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    typed=st.text(),
    around=st.sampled_from(["{}", "x{}", "Bearer {}", '{{"k": "{}"}}', "https://u:{}@h/?key={}", "{}\n{}"]),
    style=st.sampled_from(STYLES),
    place=st.sampled_from(["prompt", "system", "params", "path"]),
)
def test_the_key_is_in_no_command_wherever_it_was_typed(
    typed: str, around: str, style: str, place: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said = around.replace("{}", KEY) + typed
    path = f"/chat?x={KEY}" if place == "path" else "/chat"
    more = {"system": {"system": said}, "params": {"params": {"x": [said], said: 1}}}.get(place, {})
    provider = openai("https://h.example", auth=style, path=path)
    command = curl.command(line_of(provider, Prompt(said, model="m", **more)), provider)
    assert "$OPENAI_API_KEY" in command or "${OPENAI_API_KEY}" in command
    assert not [form for form in forms(KEY) if form in command.encode("utf-8", "surrogatepass")]


# -- what a shell could take for its own ------------------------------------------------------------------------------

HOSTILE = {
    "quotes": "it's \"so\" '\\'' \\\" \\' '; touch canary; '",
    "substitution": "$(touch canary) ${x:-$(touch canary)} $((1+1)) $HOME $$ $'\\n'",
    "backticks": "`touch canary`",
    "lines": "a\nb\r\nc\rtouch canary\n\ttouch canary\n",
    "history": "!! !touch !$ it's!",
    "words": "* ? [a-z] ~ ~root {a,b} # no comment ; & | > canary < /etc/passwd",
    "backslashes": "\\ \\\\ \\n \\u0041 c:\\new\\",
    "letters": "é ß 語 🙂 e\u0301",
    "separators": "\u2028 \u2029 \u0085 \x0b \x0c \x1c",
    "controls": "\0 \x01 \x07 \x1b[201~\ntouch canary\n \x7f \x9b31m \x9d0;x\x07",
    "directions": "\u202e\u2066abc\u2069\u200b\ufeff",
    "halves": "\ud83d \ude42",
    "files": "@/etc/passwd",
    "end": "END_OF_BODY\ntouch canary\nEND_OF_BODY",
}


@pasted
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_prompt_arrives_as_it_is_and_runs_nothing(
    name: str, shell: str, server: FaultServer, empty: Path, keys: dict[str, str]
):
    provider = openai(server.origin)
    for text in (HOSTILE[name], HOSTILE[name] * (1 + 66_000 // len(HOSTILE[name]))):  # the second is no argument
        command = curl.command(line_of(provider, Prompt(text, model=text)), provider)
        assert all(char.isprintable() or char == "\n" for char in command)
        server.requests.clear()
        paste(command, empty, keys, shell)
        asked = Asked.of(server.requests[0])
        assert asked.body["messages"][0]["content"] == asked.body["model"] == text


@pasted
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.one_of(st.sampled_from("$`\"'\\!\n(){}@-"), st.characters()), max_size=40))
def test_any_prompt_arrives_as_it_is(text: str, server: FaultServer, empty: Path):
    server.requests.clear()
    paste(curl.command(line(server.origin, body={text: [text]}), openai(server.origin)), empty)
    assert Asked.of(server.requests[0]).body == {text: [text]}


@pasted
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "target",
    ["/$(touch%20canary)", "/$HOME/${x}", "/`touch${IFS}canary`", "/\"a\"/'b'", "/!!/a!b", "/\\$x\\", "/a;b|c&d<e>f"],
)
def test_an_address_beside_a_key_is_text_to_the_shell(
    target: str, shell: str, server: FaultServer, empty: Path, keys: dict[str, str]
):
    server.requests.clear()
    told = line(f"{server.origin}{target}?key=REDACTED&x=1", headers=[("X-A", target)])
    paste(curl.command(told, openai(server.origin, auth="query")), empty, keys, shell)
    asked = Asked.of(server.requests[0])
    assert asked.target == f"{target}?key={keys['OPENAI_API_KEY']}&x=1"
    assert asked.headers["x-a"] == target


@pasted
@pytest.mark.parametrize("target", ["/a/../b/./c", "/[1-3]/{a,b}", "/a%2e%2e/%5B", "/?q=[]&r={}"])
def test_curl_gives_no_meaning_of_its_own_to_an_address(target: str, server: FaultServer, empty: Path):
    server.requests.clear()
    paste(curl.command(line(server.origin + target), openai(server.origin)), empty)
    assert [Asked.of(one).target for one in server.requests] == [target]


@pasted
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_history_expansion_finds_nothing_to_expand(server: FaultServer, empty: Path, keys: dict[str, str]):
    told = line(f"{server.origin}/!echo?key=REDACTED", body={"a": "!echo it's !$ !!"}, headers=[("X-A", "!echo")])
    long = line(server.origin, body={"a": "!echo " * 30_000})
    server.requests.clear()
    for one in (told, long):
        command = curl.command(one, openai(server.origin, auth="query"))
        paste(f"set -o history -o histexpand\necho before >/dev/null\n{command}", empty, keys, "bash")
    first, second = map(Asked.of, server.requests)
    assert (first.target, first.headers["x-a"]) == (f"/!echo?key={keys['OPENAI_API_KEY']}", "!echo")
    assert (first.body, second.body) == (told.body, long.body)


@pasted
def test_a_name_that_is_none_is_not_sent_and_a_line_end_makes_no_header(server: FaultServer, empty: Path):
    server.requests.clear()
    headers = [("@/etc/passwd", "x"), ("X-A", "a\r\nX-Evil: 1\x1b"), ("Accept", "a")]
    paste(curl.command(line(server.origin, headers=headers), openai(server.origin)), empty)
    assert list(Asked.of(server.requests[0]).headers) == ["x-a", "accept"]


def test_an_empty_header_is_written_as_curl_wants_it():
    assert "-H 'X-Empty;'" in curl.command(line("http://h", headers=[("X-Empty", "")]), openai("http://h"))


@pytest.mark.parametrize(
    "fields",
    [
        {"url": ""},
        {"url": "", "method": ""},
        {"url": "-o/tmp/canary"},
        {"url": "file:///etc/passwd"},
        {"url": "http://h", "method": ""},
        {"url": "http://h", "method": "-o"},
        {"url": "http://h", "method": "GET;ls"},
    ],
)
def test_a_line_without_a_method_or_an_address_is_no_command(fields: dict[str, str]):
    assert (
        curl.command(CallLine(0, 0, "stream", **{"method": "POST", "headers": [], **fields}), openai("http://h")) == ""
    )


async def test_a_request_of_ones_own_client_says_that_its_body_is_not_recorded(keys: dict[str, str]):
    async def answer(wire: Wire) -> None:
        await wire.head()
        await wire.chunks(STOP, DONE)
        await wire.send(END)

    key = {"Authorization": f"Bearer {KEY}"}
    with serving(answer) as server:
        async with (
            httpx.AsyncClient() as client,
            streamnb.aconnect_sse(client, "POST", server.origin, json={"a": 1}, headers=key) as source,
        ):
            _ = [one async for one in source.aiter_sse()]
    said = curl.command(source.run.recorded.calls[0].line, source.run.provider)
    assert "-d '<not recorded>'" in said
    assert "'Authorization: <redacted>'" in said  # whose key it was, this package cannot know
    assert KEY not in said


def test_json_is_shown_with_escapes_for_what_cannot_be_seen():
    value = {"é🙂": ["a\u202eb\x7f\u2028", "\ud800", "\U000e0001", 1.5, None]}
    shown = curl.json_text(value)
    assert shown == '{"é🙂": ["a\\u202eb\\u007f\\u2028", "\\ud800", "\\udb40\\udc01", 1.5, null]}'
    assert json.loads(shown) == value
    assert curl.json_text(value, 2) == json.dumps(value, ensure_ascii=False, indent=2).replace(
        "\u202e", "\\u202e"
    ).replace("\x7f", "\\u007f").replace("\u2028", "\\u2028").replace("\ud800", "\\ud800").replace(
        "\U000e0001", "\\udb40\\udc01"
    )


def test_json_that_is_nested_too_deeply_is_said_to_be():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert curl.json_text(deep) == '"<nested too deeply to be shown>"'
    while deep:  # or taking it apart would be as deep
        deep = deep.pop()
