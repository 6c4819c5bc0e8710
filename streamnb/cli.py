"""The command `streamnb`: finds the command that is meant, and says how it ended in an exit code.

Knows the commands' names. Must not know: how they work; what they do, three lines of Python do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from streamnb._version import __version__
from streamnb.commands import BROKEN_PIPE, FAILED, INTERRUPTED, WRONG, providers, record, recordings, replay
from streamnb.commands.printing import Pages, note
from streamnb.errors import StreamnbError, UsageError

PROMPT: Final = "Why do rivers meander?"
_COLUMNS: Final = (
    "outcome",
    "ttft_s",
    "e2e_s",
    "max_gap_s",
    "tpot_s",
    "n_chunks",
    "n_events",
    "n_bytes",
    "tokens_out",
    "token_source",
)
_PAGE: Final = """\
Watch, record and time streaming chat APIs. In a notebook: %load_ext streamnb,
then %%chatstream. Here:

  demo         stream an answer of the built-in simulator, with its figures
  record       stream an answer of any target, and keep the run in a file
  replay       stream a recording again, at its own pace; nothing is sent
  recordings   list, show, remove and export what was recorded
  providers    the APIs it speaks: their keys, limits and options
  simulate     run the simulator: a real server on loopback that speaks the APIs
"""
_EXAMPLES: Final = """\
examples:
  streamnb demo                                        no key, no network
  streamnb record demo -- "Why do rivers meander?"     keep it in a file
  git diff | streamnb record openai_chat --model M     the prompt from a pipe
  streamnb recordings list -n 10                       what was kept
  streamnb replay 3f9a1c                               once more, at its pace
  streamnb providers                                   the APIs and their keys

`streamnb COMMAND --help` tells the rest.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _command(words)
        finally:
            sys.stdout.flush()  # here, where somebody hears of a broken pipe
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _hush()
        return BROKEN_PIPE
    except StreamnbError as error:
        note(f"{_called(words)}: {error}")
        return WRONG if isinstance(error, UsageError) else FAILED
    except OSError as error:
        note(f"{_called(words)}: {error}")
        _hush()
        return FAILED


def _called(words: Sequence[str]) -> str:
    return " ".join(("streamnb", *words[:1]))


def _command(words: list[str]) -> int:
    if words and words[0] in _FREE:
        return _FREE[words[0]](words[1:])
    parser = _parser()
    if not words:
        parser.print_help()
        return WRONG
    found = parser.parse_args(words)
    return int(found.run(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamnb", usage="%(prog)s COMMAND ...", description=_PAGE, epilog=_EXAMPLES, formatter_class=Pages
    )
    parser.add_argument("--version", action="version", version=f"streamnb {__version__}")
    commands = parser.add_subparsers(prog="streamnb", metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    page = "Stream an answer of the built-in simulator, and show where the time went."
    demo = commands.add_parser("demo", description=page, formatter_class=Pages)
    demo.add_argument("prompt", nargs="?", default=PROMPT, help="what to ask it")
    demo.set_defaults(run=lambda found: _demo(found.prompt))
    for free in _FREE:  # named, for the message about a command that does not exist
        commands.add_parser(free, add_help=False)
    for command in (replay, recordings, providers):
        command.add(commands)
    return parser


def _simulate(words: Sequence[str]) -> int:
    try:
        return subprocess.call([sys.executable, "-m", "streamnb.simulator", *words])  # noqa: S603  # our own module
    except KeyboardInterrupt:
        return INTERRUPTED


def _demo(prompt: str) -> int:
    from streamnb import client

    run = client.stream("demo", prompt, display="plain", record=False)
    print()
    print(run.summary.loc[:, list(_COLUMNS)].T.to_string(header=False))
    return 0 if run.ok else FAILED


def _hush() -> None:
    """What cannot be written goes nowhere: the interpreter would try again when it leaves, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


_FREE: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {"record": record.record, "simulate": _simulate}
"""Commands that read their words themselves: their options are not the command line's."""
