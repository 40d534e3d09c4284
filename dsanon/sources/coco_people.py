"""COCO's people: which categories are of people, what one annotation tells of somebody, and several of the same."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from dsanon.boxes import area, clip, hull, intersection, intersection_over_smaller, iou
from dsanon.sample import Box, Person
from dsanon.sources.keypoints import HEAD, head_box
from dsanon.sources.silhouettes import box_of, from_segmentation

# Names of categories, in lower case and without an s at the end. A word of SURE anywhere in a name is enough
# ("person_with_helmet"); one of PEOPLE is a whole name, or a part between dots or slashes ("human.pedestrian.adult"):
# CD players are no people.
SURE = frozenset({"person", "people", "pedestrian", "rider", "cyclist", "motorcyclist"}) | {
    *("man", "men", "woman", "women", "boy", "girl")
}
_COMPOUND = ("man", "men", "woman", "women", "person", "people")  # policeman, salespeople
_NOT_PEOPLE = frozenset({"ottoman", "roman", "talisman", "specimen", "abdomen", "stamen"})
PEOPLE = SURE | {
    *("human", "human body", "body", "full body", "visible body", "adult", "male", "female"),
    *("child", "children", "kid", "baby", "babie", "toddler"),
    *("driver", "passenger", "player", "worker", "skier", "biker", "bicyclist"),
}
HEADS = frozenset({"face", "head", "human face", "human head", "person face", "person head"})
# Of box and silhouette; in COCO itself the box is the silhouette's
_AGREED = 0.5
_HELD = 0.25  # of the hull of box and joints: less, and one of both is wrong, so that all of both is hidden
# Of the box's longer side: so far beyond it may a joint of the head lie; two of COCO's 116 do further, by 0.2
_BEYOND = 0.1
# A head is of somebody whose box holds so much of it and begins so much of the head's height above it at most; or whose
# own head, by keypoints, shares so much of the smaller one with it
_INSIDE, _BELOW, _SHARED = 0.8, 0.3, 0.6
CROWDS = frozenset({"crowd", "group of people", "people group", "person group"})
# Of the names of categories of people a release keeps those of these words alone: others may be somebody's.
_ATTRIBUTES = frozenset({"with", "without", "on", "in", "of", "no", "not", "and", "or", "other", "unknown"}) | {
    *("helmet", "hard", "hat", "hardhat", "cap", "mask", "vest", "safety", "glasses", "uniform", "police", "officer"),
    *("bag", "backpack", "umbrella", "bike", "bicycle", "motorcycle", "motorbike", "scooter", "wheelchair", "stroller"),
    *("standing", "sitting", "walking", "running", "riding", "lying", "static", "moving", "occluded", "visible"),
    *("old", "young", "senior", "construction", "basketball", "football", "soccer", "tennis", "front", "back", "side"),
    "ignore",
}
_WORDS = {word for name in PEOPLE | HEADS | CROWDS for word in name.split()} | _ATTRIBUTES


def impersonal(name: object) -> bool:
    """Whether the name of a category of people says of nobody who that is."""
    text = str(name).casefold().replace("_", " ")
    return text.isascii() and all(w.removesuffix("s") in _WORDS or w in _WORDS for w in re.findall(r"[^\W\d]+", text))


def whose(category: dict[str, Any]) -> Literal["head", "person", "crowd", ""]:
    """What the annotations of a category are: heads, people or groups of them, or nothing that is known to be these."""
    name, above = (
        re.sub(r"[\s_-]+", " ", str(category.get(field, ""))).strip().casefold() for field in ("name", "supercategory")
    )
    if name.removesuffix("s") in HEADS:
        return "head"
    if name.removesuffix("s") in CROWDS:
        return "crowd"
    parts = {part.strip().removesuffix("s") for part in (name, above, *re.split(r"[./|:>]", name))}
    words = {word.removesuffix("s") for word in re.findall(r"\w+", name)}
    compound = any(word.endswith(_COMPOUND) for word in words - _NOT_PEOPLE)
    return "person" if parts & PEOPLE or words & SURE or compound else ""


def person_of(
    annotation: dict[str, Any],
    kind: Literal["head", "person", "crowd"],
    size: tuple[int, int] | None,
    joints: Sequence[str],
) -> Person:
    """Whom an annotation of a category of that ``kind`` tells of. Raises TypeError, ValueError or OverflowError.

    Of a head, or of a crowd of heads, nothing is known below it.
    """
    person = _annotated(annotation, size, joints)
    if kind == "head":
        return Person(head=person.body or person.head, many=person.many)
    return replace(person, many=person.many or kind == "crowd")


def _annotated(annotation: dict[str, Any], size: tuple[int, int] | None, joints: Sequence[str]) -> Person:
    silhouette = None
    if size and annotation.get("segmentation"):
        silhouette = from_segmentation(annotation["segmentation"], *size)
    body: Box | None
    if annotation.get("bbox") and not _is_blank(annotation["bbox"]):
        body = _body(annotation["bbox"], size)
    else:
        body = box_of(silhouette) if silhouette else None
    if silhouette and body and iou([around := box_of(silhouette)], [body])[0, 0] < _AGREED:
        silhouette, body = None, _hull(around, body)  # one of the two is wrong
    marked = _marked(annotation.get("keypoints") or [], joints)
    head = head_box(marked, body)
    if body and marked:
        xs, ys = zip(*marked.values(), strict=True)
        around = _hull(body, (min(xs), min(ys), max(xs) + 1, max(ys) + 1))
        if area([body])[0] < _HELD * area([around])[0]:
            head = _with_head(around, marked)
            silhouette, body = None, _clipped(head, size)
        elif _is_beyond(marked, body):
            head = _with_head(body, marked)
    return Person(
        body=body,
        head=_clipped(head, size) if head else None,
        silhouette=silhouette,
        many=bool(annotation.get("iscrowd")),
    )


def _is_blank(bbox: Any) -> bool:
    """Whether it has neither width nor height: what tools write of somebody whose box they do not know."""
    return isinstance(bbox, list) and len(bbox) == 4 and all(map(_number, bbox)) and bbox[2] == bbox[3] == 0


def _body(bbox: Any, size: tuple[int, int] | None) -> Box:
    """x, y, width, height → half-open, inside the image. COCO itself has boxes without width or height."""
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(_number(value) for value in bbox):
        raise ValueError(f"bbox {bbox} is no list of four numbers")
    x, y, width, height = (float(value) for value in bbox)
    if width < 0 or height < 0:
        raise ValueError(f"bbox {bbox} has a negative width or height")
    if size and not (x <= size[0] and y <= size[1] and x + width >= 0 and y + height >= 0):
        raise ValueError(f"bbox {bbox} is outside the image of {size[0]}x{size[1]}")
    if size:  # at least a pixel of it is inside
        x, y = min(x, size[0] - 1), min(y, size[1] - 1)
        width, height = max(width, 1 - min(x, 0)), max(height, 1 - min(y, 0))
    return _clipped((x, y, x + max(width, 1), y + max(height, 1)), size)


def _clipped(box: Box, size: tuple[int, int] | None) -> Box:
    if size is None:
        return box
    x0, y0, x1, y1 = clip([box], *size)[0].tolist()
    return x0, y0, x1, y1


def _marked(values: Any, joints: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Joint → x, y, of those with a visibility above 0 (1: hidden, 2: visible)."""
    if not isinstance(values, list) or len(values) % 3 or not all(_number(value) for value in values):
        raise ValueError("keypoints are no list of x, y and visibility")
    if not values:
        return {}
    if len(values) != 3 * len(joints):  # by other names a foot may be a nose
        raise ValueError(f"it has {len(values) // 3} keypoints, and its category (or COCO) the names of {len(joints)}")
    triples = zip(values[::3], values[1::3], values[2::3], strict=True)
    return {joint: (float(x), float(y)) for joint, (x, y, seen) in zip(joints, triples, strict=True) if seen > 0}


def _with_head(body: Box, marked: Mapping[str, tuple[float, float]]) -> Box:
    """All of where the head may be if the joints contradict the box: nothing tells which of both is right."""
    heads = [head_box(marked, body), head_box(marked, None)]
    x0, y0, x1, y1 = hull([body, *(head for head in heads if head)])[0].tolist()
    return x0, y0, x1, y1


def _is_beyond(marked: Mapping[str, tuple[float, float]], body: Box) -> bool:
    """Whether a joint of the head lies so far outside of the person's box that one of both is wrong."""
    x0, y0, x1, y1 = body
    spare = _BEYOND * max(x1 - x0, y1 - y0)
    places = [marked[joint] for joint in HEAD if joint in marked]
    return any(not (x0 - spare <= x <= x1 + spare and y0 - spare <= y <= y1 + spare) for x, y in places)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def united(people: Sequence[Person]) -> list[Person]:
    """``people``, of whom nobody is there twice: each head that can be of one body alone, and that of no other head.

    A child's head before an adult whose own is not annotated is the adult's where it lies at the top of their body;
    elsewhere, and where there is a choice, both stay, and are covered.
    """
    bodies = [i for i, person in enumerate(people) if person.body is not None and not person.many]
    heads = [i for i, person in enumerate(people) if _is_head(person) and not person.many]
    fits = np.array([[_fits(people[i].head, people[j]) for j in bodies] for i in heads], bool)
    fits = fits.reshape(len(heads), len(bodies))
    out = dict(enumerate(people))
    for row, column in np.argwhere(fits).tolist():
        if fits[row].sum() == fits[:, column].sum() == 1:
            i, head = bodies[column], out.pop(heads[row]).head
            known = out[i].head
            out[i] = replace(out[i], head=_hull(head, known) if head and known else head)
    return list(out.values())


def bodies_known(people: Sequence[Person]) -> bool:
    """Whether the body of everybody whose head is known is somebody's here: all of it, or it hides the head."""
    bodies = [person.body for person in people if person.body is not None]
    heads = [person.head for person in people if person.head is not None and _is_head(person)]
    return bool((intersection(heads, bodies) >= _INSIDE * area(heads)[:, None]).any(axis=1).all())


def _is_head(person: Person) -> bool:
    """Whether nothing but a head is known, or the heads of a crowd."""
    return person.head is not None and person.body is None and person.silhouette is None


def _fits(head: Box | None, person: Person) -> bool:
    assert head is not None
    body = person.body
    if body is None or intersection([head], [body])[0, 0] < _INSIDE * max(area([head])[0], 1e-9):
        return False
    if person.head is not None:
        return bool(intersection_over_smaller([head], [person.head])[0, 0] >= _SHARED)
    return head[1] - body[1] <= _BELOW * (head[3] - head[1])


def _hull(one: Box, other: Box) -> Box:
    x0, y0, x1, y1 = hull([one, other])[0].tolist()
    return x0, y0, x1, y1


def in_shares(annotations: Iterable[dict[str, Any]]) -> str:
    """What of all of them is given in shares of the picture's sides, as other formats have it; '' where nothing is."""
    beyond: dict[str, bool] = {}
    for annotation in annotations:
        joints = _list(annotation.get("keypoints"))
        triples = zip(joints[::3], joints[1::3], joints[2::3], strict=False)
        marked = [value for x, y, seen in triples if seen for value in (x, y)]
        polygons = [value for polygon in _list(annotation.get("segmentation")) for value in _list(polygon)]
        boxes = [*_list(annotation.get("bbox")), *polygons]
        for what, values in (("box and polygon", boxes), ("keypoint", marked)):
            if values:
                shares = all(_number(value) and value <= 1 for value in values)
                beyond[what] = beyond.get(what, False) or not shares
    return next((what for what, pixels in beyond.items() if not pixels), "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def merge(people: list[tuple[int, Person]], number: int, person: Person) -> None:
    """Add ``person``, or what is new of them: instances and person_keypoints tell of the same people by the same id.

    Where the boxes contradict each other, the files number their people independently: two people.
    """
    for index, (other, known) in enumerate(people):
        place = "body" if known.body or person.body else "head"
        if other == number and _same(getattr(known, place), getattr(person, place)):
            people[index] = (
                number,
                replace(
                    known,
                    body=known.body or person.body,
                    head=known.head or person.head,
                    silhouette=known.silhouette or person.silhouette,
                    many=known.many or person.many,
                ),
            )
            return
    people.append((number, person))


def _same(one: Box | None, other: Box | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


def labelled(file: str, people: Iterable[tuple[int, Person]]) -> list[Person]:
    """The people of an image with labels of their own, ``FILE#ID`` of the annotation; a crowd is nobody in particular.

    Two of one number, from two json files, have none: nobody could tell whom it means.
    """
    known = list(people)
    count = Counter(number for number, _ in known)
    labels = [f"{file}#{n}" if count[n] == 1 and not person.many else None for n, person in known]
    return [replace(person, subject=label) for (_, person), label in zip(known, labels, strict=True)]
