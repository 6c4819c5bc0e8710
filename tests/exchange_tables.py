"""Tables full of what breaks files: for every declared table, and of a user's own shape."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np
import pandas as pd

from streamnb.tables import COLUMNS, build

HALF, JOINED, APART = "\ud83d", "\U0001f600", "\ud83d\ude00"
TEXTS = [
    "plain",
    None,
    HALF,
    APART,
    f"a{JOINED}\u2028b\u0085c",
    r"\ud83d is how JSON writes it, \\ud83d too",
    "",
    "\0\r\n\t\x1b",
    '{"n":123456789012345678901234567890}',
    "\\" + HALF + "\\" + HALF + "ud83d",
]
AWKWARD: dict[str, list[Any]] = {
    "string": TEXTS,
    "int64": [0, -(2**63), 2**63 - 1, 1_700_000_000_123_456_789],
    "Int64": [2**63 - 1, None, -(2**63), 2**53 + 1],
    "float64": [0.1, np.nan, np.inf, -np.inf, 5e-324, 1.7976931348623157e308, 3.0],
    "boolean": [True, None, False],
    "object": [b"", b"\xff\x00", "h\u00e9\u2028".encode(), b"data: x\n\n", b"\xc3"],
    "datetime64[ns, UTC]": [
        pd.Timestamp("2023-11-14T22:13:20.123456789Z"),
        pd.NaT,
        pd.Timestamp("2023-11-14T22:13:20Z"),
        pd.Timestamp.max.tz_localize("UTC"),
    ],
}


def awkward(table: str, n_rows: int = 20) -> pd.DataFrame:
    """A declared table of values that are easily lost."""
    return build(table, {name: list(islice(cycle(AWKWARD[dtype]), n_rows)) for name, dtype in COLUMNS[table].items()})


def declared(n_rows: int = 20) -> dict[str, pd.DataFrame]:
    """Every declared table."""
    return {table: awkward(table, n_rows) for table in COLUMNS}


def objects(*values: Any) -> pd.Series[Any]:
    return pd.Series(list(values), dtype=object)


OWN = {
    "nested": pd.DataFrame(
        {
            "mixed": objects(*[{"a": [1, {"b": None}]}, ["x", JOINED], None, np.nan, 2**70, "text", True, 1.5, {}, []]),
            "lists": objects(*[[n, n + 1] for n in range(10)]),
        }
    ),
    "halves": pd.DataFrame(
        {
            "half": objects({"a": HALF}, [HALF, "\\" + HALF], HALF, r"\ud83d", {"escaped": "x"}, {HALF: APART}),
            "text": objects(HALF, "b", None, r"\ud83d", APART, None),
            "typed": pd.Series([HALF, APART, None, "d", "e", "f"], dtype=pd.StringDtype("python")),
        }
    ),
    "missing": pd.DataFrame(
        {
            "none": objects("a", None),
            "nan": objects("a", np.nan),
            "both": objects(None, np.nan),
            "bytes": objects(b"\xff", None),
            "bytes_nan": objects(b"x", np.nan),
            "only_none": objects(None, None),
            "only_nan": objects(np.nan, np.nan),
        }
    ),
    "three_gaps": pd.DataFrame({"text": objects("a", None, np.nan)}),
    "numbers": pd.DataFrame(
        {
            "int": [1, -(2**63)],
            "unsigned": pd.Series([2**64 - 1, 0], dtype="uint64"),
            "nullable": pd.Series([None, 2**63 - 1], dtype="Int64"),
            "float": [np.nan, 1e300],
            "bool": [True, False],
            "nullable_bool": pd.Series([None, True], dtype="boolean"),
            "moment": pd.Series([pd.NaT, pd.Timestamp(1, tz="UTC")], dtype="datetime64[ns, UTC]"),
        }
    ),
    "inferred": pd.DataFrame([{"id": "a", "n": 1, "tags": ["x"]}, {"id": None, "extra": 1.5, "tags": None}]),
    "names": pd.DataFrame({"a.b": ["x", "y"], "": ["\0", ""], "with space": [1, 2], "\u00fc\u2028": [[1], {}]}),
    "no_rows": pd.DataFrame({"a": pd.Series([], dtype="Int64"), "b": objects(), "c": objects()}),
    "nothing": pd.DataFrame([]),
    "empty_objects": pd.DataFrame([{}, {}]),
}
