from __future__ import annotations

import json

import pytest
from chatbotkit_calls import HELLO, KEY, connect, events, kinds, listed
from simulated import FAST, Reply, post, read_until

from streamnb.simulator import chatbotkit_lines as lines
from streamnb.simulator.chatbotkit_lists import NOP_S, Query, page, pages, read, script
from streamnb.simulator.pace import Pace
from streamnb.simulator.scenarios import perform

ROWS = [{"id": f"r{number}", "meta": {"odd": number % 2 == 1, "kind": "k"}} for number in range(137)]


def ids(rows: list[dict[str, object]]) -> list[str]:
    return [str(row["id"]) for row in rows]


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ([], Query(order="asc")),
        ([("cursor", " r3 "), ("order", "desc"), ("take", "7")], Query("r3", "desc", 7)),
        ([("order", "upwards"), ("take", "many"), ("cursor", "")], Query(order="asc")),
        ([("take", " 12 rows")], Query(order="asc", take=12)),
        (
            [("meta.odd", "true"), ("meta[kind]", "k"), ("meta[kind", "k"), ("meta.", "x"), ("meta.empty", "")],
            Query(order="asc", meta=(("odd", True), ("kind", "k"))),
        ),
    ],
)
def test_a_query_is_read_as_the_server_does(parameters, query):
    assert read(parameters, "asc") == query


@pytest.mark.parametrize(
    ("take", "on_a_page", "in_a_stream"),
    [(0, 100, 137), (3, 3, 3), (100, 100, 100), (120, 100, 137), (-5, 1, 1), (1000, 100, 137)],
)
def test_a_page_has_at_most_a_hundred_rows_and_a_stream_whole_pages(take, on_a_page, in_a_stream):
    query = Query(order="asc", take=take)
    assert ids(page(ROWS, query)["items"]) == ids(ROWS[:on_a_page])
    assert ids(pages(ROWS, query)) == ids(ROWS[:in_a_stream])


def test_the_cursor_is_the_last_row_also_when_none_follows():
    assert page(ROWS, Query("r130", "asc"))["cursor"] == "r136"
    assert page(ROWS, Query("r136", "asc")) == page(ROWS, Query("unknown", "asc")) == {"items": []}


def test_rows_behind_the_cursor_are_filtered_the_cursor_itself_is_not():
    found = pages(ROWS, Query("r4", "desc", meta=(("odd", True),)))
    assert ids(found) == ["r3", "r1"]
    assert pages(ROWS, Query(meta=(("odd", "true"),))) == []


def played(media: str, rows: list[dict[str, object]], scenario: str = "ok", **fields: object) -> list[bytes]:
    pace = Pace(tokens=len(rows), **fields)
    return [b"".join(out.blocks) for out in perform(script(rows, media, pace), pace, scenario)]


def test_rows_are_items_in_each_form():
    row = '{"id":"r0","meta":{"odd":false,"kind":"k"}}'
    assert played(lines.JSONL, ROWS[:1]) == [f'{{"type":"item","data":{row}}}\n'.encode()]
    assert played(lines.SSE, ROWS[:1]) == [f"event: item\ndata: {row}\n\n".encode()]
    assert played(lines.CSV, ROWS[:2]) == [b'id,meta\n"r0","[object Object]"\n', b'"r1","[object Object]"\n']
    assert played(lines.CSV, []) == []


def test_rows_come_in_bursts_too():
    assert [block.count(b"item") for block in played(lines.JSONL, ROWS[:5], burst=2)] == [2, 2, 1]


def test_a_long_silence_before_the_first_row_brings_one_nop():
    pace = Pace(tokens=2, ttft=60.0, gap=60.0, gap_dist="constant")
    outs = list(perform(script(ROWS[:2], lines.JSONL, pace), pace, "ok"))
    assert [out.at_s for out in outs] == [NOP_S, 60.0, 120.0]
    assert outs[0].blocks == (b'{"type":"nop","data":{}}\n',)


def test_broken_rows_stand_in_the_middle():
    assert played(lines.JSONL, ROWS[:2], "malformed")[1] == b'{"type":"item","data":{"token":}\n'
    assert b"\xff\xfe" in played(lines.JSONL, ROWS[:2], "bad-utf8")[1]
    assert json.loads(played(lines.JSONL, ROWS[:2], "late")[-1]) == {"type": "result", "data": {"complete": True}}


def sent(reply: Reply) -> list[str]:
    return [event["data"]["id"] for event in events(reply)]


def test_a_list_streams_every_page_and_ends_with_its_body():
    reply = listed()
    assert set(kinds(reply)) == {"item"}
    assert len(set(sent(reply))) == 137
    assert set(events(reply)[0]) == {"type", "data"}
    assert reply.body == listed().body
    assert reply.body != listed(options=f"{FAST},seed=2").body


def test_json_pages_joined_by_their_cursor_are_the_stream():
    found, query = [], ""
    while items := (page := listed(query, headers=KEY).value)["items"]:
        found += [item["id"] for item in items]
        query = f"?cursor={page['cursor']}"
    assert found == sent(listed())
    assert page == {"items": []}


def test_order_take_cursor_and_meta_choose_the_rows():
    everything = sent(listed())
    assert sent(listed("?order=asc")) == everything[::-1]
    assert sent(listed("?take=3")) == everything[:3]
    assert sent(listed(f"?take=2&cursor={everything[4]}")) == everything[5:7]
    urgent = [event["data"] for event in events(listed("?meta.urgent=true"))]
    assert 0 < len(urgent) < 137
    assert all(item["meta"]["urgent"] is True for item in urgent)


def test_a_list_is_paced_so_that_a_client_can_stop():
    with connect("/v1/conversation/list", {}, "ttft=0,gap=3600,gap_dist=constant", method="GET") as wire:
        got = read_until(wire, b"}}\n")
    assert got.count(b'"type":"item"') == 1


def test_a_list_as_a_table_has_a_header_and_quoted_cells():
    rows = listed("?take=2", headers={**KEY, "Accept": "text/csv"}).lines
    first = events(listed("?take=1"))[0]["data"]
    assert rows[0] == "id,name,description,meta,botId,createdAt,updatedAt"
    assert rows[1].startswith(f'"{first["id"]}","{first["name"]}","","[object Object]","bot_support","176')
    assert len(rows) == 4
    assert listed("?meta.topic=none", headers={**KEY, "Accept": "text/csv"}).body == b""


def test_a_list_has_its_scenarios_too():
    assert kinds(listed("?take=2", f"{FAST},scenario=late")) == ["item", "item", "result"]
    assert kinds(listed("?take=4", f"{FAST},scenario=error")) == ["item", "item", "error"]
    assert kinds(listed("?take=4", f"{FAST},scenario=truncate")) == ["item", "item"]
    assert len(listed(options=f"{FAST},scenario=json-200").value["items"]) == 100


def test_the_messages_of_a_listed_conversation_can_be_read_and_grow():
    name = sent(listed("?order=asc&take=2"))[1]
    path = f"/v1/conversation/{name}/message/list"
    before = sent(listed(path=path))
    assert len(before) >= 4
    assert sent(listed("?order=desc&take=1", path=path)) == before[-1:]
    post(f"/v1/conversation/{name}/send", HELLO, FAST, KEY)
    assert len(sent(listed(path=path))) == len(before) + 1
    assert listed(path="/v1/conversation/conv_unheard/message/list").body == b""
