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
CLEAN, OWN = "tar_at_far_all_pairs", "tar_at_far_all_pairs_own"
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
        rates = {"original": 1.0, "release": 0.0}
        both = {(name, control): rate for name in (CLEAN, OWN) for control, rate in rates.items()}
        assert values(found) == both | {(OWN, "chance"): 1 / 49}
        assert {m.n for m in found[0]} == {8}
        labels = {control + kind for control in rates for kind in ("", ", impostors")}
        assert {curve.label for curve in found[1]} == labels | {"chance"}


def many(far_off: float) -> Gathered:
    """Sixty people of two photos each, who stay who they are in the release; but all its faces are ``far_off``, and
    those of the blackout are as far, and of nobody."""
    rng = np.random.default_rng(0)
    people = [f"P{i // 2}" for i in range(120)]
    who = np.repeat(rng.normal(size=(60, 8)), 2, axis=0)
    original = np.hstack([who + 0.01 * rng.normal(size=who.shape), np.zeros((120, 1))])
    released = original + np.array([0] * 8 + [far_off])
    black = np.hstack([rng.normal(size=who.shape), np.full((120, 1), far_off)])
    faces, files = [face(person) for person in people], [f"{i}.jpg" for i in range(120)]
    pictures = {"original": original, "release": released, "blackout": black}
    return Gathered(faces, files, people, {kind: picture(vectors) for kind, vectors in pictures.items()})


def test_faces_that_are_all_far_off_are_still_told_apart_by_their_own_threshold(tmp_path: Path) -> None:
    """By the threshold of originals nobody passes, not one stranger either: that is no privacy, and is said."""
    figures, _, notes = lfw_release.verification(case(tmp_path, "celeba"), many(3.0), "x", "x")
    found = {(m.name, m.control): m for m in figures}
    assert (found[CLEAN, "original"].value, found[CLEAN, "release"].value, found[CLEAN, "blackout"].value) == (1, 0, 0)
    assert (found[OWN, "original"].value, found[OWN, "release"].value) == (1, 1)
    assert found[OWN, "blackout"].value < 0.1
    assert found[OWN, "release"].ci95 == found[CLEAN, "original"].ci95
    assert found[OWN, "original"].ci95 == found[CLEAN, "original"].ci95
    assert found[OWN, "chance"].value == pytest.approx((14 + 1) / (120 * 118 + 1))
    (note,) = notes
    assert "0.099 % of the pairs of different people's originals reach the threshold" in note
    assert "of release 0 %, of blackout 0 %" in note
    (note,) = lfw_release.verification(case(tmp_path, "celeba"), many(0.0), "x", "x")[2]
    assert "of release 0.099 %" in note


def test_a_curve_that_is_all_far_off_is_not_worse_than_guessing(tmp_path: Path) -> None:
    _, curves, _ = lfw_release.verification(case(tmp_path, "celeba"), many(3.0), "x", "x")
    lines = {curve.label: curve for curve in curves if curve.figure == "roc_x"}
    assert set(lines) == {"original", "release", "blackout", "chance"}
    assert set(lines["release"].y) == {1.0}
    assert lines["chance"].y == lines["chance"].x == lines["release"].x
    assert all(y > x - 0.1 for x, y in zip(lines["blackout"].x, lines["blackout"].y, strict=True))
    apart = {curve.label: curve for curve in curves if curve.figure == "similarity_x"}
    assert sum(apart["release, impostors"].y[:-1]) == 0  # three apart and more
    assert sum(apart["original, impostors"].y[:-1]) > 0


def test_an_unreadable_picture_lowers_no_rate(tmp_path: Path) -> None:
    """Neither an original's, which would leave no threshold at all, nor a released one's among the strangers."""
    some = many(3.0)
    some.pictures["original"].embeddings["x"][0] = np.nan
    some.pictures["release"].embeddings["x"][2:] = np.nan
    found = values(lfw_release.verification(case(tmp_path, "celeba"), some, "x", "x"))
    assert found[CLEAN, "original"] == 1.0
    assert found[OWN, "release"] == 1.0


def test_without_strangers_of_its_own_a_control_has_no_figure_by_them(tmp_path: Path) -> None:
    """One person was looked at in the blackout, who was aligned in no photo: a rate of 0 would be a pass for free."""
    some = many(3.0)
    faces = [
        replace(one, region=replace(one.region, landmarks=())) if one.person == "P0" else one for one in some.faces
    ]
    black = replace(some.pictures["blackout"], looked=np.arange(120) < 2)
    few = Gathered(faces, some.files, some.leaders, some.pictures | {"blackout": black})
    figures, curves, _ = lfw_release.verification(case(tmp_path, "celeba"), few, "x", "x")
    assert [m.name for m in figures if m.control == "blackout"] == [CLEAN]
    assert [curve.figure for curve in curves if curve.label.startswith("blackout")] == ["similarity_x"]


def test_how_few_strangers_cannot_show_the_rate_is_told() -> None:
    (note,) = lfw_release.strangers(gathered(strangers=3))
    assert note.startswith("verification: 24 pairs of different people cannot show a false accept rate of 0.001")
    few = gathered()
    assert lfw_release.strangers(replace(few, faces=few.faces * 7)) == []  # 56 photos of four people: 1,176 pairs
    assert lfw_release.strangers(replace(few, faces=few.faces[:2])) == []  # one person: nothing is verified


def test_a_few_pairs_are_no_protocol(tmp_path: Path) -> None:
    pairs = "2\t1\nPerson_A\t1\t2\nPerson_A\t1\tPerson_B\t2\nPerson_C\t1\t2\nPerson_C\t1\tPerson_D\t2\n"
    found = values(lfw_release.verification(case(tmp_path, pairs=pairs), gathered(), "x", "x"))
    assert {name for name, _ in found} == {CLEAN, OWN}


def test_the_protocol_where_its_pairs_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lfw_release, "ENOUGH", 1)
    pairs = "2\t1\nPerson_A\t1\t2\nPerson_A\t1\tPerson_B\t2\nPerson_C\t1\t2\nPerson_C\t1\tPerson_D\t2\n"
    all_of_it = lfw_release.verification(case(tmp_path, pairs=pairs), gathered(), "x", "x")
    found = values(all_of_it)
    assert found["tar_at_far", "original"] == 1.0
    assert found["tar_at_far", "release"] == 0.0
    assert found["tar_at_far_own", "original"] == 1.0
    assert found["tar_at_far_own", "chance"] == 1 / 2  # of one impostor pair, the other fold's
    lines = [(curve.label, curve.x[0]) for curve in all_of_it[1] if curve.figure == "roc_x"]
    assert lines == [("original", 1 / 24), ("release", pytest.approx(1 / 48)), ("chance", pytest.approx(1 / 48))]


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
    assert lfw_release.verification(case(tmp_path, "celeba"), few, "x", "x") == ([], [], [])


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
    assert lfw_release.verification(case(tmp_path, "celeba"), few, "x", "x") == ([], [], [])
