"""Similarity alignment of faces: every crop upright and of one scale, and the way back into the photo.

Both eyes and the middle of the mouth corners go to fixed points of a ``CROP`` × ``CROP`` square. The transform
is stored; its inverse pastes the painted crop back at the photo's own resolution.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from dsanon.sample import Pixels

CROP = 128
PAD = 127  # constant colour beyond the photo's edge; reflection would show the hidden face again, mirrored

Floats = npt.NDArray[np.float32]
Transform = npt.NDArray[np.float64]  # (2, 3)

# eyes at 0.36 / 0.64 of the width and 0.42 of the height, the mouth corners' middle at 0.72
_TEMPLATE = np.array([[0.36, 0.42], [0.64, 0.42], [0.50, 0.72]]) * CROP
_MARGIN = 8.0  # pixels of the crop kept free around the landmarks, so that the hidden region fits inside
_SMALLEST_ZOOM = 0.6


def anchors(points: npt.ArrayLike) -> Transform:
    """Eye centres and the mouth corners' middle of 68 landmarks: (3, 2)."""
    p = np.asarray(points, dtype=np.float64).reshape(68, 2)
    return np.stack([p[36:42].mean(0), p[42:48].mean(0), (p[48] + p[54]) / 2])


def similarity(source: npt.ArrayLike, target: npt.ArrayLike) -> Transform:
    """Least-squares similarity (Umeyama 1991) from ``source`` to ``target``, both (n, 2): (2, 3)."""
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    ca, cb = a.mean(0), b.mean(0)
    za, zb = (a - ca) @ (1, 1j), (b - cb) @ (1, 1j)
    spread = float((abs(za) ** 2).sum())
    if spread < 1e-9:
        raise ValueError("the points coincide: no similarity can be fitted")
    r = complex((zb * za.conj()).sum()) / spread
    rotation = np.array([[r.real, -r.imag], [r.imag, r.real]])
    return np.hstack([rotation, (cb - rotation @ ca)[:, None]])


def upright(points: npt.ArrayLike) -> Transform:
    """Source pixels → the template's: eyes and mouth of 68 landmarks at their fixed places, without any zoom."""
    return similarity(anchors(points), _TEMPLATE)


def face_transform(points: npt.ArrayLike) -> Transform:
    """Source pixels → crop pixels for 68 landmarks, zoomed out where jaw or brows would leave the crop.

    An open mouth takes the chin below the template's border; the region to hide must lie inside the crop.
    """
    p = np.asarray(points, dtype=np.float64).reshape(68, 2)
    transform = upright(p)
    inside = apply(transform, p[:27])
    centre = np.array([0.5, 0.57]) * CROP
    reach = np.abs(inside - centre)
    room = np.where(inside < centre, centre - _MARGIN, CROP - _MARGIN - centre)
    zoom = float(np.clip((room / np.maximum(reach, 1e-6)).min(), _SMALLEST_ZOOM, 1.0))
    transform[:, :2] *= zoom
    transform[:, 2] = transform[:, 2] * zoom + centre * (1 - zoom)
    return transform


def apply(transform: Transform, points: npt.ArrayLike) -> Transform:
    """Points (n, 2) taken through a (2, 3) transform."""
    p = np.asarray(points, dtype=np.float64)
    return np.asarray(p @ transform[:, :2].T + transform[:, 2])


def invert(transform: Transform) -> Transform:
    """The transform back."""
    return np.asarray(cv2.invertAffineTransform(transform))


def scale_of(transform: Transform) -> float:
    """Crop pixels per source pixel."""
    return float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))


def warp(
    pixels: npt.NDArray[np.uint8], transform: Transform, size: int | tuple[int, int] = CROP, pad: int = PAD
) -> Pixels:
    """A crop of (h, w) or (h, w, 3) pixels; what lies beyond the photo is ``pad``.

    size: the crop's side, or its height and width

    Strong shrinking averages areas first, so that nothing aliases. The weights depend on the transform alone:
    a mask warped alike is zero exactly where the crop took nothing from inside the mask.
    """
    scale = scale_of(transform)
    height, width = (size, size) if isinstance(size, int) else size
    corners = apply(invert(transform), [[-2, -2], [width + 2, -2], [width + 2, height + 2], [-2, height + 2]])
    h, w = pixels.shape[:2]
    shrink = int(max(1, np.floor(1 / max(scale, 1e-6))))
    # the piece that is read starts on a multiple of `shrink`, clipped to the photo
    x0, y0 = (max(0, int(np.floor(v / shrink)) * shrink) for v in corners.min(0))
    x1, y1 = (int(np.ceil(v)) for v in corners.max(0))
    piece = pixels[y0 : min(h, y1), x0 : min(w, x1)]
    if piece.size == 0:
        return np.full((height, width, *pixels.shape[2:]), pad, np.uint8)
    local = transform.copy()
    local[:, 2] += transform[:, :2] @ (x0, y0)
    if shrink > 1:
        ph, pw = piece.shape[:2]
        piece = cv2.copyMakeBorder(piece, 0, -ph % shrink, 0, -pw % shrink, cv2.BORDER_CONSTANT, value=[pad] * 3)
        ph, pw = piece.shape[:2]
        piece = cv2.resize(piece, (pw // shrink, ph // shrink), interpolation=cv2.INTER_AREA)
        # centre of the shrunken pixel j lies at (j + 0.5) * shrink - 0.5 of the piece
        local[:, 2] += local[:, :2] @ ((shrink - 1) / 2, (shrink - 1) / 2)
        local[:, :2] *= shrink
    out = cv2.warpAffine(
        piece, local, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=[pad] * 3
    )
    return np.asarray(out, dtype=np.uint8)
