"""Cheap cues of the first pass, staged for the second look: what a face's surroundings look like, and scene cuts.

They are computed while the frame is decoded, so that tracks are made without reading a picture again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from dsanon.sample import Box, Pixels, Region

_BINS = 4  # of each of L, a and b
_THUMB = 16  # pixels a side
# Most between neighbouring frames of eight real sequences (dancers and a running camera among them): 0.04 and 0.12.
# Least between any two of these sequences: 0.15 and 0.67.
_CUT_COLOURS, _CUT_PLACES = 0.12, 0.5


def look(pixels: Pixels, box: Box) -> bytes:
    """Colours of a face and of what is below it (clothes): two histograms of 64 bins, a byte each.

    pixels: (h, w, 3) RGB · box: of the face; what lies beyond the photo does not count.
    """
    x0, y0, x1, y1 = box
    height = y1 - y0
    areas = ((x0, y0, x1, y1), (x0, y0 + height, x1, y1 + height))
    return b"".join(_histogram(_part(pixels, area)) for area in areas)


def described(pixels: Pixels, regions: Sequence[Region]) -> tuple[Region, ...]:
    """``regions`` with the looks of the faces that a detector saw."""
    return tuple(replace(r, look=look(pixels, r.box)) if is_seen(r) else r for r in regions)


def is_seen(region: Region) -> bool:
    """Whether a detector saw this face; else only an annotation tells of it."""
    return region.kind == "face" and region.detector not in ("", "annotation")


def likeness(one: bytes, other: bytes) -> float:
    """How alike two looks are, in [0, 1]: the mean Bhattacharyya coefficient of their areas; 1 where one is unknown."""
    if len(one) != len(other) or not one:
        return 1.0
    a, b = (np.frombuffer(x, np.uint8).reshape(2, -1).astype(np.float64) for x in (one, other))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    shared = np.divide((a * b).sum(axis=1), norms, out=np.ones(2), where=norms > 0)
    return float(shared.mean())


def thumbnail(pixels: Pixels) -> bytes:
    """The frame at 16 × 16 pixels, in CIE Lab."""
    small = cv2.resize(pixels, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    return bytes(cv2.cvtColor(small, cv2.COLOR_RGB2LAB).tobytes())


def is_cut(before: Sequence[bytes], after: Sequence[bytes]) -> bool:
    """Whether a scene ends between the frames ``before`` and ``after``, two of each where there are so many.

    All before must differ from all after, so that a flash is no cut: its two sides are alike. In doubt it is none,
    for a track that ends leaves nobody covered.
    """
    pairs = [(a, b) for a in before for b in after if a and b]
    return bool(pairs) and all(_differ(a, b) for a, b in pairs)


def _differ(one: bytes, other: bytes) -> bool:
    colours, places = difference(one, other)
    return colours > _CUT_COLOURS and places > _CUT_PLACES


def difference(one: bytes, other: bytes) -> tuple[float, float]:
    """(of the colours, of where they are) of two thumbnails; 0 for the same, 1 for nothing in common."""
    a, b = (np.frombuffer(x, np.uint8).reshape(_THUMB, _THUMB, 3) for x in (one, other))
    first, second = (np.frombuffer(_histogram(x), np.uint8).astype(np.float64) for x in (a, b))
    colours = 1 - float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
    p, q = (x[..., 0].astype(np.float64).ravel() for x in (a, b))
    p, q = p - p.mean(), q - q.mean()
    norm = float(np.linalg.norm(p) * np.linalg.norm(q))
    return colours, 1 - float(p @ q) / norm if norm > 0 else 0.0


def _histogram(lab: npt.NDArray[np.uint8]) -> bytes:
    """Square roots of the shares of 4 × 4 × 4 colours, the soft shares of neighbouring bins, a byte each."""
    if lab.size == 0:
        return bytes(_BINS**3)
    ranges = [0, 256, 64, 192, 64, 192]  # a and b of photos stay near their middle
    clipped = np.ascontiguousarray(np.clip(lab, (0, 64, 64), (255, 191, 191)).astype(np.uint8))
    counts = cv2.calcHist([clipped], [0, 1, 2], None, [_BINS] * 3, ranges).ravel()
    return bytes(np.rint(255 * np.sqrt(counts / max(counts.sum(), 1))).astype(np.uint8).tobytes())


def _part(pixels: Pixels, box: Box) -> npt.NDArray[np.uint8]:
    """The pixels in a box, in CIE Lab, shrunk to some 16 pixels a side: faces of every size cost the same."""
    x0, y0, x1, y1 = (round(v) for v in box)
    part = pixels[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    if part.size == 0:
        return np.zeros((0, 0, 3), np.uint8)
    step = max(1, min(part.shape[:2]) // _THUMB)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(part[::step, ::step]), cv2.COLOR_RGB2LAB), dtype=np.uint8)
