"""Which samples a suite looks at, and how the table becomes scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from dsanon_eval.attacks import disjoint
from dsanon_eval.seeing.case import Case, pick

from dsanon.layout import ReleasePaths


def case(tmp_path: Path, rows: list[tuple[str, str | None]]) -> Case:
    """rows: sample and label of each face."""
    count = len(rows)
    table = pa.table(
        {
            "sample": [sample for sample, _ in rows],
            "region": pa.array(range(count), pa.int32()),
            "source_subject": pa.array([label for _, label in rows], pa.string()),
            "source_file": [f"{sample}.jpg" for sample, _ in rows],
            "source_sha256": ["0" * 64] * count,
            "subject": ["p"] * count,
            "scope": ["dataset"] * count,
            "file": [f"{sample}.jpg" for sample, _ in rows],
            "output_sha256": ["1" * 64] * count,
            "status": ["anonymized"] * count,
            "box": [[0.0, 0.0, 9.0, 9.0]] * count,
            "landmarks": pa.array([[]] * count, pa.list_(pa.float32())),
            "transform": pa.array([[]] * count, pa.list_(pa.float32())),
            "detector": ["hog"] * count,
            "score": [1.0] * count,
        }
    )
    return Case(ReleasePaths.of(None, tmp_path / "release"), tmp_path, {"configuration": {}}, table, mapped=True)


def crowd(people: int, photos: int, singles: int) -> list[tuple[str, str | None]]:
    rows = [(f"s{p:03d}-{k}", f"p{p:03d}") for p in range(people) for k in range(photos)]
    return rows + [(f"t{p:03d}", f"q{p:03d}") for p in range(singles)]


def test_people_are_drawn_not_photos(tmp_path: Path) -> None:
    made = case(tmp_path, crowd(50, 4, 100))
    chosen = pick(made, 80, each=10)
    of = dict(zip(*made.people()[:2], strict=True))
    several = [of[sample] for sample in chosen if sample.startswith("s")]
    assert all(several.count(person) == 4 for person in several)  # whole people
    assert len(several) == 60
    assert len(chosen) == 80  # the rest are people with one photo
    assert chosen == pick(made, 80, each=10)


def test_few_people_give_further_photos_in_turn(tmp_path: Path) -> None:
    chosen = pick(case(tmp_path, crowd(3, 100, 5)), 35, each=6)
    assert len(chosen) == 35
    assert {len([s for s in chosen if s.startswith(f"s{p:03d}")]) for p in range(3)} == {10}


def test_a_small_release_is_measured_whole(tmp_path: Path) -> None:
    assert len(pick(case(tmp_path, crowd(5, 3, 4)), 400, each=1000)) == 19


def test_unlabelled_faces_are_whoever_has_their_pseudonym(tmp_path: Path) -> None:
    made = case(tmp_path, [("a", None), ("a", None), ("b", "x")])
    samples, people, labelled = made.people()
    assert people[0] == people[1] != people[2]  # the rows of a track
    assert labelled == [False, False, True]
    assert pick(made, 10, each=10) == {"a", "b"}
    assert samples == ["a", "a", "b"]


def test_samples_with_bodies_alone_are_drawn_too(tmp_path: Path) -> None:
    faces, bodies = case(tmp_path, [("a", None)]), case(tmp_path, [("b", "x"), ("c", "y")])
    made = replace(faces, bodies=bodies.rows)
    assert pick(made, 10, each=10) == {"a"}
    assert pick(made, 10, each=10, kind="body") == {"b", "c"}
    assert made.files({"a", "b"}) == {"a.jpg", "b.jpg"}


@pytest.mark.parametrize("chosen", [None, {"a", "c"}])
def test_scenes_hold_all_faces_of_their_sample(tmp_path: Path, chosen: set[str] | None) -> None:
    made = case(tmp_path, [("a", "x"), ("a", "y"), ("b", "x"), ("c", "z")])
    scenes = {scene.sample: [face.person for face in scene.faces] for scene in made.scenes(chosen)}
    everything = {"a": ["x", "y"], "b": ["x"], "c": ["z"]}
    assert scenes == {sample: people for sample, people in everything.items() if chosen is None or sample in chosen}


def test_a_sample_across_two_pieces_stays_one_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsanon_eval.seeing.case._SCENES_AT_ONCE", 2)
    made = case(tmp_path, [("a", "x"), ("b", "x"), ("b", "y"), ("b", "z"), ("c", "x")])
    assert [len(scene.faces) for scene in made.scenes()] == [1, 3, 1]


def test_who_trained_the_generator_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = case(tmp_path, [*crowd(20, 3, 5), ("s000-0", "q004")])
    monkeypatch.setattr(disjoint, "namesakes", lambda *_: {"p003", "q001", "q004"})
    told, (note,), void = disjoint.told_apart(made, tmp_path / "painter.safetensors")
    assert note == "3 people of the release are among those painter was trained on: they are not measured"
    assert not void
    gone = {"s003-0", "s003-1", "s003-2", "t001", "t004", "s000-0"}  # the last beside somebody else
    assert pick(told, 400, each=10) == set(made.people()[0]) - gone
    assert disjoint.told_apart(made, None) == (made, [], [])


def test_of_nobody_but_training_people_the_audit_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = case(tmp_path, crowd(2, 2, 0))
    monkeypatch.setattr(disjoint, "namesakes", lambda _, __, labels: set(labels))
    told, notes, (why,) = disjoint.told_apart(made, tmp_path / "painter.safetensors")
    assert why.startswith("2 people of the release are among those painter was trained on, and nobody else is left")
    assert not notes
    assert len(pick(told, 400, each=10)) == 4
