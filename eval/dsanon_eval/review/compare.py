"""``dsanon compare``: source and release side by side, for those who hold the private side. It shows source faces.

Stills and sequences of images become a contact sheet, videos a clip; both lie on the private side and go with the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from dsanon.durable import PRIVATE, PRIVATE_FOLDER, aside, explained, read_json
from dsanon.errors import ReleaseError, UsageError
from dsanon.job import check_source
from dsanon.layout import ReleasePaths
from dsanon.manifest import read_rows
from dsanon.sample import Pixels
from dsanon.sources import open_source
from dsanon_eval.utility.frames import SEQUENCES, Pair, face_pairs, still_pairs

WARNING = "PRIVATE: SHOWS SOURCE FACES. DO NOT PUBLISH."
_RED, _WHITE = (200, 0, 0), (255, 255, 255)
_TILE = 320  # pixels of width of one picture on a sheet
_CLIP = 640  # … and in a clip, at most
_COLUMNS = 2  # pairs in a row of a sheet
_BANNER = 32  # pixels of height


@dataclass(frozen=True, slots=True)
class Compared:
    """files: what was written · pairs: how many pictures are shown."""

    files: tuple[Path, ...]
    pairs: int


def compare(
    release: Path,
    source: Path,
    private: Path | None = None,
    samples: int = 12,
    sequence: str | None = None,
    key: Path | None = None,
) -> Compared:
    """Write PRIVATE/compare/: a sheet of ``samples`` stills, one of so many frames for each sequence, a clip per video.

    sequence: only this one, by its name in the release · key: by default the one the release was made with

    Raises UsageError, ReleaseError and KeyFileError.
    """
    if samples < 1:
        raise UsageError(f"--samples {samples}: expected 1 or more")
    paths = ReleasePaths.of(source, release, private)
    about = read_json(paths.release / "release.json")
    if not isinstance(about, dict):
        raise ReleaseError(f"{release} has no release.json: name a release that `dsanon anonymize` finished")
    dataset = str(about.get("configuration", {}).get("dataset", ""))
    check_source(source)
    folder = _folder(paths)
    if dataset not in SEQUENCES:
        if sequence is not None:
            raise UsageError(f"--sequence {sequence!r}: {dataset} has no sequences; leave it out")
        files = sorted(set(read_rows(paths.release / "manifest.parquet")["file"].to_pylist()))
        chosen = [files[i] for i in _spread(len(files), samples)]
        beside = still_pairs(paths.release, source, paths.private, dataset, chosen, key)
        tiles = [_beside(pair, _TILE) for pair in beside]
        if not tiles:
            raise UsageError(f"no person was treated in {release}: there is nothing to compare")
        return Compared((_sheet(folder / "samples.jpg", tiles),), len(tiles))
    counts: dict[str, list[float]] = {}
    for sample in open_source(dataset, paths.release / "data").samples():
        counts.setdefault(str(sample.sequence), []).append(sample.time or 0.0)
    if sequence is not None and sequence not in counts:
        raise UsageError(f"--sequence {sequence!r} is not in {release}: choose one of {', '.join(counts)}")
    written, shown = [], 0
    for pairs in face_pairs(paths.release, source, paths.private, 1 << 62, sequence, key):
        first = next(pairs, None)
        if first is None:
            continue
        times, name = counts[first.sequence], first.sequence.replace("/", "_")
        every = chain([first], pairs)
        if dataset == "video":
            file, count = _clip(folder / f"{name}.mp4", (_beside(p, _CLIP) for p in every), _rate(times))
        else:
            wanted = set(_spread(len(times), samples))
            tiles = [_beside(p, _TILE) for p in every if p.number in wanted]
            file, count = _sheet(folder / f"{name}.jpg", tiles), len(tiles)
        written.append(file)
        shown += count
    if not written:
        raise UsageError(f"nothing of {source} is in {release}: name the SOURCE that the release was made from")
    return Compared(tuple(written), shown)


def _folder(paths: ReleasePaths) -> Path:
    """PRIVATE/compare, made; never inside RELEASE, by whatever link."""
    if not paths.private.is_dir():
        raise ReleaseError(f"{paths.private} does not exist: name the private side of {paths.release} with --private")
    folder = paths.compare
    if folder.is_symlink() or folder.resolve().is_relative_to(paths.release):
        raise ReleaseError(f"{folder} leads elsewhere: it shows source faces, so that it has to be a plain folder")
    with explained(folder):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        folder.chmod(PRIVATE_FOLDER)
    return folder


def _spread(count: int, samples: int) -> list[int]:
    """At most ``samples`` numbers below ``count``, evenly spread, the first among them."""
    return sorted({i * count // samples for i in range(samples)} & set(range(count)))


def _rate(times: Sequence[float]) -> Fraction:
    """Frames a second."""
    span = times[-1] - times[0]
    return Fraction((len(times) - 1) / span).limit_denominator(1001) if span > 0 else Fraction(25)


def _beside(pair: Pair, width: int) -> Pixels:
    """Source on the left, release on the right, each ``width`` pixels wide at most, with a line between."""
    both = []
    for pixels in (pair.original, pair.release):
        scale = min(1.0, width / pixels.shape[1])
        size = (max(2, round(pixels.shape[1] * scale)), max(2, round(pixels.shape[0] * scale)))
        both.append(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    line = np.full((both[0].shape[0], 4, 3), _RED, np.uint8)
    return np.asarray(np.hstack([both[0], line, both[1]]), dtype=np.uint8)


def _banner(width: int) -> Pixels:
    """The warning, white on red, as wide as what it stands above."""
    banner = np.full((_BANNER, width, 3), _RED, np.uint8)
    (wide, high), _ = cv2.getTextSize(WARNING, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = min(0.6, 0.95 * width / wide)
    place = (max(2, round((width - scale * wide) / 2)), round((_BANNER + scale * high) / 2))
    cv2.putText(banner, WARNING, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _WHITE, 1, cv2.LINE_AA)
    return banner


def _sheet(path: Path, tiles: Sequence[Pixels]) -> Path:
    columns = min(_COLUMNS, len(tiles))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    width = max(tile.shape[1] for tile in tiles)
    heights = [max(tile.shape[0] for tile in row) for row in rows]
    sheet = np.zeros((sum(heights) + 4 * len(rows), columns * (width + 4), 3), np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left = column * (width + 4)
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        top += height + 4
    with aside(path, PRIVATE) as file:
        Image.fromarray(np.vstack([_banner(sheet.shape[1]), sheet])).save(file, "JPEG", quality=88)
    return path


def _clip(path: Path, pictures: Iterator[Pixels], rate: Fraction) -> tuple[Path, int]:
    with aside(path, PRIVATE) as file:
        count = _encode(file, pictures, rate)
    return path, count


def _encode(file: BinaryIO, pictures: Iterator[Pixels], rate: Fraction) -> int:
    import av

    first = next(pictures)
    height, width = (_BANNER + first.shape[0]) // 2 * 2, first.shape[1] // 2 * 2
    count = 0
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in chain([first], pictures):
            whole = np.vstack([_banner(picture.shape[1]), picture])[:height, :width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(whole), format="rgb24")
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode(None))
    return count
