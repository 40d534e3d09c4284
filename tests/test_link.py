from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import drawn_landmarks

from dsanon import boxes
from dsanon import link as stage
from dsanon.align import face_transform
from dsanon.errors import DsanonError
from dsanon.filling import FILLED
from dsanon.found import read_found, write_found
from dsanon.link import link
from dsanon.missed import NOTE
from dsanon.regions import NO_FACE, subject_of
from dsanon.sample import Found, Person, Region, Sample

SIZE = 50.0


def face(x: float, y: float = 150, label: str | None = None, detector: str = "centerface+hog") -> Region:
    points = drawn_landmarks(x, y, SIZE)
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    transform = tuple(map(float, face_transform(points).ravel()))
    detector += "+annotation" * (label is not None)
    return Region("face", (x0, y0, x1, y1), label, tuple(map(float, points.ravel())), transform, detector, 0.9)


def samples(people: Sequence[Sequence[Person]], rate: float = 30) -> list[Sample]:
    return [Sample(f"s/{i:03d}", f"s/{i:03d}.png", tuple(p), sequence="s", time=i / rate) for i, p in enumerate(people)]


def run(
    tmp_path: Path,
    frames: Sequence[Sequence[Region]],
    people: Sequence[Sequence[Person]] | None = None,
    wanted: str = "face",
    kept: frozenset[str] = frozenset(),
    problems: dict[int, str] | None = None,
    rate: float = 30,
) -> list[Found]:
    path = tmp_path / "found.parquet"
    given = samples(people or [()] * len(frames), rate)
    rows = [
        Found(s.id, 640, 480, () if i in (problems or {}) else tuple(regions), (problems or {}).get(i, ""), "ab")
        for i, (s, regions) in enumerate(zip(given, frames, strict=True))
    ]
    write_found(path, rows)
    out = list(link(given, [path], wanted, kept))
    assert [row.sample for row in out] == [s.id for s in given]
    write_found(tmp_path / "linked.parquet", out)
    assert [row.sample for row in read_found(tmp_path / "linked.parquet")] == [s.id for s in given]
    return out


def test_frames_that_are_not_in_the_order_of_their_times_are_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "found.parquet"
    given = samples([(), (), ()])[::-1]
    write_found(path, [Found(s.id, 640, 480) for s in given])
    with pytest.raises(DsanonError, match="not in the order of their times"):
        list(link(given, [path], "face", set()))


def middles(rows: list[Found]) -> list[float]:
    return [(row.regions[0].box[0] + row.regions[0].box[2]) / 2 for row in rows]


def test_somebody_unlabelled_is_one_subject_all_through(tmp_path: Path) -> None:
    rows = run(tmp_path, [[face(100 + 3 * i)] if i % 3 != 1 else [] for i in range(40)])
    given = samples([()] * 40)
    assert [len(row.regions) for row in rows] == [1] * 40
    subjects = {subject_of(s, 0, row.regions[0]) for s, row in zip(given, rows, strict=True)}
    assert subjects == {"unlabelled:s/000#0"}
    assert rows[1].regions[0].note == FILLED
    assert all(region.label is None for row in rows for region in row.regions)


def test_of_two_faces_with_one_label_neither_is_lost(tmp_path: Path) -> None:
    """Annotations that number two people alike: the second one's track has no place in the frame."""
    rows = run(tmp_path, [[face(100, label="s/1"), face(400, label="s/1")]] * 5)
    assert [sorted(round(region.box[0], -2) for region in row.regions) for row in rows] == [[100, 400]] * 5


def test_windows_leave_no_joint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    frames = [[face(100 + i + rng.normal(0, 0.7), 150 + 30 * np.sin(i / 20))] if i % 4 else [] for i in range(300)]
    whole = run(tmp_path, frames)
    monkeypatch.setattr(stage, "WINDOW", 40)
    monkeypatch.setattr(stage, "MARGIN", 45)
    pieces = run(tmp_path, frames)
    assert len({region.track for row in pieces for region in row.regions}) == 1
    assert np.abs(np.subtract(middles(whole), middles(pieces))).max() < 0.05
    assert [[r.note for r in row.regions] for row in whole] == [[r.note for r in row.regions] for row in pieces]


def test_no_more_frames_are_held_than_a_window_and_its_margins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "WINDOW", 20)
    monkeypatch.setattr(stage, "MARGIN", 10)
    decided, held = stage._decided, []

    def noted(frames: list[object], start: int, stop: int, *further: object) -> object:
        held.append((len(frames), start, stop))
        return decided(frames, start, stop, *further)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "_decided", noted)
    run(tmp_path, [[face(200)]] * 75, rate=5)
    assert held == [(30, 0, 20), (40, 10, 30), (40, 10, 30), (25, 10, 25)]


def test_a_gap_across_a_window_is_filled_at_any_frame_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "WINDOW", 30)
    monkeypatch.setattr(stage, "MARGIN", 5)
    rows = run(tmp_path, [[face(200)] if i < 25 or i > 140 else [] for i in range(160)], rate=120)
    assert [len(row.regions) for row in rows] == [1] * 160


def test_a_frame_that_could_not_be_read_stays_without_regions(tmp_path: Path) -> None:
    rows = run(tmp_path, [[face(200)]] * 9, problems={4: "damaged"})
    assert [len(row.regions) for row in rows] == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    assert rows[4].problem == "damaged"


def missing(x: float, label: str) -> Region:
    return Region("face", (x - 70, 94, x + 70, 260), label, (), (), "annotation", 1.0, NO_FACE)


def test_an_annotated_head_that_is_missed_is_painted_for_a_moment_and_covered_for_longer(tmp_path: Path) -> None:
    people = [[Person("1", (130 + 2 * i, 100, 270 + 2 * i, 400))] for i in range(40)]
    frames = [
        [face(200 + 2 * i, 140, "1")] if i < 5 or i in (6, 7, 8) or i > 30 else [missing(200 + 2 * i, "1")]
        for i in range(40)
    ]
    rows = run(tmp_path, frames, people)
    assert [len(row.regions) for row in rows] == [1] * 40
    assert (rows[5].regions[0].reason, rows[5].regions[0].note) == ("", FILLED)
    away = [row.regions[0] for row in rows[9:31]]
    assert {(region.reason, region.note) for region in away} == {(NO_FACE, NOTE)}
    assert all(region.box[3] - region.box[1] < 110 for region in away)
    assert np.abs(np.diff(middles(rows))).max() < 4  # steady


def test_a_doubtful_sighting_does_not_uncover_the_annotated_head(tmp_path: Path) -> None:
    """It is covered itself, and the head where sightings that are this person's for sure tell that it is."""
    people = [[Person("1", (130, 100, 270, 400))]] * 6
    doubtful = [missing(200, "1"), face(204, 140, detector="centerface")]
    rows = run(tmp_path, [[face(200, 140, "1")]] * 3 + [doubtful] * 3, people)
    for row in rows[3:]:
        assert {region.note for region in row.regions} == {"", NOTE}
        (head,) = [region for region in row.regions if region.reason == NO_FACE]
        assert head.box[2] - head.box[0] < 110
    alone = run(tmp_path, [doubtful] * 3, people[:3])
    assert [sorted(region.box for region in row.regions)[0] for row in alone] == [missing(200, "1").box] * 3


def test_who_consented_stays_as_found(tmp_path: Path) -> None:
    kept = Region("face", (175.0, 125, 225, 180), "1", detector="hog+annotation", score=0.5)
    rows = run(tmp_path, [[kept], [], [kept]], kept=frozenset({"1"}))
    assert [row.regions for row in rows] == [(kept,), (), (kept,)]


def test_a_guess_that_another_sighting_or_a_treated_body_covers_adds_nothing(tmp_path: Path) -> None:
    lost_and_found = [[face(200, label="1")]] * 5 + [[face(202, label="2")]] * 5
    assert [len(row.regions) for row in run(tmp_path, lost_and_found)] == [1] * 10
    body = Region("body", (100.0, 50, 300, 400), "9", detector="annotation")
    frames = [[face(200)]] * 5 + [[body]] * 5
    assert [len(row.regions) for row in run(tmp_path, frames, wanted="body")] == [1] * 10
    assert [len(row.regions) for row in run(tmp_path, frames, wanted="both")] == [1] * 5 + [2] * 5
    consented = run(tmp_path, frames, wanted="body", kept=frozenset({"9"}))  # a body that stays hides nobody
    assert [len(row.regions) for row in consented] == [1] * 5 + [2] * 5


def test_a_face_that_detectors_saw_is_no_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child before somebody else's chin, whose face cannot be aligned in one frame, is not what that one hides."""
    monkeypatch.setattr("test_link.SIZE", 140)
    large = face(300, 200)
    monkeypatch.setattr("test_link.SIZE", 40)
    x, y = large.box[0] + 22, large.box[3] - 20
    small = face(x, y)
    odd = replace(small, landmarks=(), transform=(), reason="turned", box=tuple(boxes.expand(small.box, 1.4)[0]))
    rows = run(tmp_path, [[large, small]] * 5 + [[large, odd]] + [[large, small]] * 5)
    assert [len(row.regions) for row in rows] == [2] * 11
    missed = run(tmp_path, [[large, small]] * 5 + [[large]] + [[large, small]] * 5)
    assert [len(row.regions) for row in missed] == [2] * 11


def detected(x: float, height: float = 120) -> Region:
    return Region("body", (x, 200, x + 40, 200 + height), None, (), (), "annotation", 1.0)


def test_bodies_without_labels_are_tracks_and_stay_hidden_where_their_detector_missed_them(tmp_path: Path) -> None:
    frames = [[detected(100 + 2 * i), detected(400)] if i < 10 and i % 4 != 2 else [] for i in range(40)]
    rows = run(tmp_path, frames, wanted="body")
    given = samples([()] * 40)
    assert [len(row.regions) for row in rows] == [2] * 25 + [0] * 15  # half a second beyond the end
    assert {(r.kind, r.label, r.reason) for row in rows for r in row.regions} == {("body", None, "")}
    subjects = {subject_of(s, 0, r) for s, row in zip(given, rows, strict=True) for r in row.regions}
    assert subjects == {"unlabelled:s/000#0", "unlabelled:s/000#1"}
    walker = next(r for r in rows[6].regions if r.box[0] < 300)
    assert (walker.note, walker.box) == (FILLED, (112, 200, 152, 320))
    assert [r.box for row in rows[:2] for r in row.regions] == [r.box for frame in frames[:2] for r in frame]


def test_a_body_that_is_lost_and_found_as_another_is_covered_once(tmp_path: Path) -> None:
    """The height leaps, so that a new track begins in whose box the old one's guess lies."""
    rows = run(tmp_path, [[detected(100)]] * 3 + [[detected(100, 279)]] * 3, wanted="both")
    assert [len(row.regions) for row in rows[3:]] == [1] * 3
