"""The leak scanner: every file of a release, looked at for whatever gives the source away.

``examine`` finds, ``as_measurements`` counts. Each family of leaks has a module of its own; the slow ones, which open
files and decode pictures, are shared by a crew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dsanon.detectors import Detector, open_detectors
from dsanon.errors import ReleaseError
from dsanon.images import read_regular
from dsanon.sample import Unreadable
from dsanon_eval.crew import Crew
from dsanon_eval.leaks import hashes as leak_hashes
from dsanon_eval.leaks import names as leak_names
from dsanon_eval.leaks.assignment import misassigned
from dsanon_eval.leaks.clips import beside_track
from dsanon_eval.leaks.finding import KINDS, Finding
from dsanon_eval.leaks.manifest import order, unaccounted, untrue_hash, untrue_rows
from dsanon_eval.leaks.metadata import beside_pixels
from dsanon_eval.leaks.opened import (
    PSEUDONYMOUS,
    Case,
    Entry,
    Opened,
    is_clip,
    is_instance_mask,
    is_picture,
    open_release,
    shows_pictures,
    walk,
)
from dsanon_eval.leaks.pixels import Looked, look, strangers
from dsanon_eval.measurement import Gate, Measurement

__all__ = ["KINDS", "Examined", "Finding", "as_measurements", "examine"]

DETECTORS = "hog,centerface"
_AT_ONCE = 8  # files that go to a worker together


@dataclass(frozen=True, slots=True)
class Examined:
    """findings: sorted, each once · scanned: kind → how many things were looked at for it (files, rows, regions)"""

    findings: tuple[Finding, ...]
    scanned: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Sought:
    """What every file is looked through for. times: the source's, in nanoseconds · hashes: file → stated sha256"""

    words: leak_names.Words
    digests: leak_hashes.Digests
    times: frozenset[int]
    hashes: Mapping[str, str]


def examine(
    release: Path,
    source: Path | None = None,
    private: Path | None = None,
    *,
    key: Path | None = None,
    crew: Crew | None = None,
    detectors: str = DETECTORS,
) -> Examined:
    """All findings, none for a clean release, and what was looked at: :func:`as_measurements` counts both.

    What cannot be looked at without source or private side is left out. private: None is RELEASE.private, where it is
    there · crew: this process · detectors: '' looks for no new faces
    Raises UsageError for what is no release, KeyFileError and ReleaseError for a private side that cannot be read.
    """
    opened = open_release(release, source, private, key)
    crew = crew or Crew()
    sought = _sought(opened, crew)
    findings = [*opened.findings, *unaccounted(opened), *untrue_rows(opened), *order(opened), *misassigned(opened)]
    entries = ((entry.name, entry) for entry in opened.entries)
    for found in crew.each(partial(_look_through, sought, opened.dataset), entries, at_once=_AT_ONCE):
        findings += found
    cases = ((case.file, case) for case in opened.cases())
    seen = list(crew.each(_Looker(detectors), cases, at_once=_AT_ONCE))
    findings += [finding for looked in seen for finding in looked.findings]
    findings += strangers(seen)
    if opened.dataset == "celeba" and opened.source and leak_names.same_identities(opened.source, opened.root):
        findings.append(Finding("name", "data/identity_CelebA.txt", "the identity numbers are the source's"))
    return Examined(tuple(sorted(set(findings))), _counts(opened, seen))


def as_measurements(findings: Iterable[Finding], scanned: Mapping[str, int]) -> list[Measurement]:
    """``leak_<kind>``: how many findings, at most 0. scanned: :attr:`Examined.scanned`; what was not is left out."""
    found = Counter(finding.kind for finding in findings)
    return [
        Measurement(
            f"leak_{kind}", "scanner", "release", float(found[kind]), None, scanned.get(kind, 0), None, Gate("max", 0)
        )
        for kind in KINDS
        if scanned.get(kind) or found[kind]
    ]


def _counts(opened: Opened, seen: Sequence[Looked]) -> dict[str, int]:
    rows = 0 if opened.manifest is None else opened.manifest.num_rows
    mapped = 0 if opened.map is None else opened.map.num_rows
    files, sourced = len(opened.entries), opened.source is not None
    return {
        "file": files,
        "metadata": files,
        "name": files if sourced else 0,
        "hash": files if sourced else 0,
        "manifest": rows,
        "order": rows if mapped and opened.dataset in PSEUDONYMOUS else 0,
        "assignment": mapped,
        "pixels": sum(looked.compared for looked in seen),
    }


def _sought(opened: Opened, crew: Crew) -> _Sought:
    """Names, hashes and times of the source, of all of it, also of what is not released."""
    rows: list[tuple[str, str, str]] = []
    if opened.manifest is not None:
        columns = (opened.manifest[name].to_pylist() for name in ("file", "status", "output_sha256"))
        rows = list(zip(*columns, strict=True))
    hashes = {f"data/{file}": sha256 for file, status, sha256 in rows if status != "quarantined"}
    if opened.source is None:
        return _Sought(leak_names.Words(), leak_hashes.Digests(), frozenset(), hashes)
    # a picture without anybody in it may come out as it went in
    treated = {sha256 for _, status, sha256 in rows if status not in ("empty", "kept")}
    unchanged = {sha256 for _, status, sha256 in rows if status in ("empty", "kept")} - treated
    files = walk(opened.source)[0] if opened.source.is_dir() else [_entry(opened.source)]
    subjects = [] if opened.map is None else opened.map["source_subject"].drop_null().unique().to_pylist()
    words = leak_names.gather(opened.dataset, opened.source, (entry.name for entry in files), subjects)
    each = crew.each(_digests_of, ((entry.name, entry) for entry in files), at_once=_AT_ONCE)
    digests = leak_hashes.collect(each, unchanged)
    return _Sought(words, digests, frozenset(entry.modified for entry in files), hashes)


def _entry(path: Path) -> Entry:
    state = path.stat()
    return Entry(path.name, path, state.st_size, state.st_mtime_ns)


def _look_through(sought: _Sought, dataset: str, entry: Entry) -> list[Finding]:
    """One file: its container, its words, its hashes, its time."""
    out = [Finding("name", entry.name, message) for message in leak_names.in_path(sought.words, entry.name)]
    if leak_hashes.in_bytes(sought.digests, entry.name.encode()):
        out.append(Finding("hash", entry.name, "its path has the hash of an original: rename it"))
    if entry.modified in sought.times:
        out.append(Finding("metadata", entry.name, "its time of modification is that of a source file: change it"))
    try:
        out += _content(sought, dataset, entry)
    except (OSError, ReleaseError, ValueError, MemoryError) as error:  # ValueError: what Arrow says of damage
        out.append(Finding("file", entry.name, f"cannot be read to its end ({type(error).__name__})"))
    return out


def _content(sought: _Sought, dataset: str, entry: Entry) -> Iterator[Finding]:
    name = entry.name
    picture, clip = is_picture(name), is_clip(name)
    if picture:
        data = read_regular(entry.path)
        if isinstance(data, Unreadable):
            yield Finding("file", name, data.reason)
        else:
            for message in beside_pixels(data):
                yield Finding("metadata", name, f"{message}: write the file anew")
            if is_instance_mask(name, dataset) and data[24:26] != b"\x10\x00":
                yield Finding("file", name, "a mask of instances is a 16-bit grey PNG, this is not")
    elif clip:
        for message in beside_track(entry.path):
            yield Finding("metadata", name, f"{message}: write the file anew")
    else:
        if shows_pictures(entry.path):
            yield Finding("file", name, "is a picture or a video under another name: remove it")
        for message in leak_names.in_text(sought.words, entry.path, name):
            yield Finding("name", name, message)
    if leak_hashes.in_file(sought.digests, entry.path):
        yield Finding("hash", name, "it has the hash of an original, which proves that it is in here: remove it")
    if name in sought.hashes:
        yield from untrue_hash(entry.path, name, sought.hashes[name])
    if (picture or clip) and not is_instance_mask(name, dataset):
        digests = leak_hashes.digests_of(entry.path)
        if digests and digests[0] in sought.digests.files:
            yield Finding("pixels", name, "is a source file, byte for byte")


def _digests_of(entry: Entry) -> tuple[str, ...]:
    return leak_hashes.digests_of(entry.path)


class _Looker:
    """Pictures, as detectors see them that are opened at the first one: it travels before that."""

    def __init__(self, detectors: str) -> None:
        self._names = detectors
        self._detectors: list[Detector] | None = None if detectors else []

    def __call__(self, case: Case) -> Looked:
        self._detectors = open_detectors(self._names) if self._detectors is None else self._detectors
        return look(case, self._detectors)
