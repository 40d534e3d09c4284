"""Every part of an image file or a video that is not pixels is told, and no file of a release has one."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from drawn_images import noise, smooth, stored
from dsanon_eval.leaks.clips import beside_track
from dsanon_eval.leaks.metadata import beside_pixels
from PIL import Image, PngImagePlugin
from sources.grey_clips import make, release

from dsanon.images import encode
from dsanon.sample import Encoding
from dsanon.sources.video import VideoSource

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
ICC = b"\0" * 128


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("grey", [False, True])
def test_what_a_release_writes_holds_pixels_alone(kind: str, grey: bool) -> None:
    """And bytes behind them, or missing, are told."""
    for pixels in (smooth(), noise(47, 33), noise(300, 200)):
        for options in ({}, {"subsampling": 0}, {"progressive": True}):
            data = encode(pixels, Encoding(kind, grey, **options))
            assert beside_pixels(data) == []
            assert any("bytes" in part for part in beside_pixels(data + b"x" * 700))
            assert beside_pixels(data[: len(data) // 2])


@pytest.mark.parametrize("kind", FORMATS)
def test_no_damage_raises(kind: str) -> None:
    random = np.random.default_rng(3)
    data = encode(noise(), Encoding(kind))
    for _ in range(200):
        broken = bytearray(data)
        for place in random.integers(len(data), size=5):
            broken[place] = random.integers(256)
        beside_pixels(bytes(broken[: random.integers(1, len(data))]))


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        ("JPEG", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}, "EXIF"),
        ("JPEG", {"comment": b"Aaron"}, "comment"),
        ("JPEG", {"icc_profile": ICC}, "ICC"),
        ("JPEG", {"xmp": b"<x:xmpmeta/>"}, "XMP"),
        ("PNG", {"exif": b"MM\0*\0\0\0\x08\0\0\0\0\0\0"}, "EXIF"),
        ("PNG", {"icc_profile": ICC}, "ICC"),
        ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}, "EXIF"),
        ("WEBP", {"xmp": b"<x:xmpmeta/>"}, "XMP"),
        ("GIF", {"comment": b"Aaron"}, "comment"),
        ("TIFF", {"tiffinfo": {270: "Aaron"}}, "TIFF tag 270"),
    ],
)
def test_metadata_is_told(kind: str, options: dict[str, Any], word: str) -> None:
    (told,) = beside_pixels(stored(Image.fromarray(smooth()), kind, **options))
    assert word in told
    assert "Aaron" not in told


def test_texts_and_times_of_a_png() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "Aaron")
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    texts.add(b"tIME", bytes(7))
    told = beside_pixels(stored(Image.fromarray(smooth()), "PNG", pnginfo=texts))
    assert [part.split(" (")[0] for part in told] == ["a text", "a text", "a time"]


def test_thumbnails_and_second_pictures() -> None:
    picture, second = Image.fromarray(smooth()), Image.fromarray(noise())
    plain = stored(picture, "JPEG")
    jfif = plain[:4] + b"\0\x1cJFIF\0\1\1\0\0\1\0\1\2\2" + bytes(12) + plain[20:]
    assert "thumbnail" in beside_pixels(jfif)[0]
    assert "bytes behind" in beside_pixels(plain + stored(second, "JPEG"))[0]
    page = bytearray(stored(picture, "TIFF"))
    table = int.from_bytes(page[4:8], "little")
    following = table + 2 + 12 * int.from_bytes(page[table : table + 2], "little")
    page[following : following + 4] = (8).to_bytes(4, "little")
    assert beside_pixels(bytes(page)) == ["a second picture, perhaps a thumbnail"]
    moving = stored(picture, "GIF", save_all=True, append_images=[second])
    assert any("several pictures" in part for part in beside_pixels(moving))
    assert beside_pixels(b"P6 # Aaron\n1 1\n255\nabc") == ["a comment (PPM)"]


def test_other_files_are_no_images() -> None:
    for data in (b"", b"hello", zlib.compress(b"x"), b"%PDF-1.4"):
        assert beside_pixels(data)[0].startswith("no kind of image")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_released_clip_holds_its_pictures_alone(tmp_path: Path, suffix: str) -> None:
    make(tmp_path / "in" / f"clip{suffix}", frames=3)
    (target,) = release(VideoSource(tmp_path / "in"), tmp_path / "out")
    path = tmp_path / "out" / target
    assert beside_track(path) == []
    path.write_bytes(path.read_bytes() + b"Aaron Eckhart")
    assert len(beside_track(path)) == 1
    path.write_bytes(b"Aaron")
    assert "cannot be opened" in beside_track(path)[0]


def test_tracks_tags_and_covers_are_told(tmp_path: Path) -> None:
    told = beside_track(make(tmp_path / "clip.mkv", secrets=True))
    assert {"a container tag title", "1 audio streams", "1 subtitle streams"} <= set(told)
    assert not any("Aaron" in part for part in told)
    path = tmp_path / "tagged.mp4"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as out:
        out.metadata.update({"location": "+47+8/", "Aaron Eckhart": "x", "creation_time": "2020-01-01T00:00:00Z"})
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(smooth(), format="rgb24")))
        out.mux(stream.encode(None))
    told = beside_track(path)
    assert "a container tag location" in told
    assert "a container tag of an unknown name" in told


def test_data_between_the_boxes_of_an_mp4(tmp_path: Path) -> None:
    path = make(tmp_path / "clip.mp4", frames=2)
    thumbnail = io.BytesIO()
    Image.fromarray(smooth()).save(thumbnail, "JPEG")
    box = (8 + len(thumbnail.getvalue())).to_bytes(4, "big")
    path.write_bytes(path.read_bytes() + box + b"free" + thumbnail.getvalue())
    assert "data in a box that should be empty" in beside_track(path)
    path.write_bytes(path.read_bytes() + box + b"uuid" + thumbnail.getvalue())
    assert any("further data" in part for part in beside_track(path))
