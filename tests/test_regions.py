from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import drawn_landmarks
from hypothesis import given, settings
from hypothesis import strategies as st

from dsanon.align import Floats
from dsanon.detectors import Detection, open_detectors
from dsanon.detectors.union import unite
from dsanon.errors import BadImage
from dsanon.footprint import footprint
from dsanon.heads import head_box, match
from dsanon.landmarks import Landmarker
from dsanon.models import store
from dsanon.regions import BESIDE, GROUP, NO_FACE, NOBODY, RegionFinder, assemble, ordered, subject_of
from dsanon.sample import Box, Person, Photo, Pixels, Region, Sample
from dsanon.shapes import FEEBLE
from dsanon.sources import Source, open_source
from dsanon.sources.silhouettes import from_mask

W, H = 400, 300


def face(x: float, y: float, size: float = 40) -> Region:
    return Region("face", (x - size / 2, y - size / 2, x + size / 2, y + size / 2), detector="hog", score=0.9)


def sample(*people: Person, someone: bool = False) -> Sample:
    return Sample("a.jpg", "a.jpg", people, someone=someone)


def test_a_face_goes_to_the_person_whose_head_it_is() -> None:
    # one face, two overlapping bodies: it sits at the top of the second
    tall, short = Person("tall", (100, 20, 180, 290)), Person("short", (120, 120, 190, 290))
    out = assemble(sample(tall, short), [face(155, 140, 36)], W, H, "face")
    labels = {r.label: r.reason for r in out}
    assert labels == {"short": "", "tall": NO_FACE}


def test_bystanders_are_their_own_subjects_and_missed_people_get_their_head_covered() -> None:
    out = assemble(sample(Person("x", (10, 10, 60, 200))), [face(300, 100)], W, H, "face")
    assert {r.label for r in out} == {None, "x"}
    missed = next(r for r in out if r.label == "x")
    assert missed.reason == NO_FACE
    assert missed.box[1] <= 10
    assert 40 <= missed.box[3] - missed.box[1] <= 100
    names = {subject_of(sample(), i, r) for i, r in enumerate(out)}
    assert names == {"x", f"unlabelled:a.jpg#{[r.label for r in out].index(None)}"}


@pytest.mark.parametrize(
    ("person", "speck"),
    [
        (Person("x", head=(100, 50, 220, 170)), (110.0, 60.0, 126.0, 76.0)),  # a pattern inside the head's box
        (Person("x", (100, 50, 160, 250)), (120.0, 105.0, 135.0, 120.0)),  # a print on the chest
    ],
)
def test_what_is_too_small_or_too_low_to_be_the_face_does_not_stand_for_the_head(person: Person, speck: Box) -> None:
    out = assemble(sample(person), [Region("face", speck, detector="hog", score=0.9)], W, H, "face")
    head = next(r for r in out if r.label == "x")
    assert head.reason == NO_FACE
    assert next(r for r in out if r.label is None).box == speck


def test_of_somebody_who_stands_the_middle_of_the_guess_is_covered() -> None:
    standing, sitting = (assemble(sample(Person("x", (50, 60, 120, y))), [], W, H, "face")[0] for y in (270, 150))
    assert (standing.oval, sitting.oval) == (True, False)


def test_a_face_that_is_masked_anyway_covers_the_whole_head() -> None:
    dubious = replace(face(160, 110, 70), reason="landmarks implausible")
    (out,) = assemble(sample(Person("x", head=(100, 50, 220, 170))), [dubious], W, H, "face")
    assert (out.label, out.box) == ("x", (100, 50, 220, 170))


@pytest.mark.parametrize("wanted", ["face", "body", "both"])
@pytest.mark.parametrize("many", [False, True])
def test_somebody_without_a_box_is_covered_all_the_same(wanted: str, many: bool) -> None:
    mask = np.zeros((H, W), bool)
    mask[50:250, 100:160] = True
    drawn = Person("x", silhouette=from_mask(mask), many=many)
    out = assemble(sample(drawn, Person("y", many=many)), [], W, H, wanted)
    assert {r.label for r in out} == {"x", "y"}
    assert all(r.box == (0, 0, W, H) for r in out if r.label == "y")
    assert all(r.box[2] - r.box[0] < 100 for r in out if r.label == "x")


@pytest.mark.parametrize(
    "person", [Person("x", (100, -120, 200, 280)), Person("x", (-140, 20, 60, 280), head=(-60, 20, -10, 70))]
)
def test_who_is_partly_visible_is_covered_though_the_head_is_thought_outside(person: Person) -> None:
    (out,) = assemble(sample(person), [], W, H, "face")
    assert out.reason == NO_FACE
    assert out.box[1] <= 20


def test_a_kept_body_hides_nobody_elses_face() -> None:
    person = Person("consented", (50, 20, 350, 290))
    faces = [face(200, 60, 60), face(300, 200, 30)]  # theirs, and a bystander's inside their box
    plain = assemble(sample(person), faces, W, H, "body")
    assert [(r.kind, r.label) for r in plain] == [("body", "consented")]
    kept = assemble(sample(person), faces, W, H, "body", frozenset({"consented"}))
    assert ("face", None) in {(r.kind, r.label) for r in kept}


def test_consent_is_taken_to_a_face_only_where_it_can_be_nobody_elses() -> None:
    consented = Person("consented", head=(100, 50, 220, 170))
    theirs, near = face(160, 110, 75), face(185, 100, 70)
    kept = frozenset({"consented"})
    (alone,) = assemble(sample(consented), [theirs], W, H, "face", kept)
    assert alone.label == "consented"
    both = assemble(sample(consented), [theirs, near], W, H, "face", kept)
    assert {(r.box, r.label) for r in both} == {(theirs.box, None), (near.box, None)}
    # without consent the better one has the label
    assert {r.label for r in assemble(sample(consented), [theirs, near], W, H, "face")} == {"consented", None}
    neighbour = Person("neighbour", head=(120, 60, 240, 180))
    shared = assemble(sample(consented, neighbour), [theirs], W, H, "face", kept)
    assert all(r.label != "consented" or r.box != theirs.box for r in shared)
    assert any(r.box == theirs.box for r in shared)
    # a box of the body alone: whoever stands before it may show the only face
    (stranger,) = assemble(sample(Person("consented", (60, 60, 260, 290))), [theirs], W, H, "face", kept)
    assert (stranger.box, stranger.label) == (theirs.box, None)


def test_groups_and_nobody() -> None:
    (group,) = assemble(sample(Person(body=(0, 0, 50, 50), many=True)), [], W, H, "face")
    assert group.reason == GROUP
    (whole,) = assemble(sample(someone=True), [], W, H, "face")
    assert (whole.box, whole.reason) == ((0, 0, W, H), NOBODY)
    assert assemble(sample(), [], W, H, "face") == []


def test_bodies_and_the_faces_that_no_body_covers() -> None:
    person = Person("x", (100, 50, 200, 290))
    faces = [face(150, 75), face(350, 60)]
    body = assemble(sample(person), faces, W, H, "body")
    assert [(r.kind, r.label) for r in body] == [("body", "x"), ("face", None)]
    both = assemble(sample(person), faces, W, H, "both")
    assert sorted((r.kind, str(r.label)) for r in both) == [("body", "x"), ("face", "None"), ("face", "x")]
    assert [r.kind for r in ordered(both)] == ["body", "face", "face"]


def test_a_head_in_a_painted_silhouette_needs_no_cover_of_its_own_and_one_beside_it_does() -> None:
    y, x = np.ogrid[:H, :W]
    head, trunk = (x - 200) ** 2 + (y - 80) ** 2 <= 26**2, (abs(x - 200) < 40) & (y > 100) & (y < 290)
    person = Person("a", silhouette=from_mask(head | trunk))
    turned = replace(face(200, 80, 56), reason="turned away")  # the box as it was grown: its corners lie outside
    assert [r.kind for r in assemble(sample(person), [turned], W, H, "body")] == ["body"]
    beside = replace(face(215, 80, 56), reason="turned away")
    assert [r.kind for r in assemble(sample(person), [beside], W, H, "body")] == ["body", "face"]
    assert [r.kind for r in assemble(sample(person), [turned], W, H, "both")] == ["body", "face"]
    assert [r.kind for r in assemble(sample(person), [turned], W, H, "both", painted=True)] == ["body"]
    assert [r.kind for r in assemble(sample(person), [beside], W, H, "both", painted=True)] == ["body", "face"]
    head = replace(person, head=(160.0, 40.0, 228.0, 108.0))  # what the source knows of the head is covered whole
    assert [r.kind for r in assemble(sample(head), [turned], W, H, "body")] == ["body", "face"]


def test_a_head_that_nobody_saw_needs_no_cover_in_a_body_that_is_painted_anew() -> None:
    """Grey over a painted body would make a hole of it: somebody on their hands was grey from head to foot."""
    mask = np.zeros((H, W), bool)
    mask[50:290, 150:250] = True
    person = Person("a", silhouette=from_mask(mask))
    seen = face(200, 90, 50)
    assert [r.kind for r in assemble(sample(person), [], W, H, "both")] == ["body", "face"]  # covered, or blurred
    assert [r.kind for r in assemble(sample(person), [], W, H, "both", painted=True)] == ["body"]
    assert [r.kind for r in assemble(sample(person), [seen], W, H, "both", painted=True)] == ["body", "face"]
    outside = replace(person, head=(140.0, 20.0, 220.0, 100.0))  # a head that the source knows, half beside the mask
    for whole in (outside, Person("a", (150, 50, 250, 290)), replace(person, many=True)):
        assert any(r.reason for r in assemble(sample(whole), [], W, H, "both", painted=True) if r.kind == "face")
    kept = assemble(sample(person), [], W, H, "both", frozenset("a"), painted=True)
    assert [(r.kind, r.label) for r in kept] == [("body", "a"), ("face", "a")]


def test_what_is_painted_comes_after_what_is_covered() -> None:
    painted, covered = face(150, 75), Region("face", (0, 0, 400, 300), reason=NO_FACE)
    assert ordered([painted, covered]) == [covered, painted]


boxes = st.tuples(st.integers(-100, 450), st.integers(-100, 350), st.integers(1, 300), st.integers(1, 300)).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)


@given(
    people=st.lists(boxes, max_size=6),
    faces=st.lists(boxes, max_size=6),
    wanted=st.sampled_from(["face", "body", "both"]),
)
@settings(max_examples=150, deadline=None)
def test_nobody_visible_is_skipped_and_nobody_is_claimed_twice(
    people: list[Box], faces: list[Box], wanted: str
) -> None:
    persons = [Person(str(i), box) for i, box in enumerate(people)]
    out = assemble(sample(*persons), [Region("face", f, detector="hog") for f in faces], W, H, wanted)
    for region in out:
        x0, y0, x1, y1 = region.box
        assert 0 <= x0 < x1 <= W
        assert 0 <= y0 < y1 <= H
    for kind in ("face", "body"):
        labels = [r.label for r in out if r.label is not None and r.kind == kind]
        assert len(labels) == len(set(labels))
    for person in persons:
        assert person.body is not None
        x0, y0, x1, y1 = person.body
        if x0 < W and y0 < H and x1 > 0 and y1 > 0:
            assert any(r.label == person.subject for r in out)


def test_a_match_is_one_to_one() -> None:
    people = [Person(str(i), head=(50.0 * i, 50, 50.0 * i + 50, 100)) for i in range(4)]
    faces = [face(25 + 50 * i, 75, 30) for i in (2, 0, 3, 1)]
    assert match(faces, people) == {0: 2, 1: 0, 2: 3, 3: 1}


@pytest.mark.parametrize("body", [(10.0, 10.0, 15.0, 15.0), (10.0, 20.0, 14.0, 200.0), (0.0, 0.0, 300.0, 60.0)])
def test_small_thin_and_wide_bodies_have_a_head(body: Box) -> None:
    head = head_box(Person(body=body))
    assert head is not None
    assert head[2] > head[0]
    assert head[3] > head[1]


class Fixed:
    """A detector that sees what it is told to."""

    name = "hog"

    def __init__(self, *found: Detection) -> None:
        self.found = found

    def __call__(self, pixels: Pixels) -> list[Detection]:
        return list(self.found)


def in_square(pixels: Pixels, box: Box) -> Floats:
    """A predictor for which every square frames a face."""
    side = box[2] - box[0]
    return drawn_landmarks((box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - 0.1 * side, side)


def test_a_face_is_aligned_or_its_box_is_enlarged() -> None:
    blank = np.zeros((H, W, 3), np.uint8)
    sure, doubtful = Detection((100, 100, 160, 160), 0.9, "hog"), Detection((250, 100, 350, 200), 0.5, "hog")
    out = RegionFinder([Fixed(sure, doubtful)], in_square, "face")(sample(), blank)
    aligned, masked = sorted(out, key=lambda r: r.box)
    assert (len(aligned.landmarks), len(aligned.transform), aligned.reason) == (136, 6, "")
    assert aligned.box[0] <= 100
    assert aligned.box[3] >= 160
    assert (masked.landmarks, masked.transform, masked.reason) == ((), (), FEEBLE)
    assert masked.box == (230, 55, 370, 220)  # 0.2 to the sides and down, 0.45 up


def test_a_small_face_before_a_large_one_is_not_all_that_is_covered() -> None:
    """Detectors' squares of the two are united: the small one lies in the large one and is over half as wide."""
    blank = np.zeros((H, W, 3), np.uint8)
    small, large = Detection((100, 160, 190, 250), 0.9, "hog"), Detection((90, 80, 260, 250), 0.8, "hog")
    assert len(unite([small, large])) == 1
    out = RegionFinder([Fixed(small, large)], in_square, "face")(sample(), blank)
    assert [(region.reason, len(region.landmarks)) for region in out] == [("", 136)] * 2
    for region, seen in zip(out, (small, large), strict=True):
        outline = footprint(region, W, H, soft=True)
        hidden = np.zeros((H, W), bool)
        hidden[outline.window] = outline.hard
        x0, y0, x1, y1 = (int(v) for v in seen.box)
        assert hidden[y0:y1, x0:x1].mean() > 0.6


def test_landmarks_that_lie_elsewhere_stand_for_nobody() -> None:
    blank = np.zeros((H, W, 3), np.uint8)
    seen = Detection((100, 100, 160, 160), 0.9, "hog")
    (out,) = RegionFinder([Fixed(seen)], lambda *_: drawn_landmarks(155, 120, 60), "face")(sample(), blank)
    assert (out.reason, out.landmarks) == (BESIDE, ())
    assert out.box[0] <= 100
    assert out.box[2] >= 160


def test_the_order_of_detectors_changes_nothing() -> None:
    blank = np.zeros((H, W, 3), np.uint8)
    one, other = Fixed(Detection((100, 100, 160, 160), 0.9, "hog")), Fixed(Detection((102, 95, 162, 170), 0.8, "mmod"))
    person = sample(Person("x", head=(80, 70, 180, 190)))
    there, back = (RegionFinder(found, in_square, "both")(person, blank) for found in ([one, other], [other, one]))
    assert there == back
    assert [(r.kind, r.label) for r in there] == [("body", "x"), ("face", "x")]
    assert there[1].detector == "hog+mmod+annotation"


def test_where_the_head_is_a_guess_the_silhouette_bounds_it() -> None:
    mask = np.zeros((H, W), bool)
    mask[100:200, 50:250] = True
    (lying,) = assemble(sample(Person("x", silhouette=from_mask(mask))), [], W, H, "face")
    assert lying.silhouette is not None
    mask[0:300, 50:150] = True
    (standing,) = assemble(sample(Person("x", (50, 0, 150, 300), silhouette=from_mask(mask))), [], W, H, "face")
    assert standing.silhouette is not None
    assert standing.box[3] < 100
    (known,) = assemble(sample(Person("x", head=(50, 50, 90, 90), silhouette=from_mask(mask))), [], W, H, "face")
    assert known.silhouette is None


@pytest.fixture(scope="module")
def finder(shared: Path) -> RegionFinder:
    return RegionFinder(open_detectors("hog,centerface"), Landmarker(store.path("landmarks68")), "face")


def found(finder: RegionFinder, source: Source, samples: list[Sample]) -> Iterator[tuple[Sample, tuple[Region, ...]]]:
    for one, photo in zip(samples, source.read(samples), strict=True):
        assert isinstance(photo, Photo)
        regions = finder(one, photo.pixels)
        height, width = photo.pixels.shape[:2]
        for region in regions:
            assert 0 <= region.box[0] < region.box[2] <= width
            assert 0 <= region.box[1] < region.box[3] <= height
            assert bool(region.landmarks) == bool(region.transform) != bool(region.reason)
        yield one, regions


@pytest.mark.parametrize(("dataset", "step", "least"), [("lfw", 150, 0.96), ("celeba", 140, 0.96)])
def test_real_faces_are_found_aligned_and_named(
    shared: Path, finder: RegionFinder, dataset: str, step: int, least: float
) -> None:
    source = open_source(dataset, shared / "data" / dataset)
    samples = source.samples()[::step]
    assert len(samples) >= 40
    aligned = 0
    for one, regions in found(finder, source, samples):
        (named,) = [r for r in regions if "annotation" in r.detector]
        assert named.label == one.people[0].subject
        aligned += not named.reason
    assert aligned >= least * len(samples)


def test_everybody_in_a_real_crowd_has_a_region(shared: Path, finder: RegionFinder) -> None:
    source = open_source("mot", shared / "data" / "mot17")
    ((one, regions),) = found(finder, source, source.samples()[-1:])
    labels = [r.label for r in regions if r.label is not None]
    assert len(labels) > 20
    assert sorted(labels) == sorted(str(person.subject) for person in one.people)
    assert sum("+annotation" in r.detector for r in regions) >= 3


def test_a_subject_is_a_label_or_a_track_or_the_region_itself() -> None:
    stranger = face(10, 10)
    assert subject_of(sample(), 3, stranger) == "unlabelled:a.jpg#3"
    assert subject_of(sample(), 3, replace(stranger, track="b.jpg#0")) == "unlabelled:b.jpg#0"
    assert subject_of(sample(), 3, replace(stranger, label="Ann", track="b.jpg#0")) == "Ann"


def test_somebody_outside_of_a_still_is_somewhere_in_it() -> None:
    """The coordinates are of another size: where they are nothing tells."""
    finder = RegionFinder([], lambda pixels, box: np.zeros((68, 2), np.float32), "face")
    pixels = np.zeros((480, 640, 3), np.uint8)
    for person in (Person(body=(900, 10, 950, 90)), Person(head=(10, -90, 40, -20)), Person(body=(0, 700, 9, 800))):
        with pytest.raises(BadImage, match="outside of the picture"):
            finder(Sample("a", "a.png", (person,)), pixels)
        assert finder(Sample("a", "a.png", (person,), sequence="s"), pixels) == ()
    (region,) = finder(Sample("a", "a.png", (Person(body=(630, 10, 950, 90)),)), pixels)
    assert region.box[2] == 640
