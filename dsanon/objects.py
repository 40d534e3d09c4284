"""A release on object storage, where there is no rename: it is one only when its marker is there and fits.

While it is unfinished its objects lie below RELEASE.partial/RUN/, a folder of each run's own: a run that lost the
prefix to another one writes where nobody looks, and RELEASE.partial/owner.json says whose folder counts. Then an old
release loses its marker first and its objects next, the new ones are copied in the order of their released names (their
times must not tell the source's order), and COMMITTED.json is written last. It says what each small file must be; the
manifest says it of each sample.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.compute as pc

from dsanon.durable import PRIVATE, read_json, write_json
from dsanon.errors import DsanonError, ReleaseError
from dsanon.layout import ReleasePaths
from dsanon.manifest import read_rows
from dsanon.seals import digest
from dsanon.storage import AT_ONCE, Bucket

MARKER = "COMMITTED.json"
OWNER = "owner.json"
AUDIT = "audit/"  # written after the release, and no part of it
Copy = Callable[[Bucket, Sequence[str], Bucket], None]  # from, names, to


def refuse_finished(paths: ReleasePaths, overwrite: bool) -> None:
    """Raises ReleaseError where RELEASE is finished, or holds what no run of this private side put there."""
    bucket = _bucket(paths)
    names = bucket.children()
    if not names:
        return
    if MARKER not in names:
        if not _note(paths).get("publishing"):
            raise ReleaseError(f"RELEASE {bucket} holds other things (no {MARKER}): name a prefix that is empty")
    elif not overwrite:
        raise ReleaseError(f"RELEASE {bucket} is finished: replace it with --overwrite or name another prefix")


def take(paths: ReleasePaths, resumed: bool, overwrite: bool) -> Bucket:
    """Make RELEASE.partial/ this private side's, or find that it is; its run's folder in it.

    Raises ReleaseError where it is another's.
    """
    partial, note, holder = _partial(paths), _note(paths), _holder(paths)
    mine = bool(holder) and holder.get("run") == note.get("run")
    if resumed and not mine:
        found = f"it is of a run on {holder['host']} since {holder['started']}" if holder else "its objects are gone"
        raise ReleaseError(f"{partial} cannot be resumed, for {found}: start afresh with --overwrite")
    if resumed:
        return _mine(paths)
    left = partial.listed()
    if not overwrite and not mine and left:
        whose = f"a run on {holder['host']} since {holder['started']}" if holder else few(set(left))
        raise ReleaseError(
            f"{partial} holds {whose}: go on with that run's --private and --resume, or start afresh with --overwrite"
        )
    partial.delete(left)  # and not what another run has put there since
    run = {"run": secrets.token_hex(8), "host": socket.gethostname()}
    run["started"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(_place(paths), {**run, "publishing": note.get("publishing", False)}, PRIVATE)
    if not partial.create(OWNER, json.dumps(run).encode()):
        raise ReleaseError(f"{partial} was taken by another run just now: look what becomes of it")
    return _mine(paths)


def sweep(paths: ReleasePaths, written: Collection[str]) -> None:
    """Delete objects that nobody accounts for: of workers that died, and of samples that are now withheld."""
    data = _mine(paths) / "data"
    data.delete(name for name in data.listed() if name not in written)


def publish(paths: ReleasePaths, expected: Collection[str], whole: Collection[str]) -> None:
    """Put the small files beside the samples, after checking that nothing is there that should not be, or lacks.

    expected: every file below ``data/`` · whole: names at the top of a release. Raises DsanonError, StorageError.
    """
    small = {path.relative_to(paths.partial).as_posix(): path for path in paths.partial.rglob("*") if path.is_file()}
    refuse_difference("the release", {path.name for path in paths.partial.iterdir()}, set(whole))
    _refuse_lost(paths)
    mine = _mine(paths)
    for name in sorted(small):
        mine.upload(small[name], name)
    found = set(mine.listed()) - {name for name in whole if name != "data"}
    refuse_difference("data/", found, {f"data/{file}" for file in expected})


def exchange(paths: ReleasePaths, copy: Copy = Bucket.copy) -> None:
    """Replace what is at RELEASE by what is in this run's folder; cut off anywhere, --resume does it again.

    copy: of the samples; it gets their names in the order of the released names
    """
    bucket, mine = _bucket(paths), _mine(paths)
    note = _note(paths)
    _refuse_lost(paths)
    write_json(_place(paths), {**note, "publishing": True}, PRIVATE)
    old = bucket.listed()
    if MARKER in old:
        bucket.delete([MARKER])
    bucket.delete(name for name in old if name != MARKER)
    new = {name: version.split(" ", 1)[0] for name, version in mine.listed().items()}
    small = {path.relative_to(paths.partial).as_posix(): path for path in paths.partial.rglob("*") if path.is_file()}
    copy(mine, sorted(set(new) - set(small)), bucket)
    mine.copy(sorted(small), bucket)
    arrived = {name: version.split(" ", 1)[0] for name, version in bucket.listed().items()}
    if arrived != new:
        different = {name for name in {*new, *arrived} if new.get(name) != arrived.get(name)}
        raise DsanonError(f"{bucket} did not take what was copied ({few(different)}): go on with --resume")
    sums = {name: digest(path) for name, path in sorted(small.items())}
    marker = {"schema": 1, "objects": len(new), "files": sums}
    _refuse_lost(paths)
    bucket.write({MARKER: (json.dumps(marker, indent=2) + "\n").encode()})
    mine.delete(sorted(new))
    if _holder(paths).get("run") == note["run"]:
        _partial(paths).delete([OWNER])
    write_json(_place(paths), {**note, "publishing": False}, PRIVATE)


def _refuse_lost(paths: ReleasePaths) -> None:
    """Raises ReleaseError where another run has taken RELEASE.partial/ since, and clears away what is this one's."""
    holder, mine = _holder(paths), _mine(paths)
    if not holder or holder.get("run") != _note(paths).get("run"):
        mine.delete(mine.listed())
        whose = f"a run on {holder['host']} since {holder['started']}" if holder else "nobody any more"
        raise ReleaseError(f"{_partial(paths)} is of {whose}, no longer of this run: nothing is released from it")


def fetch(bucket: Bucket, folder: Path) -> None:
    """Copy a finished release to a folder, and see that it is what its marker and its manifest say.

    Raises ReleaseError where there is no marker or anything is missing, too much or altered.
    """
    listed = [name for name in bucket.listed() if name != MARKER and not name.startswith(AUDIT)]
    (content,) = bucket.read([MARKER])
    if content is None:
        raise ReleaseError(f"{bucket} has no {MARKER}: it is no release, or one that is not finished")
    try:
        marker = json.loads(content)
        sums, objects = dict(marker["files"]), int(marker["objects"])
    except (ValueError, KeyError, TypeError):
        raise ReleaseError(f"{bucket}/{MARKER} is no marker of schema 1: make the release anew") from None
    for name in sums:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name not in listed:
            raise ReleaseError(f"{bucket} lacks {name}, which its {MARKER} names: it is damaged")
        bucket.download(name, folder / name)
        if digest(folder / name) != sums[name]:
            raise ReleaseError(f"{bucket}/{name} is not what its {MARKER} says: it was altered")
    rows = read_rows(folder / "manifest.parquet").select(["file", "output_sha256"])
    rows = rows.filter(pc.not_equal(rows["output_sha256"], "")).group_by(["file", "output_sha256"]).aggregate([])
    samples = dict(zip((f"data/{f}" for f in rows["file"].to_pylist()), rows["output_sha256"].to_pylist(), strict=True))
    if different := set(listed) ^ {*sums, *samples}:
        raise ReleaseError(f"{bucket} and its manifest differ in {few(different)}: it was altered")
    if objects != len(listed):
        raise ReleaseError(f"{bucket} holds {len(listed)} objects, its {MARKER} names {objects}: it was altered")
    names = sorted(samples)
    for name, data in zip(names, bucket.read(names), strict=True):
        if data is None or hashlib.sha256(data).hexdigest() != samples[name]:
            raise ReleaseError(f"{bucket}/{name} is not what the manifest says: it was altered")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@contextmanager
def at_hand(release: Path | Bucket, source: Path | Bucket) -> Iterator[tuple[Path, Path]]:
    """Both as folders, copied to this machine's disk for the block where they are on object storage.

    What the block leaves in the release's audit/ is put beside it in the end. Raises ReleaseError, StorageError.
    """
    with TemporaryDirectory(prefix="dsanon-audit-") as scratch:
        here, originals = release, source
        if isinstance(release, Bucket):
            here = Path(scratch) / "release" / release.name
            here.mkdir(parents=True)
            fetch(release, here)
        if isinstance(source, Bucket):
            originals = Path(scratch) / "source" / source.name
            _copy(source, originals)
        assert isinstance(here, Path)
        assert isinstance(originals, Path)
        yield here, originals
        if isinstance(release, Bucket):
            made = {path.relative_to(here).as_posix(): path for path in (here / AUDIT).rglob("*") if path.is_file()}
            release.delete(name for name in release.listed() if name.startswith(AUDIT) and name not in made)
            for name in sorted(made):
                release.upload(made[name], name)


def refuse_difference(where: str, found: set[str], expected: set[str]) -> None:
    """Raises DsanonError unless what is there is what was written."""
    if found - expected:
        raise DsanonError(
            f"{where} holds files that nothing accounts for: {few(found - expected)}; nothing is released"
        )
    if expected - found:
        raise DsanonError(f"{where} lacks files that were written: {few(expected - found)}; nothing is released")


def few(names: set[str]) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _copy(bucket: Bucket, folder: Path) -> None:
    from dsanon.images import safe_path

    names = [name for name in bucket.listed() if safe_path(name)]
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        for name, data in zip(some, bucket.read(some), strict=True):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data or b"")


def _bucket(paths: ReleasePaths) -> Bucket:
    assert paths.bucket is not None
    return paths.bucket


def _partial(paths: ReleasePaths) -> Bucket:
    return _bucket(paths).beside(".partial")


def _mine(paths: ReleasePaths) -> Bucket:
    """The folder of this private side's run."""
    return _partial(paths) / str(_note(paths)["run"])


def _holder(paths: ReleasePaths) -> dict[str, Any]:
    """Whose RELEASE.partial/ is: run, host, started; {} where it is nobody's."""
    (content,) = _partial(paths).read([OWNER])
    return dict(json.loads(content)) if content else {}


def _place(paths: ReleasePaths) -> Path:
    return paths.private / "objects.json"


def _note(paths: ReleasePaths) -> dict[str, Any]:
    """What this private side knows of its objects: run, publishing."""
    return dict(read_json(_place(paths)) or {})
