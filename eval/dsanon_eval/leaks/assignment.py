"""Whether people are told apart and joined as promised: pseudonyms and fake identities, manifest against map."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from dsanon_eval.leaks.finding import Finding
from dsanon_eval.leaks.opened import Opened


def misassigned(opened: Opened) -> Iterator[Finding]:
    """One subject, one pseudonym and one control vector in a scope, another of both in every other scope.

    Needs manifest and map; a finding names the file of the row that breaks a rule first.
    """
    if opened.manifest is None or opened.map is None:
        return
    mapped = _Rules(opened.dataset in TRACKED)
    missing = set(opened.by_region)
    columns = ["sample", "file", "region", "kind", "subject", "scope", "status"]
    for batch in opened.manifest.select(columns).to_batches(max_chunksize=1 << 14):
        for row in batch.to_pylist():
            if row["region"] is None:
                continue
            file = f"data/{row['file']}"
            index = opened.by_region.get((row["sample"], row["region"]))
            if index is None:
                yield Finding("assignment", file, f"region {row['region']} is not in the private map")
                continue
            missing.discard((row["sample"], row["region"]))
            known = opened.map.slice(index, 1).select(_COLUMNS).to_pylist()[0]
            if row["subject"] != known["subject"]:
                yield Finding(
                    "assignment", file, f"region {row['region']} has another pseudonym in the map: subjects are swapped"
                )
            if row["scope"] != known["scope"]:
                yield Finding("assignment", file, f"region {row['region']} lies in another scope in the map")
            yield from mapped.add(file, row["sample"], row["region"], {**known, "kind": row["kind"]})
    if missing:
        yield Finding("assignment", "manifest.parquet", f"{len(missing)} regions of the map are not in the manifest")


TRACKED = frozenset({"mots", "mot", "video"})  # unlabelled people keep one pseudonym along their track
_COLUMNS = ["source_subject", "subject", "scope", "control_ids", "control_weights"]


class _Rules:
    """What was seen so far, and the rules that the next region must keep. tracked: the samples are frames."""

    def __init__(self, tracked: bool) -> None:
        self._tracked = tracked
        self._seen: dict[tuple[str, Hashable, Hashable], Hashable] = {}

    def add(self, file: str, sample: str, region: int, row: dict[str, Any]) -> Iterator[Finding]:
        """Findings for one row of the map. An unlabelled region is a subject of its own, or a track's in a sequence.

        Faces and bodies have generators of their own: a vector of one is none of the other's.
        """
        scope, pseudonym, label = row["scope"], row["subject"], row["source_subject"]
        track = (scope, pseudonym) if self._tracked else (sample, region)
        person: Hashable = label if label is not None else track
        where = f"region {region}"
        if label is None and self._broken("twice", (sample, pseudonym), region):
            yield Finding("assignment", file, f"{where}: somebody unlabelled is twice in one picture")
        if self._broken("pseudonym", (scope, person), pseudonym):
            yield Finding("assignment", file, f"{where}: one subject has two pseudonyms in a scope")
        if self._broken("person", (scope, pseudonym), person):
            yield Finding("assignment", file, f"{where}: two subjects share a pseudonym in a scope")
        if self._broken("across", (person, pseudonym), scope):
            yield Finding("assignment", file, f"{where}: one subject has the same pseudonym in two scopes")
        parts = zip(row["control_ids"] or (), row["control_weights"] or (), strict=False)
        kind, vector = row["kind"], tuple(sorted((identity, weight) for identity, weight in parts if weight))
        if not vector:
            return
        if self._broken("vector", (scope, (kind, person)), vector):
            yield Finding("assignment", file, f"{where}: one subject has two control vectors in a scope")
        if self._broken("owner", (scope, (kind, vector)), person):
            yield Finding("assignment", file, f"{where}: two subjects of a scope share a control vector")
        if self._broken("elsewhere", (person, (kind, vector)), scope):
            yield Finding("assignment", file, f"{where}: one subject has the same control vector in two scopes")

    def _broken(self, rule: str, key: tuple[Hashable, Hashable], value: Hashable) -> bool:
        return self._seen.setdefault((rule, *key), value) != value
