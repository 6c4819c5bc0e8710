"""One table to CSV for a spreadsheet, in which no text of a model is a formula (S30).

Knows CSV and what spreadsheets do. Must not know: directories, what any column means.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import IO, Any, Final

import numpy as np
import pandas as pd

from streamnb.exchange._shape import is_missing
from streamnb.transcript import readable

# OWASP's list: a spreadsheet passes over white space first, and takes the full-width forms as the narrow ones.
_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r\0\uff0b\uff0d\uff1d\uff20]")


def write(frame: pd.DataFrame, file: IO[bytes], *, safe: bool) -> None:
    """Write a table: bytes are text where they are UTF-8, objects and lists are JSON text, a missing value is nothing.

    Args:
        frame: the table; its index is left out.
        file: where to.
        safe: put `'` before what a spreadsheet would calculate.
    """
    text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
    rows = csv.writer(text, lineterminator="\r\n")  # with CR LF as line end, both are quoted inside a cell
    rows.writerow([_cell(str(name), safe=safe) for name in frame.columns])
    rows.writerows([_cell(value, safe=safe) for value in row] for row in frame.itertuples(index=False, name=None))
    text.detach()


def _cell(value: Any, *, safe: bool) -> Any:
    if is_missing(value) or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, (int, float, np.number)):
        return value
    text = _text(value)
    return f"'{text}" if safe and _FORMULA.match(text) else text


def _text(value: Any) -> str:
    match value:
        case bytes():
            said = readable(value)
            return said if isinstance(said, str) else json.dumps(said)
        case pd.Timestamp():
            return value.isoformat()
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)
