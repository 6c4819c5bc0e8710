"""One line of a transcript to bytes and back; nothing that was altered or torn passes for whole.

Knows JSON, base64 and CRC-32. Must not know: files, clocks, sockets, what a run means.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from types import ModuleType
from typing import Any, Final
from zlib import crc32

from streamnb.errors import TranscriptError
from streamnb.transcript._lines import CHECKS, LINES, VERSION, CallLine, Line, OtherLine, ReadLine, RunLine, is_int

orjson: ModuleType | None
try:
    import orjson
except ImportError:  # no wheel for this machine
    orjson = None

MAX_LINE: Final = 64 << 20
"""Longest line written or read, in bytes."""

_KINDS: Final = {line: kind for kind, line in LINES.items()}
_FIELDS: Final = {line: dataclasses.fields(line) for line in LINES.values()}
_RARE: Final = frozenset({"side", "setup"})  # written only where they are true
_dumps = json.JSONEncoder(separators=(",", ":")).encode  # ASCII: U+2028 and lone surrogates become escapes
_READ: Final = b'{"t":"read","n":%d,"s":%d,"t_ns":%d,"k_ns":%d,"w":%d,"h":%d,"b":%b,"stamp":"%b","crc":%d}\n'
_quoted = json.encoder.encode_basestring_ascii  # the same for one text, in C


def encode(line: Line) -> bytes:
    """A line as it is appended to the file, with one `write`.

    Args:
        line: its JSON fields hold JSON values; redacted already.

    Returns:
        ASCII bytes; the only LF is the last byte.

    Raises:
        TranscriptError: it is longer than `MAX_LINE`, so nothing would read it again.
        TypeError: a field holds something that is no JSON value.
    """
    if isinstance(line, ReadLine):
        return encode_read(line.n, line.s, line.t_ns, line.k_ns, line.w, line.h, line.b, line.stamp)
    fields: dict[str, Any] = {"t": _KINDS[type(line)]}
    for field in _FIELDS[type(line)]:
        fields[field.name] = getattr(line, field.name)
    if isinstance(line, CallLine):
        fields = {name: value for name, value in fields.items() if value or name not in _RARE}
    return _bounded(_dumps(fields).encode("ascii") + b"\n")


def encode_read(  # noqa: PLR0913, PLR0917  # the fields of `ReadLine`, without making one: this is done for every read
    n: int, s: int, t_ns: int, k_ns: int | None, w: int, h: int, b: bytes, stamp: str
) -> bytes:
    """The line of a read, as `encode` of a `ReadLine` gives it; the arguments are its fields."""
    if orjson is not None and k_ns is not None and b.isascii():  # nearly every read, and the quickest way
        quoted = orjson.dumps(b.decode())
        values = n, s, t_ns, k_ns, w, h, quoted, stamp.encode(), crc32(b)
        return _bounded(_READ % values)
    try:
        payload = _quoted(b.decode())
    except UnicodeDecodeError:
        payload = _dumps(readable(b))
    kernel = "" if k_ns is None else f',"k_ns":{k_ns}'
    return _bounded(
        f'{{"t":"read","n":{n},"s":{s},"t_ns":{t_ns}{kernel},"w":{w},"h":{h},"b":{payload},"stamp":"{stamp}",'
        f'"crc":{crc32(b)}}}\n'.encode("ascii")
    )


def _bounded(line: bytes) -> bytes:
    if len(line) > MAX_LINE:
        raise TranscriptError(f"a line of {len(line)} bytes is longer than a transcript may hold ({MAX_LINE}).")
    return line


def readable(data: bytes) -> str | dict[str, str]:
    """Bytes as a JSON value: text if they are UTF-8, else `{"base64": ...}`."""
    try:
        return data.decode()
    except UnicodeDecodeError:  # also when a read ends inside a character
        return {"base64": base64.b64encode(data).decode("ascii")}


def decode(line: bytes) -> Line | OtherLine:
    """Read one line.

    Args:
        line: with or without its line end (LF or CR LF).

    Returns:
        The line; fields it does not know are ignored, a type it does not know is an `OtherLine`.

    Raises:
        TranscriptError: torn, foreign, altered (CRC), too long, or of a later version of the format.
    """
    if len(line) > MAX_LINE:
        raise TranscriptError(f"{len(line)} bytes are longer than a transcript's line may be ({MAX_LINE}).")
    try:
        fields = json.loads(line.decode())
    except (ValueError, RecursionError):  # ValueError: not UTF-8, not JSON, a number of more than 4300 digits
        raise TranscriptError("this is not a whole line of JSON.") from None
    kind = fields.get("t") if isinstance(fields, dict) else None
    if not isinstance(kind, str):
        raise TranscriptError('this is JSON, but no line of a transcript: it has no type "t".')
    if kind not in LINES:
        return OtherLine(kind)
    return _typed(LINES[kind], kind, fields)


def _typed(cls: type[Line], kind: str, fields: dict[str, Any]) -> Line:
    if cls is RunLine:
        _check_version(fields.get("v"))
    if cls is ReadLine:
        fields["b"] = _payload(fields.get("b"), fields.get("crc"))
    values: dict[str, Any] = {}
    for field in _FIELDS[cls]:
        if field.name not in fields and _has_default(field):
            continue
        value: Any = fields.get(field.name)
        if not CHECKS[str(field.type)](value):
            raise TranscriptError(f"{field.name!r} of this {kind} line is missing or is not {field.type}.")
        values[field.name] = [(name, text) for name, text in value] if field.type == "Headers" else value
    return cls(**values)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _check_version(version: Any) -> None:
    if not is_int(version) or version < 1:
        raise TranscriptError("the run line has no format version: this is not a transcript of streamnb.")
    if version > VERSION:
        raise TranscriptError(f"format {version} is newer than this streamnb reads ({VERSION}): upgrade streamnb.")


def unreadable(value: Any) -> bytes:
    """The bytes that `readable` was given.

    Raises:
        TypeError: it is neither text nor base64.
        ValueError: a lone surrogate, or bad base64: no encoder of ours wrote it.
    """
    match value:
        case str():
            return value.encode()
        case {"base64": str(text)}:
            return base64.b64decode(text, validate=True)
        case _:
            raise TypeError


def _payload(value: Any, crc: Any) -> bytes:
    try:
        data = unreadable(value)
    except TypeError:
        raise TranscriptError("this read line has no bytes.") from None
    except ValueError:
        raise TranscriptError("the bytes of this read line cannot be decoded.") from None
    if crc32(data) != crc:
        raise TranscriptError("the bytes of this read line are not those that were written (CRC-32 differs).")
    return data
