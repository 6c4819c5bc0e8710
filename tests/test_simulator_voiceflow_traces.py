from __future__ import annotations

from streamnb.simulator.voiceflow_traces import CARDS, CHOICE, PATHS, TICKET, knowledge, text, trace


def test_a_trace_is_a_type_and_a_payload():
    assert trace("debug", type="kb", message="m") == {"type": "debug", "payload": {"type": "kb", "message": "m"}}


def test_the_slate_of_a_text_has_a_child_for_each_line():
    payload = text("a\n\nb")["payload"]
    assert payload["message"] == "a\n\nb"
    assert payload["slate"]["content"] == [{"children": [{"text": line}]} for line in ("a", "", "b")]
    assert payload["delay"] == payload["slate"]["messageDelayMilliseconds"] == 1000


def test_documents_come_with_a_score_and_an_address():
    payload = knowledge("when?", "now")["payload"]
    assert payload["query"] == {"messages": [{"role": "user", "content": "when?"}], "output": "now"}
    assert [(chunk["score"], chunk["documentData"]["name"]) for chunk in payload["chunks"]] == [
        (0.91, "Shipping"),
        (0.72, "Returns"),
    ]
    assert payload["chunks"][0]["documentData"]["url"] == "https://help.invalid/shipping"


def test_every_button_carries_the_request_that_presses_it():
    buttons = CHOICE["payload"]["buttons"]
    assert [button["request"] for button in buttons] == [
        {"type": "path-7k2parcel", "payload": {"label": "Track a parcel"}},
        {"type": "path-9m4return", "payload": {"label": "Return it"}},
        {"type": "text", "payload": "When are you open?"},
    ]
    cards = [CARDS[1]["payload"], CARDS[2]["payload"], *CARDS[3]["payload"]["cards"]]
    assert {button["request"]["type"] for card in cards for button in card["buttons"]} < set(PATHS)


def test_a_custom_action_tells_the_events_that_go_on():
    assert [path["event"] for path in TICKET["paths"]] == [{"type": "done"}, {"type": "failed"}]
    assert TICKET["defaultPath"] == 0
