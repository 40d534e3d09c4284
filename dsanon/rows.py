"""What happens to each region of a sample, and the rows that tell of it: of the public manifest and the private map."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import pyarrow as pa

from dsanon.config import GENERATORS, JobConfig
from dsanon.manifest import MANIFEST, PENDING, ManifestRow, hashed, to_table
from dsanon.models.painters import Generators
from dsanon.naming import Names
from dsanon.plan import Controls, scope_label, scope_of
from dsanon.private_map import MapRow, QuarantineRow
from dsanon.regions import subject_of
from dsanon.render import Action, Treatment
from dsanon.review import Decision, Verdict
from dsanon.sample import Found, Kind, Photo, Region, Sample, Unreadable
from dsanon.sources import Source
from dsanon.sources.stills import printable

MASKED, DROPPED = "masked by a reviewer", "dropped by a reviewer"
NO_SILHOUETTE = "no silhouette of one person is known here"
NO_BODIES = "no body generator is here"
CHANGED = "the source file changed during the run"


class Rows:
    """Decides each region's fate, and notes the rows of both manifests.

    Of a long video it holds some 200 bytes a region: those of the private map leave with each batch, the public ones
    wait for their file's hash. released: ids of samples · withheld: why others are not · regions: in the map
    """

    def __init__(
        self,
        config: JobConfig,
        generators: Generators,
        decisions: Sequence[Decision],
        source: Source,
        names: Names,
        controls: Controls,
    ) -> None:
        self.config, self.source, self.names, self.controls = config, source, names, controls
        self.cameras = dict(config.cameras)
        self.models = {kind: sha256[:16] for kind, (_, sha256) in generators.items()}
        self.decided: dict[str, dict[int, Verdict]] = {}
        for decision in decisions:
            self.decided.setdefault(decision.sample, {})[decision.region] = decision.verdict
        self.released: list[str] = []
        self.withheld: list[QuarantineRow] = []
        self.regions = 0
        self._number = 0  # of the sample that was planned last
        self._settled: list[pa.Table] = []
        # of the batch under way
        self._releasing: list[str] = []
        self._manifest: list[dict[str, Any]] = []
        self._map: list[MapRow] = []

    def plan(self, sample: Sample, photo: Photo | Unreadable, found: Found) -> list[Treatment] | None:
        """What happens to the sample's regions; None where it is quarantined."""
        self._number += 1
        base = self._base(sample)
        verdicts = self.decided.get(base["sample"], {})
        reason = _obstacle(sample, photo, found, self.config) or _dropped(verdicts, len(found.regions))
        if reason:
            self.withhold(sample, photo, found, reason)
            return None
        scope = scope_of(self.config.scope, sample, self.cameras)
        name, shown = base["sample"], base["scope"]
        self._releasing.append(sample.id)
        if not found.regions:
            self._manifest.append(base | {"status": "empty"})
        treatments = []
        for index, region in enumerate(found.regions):
            subject = subject_of(sample, index, region)
            pseudonym = self.names.subject(scope, subject)
            control = None
            if verdicts.get(index) == "mask":
                action: Action = "mask"
                row = {"status": "fallback", "reason": MASKED, "method": action}
            elif region.label is not None and region.label in self.config.kept:
                action = "keep"
                row = {"status": "kept", "reason": "consent: listed in --keep", "method": ""}
            elif region.reason:
                action = "pixelate" if self.config.on_miss == "pixelate" else "mask"
                reason = f"{region.reason} ({region.note})" if region.note else region.reason
                row = {"status": "fallback", "reason": reason, "method": action}
            elif self.config.method in GENERATORS and (reason := unpaintable(region, self.models)):
                action = "mask"
                row = {"status": "fallback", "reason": reason, "method": action}
            else:
                painted = self.config.method in GENERATORS
                action = "ciagan" if painted else self.config.method  # type: ignore[assignment]
                row = {"status": "anonymized", "reason": region.note, "method": self.config.method}
                if painted:
                    control = self.controls.get((region.kind, scope, subject))
                    if control is None:  # a release is made anew in which this person was not painted
                        self.withhold(sample, photo, found, "nobody knows whom a person in it became")
                        return None
                    row["model"] = self.models[region.kind]
            moment = None if sample.sequence is None else (pseudonym, self._number)
            treatments.append(Treatment(region, action, control, moment))
            self._manifest.append(
                base | row | {"region": index, "kind": region.kind, "box": region.box, "subject": pseudonym}
            )
            self._map.append(
                MapRow(
                    name,
                    index,
                    printable(sample.file),
                    found.sha256,
                    region.label,
                    pseudonym,
                    shown,
                    control.ids if control else (),
                    control.weights if control else (),
                    region.landmarks,
                    region.transform,
                    region.detector,
                    region.score,
                )
            )
        return treatments

    def withhold(self, sample: Sample, photo: Photo | Unreadable, found: Found, reason: str) -> None:
        """A sample of the batch is quarantined: whatever was noted of it before is taken back."""
        base = self._base(sample)
        name = base["sample"]
        self._releasing = [released for released in self._releasing if released != sample.id]
        self._manifest = [row for row in self._manifest if row["sample"] != name]
        self._map = [row for row in self._map if row.sample != name]
        self._manifest.append(base | {"status": "quarantined", "reason": reason})
        self.withheld.append(QuarantineRow(name, printable(sample.file), reason, photo.sha256 or found.sha256))

    def _base(self, sample: Sample) -> dict[str, Any]:
        target, name = released_as(self.source, self.names, sample)
        scope = scope_label(self.names, scope_of(self.config.scope, sample, self.cameras))
        return {"sample": name, "file": target, "scope": scope}

    def settle(self) -> list[MapRow]:
        """End the batch: nothing of it is taken back any more. Its rows of the private map."""
        self._settled.append(to_table([ManifestRow(**row, output_sha256=_hash(row)) for row in self._manifest]))
        self.released += self._releasing
        private = self._map
        self.regions += len(private)
        self._releasing, self._manifest, self._map = [], [], []
        return private

    def finish(self, hashes: Mapping[str, str]) -> pa.Table:
        """The public rows, with the hash of the file each sample is in."""
        return hashed(pa.concat_tables([MANIFEST.empty_table(), *self._settled]), hashes)


def _hash(row: Mapping[str, Any]) -> str:
    """What stands for the hash of a row's file until that is written."""
    return "" if row["status"] == "quarantined" else PENDING


def released_as(source: Source, names: Names, sample: Sample) -> tuple[str, str]:
    """The file below data/ that holds a sample, and the sample's name in the manifest."""
    target = source.target(sample, names)
    return target, target.rsplit(".", 1)[0] + ("" if sample.frame is None else f"#{sample.frame:06d}")


def unpaintable(region: Region, kinds: Container[Kind]) -> str:
    """Why a body is covered where others are painted, '' where it is painted too. kinds: there are generators of."""
    if region.kind == "face":
        return ""
    if "body" not in kinds:
        return NO_BODIES
    return "" if region.transform else NO_SILHOUETTE


def _dropped(verdicts: Mapping[int, Verdict], regions: int) -> str:
    """Why a reviewer's decisions withhold a sample, '' where they do not."""
    if "drop" in verdicts.values():
        return DROPPED
    return "" if all(number < regions for number in verdicts) else "a reviewer's decision fits no region of it"


def _obstacle(sample: Sample, photo: Photo | Unreadable, found: Found, config: JobConfig) -> str:
    """Why a sample cannot be released, '' where it can. Never names a file or a person."""
    if isinstance(photo, Unreadable):
        return photo.reason
    if found.problem:
        return found.problem
    if found.sample != sample.id or photo.sha256 != found.sha256:
        return CHANGED
    if photo.pixels.shape[:2] != (found.height, found.width):
        return CHANGED
    if sample.someone and not found.regions:
        return "a person must be here, but none was found"
    treated = [region for region in found.regions if region.label is None or region.label not in config.kept]
    if config.on_miss == "quarantine" and any(region.reason for region in treated):
        return "a person's face cannot be aligned (--on-miss quarantine)"
    return ""
