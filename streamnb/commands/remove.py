"""`streamnb recordings rm`: run files taken off the disk, never by accident.

Knows recordings and how to ask. Must not know: what is in them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from streamnb.commands import FAILED, chosen
from streamnb.commands.printing import Pages, note, say, say_json, size
from streamnb.errors import UsageError
from streamnb.shelf import Recording

_PAGE = """\
Remove recordings: those named, or all above an age. It asks first; where there
is no terminal to ask on, it wants --yes. A run that still runs is not removed.
"""
_EXAMPLES = """\
examples:
  streamnb recordings rm 3f9a1c
  streamnb recordings rm --older-than 30d --dry-run
  streamnb recordings rm --older-than 30d --yes
"""


def add(commands: Any) -> None:
    """Add `rm` to the parser."""
    parser = commands.add_parser("rm", description=_PAGE, epilog=_EXAMPLES, formatter_class=Pages)
    parser.add_argument("names", nargs="*", metavar="RUN", help="run id, its beginning or end, or a path")
    parser.add_argument("--older-than", type=chosen.age, metavar="AGE", help="all that began so long ago: 12h, 30d, 2w")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: what was removed")
    parser.set_defaults(run=_remove)


def _remove(words: argparse.Namespace) -> int:
    found = _meant(words)
    if not found:
        note("nothing to remove")
        return 0
    if not (words.yes or words.dry_run) and not _agreed(found):
        note("nothing was removed")
        return FAILED
    gone = [words.dry_run or _unlinked(one) for one in found]
    for one, done in zip(found, gone, strict=True):
        if words.json:
            say_json({"run_id": one.run_id, "path": str(one.path), "removed": done and not words.dry_run})
        elif done:
            say(f"{'would remove' if words.dry_run else 'removed'} {one.path}")
    return 0 if all(gone) else FAILED


def _meant(words: argparse.Namespace) -> list[Recording]:
    if words.names and words.older_than is not None:
        raise UsageError("name the runs or an age, not both.")
    if words.names:
        found = chosen.find_each(words.names)
        chosen.refuse_running(found)
        return found
    if words.older_than is None:
        raise UsageError("name the runs, or an age: --older-than 30d. See: streamnb recordings list")
    before_ns = time.time_ns() - words.older_than * 1e9
    return [one for one in chosen.every() if one.started_ns < before_ns and one.outcome != chosen.RUNNING]


def _agreed(found: Sequence[Recording]) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{_counted(found)} would be removed, and nobody is here to ask: add --yes, or --dry-run.")
    for text in chosen.described(found):
        note(text)
    sys.stderr.write(f"Remove {_counted(found)}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _counted(found: Sequence[Recording]) -> str:
    total = size(sum(one.n_bytes for one in found))
    return f"{len(found)} recording{'s' if len(found) > 1 else ''} ({total})"


def _unlinked(one: Recording) -> bool:
    try:
        one.path.unlink(missing_ok=True)
    except OSError as error:
        note(f"{one.path} was not removed: {error.strerror}")
        return False
    return True
