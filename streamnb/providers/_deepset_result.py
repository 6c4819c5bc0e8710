"""deepset's result: the answer, its documents as citations, its token counts (WIRE.md 5.3).

Knows `DeepsetCloudQueryResponse` in its two forms. Must not know: frames, calls, sockets, clocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from streamnb.events import Event

_Value = Mapping[str, Any]
_TITLES: Final = ("file_name", "title", "name")
_URLS: Final = ("url", "source_url", "uri")  # a document's meta is the user's own: no name is sure
_GROUNDED: Final = "grounded"


def normalized(value: Any) -> dict[str, Any] | None:
    """The one result: the batch form `{"results": [{...}]}` laid open, None when the value is no object.

    A stream answers one query, so that the batch has one result. Should it have more, they stay under `results`.
    """
    if not isinstance(value, dict):
        return None
    results = value.get("results")
    results = results if isinstance(results, list) else []
    if not results or not isinstance(results[0], dict):
        return dict(value)
    first = {key: one for key, one in results[0].items() if one is not None}
    outer = value if len(results) > 1 else {key: one for key, one in value.items() if key != "results"}
    return {**outer, **first}


def result_events(value: Any, said: str, reason: str | None) -> Iterator[Event]:
    """Citations, token counts, and the `end` event that holds the result.

    Args:
        value: what stands under `result`.
        said: the text streamed so far: positions in the answer hold only where the answer is (the end of) it.
        reason: the last finish reason of the stream, the name of the `end` event.
    """
    result = normalized(value)
    answers = objects(result, "answers")
    answer = answers[0] if answers else {}
    text, meta = answer.get("answer"), answer.get("meta")
    text, meta = text if isinstance(text, str) else "", meta if isinstance(meta, dict) else {}
    yield from _citations(objects(result, "documents"), answers, _shift(text, said))
    usage = usage_event(meta)  # no page says that it is there: read where the generator supplies it
    if usage is not None:
        yield usage
    yield Event("end", text, name=reason or string(meta.get("finish_reason")), data=value if result is None else result)


def usage_event(meta: _Value) -> Event | None:
    """The token counts in the meta of a piece or of an answer, as Haystack's generators put them there."""
    usage = meta.get("usage")
    if not isinstance(usage, dict):
        return None
    tokens_in = _count(usage, "prompt_tokens", "input_tokens")
    tokens_out = _count(usage, "completion_tokens", "output_tokens")
    if tokens_in is None and tokens_out is None:
        return None
    return Event("usage", data={"tokens_in": tokens_in, "tokens_out": tokens_out, "usage": "last", "raw": usage})


def objects(value: _Value | None, key: str) -> list[dict[str, Any]]:
    """The objects of a list that may be missing or null."""
    items = None if value is None else value.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def string(value: Any) -> str | None:
    """A string that says something, else None."""
    return value if isinstance(value, str) and value else None


def identifier(value: _Value, *keys: str) -> str | None:
    """The first of these fields that holds an id."""
    return next((found for found in (string(value.get(key)) for key in keys) if found is not None), None)


def _citations(documents: list[dict[str, Any]], answers: list[dict[str, Any]], shift: int | None) -> Iterator[Event]:
    """Every document once: those of the result first, then those that only an answer names."""
    places = _places(answers[0], shift) if answers and shift is not None else {}
    seen: set[str] = set()
    for document in documents:
        ident = string(document.get("id"))
        if ident not in seen:
            yield _citation(document, ident, places)
        if ident is not None:
            seen.add(ident)
    for ident in _named(answers):
        if ident not in seen:
            seen.add(ident)
            yield _citation({}, ident, places)


def _citation(document: _Value, ident: str | None, places: Mapping[str, int]) -> Event:
    meta, file = document.get("meta"), document.get("file")
    meta, file = meta if isinstance(meta, dict) else {}, file if isinstance(file, dict) else {}
    title = identifier(meta, *_TITLES) or string(file.get("name"))
    data: dict[str, Any] = {
        "title": title,
        "url": identifier(meta, *_URLS),
        "source_type": string(meta.get("source_type")) or "document",
        "score": document.get("score"),
        "at_char": places.get(ident) if ident is not None else None,
    }
    return Event("citation", name=title, id=ident, data={key: one for key, one in data.items() if one is not None})


def _named(answers: list[dict[str, Any]]) -> Iterator[str]:
    """The ids of the documents that answers name, in their order."""
    for answer in answers:
        many = answer.get("document_ids")
        ids = [answer.get("document_id"), *(many if isinstance(many, list) else [])]
        ids += [reference.get("document_id") for reference in _references(answer)]
        yield from (ident for ident in ids if isinstance(ident, str) and ident)


def _places(answer: _Value, shift: int) -> dict[str, int]:
    """Document -> where the answer first refers to it: behind the words that rest on it.

    deepset's own page shows only the references labelled `grounded`, behind their words; no page lists the labels.
    """
    places: dict[str, int] = {}
    for reference in sorted(_references(answer), key=lambda one: one.get("label") not in (None, _GROUNDED)):
        ident, place = reference.get("document_id"), _count(reference, "answer_end_idx", "answer_start_idx")
        if isinstance(ident, str) and place is not None:
            places.setdefault(ident, place + shift)
    return places


def _references(answer: _Value) -> list[dict[str, Any]]:
    meta = answer.get("meta")
    return objects(meta, "_references") if isinstance(meta, dict) else []


def _shift(answer: str, said: str) -> int | None:
    """Characters streamed before the answer (rendered tool calls); None when the stream said something else."""
    if not said:
        return 0
    return len(said) - len(answer) if said.endswith(answer) else None


def _count(value: _Value, *keys: str) -> int | None:
    numbers = (value.get(key) for key in keys)
    return next((number for number in numbers if type(number) is int and number >= 0), None)
