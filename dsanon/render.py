"""The second pass for a batch of photos: first everything that must go turns grey, then it is painted.

Grey first is what makes it fail closed: whatever goes wrong later, no source pixel of a region is left. Bodies come
first, so that a face is painted onto the new neck and in the new light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from dsanon import bodies
from dsanon.align import Transform, warp
from dsanon.footprint import Footprint, body_mask, footprint
from dsanon.methods import classical
from dsanon.methods.ciagan import Crop, Painter, make_body_crop, make_crop
from dsanon.plan import Control
from dsanon.sample import TRACK, Kind, Pixels, Region
from dsanon.steady import Moment, Recent, steadied

_RESOLUTION = 160  # pixels of the longer side in which what lies behind a body is continued
Action = Literal["ciagan", "blur", "pixelate", "mask", "keep"]
CLASSICAL = ("blur", "pixelate")  # those of which source is left to see, only coarser


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
    body_painter: Painter | None = None,
) -> list[Pixels]:
    """New pixels for each photo, its bodies and then its faces treated in their order; the photos stay as they are.

    recent: the faces painted last in this sequence, which those of the next frames are mixed with; it is updated.
    """
    recent = {} if recent is None else recent
    scenes = [_grey(photo, plan, painter) for photo, plan in zip(photos, plans, strict=True)]
    rounds: tuple[tuple[Kind, Painter | None], ...] = (("body", body_painter), ("face", painter))
    for kind, paint in rounds:
        crops = [crop for scene in scenes for crop in _crops(scene, kind)]
        painted = iter(paint(crops) if paint and crops else ())
        for scene in scenes:
            grey = scene.taken(kind)
            for treatment, area in scene.of(kind):
                if treatment.action == "ciagan" and kind == "face":
                    crop = steadied(next(painted), treatment.region, treatment.moment, recent)
                    paste_crop(scene.canvas, crop, treatment.region, scene.visible(treatment.region, area))
                elif treatment.action == "ciagan":
                    paste_body(scene.canvas, next(painted), treatment.region, area, grey)
                    grey[area.window][area.hard] = 0
                elif treatment.action != "keep":
                    here = scene.coarsest(treatment, area)
                    _paste(scene.canvas, here, _classical(scene.base, area, treatment.action, strength))
    return [scene.canvas for scene in scenes]


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """A photo under way. canvas: what becomes of it · base: where a blur takes from, grey where something else goes;
    the canvas where nothing is blurred

    shapes: of the faces that are painted, else None
    """

    canvas: Pixels
    base: Pixels
    plan: Sequence[Treatment]
    areas: list[Footprint]
    shapes: list[Transform | None]

    def of(self, kind: Kind) -> list[tuple[Treatment, Footprint]]:
        """The treatments of faces or of bodies, and their places."""
        return [(t, area) for t, area in zip(self.plan, self.areas, strict=True) if t.region.kind == kind]

    def taken(self, kind: Kind) -> Pixels:
        """(h, w), 255 where nothing may be seen by who paints ``kind``: a painted body is there for the faces."""
        out = np.zeros(self.canvas.shape[:2], np.uint8)
        for treatment, area in zip(self.plan, self.areas, strict=True):
            done = kind == "face" and treatment.region.kind == "body" and treatment.action == "ciagan"
            if treatment.action != "keep" and not done:
                out[area.window][area.hard] = 255
        return out

    def coarsest(self, treatment: Treatment, area: Footprint) -> Footprint:
        """Where no larger region is blurred: a smaller one within it would bring back finer detail."""
        if treatment.action not in CLASSICAL:
            return area
        weight = area.weight.copy()
        for other, larger in zip(self.plan, self.areas, strict=True):
            if other.action in CLASSICAL and larger.unit > area.unit and area.meets(larger):
                taken = np.zeros(self.canvas.shape[:2], bool)
                taken[larger.window] = larger.hard
                weight[taken[area.window]] = 0
        return replace(area, weight=weight)

    def visible(self, face: Region, area: Footprint) -> Footprint:
        """What of a face is in front: others' new bodies hide one that nobody saw but on frames before or after."""
        if face.detector != TRACK:
            return area
        weight = area.weight.copy()
        for treatment, body in self.of("body"):
            if treatment.action == "ciagan" and treatment.region.label not in (None, face.label) and area.meets(body):
                weight[body_mask(treatment.region)[area.window]] = 0
        return replace(area, weight=weight)


def _grey(photo: Pixels, plan: Sequence[Treatment], painter: Painter | None) -> _Scene:
    """The photo with everything grey that must go."""
    height, width = photo.shape[:2]
    shapes = [painted_shape(treatment, painter) for treatment in plan]
    areas = [
        footprint(t.region, width, height, soft=t.action == "ciagan", shape=shape)
        for t, shape in zip(plan, shapes, strict=True)
    ]
    canvas = photo.copy()
    base = photo.copy() if any(t.action in CLASSICAL for t in plan) else canvas
    for treatment, area in zip(plan, areas, strict=True):
        hard = area.hard
        if treatment.action != "keep":
            canvas[area.window][hard] = classical.GREY
        if treatment.action in ("ciagan", "mask") and base is not canvas:
            base[area.window][hard] = classical.GREY  # a neighbour's blur must not bring it back
    return _Scene(canvas, base, plan, areas, shapes)


def _crops(scene: _Scene, kind: Kind) -> list[Crop]:
    """What the generator is shown of the faces or bodies that it paints."""
    wanted = [
        (t, shape)
        for t, shape in zip(scene.plan, scene.shapes, strict=True)
        if t.region.kind == kind and t.action == "ciagan"
    ]
    taken = scene.taken(kind) if wanted else np.zeros((0, 0), np.uint8)
    crops = []
    for treatment, shape in wanted:
        if treatment.control is None:
            raise ValueError("a region to paint needs a control vector")
        transform = _transform(treatment.region)
        if kind == "body":
            mask = body_mask(treatment.region)
            crops.append(make_body_crop(scene.canvas, taken, mask, transform, treatment.control))
        elif shape is not None:
            landmarks = np.array(treatment.region.landmarks).reshape(68, 2)
            crops.append(make_crop(scene.canvas, taken, landmarks, shape, transform, treatment.control))
    return crops


def paste_crop(canvas: Pixels, crop: Pixels, region: Region, area: Footprint) -> None:
    """Put the crop of a face back into the photo it was aligned in, by the weights of its footprint."""
    _paste(canvas, area, _unwarp(crop, region, area))


def paste_body(canvas: Pixels, crop: Pixels, region: Region, area: Footprint, grey: Pixels) -> None:
    """Put the crop of a body back: the person as far as the silhouette goes, and around it what lies behind them.

    A painted person who fades into the photo has a halo, and detectors of pedestrians go by outlines. What lies behind
    is continued from the pixels outside of the footprint (Telea's inpainting, 2004). grey: (h, w), 255 where the canvas
    shows nothing
    """
    mask = body_mask(region)
    around = warp(np.where(mask, np.uint8(0), np.uint8(255)), _transform(region), bodies.SIZE, pad=255)
    person = _continued(crop, around)  # else what was painted beyond the outline would bleed into it
    share = bodies.inside(mask[area.window], area.unit)[..., None]
    _paste(canvas, area, share * _unwarp(person, region, area) + (1 - share) * _behind(canvas, area, grey))


def _behind(canvas: Pixels, area: Footprint, grey: Pixels) -> Pixels:
    """The footprint's window as it would be without what it covers, as coarse as the ring around the outline allows."""
    height, width = canvas.shape[:2]
    unseen = grey.copy()
    unseen[area.window][area.weight > 0] = 255
    coarse = max(1.0, max(area.weight.shape) / _RESOLUTION)
    around = int(np.ceil(4 * coarse))
    rows, columns = area.window
    top, left = max(0, rows.start - around), max(0, columns.start - around)
    view = slice(top, min(height, rows.stop + around)), slice(left, min(width, columns.stop + around))
    h, w = canvas[view].shape[:2]
    size = max(1, round(w / coarse)), max(1, round(h / coarse))
    seen = cv2.resize(canvas[view], size, interpolation=cv2.INTER_AREA)
    unknown = cv2.resize(unseen[view], size, interpolation=cv2.INTER_AREA)
    whole = cv2.resize(_continued(np.asarray(seen), np.asarray(unknown)), (w, h), interpolation=cv2.INTER_CUBIC)
    return np.asarray(whole[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left])


def _continued(crop: Pixels, unknown: Pixels) -> Pixels:
    """What is known of a crop, continued to where ``unknown`` (h, w) is not 0; as it is where nothing is known."""
    if not (unknown == 0).any():
        return crop
    # of a single row or column OpenCV reads beyond the picture
    wide, mask = (cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REPLICATE) for plane in (crop, unknown))
    return np.asarray(cv2.inpaint(wide, mask, 3, cv2.INPAINT_TELEA)[1:-1, 1:-1])


def painted_shape(treatment: Treatment, painter: Painter | None) -> Transform | None:
    """(68, 2) landmarks of the face that is to be painted, in photo pixels; None where none is."""
    region = treatment.region
    if treatment.action != "ciagan" or region.kind != "face":
        return None
    if painter is None or treatment.control is None or not region.transform:
        raise ValueError("a face to paint needs a painter, landmarks, a transform and a control vector")
    landmarks = np.array(region.landmarks).reshape(68, 2)
    return painter.shapes.replaced(landmarks, _transform(region), treatment.control) if painter.shapes else landmarks


def _transform(region: Region) -> Transform:
    """(2, 3) photo pixels to crop pixels."""
    return np.array(region.transform, dtype=np.float64).reshape(2, 3)


def _unwarp(crop: Pixels, region: Region, area: Footprint) -> Pixels:
    """The painted crop at the photo's own resolution, in the footprint's window."""
    transform = _transform(region)
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
