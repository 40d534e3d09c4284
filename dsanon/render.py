"""The second pass for a batch of photos: first everything that must go turns grey, then it is painted.

Grey first is what makes it fail closed: whatever goes wrong later, no source pixel of a region is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from dsanon.align import Transform
from dsanon.footprint import Footprint, footprint
from dsanon.methods import classical
from dsanon.methods.ciagan import Crop, Painter, make_crop
from dsanon.plan import Control
from dsanon.sample import Pixels, Region
from dsanon.steady import Moment, Recent, steadied

Action = Literal["ciagan", "blur", "pixelate", "mask", "keep"]


@dataclass(frozen=True, slots=True)
class Treatment:
    """What happens to one region.

    control: the fake identity, for ``ciagan``, which stands for every painted method · moment: whose and when
    """

    region: Region
    action: Action
    control: Control | None = None
    moment: Moment | None = None


@dataclass(frozen=True, slots=True)
class Strength:
    """Of the classical methods, in pixels of a 128-pixel face crop."""

    kernel: int
    block: int


def render(
    photos: Sequence[Pixels],
    plans: Sequence[Sequence[Treatment]],
    strength: Strength,
    painter: Painter | None,
    recent: Recent | None = None,
) -> list[Pixels]:
    """New pixels for each photo, its regions treated in their order; the photos themselves stay as they are.

    recent: the faces painted last in this sequence, which those of the next frames are mixed with; it is updated.
    """
    recent = {} if recent is None else recent
    canvases, bases, areas, crops = [], [], [], []
    for photo, plan in zip(photos, plans, strict=True):
        height, width = photo.shape[:2]
        shapes = [_shape(treatment, painter) for treatment in plan]
        places = [
            footprint(t.region, width, height, soft=t.action == "ciagan", shape=shape)
            for t, shape in zip(plan, shapes, strict=True)
        ]
        canvas, base, taken = photo.copy(), photo.copy(), np.zeros((height, width), np.uint8)
        for treatment, area in zip(plan, places, strict=True):
            if treatment.action != "keep":
                canvas[area.window][area.hard] = classical.GREY
                taken[area.window][area.hard] = 255
            if treatment.action in ("ciagan", "mask"):
                base[area.window][area.hard] = classical.GREY  # a neighbour's blur must not bring it back
        canvases.append(canvas)
        bases.append(base)
        areas.append(places)
        crops += [_crop(canvas, taken, t, shape) for t, shape in zip(plan, shapes, strict=True) if shape is not None]
    painted = iter(painter(crops) if painter and crops else ())
    for base, plan, canvas, places in zip(bases, plans, canvases, areas, strict=True):
        for treatment, area in zip(plan, places, strict=True):
            if treatment.action == "ciagan":
                crop = steadied(next(painted), treatment.region, treatment.moment, recent)
                paste_crop(canvas, crop, treatment.region, area)
            elif treatment.action != "keep":
                _paste(canvas, area, _classical(base, area, treatment.action, strength))
    return canvases


def paste_crop(canvas: Pixels, crop: Pixels, region: Region, area: Footprint) -> None:
    """Put a face's (128, 128, 3) crop back into the photo it was aligned in, by the weights of its footprint."""
    _paste(canvas, area, _unwarp(crop, region, area))


def _shape(treatment: Treatment, painter: Painter | None) -> Transform | None:
    """(68, 2) landmarks of the face that is to be painted, in photo pixels; None where none is."""
    if treatment.action != "ciagan":
        return None
    region = treatment.region
    if painter is None or treatment.control is None or not region.transform:
        raise ValueError("a face to paint needs a painter, landmarks, a transform and a control vector")
    landmarks, transform = _geometry(region)
    return painter.shapes.replaced(landmarks, transform, treatment.control) if painter.shapes else landmarks


def _geometry(region: Region) -> tuple[Transform, Transform]:
    """(68, 2) landmarks and the (2, 3) transform to the crop."""
    return np.array(region.landmarks).reshape(68, 2), np.array(region.transform).reshape(2, 3)


def _crop(canvas: Pixels, taken: Pixels, treatment: Treatment, shape: Transform) -> Crop:
    assert treatment.control is not None
    landmarks, transform = _geometry(treatment.region)
    return make_crop(canvas, taken, landmarks, shape, transform, treatment.control)


def _unwarp(crop: Pixels, region: Region, area: Footprint) -> Pixels:
    """The painted crop at the photo's own resolution, in the footprint's window."""
    transform = np.array(region.transform, dtype=np.float64).reshape(2, 3)
    transform[:, 2] += transform[:, :2] @ (area.x0, area.y0)
    h, w = area.weight.shape
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(crop, transform, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _classical(base: Pixels, area: Footprint, action: Action, strength: Strength) -> Pixels:
    if action == "blur":
        return classical.blur(base, area, strength.kernel)
    if action == "pixelate":
        return classical.pixelate(base, area, strength.block)
    if action == "mask":
        return classical.mask((*area.weight.shape, 3))
    raise ValueError(f"unknown action {action!r}")


def _paste(canvas: Pixels, area: Footprint, pixels: Pixels) -> None:
    weight = area.weight[..., None]
    window = canvas[area.window]
    mixed = weight * pixels + (1 - weight) * window
    canvas[area.window] = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
