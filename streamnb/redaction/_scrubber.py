"""The scrubber: secrets in received bytes become as many asterisks, also when two reads share one (S14).

Knows the secrets of this process. Must not know: where bytes come from, what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from streamnb.redaction._forms import forms


class Scrubber:
    """Masks known secrets in a byte stream and keeps every byte in its place.

    Journal and parser see the same scrubbed bytes. The only bytes held back are a tail that is the proper beginning
    of a secret; so a read that ends in LF or CR holds nothing, because no form of a key contains either.

    Args:
        secrets: keys this process has used or obtained. Forms shorter than `FORM_MIN` bytes are not masked.

    Raises:
        UsageError: a secret has a line end in it (`forms`).
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: tuple[bytes, ...] = ()
        self._tail = b""
        self._add(form for secret in secrets for form in forms(secret))

    def __repr__(self) -> str:
        return f"<Scrubber: {len(self._forms)} forms, {self.held} bytes held>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Scrubber holds keys: it is neither copied nor pickled (S11)")

    @property
    def held(self) -> int:
        """Bytes held back now: less than the longest form."""
        return len(self._tail)

    def add(self, secret: str) -> None:
        """Mask one more secret from here on: one obtained on the way, as a session key is.

        Args:
            secret: its value; what was released before stays as it was.

        Raises:
            UsageError: it has a line end in it.
        """
        self._add(forms(secret))

    def feed(self, data: bytes) -> bytes:
        """Take a read; return the bytes whose fate is known.

        Args:
            data: the decoded body bytes of the read.

        Returns:
            The held tail and `data`, leftmost-longest matches masked with as many `*`, without the new held tail.
        """
        forms = self._forms
        if not forms:
            return data
        if self._tail:
            data, self._tail = self._tail + data, b""
        for form in forms:
            if form in data:
                return self._masked(data)
        if not data or data[-1] not in self._inner:  # nearly every read
            return data
        return self._held_back(data, self._first_open(data, 0))

    def _masked(self, data: bytes) -> bytes:
        return self._held_back(*self._mask(data, self._first_open(data, 0)))

    def _held_back(self, data: bytes, cut: int) -> bytes:
        self._tail = data[cut:]
        return data[:cut]

    def flush(self) -> bytes:
        """Release the held tail: no more bytes come, so no secret can be completed."""
        tail, self._tail = self._tail, b""
        return self._mask(tail, len(tail))[0] if tail else tail

    def _add(self, more: Iterable[bytes]) -> None:
        self._forms = tuple(sorted({*self._forms, *more}, key=lambda form: (-len(form), form)))
        self._any = re.compile(b"|".join(map(re.escape, self._forms)))
        # What a proper beginning can end in. Most reads end in a line end or a brace and need no closer look.
        self._inner = frozenset(byte for form in self._forms for byte in form[:-1])

    def _mask(self, data: bytes, cut: int) -> tuple[bytes, int]:
        """Mask what begins before `cut`; return the data and the cut, moved behind a match that crosses it."""
        masked = bytearray(data)
        for found in self._any.finditer(data):
            start, end = found.span()
            if start >= cut:
                break  # a longer form may begin here or before: the next read decides
            masked[start:end] = b"*" * (end - start)
            if end > cut:
                cut = self._first_open(data, end)
        return bytes(masked), cut

    def _first_open(self, data: bytes, start: int) -> int:
        """The first index, from `start`, whose rest of `data` is a proper beginning of a form; else the length."""
        end = len(data)
        if start == end or data[-1] not in self._inner:
            return end
        first = end
        for form in self._forms:
            at = data.find(form[:1], max(start, end - len(form) + 1), first)
            while at >= 0 and not form.startswith(data[at:]):
                at = data.find(form[:1], at + 1, first)
            if at >= 0:
                first = at
        return first
