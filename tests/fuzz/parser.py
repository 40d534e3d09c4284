"""What a parser of untrusted input is to the fuzzers, and what they make whole files from."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TEXT = [b"-1", b"0", b"1e999", b"nan", b"-inf", b"9" * 20, b"9" * 400, b"9" * 5000, b"\0", b"\xff", b"\n", b"\t", b" "]
TEXT += [b"../../x.jpg", b"/etc/passwd", "²".encode(), "人".encode(), b"1_0", b"0x10", b'"', b"\\", b","]
JSON = [*TEXT, b"[", b"]", b"{", b"}", b"null", b"true", b'""', b"1" * 30, b"[" * 3000, b'"\\ud800"', b"0.5", b"-0"]
BYTES = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80", b"\0\0\0\1", b"\x01\0\0\0"]


@dataclass(frozen=True)
class Parser:
    """seeds: whole files that it takes · words: what damage may put into them · read: raises what it refuses with"""

    seeds: Callable[[], list[bytes]]
    words: list[bytes]
    read: Callable[[bytes, Path], object]


def file(data: bytes, path: Path) -> Path:
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def picture(width: int = 24, height: int = 16) -> Image.Image:
    """A made-up picture."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x * 9, y * 9, x + y], axis=-1).astype(np.uint8))


def stored(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file of Pillow's format ``kind``."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
