"""Silhouettes as annotation files write them (polygons, run lengths, masks), checked before C code reads them."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from dsanon.sample import Box, Mask, Rle

LARGEST = 1e6  # pixels; a coordinate beyond is a fault, and overflows pycocotools' integers
LONGEST = 1e6  # pixels around all polygons of a person: pycocotools keeps five points for each


def from_segmentation(segmentation: Any, width: int, height: int) -> Rle | None:
    """COCO's ``segmentation``: polygons, uncompressed or compressed run lengths. None where it covers nothing.

    Raises ValueError, whose message says what is wrong.
    """
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, width, height)
    if not isinstance(segmentation, dict):
        raise ValueError("the segmentation is neither polygons nor run lengths")
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"the segmentation's size is {segmentation.get('size')}, the image's {[height, width]}")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        return from_counts(counts.encode("ascii", "replace"), width, height)
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("the segmentation's counts are neither text nor whole numbers")
    if sum(counts) != width * height:
        raise ValueError(f"the segmentation's run lengths cover {sum(counts)} pixels of {width * height}")
    return _rle(coco_mask.frPyObjects(segmentation, height, width)) if any(counts[1::2]) else None


def from_counts(counts: bytes, width: int, height: int) -> Rle | None:
    """Compressed run lengths; None where they cover nothing. Raises ValueError."""
    runs = run_lengths(counts)
    if int(runs.sum()) != width * height:
        raise ValueError(f"the run lengths cover {int(runs.sum())} pixels of {width}x{height}")
    return Rle(height, width, counts) if runs[1::2].any() else None


def from_mask(mask: Mask) -> Rle | None:
    """A boolean mask (h, w); None where it is empty."""
    return _rle(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))) if mask.any() else None


def to_mask(rle: Rle) -> Mask:
    """The boolean mask (h, w); pycocotools' decode does the same with a warning of NumPy 2."""
    runs = run_lengths(rle.counts)
    return np.repeat(np.arange(runs.size) % 2 == 1, runs).reshape(rle.width, rle.height).T


def box_of(rle: Rle) -> Box:
    """The smallest box around the silhouette."""
    x, y, w, h = (float(value) for value in coco_mask.toBbox(rle.as_coco()))
    return x, y, x + w, y + h


def run_lengths(counts: bytes) -> npt.NDArray[np.int64]:
    """COCO's text of run lengths, undone: background, silhouette, background … Raises ValueError.

    Six bits a character from '0' on: five of the number, low ones first, and one for 'more follows'; from the
    fourth number on, the difference to the number before the last.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - ord("0")
    last = (codes & 32) == 0
    if not codes.size or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise ValueError("the run lengths are not COCO's text")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 7:  # 35 bits are more than any image needs
        raise ValueError("the run lengths hold an impossible number")
    digit = np.arange(codes.size) - np.repeat(starts, lengths)
    runs = np.add.reduceat((codes & 31) << (5 * digit), starts)
    runs -= np.where(codes[ends] & 16, np.left_shift(1, 5 * lengths), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    if runs.min() < 0:
        raise ValueError("the run lengths hold a negative number")
    return runs


def _from_polygons(polygons: list[Any], width: int, height: int) -> Rle | None:
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2:
            raise ValueError("a polygon is no list of x and y")
    for value in chain.from_iterable(polygons):
        if type(value) not in (int, float) or not abs(value) <= LARGEST:
            raise ValueError("a polygon holds a coordinate that is no sane number")
    if sum(map(_around, polygons)) > LONGEST:
        raise ValueError(f"the polygons are more than {LONGEST:.0f} pixels around")
    # pycocotools takes four numbers for a box; fewer than three corners have no area
    areas = [polygon for polygon in polygons if len(polygon) >= 6]
    if not areas:
        return None
    rle = _rle(coco_mask.merge(coco_mask.frPyObjects(areas, height, width)))
    return rle if coco_mask.area(rle.as_coco()) else None


def _around(polygon: list[float]) -> float:
    """How far it is around the polygon, by the longer of width and height of each side."""
    corners = np.array(polygon, float).reshape(-1, 2)
    return float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1, initial=0).sum())


def _rle(coco: dict[str, Any]) -> Rle:
    height, width = coco["size"]
    return Rle(int(height), int(width), bytes(coco["counts"]))
