"""A small real release, copies of it, and what is planted into them."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from dsanon_eval.leaks.scanner import Finding, examine
from PIL import Image

from dsanon.config import JobConfig
from dsanon.job import anonymize
from dsanon.layout import ReleasePaths
from dsanon.manifest import ManifestRow, write_rows
from dsanon.private_map import MapRow, lookup, write_map

PEOPLE = {"Ann_Example": 3, "Bo_Planted": 2, "Cleo_Nobody": 1}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A release, its source and its private side."""

    source: Path
    release: Path

    @property
    def private(self) -> Path:
        return self.release.with_name(self.release.name + ".private")

    def scan(self, **options: Any) -> list[Finding]:
        """What the scanner finds without looking for new faces, which takes a detector's time."""
        return list(examine(self.release, self.source, **{"detectors": ""} | options).findings)

    def copy(self, folder: Path) -> Made:
        """Another one with the same source."""
        other = Made(self.source, folder / "copy")
        shutil.copytree(self.release, other.release)
        shutil.copytree(self.private, other.private)
        return other

    def rows(self) -> list[Row]:
        return list(pq.read_table(self.release / "manifest.parquet").to_pylist())

    def originals(self) -> dict[str, Path]:
        """Released file, relative to RELEASE → its source."""
        files = {(row["sample"], row["region"]): row["file"] for row in self.rows()}
        mapped = lookup(self.release)
        return {f"data/{files[r['sample'], r['region']]}": self.source / r["source_file"] for r in mapped}

    def rewrite(self, change: Callable[[list[Row]], None]) -> None:
        """Change the manifest's rows, and let their hashes be true."""
        rows = self.rows()
        change(rows)
        for row in rows:
            data = (self.release / "data" / row["file"]).read_bytes()
            row["output_sha256"] = hashlib.sha256(data).hexdigest()
        write_rows(self.release / "manifest.parquet", [ManifestRow(**row) for row in rows])

    def rewrite_map(self, change: Callable[[list[Row]], None]) -> None:
        rows = lookup(self.release)
        change(rows)
        tuples = [{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
        key = bytes.fromhex((self.private / "key").read_text())
        write_map(self.private / "identity_map.parquet", [MapRow(**row) for row in tuples], key)


def make(folder: Path, scope: str = "dataset") -> Made:
    """Six photos of three people (all of them the public-domain portrait of Eileen Collins), in LFW's layout."""
    made = Made(folder / "source", folder / "release")
    number = 0
    for person, count in PEOPLE.items():
        (made.source / "lfw" / person).mkdir(parents=True)
        for image in range(1, count + 1):
            Image.fromarray(photo(number)).save(made.source / "lfw" / person / f"{person}_{image:04d}.jpg", quality=95)
            number += 1
    (made.source / "people.txt").write_text("1\n3\n" + "".join(f"{p}\t{n}\n" for p, n in PEOPLE.items()))
    config = JobConfig(dataset="lfw", source=made.source, scope=scope, detectors="hog")
    anonymize(config, ReleasePaths.of(made.source, made.release), workers=0, quiet=True)
    return made


def photo(number: int) -> np.ndarray:
    """250 × 250, the face in the middle: turned, mirrored, lighter or darker, as ``number`` says."""
    from skimage import data

    portrait = Image.fromarray(np.asarray(data.astronaut())).rotate(3 * number - 6, center=(224, 115))
    face = portrait.crop((105, 0, 343, 238)).resize((250, 250))
    pixels = np.asarray(face).astype(float) * (0.75 + 0.06 * number)
    return np.clip(pixels[:, :: (-1) ** number], 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, quality: int = 95, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, **options)
    return out.getvalue()


def pixels_of(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"))
