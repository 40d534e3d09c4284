"""An attacker's own run of the method, and a release of a generator that is not here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from dsanon_eval import trained
from dsanon_eval.attacks.parrot import learnt_from
from dsanon_eval.seeing import pictures
from dsanon_eval.seeing.case import Face, Scene, open_case
from dsanon_eval.seeing.pictures import REPAINTED, Means, Studio
from network_weights import cyclegan
from PIL import Image

from dsanon.models import store
from dsanon.naming import Names
from dsanon.plan import Control, assign
from dsanon.render import Treatment
from dsanon.sample import Region
from runs import anonymize


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> tuple[Path, Path]:
    """RELEASE and SOURCE: five photos of one person, painted."""
    folder = tmp_path_factory.mktemp("painted")
    (folder / "lfw" / "lfw" / "Some_One").mkdir(parents=True)
    for number in range(5):
        photo = np.roll(portrait[:256, 96:352], 3 * number, axis=1)
        Image.fromarray(photo).save(folder / "lfw" / "lfw" / "Some_One" / f"Some_One_{number + 1:04d}.png")
    assert anonymize(folder / "lfw", folder / "release", "--method", "ciagan", dataset="lfw").code == 0
    return folder / "release", folder / "lfw"


def test_an_attacker_paints_others_than_the_release_and_another_every_time(release: tuple[Path, Path]) -> None:
    case = open_case(*release)
    means, notes = trained.means_of(case)
    assert means.painted
    assert not notes
    assert means.identities > 100
    album = Studio().pictures(next(case.scenes()), case.source, release[0] / "data", means)
    (region,) = album.regions
    x0, y0, x1, y1 = (round(v) for v in region.box)
    kinds = ("original", "release", "repainted 0", "repainted 1")
    inside = [album[kind][y0:y1, x0:x1].astype(float) for kind in kinds]
    apart = [np.abs(a - b).mean() for i, a in enumerate(inside) for b in inside[:i]]
    assert min(apart) > 2
    corner = [album[kind][:20, :20].astype(float) for kind in kinds]
    assert max(np.abs(corner[0] - other).mean() for other in corner) < 2  # the rest is the photo


def test_a_generator_without_identities_paints_the_same_at_every_turn(
    release: tuple[Path, Path], tmp_path: Path
) -> None:
    case = open_case(*release)
    means = Means("cyclegan", "mask", str(cyclegan(tmp_path)), 0)
    album = Studio().pictures(next(case.scenes()), case.source, release[0] / "data", means)
    x0, y0, x1, y1 = (round(v) for v in album.regions[0].box)
    before, after = album["original"].astype(float), album["repainted 0"].astype(float)
    assert np.abs(before - after)[y0:y1, x0:x1].mean() > 2
    assert np.array_equal(album["repainted 0"], album["repainted 1"])
    assert not means.keyed


def test_vectors_are_mixes_as_often_as_the_release_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 34 pseudonyms and four identities, four are one identity; where there are few, everybody is one."""
    means = Means("ciagan", generator=str(store.path("ciagan-face")), identities=4, pseudonyms=(("crowd", 34),))

    def vectors(scope: str, turn: int = 0) -> list[Control]:
        drawn: list[Treatment] = []
        monkeypatch.setattr(pictures, "render", lambda photos, plans, *_: drawn.extend(plans[0]) or photos)
        monkeypatch.setattr(Studio, "painter", lambda *_: None)
        region = Region("face", (0, 0, 9, 9))
        faces = tuple(Face("a", True, f"p{i}", scope, "anonymized", region, i) for i in range(2000))
        album = Studio().pictures(Scene("s", "a.png", "ab", "b.png", "", faces), Path(), Path(), means)
        monkeypatch.setattr(album, "_read", lambda *_: np.zeros((9, 9, 3), np.uint8))
        album[f"{REPAINTED} {turn}"]
        return [treatment.control for treatment in drawn]

    crowd = vectors("crowd")
    assert np.mean([len(vector.ids) == 1 for vector in crowd]) == pytest.approx(4 / 34, abs=0.03)
    assert set(crowd) == set(assign(Names(b"any"), "s", [str(i) for i in range(34)], 4).values())
    assert set(vectors("few")) == {Control((i,), (1.0,)) for i in range(4)}
    assert crowd == vectors("crowd") != vectors("crowd", 1)


def test_what_was_seen_of_other_vectors_is_not_remembered() -> None:
    file = str(store.path("ciagan-face"))
    few, many = (Means("ciagan", "mask", file, 4, pseudonyms=crowds) for crowds in ((), (("crowd", 34),)))

    def made(means: Means, scope: str) -> str:
        return pictures.made_by(f"{REPAINTED} 0", means, ["anonymized"], scope)

    assert made(many, "crowd") != made(few, "crowd")
    assert made(many, "other") == made(few, "crowd")


def test_pseudonyms_of_painted_faces_are_counted_in_every_scope() -> None:
    rows = [("a", f"p{i}", "anonymized") for i in range(5)] * 2 + [("a", "q", "fallback"), ("b", "p", "anonymized")]
    scope, subject, status = zip(*rows, strict=True)
    case = SimpleNamespace(rows=pa.table({"scope": scope, "subject": subject, "status": status}))
    assert trained.crowded(case, 4) == (("a", 5),)  # type: ignore[arg-type]
    assert trained.crowded(case, 5) == trained.crowded(case, 0) == ()  # type: ignore[arg-type]


def test_half_of_a_person_s_photos_are_learnt_from(release: tuple[Path, Path]) -> None:
    case = open_case(*release)
    samples = {scene.sample for scene in case.scenes()}
    assert len(samples) == 5
    assert len(learnt_from(case, samples)) == 3
    assert learnt_from(case, set(list(samples)[:3])) == set()  # three photos are too few


def test_another_generator_than_the_release_s_is_no_attacker_s(release: tuple[Path, Path]) -> None:
    case = open_case(*release)
    other = replace(case, about=case.about | {"weights": {"ciagan-face": "0" * 64}})
    means, (note,) = trained.means_of(other)
    assert means.generator == ""
    assert means.painted  # what is hidden is still what such a method hides
    assert "no attacker could run the method" in note


def test_a_face_that_could_not_be_painted_is_covered_by_the_attacker_as_well(tmp_path: Path) -> None:
    Image.fromarray(np.full((60, 60, 3), 200, np.uint8)).save(tmp_path / "a.png")
    face = Face("a", True, "p", "dataset", "fallback", Region("face", (10, 10, 40, 40)))
    scene = Scene("s", "a.png", "ab", "b.png", "", (face,))
    means = Means("ciagan", "mask", str(store.path("ciagan-face")), 10)
    painted = Studio().pictures(scene, tmp_path, tmp_path, means)["repainted 0"]
    assert (painted[15:35, 15:35] != 200).all()
