"""The words behind `%%chatstream`: split, checked, turned into keywords of `stream`.

Knows option names and their help. Must not know: IPython, how a run is made, values of keys.
"""

from __future__ import annotations

import argparse
import functools
import json
import shlex
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from streamnb.display import MODES
from streamnb.errors import UsageError, did_you_mean
from streamnb.providers import Option
from streamnb.redaction import looks_like_key
from streamnb.settings import PROFILES, companion, options_of, split_target

_USAGE: Final = "%%chatstream TARGET [options], the prompt below it"
_NO_TARGET: Final = f"name a target first: {_USAGE}. The simulator needs no key: %%chatstream demo"
_BELOW: Final = "the prompt goes below the line, other targets before the options, and values with blanks in quotes."
_WIDTH: Final = 79
"""Columns of the help: a terminal, and the pager of a notebook beside its cells, show so many."""


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of leaving."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See %%chatstream?")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        del status
        raise UsageError(message or "see %%chatstream?")


def parse_line(line: str) -> tuple[str, dict[str, Any]]:
    """The target and the keywords of a line that names one run.

    Args:
        line: a target, then options.

    Returns:
        (target, keywords of `streamnb.stream` plus `output`).

    Raises:
        UsageError: an unknown target, option or value, or a key typed in the open (which is not repeated).
    """
    words = _split(line)
    refuse_keys(words)
    if not words or words[0].startswith("-"):
        raise UsageError(_NO_TARGET)
    companion(words[0], sim=False)  # did-you-mean for the target before anything is said about options
    return words[0], _parsed(build_parser(words[0]), words[:1], words[1:])


def parse_cell(line: str) -> tuple[list[str], dict[str, Any]]:
    """The targets and the keywords of a magic line: one run, or a race.

    Args:
        line: what stands behind `%%chatstream`: one or several `TARGET` or `TARGET:MODEL`, then options.

    Returns:
        (targets, keywords). For one run: the target's name alone, and the keywords of `streamnb.stream` plus `output`.
        For a race: the targets as they were typed, and besides the keywords of `streamnb.race`: `repeat`, `seed`.

    Raises:
        UsageError: an unknown target, option or value, or a key typed in the open (which is not repeated).
    """
    words = _split(line)
    refuse_keys(words)
    n = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    targets, behind = words[:n], words[n:]
    if not targets:
        raise UsageError(_NO_TARGET)
    names = [word.partition(":")[0] for word in targets]
    companion(names[0], sim=False)  # did-you-mean for the targets before anything is said about options
    for name in names[1:]:
        _check_another(name)
    parser = build_parser(*names)
    _add_race(parser)
    keywords = _parsed(parser, targets, behind)
    if len(targets) > 1 or keywords.get("repeat", 1) > 1:
        return targets, keywords
    return names, _alone(targets[0], keywords)


def _parsed(parser: argparse.ArgumentParser, targets: Sequence[str], words: Sequence[str]) -> dict[str, Any]:
    found, unknown = parser.parse_known_args(words)
    if unknown:
        raise UsageError(_unknown(parser, targets, unknown[0]))
    return {key: value for key, value in vars(found).items() if value is not None}


def _check_another(name: str) -> None:
    """Whoever wrote the prompt into the line is told so: its first word is no target."""
    try:
        companion(name, sim=False)
    except UsageError as error:
        raise UsageError(f"{error} Only targets stand there: {_BELOW}") from None


def _alone(typed: str, keywords: dict[str, Any]) -> dict[str, Any]:
    """One run: the model behind the colon is its model, and there is nothing to repeat or to shuffle."""
    keywords.pop("repeat", None)
    if "seed" in keywords:
        raise UsageError(
            "--seed shuffles who starts first in a race: name several targets, or --repeat N. The simulator's is "
            "--pace seed=N."
        )
    _, model = split_target(typed)
    if model is not None and "model" in keywords:
        raise UsageError(f"{typed} names its model already: leave --model out.")
    return keywords if model is None else {**keywords, "model": model}


def refuse_keys(words: Sequence[str]) -> None:
    """Refuse a key in the open: cells are saved, logged and shared (SAFETY S10).

    Raises:
        UsageError: one word looks like a key; it is not repeated.
    """
    for word in words:
        if any(looks_like_key(part) for part in (word, word.partition("=")[2], word.partition(":")[2]) if part):
            raise UsageError(
                "that looks like a key, and cells are saved and shared: nothing was sent. Put it in the environment "
                "and name the variable: --key-env NAME. If the key is real, it now stands in this notebook: replace it."
            )


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the options cannot be read ({error}): close every quote.") from None


def _unknown(parser: argparse.ArgumentParser, targets: Sequence[str], word: str) -> str:
    if not word.startswith("-"):
        return f"{word!r} is one word too many: {_BELOW}"
    name = word.partition("=")[0]
    known = [flag for action in parser._actions for flag in action.option_strings]  # noqa: SLF001  # no public list
    who = f"none of {', '.join(targets)} has an" if len(targets) > 1 else f"{targets[0]} has no"
    meant = did_you_mean(name, known)
    body = "" if meant.endswith("?") else " A field of the request's body goes into --param NAME=VALUE."
    return f"{who} option {name}.{meant}{body}"


def parse_replay(line: str) -> tuple[str, dict[str, Any]]:
    """The source and the options behind `%chatstream replay`.

    Returns:
        (path or variable, `speed`, `display`, `output`).

    Raises:
        UsageError: what does not fit.
    """
    parser = _Parser(prog="%chatstream replay", add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS)
    parser.add_argument("source", metavar="FILE")
    parser.add_argument("--speed", type=speed, default=1.0)
    parser.add_argument("--display", choices=MODES)
    parser.add_argument("-o", "--output", type=_name)
    found, unknown = parser.parse_known_args(_split(line)[1:])
    if unknown:
        raise UsageError(_unknown(parser, ["replay"], unknown[0]))
    values = vars(found)
    return values.pop("source"), values


def build_parser(*targets: str | None) -> argparse.ArgumentParser:
    """The parser for the options of targets: the common ones, and those of their providers."""
    parser = _Parser(
        prog="%%chatstream TARGET",
        add_help=False,
        allow_abbrev=False,
        usage=argparse.SUPPRESS,
        formatter_class=functools.partial(argparse.HelpFormatter, width=_WIDTH),
    )
    common = parser.add_argument_group("for every target")
    add = common.add_argument
    add("--model", metavar="M", help="model name, where the API has one")
    add("--system", metavar="S", help="system prompt; quote it")
    add("-o", "--output", metavar="NAME", type=_name, help="variable that gets the run (also when it failed)")
    add("--base-url", metavar="URL", help="another host that speaks this API")
    add("--key-env", metavar="NAME", help="environment variable that holds the key")
    add(
        "--param", metavar="K=V", action=_Pair, dest="params", help="field for the request body; V is JSON if it parses"
    )
    add("--continue", action="store_const", const=True, dest="after", help="go on in the session of the last run")
    add("--press", metavar="LABEL", help="press a button that the last run offered")
    add("--tool", metavar="NAME=FUNCTION", action=_Tool, dest="tools", help="a function of yours the model may call")
    add("--display", choices=MODES, help="how to show it")
    add("--background", action="store_const", const=True, help="do not wait: the cell ends, the panel goes on")
    clock = "the vendor's limit + 15, else"
    add("--timeout", metavar="S", type=_seconds, help=f"seconds for the whole run ({clock} none)")
    add("--timeout-first", metavar="S", type=_seconds, help="seconds until the first data (300)")
    add("--timeout-idle", metavar="S", type=_seconds, help=f"seconds between data, keep-alives apart ({clock} 120)")
    add("--no-record", action="store_const", const=False, dest="record", help="write no run file")
    add("--allow-http", action="store_const", const=True, help="send the key over plain http to another host")
    add("--proxy", metavar="URL", help="an HTTP proxy; those of the environment are not asked")
    add("--ca", metavar="FILE", help="certificates to trust instead of the usual authorities")
    add("--uds", metavar="PATH", help="a unix socket on which the server listens")
    add("--http2", action="store_const", const=True, help="offer HTTP/2 to the server (https only)")
    add("--transport", metavar="auto|direct|httpcore", help="what carries it (auto: our own HTTP/1.1 where it can)")
    off = "leave the kernel's receive stamps off"
    add("--no-kernel-stamps", action="store_const", const=False, dest="kernel_stamps", help=off)
    apart = "capture in a process of its own, which no cell holds up"
    add("--isolate", action="store_const", const=True, help=apart)
    when = "when to understand what arrives (auto: at once; from 64 runs on later)"
    add("--parse", metavar="auto|arrival|deferred", help=when)
    add("--sim", action="store_const", const=True, help="use the built-in simulator; your key is not sent")
    add("--scenario", metavar="NAME", help="what the simulator does: stall, error, truncate, http-429, ...")
    add("--pace", metavar="K=V", action=_Pair, help="the simulator's pace: ttft, gap, tokens, seed, ... (seconds)")
    flags: set[str] = set()
    for target in dict.fromkeys(filter(None, targets)):
        own = parser.add_argument_group(f"for {target}")
        for option in options_of(target):
            if option.flag not in flags:  # several have it: each of them checks the value by its own rules
                _add(own, option)
            flags.add(option.flag)
    return parser


def _add_race(parser: argparse.ArgumentParser) -> None:
    race = parser.add_argument_group("for a race: several TARGET or TARGET:MODEL, or --repeat")
    race.add_argument("--repeat", metavar="N", type=_times, help="so many rounds, one after another")
    race.add_argument("--seed", metavar="N", type=_whole, help="shuffles who starts first in each round (0)")


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    if option.type == "bool":
        group.add_argument(option.flag, action="store_const", const=True, dest=option.name, help=option.help)
        return
    kind = json_value if option.type == "json" else str
    metavar = "|".join(option.choices) if option.choices else option.type.upper()
    group.add_argument(option.flag, type=kind, dest=option.name, metavar=metavar, help=option.help)


def json_value(text: str) -> Any:
    """JSON if it parses, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


class _Pair(argparse.Action):
    """`k=v`, gathered into a dict."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        del parser
        key, equals, value = str(values).partition("=")
        if not equals or not key:
            raise UsageError(f"{option_string} wants NAME=VALUE, not {values!r}.")
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), key: json_value(value)})


class _Tool(argparse.Action):
    """`name=function`, or `function` for both, gathered into a dict."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        del parser
        name, _, variable = str(values).partition("=")
        if not name or not (variable or name).isidentifier():
            raise UsageError(f"{option_string} wants NAME=FUNCTION, not {values!r}.")
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), name: variable or name})


def _name(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"a variable name is wanted, not {text!r}")
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"seconds above 0 are wanted, not {text!r}")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a whole number is wanted, not {text!r}") from None


def _times(text: str) -> int:
    n = _whole(text)
    if n < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 is wanted, not {text!r}")
    return n


def speed(text: str) -> float:
    """How fast to replay: a number above 0, or `max`. For argparse."""
    try:
        value = float("inf" if text == "max" else text)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"a number above 0 or max is wanted, not {text!r}")
    return value


def help_text() -> str:
    """What `%%chatstream?` says."""
    targets = "\n".join(f"  {name:<14}{profile.help}" for name, profile in PROFILES.items())
    parser = build_parser()
    _add_race(parser)
    return f"""Send the cell to a streaming chat API and show the answer while it arrives.

{_USAGE}

  %%chatstream demo -o answer
  Why do rivers meander?

Then `answer.text`, `answer.summary`, `answer.events`, `answer.chunks`,
`answer.calls`, `answer.frames`.

targets that need no key:
{targets}
  or a provider: see %chatstream providers;
  add --sim to any of them to use the simulator

{parser.format_help()}
%%chatstream TARGET TARGET:MODEL [--repeat N] [-o NAME]
    the cell to all of them at once: NAME.compare(), NAME.table
%chatstream providers | runs | last
    tables of what there is; the latest run
%chatstream TARGET [options]
    a run without a prompt, where the API allows it
%chatstream replay FILE|RUN [--speed X|max] [-o NAME]
    a recording again, at its own pace; nothing is sent
%config ChatStream
    defaults: display, record, timeouts, and the panel's looks
"""
