"""The command `streamnb`: demo and simulate.

Knows the public calls. Must not know: how they work; what it does, three lines of Python do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from streamnb._version import __version__

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["simulate"]:  # its options are its own: a process that outlives nothing, launched by name
        return _simulate(arguments[1:])
    parsed = _parser().parse_args(arguments)
    if parsed.command == "demo":
        return _demo(parsed.prompt)
    _parser().print_help()
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamnb",
        description="Watch, record and time streaming chat APIs. In a notebook: %load_ext streamnb, then %%chatstream.",
    )
    parser.add_argument("--version", action="version", version=f"streamnb {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser("demo", help="stream an answer from the built-in simulator and show where the time went")
    demo.add_argument("prompt", nargs="?", default=PROMPT)
    commands.add_parser(
        "simulate", help="run the simulator: a real server on loopback that speaks the APIs", add_help=False
    )
    return parser


def _simulate(arguments: list[str]) -> int:
    try:
        return subprocess.call([sys.executable, "-m", "streamnb.simulator", *arguments])  # noqa: S603  # our own module
    except KeyboardInterrupt:
        return 130


def _demo(prompt: str) -> int:
    from streamnb import client
    from streamnb.errors import StreamnbError

    try:
        run = client.stream("demo", prompt, display="plain", record=False)
    except StreamnbError as error:
        print(f"streamnb demo: {error}", file=sys.stderr)
        return 1
    print()
    print(run.summary.loc[:, list(_COLUMNS)].T.to_string(header=False))
    return 0 if run.ok else 1
