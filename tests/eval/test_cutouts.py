from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from dsanon_eval.report.cutouts import crop, open_picture, outlined
from dsanon_eval.seeing.clips import frame_of
from little_clips import clip
from PIL import Image

from dsanon.errors import BadImage


def test_a_region_is_cut_with_a_margin() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 100:120] = 255
    with Image.open(io.BytesIO(crop(pixels, (100, 40, 120, 60), side=68))) as image:
        assert image.size == (68, 68)  # 20 pixels and 7 on each side, twice as large
        assert image.getpixel((34, 34))[0] > 240  # type: ignore[index]
        assert image.getpixel((2, 2))[0] < 15  # type: ignore[index]
    with pytest.raises(BadImage, match="outside"):
        crop(pixels, (300, 300, 320, 320))


def test_the_whole_picture_shows_where() -> None:
    pixels = np.full((500, 1000, 3), 128, np.uint8)
    with Image.open(io.BytesIO(outlined(pixels, (200, 100, 400, 300), side=500))) as image:
        assert image.size == (500, 250)
        assert image.getpixel((150, 51))[0] > 200  # type: ignore[index]


def test_nothing_outside_of_the_release_is_opened(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "secret.png")
    Image.new("RGB", (8, 8), "blue").save(data / "fine.png")
    (data / "link.png").symlink_to(tmp_path / "secret.png")
    assert open_picture(data, "fine.png").tolist()[0][0] == [0, 0, 255]
    for file in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "none.png", "\0.png"):
        with pytest.raises(BadImage):
            open_picture(data, file)


def test_a_frame_is_seen_upright(tmp_path: Path) -> None:
    """As the job saw it: the boxes of a video that its player turns are of turned frames."""
    frame = np.full((48, 64, 3), 40, np.uint8)
    frame[:24, :32] = 220  # the upper left quarter
    file = clip(tmp_path / "a.mp4", [np.zeros_like(frame), frame], rotation=90).name
    shown = open_picture(tmp_path, file, 1)
    assert shown.shape == (64, 48, 3)
    assert shown[60, 4, 0] > 200  # turned by 90° against the clock: lower left
    with pytest.raises(BadImage, match="frame 2"):
        open_picture(tmp_path, file, 2)


def test_a_sample_names_its_frame() -> None:
    assert (frame_of("clip#000012"), frame_of("still"), frame_of("a#b")) == (12, None, None)
