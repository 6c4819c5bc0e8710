"""The words behind `%%chatstream`: split, checked, turned into keywords of `stream`.

Knows option names and their help. Must not know: IPython, how a run is made, values of keys.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from streamnb.display import MODES
from streamnb.errors import UsageError, did_you_mean
from streamnb.providers import Option
from streamnb.redaction import looks_like_key
from streamnb.settings import PROFILES, companion, options_of

_USAGE: Final = "%%chatstream TARGET [options], the prompt below it"


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of leaving."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See %%chatstream?")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        del status
        raise UsageError(message or "see %%chatstream?")


def parse_line(line: str) -> tuple[str, dict[str, Any]]:
    """The target and the keywords of one magic line.

    Args:
        line: what stands behind `%%chatstream`.

    Returns:
        (target, keywords of `streamnb.stream` plus `output`).

    Raises:
        UsageError: an unknown target, option or value, or a key typed in the open (which is not repeated).
    """
    words = _split(line)
    refuse_keys(words)
    if not words or words[0].startswith("-"):
        raise UsageError(f"name a target first: {_USAGE}. The simulator needs no key: %%chatstream demo")
    target = words[0]
    companion(target, sim=False)  # did-you-mean for the target before anything is said about options
    parser = build_parser(target)
    found, unknown = parser.parse_known_args(words[1:])
    if unknown:
        raise UsageError(_unknown(parser, target, unknown[0]))
    return target, {key: value for key, value in vars(found).items() if value is not None}


def refuse_keys(words: Sequence[str]) -> None:
    """Refuse a key in the open: cells are saved, logged and shared (SAFETY S10).

    Raises:
        UsageError: one word looks like a key; it is not repeated.
    """
    for word in words:
        if any(looks_like_key(part) for part in (word, word.partition("=")[2]) if part):
            raise UsageError(
                "that looks like a key, and cells are saved and shared: nothing was sent. Put it in the environment "
                "and name the variable: --key-env NAME. If the key is real, it now stands in this notebook: replace it."
            )


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the options cannot be read ({error}): close every quote.") from None


def _unknown(parser: argparse.ArgumentParser, target: str, word: str) -> str:
    if not word.startswith("-"):
        return f"{word!r} is one word too many; the prompt goes below the line, and values with blanks in quotes."
    name = word.partition("=")[0]
    known = [flag for action in parser._actions for flag in action.option_strings]  # noqa: SLF001  # no public list
    return f"{target} has no option {name}.{did_you_mean(name, known)}"


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
        raise UsageError(_unknown(parser, "replay", unknown[0]))
    values = vars(found)
    return values.pop("source"), values


def build_parser(target: str | None = None) -> argparse.ArgumentParser:
    """The parser for a target's options: the common ones, and its provider's own."""
    parser = _Parser(prog="%%chatstream TARGET", add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS)
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
    add("--sim", action="store_const", const=True, help="use the built-in simulator; your key is not sent")
    add("--scenario", metavar="NAME", help="what the simulator does: stall, error, truncate, http-429, ...")
    add("--pace", metavar="K=V", action=_Pair, help="the simulator's pace: ttft, gap, tokens, seed, ... (seconds)")
    if target is not None:
        own = parser.add_argument_group(f"for {target}")
        for option in options_of(target):
            _add(own, option)
    return parser


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
    return f"""Send the cell to a streaming chat API and show the answer while it arrives.

{_USAGE}

  %%chatstream demo -o answer
  Why do rivers meander?

Then `answer.text`, `answer.summary`, `answer.events`, `answer.chunks`, `answer.calls`, `answer.frames`.

targets that need no key:
{targets}
  or a provider: see %chatstream providers; add --sim to any of them to use the simulator

{build_parser().format_help()}
%chatstream providers | runs | last     tables of what there is; the latest run
%chatstream TARGET [options]            a run without a prompt, where the API allows it
%chatstream replay FILE|RUN [--speed X|max] [-o NAME]    a recording again, at its own pace; nothing is sent
%config ChatStream                      defaults: display, record, timeouts, and the panel's looks
"""
