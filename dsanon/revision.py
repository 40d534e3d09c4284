"""A finished release made anew after a review: what was decided is applied, all else is taken over as it is.

Shards without a decision keep their files and rows; the others are found and rendered again, under the fake identities
that their people already have. The result takes the release's place only when it is whole, as every release does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsanon.durable import read_object
from dsanon.errors import DsanonError, ReleaseError, UsageError
from dsanon.key import key_check
from dsanon.layout import ReleasePaths
from dsanon.manifest import read_rows, write_table
from dsanon.naming import Names
from dsanon.plan import Control
from dsanon.private_map import QuarantineRow, read_map, read_quarantine, write_map_rows
from dsanon.release import Opened, fingerprint_of
from dsanon.review import VERDICTS, Decision, Review, manifest_digest, read_review, write_review
from dsanon.rows import released_as
from dsanon.sample import Kind, Sample
from dsanon.seals import finish, is_still
from dsanon.shards import Shard
from dsanon.sources import Source


def decided(paths: ReleasePaths, file: Path) -> tuple[Decision, ...]:
    """What the release is to be made with: the decisions in ``file`` and those applied to it before.

    Of two about a region the graver holds, so that no later review brings back what an earlier one took away.
    Raises UsageError, and ReleaseError where file and release do not belong together.
    """
    review = read_review(file)
    applied = read_review(paths.applied).decisions if paths.applied.exists() else ()
    if (paths.release / "release.json").is_file():
        _refuse_another_state(paths, file, review)
    elif not paths.replaced.exists():  # where it is, a run was cut off in the exchange, and --resume ends that
        raise UsageError(f"--review: {paths.release} does not exist: name the release that was reviewed")
    graver: dict[tuple[str, int], Decision] = {}
    for decision in (*applied, *review.decisions):
        place = decision.sample, decision.region
        if place not in graver or VERDICTS.index(decision.verdict) > VERDICTS.index(graver[place].verdict):
            graver[place] = decision
    return tuple(sorted(decision for decision in graver.values() if decision.verdict != "accept"))


def as_entries(decisions: Sequence[Decision]) -> list[list[str | int]]:
    """Decisions as JSON values, for the fingerprint."""
    return [[d.sample, d.region, d.verdict] for d in decisions]


def take_over(
    paths: ReleasePaths,
    source: Source,
    names: Names,
    shards: Sequence[Shard],
    entries: Mapping[str, Any],
    decisions: Sequence[Decision],
    opened: Opened,
) -> tuple[list[Shard], dict[tuple[Kind, str], Control]]:
    """Stage the shards without a new decision as done; returns the others, and whom their people became.

    entries: the job's, without decisions: the release must have been made of the same.
    Raises DsanonError, ReleaseError.
    """
    old = _Old(paths, opened.key)
    applied = set(old.applied)
    if not _made_of(paths, entries, old.applied, opened.key):
        if not opened.resumed:  # else open_release() has compared the entries
            raise ReleaseError(
                f"{paths.release} was made of other options, weights or inputs, with another key or by other code: "
                "give those that it was made with, --review changes nothing else"
            )
        applied = set()  # cut off in the exchange, these are the decisions for the release that is to come
    write_review(paths.staged_applied, Review("", tuple(decisions)))
    touched = {decision.sample for decision in set(decisions) - applied}
    others = []
    for shard in shards:
        released = {released_as(source, names, sample)[1]: sample for sample in shard.samples}
        done = shard.done(paths.staging).exists()
        if touched & released.keys() or not (done or _take_over(paths, shard, released, old)):
            others.append(shard)
    return others, old.controls()


class _Old:
    """The finished release: its rows, and where its files are."""

    def __init__(self, paths: ReleasePaths, key: bytes) -> None:
        self.data = paths.release / "data"
        self.manifest = read_rows(paths.release / "manifest.parquet")
        self.map = read_map(paths.map, key)
        rows = read_quarantine(paths.quarantine).to_pylist() if paths.quarantine.exists() else []
        self.withheld = [QuarantineRow(**row) for row in rows]
        self.applied = read_review(paths.applied).decisions if paths.applied.exists() else ()

    def controls(self) -> dict[tuple[Kind, str], Control]:
        """Kind and pseudonym → fake identity."""
        place = ["sample", "region"]
        kinds = {
            (row["sample"], row["region"]): row["kind"] for row in self.manifest.select([*place, "kind"]).to_pylist()
        }
        rows = self.map.select([*place, "subject", "control_ids", "control_weights"]).to_pylist()
        return {
            (kinds[row["sample"], row["region"]], row["subject"]): Control(
                tuple(row["control_ids"]), tuple(row["control_weights"])
            )
            for row in rows
            if row["control_ids"]
        }


def _take_over(paths: ReleasePaths, shard: Shard, released: Mapping[str, Sample], old: _Old) -> bool:
    """Stage a shard as done; False where a file stands for withheld samples alone, for which no hash vouches.

    Raises ReleaseError where another one is not what the manifest says of it.
    """
    wanted = pa.array(sorted(released), pa.string())
    manifest = old.manifest.filter(pc.is_in(old.manifest["sample"], value_set=wanted))
    rows = manifest.select(["sample", "file", "status", "output_sha256"]).to_pylist()
    if {row["sample"] for row in rows} != released.keys():
        raise DsanonError(f"{paths.release} lacks samples of the source: make it anew with --overwrite")
    withheld = {row["sample"] for row in rows if row["status"] == "quarantined"}
    hashes = {row["file"]: row["output_sha256"] for row in sorted(rows, key=lambda row: str(row["output_sha256"]))}
    if any(os.path.lexists(old.data / file) for file, sha256 in hashes.items() if not sha256):
        return False
    files = {file: sha256 for file, sha256 in hashes.items() if sha256}
    for file, sha256 in files.items():
        if not is_still(old.data / file, sha256):
            raise ReleaseError(
                f"{old.data / file} is lost or was altered since the release was made: restore it, or make the release"
                " anew with --overwrite and without --review"
            )
        (paths.data / file).parent.mkdir(parents=True, exist_ok=True)
        _link(old.data / file, paths.data / file)
    mapped = old.map.filter(pc.is_in(old.map["sample"], value_set=wanted))
    write_table(shard.manifest(paths.staging), manifest)
    write_map_rows(shard.map(paths.staging), mapped)
    finish(
        shard,
        paths.staging,
        {"samples": len(released), "faces": mapped.num_rows, "quarantined": len(withheld)},
        files,
        (sample.id for name, sample in released.items() if name not in withheld),
        (row for row in old.withheld if row.sample in released),
    )
    return True


def _link(old: Path, new: Path) -> None:
    """The same file under a second name; a copy where the file system has no such thing."""
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def _refuse_another_state(paths: ReleasePaths, file: Path, review: Review) -> None:
    if review.manifest_sha256 != manifest_digest(paths.release):
        raise ReleaseError(f"--review {file} is about another state of {paths.release}: review it again")
    rows = read_rows(paths.release / "manifest.parquet").select(["sample", "region"]).to_pylist()
    there = {(row["sample"], row["region"]) for row in rows}
    for decision in review.decisions:
        if (decision.sample, decision.region) not in there:
            raise ReleaseError(f"--review {file} names region {decision.region} of {decision.sample}: there is none")


def _made_of(paths: ReleasePaths, entries: Mapping[str, Any], applied: Sequence[Decision], key: bytes) -> bool:
    made = {**entries, **({"review": as_entries(applied)} if applied else {}), "key": key_check(key)}
    about = read_object(paths.release / "release.json") or {}
    return bool(fingerprint_of(made) == about.get("fingerprint"))
