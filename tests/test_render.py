from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from faces import drawn_landmarks

from dsanon.align import apply, face_transform
from dsanon.footprint import Footprint, footprint
from dsanon.landmarks import FULL, HIDDEN, distance_outside, draw, face_polygon
from dsanon.methods.ciagan import Crop
from dsanon.plan import Control
from dsanon.render import Action, Strength, Treatment, render
from dsanon.sample import Pixels, Region
from dsanon.sources.silhouettes import from_mask

STRENGTH = Strength(kernel=9, block=16)
ONE = Control((0,), (1.0,))


def region(x: float, y: float, size: float) -> Region:
    points = drawn_landmarks(x, y, size)
    transform = face_transform(points)
    box = (*points.min(0).tolist(), *points.max(0).tolist())
    return Region("face", box, landmarks=tuple(points.ravel().tolist()), transform=tuple(transform.ravel().tolist()))


class Wider:
    """Stands for the shapes: a face that is wider than the source's and hangs lower."""

    def replaced(self, landmarks: np.ndarray, transform: np.ndarray, control: Control) -> np.ndarray:
        middle = landmarks.mean(0)
        return np.asarray((landmarks - middle) * (1.25, 1.0) + middle + (0, 8))


class Recorder:
    """Stands for the generator: paints one colour, remembers what it was shown."""

    shapes = Wider()

    def __init__(self) -> None:
        self.crops: list[Crop] = []

    def __call__(self, crops: list[Crop]) -> list[Pixels]:
        self.crops += crops
        return [np.full((128, 128, 3), (10, 200, 30), np.uint8) for _ in crops]


def covered(face: Region, photo: Pixels, soft: bool) -> Footprint:
    """The pixels of the source's face and of the painted one."""
    points, transform = np.array(face.landmarks).reshape(68, 2), np.array(face.transform).reshape(2, 3)
    shape = Recorder.shapes.replaced(points, transform, ONE) if soft else None
    return footprint(face, photo.shape[1], photo.shape[0], soft=soft, shape=shape)


def noise(seed: int, h: int = 300, w: int = 400) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


def test_a_head_that_is_guessed_is_covered_without_the_corners_of_its_box() -> None:
    photo = noise(4)
    guess = Region("face", (100.0, 50, 180, 130), detector="annotation", reason="no face", oval=True)
    (out,) = render([photo], [[Treatment(guess, "mask")]], STRENGTH, None)
    hidden = (out == 127).all(axis=-1)
    assert hidden[50:130, 100:180].mean() == pytest.approx(np.pi / 4, abs=0.005)
    assert hidden[62:118, 112:168].all()  # a square in the ellipse, 0.7 of its axes
    for row, column in ((51, 101), (51, 178), (128, 101), (128, 178)):
        assert np.array_equal(out[row, column], photo[row, column])
    hidden[50:130, 100:180] = False
    assert not hidden.any()
    speck = replace(guess, box=(100.2, 50.1, 100.9, 50.8))
    assert footprint(speck, 400, 300, soft=False).hard.any()


@pytest.mark.parametrize("action", ["ciagan", "mask"])
def test_no_source_pixel_of_a_region_survives_or_is_shown(action: Action) -> None:
    faces = [region(150, 150, 110), region(235, 160, 90)]  # overlapping neighbours
    plan = [Treatment(r, action, ONE) for r in faces]
    photo = noise(1)
    hard = np.zeros(photo.shape[:2], bool)
    for r in faces:
        area = covered(r, photo, soft=action == "ciagan")
        hard[area.window] |= area.hard
    other = photo.copy()
    other[hard] = noise(2)[hard]
    first, second = Recorder(), Recorder()
    a = render([photo], [plan], STRENGTH, first)[0]  # type: ignore[arg-type]
    b = render([other], [plan], STRENGTH, second)[0]  # type: ignore[arg-type]
    assert np.array_equal(a, b)
    for one, two in zip(first.crops, second.crops, strict=True):
        assert np.array_equal(one.pixels, two.pixels)
        assert one.hidden.any()
    if action == "ciagan":
        assert len(first.crops) == 2
        assert (a[hard] == (10, 200, 30)).all()


@pytest.mark.parametrize("action", ["ciagan", "mask", "blur", "pixelate"])
def test_outside_the_region_nothing_changes_and_inside_everything_does(action: Action) -> None:
    photo, face = noise(3), region(200, 150, 100)
    out = render([photo], [[Treatment(face, action, ONE)]], STRENGTH, Recorder())[0]  # type: ignore[arg-type]
    area = covered(face, photo, soft=action == "ciagan")
    touched = np.zeros(photo.shape[:2], bool)
    touched[area.window] = area.weight > 0
    assert np.array_equal(out[~touched], photo[~touched])
    inside = np.zeros_like(touched)
    inside[area.window] = area.hard
    assert np.abs(out[inside].astype(int) - photo[inside]).mean() > 30
    assert np.array_equal(photo, noise(3))  # the input is never written to


def test_the_new_outline_is_drawn_and_both_are_hidden() -> None:
    photo, face, recorder = noise(9), region(200, 150, 100), Recorder()
    out = render([photo], [[Treatment(face, "ciagan", ONE)]], STRENGTH, recorder)[0]  # type: ignore[arg-type]
    points, transform = np.array(face.landmarks).reshape(68, 2), np.array(face.transform).reshape(2, 3)
    shape = Recorder.shapes.replaced(points, transform, ONE)
    (crop,) = recorder.crops
    assert np.array_equal(crop.drawn, draw(apply(transform, shape)))
    unit = 1 / np.sqrt(np.linalg.det(transform[:, :2]))
    for outline in (points, shape):
        assert crop.hidden[distance_outside(face_polygon(apply(transform, outline)), (128, 128)) <= HIDDEN].all()
        inside = distance_outside(face_polygon(outline), photo.shape[:2]) <= FULL * unit
        assert (out[inside] == (10, 200, 30)).all()
    assert not crop.hidden.all()


def test_kept_regions_stay_and_unalignable_ones_are_covered() -> None:
    photo = noise(4)
    box = Region("face", (390.0, 290.0, 420.0, 330.0), reason="turned away")  # reaches over the corner
    plan = [Treatment(region(150, 150, 80), "keep"), Treatment(box, "mask")]
    out = render([photo], [plan], STRENGTH, None)[0]
    assert (out[290:, 390:] == 127).all()
    assert np.array_equal(out[:280], photo[:280])


def test_a_neighbours_blur_does_not_bring_a_masked_face_back() -> None:
    photo = noise(5)
    masked = Treatment(Region("face", (100.0, 100.0, 200.0, 200.0), reason="x"), "mask")
    blurred = Treatment(Region("face", (180.0, 100.0, 280.0, 200.0)), "blur")
    other = photo.copy()
    other[100:200, 100:200] = 255
    a, b = (render([p], [[masked, blurred]], STRENGTH, None)[0] for p in (photo, other))
    assert np.array_equal(a, b)


@pytest.mark.parametrize("action", ["blur", "pixelate"])
def test_a_smaller_region_brings_no_finer_detail_back_into_a_larger_one(action: Action) -> None:
    photo = noise(5)
    large = Treatment(Region("face", (50.0, 50.0, 250.0, 250.0), reason="x"), action)
    small = Treatment(Region("face", (100.0, 100.0, 160.0, 160.0)), action)
    alone, both = (render([photo], [plan], STRENGTH, None)[0] for plan in ([large], [large, small]))
    assert np.array_equal(alone, both)
    beside = Treatment(Region("face", (220.0, 100.0, 280.0, 160.0)), action)
    out = render([photo], [[large, beside]], STRENGTH, None)[0]
    assert np.array_equal(out[:, :250], alone[:, :250])
    assert not np.array_equal(out[100:160, 250:280], photo[100:160, 250:280])


def test_pixelate_cells_follow_the_faces_size() -> None:
    photo = noise(6)
    face = Region("face", (100.0, 100.0, 164.0, 164.0))
    out = render([photo], [[Treatment(face, "pixelate")]], STRENGTH, None)[0]
    window = out[100:164, 100:164]
    # 64 pixels of a head are 80 of a crop's 128 sides, so a 16-pixel cell is 10 pixels: 6 cells across
    assert len(np.unique(window.reshape(-1, 3), axis=0)) <= 36
    tiny = Region("face", (10.0, 10.0, 15.0, 15.0))
    small = render([photo], [[Treatment(tiny, "pixelate")]], STRENGTH, None)[0][10:15, 10:15]
    assert len(np.unique(small.reshape(-1, 3), axis=0)) <= 4


def test_an_unknown_action_raises_and_boxes_outside_still_cover_a_pixel() -> None:
    with pytest.raises(ValueError, match="unknown action"):
        render([noise(7)], [[Treatment(Region("face", (0.0, 0, 9, 9)), "none")]], STRENGTH, None)  # type: ignore[arg-type]
    assert footprint(Region("face", (900.0, 900, 950, 950)), 400, 300, soft=False).hard.sum() >= 1
    with pytest.raises(ValueError, match="control vector"):
        render([noise(8)], [[Treatment(replace(region(150, 150, 80)), "ciagan")]], STRENGTH, None)


def test_a_guessed_head_is_what_of_the_silhouette_lies_in_its_box() -> None:
    mask = np.zeros((300, 400), bool)
    mask[20:280, 100:160] = True
    head = Region("face", (90.0, 15.0, 170.0, 95.0), silhouette=from_mask(mask))
    area = footprint(head, 400, 300, soft=False)
    covered = np.zeros_like(mask)
    covered[area.window] = area.hard
    assert covered[20:95, 100:160].all()  # all of them that lies there, and some hair
    assert covered[18, 130]
    assert not covered[110:].any()
    assert not covered[:, 180:].any()
    elsewhere = Region("face", (300.0, 200.0, 340.0, 240.0), silhouette=from_mask(mask))  # an annotation that lies
    assert footprint(elsewhere, 400, 300, soft=False).hard.sum() >= 40 * 40


@pytest.mark.parametrize("side", [20, 30, 40])
def test_a_weak_blur_leaves_no_pixel_of_a_small_face(side: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    face = Treatment(Region("face", (40.0, 40.0, 40.0 + side, 40.0 + side)), "blur")
    (out,) = render([photo], [[face]], Strength(3, 16), None)
    inside = (slice(44, 36 + side),) * 2
    assert np.abs(out[inside].astype(int) - photo[inside]).mean() > 30
