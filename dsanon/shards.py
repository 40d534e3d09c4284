"""Shards: what one call to a worker does. A sequence stays whole, stills come in fixed chunks of the sorted source.

A long sequence is searched in pieces, so that workers share it and a kill loses one of them. Tracks and rendering need
the frames in order, and have no joints.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from dsanon.sample import Sample

CHUNK = 32  # stills a shard: small enough to end evenly, large enough to fill batches
MOST = 1024  # of a large source, so that its shards stay few: the driver has work and files for each
FEW = 20_000  # shards from which on they grow
PIECE = 1_000  # frames of a sequence, at least, that one call searches …
PIECES = 16  # … and calls at most: of a video each decodes all that comes before (a seek may show other pixels)


@dataclass(frozen=True, slots=True)
class Shard:
    """number: its place in the source order, the same for any number of workers · piece: of the shard's pieces"""

    number: int
    samples: tuple[Sample, ...]
    piece: int | None = None

    def without(self, ids: Set[str], problem: str) -> Shard:
        """The same samples, of which some are quarantined unread for ``problem``."""
        if not ids:
            return self
        return replace(self, samples=tuple(replace(s, problem=problem) if s.id in ids else s for s in self.samples))

    def pieces(self) -> list[Shard]:
        """What the first pass searches, a call each: a long sequence in pieces, all else as it is."""
        size = max(PIECE, -(-len(self.samples) // PIECES))
        if not self.sequence or len(self.samples) <= size:
            return [self]
        starts = range(0, len(self.samples), size)
        return [Shard(self.number, self.samples[i : i + size], piece) for piece, i in enumerate(starts)]

    def found(self, staging: Path) -> Path:
        """Where the first pass leaves the regions of a shard that is no more than one piece."""
        return staging / f"{self._name}.found.parquet"

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
        return staging / f"{self._name}.at"

    @property
    def _name(self) -> str:
        return f"{self.number:06d}" + ("" if self.piece is None else f".{self.piece:02d}")


def make_shards(samples: Sequence[Sample]) -> list[Shard]:
    """Shards in source order; how many stills they hold depends on the source alone."""
    chunk = min(MOST, max(CHUNK, len(samples) // FEW))
    pieces: list[tuple[Sample, ...]] = []
    for sequence, group in groupby(samples, key=lambda s: s.sequence):
        run = tuple(group)
        step = chunk if sequence is None else len(run)
        pieces += [run[i : i + step] for i in range(0, len(run), step)]
    return [Shard(number, piece) for number, piece in enumerate(pieces)]
