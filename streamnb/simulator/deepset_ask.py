"""What a query to a deepset pipeline asks for, and the two forms of error body for what is wrong with it.

Knows the request's fields and checks. Must not know: the answer, sessions, HTTP, sockets.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]

MOST_ROWS: Final = 100
_DEFAULT_ROWS: Final = 10
_MESSAGES: Final = {
    400: "The request is not valid.",
    401: "The API key is missing or not valid.",
    402: "The plan of this organization does not allow this.",
    403: "You may not use this workspace.",
    404: "There is no such pipeline in this workspace.",
    408: "The pipeline took too long to answer.",
    409: "The pipeline is not deployed. Deploy it, then search.",
    413: "The request is too large.",
    429: "Too many requests to this pipeline. Try again later.",
    500: "The server had an error while it ran the pipeline.",
    503: "The pipeline is being rebalanced. Try again later.",
    591: "The pipeline was on standby and is being activated. Try again later.",
}


class AskError(Exception):
    """A request that is refused: the status and the JSON body."""

    def __init__(self, status: int, body: Json | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = error_body(status) if body is None else body


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """One request for answers, checked.

    Attributes:
        queries: what is asked; the streams take one.
        session: the search session of a chat; None for a search.
        result: `include_result`.
        tool_calls: `include_tool_calls`: true, false or "rendered" (unless given: Markdown inside the text).
        tool_results: `include_tool_call_results`.
    """

    queries: tuple[str, ...]
    session: str | None = None
    result: bool = False
    tool_calls: bool | str = "rendered"
    tool_results: bool = False


def error_body(status: int, message: str | None = None) -> Json:
    """Return the error body of a status: FastAPI's `detail` for 422, a list of sentences for all others."""
    if status == 422:  # noqa: PLR2004 - a status
        return _detail(("body",), message or "The request does not fit this pipeline.", "value_error")
    return {"errors": [message or _MESSAGES.get(status, f"Error {status}.")]}


def check_key(authorization: str) -> None:
    """Accept any bearer key but one that starts with `bad`.

    Raises:
        AskError: 401.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or key.startswith("bad"):
        raise AskError(401)


def read_ask(body: bytes, *, chat: bool, stream: bool) -> Ask:
    """Read the body of a query: the streams take one `query`, their twins a list of `queries`; chats a session.

    Raises:
        AskError: 422, as FastAPI answers.
    """
    value = read_object(body)
    calls = value.get("include_tool_calls")
    if not (calls is None or isinstance(calls, bool) or calls == "rendered"):
        raise _invalid(("body", "include_tool_calls"), "Input should be true, false or 'rendered'", "literal_error")
    return Ask(
        queries=(_query(value),) if stream else _queries(value),
        session=read_id(value, "search_session_id") if chat else None,
        result=_flag(value, "include_result"),
        tool_calls="rendered" if calls is None else calls,
        tool_results=_flag(value, "include_tool_call_results"),
    )


def read_object(body: bytes) -> Json:
    """Read a body that must be a JSON object.

    Raises:
        AskError: 422, as FastAPI answers.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(("body", 0), "JSON decode error", "json_invalid") from error
    if not isinstance(value, dict):
        raise _invalid(("body",), "Input should be a valid dictionary", "model_attributes_type")
    return value


def read_id(value: Mapping[str, Any], name: str, where: str = "body") -> str:
    """Read a mandatory id.

    Raises:
        AskError: 422: it is missing or no UUID.
    """
    found = _given(value, name, where)
    try:
        return str(uuid.UUID(found))
    except (AttributeError, TypeError, ValueError) as error:
        raise _invalid((where, name), "Input should be a valid UUID", "uuid_parsing") from error


def read_rows(query: Mapping[str, Any], name: str, most: int | None = None) -> int | None:
    """Read a whole number from 1 (to `most`) out of the query string; None when it is not there.

    Raises:
        AskError: 422.
    """
    given = query.get(name)
    if given is None:
        return None
    if not re.fullmatch("-?[0-9]{1,9}", given):
        raise _invalid(("query", name), "Input should be a valid integer", "int_parsing")
    if int(given) < 1:
        raise _invalid(("query", name), "Input should be greater than or equal to 1", "greater_than_equal")
    if most is not None and int(given) > most:
        raise _invalid(("query", name), f"Input should be less than or equal to {most}", "less_than_equal")
    return int(given)


def read_limit(query: Mapping[str, Any]) -> int:
    """Return how many rows of a list are wanted: 10 unless given, 100 at most.

    Raises:
        AskError: 422.
    """
    return read_rows(query, "limit", MOST_ROWS) or _DEFAULT_ROWS


def _query(value: Json) -> str:
    query = _given(value, "query")
    if not isinstance(query, str):
        raise _invalid(("body", "query"), "Input should be a valid string", "string_type")
    return query


def _queries(value: Json) -> tuple[str, ...]:
    queries = _given(value, "queries")
    if not (isinstance(queries, list) and queries and all(isinstance(query, str) for query in queries)):
        raise _invalid(("body", "queries"), "Input should be a valid list of strings", "list_type")
    return tuple(queries)


def _given(value: Mapping[str, Any], name: str, where: str = "body") -> Any:
    if name not in value:
        raise _invalid((where, name), "Field required", "missing")
    return value[name]


def _flag(value: Json, name: str) -> bool:
    flag = value.get(name)
    if not (flag is None or isinstance(flag, bool)):
        raise _invalid(("body", name), "Input should be a valid boolean", "bool_parsing")
    return flag is True


def _invalid(loc: tuple[str | int, ...], message: str, kind: str) -> AskError:
    return AskError(422, _detail(loc, message, kind))


def _detail(loc: tuple[str | int, ...], message: str, kind: str) -> Json:
    return {"detail": [{"loc": list(loc), "msg": message, "type": kind}]}
