"""CIAGAN at inference: crops in, painted crops out, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from dsanon import bodies
from dsanon.align import CROP, Transform, apply, warp
from dsanon.landmarks import distance_outside, distance_to, draw, face_polygon, hidden_from_generator
from dsanon.models import store
from dsanon.models.compiled import Compiled
from dsanon.models.weights import load_generator, pick_device, read_card
from dsanon.plan import Control
from dsanon.sample import Mask, Pixels
from dsanon.shape_model import NAME, load_shape_model

_COLOURLESS = 8  # difference of two colours up to which a pixel passes for grey: JPEG leaves a little


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What the generator is shown of one face or body.

    pixels, drawn: (h, w, 3) uint8 · hidden, padding: (h, w) bool; 128 × 128 of a face, 128 × 64 of a body
    """

    pixels: Pixels
    drawn: Pixels
    hidden: Mask
    padding: Mask
    control: Control


def make_crop(
    canvas: Pixels, taken: Pixels, landmarks: Transform, shape: Transform, transform: Transform, control: Control
) -> Crop:
    """One face's input, cut from a photo whose hidden regions are *already grey*.

    canvas: (h, w, 3) with every region's pixels replaced · taken: (h, w) uint8, 255 where they were replaced.
    So no source pixel of any hidden region, this face's or a neighbour's, can be in it. Bodies may be painted already.
    landmarks: (68, 2) of the source, whose face is hidden · shape: (68, 2) of the face to paint, which alone is drawn
    and is hidden too; both in the photo.
    """
    points = apply(transform, shape)
    outlines = [face_polygon(apply(transform, landmarks)), face_polygon(points)]
    distance = distance_outside(outlines, (CROP, CROP))
    return _crop(canvas, taken, draw(points), hidden_from_generator(distance), transform, control)


def make_body_crop(canvas: Pixels, taken: Pixels, silhouette: Mask, transform: Transform, control: Control) -> Crop:
    """One body's input, as :func:`make_crop` does for a face. silhouette: (h, w) of the photo."""
    drawn = warp(np.where(silhouette, np.uint8(255), np.uint8(0)), transform, bodies.SIZE, pad=0)
    hidden = hidden_from_generator(distance_to(drawn > 0), bodies.HIDDEN)
    return _crop(canvas, taken, bodies.draw(drawn > 127), hidden, transform, control)


def _crop(canvas: Pixels, taken: Pixels, drawn: Pixels, hidden: Mask, transform: Transform, control: Control) -> Crop:
    size = hidden.shape
    others = warp(taken, transform, size, pad=0) > 0
    inside = warp(np.full(canvas.shape[:2], 255, np.uint8), transform, size, pad=0) >= 255
    return Crop(warp(canvas, transform, size), drawn, hidden | others, ~inside, control)


class Painter:
    """The generator and the shapes of its identities (None where it has none), loaded once.

    batch: crops a forward pass on a GPU.

    On a CPU it is one: that is as fast, and the last bits of a face do not depend on who else is in its batch. There
    the network is compiled (:mod:`dsanon.models.compiled`): its pixels are within half a level of the network's own.
    """

    def __init__(self, weights: Path, device: str, batch: int) -> None:
        self.device = pick_device(device)
        self.batch = batch if self.device.type == "cuda" else 1
        self.generator = load_generator(weights, self.device)
        config = self.generator.config
        blank = np.zeros((config.size, config.across, 3), np.uint8)
        nothing = np.zeros((config.size, config.across), np.bool_)
        example = _planes([Crop(blank, blank, nothing, nothing, Control((), ()))], config.identities)
        self._forward = None if self.device.type == "cuda" else Compiled(self.generator, example)
        card = read_card(weights)
        shaped = card.identities and card.config.architecture != "ciagan-body"
        self.shapes = load_shape_model(store.path(NAME), card.identities) if shaped else None

    @torch.inference_mode()
    def __call__(self, crops: Sequence[Crop]) -> list[Pixels]:
        """Painted crops (h, w, 3) uint8, in order."""
        out: list[Pixels] = []
        for start in range(0, len(crops), self.batch):
            piece = crops[start : start + self.batch]
            planes = _planes(piece, self.generator.config.identities)
            if self._forward is not None:
                painted = torch.from_numpy(self._forward(*planes))
            else:
                painted = self.generator(*(plane.to(self.device) for plane in planes)).float()
            pixels = ((painted + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
            out.extend(_toned(np.ascontiguousarray(p), c) for p, c in zip(pixels.cpu().numpy(), piece, strict=True))
        return out


def _planes(crops: Sequence[Crop], identities: int) -> list[torch.Tensor]:
    """What a generator takes: landmarks, pixels, hidden, padding and control vectors."""
    control = torch.zeros(len(crops), identities)
    for row, crop in enumerate(crops):
        for index, weight in zip(crop.control.ids, crop.control.weights, strict=True):
            control[row, index] = weight
    return [
        torch.from_numpy(np.stack([c.drawn for c in crops])).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(np.stack([c.pixels for c in crops])).permute(0, 3, 1, 2).float() / 127.5 - 1,
        torch.from_numpy(np.stack([c.hidden for c in crops]))[:, None].float(),
        torch.from_numpy(np.stack([c.padding for c in crops]))[:, None].float(),
        control,
    ]


def _toned(painted: Pixels, crop: Crop) -> Pixels:
    """``painted`` without colour where what is visible around it has none: an old photo stays black and white."""
    red, green, blue = crop.pixels[~(crop.hidden | crop.padding)].T
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if not len(spread) or np.quantile(spread, 0.98) > _COLOURLESS:
        return painted
    return np.repeat(cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
