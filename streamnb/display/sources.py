"""The sources of an answer: each once, numbered in the order in which they arrived.

Knows rows of the table `citations` and events of kind `citation`. Must not know: HTML, where their marks stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streamnb.display.figures import missing
from streamnb.display.inert import visible, well_formed
from streamnb.display.links import link_host, link_target
from streamnb.events import Event


class Source(NamedTuple):
    """One source: what it is called, where it leads (`url` and `host` are "" when it must not be a link), its kind."""

    number: int
    title: str
    url: str
    host: str
    kind: str


class Sources:
    """The numbered list; a source that is cited again keeps its number."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, str], int] = {}
        self.rows: list[Source] = []

    def event(self, event: Event) -> int:
        """The number of the source that an event cites."""
        said = event.data if isinstance(event.data, Mapping) else {}
        return self.row({"title": said.get("title") or event.name, **{key: said.get(key) for key in _REST}})

    def row(self, citation: Mapping[str, Any]) -> int:
        """The number of a row of the table `citations`."""
        said = ("title", *_REST)
        title, url, kind = ("" if missing(citation.get(key)) else str(citation[key]).strip() for key in said)
        key = (title, url, kind)
        if key not in self._numbers:
            self._numbers[key] = len(self.rows) + 1
            self.rows.append(_source(len(self.rows) + 1, *key))
        return self._numbers[key]


_REST = ("url", "source_type")


def _source(number: int, title: str, url: str, kind: str) -> Source:
    target = link_target(url)
    host = link_host(target)
    shown = title or url or "untitled"
    if url and title and not host:  # no link: said as text
        shown += f" ({url})"
    return Source(number, _safe(shown), target if host else "", host, _safe(kind))


def _safe(text: str) -> str:
    return visible(well_formed(" ".join(text.split())))
