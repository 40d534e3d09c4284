"""Pictures, masks and videos."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from fuzz.annotations import read_source
from fuzz.parser import BYTES, Parser, file, picture, stored
from PIL import Image

from dsanon.images import decode
from dsanon.sources import open_source


def _images() -> list[bytes]:
    drawn = picture()
    kinds = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"]
    more = [stored(drawn.convert(mode), kind) for mode in ("L", "P", "1") for kind in ("PNG", "TIFF", "GIF")]
    more += [stored(drawn.convert("CMYK"), kind) for kind in ("JPEG", "TIFF")]
    more += [stored(drawn, "TIFF", compression=name) for name in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")]
    more += [stored(drawn, "GIF", save_all=True, append_images=[drawn]), stored(drawn, "WEBP", lossless=True)]
    return [stored(drawn, kind) for kind in kinds] + more


def _instances(data: bytes, folder: Path) -> None:
    root = folder / "mots-masks"
    file(data, root / "instances/0001/000001.png")
    read_source("mots", root, "images/0001/000001.jpg")


def _instances_seeds() -> list[bytes]:
    mask = np.zeros((16, 24), np.uint16)
    mask[2:9, 3:12], mask[10:, 10:] = 2001, 10_000
    return [stored(Image.fromarray(mask), "PNG")]


@cache
def _videos() -> list[bytes]:
    import av

    found = []
    for name, codec, pixels in (
        ("mp4", "libx264", "yuv420p"),
        ("matroska", "mjpeg", "yuvj420p"),
        ("avi", "mpeg4", "yuv420p"),
    ):
        out = io.BytesIO()
        with av.open(out, "w", format=name) as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, pixels
            for number in range(4):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 50 * number, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        found.append(out.getvalue())
    return found


def _video(data: bytes, folder: Path) -> None:
    file(data, folder / "video/a.mp4")
    source = open_source("video", folder / "video")
    samples = source.samples()
    assert len(list(source.read(samples))) == len(samples)


PARSERS: dict[str, Parser] = {
    "images": Parser(_images, BYTES, lambda data, _: decode(data)),
    "instances": Parser(_instances_seeds, BYTES, _instances),
    "video": Parser(_videos, BYTES, _video),
}
