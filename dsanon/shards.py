"""Shards: what one call to a worker does. A sequence stays whole, stills come in fixed chunks of the sorted source."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from dsanon.sample import Sample

CHUNK = 32  # stills a shard: small enough to end evenly, large enough to fill batches
MOST = 1024  # of a large source, so that its shards stay few: the driver has work and files for each
FEW = 20_000  # shards from which on they grow


@dataclass(frozen=True, slots=True)
class Shard:
    """number: its place in the source order, the same for any number of workers."""

    number: int
    samples: tuple[Sample, ...]

    def without(self, ids: Set[str], problem: str) -> Shard:
        """The same samples, of which some are quarantined unread for ``problem``."""
        if not ids:
            return self
        return Shard(self.number, tuple(replace(s, problem=problem) if s.id in ids else s for s in self.samples))

    def found(self, staging: Path) -> Path:
        """Where the first pass leaves its regions."""
        return staging / f"{self.number:06d}.found.parquet"

    @property
    def sequence(self) -> bool:
        """Whether its samples are frames of a sequence, whose regions are linked; else they are stills."""
        return self.samples[0].sequence is not None

    def linked(self, staging: Path) -> Path:
        """Where a sequence's regions are left as tracks."""
        return staging / f"{self.number:06d}.linked.parquet"

    def regions(self, staging: Path) -> Path:
        """What is planned and rendered: tracks of a sequence, else what the first pass found."""
        return self.linked(staging) if self.sequence else self.found(staging)

    def manifest(self, staging: Path) -> Path:
        """Where the second pass leaves its public rows."""
        return staging / f"{self.number:06d}.manifest.parquet"

    def map(self, staging: Path) -> Path:
        """Where the second pass leaves its private rows."""
        return staging / f"{self.number:06d}.map.parquet"

    def done(self, staging: Path) -> Path:
        """Written last: the shard is rendered, and needs no second visit."""
        return staging / f"{self.number:06d}.done.json"

    def at(self, staging: Path) -> Path:
        """Number of the sample under way: tells which one a worker died of."""
        return staging / f"{self.number:06d}.at"


def make_shards(samples: Sequence[Sample]) -> list[Shard]:
    """Shards in source order; how many stills they hold depends on the source alone."""
    chunk = min(MOST, max(CHUNK, len(samples) // FEW))
    pieces: list[tuple[Sample, ...]] = []
    for sequence, group in groupby(samples, key=lambda s: s.sequence):
        run = tuple(group)
        step = chunk if sequence is None else len(run)
        pieces += [run[i : i + step] for i in range(0, len(run), step)]
    return [Shard(number, piece) for number, piece in enumerate(pieces)]
