"""deepset's result: its two forms, its documents as citations, where they belong in the answer, its token counts."""

from __future__ import annotations

from typing import Any

import pytest

from streamnb.events import Event
from streamnb.providers._deepset_result import identifier, normalized, objects, result_events, string, usage_event


def cited(documents: Any, answers: Any = (), said: str = "") -> list[Event]:
    result = {"documents": documents, "answers": list(answers)}
    return [event for event in result_events(result, said, None) if event.kind == "citation"]


def answer(text: str = "In pieces.", *references: Any, **more: Any) -> dict[str, Any]:
    return {"answer": text, "meta": {"_references": list(references)}, **more}


def at(ident: str, start: Any = None, end: Any = None, **more: Any) -> dict[str, Any]:
    return {"document_id": ident, "answer_start_idx": start, "answer_end_idx": end, **more}


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"query": "?"}, {"query": "?"}),
        ({"query_id": "q", "results": [{"query": "?", "query_id": None}]}, {"query_id": "q", "query": "?"}),
        ({"query_id": "q", "results": []}, {"query_id": "q", "results": []}),
        ({"results": None}, {"results": None}),
        ({"results": [7]}, {"results": [7]}),
        ({"results": [{"a": 1}, {"a": 2}]}, {"results": [{"a": 1}, {"a": 2}], "a": 1}),
        (None, None),
        ([1], None),
    ],
)
def test_the_batch_form_is_laid_open(value, result):
    assert normalized(value) == result


def test_the_end_holds_the_result_and_the_first_answer():
    result = {"answers": [{"answer": "One"}, {"answer": "Two"}], "prompts": {"llm": "..."}}
    assert list(result_events(result, "One", "stop")) == [Event("end", "One", name="stop", data=result)]


@pytest.mark.parametrize("answers", [None, [], [None], [{"answer": 7, "meta": []}], {}])
def test_a_result_without_an_answer_still_ends_the_stream(answers):
    assert list(result_events({"answers": answers}, "", None)) == [Event("end", data={"answers": answers})]


def test_the_generators_finish_reason_counts_where_the_stream_gave_none():
    result = {"answers": [{"answer": "Hi", "meta": {"finish_reason": "length"}}]}
    assert [next(result_events(result, "Hi", reason)).name for reason in (None, "stop")] == ["length", "stop"]


@pytest.mark.parametrize(
    ("document", "title", "data"),
    [
        ({"meta": {"file_name": "a.md", "title": "A", "name": "a"}}, "a.md", {}),
        ({"meta": {"title": "A", "name": "a"}}, "A", {}),
        ({"meta": {"name": "a"}, "file": {"name": "f"}}, "a", {}),
        ({"meta": {}, "file": {"id": "1", "name": "f"}}, "f", {}),
        ({"meta": {"title": 7}, "file": 7}, None, {}),
        ({"meta": {"url": "https://a.example"}}, None, {"url": "https://a.example"}),
        ({"meta": {"url": "", "source_url": "https://b.example"}}, None, {"url": "https://b.example"}),
        ({"meta": {"uri": "https://c.example", "source_type": "web_page"}}, None, {"url": "https://c.example"}),
        ({"score": 0.0}, None, {"score": 0.0}),
    ],
)
def test_a_document_is_a_citation_with_what_its_meta_says(document, title, data):
    (citation,) = cited([{"id": "d", **document}])
    kind = {"source_type": (document.get("meta") or {}).get("source_type", "document")}
    assert (citation.name, citation.id) == (title, "d")
    assert citation.data == kind | data | ({"title": title} if title else {})


def test_each_document_is_cited_once_also_those_that_only_an_answer_names():
    documents = [{"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": None}, {"id": None}, 7]
    answers = [
        answer("x", at("c"), at("b"), at(""), 7, document_ids=["a", "d", None], document_id="e"),
        answer("y", at("f"), document_ids="a"),
        {"answer": "z", "meta": None, "document_ids": ["d"]},
    ]
    assert [citation.id for citation in cited(documents, answers)] == ["a", "b", None, None, "e", "d", "c", "f"]


@pytest.mark.parametrize(
    ("references", "said", "at_char"),
    [
        ([at("d", 3, 9)], "In pieces.", 9),
        ([at("d", 3)], "In pieces.", 3),
        ([at("d", 3, 9)], "", 9),
        ([at("d", 0, 2), at("d", 3, 9)], "In pieces.", 2),
        ([at("d", 3, 9)], "**tool**\n\nIn pieces.", 19),
        ([at("d", 3, 9)], "Something else", None),
        ([at("d")], "In pieces.", None),
        ([at("d", start=True, end=-1)], "In pieces.", None),
        ([at("d", "3")], "In pieces.", None),
        ([at("x", 3, 9)], "In pieces.", None),
        ([at("d", 3, 9, label="grounded")], "In pieces.", 9),
        ([at("d", 3, 9, label="other")], "In pieces.", 9),
        ([at("d", 0, 2, label=["other"]), at("d", 3, 9, label="grounded")], "In pieces.", 9),
    ],
)
def test_a_reference_says_where_in_the_text_its_document_belongs(references, said, at_char):
    citation = cited([{"id": "d"}], [answer("In pieces.", *references)], said)[0]
    assert citation.data.get("at_char") == at_char


def test_references_of_other_answers_say_nothing_about_the_text():
    (citation,) = cited([{"id": "d"}], [answer("One"), answer("Two", at("d", 0, 3))])
    assert "at_char" not in citation.data


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, (5, 2)),
        ({"input_tokens": 5, "output_tokens": 2}, (5, 2)),
        ({"prompt_tokens": 5}, (5, None)),
        ({"completion_tokens": 0}, (None, 0)),
    ],
)
def test_token_counts_are_read_under_either_name(usage, counts):
    event = usage_event({"usage": usage})
    assert (event.data["tokens_in"], event.data["tokens_out"], event.data["raw"]) == (*counts, usage)
    assert next(result_events({"answers": [{"meta": {"usage": usage}}]}, "", None)) == event


@pytest.mark.parametrize("usage", [None, 7, {}, {"prompt_tokens": None}, {"prompt_tokens": "5"}, {"total_tokens": 7}])
def test_a_usage_without_counts_is_none(usage):
    assert usage_event({"usage": usage}) is None
    assert usage_event({}) is None


def test_what_is_missing_or_of_another_type_reads_as_nothing():
    assert objects(None, "a") == objects({"a": None}, "a") == objects({}, "a") == []
    assert objects({"a": [1, {"b": 2}]}, "a") == [{"b": 2}]
    assert [string(value) for value in ("x", "", None, 7)] == ["x", None, None, None]
    assert identifier({"a": "", "b": "x"}, "a", "b") == "x"
    assert identifier({}, "a") is None
