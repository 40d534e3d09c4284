"""Hashes of original files: whoever has a photo can prove with one that it, and so a person, is in the release."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsanon_eval.leaks.names import texts

PREFIX = 16  # hexadecimal digits of a hash that prove it
_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_ALGORITHMS = ("sha256", "sha1", "md5")
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Digests:
    """prefixes: the first 16 hexadecimal digits of every hash, in lower case · starts: their first 8 bytes, sorted

    files: sha256 of the originals, whole, in hexadecimal digits
    """

    prefixes: frozenset[bytes] = frozenset()
    starts: npt.NDArray[np.uint64] | None = None
    files: frozenset[str] = frozenset()


def digests_of(path: Path) -> tuple[str, ...]:
    """sha256, sha1 and md5 of a file; () of an empty or unreadable one, of which there is nothing to prove."""
    try:
        with path.open("rb") as file:
            hashes = [hashlib.new(name, usedforsecurity=False) for name in _ALGORITHMS]
            size = 0
            while piece := file.read(_PIECE):
                size += len(piece)
                for each in hashes:
                    each.update(piece)
    except OSError:
        return ()
    return tuple(each.hexdigest() for each in hashes) if size else ()


def collect(hashes: Iterable[tuple[str, ...]], public: Set[str] = frozenset()) -> Digests:
    """What to look for. public: sha256 of originals that are released unchanged, for there is nobody in them."""
    rows = [row for row in hashes if row and row[0] not in public]
    starts = np.unique(np.array([int(digest[:16], 16) for row in rows for digest in row], np.uint64))
    prefixes = frozenset(digest[:PREFIX].encode() for row in rows for digest in row)
    return Digests(prefixes, starts, frozenset(row[0] for row in rows))


def in_bytes(digests: Digests, data: bytes) -> bool:
    """Whether a hash is in ``data``: as hexadecimal digits (16 of them or more) or as its raw bytes."""
    if not digests.prefixes or digests.starts is None:
        return False
    for match in _HEX.finditer(data):
        run = match[0].lower()
        if any(run[at : at + PREFIX] in digests.prefixes for at in range(len(run) - PREFIX + 1)):
            return True
    return _raw(digests, data)


def in_file(digests: Digests, path: Path) -> bool:
    """The same of a file, or of the strings of a table."""
    return any(in_bytes(digests, piece) for piece in texts(path))


def _raw(digests: Digests, data: bytes) -> bool:
    starts = digests.starts
    assert starts is not None
    for shift in range(min(8, len(data))):
        count = (len(data) - shift) // 8
        words = np.frombuffer(data, ">u8", count, shift).astype(np.uint64)
        places = np.searchsorted(starts, words).clip(max=len(starts) - 1)
        if (starts[places] == words).any():
            return True
    return False
