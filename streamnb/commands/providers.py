"""`streamnb providers`: the APIs there are, and one of them with its options and hints.

Knows provider classes and whether a variable is set. Must not know: values of keys, sockets.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from streamnb import settings
from streamnb.commands.printing import Pages, say, say_json, wrapped
from streamnb.providers import Option, Provider, load, names
from streamnb.settings import PROFILES

_PAGE = """\
The APIs that streamnb speaks: what each is called, the variable that holds its
key and whether it is set (never its value), the vendor's limits, the lists of
records it streams. With NAME: its options and what its error codes mean.
"""
_EXAMPLES = """\
examples:
  streamnb providers
  streamnb providers deepset
  streamnb providers --json | jq -r .name
"""
_INDENT = 14


def add(commands: Any) -> None:
    """Add `providers` to the parser."""
    parser = commands.add_parser("providers", description=_PAGE, epilog=_EXAMPLES, formatter_class=Pages)
    parser.add_argument("name", nargs="?", metavar="NAME", help="one of them, with its options and hints")
    parser.add_argument("--json", action="store_true", help="one JSON object a line; with NAME one JSON document")
    parser.set_defaults(run=_providers)


def _providers(words: argparse.Namespace) -> int:
    if words.name is not None:
        settings.companion(words.name, sim=False)
        provider = load(PROFILES[words.name].provider if words.name in PROFILES else words.name)
        if words.json:
            say_json({**_values(provider), **_details(provider)})
        else:
            say(*_short(provider), *_long(provider))
        return 0
    for provider in map(load, names()):
        if words.json:
            say_json(_values(provider))
        else:
            say(*_short(provider), "")
    if not words.json:
        say("without a key, as targets of their own:")
        for name, profile in PROFILES.items():
            say(f"{name:<{_INDENT}}{profile.help}")
    return 0


def _values(provider: type[Provider]) -> dict[str, Any]:
    return {
        "name": provider.name,
        "title": provider.title,
        "doc_url": provider.doc_url,
        "base_url": provider.base_url or None,
        "key_env": provider.key_env,
        "key_required": provider.key_required,
        "key_set": _is_set(provider),
        "limits": dict(provider.limits),
        "lists": dict(provider.lists),
    }


def _details(provider: type[Provider]) -> dict[str, Any]:
    options = [
        {
            "name": one.name,
            "flag": one.flag,
            "type": one.type,
            "choices": list(one.choices),
            "default": one.default,
            "help": one.help,
        }
        for one in provider.options
    ]
    return {"session_option": provider.session_option, "options": options, "hints": _hints(provider)}


def _is_set(provider: type[Provider]) -> bool:
    return bool(provider.key_env and os.environ.get(provider.key_env, "").strip())


def _hints(provider: type[Provider]) -> dict[str, str]:
    key = provider.key_env or "its variable"
    return {code: text.replace("{wait}", "").replace("{key}", key) for code, text in provider.hints.items()}


def _short(provider: type[Provider]) -> list[str]:
    """Title, key, limits and lists: the paragraph of one provider."""
    said = [f"key: {_key(provider)}"]
    limits = "; ".join(provider.limits_in_words())
    said += [f"limits: {limits}"] if limits else []
    said += [f"lists: {', '.join(provider.lists)}"] if provider.lists else []
    lines = [f"{provider.name:<{_INDENT}}{provider.title}"]
    for text in said:
        lines += wrapped(text, _INDENT)
    return lines


def _key(provider: type[Provider]) -> str:
    if provider.key_env is None:
        return "none"
    wanted = f" ({provider.key_note})" if provider.key_note else ""
    return f"{provider.key_env} is {'set' if _is_set(provider) else 'not set'}{wanted}"


def _long(provider: type[Provider]) -> list[str]:
    """Addresses, options and hints."""
    lines = ["", f"documentation: {provider.doc_url}"]
    lines += [f"base URL: {provider.base_url}"] if provider.base_url else []
    if provider.options:
        lines += ["", "options, behind `streamnb record` and `%%chatstream`:"]
        for option in provider.options:
            lines += _explained(f"{option.flag} {_values_of(option)}", _meaning(option))
    if provider.hints:
        lines += ["", "what an error code, a status or an outcome means here:"]
        for code, text in _hints(provider).items():
            lines += _explained(code, text)
    return lines


def _values_of(option: Option) -> str:
    return "|".join(option.choices) or ("" if option.type == "bool" else option.type.upper())


def _meaning(option: Option) -> str:
    default = "" if option.default in (None, False, "") else f" (unless said: {option.default})"
    return option.help + default


def _explained(name: str, text: str) -> list[str]:
    """A term and what it means, beside it where there is room."""
    column = 24
    lines = wrapped(text, column)
    head = f"  {name.rstrip()}"
    if len(head) < column - 1:
        return [head.ljust(column) + lines[0].lstrip(), *lines[1:]]
    return [head, *lines]
