"""Look at a photo's edges as into a mirror: half a face and its reflection are a face.

A detector that knows whole faces misses many of those that the photo's edge cuts. Measured on 60 photos of LFW, cropped
so that a part of the face is left at the edge: CenterFace finds 2 %, 47 %, 90 % and 100 % where a fifth, three, four
and five tenths of the face's width are left; with a mirror at half of its scale 67 %, 78 %, 93 % and 100 %. What it
adds to whole photos (27 sightings to 524 in 400 of LFW, 7 to 313 in 91 of COCO) is, by eye, a part of a face in half of
the cases. What is seen around a corner is left out: four reflections of one quarter are no face, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.detectors import resized
from dsanon.detectors.looks import Seen
from dsanon.sample import Pixels

MARGIN = 0.2  # of the shorter side: how far the mirror reaches
AROUND = 1 / 8  # of a box's sides


def cut_faces(pixels: Pixels, scale: float, network: Callable[[Pixels], Seen], known: boxes.Boxes) -> Seen:
    """Faces over the border of ``pixels`` that ``network`` sees at ``scale`` in the mirror, without points.

    network: faces of one image in that image's pixels, each once · known: faces found without it (n, 4), which are left
    out. The result is in the pixels of ``pixels``; its boxes reach over the border as far as the reflections do.
    """
    import cv2

    image, grow = resized(pixels, scale)
    margin = int(MARGIN * min(image.shape[:2]))
    found, scores, _ = network(cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT))
    found = (found - margin) * np.tile(grow, 2)
    height, width = pixels.shape[:2]
    inside = boxes.clip(found, width, height)
    visible = (inside[:, 2:] - inside[:, :2] >= 1).all(axis=1)
    kept = visible & (inside != found).any(axis=1) & ~_around_corner(found, width, height)
    if len(known):
        kept &= boxes.intersection_over_smaller(inside, boxes.clip(known, width, height)).max(axis=1) < 0.5
        kept &= boxes.iou(found, _reflected(known, width, height)).max(axis=1) < 0.5
    return found[kept], scores[kept], np.zeros((int(kept.sum()), 0, 2))


def _around_corner(found: boxes.Boxes, width: int, height: int) -> npt.NDArray[np.bool_]:
    """(n,): whether the middle of each box lies on two edges at once, within AROUND of the box's sides."""
    centres, sides = (found[:, :2] + found[:, 2:]) / 2, found[:, 2:] - found[:, :2]
    off = np.minimum(np.abs(centres), np.abs(np.array([width, height]) - centres))
    return np.asarray((off < AROUND * sides).all(axis=1))


def _reflected(known: boxes.Boxes, width: int, height: int) -> boxes.Boxes:
    """(4 n, 4): the boxes as the four edges' mirrors show them."""
    x0, y0, x1, y1 = known.T
    sides = [np.stack([2 * edge - x1, y0, 2 * edge - x0, y1], axis=1) for edge in (0, width)]
    return np.vstack([*sides, *(np.stack([x0, 2 * edge - y1, x1, 2 * edge - y0], axis=1) for edge in (0, height))])
