"""Small pictures of regions, for a report or a reviewer: cut from a file of a release, or of its source."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dsanon.errors import BadImage
from dsanon.images import decode, read_regular
from dsanon.sample import Pixels, Unreadable
from dsanon.sources.video import SUFFIXES
from dsanon_eval.seeing.clips import ClipFrames

_MARGIN = 0.35  # of the region's larger side, on each side


def open_picture(root: Path, file: str, frame: int | None = None) -> Pixels:
    """(h, w, 3) pixels of ``file`` below ``root``, or of one frame of a video.

    A manifest may come from anywhere: what leads out of ``root``, by name or by link, is refused. Raises BadImage.
    """
    path = root / file
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            raise BadImage("the file lies outside of the dataset")
        if frame is not None and path.suffix.lower() in SUFFIXES:
            return _frame(path, frame)
        data = read_regular(path)
    except (OSError, ValueError) as error:
        raise BadImage(f"the file cannot be read ({type(error).__name__})") from error
    if isinstance(data, Unreadable):
        raise BadImage(data.reason)
    return decode(data)[0]


def crop(pixels: Pixels, box: Sequence[float], side: int = 160) -> bytes:
    """JPEG of a region with a margin, at most ``side`` pixels large. box: x0 y0 x1 y1 in pixels, half-open."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    margin = _MARGIN * max(x1 - x0, y1 - y0)
    left, top = max(0, int(x0 - margin)), max(0, int(y0 - margin))
    right, bottom = min(width, int(np.ceil(x1 + margin))), min(height, int(np.ceil(y1 + margin)))
    if right <= left or bottom <= top:
        raise BadImage("the region lies outside of the picture")
    image = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    scale = min(side / max(image.size), 4.0)
    return _jpeg(image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))))


def outlined(pixels: Pixels, box: Sequence[float], side: int = 900) -> bytes:
    """JPEG of the whole picture, at most ``side`` pixels large, with the region's box drawn on it."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    scale = min(1.0, side / max(image.size))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    x0, y0, x1, y1 = (float(v) * scale for v in box)
    draw = ImageDraw.Draw(image)
    for width, colour in ((5, "black"), (2, "white")):  # seen on any ground
        draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=colour, width=width)
    return _jpeg(image)


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def _frame(path: Path, number: int) -> Pixels:
    """Upright, and counted as the job counts: boxes are of such frames."""
    pixels = ClipFrames(path).at(number)
    if pixels is None:
        raise BadImage(f"frame {number} of the video cannot be read, or is not there")
    return pixels
