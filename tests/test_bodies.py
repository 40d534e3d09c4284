"""Bodies: crops, what the generator is shown of them, and what becomes of the photo."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from test_render import Recorder, noise, region

from dsanon.align import PAD, apply
from dsanon.bodies import FEATHER, FULL, SIZE, body_transform
from dsanon.footprint import footprint
from dsanon.landmarks import distance_to
from dsanon.methods.ciagan import Crop
from dsanon.plan import Control
from dsanon.regions import assemble
from dsanon.render import Strength, Treatment, render
from dsanon.sample import TRACK, Mask, Person, Pixels, Region, Sample
from dsanon.sources.silhouettes import from_mask

H, W = 300, 400
ONE = Control((0,), (1.0,))
NEW = (200, 20, 90)


def person(x: int, y: int, height: int) -> Mask:
    """Somebody upright: an ellipse and a head, centred at x, y."""
    mask = np.zeros((H, W), np.uint8)
    cv2.ellipse(mask, (x, y + height // 8), (height // 6, 3 * height // 8), 0, 0, 360, 1, -1)
    cv2.circle(mask, (x, y - 3 * height // 8), height // 8, 1, -1)
    return mask > 0


def body(mask: Mask) -> Region:
    (found,) = assemble(Sample("a", "a.png", (Person("x", silhouette=from_mask(mask)),)), [], W, H, "body")
    return found


class Bodies(Recorder):
    """Stands for the generator of bodies."""

    def __call__(self, crops: list[Crop]) -> list[Pixels]:
        self.crops += crops
        return [np.full((*SIZE, 3), NEW, np.uint8) for _ in crops]


def new(pixels: Pixels) -> bool:
    """Whether all (n, 3) are painted, but for the rounding of what is continued at an outline."""
    return bool(len(pixels) and np.abs(pixels.astype(int) - NEW).max() <= 2)


def rendered(photo: Pixels, plan: list[Treatment]) -> tuple[Pixels, list[Crop], list[Crop]]:
    """The result, what the painter of bodies was shown, and that of faces."""
    bodies, faces = Bodies(), Recorder()
    out = render([photo], [plan], Strength(9, 16), faces, {}, bodies)[0]  # type: ignore[arg-type]
    return out, bodies.crops, faces.crops


@pytest.mark.parametrize("mask", [person(200, 150, 200), person(200, 150, 200).T[:W, :H].T, np.eye(H, W) > 0])
def test_every_silhouette_lies_whole_in_the_middle_of_its_crop(mask: Mask) -> None:
    rows, columns = np.nonzero(mask)
    points = apply(body_transform(mask), np.stack([columns, rows], axis=1))
    low, high = points.min(0), points.max(0)
    assert np.allclose((low + high) / 2, (np.array(SIZE[::-1]) - 1) / 2)
    assert low.min() > 5
    assert (high < np.array(SIZE[::-1]) - 6).all()
    assert ((high - low) / SIZE[::-1]).max() == pytest.approx(1 / 1.25, abs=0.02)


def test_no_pixel_of_a_body_survives_or_is_shown_to_anybody_and_outside_nothing_changes() -> None:
    masks = [person(60, 150, 200), person(110, 170, 220), person(2, 60, 90)]  # neighbours, and one cut by the edge
    plan = [Treatment(body(mask), "ciagan", ONE) for mask in masks]
    photo = noise(1)
    hard, touched = np.zeros((H, W), bool), np.zeros((H, W), bool)
    for treatment in plan:
        area = footprint(treatment.region, W, H, soft=True)
        hard[area.window] |= area.hard
        touched[area.window] |= area.weight > 0
    other = photo.copy()
    other[hard] = noise(2)[hard]
    out, shown, _ = rendered(photo, plan)
    again, shown_again, _ = rendered(other, plan)
    assert np.array_equal(out, again)
    for one, two, mask in zip(shown, shown_again, masks, strict=True):
        visible = ~(one.hidden | one.padding)
        assert np.array_equal(one.pixels, two.pixels)
        assert visible.any()
        assert (one.pixels[one.padding] == PAD).any()
        assert one.drawn.any() == mask.any()
        assert one.hidden[one.drawn[..., 0] > 0].all()
    assert shown[2].padding[:, :10].all()  # beyond the photo's edge there is nothing, and no mirror
    assert (shown[2].pixels[:, :10] == PAD).all()
    for mask in masks:  # but for its edge, and for the edges of those in front of it
        others = np.logical_or.reduce([other for other in masks if other is not mask])
        assert new(out[(distance_to(~mask) > 3) & (distance_to(others) > 8)])
    assert np.array_equal(out[~touched], photo[~touched])
    unit = max(footprint(t.region, W, H, soft=True).unit for t in plan)
    assert distance_to(np.logical_or.reduce(masks))[touched].max() <= (FULL + FEATHER) * unit


def test_the_outline_is_sharp_and_around_it_the_background_goes_on() -> None:
    """A halo of the painted person would hide the outline by which detectors find people."""
    mask = person(200, 150, 200)
    photo = np.full((H, W, 3), 60, np.uint8)
    photo[mask] = 240  # nothing of it may be in the ring
    treatment = Treatment(body(mask), "ciagan", ONE)
    area = footprint(treatment.region, W, H, soft=True)
    out, _, _ = rendered(photo, [treatment])
    distance = distance_to(mask)
    ring = (distance > 0.6 * area.unit + 1) & (distance <= FULL * area.unit)
    assert ring.sum() > 300
    assert np.abs(out[ring].astype(int) - 60).max() <= 3
    assert new(out[distance_to(~mask) > 0.6 * area.unit + 1])


def test_what_was_painted_beyond_the_outline_does_not_bleed_into_it() -> None:
    mask = person(200, 150, 200)

    class Outside(Bodies):
        def __call__(self, crops: list[Crop]) -> list[Pixels]:
            return [np.where(crop.drawn > 127, np.array(NEW, np.uint8), np.uint8(255)) for crop in crops]

    photo = np.full((H, W, 3), 60, np.uint8)
    out = render([photo], [[Treatment(body(mask), "ciagan", ONE)]], Strength(9, 16), None, {}, Outside())[0]  # type: ignore[arg-type]
    assert new(out[distance_to(~mask) > 2])
    assert out.max() <= 202


def test_around_somebody_in_front_their_neighbours_new_clothes_go_on_and_no_grey() -> None:
    back, front = person(190, 140, 160), person(230, 150, 240)
    photo = np.full((H, W, 3), 60, np.uint8)
    plan = [Treatment(body(mask), "ciagan", ONE) for mask in (back, front)]
    shades = iter([NEW, (20, 90, 200)])

    class Two(Bodies):
        def __call__(self, crops: list[Crop]) -> list[Pixels]:
            return [np.full((*SIZE, 3), next(shades), np.uint8) for _ in crops]

    out = render([photo], [plan], Strength(9, 16), None, {}, Two())[0]  # type: ignore[arg-type]
    between = (distance_to(front) > 3) & (distance_to(front) < 5) & (distance_to(~back) > 6)
    assert between.sum() > 20
    assert (np.abs(out[between].astype(int) - NEW).max(axis=1) <= 40).all()
    assert not (np.abs(out.astype(int) - 127).max(axis=2) < 12).any()


def test_faces_are_painted_onto_painted_bodies() -> None:
    face = region(200, 90, 60)
    mask = person(200, 150, 240)
    out, _, (shown,) = rendered(noise(3), [Treatment(body(mask), "ciagan", ONE), Treatment(face, "ciagan", ONE)])
    visible = shown.pixels[~shown.hidden]
    assert (visible == NEW).all(axis=1).mean() > 0.2  # the new neck, and not grey
    assert (out[90, 200] == (10, 200, 30)).all()
    assert (out[200, 200] == NEW).all()


def test_of_a_face_that_nobody_saw_only_what_others_new_bodies_leave_is_painted() -> None:
    guess = replace(region(200, 90, 60), detector=TRACK)
    mask = np.zeros((H, W), bool)
    mask[20:280, 200:300] = True
    out, _, _ = rendered(noise(3), [Treatment(body(mask), "ciagan", ONE), Treatment(guess, "ciagan", ONE)])
    assert (out[90, 195] == (10, 200, 30)).all()
    assert (out[90, 205:215] == NEW).all()
    seen = [Treatment(body(mask), "ciagan", ONE), Treatment(replace(guess, detector="hog"), "ciagan", ONE)]
    assert (rendered(noise(3), seen)[0][90, 205] == (10, 200, 30)).all()
    own = [Treatment(body(mask), "ciagan", ONE), Treatment(replace(guess, label="x"), "ciagan", ONE)]
    assert (rendered(noise(3), own)[0][90, 205] == (10, 200, 30)).all()


def test_in_a_picture_of_one_row_nothing_is_read_from_beyond_it() -> None:
    mask = np.zeros((1, 60), bool)
    mask[0, 20:40] = True
    (found,) = assemble(Sample("a", "a.png", (Person("x", silhouette=from_mask(mask)),)), [], 60, 1, "body")
    photo = np.full((1, 60, 3), 60, np.uint8)
    pictures = [
        render([photo], [[Treatment(found, "ciagan", ONE)]], Strength(9, 16), None, {}, Bodies())[0] for _ in range(20)
    ]  # type: ignore[arg-type]
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)
    assert (pictures[0][0, [10, 50]] == 60).all()


def test_around_who_lies_the_ring_is_as_wide_as_around_who_stands() -> None:
    standing, lying = np.zeros((H, W), bool), np.zeros((H, W), bool)
    standing[20:260, 180:260], lying[100:180, 20:260] = True, True
    ring = [int((footprint(body(m), W, H, soft=True).weight > 0).sum() - m.sum()) for m in (standing, lying)]
    assert abs(ring[0] - ring[1]) < 0.02 * ring[0]


def test_a_covered_face_stays_covered_on_a_painted_body_and_is_not_shown_to_a_neighbours_painter() -> None:
    mask = person(200, 150, 240)
    cover, neighbour = Region("face", (170.0, 30.0, 230.0, 90.0), reason="turned away"), region(262, 78, 60)
    plan = [Treatment(body(mask), "ciagan", ONE), Treatment(cover, "mask"), Treatment(neighbour, "ciagan", ONE)]
    out, _, (shown,) = rendered(noise(4), plan)
    assert (out[31:89, 171:209] == 127).all()
    (x, y), *_ = apply(np.array(neighbour.transform).reshape(2, 3), [[224, 40]]).round().astype(int)
    assert min(x, y) > 2
    _, _, (alone,) = rendered(noise(4), [plan[0], plan[2]])
    assert shown.hidden[y, x]
    assert not alone.hidden[y, x]  # a painted body is there to be seen


def test_who_overlaps_is_painted_back_to_front() -> None:
    small, large = person(180, 120, 120), person(200, 150, 240)
    regions = assemble(
        Sample("a", "a.png", tuple(Person(n, silhouette=from_mask(m)) for n, m in (("l", large), ("s", small)))),
        [],
        W,
        H,
        "body",
    )
    assert [r.label for r in sorted(regions, key=lambda r: r.box[2] - r.box[0])] == ["s", "l"]
    bodies = Bodies()
    plan = [Treatment(r, "ciagan", ONE) for r in sorted(regions, key=lambda r: r.box[2] - r.box[0])]
    render([noise(5)], [plan], Strength(9, 16), None, {}, bodies)  # type: ignore[arg-type]
    first, second = bodies.crops
    assert first.hidden.mean() > first.drawn[..., 0].astype(bool).mean()  # the neighbour is hidden in it too
    assert second.drawn.any()


def test_what_is_no_silhouette_of_one_person_gets_no_crop() -> None:
    mask = person(200, 150, 200)
    rle = from_mask(mask)
    people = (
        Person("crowd", silhouette=rle, many=True),
        Person("box", (10, 10, 60, 200)),
        Person("lie", (10, 10, 60, 200), silhouette=from_mask(mask[:-1])),  # of another size than the photo
    )
    assert [r.transform for r in assemble(Sample("a", "a.png", people), [], W, H, "body")] == [(), (), ()]
    with pytest.raises(ValueError, match="silhouette"):
        footprint(Region("body", (10, 10, 60, 200)), W, H, soft=True)
    with pytest.raises(ValueError, match="empty silhouette"):
        body_transform(np.zeros((5, 5), bool))
