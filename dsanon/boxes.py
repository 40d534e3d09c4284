"""Arithmetic of boxes: ``(n, 4)`` arrays, ``x0 y0 x1 y1`` in pixels, half-open. Nothing here rounds or reads pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]  # (n, 4)
Floats = npt.NDArray[np.float64]


def as_boxes(boxes: npt.ArrayLike) -> Boxes:
    """``boxes`` as an (n, 4) float array; a sequence of box tuples, one of them, or none. Raises ValueError."""
    array = np.asarray(boxes, dtype=np.float64)
    return array.reshape(0, 4) if array.size == 0 else np.atleast_2d(array).reshape(-1, 4)


def area(boxes: npt.ArrayLike) -> Floats:
    """(n,) square pixels; 0 for a box whose corners are the wrong way round."""
    b = as_boxes(boxes)
    return np.maximum(b[:, 2] - b[:, 0], 0) * np.maximum(b[:, 3] - b[:, 1], 0)


def intersection(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """(n, m) square pixels that each of ``a`` (n, 4) shares with each of ``b`` (m, 4)."""
    p, q = as_boxes(a)[:, None], as_boxes(b)[None]
    sides = np.minimum(p[..., 2:], q[..., 2:]) - np.maximum(p[..., :2], q[..., :2])
    return np.asarray(np.maximum(sides, 0).prod(axis=-1))


def iou(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """(n, m) intersection over union in [0, 1]; 0 where both are empty."""
    shared = intersection(a, b)
    return _ratio(shared, area(a)[:, None] + area(b)[None] - shared)


def intersection_over_smaller(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """(n, m) intersection over the smaller of both areas, in [0, 1]: 1 for a box inside another."""
    return _ratio(intersection(a, b), np.minimum(area(a)[:, None], area(b)[None]))


def clip(boxes: npt.ArrayLike, width: int, height: int) -> Boxes:
    """``boxes`` cut off at the image's border; one that lies outside ends with an area of 0."""
    return as_boxes(boxes).clip(0, np.array([width, height, width, height], dtype=np.float64))


def expand(boxes: npt.ArrayLike, factor: float) -> Boxes:
    """``boxes`` about their own centres, each side ``factor`` times as long."""
    b = as_boxes(boxes)
    centre, half = (b[:, :2] + b[:, 2:]) / 2, (b[:, 2:] - b[:, :2]) * (factor / 2)
    return np.hstack([centre - half, centre + half])


def hull(boxes: npt.ArrayLike) -> Boxes:
    """(1, 4) the smallest box that covers all of ``boxes`` (at least one). Raises ValueError for none."""
    b = as_boxes(boxes)
    return np.hstack([b[:, :2].min(axis=0), b[:, 2:].max(axis=0)])[None]


def suppress(boxes: npt.ArrayLike, scores: npt.ArrayLike, limit: float) -> npt.NDArray[np.intp]:
    """Non-maximum suppression: indices of the boxes kept, best first (ties by coordinates).

    A box goes when its IoU with a better one that stays is over ``limit``.
    """
    b = as_boxes(boxes)
    order = ranking(b, scores)
    kept: list[int] = []
    while order.size:
        kept.append(int(order[0]))
        order = order[1:][iou(b[order[0]], b[order[1:]])[0] <= limit]
    return np.array(kept, dtype=np.intp)


def ranking(boxes: npt.ArrayLike, scores: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Indices by descending score, ties by ascending coordinates: an order that no run or thread changes."""
    b = as_boxes(boxes)
    return np.lexsort([b[:, 3], b[:, 2], b[:, 1], b[:, 0], -np.asarray(scores, dtype=np.float64).reshape(-1)])


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
