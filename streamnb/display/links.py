"""Where a link really leads: which URLs may become links, and whether a text says the host it leads to.

Knows URLs, IDNA and how links deceive. Must not know: Markdown, HTML, widgets.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit

_LONGEST: Final = 2048
_WEB: Final = re.compile(
    r"(https?)://(?:[^/?#@:\[\]]+|\[[0-9a-f:.]+\])(:\d{1,5})?((?:[/?#].*)?)", re.IGNORECASE | re.ASCII
)
_MAIL: Final = re.compile(r"mailto:[\w.+-]+@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?:\?.*)?", re.IGNORECASE | re.ASCII)
_HOST: Final = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+")
_KEPT: Final = "!#$%&'()*+,/:;=?@[]~"  # what a path, a query and a fragment may have besides letters and digits
_WORD: Final = re.compile(r"[\w.-]+")


def link_host(url: str) -> str:
    """The host a link really leads to, or "" when it must not become a link (S3).

    Args:
        url: what the API gave; only absolute http and https URLs without spaces or controls become links.

    Returns:
        The host as a browser would contact it (non-ASCII names in their ASCII form).
    """
    if not url.isprintable() or " " in url or "\\" in url:
        return ""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return host.encode("idna").decode("ascii") if parts.scheme in {"http", "https"} else ""
    except ValueError:  # UnicodeError (a name no DNS knows) is one as well
        return ""


def link_target(url: str) -> str:
    """The URL as it may stand in a link, or "" when it must not become one (S3).

    Allowed are absolute http and https URLs with a host and without a user name, and mailto. What is not ASCII is
    written as a browser would send it.
    """
    if len(url) > _LONGEST or not url.isprintable() or any(char in url for char in ' \\<>"'):
        return ""
    if _MAIL.fullmatch(url):
        return quote(url, safe=_KEPT)
    web = _WEB.fullmatch(url)
    host = link_host(url)
    if not web or not _HOST.fullmatch(host):
        return ""
    scheme, port, rest = web.groups("")
    address = f"[{host}]" if ":" in host else host
    return f"{scheme.lower()}://{address}{port}{quote(rest, safe=_KEPT)}"


def whereabouts(target: str) -> str:
    """Where a target leads, in the words to show: a host, or a mail address."""
    return link_host(target) or target.partition(":")[2].partition("?")[0]


def tells(text: str, place: str) -> bool:
    """Whether a link's text says itself where the link leads.

    It does when it is a URL of that host, or names that host and nothing else that could be one. A text that only looks
    like it (other letters, invisible characters, a user name in front) does not.
    """
    text = text.strip().lower()
    if place in {text, text.removeprefix("mailto:")}:
        return True
    if place not in text:
        return False
    return link_host(text) == place or {word for word in _WORD.findall(text) if "." in word.strip(".")} == {place}
