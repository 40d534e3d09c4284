"""Look at large images again from further away: convolutional detectors take a part of a very large face for all of it.

Seen with CenterFace, YuNet and RetinaFace on enlarged photos of LFW: up to 500 pixels of the network's input every
face is boxed well, at 750 pixels a third, at 950 pixels none; the parts found instead are 400 pixels and more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsanon import boxes
from dsanon.detectors import resized
from dsanon.sample import Pixels

Seen = tuple[boxes.Boxes, boxes.Floats, boxes.Floats]  # boxes (n, 4), scores (n,), points (n, 5, 2)

CLOSE = 600  # an image whose shorter side is longer may hold a face that is too large
STEP = 3  # how much further away each look is
PART, KNOWN = 400, 200  # pixels of the nearer look: faces from PART may be parts, those below KNOWN it sees better


def look(pixels: Pixels, scale: float, network: Callable[[Pixels], Seen], overlap: float) -> Seen:
    """What ``network`` sees of ``pixels`` at ``scale`` and, where that is large, at a third of it, and so on.

    network: faces of one image in that image's pixels, each once · overlap: IoU over which two are the same face.
    The result is in the pixels of ``pixels``. A large box of the nearer look goes only if the further look has a
    face there.
    """
    image, grow = resized(pixels, scale)
    found, scores, points = network(image)
    sides = (found[:, 2:] - found[:, :2]).max(axis=1, initial=0)
    near = found * np.tile(grow, 2), scores, points * grow
    if min(image.shape[:2]) <= CLOSE:
        return near
    far = look(pixels, scale / STEP, network, overlap)
    far_sides = ((far[0][:, 2:] - far[0][:, :2]) / grow).max(axis=1, initial=0)
    far = _chosen(far, far_sides >= KNOWN)
    if len(far[0]):
        covered = boxes.intersection_over_smaller(near[0], far[0]).max(axis=1) > 0.5
        near = _chosen(near, (sides < PART) | ~covered)
    both = tuple(np.concatenate(pair) for pair in zip(near, far, strict=True))
    return _chosen((both[0], both[1], both[2]), boxes.suppress(both[0], both[1], overlap))


def _chosen(seen: Seen, which: np.ndarray) -> Seen:
    return seen[0][which], seen[1][which], seen[2][which]
