"""The life of a release folder: refused, taken, resumed, published.

RELEASE appears under its name only when it is whole; until then it grows in RELEASE.partial, and what may never be
published grows on the private side. Whoever works on a release holds a lock on both folders: the kernel drops it when
the process dies, whatever kills it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dsanon import objects
from dsanon.durable import (
    PRIVATE,
    PRIVATE_FOLDER,
    explained,
    read_object,
    sync_folder,
    write_json,
)
from dsanon.errors import DsanonError, ReleaseError
from dsanon.key import create_key, key_check, load_key
from dsanon.layout import ReleasePaths
from dsanon.listing import recover, reorder
from dsanon.lock import locked, owned, wait_for
from dsanon.manifest import Counts
from dsanon.objects import few, refuse_difference
from dsanon.storage import Bucket

WHOLE = ("CARD.md", "data", "manifest.parquet", "release.json")
# Every file's time of modification: the order in which files were written is the source's, by name, and archives keep
# it. 2000-01-01 UTC: ZIP knows no time before 1980.
TIME = 946_684_800
# What release.json may say of the configuration: nothing that names a path, a person or a machine, and nothing that
# leaves the bytes of the release as they are (workers; device and batch, but for the last bits of what a GPU paints).
PUBLIC = (
    "dataset",
    "method",
    "kernel",
    "block",
    "regions",
    "shape",
    "scope",
    "detectors",
    "on_miss",
    "limit",
    "seed",
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A release that this process may write. resumed: an interrupted run goes on · key: 32 bytes

    samples: ``data/`` of the unfinished release, as workers write samples to it
    """

    resumed: bool
    key: bytes
    fingerprint: str
    samples: Path | Bucket


@contextmanager
def open_release(
    paths: ReleasePaths, entries: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
) -> Iterator[Opened]:
    """Take the release for the block: private side, RELEASE.partial, locks, and the key, which is made if need be.

    entries: all that the output depends on (configuration, weights, inputs), as JSON values; an interrupted run is
    resumed only where they and the key are the same. ``resume`` with nothing to resume starts afresh.
    Raises ReleaseError: finished, interrupted, changed, running elsewhere, not writable; KeyFileError; UsageError.
    """
    if paths.bucket:
        objects.refuse_finished(paths, overwrite)
    _refuse_finished(paths, overwrite)
    if paths.key.exists():
        load_key(paths.key)  # a key that is none leaves no trace of the run
    with ExitStack() as stack:
        with explained(paths.private):
            _make_private(paths.private)
            paths.release.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(owned(paths.private))
            paths.partial.mkdir(exist_ok=True)
            stack.callback(_discard_empty, paths.partial)
            stack.enter_context(locked(paths.partial))
            if paths.staging.is_dir():
                wait_for(paths.staging)
            recover(paths.data)
            _recover(paths)
            _refuse_finished(paths, overwrite)
            _refuse_shared_private(paths)
            opened = _resume(paths, entries) if resume and _interrupted(paths) else None
            if opened is None:
                if _interrupted(paths) and not overwrite:
                    raise ReleaseError(
                        f"{paths.partial} is of an interrupted run: use --resume to go on, --overwrite to start afresh"
                    )
                opened = _start(paths, entries)
            paths.data.mkdir(exist_ok=True)
            if paths.bucket:
                opened = replace(opened, samples=objects.take(paths, opened.resumed, overwrite) / "data")
        yield opened


def publish(paths: ReleasePaths, expected: Collection[str], copy: objects.Copy = Bucket.copy) -> None:
    """Give the finished release its name and one time, and the private files their names; delete the staging.

    expected: every file below ``data/``, relative, with forward slashes · copy: of samples within object storage
    Raises DsanonError for a file too many or too few, ReleaseError where the disk fails; RELEASE is then as it was.
    """
    if paths.bucket:
        objects.publish(paths, expected, WHOLE)
        _publish_private(paths)
        objects.exchange(paths, copy)
        shutil.rmtree(paths.release.parent)
        shutil.rmtree(paths.staging)
        return
    with explained(paths.release):
        # Folders count as well: an empty one may still bear a name. A link is never what was expected.
        found = {_entry(path, paths.data) for path in paths.data.rglob("*")}
        folders = {f"{folder}/" for file in expected for folder in PurePosixPath(file).parents if folder.name}
        refuse_difference("data/", found, {*expected, *folders})
        refuse_difference("the release", {path.name for path in paths.partial.iterdir()}, set(WHOLE))
        reorder(paths.data)
        _level_times(paths.partial)
        os.sync()
        _publish_private(paths)  # first: cut off in between, RELEASE.partial is still there for --resume
        if paths.release.exists() and any(paths.release.iterdir()):
            paths.release.rename(paths.replaced)
        paths.partial.rename(paths.release)
        sync_folder(paths.release.parent)
        _recover(paths)
        shutil.rmtree(paths.staging)


def _publish_private(paths: ReleasePaths) -> None:
    """Give the private files their names."""
    if not paths.staged_map.is_file():
        raise DsanonError(f"{paths.staged_map} is missing: nothing is released without its identity map")
    paths.staged_map.replace(paths.map)
    for staged, file in ((paths.staged_quarantine, paths.quarantine), (paths.staged_applied, paths.applied)):
        if staged.exists():
            staged.replace(file)
        else:
            file.unlink(missing_ok=True)
    write_json(paths.made, {"schema": 1, "release": paths.name, "key": str(paths.key)}, PRIVATE)


def _level_times(folder: Path) -> None:
    """Give all that is in ``folder``, and itself, the same time."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def fingerprint_of(entries: Mapping[str, Any]) -> str:
    """sha256 over all that a release depends on, whatever the order of the entries."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True, allow_nan=False).encode()).hexdigest()


def release_json(
    counts: Counts,
    configuration: Mapping[str, Any],
    fingerprint: str,
    versions: Mapping[str, str],
    weights: Mapping[str, str],
) -> dict[str, Any]:
    """release.json: state, counts, what of the configuration may be public, versions, weights (name → sha256)."""
    return {
        "schema": 1,
        "state": "incomplete" if counts.quarantined else "complete",
        "counts": {"samples": counts.samples, **counts.by_status(), "regions": counts.regions or {}},
        "configuration": {name: configuration[name] for name in PUBLIC if name in configuration},
        "fingerprint": fingerprint,
        "versions": dict(sorted(versions.items())),
        "weights": dict(sorted(weights.items())),
    }


def _make_private(folder: Path) -> None:
    """Make the private side, or check that nobody else can look into it (an empty folder is simply closed)."""
    if not folder.exists():
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True)
    elif not folder.is_dir():
        raise ReleaseError(f"--private {folder} is a file: name a folder")
    elif folder.stat().st_mode & 0o077 and any(folder.iterdir()):
        mode = stat.S_IMODE(folder.stat().st_mode)
        raise ReleaseError(f"--private {folder} is open to others (mode {mode:04o}): chmod 700 it or name a new folder")
    folder.chmod(PRIVATE_FOLDER)


def _refuse_finished(paths: ReleasePaths, overwrite: bool) -> None:
    release = paths.release
    if release.exists() and not release.is_dir():
        raise ReleaseError(f"RELEASE {release} is a file: name a folder that does not exist yet")
    if release.exists() and any(release.iterdir()):
        if not (release / "release.json").is_file():
            raise ReleaseError(
                f"RELEASE {release} holds other things (no release.json): name a folder that does not exist"
            )
        if not overwrite:
            raise ReleaseError(f"RELEASE {release} is finished: replace it with --overwrite or name another folder")


def _refuse_shared_private(paths: ReleasePaths) -> None:
    """One private side belongs to one release: a second one would replace the first one's map."""
    for file in (paths.made, paths.job):
        other = (read_object(file, release=str) or {}).get("release")
        if other and other != paths.name and ("://" in other or _there(other)):
            raise ReleaseError(
                f"--private {paths.private} belongs to {other}: name another folder, one for each release"
            )


def _there(release: str) -> bool:
    return Path(release).exists() or Path(release + ".partial").exists()


def _interrupted(paths: ReleasePaths) -> bool:
    """Whether a run was begun here and left anything to go on from."""
    if not paths.data.is_dir():
        return False
    staged = {path.name for path in paths.staging.iterdir()} if paths.staging.is_dir() else set()
    return bool(staged - {paths.job.name}) or any(_is_leaf(path) for path in paths.partial.rglob("*"))


def _start(paths: ReleasePaths, entries: Mapping[str, Any]) -> Opened:
    unknown = {path.name for path in paths.partial.iterdir()} - {*WHOLE, *(f".{name}.aside" for name in WHOLE)}
    if unknown:
        raise ReleaseError(f"{paths.partial} holds other things ({few(unknown)}): move them, or name another RELEASE")
    for path in paths.partial.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if paths.staging.exists():
        shutil.rmtree(paths.staging)
    key = load_key(paths.key) if paths.key.exists() else create_key(paths.key)
    paths.staging.mkdir(mode=PRIVATE_FOLDER)
    everything = {**entries, "key": key_check(key)}
    write_json(paths.job, {"schema": 1, "release": paths.name, "entries": everything}, PRIVATE)
    return Opened(resumed=False, key=key, fingerprint=fingerprint_of(everything), samples=paths.data)


def _resume(paths: ReleasePaths, entries: Mapping[str, Any]) -> Opened:
    job = read_object(paths.job, release=str, entries=dict)
    if job is None:
        raise ReleaseError(
            f"{paths.partial} cannot be resumed: {paths.job} is missing; "
            "name the --private side it was begun with or start afresh with --overwrite instead of --resume"
        )
    key = load_key(paths.key)
    everything = json.loads(json.dumps({**entries, "key": key_check(key)}))
    changes = _changes(job["entries"], everything)
    if changes:
        raise ReleaseError(
            f"{paths.partial} cannot be resumed, for these have changed: {', '.join(changes)}; "
            "restore them or start afresh with --overwrite instead of --resume"
        )
    return Opened(resumed=True, key=key, fingerprint=fingerprint_of(everything), samples=paths.data)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the entries that differ (``configuration.method``), with both values where they are short."""
    changes = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += _changes(old, new, f"{prefix}{name}.")
        elif old != new:
            short = all(len(str(value)) < 40 and not isinstance(value, dict | list) for value in (old, new))
            shown = f" (was {old}, now {new})" if short and name != "key" else ""
            changes.append(f"{prefix}{name}{shown}")
    return changes


def _recover(paths: ReleasePaths) -> None:
    """End an exchange of releases: drop the old one when the new one is in place, else put the old one back."""
    if not (paths.replaced / "release.json").is_file():
        return
    if paths.release.exists():
        shutil.rmtree(paths.replaced)
    else:
        paths.replaced.rename(paths.release)


def _entry(path: Path, data: Path) -> str:
    """A path below data/ as publish() compares it: a folder ends with a slash, a link says where it leads."""
    kind = f" -> {path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else ""
    return path.relative_to(data).as_posix() + kind


def _is_leaf(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def _discard_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
