"""Are people found again? Average precision by hand, and the background that nobody touched."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dsanon_eval.utility import average_precision, background, people
from dsanon_eval.utility.frames import Pair
from dsanon_eval.utility.pedestrians import Pedestrians, People, Shot, pairs, recall

from dsanon.boxes import as_boxes
from dsanon.sample import Person, Region
from dsanon.sources import open_source

A, B, FAR = (0.0, 0.0, 10.0, 20.0), (50.0, 0.0, 60.0, 20.0), (200.0, 0.0, 210.0, 20.0)


def seen(*found: tuple[float, float, float, float], scores: tuple[float, ...] = ()) -> People:
    return People(as_boxes(found), np.array(scores or [1.0] * len(found)))


def test_boxes_are_paired_one_to_one() -> None:
    near = (1.0, 0.0, 11.0, 20.0)
    assert pairs([A, near], [A]) == [(0, 0)]
    assert pairs([A], [FAR]) == []
    assert pairs([], [A]) == []


def test_recall_counts_people_found_before() -> None:
    """Of A and B the release shows A; the lamp post FAR is nobody, and the crowd is not one person."""
    annotated = (Person("a", body=A), Person("b", body=B), Person(body=FAR, many=True))
    (row,) = recall([Shot("s", "s 0", annotated, seen(A, B, FAR), seen(A, FAR))])
    assert (row.name, row.value, row.n) == ("pedestrian_recall", 0.5, 2)
    assert recall([Shot("s", "s 0", annotated, seen(), seen(A))]) == []


def test_beside_the_release_stands_what_the_detector_finds_of_the_original_on_another_grid() -> None:
    annotated = (Person("a", body=A), Person("b", body=B))
    rows = recall([Shot("s", "s 0", annotated, seen(A, B), seen(), seen(B))])
    assert {row.control: (row.value, row.n) for row in rows} == {"release": (0.0, 2), "original_moved": (0.5, 2)}


def test_a_moved_picture_s_people_stand_where_they_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Pedestrians()
    shown: list[tuple[int, ...]] = []
    monkeypatch.setattr(Pedestrians, "__call__", lambda _, pixels: shown.append(pixels.shape) or seen(A))
    assert detector.moved(np.zeros((50, 40, 3), np.uint8)).boxes.tolist() == [[3, 3, 13, 23]]
    assert shown == [(47, 37, 3)]


def test_one_box_of_the_release_is_one_person() -> None:
    """Two who stand together, and a box between them that overlaps each by two thirds: one of both is found again."""
    left, between, right = (0.0, 0.0, 10.0, 20.0), (2.0, 0.0, 12.0, 20.0), (4.0, 0.0, 14.0, 20.0)
    both = (Person("a", body=left), Person("b", body=right))
    (row,) = recall([Shot("s", "s 0", both, seen(left, right), seen(between))])
    assert (row.value, row.n) == (0.5, 2)


def test_one_picture_has_no_interval() -> None:
    shot = Shot("s", "s 0", (Person(body=A), Person(body=B)), seen(A, B), seen(A, FAR))
    assert [row.ci95 for row in average_precision.measure([shot])] == [None] * 4


def test_average_precision_by_hand() -> None:
    """Two people, one found first and one false alarm after: precision 1 up to recall ½, that is 51 of 101 points."""
    shot = Shot("s", "s 0", (Person(body=A), Person(body=B)), seen(A, B), seen(A, FAR, scores=(2.0, 1.0)))
    rows = {(row.name, row.control): row for row in average_precision.measure([shot])}
    assert rows["person_ap", "original"].value == pytest.approx(1)
    assert rows["person_ap50", "release"].value == pytest.approx(51 / 101)
    assert rows["person_ap", "release"].n == 2


def test_a_false_alarm_beside_who_is_not_scored_is_one() -> None:
    """Only one box is theirs: a crowd's rule would forgive any that lies half in them."""
    aside = Person(body=(40.0, 0.0, 60.0, 40.0), aside=True)
    more = (40.0, 0.0, 60.0, 21.0)
    shot = Shot("s", "s 0", (Person(body=A), aside), seen(A), seen(more, aside.body, A, scores=(3.0, 2.0, 1.0)))
    rows = {(row.name, row.control): row for row in average_precision.measure([shot])}
    assert rows["person_ap50", "release"].value == pytest.approx(0.5, abs=0.01)
    assert rows["person_ap50", "original"].value == pytest.approx(1)


def test_average_precision_knows_crowds_and_empty_releases() -> None:
    crowd = (Person(body=A), Person(body=(40.0, 0.0, 80.0, 40.0), many=True))
    first, second = Shot("s", "s 0", crowd, seen(A), seen(A, B)), Shot("t", "t 0", crowd, seen(), seen())
    rows = {(row.name, row.control): row for row in average_precision.measure([first, second])}
    assert rows["person_ap", "release"].value == rows["person_ap", "original"].value
    interval = rows["person_ap50", "release"].ci95
    assert interval is not None
    assert interval[0] < rows["person_ap50", "release"].value < interval[1]
    assert {row.value for row in average_precision.measure([second])} == {0.0}
    assert average_precision.measure([Shot("s", "s 0", (), seen(A), seen(A))]) == []


def pair(change: int, where: tuple[slice, slice], withheld: bool = False) -> Pair:
    before = np.full((100, 100, 3), 100, np.uint8)
    after = before.copy()
    after[where] += np.uint8(change)
    region = Region("face", (40.0, 40.0, 60.0, 60.0))
    return Pair("s", 0, after, before, (), (), (region,), withheld=withheld)


def test_the_background_is_exact_or_told_in_decibels() -> None:
    inside, corner = (slice(40, 60), slice(40, 60)), (slice(0, 10), slice(0, 10))
    clean = background.look(pair(50, inside))
    assert clean is not None
    assert (clean.same, clean.error) == (1, 0)
    touched = background.look(pair(10, corner))
    assert touched is not None
    free = 100 * 100 - 36 * 36  # the box and 8 pixels around it
    assert touched.same == pytest.approx(1 - 100 / free)
    assert touched.error == pytest.approx(100 * 10**2 / free)
    assert background.look(pair(10, corner, withheld=True)) is None
    exact, ratio = background.measure([clean, touched])
    assert (exact.name, ratio.name, ratio.n) == ("background_exact", "background_psnr", 2)
    assert ratio.value == pytest.approx((background.BEST + 10 * np.log10(255**2 / touched.error)) / 2)
    assert background.measure([]) == []


def test_a_crop_that_is_painted_is_no_background() -> None:
    small = Region("face", (50.0, 50.0, 52.0, 52.0), transform=(2.0, 0.0, -60.0, 0.0, 2.0, -60.0))
    free = background.outside([small], 120, 120)
    assert not free[30:94, 30:94].any()  # the crop: (0 + 60) / 2 to (127 + 60) / 2
    assert free[:29].all()


@pytest.mark.shared
def test_the_detector_finds_a_person_where_they_stand(shared: Path) -> None:
    """Of the people whom it finds in a street of MOT17, most are where the annotation has them."""
    source = open_source("mot", shared / "data" / "mot17")
    samples = source.samples()[::4]
    detector = Pedestrians()
    hits, found = 0, 0
    for sample, photo in zip(samples, source.read(samples), strict=True):
        boxes = detector(photo.pixels).boxes
        hits += len(pairs(boxes, [person.body for person in sample.people if person.body]))
        found += len(boxes)
    assert found >= 30
    assert hits / found > 0.6


def test_watching_looks_at_both_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    class Counting:
        def __call__(self, pixels: np.ndarray) -> People:
            looked.append(int(pixels[50, 50, 0]))
            return seen()

        def moved(self, pixels: np.ndarray) -> People:
            looked.append(-int(pixels[50, 50, 0]))
            return seen(A)

    monkeypatch.setattr(people.pedestrians, "Pedestrians", Counting)
    shots, outside = people.watch([pair(7, (slice(40, 60), slice(40, 60)))], people=True)
    assert looked == [100, 107, -100]
    assert shots[0].moved is not None
    assert len(shots[0].moved.boxes) == 1
    assert (len(shots), len(outside)) == (1, 1)
    assert people.watch([pair(7, (slice(0, 1), slice(0, 1)))], people=False)[0] == []


def test_bodies_that_are_not_asked_are_told() -> None:
    """Of three pictures two are looked at; a sequence's frames are told elsewhere."""
    shown = {"people": lambda _: (["a", "b", "c", "a"], [], []), "about": {}}
    case = SimpleNamespace(dataset="coco", **shown)
    note = "bodies were looked at in 2 of the 3 pictures that show one, drawn by their names"
    assert people.sampled(case, {"a", "b", "x"}) == [note]  # type: ignore[arg-type]
    assert people.sampled(case, {"a", "b", "c"}) == []  # type: ignore[arg-type]
    assert people.sampled(SimpleNamespace(dataset="mots", **shown), {"a"}) == []  # type: ignore[arg-type]
    case.about = {"counts": {"regions": {"body": {"kept": 4}}}}
    (kept,) = people.sampled(case, {"a", "b", "c"})  # type: ignore[arg-type]
    assert kept.startswith("4 bodies were kept")
