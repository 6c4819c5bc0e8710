"""`streamnb replay`: a recording in the terminal again, at its own pace.

Knows replays. Must not know: sockets, how a run came about.
"""

from __future__ import annotations

import argparse
from typing import Any

from streamnb.commands import chosen
from streamnb.commands.printing import Pages, say_json
from streamnb.options import speed

_PAGE = """\
Stream a recording into the terminal again, at the pace at which it arrived.
Nothing is sent. The exit code is 0 when it was played to its end, however the
recorded run ended.
"""
_EXAMPLES = """\
examples:
  streamnb replay 3f9a1c
  streamnb replay run.jsonl --speed 4
  streamnb replay run.jsonl --speed max --json | jq .ttft_s
"""


def add(commands: Any) -> None:
    """Add `replay` to the parser."""
    parser = commands.add_parser("replay", description=_PAGE, epilog=_EXAMPLES, formatter_class=Pages)
    parser.add_argument("file", metavar="FILE", help="a run file; or a run id, its beginning or end")
    parser.add_argument("--speed", type=speed, default=1.0, metavar="X", help="times the recorded pace, or max (1)")
    parser.add_argument("--json", action="store_true", help="one JSON document at the end instead of the text")
    parser.set_defaults(run=_replay)


def _replay(words: argparse.Namespace) -> int:
    from streamnb import client
    from streamnb.commands.running import document, wait

    path = chosen.path_of(words.file)
    replay = client.Replay(path, words.speed, "none" if words.json else "plain")
    code = wait(replay)  # however the recorded run ended: this one was played
    if words.json:
        say_json(document(replay.run))
    return code
