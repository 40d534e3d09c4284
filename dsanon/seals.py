"""Seals: a staged file's sha256 beside it, so that no release is built on one that was cut off, damaged or altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from dsanon.durable import PRIVATE, aside, write_json
from dsanon.errors import ReleaseError
from dsanon.private_map import QuarantineRow
from dsanon.shards import Shard
from dsanon.storage import Bucket


def seal(*paths: Path) -> None:
    """Note each file's digest beside it; the file is whole and on disk by then. Raises ReleaseError."""
    for path in paths:
        with aside(_beside(path), PRIVATE) as file:
            file.write(digest(path).encode())


def finish(
    shard: Shard,
    staging: Path,
    counts: Mapping[str, int],
    files: Mapping[str, str],
    released: Iterable[str],
    withheld: Iterable[QuarantineRow],
) -> None:
    """Mark a shard, whose manifest and map are staged, as done. files: below ``data``, with their sha256"""
    done = {"counts": counts, "files": dict(sorted(files.items())), "released": sorted(released)}
    rows = [[row.sample, row.source_file, row.reason, row.source_sha256] for row in withheld]
    write_json(shard.done(staging), done | {"quarantined": rows}, PRIVATE)
    seal(shard.manifest(staging), shard.map(staging), shard.done(staging))


def sound(path: Path) -> bool:
    """Whether the file is the one that was sealed; False where it or its seal is missing."""
    try:
        return _beside(path).read_bytes() == digest(path).encode()
    except OSError:
        return False


def require(*paths: Path) -> None:
    """Raise ReleaseError unless every file is the one that was sealed."""
    for path in paths:
        if not sound(path):
            raise ReleaseError(
                f"{path} was damaged or altered during the run: go on with --resume, which makes it anew"
            )


def discard_damaged(shards: Iterable[Shard], staging: Path, data: Path | Bucket) -> None:
    """Before an interrupted run goes on: delete what is not as it was sealed, so that it is made anew.

    A shard counts as rendered only where its rows and every file below ``data`` are what they were.
    """
    for shard in shards:
        linked = [shard.linked(staging)] if shard.sequence else []
        for path in [*(piece.found(staging) for piece in shard.pieces()), *linked]:
            if path.exists() and not sound(path):
                for stale in [path, *linked, shard.done(staging)]:
                    stale.unlink(missing_ok=True)
        if shard.done(staging).exists() and not _rendered(shard, staging, data):
            shard.done(staging).unlink()


def _rendered(shard: Shard, staging: Path, data: Path | Bucket) -> bool:
    if not all(map(sound, (shard.manifest(staging), shard.map(staging), shard.done(staging)))):
        return False
    files: dict[str, str] = json.loads(shard.done(staging).read_bytes())["files"]
    if isinstance(data, Bucket):
        contents = zip(data.read(list(files)), files.values(), strict=True)
        return all(content is not None and hashlib.sha256(content).hexdigest() == sha for content, sha in contents)
    return all(is_still(data / file, sha256) for file, sha256 in files.items())


def is_still(path: Path, sha256: str) -> bool:
    """Whether a file, and no link, is there and has these bytes."""
    try:
        return not path.is_symlink() and digest(path) == sha256
    except OSError:
        return False


def digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
