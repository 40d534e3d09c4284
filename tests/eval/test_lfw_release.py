"""Verification on a release: which pairs, which impostors, and LFW's own protocol only where it means something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dsanon_eval.attacks import verification as lfw_release
from dsanon_eval.seeing.case import Case, Face
from dsanon_eval.seeing.gathered import Gathered, Picture

from dsanon.layout import ReleasePaths
from dsanon.sample import Region

POINTS = tuple(float(v) for v in range(136))
PEOPLE = [f"Person_{letter}" for letter in "ABCD"]


def face(person: str, labelled: bool = True, aligned: bool = True) -> Face:
    region = Region("face", (0, 0, 9, 9), landmarks=POINTS if aligned else ())
    return Face(person, labelled, f"p{person}", "dataset", "anonymized", region)


def picture(vectors: np.ndarray) -> Picture:
    n = len(vectors)
    none = np.zeros((n, 0), np.float32)
    return Picture(np.ones(n, np.bool_), {}, {"x": vectors.astype(np.float32)}, none, none, none)


def gathered(strangers: int = 0) -> Gathered:
    """Two photos each of four people; in the release nobody looks like anybody."""
    people = [person for person in PEOPLE for _ in range(2)]
    faces = [face(person) for person in people]
    files = [f"lfw/{person}/{person}_{1 + i % 2:04d}.jpg" for i, person in enumerate(people)]
    original = np.repeat(10 * np.eye(4), 2, axis=0) + 0.1 * np.arange(8)[:, None] % 2
    released = -original
    for k in range(strangers):  # background faces: near to somebody, and no impostors to calibrate by
        faces.append(face(f"unlabelled {k}", labelled=False))
        files.append(files[0])
        original, released = np.vstack([original, original[:1] + 0.01]), np.vstack([released, released[:1]])
    return Gathered(faces, files, PEOPLE, {"original": picture(original), "release": picture(released)})


def case(tmp_path: Path, dataset: str = "lfw", pairs: str = "") -> Case:
    if pairs:
        (tmp_path / "pairs.txt").write_text(pairs)
    about = {"configuration": {"dataset": dataset}}
    return Case(ReleasePaths.of(None, tmp_path / "release"), tmp_path, about, pa.table({}), mapped=True)


@pytest.mark.parametrize(("apart", "passes"), [(0.0, 1.0), (0.5, 1.0), (0.6, 0.0), (np.nan, 1.0)])
def test_a_face_that_passes_for_its_original_needs_nobody_else(apart: float, passes: float) -> None:
    """An unlabelled source, or a video of one person: by other figures another photo of somebody is a stranger's."""
    faces = [face("unlabelled s p", labelled=False)] * 3
    faces = [replace(one, region=replace(one.region, box=(0, 0, 60, 50))) for one in faces]
    faces += [face("too small", labelled=False), replace(faces[0], region=replace(faces[0].region, landmarks=()))]
    original = np.zeros((5, 2))
    released = original + np.array([apart, 0])
    pictures = {kind: picture(v) for kind, v in {"original": original, "release": released}.items()}
    for one in pictures.values():
        one.embeddings["dlib_resnet"] = one.embeddings["x"]
    found = lfw_release.own(Gathered(faces, [""] * 5, [], pictures), "dlib_resnet", "dlib_resnet")
    assert [(m.control, m.value, m.n) for m in found] == [("original", 1.0, 3), ("release", passes, 3)]
    assert lfw_release.own(Gathered(faces, [""] * 5, [], pictures), "x", "x") == []


def values(found: lfw_release.Found) -> dict[tuple[str, str], float]:
    return {(m.name, m.control): m.value for m in found[0]}


def test_all_pairs_of_photos_and_no_stranger_among_the_impostors(tmp_path: Path) -> None:
    for strangers in (0, 3):
        found = lfw_release.verification(case(tmp_path, "celeba"), gathered(strangers), "x", "x")
        assert values(found) == {("tar_at_far_all_pairs", "original"): 1.0, ("tar_at_far_all_pairs", "release"): 0.0}
        assert {m.n for m in found[0]} == {8}
        assert {curve.label for curve in found[1]} == {"original", "release", "impostors"}


def test_how_few_strangers_cannot_show_the_rate_is_told() -> None:
    (note,) = lfw_release.strangers(gathered(strangers=3))
    assert note.startswith("verification: 24 pairs of different people cannot show a false accept rate of 0.001")
    few = gathered()
    assert lfw_release.strangers(replace(few, faces=few.faces * 7)) == []  # 56 photos of four people: 1,176 pairs
    assert lfw_release.strangers(replace(few, faces=few.faces[:2])) == []  # one person: nothing is verified


def test_a_few_pairs_are_no_protocol(tmp_path: Path) -> None:
    pairs = "2\t1\nPerson_A\t1\t2\nPerson_A\t1\tPerson_B\t2\nPerson_C\t1\t2\nPerson_C\t1\tPerson_D\t2\n"
    found = values(lfw_release.verification(case(tmp_path, pairs=pairs), gathered(), "x", "x"))
    assert {name for name, _ in found} == {"tar_at_far_all_pairs"}


def test_the_protocol_where_its_pairs_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lfw_release, "ENOUGH", 1)
    pairs = "2\t1\nPerson_A\t1\t2\nPerson_A\t1\tPerson_B\t2\nPerson_C\t1\t2\nPerson_C\t1\tPerson_D\t2\n"
    found = values(lfw_release.verification(case(tmp_path, pairs=pairs), gathered(), "x", "x"))
    assert found["tar_at_far", "original"] == 1.0
    assert found["tar_at_far", "release"] == 0.0
    assert found["tar_at_far_own", "original"] == 1.0


def test_the_protocol_says_which_pairs_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth photo of A was withheld: its pair is in pairs.txt, and in no figure."""
    monkeypatch.setattr(lfw_release, "ENOUGH", 1)
    pairs = "2\t2\nPerson_A\t1\t2\nPerson_A\t1\t{}\nPerson_A\t1\tPerson_B\t2\nPerson_B\t1\tPerson_D\t2\n"
    pairs += "Person_C\t1\t2\nPerson_B\t1\t2\nPerson_C\t1\tPerson_D\t2\nPerson_C\t2\tPerson_D\t2\n"
    whole = case(tmp_path, pairs=pairs.format(2))
    assert lfw_release.left_out(whole, gathered()) == []
    (note,) = lfw_release.left_out(case(tmp_path, pairs=pairs.format(5)), gathered())
    assert note.startswith("verification: LFW's protocol is of 7 of the 8 pairs of pairs.txt")
    assert lfw_release.left_out(case(tmp_path, "celeba", pairs), gathered()) == []


def test_the_pairs_of_somebody_with_many_photos_are_of_all_of_them(tmp_path: Path) -> None:
    """Of 50 photos 2,450 pairs could be made and 40 are: not all against the first photo, which is a bad one."""
    people = ["A"] * 50 + ["B"]
    original = np.vstack([np.full((1, 4), 50.0), np.tile(10 * np.eye(4)[:1], (49, 1)), 10 * np.eye(4)[1:2]])
    faces, files = [face(person) for person in people], [f"{i}.jpg" for i in range(51)]
    known = Gathered(faces, files, people, {"original": picture(original), "release": picture(original)})
    found = values(lfw_release.verification(case(tmp_path, "celeba"), known, "x", "x"))
    assert found["tar_at_far_all_pairs", "release"] == 39 / 40  # 0 where all pairs are the first photo's


def test_a_sample_of_impostors_is_told() -> None:
    some = gathered()
    many = replace(some, faces=some.faces * 501)
    (note,) = lfw_release.strangers(many)
    assert note == (
        "verification: the pairs of different people are of 4,000 of 4,008 photos, drawn by a hash of their names, "
        "one of everybody first"
    )


def test_without_impostors_nothing_is_verified(tmp_path: Path) -> None:
    """Of two people one was aligned: no pair of strangers, so no threshold; a rate of 0 would be a pass for free."""
    some = gathered()
    faces = [face(person, aligned=person == "Person_A") for person in ("Person_A", "Person_A", "Person_B", "Person_B")]
    pictures = {name: picture(one.embeddings["x"][:4]) for name, one in some.pictures.items()}
    few = Gathered(faces, some.files[:4], PEOPLE[:2], pictures)
    assert lfw_release.verification(case(tmp_path, "celeba"), few, "x", "x") == ([], [])


def test_a_face_that_could_not_be_read_counts_as_confirmed(tmp_path: Path) -> None:
    some = gathered()
    some.pictures["release"].embeddings["x"][0] = np.nan
    found = values(lfw_release.verification(case(tmp_path, "celeba"), some, "x", "x"))
    assert found["tar_at_far_all_pairs", "release"] == 1 / 8


def test_nobody_with_two_photos(tmp_path: Path) -> None:
    lone = gathered()
    few = Gathered(
        lone.faces[::2], lone.files[::2], PEOPLE, {"original": picture(np.eye(4)), "release": picture(np.eye(4))}
    )
    assert lfw_release.verification(case(tmp_path, "celeba"), few, "x", "x") == ([], [])
