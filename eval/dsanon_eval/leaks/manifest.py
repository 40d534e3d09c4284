"""Whether the manifest is true: every file accounted for, every hash right, counts as release.json states them."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path, PurePosixPath

from dsanon.errors import DsanonError
from dsanon.manifest import ManifestRow, count
from dsanon_eval.leaks.finding import Finding
from dsanon_eval.leaks.opened import PSEUDONYMOUS, Opened, is_clip, is_instance_mask, is_picture

PERFECT = 12  # of so many a perfect order is no chance: 1 in 12! / 2
TOP = frozenset({"manifest.parquet", "release.json", "CARD.md"})
AUDIT = re.compile(r"report\.html|(report|findings)\.json|measurements\.parquet|figures/[\w-]+\.(png|csv)")
ANNOTATIONS = frozenset({".txt", ".json", ".csv", ".ini"})


def unaccounted(opened: Opened) -> Iterator[Finding]:
    """Files that no row tells of, and rows whose file is not there."""
    listed = set() if opened.manifest is None else set(opened.manifest["file"].to_pylist())
    released = None if opened.manifest is None else opened.manifest.filter(_not_quarantined(opened))
    withheld = set() if released is None else listed - set(released["file"].to_pylist())
    there = set()
    for entry in opened.entries:
        top, _, below = entry.name.partition("/")
        if entry.name in TOP or (top == "audit" and AUDIT.fullmatch(below)):
            continue
        if top != "data" or not below:
            yield Finding("file", entry.name, "belongs to no release: remove it")
            continue
        there.add(below)
        if below in withheld and not is_clip(below):
            yield Finding("manifest", entry.name, "all of it was withheld, and it is there: remove it")
        if below in listed or is_instance_mask(below, opened.dataset):
            continue
        if is_picture(below) or is_clip(below):
            yield Finding("manifest", entry.name, "a picture that no row accounts for: remove it")
        elif PurePosixPath(below).suffix.lower() not in ANNOTATIONS or PurePosixPath(below).name.startswith("."):
            yield Finding("file", entry.name, "neither a picture nor an annotation: remove it")
    if released is None:
        return
    for file in sorted(set(released["file"].to_pylist()) - there, key=str):
        yield Finding("manifest", f"data/{file}", "is in the manifest, and not in the release")


def untrue_rows(opened: Opened) -> Iterator[Finding]:
    """Rows that contradict themselves, or release.json."""
    if opened.manifest is None:
        return
    seen: set[tuple[str, int | None]] = set()
    for batch in opened.manifest.to_batches(max_chunksize=1 << 14):
        for row in batch.to_pylist():
            file = f"data/{row['file']}"
            key = (row["sample"], row["region"])
            if key in seen:
                yield Finding("manifest", file, "a region is there twice")
            seen.add(key)
            box = row["box"]
            if any(row[n] is None for n in ("sample", "file", "scope", "status", "method", "reason", "output_sha256")):
                yield Finding("manifest", file, "a row without sample, file, scope, status, method or reason")
                continue
            try:
                ManifestRow(**row | {"box": tuple(box) if box is not None and len(box) == 4 else box})
            except (DsanonError, TypeError, ValueError):
                yield Finding("manifest", file, "a row that contradicts itself (status, region, box or hash)")
            if (row["status"], bool(row["method"])) in (("kept", True), ("anonymized", False)):
                yield Finding("manifest", file, f"status {row['status']} and method {row['method']!r} contradict")
    try:
        counts = count(opened.manifest)
    except DsanonError:
        return  # told as a row above
    stated = opened.release.get("counts")
    if stated != {"samples": counts.samples, **counts.by_status(), "regions": counts.regions or {}}:
        yield Finding("manifest", "release.json", "its counts are not those of the manifest: make the release again")
    if opened.release.get("state") != ("incomplete" if counts.quarantined else "complete"):
        yield Finding("manifest", "release.json", "its state is not what the manifest's statuses say")


def untrue_hash(path: Path, name: str, stated: str) -> Iterator[Finding]:
    """Whether a file has the bytes that its rows promise."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != stated:
            yield Finding("manifest", name, "is not the file that output_sha256 tells of: it was changed afterwards")


def order(opened: Opened) -> Iterator[Finding]:
    """Row order, file times and the numbers in names that follow the source's order, where names are pseudonyms.

    Whoever knows the source's list of names then reads off who is who. Told only where chance is ruled out.
    """
    if opened.manifest is None or opened.map is None or opened.dataset not in PSEUDONYMOUS:
        return
    samples = dict(zip(opened.map["sample"].to_pylist(), opened.map["source_file"].to_pylist(), strict=True))
    rows: dict[str, int] = {}  # released file → its first row
    sources: dict[str, str] = {}
    listed = zip(opened.manifest["sample"].to_pylist(), opened.manifest["file"].to_pylist(), strict=True)
    for number, (sample, file) in enumerate(listed):
        if sample in samples and file is not None:
            rows.setdefault(file, number)
            sources.setdefault(file, samples[sample])
    ranks = {source: number for number, source in enumerate(sorted(sources.values()))}
    place = {file: ranks[source] for file, source in sources.items()}
    if runs_along(rows, place):
        yield Finding("order", "manifest.parquet", "its rows stand in the source's order: sort them by pseudonym")
    modified = {entry.name.removeprefix("data/"): entry.modified for entry in opened.entries}
    if runs_along({file: modified[file] for file in place if file in modified}, place):
        yield Finding("order", "data", "the files' times follow the source's order: give all of them the same")
    last = {file: PurePosixPath(file).stem.rpartition("_")[2] for file in place}
    numbers = {file: int(digits) for file, digits in last.items() if digits.isdecimal() and len(digits) < 12}
    if runs_along(numbers, place):
        yield Finding("order", "data", "the numbers in file names follow the source's: number them in a keyed order")


def runs_along(values: Mapping[str, int], place: Mapping[str, int]) -> bool:
    """Whether ``values`` of files follow their ``place`` in the source, in one folder or in all of them together.

    Folder by folder: that two large folders stand in the source's order is a toss of a coin, not a thousand of them.
    A folder stands where the first of what is in it does.
    """
    folders: dict[tuple[str, ...], dict[str, tuple[int, int]]] = {}
    for file, value in values.items():
        parts = PurePosixPath(file).parts
        for depth, child in enumerate(parts):
            children = folders.setdefault(parts[:depth], {})
            other = children.get(child, (value, place[file]))
            children[child] = (min(other[0], value), min(other[1], place[file]))
    ascending = total = 0
    for children in folders.values():
        inside = sorted(children.values())
        if follows([value for value, _ in inside], [where for _, where in inside]):
            return True
        steps = [a[1] < b[1] for a, b in pairwise(inside) if a[0] < b[0]]
        ascending, total = ascending + sum(steps), total + len(steps)
    return total >= 2 * PERFECT and abs(2 * ascending - total) > 6 * math.sqrt(total)


def follows(values: Iterable[int], sources: Iterable[int]) -> bool:
    """Whether two orders agree (or are each other's inverse) beyond chance: six standard deviations of Spearman's rho,

    or perfectly, of ``PERFECT`` or more.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(list(v)) for v in (values, sources))
    n = len(a)
    if n < PERFECT or a.std() == 0 or b.std() == 0:
        return False
    rho = abs(float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std())))
    return rho > 1 - 1e-9 or rho * math.sqrt(n - 1) > 6


def _not_quarantined(opened: Opened) -> object:
    import pyarrow.compute as pc

    assert opened.manifest is not None
    return pc.fill_null(pc.not_equal(opened.manifest["status"], "quarantined"), True)
