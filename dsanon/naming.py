"""Pseudonyms: keyed, pure functions of what they stand for.

Everything that must look random but be the same on every worker and after every restart comes from
HMAC-SHA256 under the release's key, never from a clock, a worker or an order.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Names:
    """Derives pseudonyms, keyed orders and sub-keys from the key of a release."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def digest(self, *parts: str) -> bytes:
        """32 bytes that only the key's owner can compute; ``parts`` are length-prefixed, so never ambiguous."""
        message = b"".join(
            len(p).to_bytes(4, "big") + p for p in (part.encode("utf-8", "surrogateescape") for part in parts)
        )
        return hmac.new(self._key, message, hashlib.sha256).digest()

    def token(self, *parts: str, prefix: str = "p") -> str:
        """A pseudonym for ``parts``: ``prefix`` and 16 hexadecimal digits (64 bits)."""
        return prefix + self.digest("token", *parts).hex()[:16]

    def subject(self, scope: str, subject: str) -> str:
        """The public pseudonym of a subject within a scope."""
        return self.token("subject", scope, subject)

    def number(self, limit: int, *parts: str) -> int:
        """An integer in [0, limit)."""
        return int.from_bytes(self.digest("number", *parts)[:16], "big") % limit

    def order(self, items: Iterable[T], *parts: str) -> list[T]:
        """``items`` in a keyed order that does not depend on the order they come in (by their ``str``)."""
        return sorted(items, key=lambda item: (self.digest("order", *parts, str(item)), str(item)))

    def permutation(self, items: Sequence[int], *parts: str) -> dict[int, int]:
        """A keyed bijection of ``items`` onto themselves."""
        return dict(zip(sorted(items), self.order(items, *parts), strict=True))
