"""Voiceflow's traces in their three envelopes: what each means, and what is kept of those that nobody documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from wire_vectors import PRINTED

from streamnb.events import Event
from streamnb.testing import events

ENVELOPES = ("wrapped", "flat")


def read(*traces: Any, envelope: str = "flat", name: str = "trace") -> list[Event]:
    """What a stream of these traces means."""
    values = [{"type": "trace", "trace": trace} if envelope == "wrapped" else trace for trace in traces]
    stream = "".join(f"event:{name}\ndata:{json.dumps(value)}\n\n" for value in values)
    return events("voiceflow", stream.encode())


def one(trace: Any, **more: Any) -> Event:
    (event,) = read(trace, **more)
    return event


def tokens(query: Any = 0, answer: Any = 0, **more: Any) -> dict[str, Any]:
    return {"query": query, "answer": answer, "total": query + answer, **more}


def slate(*blocks: Any) -> dict[str, Any]:
    return {"slate": {"id": "k1", "content": [{"children": children} for children in blocks]}}


@pytest.mark.parametrize("stem", ["voiceflow", "voiceflow_blank_lines"])
def test_a_printed_layout_has_the_text_and_the_tokens_that_were_meant(stem):
    expected = json.loads((PRINTED / f"{stem}.json").read_text("utf-8"))
    found = events("voiceflow", (PRINTED / f"{stem}.txt").read_bytes())
    assert "".join(event.text for event in found if event.kind == "delta") == expected["text"]
    said = [event.data for event in found if event.kind == "usage"]
    assert all(data["usage"] == "sum" for data in said)
    assert {
        "query": sum(data["tokens_in"] for data in said),
        "answer": sum(data["tokens_out"] for data in said),
        "total": sum(data["total"] for data in said),
        "model": next(data["model"] for data in said if "model" in data),
    } == expected["tokens"]


def test_the_printed_layout_with_trailing_commas_has_text_and_an_end():
    found = events("voiceflow", (PRINTED / "voiceflow_trailing_commas.txt").read_bytes())
    assert [(event.kind, event.text) for event in found] == [("delta", "Right away"), ("end", "")]
    assert "repaired" in found[0].flags


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_pieces_are_deltas_joined_as_they_are_and_tokens_add_up(envelope):
    found = read(
        {"type": "completion-start", "payload": {"completion": "At home.", "tokens": tokens(9, 1, model="m")}},
        {"type": "completion-continue", "payload": {"completion": "How ", "tokens": tokens(0, 2)}},
        {"type": "completion-continue", "payload": {"completion": "\n"}},
        {"type": "completion-end", "payload": {"completion": "so?", "tokens": tokens(0, 1)}},
        envelope=envelope,
    )
    assert [event.kind for event in found] == ["step", *["delta", "usage"] * 2, "delta", "delta", "usage", "step"]
    assert "".join(event.text for event in found if event.kind == "delta") == "At home.How \nso?"
    usage = [event.data for event in found if event.kind == "usage"]
    assert usage[0] == {"model": "m", "total": 10, "tokens_in": 9, "tokens_out": 1, "usage": "sum"}
    assert sum(data["tokens_out"] for data in usage) == 4


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_completion_of_v2_and_v4_has_its_tokens_at_its_end(envelope):
    found = read(
        {"type": "completion", "payload": {"state": "start"}},
        {"type": "completion", "payload": {"state": "content", "content": "Hi"}},
        {"type": "completion", "payload": {"state": "end", "tokens": tokens(40, 6, model="m")}},
        envelope=envelope,
    )
    assert [(event.kind, event.name or event.text) for event in found] == [
        ("step", "completion-start"),
        ("delta", "Hi"),
        ("usage", ""),
        ("step", "completion-end"),
    ]
    assert found[2].data == {"model": "m", "total": 46, "tokens_in": 40, "tokens_out": 6, "usage": "sum"}


@pytest.mark.parametrize(
    ("payload", "kinds"),
    [
        ({"completion": "Hi"}, ["delta"]),
        ({"completion": ""}, ["trace"]),
        ({"completion": 5}, ["trace"]),
        ({"completion": None, "content": "x"}, ["trace"]),
        ({"tokens": {}}, ["usage"]),
        ({"tokens": [1]}, ["trace"]),
        ({}, ["trace"]),
        (None, ["trace"]),
        ("Hi", ["trace"]),
    ],
)
def test_every_key_of_a_piece_is_optional_and_nothing_is_dropped(payload, kinds):
    trace = {"type": "completion-continue", "payload": payload}
    found = read(trace)
    assert [event.kind for event in found] == kinds
    if kinds == ["trace"]:
        assert (found[0].name, found[0].data) == ("completion-continue", trace)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"message": "Hi", "slate": {"content": [{"children": [{"text": "other"}]}]}}, "Hi"),
        (
            {"slate": {"content": [{"children": [{"text": "a"}, {"text": "b"}]}, {"children": [{"text": "c"}]}]}},
            "ab\nc",
        ),
        ({"message": 5, "slate": {"content": [{"children": [{"text": 5}, "x", {"text": "c"}]}, "y"]}}, "c"),
        ({"message": "", "slate": {"content": [{"children": [{"text": "a"}]}, {}]}}, "a\n"),
    ],
)
def test_a_text_trace_is_one_message_and_its_slate_stands_in(payload, text):
    event = one({"type": "text", "payload": payload})
    assert (event.kind, event.text, event.name) == ("message", text, None)
    assert event.data == {"type": "text", "payload": payload}


def test_a_spoken_message_keeps_its_sound():
    event = one({"type": "speak", "payload": {"message": "Hi", "src": "data:audio/mp3;base64,AA=="}})
    assert (event.kind, event.text, event.name) == ("message", "Hi", "speak")
    assert event.data["payload"]["src"] == "data:audio/mp3;base64,AA=="
    sound = one({"type": "speak", "payload": {"type": "audio", "src": "https://x.example/a.mp3"}})
    assert (sound.kind, sound.name, sound.data["payload"]["src"]) == ("file", "audio", "https://x.example/a.mp3")


@pytest.mark.parametrize("payload", [{}, {"slate": "x"}, {"slate": {"content": "x"}}, {"message": "", "slate": None}])
def test_a_message_without_any_text_is_a_trace(payload):
    event = one({"type": "text", "payload": payload})
    assert (event.kind, event.name) == ("trace", "text")


GO = {"type": "path-1", "payload": {"label": "Go on"}}


@pytest.mark.parametrize(
    ("button", "label"),
    [
        ({"name": "Go", "request": GO}, "Go"),
        ({"request": GO}, "Go on"),
        ({"name": "", "request": GO}, "Go on"),
        ({"name": 5, "request": {"type": "text", "payload": "Go"}}, "text"),
        ({"request": {}}, "None"),
    ],
)
def test_a_button_is_named_by_its_name_else_its_label_else_its_type(button, label):
    event = one({"type": "choice", "payload": {"buttons": [button]}})
    (choice,) = event.choices
    assert (event.kind, event.name, choice.label) == ("step", "choice", label)
    assert (choice.prompt.text, choice.prompt.reply) == (label, button["request"])


@pytest.mark.parametrize("buttons", [None, "x", [5], [{"name": "a link"}], [{"name": "x", "request": "path-1"}]])
def test_what_cannot_be_pressed_is_no_choice(buttons):
    event = one({"type": "choice", "payload": {"buttons": buttons}})
    assert (event.kind, event.choices) == ("step", ())
    assert event.data["payload"]["buttons"] == buttons


@pytest.mark.parametrize("kind", ["card", "cardV2"])
def test_a_card_is_an_item_with_its_title_and_its_buttons(kind):
    event = one({"type": kind, "payload": {"title": "Box", "buttons": [{"name": "Go", "request": GO}]}})
    assert (event.kind, event.name, event.text) == ("item", kind, "Box")
    assert [choice.label for choice in event.choices] == ["Go"]


def test_the_buttons_of_a_carousel_tell_its_cards_apart():
    cards = [
        {"title": "Box", "buttons": [{"name": "Take", "request": GO}]},
        {"buttons": [{"name": "None", "request": {"type": "path-2"}}]},
        "x",
    ]
    event = one({"type": "carousel", "payload": {"cards": cards}})
    assert (event.kind, event.name, event.text) == ("item", "carousel", "Box")
    assert [(choice.label, choice.prompt.text) for choice in event.choices] == [("Box: Take", "Take"), ("None", "None")]
    assert [choice.prompt.reply for choice in event.choices] == [GO, {"type": "path-2"}]


def test_a_picture_is_a_file_and_any_other_visual_an_item():
    image = one({"type": "visual", "payload": {"visualType": "image", "image": "https://x.example/a.png"}})
    assert (image.kind, image.name) == ("file", "image")
    other = one({"type": "visual", "payload": {"visualType": "apl", "image": None}})
    assert (other.kind, other.name) == ("item", "visual")


def test_chunks_of_the_knowledge_base_are_citations_and_the_query_is_kept():
    chunks = [
        {
            "score": 0.9,
            "documentID": "d1",
            "documentData": {"name": "Times", "url": "https://x.test", "type": "url"},
        },
        {"score": 0.5, "documentID": 7, "documentData": "gone"},
        "x",
    ]
    kept = {"type": "knowledgeBase", "payload": {"chunks": chunks, "query": {"output": "Two days."}}}
    _, trace, first, second = read({"type": "completion-continue", "payload": {"completion": "See:"}}, kept)
    assert (trace.kind, trace.name, trace.data) == ("trace", "knowledgeBase", kept)
    data = {"title": "Times", "url": "https://x.test", "source_type": "url", "at_char": 4, "score": 0.9}
    assert (first.kind, first.name, first.id, first.data) == ("citation", "Times", "d1", data)
    assert (second.kind, second.name, second.id, second.data["score"]) == ("citation", None, None, 0.5)


def test_a_knowledge_base_without_chunks_is_only_a_trace():
    assert one({"type": "knowledgeBase", "payload": {"query": {}}}).kind == "trace"


@pytest.mark.parametrize(
    "kind", ["audio", "block", "channel-action", "debug", "entity-filling", "flow", "goto", "log", "no-reply", "path"]
)
def test_voiceflows_own_traces_are_never_custom_actions(kind):
    trace = {"type": kind, "payload": {"x": 1}, "paths": [{"event": {"type": "done"}}]}
    event = one(trace)
    assert (event.kind, event.name, event.data, event.choices) == ("trace", kind, trace, ())


def test_a_custom_action_waits_for_one_of_its_paths():
    paths = [{"label": "Paid", "event": {"type": "done"}}, {"event": {"type": "failed"}}, {"label": "no event"}, 5]
    event = one({"type": "ext_pay", "payload": {"amount": 3}, "defaultPath": 0, "paths": paths})
    assert (event.kind, event.name, event.data["payload"]) == ("action", "ext_pay", {"amount": 3})
    assert [(choice.label, choice.prompt.reply) for choice in event.choices] == [
        ("Paid", {"type": "done"}),
        ("failed", {"type": "failed"}),
    ]


@pytest.mark.parametrize("more", [{}, {"paths": []}, {"paths": "x"}, {"paths": [5]}, {"defaultPath": 0}])
def test_an_unknown_type_without_paths_is_a_trace(more):
    assert one({"type": "quantum", "payload": "x", **more}).kind == "trace"


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_the_end_of_the_conversation_is_not_the_end_of_the_turn(envelope):
    ended = one({"type": "end"}, envelope=envelope)
    assert (ended.kind, ended.name, ended.id) == ("session", "ended", None)
    (end,) = events("voiceflow", b'event:end\ndata:{"type":"end"}\n\n')
    assert (end.kind, end.data) == ("end", None)


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"event: end\nid: 4\n\n", None),
        (b"event: end\ndata: {}\n\n", None),
        (b"event: end\ndata:\n\n", None),
        (b'event: end\ndata: {"type":"end","turnID":"t"}\n\n', {"type": "end", "turnID": "t"}),
        (b"event: end\ndata: {oops\n\n", {"raw": "{oops"}),
        (b"event: end", None),
    ],
)
def test_the_event_end_ends_the_turn_with_or_without_data(block, data):
    (end,) = events("voiceflow", block)
    assert (end.kind, end.data) == ("end", data)


@pytest.mark.parametrize(
    ("name", "value", "data"),
    [
        ("state", {"type": "state", "state": {"stack": []}}, {"stack": []}),
        ("message", {"type": "state", "state": {"stack": []}}, {"stack": []}),
        ("state", {"stack": []}, {"stack": []}),
        ("trace", {"type": "state", "payload": 1}, {"type": "state", "payload": 1}),
    ],
)
def test_the_state_is_kept_as_a_trace(name, value, data):
    event = one(value, name=name)
    assert (event.kind, event.name, event.data) == ("trace", "state", data)


@pytest.mark.parametrize(
    ("time", "server_ms"),
    [
        (1725899197001, 1725899197001),
        (1725899197001.7, 1725899197001),
        (1720552033, 1720552033000),
        (1720552033.25, 1720552033250),
        (1, 1000),
        (0, None),
        (-5, None),
        (True, None),
        ("1725899197001", None),
        (None, None),
        (10**15, None),
        (10**400, None),
    ],
)
def test_the_servers_clock_is_in_milliseconds_or_in_seconds(time, server_ms):
    trace = {"type": "text", "payload": {"message": "Hi"}, "time": time}
    assert one(trace).server_ms == server_ms


def test_a_number_beyond_a_double_is_no_time():
    (event,) = events("voiceflow", b'event:trace\ndata:{"type":"block","time":1e999}\n\n')
    assert event.server_ms is None


def test_every_event_of_a_trace_has_its_time():
    payload = {"completion": "Hi", "tokens": tokens(1, 1)}
    found = read({"type": "completion-start", "payload": payload, "time": 1725899197144})
    assert [event.server_ms for event in found] == [1725899197144] * 3


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([1], "unknown"),
        ("Hi", "unknown"),
        (5, "unknown"),
        (None, "unknown"),
        ({}, "unknown"),
        ({"payload": {}}, "unknown"),
        ({"type": 5}, "unknown"),
        ({"type": "trace"}, "trace"),
        ({"type": "trace", "trace": "x"}, "trace"),
        ({"type": "trace", "trace": {}}, "unknown"),
        ({"sessionKey": "****"}, "trace"),
        ({"sessionKey": ""}, "unknown"),
        ({"error": "no"}, "error"),
        ({"type": "oops", "error": "no"}, "error"),
        ({"type": "ext_x", "payload": {}, "error": "kept"}, "trace"),
    ],
)
def test_values_of_any_shape_are_read_and_kept(value, kind):
    assert one(value).kind == kind


@pytest.mark.parametrize(
    ("body", "kind", "text", "name"),
    [
        (b'{"code":401,"status":"UNAUTHORIZED","message":"Unauthorized"}', "error", "Unauthorized", "401"),
        (b'{"status":"ok"}', "unknown", "", None),
        (b"{}", "unknown", "", None),
        (b"{oops", "unknown", "", None),
    ],
)
def test_json_instead_of_a_stream_is_an_error_or_kept(body, kind, text, name):
    (event,) = events("voiceflow", body)
    assert (event.kind, event.text, event.name) == (kind, text, name)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (b'event: error\ndata: {"message":"late"}\n\n', "late"),
        (b"event: error\ndata: gone\n\n", "gone"),
        (b"event: error\n\n", ""),
    ],
)
def test_an_error_event_of_a_proxy_is_an_error(block, text):
    (event,) = events("voiceflow", block)
    assert (event.kind, event.text) == ("error", text)


def test_an_event_without_data_is_a_trace_of_its_name():
    (event,) = events("voiceflow", b"event: trace\nid: 1\n\n")
    assert (event.kind, event.name, event.flags) == ("trace", "trace", {"no_data"})


def test_a_trace_that_is_no_json_is_kept_and_the_stream_goes_on():
    bad, good = events("voiceflow", b'event:trace\ndata:{"a":}\n\nevent:trace\ndata:{"type":"block"}\n\n')
    assert (bad.kind, bad.data, bad.flags) == ("unknown", {"raw": '{"a":}'}, {"malformed"})
    assert (good.kind, good.name) == ("trace", "block")


def test_retry_and_keep_alives_say_nothing():
    found = events("voiceflow", b"retry:2000\n\n:\n\nretry:2000\n\n")
    assert [event.kind for event in found] == ["ping"]
