"""Bodies: the crop of a silhouette, and the border of what is hidden of it.

The silhouette stands in place of landmark image and face mask (Maximov et al., section 3.1): no joints.
"""

from __future__ import annotations

import cv2
import numpy as np

from dsanon.align import Floats, Transform
from dsanon.sample import Mask, Pixels

SIZE = (128, 64)  # height and width of the crop: people stand more often than they lie
# radii measured from the silhouette, as :mod:`dsanon.landmarks` has them for faces; HIDDEN in pixels of the crop, the
# others in those of :func:`upright_unit`
FULL = 2.0
HIDDEN = 3.0
FEATHER = 1.0
LEAST = 2.0  # pixels of the photo by which a silhouette is dilated at least: annotators cut hair and shoe soles off
ROOM = 1.25  # the crop's side, of the silhouette's


def body_transform(silhouette: Mask) -> Transform:
    """Photo pixels → crop pixels: the silhouette upright, whole and in the middle. Raises ValueError without any."""
    rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
    if not rows.size:
        raise ValueError("an empty silhouette has no crop")
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    scale = float(min(SIZE[0] / height, SIZE[1] / width) / ROOM)
    centre = np.array([columns[0] + columns[-1], rows[0] + rows[-1]]) / 2
    middle = (np.array(SIZE[::-1]) - 1) / 2
    return np.hstack([scale * np.eye(2), (middle - scale * centre)[:, None]])


def upright_unit(height: int, width: int) -> float:
    """Photo pixels for one of the crop's, were the longer of these sides upright: who lies has no wider border."""
    return max(height, width) * ROOM / SIZE[0]


def inside(silhouette: Mask, unit: float = 1.0) -> Floats:
    """(h, w) share of each pixel that is the person's: the silhouette, its edge smooth. unit: pixels a crop pixel."""
    plane = silhouette.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), max(0.5, 0.15 * unit)), dtype=np.float32)


def draw(silhouette: Mask) -> Pixels:
    """What the generator is shown in place of a landmark image: (h, w, 3), the silhouette in every channel."""
    return np.repeat(np.where(silhouette, np.uint8(255), np.uint8(0))[..., None], 3, axis=2)
