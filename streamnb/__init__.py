"""streamnb: watch, record and time streaming chat APIs in a notebook. Public names, loaded when first used.

Knows names only. Must not import anything heavy: `import streamnb` and `%load_ext streamnb` are free.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from streamnb._version import __version__

if TYPE_CHECKING:
    from streamnb.calibration import calibrate
    from streamnb.client import astream, last, open_stream, recordings, records, replay, run, runs, stream
    from streamnb.client import open_recording as open  # noqa: A004  # streamnb.open, as gzip.open
    from streamnb.collection import Runs
    from streamnb.errors import MissingKeyError, RunError, StreamnbError, UsageError
    from streamnb.events import Event, Outcome
    from streamnb.exchange import read_jsonl, read_parquet
    from streamnb.instrument import aconnect_sse, timed_transport
    from streamnb.racing import race
    from streamnb.results import Run
    from streamnb.widgets import ChatPanel

_PUBLIC = {
    "ChatPanel": "streamnb.widgets",
    "Event": "streamnb.events",
    "MissingKeyError": "streamnb.errors",
    "Outcome": "streamnb.events",
    "Run": "streamnb.results",
    "Runs": "streamnb.collection",
    "RunError": "streamnb.errors",
    "StreamnbError": "streamnb.errors",
    "UsageError": "streamnb.errors",
    "aconnect_sse": "streamnb.instrument",
    "timed_transport": "streamnb.instrument",
    "astream": "streamnb.client",
    "calibrate": "streamnb.calibration",
    "last": "streamnb.client",
    "open": "streamnb.client:open_recording",
    "open_stream": "streamnb.client",
    "race": "streamnb.racing",
    "read_jsonl": "streamnb.exchange",
    "read_parquet": "streamnb.exchange",
    "recordings": "streamnb.client",
    "records": "streamnb.client",
    "replay": "streamnb.client",
    "run": "streamnb.client",
    "runs": "streamnb.client",
    "stream": "streamnb.client",
}
_MODULES = frozenset(
    {
        "analysis",
        "calibration",
        "errors",
        "exchange",
        "events",
        "providers",
        "redaction",
        "tables",
        "testing",
        "transcript",
        "wire",
    }
)

__all__ = [
    "ChatPanel",
    "Event",
    "MissingKeyError",
    "Outcome",
    "Run",
    "RunError",
    "Runs",
    "StreamnbError",
    "UsageError",
    "__version__",
    "aconnect_sse",
    "astream",
    "calibrate",
    "last",
    "open",
    "open_stream",
    "race",
    "read_jsonl",
    "read_parquet",
    "recordings",
    "records",
    "replay",
    "run",
    "runs",
    "stream",
    "timed_transport",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC, *_MODULES})


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext streamnb`: adds the magics `%%chatstream` and `%chatstream`, nothing else."""
    from streamnb import magics

    magics.load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext streamnb`: removes what loading added."""
    from streamnb import magics

    magics.unload(ipython)
