"""Drawn pictures and their files, for the tests of decoding and encoding."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsanon.errors import BadImage
from dsanon.images import decode
from dsanon.sample import Pixels


def smooth(width: int = 64, height: int = 48) -> Pixels:
    """Ramps, which every codec keeps well."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return np.stack([x * 3 % 256, y * 4 % 256, (x + y) * 2 % 256], axis=-1).astype(np.uint8)


def noise(width: int = 64, height: int = 48) -> Pixels:
    """Pixels that no lossy codec keeps; the same every time."""
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def stored(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of the file that Pillow writes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(width: int, height: int, bits: int, rows: bytes) -> bytes:
    """An RGB PNG by hand: Pillow writes none of 16 bits."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def reason(data: bytes, size: tuple[int, int] | None = None, located: bool = False) -> str:
    """Why ``data`` is refused: one line. Fails where it is decoded."""
    with pytest.raises(BadImage) as caught:
        decode(data, size, located)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def scene(seed: int, level: int = 0) -> np.ndarray:
    """A picture of coarse coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 200, (6, 8, 3), dtype=np.uint8) + np.uint8(level)
    return np.kron(patches, np.ones((20, 20, 1), np.uint8))
