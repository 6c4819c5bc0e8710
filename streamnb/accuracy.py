"""Accuracy: how late the stamps of this machine were when last measured, kept in a small file in the user's cache.

Knows the machine's name for itself and JSON. Must not know: how lateness is measured, runs, tables.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import platform
import socket
from pathlib import Path
from typing import Any, Final

_FORMAT: Final = 1
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """How late stamps are on this machine, as `streamnb.calibrate` measured it against the built-in simulator.

    Attributes:
        streams: how many ran at once for `n`, `lag_p50_s` and `lag_p99_s`.
        n: pieces that were compared.
        lag_p50_s: median of stamp minus send time, s; pieces that share a read share its stamp. The way through the
            kernel and the server's own way to its socket are in it: an upper bound of what the stamps are late.
        lag_p99_s: its 99th percentile, s: the `measurement_error_s` of later runs.
        median_gap_s: median gap of those streams, s.
        largest_streams: the largest number of streams that was tried, in steps of doubling or more, with a 99th
            percentile below 10 % of the median gap and at most 10 % of the pieces in shared reads; 0: not even one.
        searched: why the search ended there: `lag` (the next size was too late) or `time` (there may be room).
        stamp_source: where the stamps came from: kernel, read.
        machine: where that was: Python, system, cores.
        measured_ns: when, wall clock, ns since 1970.
    """

    streams: int
    n: int
    lag_p50_s: float
    lag_p99_s: float
    median_gap_s: float
    largest_streams: int
    searched: str
    stamp_source: str
    machine: str
    measured_ns: int

    @property
    def measurement_error_s(self) -> float:
        """What a run's summary shows: the 99th percentile, s."""
        return self.lag_p99_s

    def __repr__(self) -> str:
        more = " or more" if self.searched == "time" else ""
        return (
            f"<Calibration: {self.stamp_source} stamps are {self.lag_p50_s * 1e3:.2g} ms late (median), "
            f"{self.lag_p99_s * 1e3:.2g} ms (99th percentile); {self.n} pieces, {self.streams} at once; "
            f"good for {self.largest_streams}{more} streams at once; {self.machine}>"
        )


class _Kept:
    """The last figure of this process, or of the file once that was looked at."""

    looked = False
    last: Calibration | None = None


def known() -> Calibration | None:
    """The last figure for this machine and this Python, since it was started; None if it was never calibrated.

    Runs nothing. The file is read once per process.
    """
    if not _Kept.looked:
        _Kept.looked = True
        _Kept.last = _read(_file())
    return _Kept.last


def measurement_error_s(stamps: str | None = None) -> float:
    """How late stamps are taken to be, s; NaN when nobody measured.

    Args:
        stamps: where those of a run come from (kernel, read); NaN when others were measured: the kernel's are a
            hundred times less late. None: any.
    """
    last = known()
    return last.measurement_error_s if last is not None and stamps in {None, last.stamp_source} else math.nan


def keep(measured: Calibration) -> None:
    """Remember a figure, here and on disk; a disk that refuses it changes nothing."""
    _Kept.looked, _Kept.last = True, measured
    path = _file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"format": _FORMAT, **dataclasses.asdict(measured)}) + "\n", encoding="utf-8")
        new.replace(path)


def forget() -> None:
    """Look at the file again on the next use."""
    _Kept.looked, _Kept.last = False, None


def machine() -> str:
    """This machine in a few words, without its name."""
    words = (platform.python_implementation(), platform.python_version(), platform.system(), platform.machine())
    return f"{' '.join(words)}, {os.cpu_count()} cores"


def _file() -> Path:
    return cache_dir() / f"calibration-{_key()}.json"


def cache_dir() -> Path:
    """Where the file goes: STREAMNB_CACHE, else the user's cache directory."""
    chosen = os.environ.get("STREAMNB_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("streamnb")


@functools.cache
def _key() -> str:
    """This boot of this machine (its name, where it does not count boots) and this Python."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        boot = socket.gethostname()
    said = f"{boot} {platform.python_implementation()} {platform.python_version()}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _read(path: Path) -> Calibration | None:
    """What the file says; None where there is none, or one that this version does not understand."""
    try:
        said: Any = json.loads(path.read_text(encoding="utf-8"))
        if said.pop("format") != _FORMAT:
            return None
        found = Calibration(**said)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    kinds = {field.name: type(getattr(found, field.name)).__name__ for field in dataclasses.fields(found)}
    return found if all(field.type == kinds[field.name] for field in dataclasses.fields(found)) else None
