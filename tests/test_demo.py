from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsanon import demo
from dsanon.detectors.hog import Hog
from dsanon.errors import UsageError


def test_the_example_has_several_faces_and_a_sequence(tmp_path: Path) -> None:
    group = demo.group_picture()
    assert len(Hog()(group)) == 3
    assert len(Hog()(demo.portrait())) == 1
    demo.write_clip(tmp_path / "pan.mp4", group)
    from dsanon.sources.video import VideoSource

    samples = VideoSource(tmp_path).samples()
    assert len(samples) == 24


def test_the_sheet_shows_sources_above_releases(tmp_path: Path) -> None:
    for name in ("source", "release"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((10, 20, 3), 50, np.uint8)).save(tmp_path / "source" / "a.png")
    Image.fromarray(np.full((10, 20, 3), 90, np.uint8)).save(tmp_path / "release" / "p.png")
    sheet = demo.compare(tmp_path / "source", tmp_path / "release")
    assert (sheet[:10, :20] == 50).all()
    assert (sheet[16:26, :20] == 90).all()


def test_it_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        demo.run(tmp_path)
