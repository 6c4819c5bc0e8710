"""`streamnb recordings export`: runs as files for other tools, whole or not at all.

Knows which formats there are. Must not know: what a table holds, how a file is put in place.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from streamnb.commands import chosen
from streamnb.commands.printing import Pages, say, say_json
from streamnb.errors import UsageError
from streamnb.shelf import Recording

_PAGE = """\
Write runs into a directory. As jsonl (JSON Lines) or parquet (needs the extra
`parquet`): the tables runs, calls, chunks, events and citations, a file each,
the runs one below the other; of a single list of records its rows, too. As
transcript: the run files themselves.

Files are written whole or not at all, readable by you alone: prompts and
answers are in them.
"""
_EXAMPLES = """\
examples:
  streamnb recordings export 3f9a1c --to data
  streamnb recordings export 3f9a1c 7b20de --to data --format parquet
  streamnb recordings export 3f9a1c --to bug-report --format transcript
"""
_FORMATS = ("jsonl", "parquet", "transcript")


def add(commands: Any) -> None:
    """Add `export` to the parser."""
    parser = commands.add_parser("export", description=_PAGE, epilog=_EXAMPLES, formatter_class=Pages)
    parser.add_argument("names", nargs="+", metavar="RUN", help="run id, its beginning or end, or a path")
    parser.add_argument("--to", required=True, metavar="DIR", help="where to; made if it is not there")
    parser.add_argument("--format", choices=_FORMATS, default=_FORMATS[0], help="what to write (%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: the files written")
    parser.set_defaults(run=_export)


def _export(words: argparse.Namespace) -> int:
    found = chosen.find_each(words.names)
    chosen.refuse_running(found)
    try:
        if words.format == "transcript":
            files = _copied(found, Path(words.to), overwrite=words.overwrite)
        else:
            files = _tables(found, words.to, words.format, overwrite=words.overwrite)
    except UsageError as error:
        raise UsageError(str(error).replace("pass overwrite=True", "add --overwrite")) from None
    for path in files:
        if words.json:
            say_json({"format": words.format, "path": str(path)})
        else:
            say(str(path))
    return 0


def _tables(found: Sequence[Recording], to: str, kind: str, *, overwrite: bool) -> list[Path]:
    from streamnb import client, exchange

    runs = [client.open_recording(one.path) for one in found]
    frames = exchange.frames_of(runs[0]) if len(runs) == 1 else exchange.concatenated(runs)
    write = exchange.write_parquet if kind == "parquet" else exchange.write_jsonl
    return write(frames, to, overwrite=overwrite)


def _copied(found: Sequence[Recording], to: Path, *, overwrite: bool) -> list[Path]:
    from streamnb.exchange import Writer, publish

    files: dict[Path, Writer] = {}
    for one in found:
        place = to / one.path.name  # never a name that the file itself says
        if place in files:
            raise UsageError(f"two of these runs would be {place}: export them one by one.")
        files[place] = partial(_copy, one.path)
    return publish(files, overwrite=overwrite)


def _copy(source: Path, file: IO[bytes]) -> None:
    with source.open("rb") as opened:
        shutil.copyfileobj(opened, file)
