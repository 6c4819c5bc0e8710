"""`streamnb recordings list` and `show`: what is on the shelf, and one run in words.

Knows recordings and runs. Must not know: how a run came about; `list` loads neither pandas nor httpx.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from streamnb.commands import chosen, export, remove
from streamnb.commands.printing import Pages, note, say, say_json, table
from streamnb.display.figures import figures, outcome_words
from streamnb.events import Outcome

if TYPE_CHECKING:
    from streamnb.results import Run

_PAGE = """\
The runs that were recorded on this machine. They lie in the user data
directory; the environment variable STREAMNB_RECORDINGS names another.

  list         what there is, newest last
  show RUN     one run: what was asked, how it ended, figures, calls, text
  rm RUN       remove some from the disk
  export RUN   copy some into a directory: parquet, jsonl or as they are

RUN is a run id, the beginning or the end of one that no other run has, or the
path of a run file.
"""
_EXAMPLES = """\
examples:
  streamnb recordings list -n 10
  streamnb recordings list --target oliver --outcome http_error --since 7d
  streamnb recordings show 3f9a1c
  streamnb recordings export 3f9a1c --to data --format parquet
  streamnb recordings rm --older-than 30d --dry-run
"""
_LIST_PAGE = "List the recordings, newest last."
_LIST_EXAMPLES = """\
examples:
  streamnb recordings list -n 10
  streamnb recordings list --target oliver --outcome http_error --since 7d
  streamnb recordings list --json | jq -r .path
"""
_SHOW_PAGE = """\
Show one run: what was asked of whom, how it ended, its figures, its calls, its
text.
"""
_SHOW_EXAMPLES = """\
examples:
  streamnb recordings show 20260331-143000-3f9a1c
  streamnb recordings show 3f9a1c --json | jq .ttft_s
"""


def add(commands: Any) -> None:
    """Add `recordings` and its own commands to the parser."""
    name, usage = "streamnb recordings", "%(prog)s ACTION ..."
    page = commands.add_parser("recordings", usage=usage, description=_PAGE, epilog=_EXAMPLES, formatter_class=Pages)
    own = page.add_subparsers(prog=name, metavar="ACTION", required=True, help=argparse.SUPPRESS)
    _add_list(own)
    _add_show(own)
    remove.add(own)
    export.add(own)


def _add_list(own: Any) -> None:
    parser = own.add_parser("list", description=_LIST_PAGE, epilog=_LIST_EXAMPLES, formatter_class=Pages)
    parser.add_argument("--target", action="append", metavar="TARGET", help="runs of this target; may be repeated")
    outcomes = [*(outcome.value for outcome in Outcome), chosen.RUNNING]
    shown = ", ".join(outcomes)
    add = parser.add_argument
    add("--outcome", action="append", metavar="OUTCOME", choices=outcomes, help=f"runs that ended so: {shown}")
    parser.add_argument(
        "--since", type=chosen.since, metavar="DATE", help="runs from then on: 2026-03-31, 2026-03-31T14:30, or 7d ago"
    )
    parser.add_argument("-n", type=_number, metavar="N", dest="most", help="the latest N of them")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    parser.set_defaults(run=_list)


def _add_show(own: Any) -> None:
    parser = own.add_parser("show", description=_SHOW_PAGE, epilog=_SHOW_EXAMPLES, formatter_class=Pages)
    parser.add_argument("name", metavar="RUN", help="run id, its beginning or end, or a path")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of words")
    parser.set_defaults(run=_show)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"a number from 1 is wanted, not {text!r}")
    return int(text)


def _list(words: argparse.Namespace) -> int:
    found = [
        one
        for one in chosen.every()
        if (words.target is None or one.target in words.target)
        and (words.outcome is None or one.outcome in words.outcome)
        and (words.since is None or one.started_ns >= words.since * 1e9)
    ]
    found = found[-words.most :] if words.most else found
    if words.json:
        for one in found:
            say_json(chosen.values(one))
    elif found:
        say(*chosen.described(found, heads=True))
    else:
        from streamnb import settings

        note(f"no recordings of that kind in {settings.recordings_dir()}")
    return 0


def _show(words: argparse.Namespace) -> int:
    from streamnb import client

    run = client.open_recording(chosen.path_of(words.name))
    if words.json:
        from streamnb.commands.running import document, rows

        say_json({**document(run), "prompt": run.prompt.text, "calls": rows(run.calls)})
    else:
        asked = "\n".join(f"> {text}" for text in run.prompt.text.splitlines())
        parts = ("\n".join(part) for part in (_head(run), _figures(run), _calls(run)))
        say("\n\n".join(part for part in (*parts, asked, run.text) if part))
    return 0


def _head(run: Run) -> list[str]:
    shown = {
        "run": run.run_id,
        "started": chosen.local(run.recorded.info.started_ns),
        "target": run.header().title,
        "file": run.path,
        "session": run.session_id,
        "outcome": outcome_words(run.outcome) if run.outcome else chosen.RUNNING,
        "error": run.error,
        "warning": run.warning,
    }
    return [f"{name:<9}{' '.join(str(value).split())}" for name, value in shown.items() if value is not None]


def _figures(run: Run) -> list[str]:
    return table(("figure", "value"), ((one.label, one.value) for one in figures(run.final().summary)))[1:]


def _calls(run: Run) -> list[str]:
    from streamnb.commands.running import rows

    names = ("name", "status", "connect_s", "headers_s", "first_byte_s", "reused")
    calls = [[call[name] for name in names] for call in rows(run.calls)]
    return table(("call", *names[1:]), calls) if calls else []
