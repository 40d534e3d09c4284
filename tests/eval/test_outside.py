"""What lies outside: the pixels that are looked at hold nothing of the hidden region, and the figures are by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from dsanon_eval.attacks.outside import KINDS, NAME, SAME_PHOTO, outside
from dsanon_eval.seeing.case import Face, Scene
from dsanon_eval.seeing.pictures import Means, Studio, is_derived, made_by
from faces import drawn_landmarks
from gathered_faces import gathered, picture
from PIL import Image

from dsanon.align import face_transform
from dsanon.footprint import footprint
from dsanon.methods.classical import GREY
from dsanon.sample import Region

POINTS = drawn_landmarks(100, 100, 90)
REGION = Region(
    "face",
    (50, 50, 150, 150),
    landmarks=tuple(map(float, POINTS.ravel())),
    transform=tuple(map(float, face_transform(POINTS).ravel())),
)


def scene(folder: Path, before: np.ndarray, after: np.ndarray) -> Scene:
    for name, pixels in (("a.png", before), ("b.png", after)):
        Image.fromarray(pixels).save(folder / name)
    digest = hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()
    return Scene("s", "a.png", digest, "b.png", "", (Face("a", True, "p", "dataset", "anonymized", REGION),))


@pytest.mark.parametrize("method", ["ciagan", "blur"])
def test_nothing_of_the_hidden_region_is_looked_at(tmp_path: Path, method: str) -> None:
    random = np.random.default_rng(0)
    before, after = random.integers(0, 256, (2, 200, 200, 3), dtype=np.uint8)
    pictures = Studio().pictures(scene(tmp_path, before, after), tmp_path, tmp_path, Means(method))
    area = footprint(REGION, 200, 200, soft=method == "ciagan")
    touched = np.zeros((200, 200), bool)
    touched[area.window] = area.weight > 0
    for kind, pixels in zip(KINDS, (before, after), strict=True):
        assert (pictures[kind][touched] == GREY).all()
        assert (pictures[kind][~touched] == pixels[~touched]).all()
    assert 0.1 < touched.mean() < 0.6


def test_an_attackers_pictures_are_no_controls_and_have_keys_of_their_own() -> None:
    assert all(map(is_derived, (*KINDS, "repainted 0", "restored blur9 ab")))
    assert not any(map(is_derived, ("original", "release", "blur9", "blackout")))
    one, other = (made_by(KINDS[1], Means(method), ["anonymized"]) for method in ("ciagan", "blur"))
    assert one != other  # another method hides another region
    assert made_by(KINDS[1], Means("ciagan"), ["fallback"]) != one


def test_the_surroundings_name_people_whatever_is_painted() -> None:
    people = [f"p{i // 2}" for i in range(40)]
    hair = np.repeat(np.random.default_rng(0).normal(size=(20, 8)), 2, axis=0)
    place = 0.5 * np.random.default_rng(1).normal(size=(40, 8))
    around = np.concatenate([np.tile(hair, 2), place], axis=1)
    derived = {kind: picture(around) for kind in KINDS}
    nothing = {"original": picture(np.zeros((40, 2))), "release": picture(np.zeros((40, 2)))}
    got = {(m.name, m.control): m.value for m in outside(gathered(people, nothing, derived))}
    assert got[NAME, "release"] == got[NAME, "original"] > 0.5
    assert got[SAME_PHOTO, "release"] == 1.0
    assert got[NAME, "chance"] == pytest.approx(1 / 39)
    assert (SAME_PHOTO, "original") not in got
    assert outside(gathered(people, nothing)) == []
