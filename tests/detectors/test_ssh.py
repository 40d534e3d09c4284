"""SSH finds what weights made by hand let it find, at the right place."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from network_weights import square_finder, write

from dsanon.detectors import open_detectors
from dsanon.detectors.ssh import LEVELS, decode
from dsanon.errors import WeightsError
from dsanon.models import store


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    return tmp_path


# of module, cell: a square of three cells in pixels, whose middle is not the anchor's, which is at 8 + stride × cell
@pytest.mark.parametrize(
    ("name", "stride", "anchor", "side"), [("m1", 8, 0, 16), ("m2", 16, 1, 128), ("m3", 32, 0, 256)]
)
def test_a_bright_square_is_found(name: str, stride: int, anchor: int, side: int, models: Path) -> None:
    state = square_finder(name, anchor, (stride / 2 - 8) / side, math.log(3 * stride / side))
    store.add("ssh", write(models / "ssh.safetensors", state))
    (detector,) = open_detectors("ssh:threshold=0.9")
    photo = np.zeros((192, 256, 3), np.uint8)
    top, left = stride, 2 * stride
    photo[top : top + 3 * stride, left : left + 3 * stride] = 255
    (face,) = detector(photo)
    assert np.allclose(face.box, (left, top, left + 3 * stride, top + 3 * stride), atol=0.01)
    assert face.score == pytest.approx(1 / (1 + math.exp(-5)), abs=1e-3)
    assert face.detector == "ssh"
    assert detector(np.zeros_like(photo)) == []


def test_it_looks_at_the_size_it_is_told_and_answers_in_the_photos_pixels(models: Path) -> None:
    store.add("ssh", write(models / "ssh.safetensors", square_finder("m2", 0, 0.0, math.log(48 / 64))))
    photo = np.zeros((96, 128, 3), np.uint8)
    photo[16:40, 32:56] = 255  # 48 pixels at twice the size
    assert open_detectors("ssh:threshold=0.9")[0](photo) == []
    (face,) = open_detectors("ssh:threshold=0.9:shortest=192")[0](photo)
    assert np.allclose(face.box, (32, 16, 56, 40), atol=0.01)
    assert open_detectors("ssh:threshold=0.9:shortest=192:size=128")[0](photo) == []


def test_decoding_by_hand() -> None:
    """Anchor 1 (128 pixels) of row 1 and column 2, centre (40, 24): moved by 12.8 and -25.6, twice as wide."""
    scores, deltas = np.zeros((2, 3, 4), np.float32), np.zeros((2, 4, 3, 4), np.float32)
    scores[1, 1, 2], scores[0, 0, 0] = 0.75, 0.25
    deltas[1, :, 1, 2] = 0.1, -0.2, math.log(2), 0
    found, sure = decode(scores, deltas, *LEVELS[1], threshold=0.5)
    assert sure.tolist() == [0.75]
    assert np.allclose(found, [(52.8 - 128, -1.6 - 64, 52.8 + 128, -1.6 + 64)])
    found, sure = decode(scores, deltas, *LEVELS[1], threshold=0.1)
    assert sure.tolist() == [0.75, 0.25]
    assert np.allclose(found[1], (8 - 32, 8 - 32, 8 + 32, 8 + 32))


def test_without_its_weights_it_says_how_to_get_them(models: Path) -> None:
    with pytest.raises(WeightsError, match="ssh is not here: get the project's weights"):
        open_detectors("ssh")
