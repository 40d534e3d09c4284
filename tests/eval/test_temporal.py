from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn_images import scene
from dsanon_eval.measurement import Gate
from dsanon_eval.utility import temporal
from dsanon_eval.utility.frames import Face, Pair, face_pairs
from dsanon_eval.utility.temporal import (
    Blocks,
    flow,
    located,
    measure,
    second_differences,
    spread,
    warped,
    warping_error,
)
from faces import drawn_landmarks

from dsanon.sample import Box


def test_second_differences_by_hand() -> None:
    steady = [[[0, 0]], [[3, 4]], [[6, 8]]]
    assert second_differences(steady, [10, 10, 10]).tolist() == [0]
    back = [[[0, 0], [1, 1]], [[3, 4], [1, 1]], [[0, 0], [1, 1]]]  # one of two points goes 5 there and 5 back
    assert second_differences(back, [1, 10, 1]).tolist() == [(10 + 0) / 2 / 10]
    assert second_differences(np.zeros((2, 5, 2)), [1, 1]).tolist() == []


def test_the_spread_of_a_track_by_hand() -> None:
    assert spread([[1, 0], [2, 0], [7, 0]]) == 0  # length does not count
    assert spread([[1, 0], [0, 3]]) == pytest.approx(0.5)  # unit vectors, each √½ from their mean (½, ½)
    with pytest.raises(ValueError, match="two embeddings"):
        spread([[1, 0]])


def test_landmarks_are_the_mean_of_many_starts() -> None:
    squares: list[Box] = []

    def predictor(pixels: np.ndarray, box: Box) -> np.ndarray:
        squares.append(box)
        return np.full((68, 2), box[0], np.float32)

    points = located(np.zeros((10, 10, 3), np.uint8), (100, 50, 200, 150), predictor)
    np.testing.assert_allclose(points, 100, atol=1e-4)  # the starts lie evenly about the square
    assert len(set(squares)) == 27
    assert (min(s[0] for s in squares), max(s[2] for s in squares)) == (93, 207)


def picture() -> np.ndarray:
    import cv2

    return np.asarray(cv2.GaussianBlur(scene(3), (0, 0), 5))


def test_a_shift_is_motion_and_no_error() -> None:
    before = picture()
    after = np.roll(before, 3, axis=1)
    motion, believed = flow(before, after)
    inner = np.s_[30:-30, 30:-30]
    assert believed[inner].mean() > 0.9
    assert np.abs(np.median(motion[inner].reshape(-1, 2), axis=0) - (3, 0)).max() < 0.3
    where = np.zeros(before.shape[:2], bool)
    where[inner] = True
    assert warping_error(before, after, motion, where & believed) < 1
    flicker = np.clip(after.astype(int) + 20, 0, 255).astype(np.uint8)
    assert warping_error(before, flicker, motion, where & believed) == pytest.approx(20, abs=2)
    assert np.isnan(warping_error(before, after, motion, where & ~where))


def test_warping_by_hand() -> None:
    ramp = np.tile(np.arange(6, dtype=np.uint8) * 10, (4, 1))
    motion = np.zeros((4, 6, 2))
    motion[..., 0] = 1
    assert warped(ramp, motion)[0].tolist() == [10, 20, 30, 40, 50, 50]
    where = np.zeros((4, 6), bool)
    where[:, :5] = True
    assert warping_error(ramp, ramp, motion, where) == 10


def test_blocks_count_frames_and_resample_halves_of_a_second() -> None:
    blocks = Blocks()
    for frame in range(30):
        blocks.add(("s", "p"), frame, 2.0 if frame < 15 else 4.0, 2.0)
    blocks.add(("s", "p"), 30, float("nan"), 1.0)
    release, original, ratio = blocks.measurements("temporal_jitter", "m", Gate("max", 1.1))
    assert (release.value, release.n, release.control) == (3, 30, "release")
    # two blocks, of 2 and 4: Student's t of one degree of freedom reaches 1 · 12.706 / 1.96 · √2 = 9.17 to either side
    assert release.ci95 == (0.0, pytest.approx(12.17, abs=0.01))
    assert (original.value, original.ci95) == (2, (2, 2))
    assert (ratio.name, ratio.value, ratio.passed) == ("temporal_jitter_ratio", 1.5, False)
    assert list(Blocks().measurements("temporal_jitter", "m")) == []


def pairs(shake: float) -> Iterator[Pair]:
    """A portrait that stands still in the original; in the release it is thrown about by ``shake`` pixels."""
    from skimage import data

    portrait = np.asarray(data.astronaut())[:240, 100:340]
    rng = np.random.default_rng(0)
    square = Face("p", (80.0, 60, 165, 160), drawn_landmarks(123, 105, 85).astype(np.float64))
    for number in range(8):
        by = np.rint(rng.normal(0, shake, 2)).astype(int)
        yield Pair("s", number, np.roll(portrait, tuple(by), (0, 1)), portrait, (square,))


@pytest.mark.parametrize(("shake", "steady"), [(0.0, True), (4.0, False)])
def test_a_release_that_shakes_is_told_from_one_that_does_not(shake: float, steady: bool) -> None:
    watch = temporal._Watch()
    watch.sequence(pairs(shake))
    found = {(m.name, m.control): m for m in watch.measurements()}
    assert found["temporal_jitter", "original"].value == 0
    assert (found["temporal_jitter", "release"].value < 0.01) == steady
    for name in ("warping_inside", "flicker_border", "warping_outside"):
        assert found[f"temporal_{name}", "original"].value < 0.5
        assert (found[f"temporal_{name}", "release"].value < 0.5) == steady
    assert (found["temporal_identity_spread", "release"].value < 1e-6) == steady


def test_stills_have_nothing_to_measure(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_text('{"configuration": {"dataset": "folder"}}')
    assert measure(tmp_path, tmp_path, tmp_path) == []
    assert list(face_pairs(tmp_path, tmp_path, tmp_path, 5)) == []
