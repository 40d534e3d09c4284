"""The key of a release: the one secret behind its pseudonyms, its fake identities and its private map.

32 random bytes, kept as one line of hexadecimal digits that only its owner may read. Destroying it leaves a note
beside it (``key.destroyed``), so that a later reader learns that it is gone on purpose and not merely lost.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from dsanon.durable import PRIVATE, PRIVATE_FOLDER, aside, explained, sync_folder
from dsanon.errors import KeyFileError

LENGTH = 32  # bytes
PURPOSES = ("names", "map", "check")


def create_key(path: Path) -> bytes:
    """Make a new key at ``path`` (0600; its folder, where it is missing, 0700) and return its 32 bytes.

    Raises KeyFileError where there is a key already, ReleaseError where it cannot be written.
    """
    key = secrets.token_bytes(LENGTH)
    with explained(path):
        if not path.parent.is_dir():
            path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True)
            path.parent.chmod(PRIVATE_FOLDER)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        except FileExistsError:
            raise KeyFileError(f"{path} exists already: a key is never overwritten, name another file") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        tombstone(path).unlink(missing_ok=True)
        sync_folder(path.parent)
    return key


def load_key(path: Path) -> bytes:
    """The 32 bytes of the key at ``path``.

    Raises KeyFileError: missing, destroyed, malformed, or readable by others than its owner.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096)
    except FileNotFoundError:
        if tombstone(path).exists():
            raise KeyFileError(
                f"{path} was destroyed by `dsanon forget`: the private map can no longer be read, by anybody"
            ) from None
        raise KeyFileError(f"{path} does not exist: name the key of this release with --key") from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read ({error.strerror}): expected the key of a release") from error
    if mode & 0o077:
        raise KeyFileError(f"{path} can be read by others (mode {mode:04o}): chmod 600 it, or make a new key")
    if not re.fullmatch(rb"[0-9a-fA-F]{64}\s*", text):
        raise KeyFileError(
            f"{path} is no key: expected 64 hexadecimal digits, found {len(text)} bytes of something else"
        )
    return bytes.fromhex(text.decode())


def subkey(key: bytes, purpose: str, seed: int = 0) -> bytes:
    """32 bytes for one purpose: "names" (pseudonyms and fake identities), "map" (the private map), "check".

    seed: ``--seed``, a public salt; another one gives other names under the same key.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"purpose {purpose!r} is unknown: expected one of {', '.join(PURPOSES)}")
    return hmac.new(key, f"dsanon {purpose} {seed}".encode(), hashlib.sha256).digest()


def key_check(key: bytes) -> str:
    """16 hexadecimal digits that tell two keys apart and reveal neither."""
    return subkey(key, "check").hex()[:16]


def destroy_key(path: Path) -> None:
    """Overwrite the key, delete it and leave the note that it was destroyed. Raises KeyFileError as load_key does.

    A copy of it (a backup, a snapshot, a log-structured file system) is out of reach of this.
    """
    load_key(path)
    with explained(path):
        with path.open("r+b") as file:
            file.write(secrets.token_bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        with aside(tombstone(path), PRIVATE) as note:
            note.write(b"The key that stood here was destroyed by `dsanon forget`.\n")
        path.unlink()
        sync_folder(path.parent)


def tombstone(path: Path) -> Path:
    """Where the note stands that the key at ``path`` was destroyed."""
    return path.with_name(path.name + ".destroyed")
