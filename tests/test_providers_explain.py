"""One line about a reply that did not end well: whose fault, what next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

import pytest
from replies import CUT, ERROR, SSE, TEXT, chunk, read

from streamnb.conversation import Reading
from streamnb.events import Event, Outcome
from streamnb.providers import Call, Ending, Provider, ReplyHead, Seen
from streamnb.providers._error_body import error_event
from streamnb.redaction import Secret
from streamnb.wire import Frame

DOWN = "The provider is overloaded or down; wait and run it again."
SAID = "openai_chat reported an error in the stream:"
BEARER = Call("chat.completions", stream=True, headers={"Authorization": Secret("OPENAI_API_KEY", prefix="Bearer ")})

NO_MARKER = (
    "the server, or something on the way, ended the stream before its end marker; the text is incomplete. Run it again."
)


def explained(
    status: int, body: bytes = b"", call: Call = BEARER, provider: str = "openai_chat", **headers: str
) -> str:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    opened, _ = read(body, provider, status=status, headers=names, call=call)
    line = opened.explain(opened.outcome(Ending()), Ending())
    assert line is not None
    assert "\n" not in line
    assert line.endswith(".")
    return line


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "The server refused the request; check the model, the parameters and the ids."),
        (401, "Check the key in OPENAI_API_KEY."),
        (402, "no credit"),
        (403, "Check the key in OPENAI_API_KEY and what it may use."),
        (404, "Check the base URL, the model and the ids."),
        (408, "run it again."),
        (413, "shorten it."),
        (422, "The server refused the request"),
        (429, "wait and run it again."),
        (451, "The server refused the request"),
        (500, "The fault is on the provider's side; run it again."),
        (503, "overloaded or down; wait and run it again."),
        (529, "overloaded; wait and run it again."),
        (591, "The fault is on the provider's side; run it again."),
        (307, "The redirect was not followed; give the final address with --base-url."),
    ],
)
def test_a_status_is_explained_with_whose_fault_and_what_next(status, says):
    line = explained(status, b'{"error":{"message":"no"}}')
    assert line.startswith(f"openai_chat answered {status}: no. ")
    assert line.endswith(says) or says in line


@pytest.mark.parametrize(
    ("retry_after", "says"),
    [
        ("20", "wait 20 s and"),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "wait until Wed, 21 Oct 2026 07:28:00 GMT and"),
        ("soon", "wait and"),
        ("-1", "wait and"),
        ("²", "wait and"),
    ],
)
def test_retry_after_is_told_when_it_says_something(retry_after, says):
    assert says in explained(429, retry_after=retry_after)


@pytest.mark.parametrize("name", ["x_request_id", "request_id", "apim_request_id"])
def test_the_request_id_is_told(name):
    assert "no message (request req-7). " in explained(500, **{name: "req-7"})


def test_a_redirect_is_not_followed_and_its_target_is_named_without_credentials():
    line = explained(308, location="https://user:pw@new.example/v1?key=abc")
    assert "The redirect to https://REDACTED:REDACTED@new.example/v1?key=REDACTED was not followed" in line
    assert "The redirect was not followed" in explained(308, location="<redacted>")


@pytest.mark.parametrize("status", [401, 403])
def test_a_call_that_carried_no_key_does_not_blame_the_key(status):
    line = explained(status, call=Call("continueChat"), provider="typebot")
    assert line.startswith(f"typebot answered {status} to continueChat: no message. No key was sent;")


def test_a_key_in_the_query_is_named_too():
    call = Call("chat", stream=True, query={"key": Secret("MY_KEY")})
    assert explained(401, call=call).endswith("Check the key in MY_KEY.")


@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        ({"content-type": "text/html; charset=utf-8"}, b"<html>", "6 bytes of text/html instead of a stream"),
        ({"content-type": "application/json"}, b'{"ok":true}', "11 bytes of application/json instead of a stream"),
        ({}, b"", "an empty body (no Content-Type) instead of a stream"),
        (SSE, b"", "an empty body (text/event-stream) instead of a stream"),
        (SSE, b"data: 1\n\n", "9 bytes of text/event-stream instead of a stream"),
    ],
)
def test_200_without_a_stream_names_what_came_and_the_base_url(headers, body, says):
    opened, _ = read(body, headers=headers, base_url="https://u:p@api.example/v1")
    assert opened.outcome(Ending()) is Outcome.PROTOCOL_ERROR
    assert opened.explain(Outcome.PROTOCOL_ERROR, Ending()) == (
        f"openai_chat answered 200 with {says}; check the base URL https://REDACTED:REDACTED@api.example/v1."
    )


def test_a_step_that_is_too_long_says_so():
    opened, _ = read(b"[" + b" " * (1 << 20), "typebot", call=Call("startChat"))
    assert opened.explain(opened.outcome(Ending()), Ending()) == (
        "typebot: the reply is more than this client agreed to hold; what arrived is kept."
    )


def test_a_step_that_is_no_json_names_the_call():
    opened, _ = read(b"<html>", "typebot", headers={"content-type": "text/html"}, call=Call("startChat"))
    assert "with 6 bytes of text/html instead of JSON to startChat; " in opened.explain(
        opened.outcome(Ending()), Ending()
    )


@pytest.mark.parametrize(
    ("body", "ending", "says"),
    [
        (TEXT, Ending(), f"openai_chat: {NO_MARKER}"),
        (
            TEXT + chunk(finish="content_filter"),
            Ending(),
            "openai_chat: the provider's content filter stopped the answer; rephrase the prompt.",
        ),
        (
            TEXT + chunk(finish="error"),
            Ending(),
            "openai_chat: the API ended the stream with an error and no message. What arrived is kept; run it again.",
        ),
        (TEXT, Ending(CUT, "chunked", "the connection\nbroke off."), "openai_chat: the connection broke off."),
        (TEXT, Ending(Outcome.TIMEOUT_IDLE, detail="no data for 120 s"), "openai_chat: no data for 120 s"),
        (TEXT, Ending(Outcome.TIMEOUT_IDLE), "openai_chat: timeout_idle"),
        (ERROR, Ending(Outcome.INTERRUPTED), "openai_chat: interrupted; what arrived is kept."),
        (TEXT, Ending(Outcome.STOPPED), "openai_chat: stopped; what arrived is kept."),
        (TEXT, Ending(Outcome.CRASHED), "openai_chat: the process that recorded it died; what it wrote is here."),
        (
            ERROR,
            Ending(),
            f"{SAID} boom. What arrived is kept; run it again.",
        ),
        (
            b'data: {"error":{"message":"boom\\n  at line 3!","code":"E7"}}\n\n',
            Ending(),
            f"{SAID} boom at line 3! (E7). What arrived is kept; run it again.",
        ),
        (
            b"event: error\n\n",
            Ending(),
            f"{SAID} an error without a message. What arrived is kept; run it again.",
        ),
        (
            b'data: {"message":"boom","status":503}\n\n',
            Ending(),
            "openai_chat answered 503 inside HTTP 200: boom. " + DOWN,
        ),
        (TEXT + chunk(finish="stop"), Ending(), None),
        (TEXT + chunk(finish="length"), Ending(), None),
    ],
)
def test_every_bad_outcome_has_one_line_and_a_good_one_has_none(body, ending, says):
    opened, _ = read(body)
    assert opened.explain(opened.outcome(ending), ending) == says


class Hinting(Provider):
    """Tells of its own codes, statuses and outcomes, and documents its limits."""

    key_env = "HINTING_KEY"
    limits: ClassVar[dict[str, float]] = {"idle_s": 60, "total_s": 300}
    hints: ClassVar[dict[str, str]] = {
        "QUOTA": "The month's answers are used up. Buy more.",
        "slow_down": "Too fast; wait{wait} and send it again.",
        "401": "Check the key in {key}: it belongs to one project.",
        "429": "The limit of this pipeline; wait{wait} and run it again.",
        "503": "It is being moved. Wait{wait}.",
        "truncated": "Ask for less.",
        "timeout_idle": "A tool may hang.",
    }

    def read(self, frame: Frame, seen: Seen) -> Iterator[Event]:
        if frame.data == "end":
            yield Event("end")
        else:
            yield error_event(json.loads(frame.data)) if frame.event == "error" else Event("delta", frame.data)

    def outcome(self, seen: Seen, ending: Ending) -> Outcome:
        """Its end marker may come and say that the answer is not whole."""
        outcome = super().outcome(seen, ending)
        return Outcome.TRUNCATED if outcome is Outcome.COMPLETE else outcome


def hinted(
    body: bytes, status: int = 200, ending: Ending | None = None, call: Call | None = None, **headers: str
) -> str:
    names = {**SSE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    opened = Reading(Hinting(), call or Call("stream", stream=True), ReplyHead(status, names))
    opened.feed(body)
    opened.close()
    ending = ending or Ending()
    line = opened.explain(opened.outcome(ending), ending)
    assert line is not None
    return line


WHO = "test_providers_explain"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (402, b'{"message":"no","code":"QUOTA"}', "The month's answers are used up. Buy more."),
        (429, b'{"message":"no","code":"QUOTA"}', "The month's answers are used up. Buy more."),  # the code knows more
        (429, b'{"message":"no","code":"OTHER"}', "The limit of this pipeline; wait 7 s and run it again."),
        (429, b"<html>", "The limit of this pipeline; wait 7 s and run it again."),
        (429, b'{"message":"no","code":"slow_down"}', "Too fast; wait 7 s and send it again."),
        (402, b'{"message":"no"}', "The account has no credit or no plan for this."),
        (500, b'{"message":"no"}', "The fault is on the provider's side; run it again."),
    ],
)
def test_a_provider_says_what_its_code_or_else_its_status_means_before_anyone_else(status, body, says):
    line = hinted(body, status, retry_after="7")
    assert line.startswith(f"{WHO} answered {status}: ")
    assert line.endswith(f". {says}")


def test_without_retry_after_a_hint_just_says_wait():
    assert hinted(b'{"message":"no"}', 503).endswith(". It is being moved. Wait.")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Call("stream", stream=True, headers={"Authorization": Secret("MY_OTHER_KEY")}), "MY_OTHER_KEY"),
        (Call("stream", stream=True), "HINTING_KEY"),
    ],
)
def test_a_hint_names_the_key_that_was_sent_or_else_the_usual_one(call, name):
    assert hinted(b"{}", 401, call=call).endswith(f"Check the key in {name}: it belongs to one project.")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            b'{"message":"no","code":"QUOTA"}',
            "reported an error in the stream: no (QUOTA). The month's answers are used up. Buy more.",
        ),
        (
            b'{"message":"no","code":"slow_down"}',
            "reported an error in the stream: no (slow_down). Too fast; wait and send it again.",
        ),
        (
            b'{"message":"no","code":"E7"}',
            "reported an error in the stream: no (E7). What arrived is kept; run it again.",
        ),
        (b'{"message":"no","status":503}', "answered 503 inside HTTP 200: no. It is being moved. Wait."),
        (
            b'{"message":"no","status":402}',
            "answered 402 inside HTTP 200: no. The account has no credit or no plan for this.",
        ),
    ],
)
def test_an_error_inside_a_stream_gets_the_same_hints(data, says):
    assert hinted(b"event: error\ndata: " + data + b"\n\n") == f"{WHO} {says}"


CUT_SHORT = f"{WHO}: {NO_MARKER}"


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (Ending(), f"{CUT_SHORT} Ask for less."),
        (Ending(lasted_s=298.9), f"{CUT_SHORT} Ask for less."),
        (
            Ending(lasted_s=299.0),
            f"{CUT_SHORT} It lasted 299 s, and {WHO} closes every stream after 300 s (max_duration). Ask for less.",
        ),
        (
            Ending(lasted_s=301.6),
            f"{CUT_SHORT} It lasted 302 s, and {WHO} closes every stream after 300 s (max_duration). Ask for less.",
        ),
        (
            Ending(Outcome.TIMEOUT_TOTAL, detail="not done after 9 s.", lasted_s=9),
            f"{WHO}: not done after 9 s. The limit of {WHO} itself is 300 s a stream.",
        ),
        (
            Ending(Outcome.TIMEOUT_IDLE, detail="no data for 3 s."),
            f"{WHO}: no data for 3 s. The limit of {WHO} itself is 60 s without activity. A tool may hang.",
        ),
        (
            Ending(Outcome.TIMEOUT_FIRST, detail="no data for 3 s."),
            f"{WHO}: no data for 3 s. The limit of {WHO} itself is 60 s without activity.",
        ),
        (Ending(Outcome.STOPPED), f"{WHO}: stopped; what arrived is kept."),
    ],
)
def test_an_end_by_the_clock_is_told_with_the_vendors_own_limit_and_what_the_outcome_means_there(ending, says):
    assert hinted(b"data: Hi\n\n", ending=ending) == says


def test_a_vendor_without_limits_is_told_of_without_them():
    for outcome in (Outcome.TIMEOUT_IDLE, Outcome.TIMEOUT_TOTAL):
        opened, _ = read(TEXT)
        assert opened.explain(outcome, Ending(outcome, detail="too late.")) == "openai_chat: too late."
    assert "closes every stream" not in read(TEXT)[0].explain(Outcome.TRUNCATED, Ending(lasted_s=9999))


def test_an_end_marker_that_says_itself_that_the_answer_is_not_whole_is_not_called_missing():
    assert hinted(b"data: Hi\n\ndata: end\n\n") == (
        f"{WHO}: the end marker came and says that the answer is incomplete. What arrived is kept; run it again."
    )
