"""The paper's figures beside an audit's: of the same dataset and network, a release's only where CIAGAN made it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from dsanon_eval import figures
from dsanon_eval.measurement import Measurement
from dsanon_eval.reproduce import paper
from dsanon_eval.seeing.gathered import Gathered, Picture
from dsanon_eval.seeing.pictures import Means
from gathered_faces import gathered

PEOPLE = [f"person {i // 4}" for i in range(40)]
NETWORKS = ("dlib_resnet", "faceres", "facenet_vggface2")


def seen() -> Gathered:
    """Forty photos of ten people, as noise."""
    random = np.random.default_rng(0)
    none = np.zeros((40, 0), np.float32)

    def picture() -> Picture:
        vectors = {name: random.normal(size=(40, 8)).astype(np.float32) for name in NETWORKS}
        found = {detector: np.ones(40, np.bool_) for detector in ("hog", "centerface")}
        shapes = random.normal(size=(40, 136)).astype(np.float32)
        return Picture(np.ones(40, np.bool_), found, vectors, shapes, none, none)

    return gathered(PEOPLE, {kind: picture() for kind in ("original", "release", "blur9", "blackout")})


def beside(method: str, dataset: str = "celeba") -> dict[tuple[str, str, str], float]:
    """(name, model, control) of every figure that has one of the paper's beside it, in an audit of a release."""
    case = SimpleNamespace(mapped=True, dataset=dataset, source=Path())
    found, _, _ = figures.measure(case, seen(), {}, Means(method))  # type: ignore[arg-type]
    assert {"recall_at_1", "subject_recall_at_1", "detection_rate", "landmark_recall_at_1"} <= {m.name for m in found}
    return {(m.name, m.model, m.control): m.paper for m in found if m.paper is not None}


def test_only_the_network_that_the_paper_asked_and_only_its_own_method() -> None:
    mine = beside("ciagan")
    assert mine["recall_at_1", "facenet_vggface2", "release"] == 0.010
    assert mine["recall_at_1", "facenet_vggface2", "blur9"] == 0.572
    assert mine["detection_rate", "hog", "release"] == 0.999
    assert mine["landmark_recall_at_1", "landmarks68", "original"] == 0.305
    assert {model for _, model, _ in mine} == {"facenet_vggface2", "hog", "landmarks68"}
    for method in ("blur", "pix2pix", "mask"):
        assert beside(method) == {key: value for key, value in mine.items() if key[2] != "release"}


def test_what_was_measured_on_other_people_stands_beside_nothing() -> None:
    """Table 1 is of CelebA and Table 3 of LFW: one detection rate each. Of other datasets the paper has nothing."""
    assert beside("ciagan", "lfw") == {("detection_rate", "hog", "release"): 0.9913}
    for dataset in ("folder", "coco", "mots"):
        assert beside("ciagan", dataset) == {}


def test_who_has_no_row_in_the_paper_stands_alone() -> None:
    figure = Measurement("tar_at_far", "facenet_vggface2", "release", 0.1, None, 9, 0.5)
    assert paper.stated([figure], paper.TABLE3, {"release": "ciagan"})[0].paper == 0.034
    assert paper.stated([figure], paper.TABLE3, {"release": "pix2pix"})[0].paper is None
    assert paper.stated([figure], paper.TABLE3, {})[0].paper is None


def test_the_distance_by_a_network_that_took_no_part_is_of_the_faces_that_could_be_aligned() -> None:
    case = SimpleNamespace(mapped=True, dataset="folder", source=Path())
    there = seen()
    there.faces[:30] = [replace(f, region=replace(f.region, transform=(1.0,) * 6)) for f in there.faces[:30]]
    found, _, notes = figures.measure(case, there, {}, Means("ciagan"))  # type: ignore[arg-type]
    mine = {m.control: m for m in found if m.name == "fd_dlib_resnet_face"}
    assert set(mine) == {"original", "release", "blur9", "blackout"}
    assert {m.n for m in mine.values()} <= set(range(12, 17))  # half of thirty, by whole people
    looked = np.arange(40) < 20
    there.pictures["blur9"] = replace(there.pictures["blur9"], looked=looked)  # a control is made of fewer faces
    found, _, _ = figures.measure(case, there, {}, Means("ciagan"))  # type: ignore[arg-type]
    fewer = [m.n for m in found if m.name == "fd_dlib_resnet_face"]
    assert len(fewer) == 4
    assert max(fewer) <= 12  # half of twenty: every picture of the same faces, else fewer look more distant
    assert any("fewer faces than features" in note for note in notes)
