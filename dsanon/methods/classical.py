"""The paper's controls: blur, pixelate, mask, all at the scale of a 128-pixel face crop."""

from __future__ import annotations

import cv2
import numpy as np

from dsanon.footprint import Footprint
from dsanon.sample import Pixels

GREY = 127


def mask(shape: tuple[int, ...]) -> Pixels:
    """Flat grey: constant, so that not even the mean colour is left."""
    return np.full(shape, GREY, np.uint8)


def blur(photo: Pixels, area: Footprint, kernel: int) -> Pixels:
    """Gaussian blur of ``kernel`` crop pixels (OpenCV's sigma for that kernel), of the footprint's window.

    Sigma is one photo pixel at least: of a small face less rounds to nothing, and leaves every pixel as it was.
    """
    sigma = max(1.0, (0.3 * ((kernel - 1) * 0.5 - 1) + 0.8) * area.unit)
    rows, columns = area.window
    pad = int(np.ceil(4 * sigma))
    y0, x0 = max(0, rows.start - pad), max(0, columns.start - pad)
    piece = photo[y0 : rows.stop + pad, x0 : columns.stop + pad]
    soft = cv2.GaussianBlur(piece, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(
        soft[rows.start - y0 :, columns.start - x0 :][: rows.stop - rows.start, : columns.stop - columns.start]
    )


def pixelate(photo: Pixels, area: Footprint, block: int) -> Pixels:
    """Cells of ``block`` × ``block`` crop pixels, each its mean colour; at least 2 × 2 photo pixels a cell."""
    piece = photo[area.window]
    h, w = piece.shape[:2]
    cell = max(2.0, block * area.unit)
    size = (max(1, int(w / cell)), max(1, int(h / cell)))
    small = cv2.resize(np.ascontiguousarray(piece), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
