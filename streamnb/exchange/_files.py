"""Files put in place whole or not at all: written beside their place, synced, then renamed (S33).

Knows directories and files. Must not know: tables, formats.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Final, TypeAlias

from streamnb.errors import TranscriptError, UsageError
from streamnb.journal import make_private

MAX_BYTES: Final = 4 << 30
"""Largest file written or read, in bytes."""

Writer: TypeAlias = Callable[[IO[bytes]], None]


def publish(files: Mapping[Path, Writer], *, overwrite: bool) -> list[Path]:
    """Write files, mode 0600, and put them in their places when all of them are on the disk.

    Args:
        files: where each goes, and what writes it. Missing directories are made, mode 0700.
        overwrite: replace what stands there.

    Raises:
        UsageError: a file stands there already, or one is larger than `MAX_BYTES`. Nothing was changed.
        OSError: the disk refused; no half file is left.
    """
    if not overwrite:
        _check_free(files)
    beside: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            make_private(path.parent)
            fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            beside[path] = Path(name)
            with os.fdopen(fd, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                if file.tell() > MAX_BYTES:
                    raise UsageError(f"{path} would be larger than it may be ({MAX_BYTES} bytes): write fewer rows.")
        for path, temporary in beside.items():
            temporary.replace(path)
    finally:
        for temporary in beside.values():
            temporary.unlink(missing_ok=True)
    for directory in {path.parent for path in files}:
        _sync(directory)
    return list(files)


def _check_free(paths: Iterable[Path]) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise UsageError(f"{path} is there already; pass overwrite=True to replace it.")


def _sync(directory: Path) -> None:
    with contextlib.suppress(OSError):  # Windows opens no directory
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def found(directory: Path, suffix: str) -> dict[str, Path]:
    """The files of a directory that hold tables, by the table's name.

    Raises:
        UsageError: there are none.
    """
    paths = sorted(path for path in directory.glob(f"*{suffix}") if not path.name.startswith("."))
    if not paths:
        raise UsageError(f"{directory} holds no {suffix} file.")
    return {path.name.removesuffix(suffix): path for path in paths}


def check_size(path: Path) -> None:
    """Refuse a file larger than this package writes one."""
    n_bytes = path.stat().st_size
    if n_bytes > MAX_BYTES:
        raise TranscriptError(f"{path}: {n_bytes} bytes are more than such a file may have ({MAX_BYTES}).")
