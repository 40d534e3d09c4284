"""What recognisers are shown: crops by the *original's* landmarks, and the paper's controls of the same photo.

A face that no detector finds in the release is still cropped, exactly where the original's was: not being found is no
protection against somebody who knows where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.align import Transform, similarity, warp
from dsanon.landmarks import distance_outside
from dsanon.render import Action, Strength, Treatment, render
from dsanon.sample import Box, Pixels, Region
from dsanon.shapes import ARCFACE, Predictor, five_of

# control → what dsanon's own rendering does for it; blackout is one flat colour, so what it leaks is outside the face
CONTROLS: dict[str, tuple[Action, Strength]] = {
    "blackout": ("mask", Strength(9, 16)),
    "blur9": ("blur", Strength(9, 16)),
    "blur17": ("blur", Strength(17, 16)),
    "pixelate8": ("pixelate", Strength(9, 8)),
    "pixelate16": ("pixelate", Strength(9, 16)),
}

_FACE_IN_BOX = 0.7  # the box of a face that cannot be aligned is enlarged to cover forehead, ears and chin


def control(photo: Pixels, regions: Sequence[Region], name: str) -> Pixels:
    """``photo`` with all its ``regions`` treated as the control ``name`` treats them."""
    action, strength = CONTROLS[name]
    return render([photo], [[Treatment(region, action) for region in regions]], strength, None)[0]


def points_of(region: Region, original: Pixels, predictor: Predictor) -> Transform:
    """(68, 2) source pixels: the region's, else what ``predictor`` makes of the original in its box.

    A face that could not be aligned was covered as it is; but an attacker crops it all the same, as well as he can.
    """
    if region.landmarks:
        return np.array(region.landmarks, dtype=np.float64).reshape(68, 2)
    x0, y0, x1, y1 = region.box
    half = _FACE_IN_BOX / 2 * float(np.sqrt((x1 - x0) * (y1 - y0)))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.asarray(predictor(original, (x - half, y - half, x + half, y + half)), dtype=np.float64)


def place(region: Region) -> Box:
    """Where the face is: the box of its landmarks, else the region's own."""
    return place_of(region.landmarks) if region.landmarks else region.box


def place_of(points: npt.ArrayLike) -> Box:
    """The box of 68 landmarks, from brows to chin: about the square that dlib's HOG detector reports."""
    p = np.asarray(points, dtype=np.float64).reshape(68, 2)
    (x0, y0), (x1, y1) = p.min(0), p.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def luma(pixels: Pixels, points: npt.ArrayLike) -> float:
    """Mean luma (0 to 255) of the face within the hull of its 68 landmarks; NaN where none of it is in the photo."""
    p = np.asarray(points, dtype=np.float64).reshape(68, 2)
    height, width = pixels.shape[:2]
    x0, y0 = (max(0, int(v)) for v in p.min(axis=0))
    x1, y1 = (min(limit, int(v) + 1) for v, limit in zip(p.max(axis=0), (width, height), strict=True))
    if x1 <= x0 or y1 <= y0:
        return float("nan")
    inside = distance_outside(p, (y1 - y0, x1 - x0), (x0, y0)) == 0
    face = pixels[y0:y1, x0:x1][inside]
    return float((face @ (0.299, 0.587, 0.114)).mean()) if len(face) else float("nan")


def dlib_chip(pixels: Pixels, points: npt.ArrayLike) -> Pixels:
    """(150, 150, 3): dlib's own alignment for its ResNet, padding 0.25."""
    import dlib

    p = np.asarray(points, dtype=np.float64).reshape(68, 2)
    x0, y0, x1, y1 = (round(v) for v in place_of(p))
    parts: Any = dlib.points()
    for x, y in p.round().astype(int).tolist():
        parts.append(dlib.point(x, y))
    shape = dlib.full_object_detection(dlib.rectangle(x0, y0, x1, y1), parts)
    return np.asarray(dlib.get_face_chip(np.ascontiguousarray(pixels), shape, size=150, padding=0.25), dtype=np.uint8)


def arcface_chip(pixels: Pixels, points: npt.ArrayLike) -> Pixels:
    """(112, 112, 3), aligned to ArcFace's five points."""
    return warp(pixels, similarity(five_of(points), ARCFACE), 112)


def mtcnn_chip(pixels: Pixels, points: npt.ArrayLike) -> Pixels:
    """(160, 160, 3): the box that MTCNN would draw, without margin, stretched to a square as facenet-pytorch does.

    Of 499 photos (299 of LFW's people outside pairs.txt, 200 of CelebA's training partition; facenet-pytorch 2.6), in
    units of √(width × height) of the landmarks' box: width 0.968 ± 0.046, height 1.293 ± 0.072, centre 0.182 ± 0.034
    above and 0.004 ± 0.032 beside that box's (standard deviations).
    """
    x0, y0, x1, y1 = place_of(points)
    unit = float(np.sqrt(max(x1 - x0, 1.0) * max(y1 - y0, 1.0)))
    width, height = 0.968 * unit, 1.293 * unit
    left, top = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2 - 0.182 * unit
    zx, zy = 160 / width, 160 / height
    # pixel centres lie at whole numbers on both sides
    return warp(pixels, np.array([[zx, 0, (zx - 1) / 2 - zx * left], [0, zy, (zy - 1) / 2 - zy * top]]), 160)


def square_chip(pixels: Pixels, points: npt.ArrayLike, size: int = 224) -> Pixels:
    """(size, size, 3): a square of 1.35 × the landmarks' larger extent, 0.08 of its side above their middle."""
    x0, y0, x1, y1 = place_of(points)
    side = 1.35 * max(x1 - x0, y1 - y0, 1.0)
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2 - 0.08 * side
    zoom = size / side
    shift = (zoom - 1) / 2  # pixel centres lie at whole numbers on both sides
    return warp(pixels, np.array([[zoom, 0, shift - zoom * left], [0, zoom, shift - zoom * top]]), size)
