"""What an experiment is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsanon.errors import UsageError
from dsanon_eval.measurement import Measurement
from dsanon_eval.reproduce.bench import Bench
from dsanon_eval.reproduce.rows import Row
from dsanon_eval.reproduce.table import Table
from dsanon_eval.seeing.known_faces import KnownFace, celeba_samples


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """data: the folder that was named · faces: to paint for ``swap``

    limit: only so many people of CelebA's test partition and of each training set, or pairs of each kind in a fold
    """

    bench: Bench
    data: Path
    limit: int | None = None
    faces: int = 5000

    def root(self, dataset: str) -> Path:
        """DATA/celeba or DATA/lfw, or DATA itself."""
        return self.data / dataset if (self.data / dataset).is_dir() else self.data


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What to write. counts: of people, photos, pairs … · weights: the generators measured, by row"""

    title: str
    tables: Sequence[Table]
    counts: dict[str, int]
    weights: dict[str, Path] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def measurements(self) -> list[Measurement]:
        """Of all tables, each once."""
        return list(dict.fromkeys(m for table in self.tables for m in table.stated()))


def held_out_people(setting: Setting) -> list[KnownFace]:
    """The faces of CelebA's test partition. Raises UsageError for less than two people."""
    root = setting.root("celeba")
    faces = setting.bench.find("celeba", root, celeba_samples(root, 2, setting.limit))
    if len({face.person for face in faces}) < 2:
        raise UsageError(f"{root}: found no two people of CelebA's test partition: expected photos of partition 2")
    return faces


def counts_of(faces: Sequence[KnownFace]) -> dict[str, int]:
    """People and photos."""
    return {"people": len({face.person for face in faces}), "photos": len(faces)} | unaligned(faces)


def unaligned(faces: Sequence[KnownFace]) -> dict[str, int]:
    """How many faces are masked where CIAGAN cannot paint them; they are measured like all others."""
    return {"photos whose face could not be aligned": sum(not face.region.transform for face in faces)}


def weights_of(wanted: Sequence[Row]) -> dict[str, Path]:
    """The generators among the rows."""
    return {row.name: row.weights for row in wanted if row.weights}
