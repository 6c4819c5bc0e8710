"""`streamnb record`: a run in the terminal, kept in a file. Its options are those of `%%chatstream`.

Knows the words behind `record`, and where a prompt may come from. Must not know: how a run works, values of keys.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamnb import settings
from streamnb.commands import BROKEN_PIPE, FAILED, chosen
from streamnb.commands.printing import note, say, say_json
from streamnb.errors import UsageError
from streamnb.options import build_parser, parse_line, refuse_keys

if TYPE_CHECKING:
    from streamnb.results import Run

_PAGE: Final = """\
usage: streamnb record TARGET [options] [--json] -- PROMPT

Stream an answer into the terminal and keep the run in a file; its path is said
at the end, on stderr. The options are those of %%chatstream TARGET.

The prompt stands behind --, which may be left out before words that are no
options. Without a prompt a pipe is read; - reads it from the keyboard, too;
a last -- says that there is none.

Exit code: 0 the API ended the answer itself; 1 the run ended badly or could not
be kept; 2 the words do not fit; 130 Ctrl-C. What arrived is always kept.

examples:
  streamnb record demo -- "Why do rivers meander?"
  git diff | streamnb record openai_chat --model M --system "Review this."
  streamnb record typebot --typebot my-bot --json -- Hello > run.json
  streamnb record oliver --continue -- "And at night?"
  streamnb record deepset --help       the options of one target
  streamnb providers                   the targets

  --json                one JSON document on stdout instead of the text: the row
                        of the table `runs`, text, path
  -h, --help            this page; behind a TARGET with its options
"""
_FOOT: Final = """
Here --continue and --press go on from the latest recording of the target. What
needs a notebook is refused: -o, --tool; and so is --no-record.
"""
_REFUSED: Final = {
    "output": "-o names a variable of a notebook; here the answer is on stdout and the run in a file. Leave it out.",
    "tools": "--tool names a function of a notebook, and here is none: use streamnb.stream(..., tools=...) in Python.",
    "record": "record keeps the run in a file: leave --no-record out, or use Python.",
}
_KEY: Final = (
    "that looks like a key, and what is typed here stays in the shell's history: nothing was sent. Put it in the "
    "environment and name the variable: --key-env NAME. If the key is real, replace it."
)


def record(words: Sequence[str]) -> int:
    """Run `streamnb record WORDS`; return the exit code.

    Raises:
        StreamnbError: it cannot begin.
    """
    front, behind = _split(words)
    as_json = "--json" in front
    front = [word for word in front if word != "--json"]
    if not {"-h", "--help"}.isdisjoint(front):
        say(help_page(next((word for word in front if not word.startswith("-")), None)).rstrip())
        return 0
    target, keywords, loose = _parsed(front)
    if loose and behind is not None:
        raise UsageError(f"{loose[0]!r} stands before --, and the prompt behind it.")
    fitted = _fitted(target, keywords, as_json=as_json)  # before anybody has to type a prompt
    prompt = _prompt(loose or behind, pressed="press" in keywords)
    return _recorded(target, prompt, fitted, as_json=as_json)


def help_page(target: str | None = None) -> str:
    """What `streamnb record --help` says, and `streamnb record TARGET --help`.

    Raises:
        UsageError: there is no such target.
    """
    if target is not None:
        settings.companion(target, sim=False)
    return f"{_PAGE}\n{build_parser(target).format_help()}{_FOOT}"


def _split(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """What stands before the first `--`, and what behind it; None without one."""
    front = list(words)
    if "--" not in front:
        return front, None
    cut = front.index("--")
    return front[:cut], front[cut + 1 :]


def _parsed(front: Sequence[str]) -> tuple[str, dict[str, Any], list[str]]:
    """Target, keywords of `stream`, and the words that belong to no option: a prompt without its `--`."""
    try:
        refuse_keys(front)
    except UsageError:
        raise UsageError(_KEY) from None
    if not front or front[0].startswith("-"):
        raise UsageError('name a target first. The simulator needs no key: streamnb record demo -- "Hello"')
    target = front[0]
    settings.companion(target, sim=False)  # did-you-mean for the target before anything is said about options
    try:
        found, loose = build_parser(target).parse_known_args(front[1:])
        for word in loose:
            if word.startswith("-") and word != "-":
                parse_line(shlex.join([target, word]))  # says what may be meant
    except UsageError as error:
        raise UsageError(str(error).replace("See %%chatstream?", f"See: streamnb record {target} --help")) from None
    return target, {key: value for key, value in vars(found).items() if value is not None}, loose


def _fitted(target: str, keywords: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """The keywords as they mean it outside a notebook."""
    for name, why in _REFUSED.items():
        if name in keywords:
            raise UsageError(why)
    if as_json and keywords.get("display", "none") != "none":
        raise UsageError("--json leaves no place for another display: leave --display out.")
    keywords.setdefault("display", "none" if as_json else "plain")
    if "after" in keywords or "press" in keywords:
        keywords["after"] = _latest(target)
    return keywords


def _latest(target: str) -> Run:
    """The latest recording of a target that was a turn of a conversation."""
    from streamnb import client

    for one in reversed(chosen.every()):
        if one.target == target and one.outcome != chosen.RUNNING:
            run = client.open_recording(one.path)
            if run.prompt.records is None:
                note(f"going on from {run.run_id}")
                return run
    raise UsageError(f"there is no recording of {target} to go on from; start one without --continue.")


def _prompt(words: Sequence[str] | None, *, pressed: bool) -> str:
    """The prompt: the words, or what stdin brings, byte for byte but for the line end that a shell adds."""
    if words is not None and list(words) != ["-"]:
        return " ".join(words)
    if sys.stdin is None or (words is None and (pressed or sys.stdin.isatty())):
        return ""
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise UsageError("the prompt on stdin is not UTF-8: nothing was sent.") from None


def _recorded(target: str, prompt: str, keywords: dict[str, Any], *, as_json: bool) -> int:
    from streamnb import client
    from streamnb.commands.running import document, wait

    session = client.Session(client.ask(target, prompt, raises=True, notice=False, **keywords))
    code, run = wait(session), session.run
    for text in (run.error, run.warning):
        if text and code != BROKEN_PIPE:
            note(f"streamnb record: {text}")
    if run.path is not None and Path(run.path).exists():
        note(f"recorded: {run.path}")
    if as_json:
        say_json(document(run))
    return code or (0 if run.ok and run.warning is None else FAILED)
