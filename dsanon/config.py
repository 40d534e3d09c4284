"""What a run was asked to do: one frozen value, validated once, dumped into the release and fingerprinted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dsanon.errors import UsageError
from dsanon.plan import SCOPES
from dsanon.sample import Sample
from dsanon.storage import Bucket

METHODS = {
    "ciagan": "a conditional GAN paints a new face or body from landmarks or silhouette, background and an identity",
    "pix2pix": "the trained baseline pix2pix: a new face without control over the identity (faces; your own weights)",
    "cyclegan": "the trained baseline CycleGAN: a new face without control over the identity (faces; your own weights)",
    "blur": "Gaussian blur; --kernel pixels at the scale of a 128-pixel face crop",
    "pixelate": "mosaic; --block pixels a cell at the scale of a 128-pixel face crop",
    "mask": "flat grey: nothing of the person is left",
}
# method → the generator that it paints faces with
GENERATORS = {"ciagan": "ciagan-face", "pix2pix": "pix2pix", "cyclegan": "cyclegan"}
FACES_ONLY = ("pix2pix", "cyclegan")
REGIONS = ("face", "body", "both")
ON_MISS = ("mask", "pixelate", "quarantine")
UNTOLD = "the annotations have no row and no mask of this frame: nothing tells who is in it"


@dataclass(frozen=True, slots=True)
class JobConfig:
    """Options of ``dsanon anonymize`` that the output depends on. kernel, block: pixels of a 128-pixel crop.

    regions, scope: '' until the source's default is known · cameras: sequence → camera · kept: subjects' labels
    """

    dataset: str
    source: Path | Bucket
    method: str = "ciagan"
    kernel: int = 9
    block: int = 16
    regions: str = ""
    scope: str = ""
    detectors: str = "hog,centerface"
    on_miss: str = "mask"
    limit: int | None = None
    seed: int = 0
    batch: int = 16
    device: str = "auto"
    cameras: tuple[tuple[str, str], ...] = ()
    kept: frozenset[str] = frozenset()

    def completed(self, regions: str, scope: str) -> JobConfig:
        """With the source's defaults filled in, and checked. Raises UsageError for an impossible value."""
        config = replace(self, regions=self.regions or regions, scope=self.scope or scope)
        for option, value, known in (
            ("--method", config.method, tuple(METHODS)),
            ("--regions", config.regions, REGIONS),
            ("--scope", config.scope, SCOPES),
            ("--on-miss", config.on_miss, ON_MISS),
        ):
            if value not in known:
                raise UsageError(f"{option} {value!r} is unknown: choose one of {', '.join(known)}")
        if config.method in FACES_ONLY and config.regions != "face":
            raise UsageError(
                f"--method {config.method} paints faces, not --regions {config.regions}: "
                "add --regions face, or choose --method ciagan, mask, blur or pixelate for bodies"
            )
        if config.kernel < 3 or config.kernel % 2 == 0:
            raise UsageError(f"--kernel {config.kernel}: expected an odd number of pixels from 3 on")
        for option, number, least in (("--block", config.block, 2), ("--batch", config.batch, 1)):
            if number < least:
                raise UsageError(f"{option} {number}: expected {least} or more")
        if config.limit is not None and config.limit < 1:
            raise UsageError(f"--limit {config.limit}: expected 1 or more samples")
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", config.device):
            raise UsageError(f"--device {config.device!r} is unknown: choose auto, cpu, cuda or cuda:N")
        return config

    def with_known_bodies(self, samples: Sequence[Sample]) -> list[Sample]:
        """``samples``, of which those are withheld where bodies are to be hidden and nothing tells of them.

        These are frames of sequences that are annotated elsewhere. Raises UsageError for stills, and for sequences of
        which nothing tells at all.
        """
        if self.regions == "face":
            return list(samples)
        told = {sample.sequence for sample in samples if sample.bodies and sample.sequence is not None}
        mute = [sample.id for sample in samples if not sample.bodies and sample.sequence not in told]
        if mute:
            raise UsageError(
                f"--regions {self.regions}: {len(mute)} of {len(samples)} samples of --dataset {self.dataset} (the"
                f" first one {mute[0]!r}) have no annotations of bodies, and no detector finds them, so they would stay"
                " as they are: choose --regions face, leave these samples out, or annotate people (--dataset coco)"
            )
        return [sample if sample.bodies or sample.problem else replace(sample, problem=UNTOLD) for sample in samples]

    def entries(self) -> dict[str, Any]:
        """All of it that the output depends on, as JSON values (the source's place is not part of it)."""
        values = asdict(replace(self, source=Path()))
        del values["source"]
        values["shape"] = "replaced" if self.method == "ciagan" else "source"  # whose landmarks are drawn: no option
        return values | {"kept": sorted(self.kept), "cameras": sorted(map(list, self.cameras))}
