"""Whom COCO's annotations tell of: people merged from several files, their categories, heads and bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_jsons import CAT, PERSON, dataset, joints, one_json, person

from dsanon.boxes import area, intersection
from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.regions import assemble
from dsanon.sample import Photo, Sample
from dsanon.sources.coco import CocoSource
from dsanon.sources.silhouettes import to_mask


def test_people_of_several_files_are_one(tmp_path: Path) -> None:
    source = CocoSource(dataset(tmp_path))
    first, second, unlisted = source.samples()
    assert [s.id for s in (first, second, unlisted)] == [f"val2017/{n:012d}.jpg" for n in (1, 2, 9)]
    assert (first.size, unlisted.size) == ((64, 48), None)
    assert unlisted.people == ()
    assert (first.bodies, second.bodies, unlisted.bodies) == (True, True, False)
    (one,) = first.people
    assert one.body == (10, 10, 30, 40)
    assert one.subject == "val2017/000000000001.jpg#11"
    assert not one.many
    assert one.head is not None
    assert one.head[0] < 18 < 22 < one.head[2]
    assert one.silhouette is not None
    assert np.array_equal(np.argwhere(to_mask(one.silhouette)).min(0), [10, 10])
    assert to_mask(one.silhouette).sum() == 600
    crowd, other = second.people
    assert (crowd.many, crowd.subject) == (True, None)
    assert crowd.head is None
    assert crowd.silhouette is not None
    assert to_mask(crowd.silhouette)[:, 10:30].all()
    assert to_mask(crowd.silhouette).sum() == 48 * 20
    assert (other.many, other.body, other.head) == (False, (10, 10, 30, 40), None)
    photos = list(source.read([first, second, unlisted]))
    assert all(isinstance(photo, Photo) for photo in photos)
    assert [path.name for path in source.inputs()] == [
        "captions_val2017.json",
        "instances_val2017.json",
        "person_keypoints_val2017.json",
    ]


@pytest.mark.parametrize("kinds", [[], [17]], ids=["image_info", "things alone"])
def test_a_category_of_people_without_annotations_tells_of_nobody(tmp_path: Path, kinds: list[int]) -> None:
    root = one_json(tmp_path / "in", ["1.png", "2.png"], ["val2017/1.png", "val2017/2.png"])
    path = root / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text()) | {"categories": [PERSON, CAT]}
    content["annotations"] = [person(20 + n, 1, category_id=kind) for n, kind in enumerate(kinds)]
    path.write_text(json.dumps(content))
    source = CocoSource(root)
    assert [sample.bodies for sample in source.samples()] == [False, False]
    told = " ".join(source.publish(tmp_path / "out", source.samples(), Names(b"n" * 32)))
    assert "2 images are listed in no json file that has annotations of people" in told
    content["annotations"].append(person(30, 1))
    path.write_text(json.dumps(content))
    assert [sample.bodies for sample in source.samples()] == [True, True]  # nobody is in the second
    assert "annotations of people" not in " ".join(source.publish(tmp_path / "out", source.samples(), Names(b"n" * 32)))


def test_the_same_id_for_two_people_is_two_people(tmp_path: Path) -> None:
    def moved(content: dict[str, Any]) -> None:
        content["annotations"][0] |= {"bbox": [40, 10, 20, 30], "segmentation": []}

    first = CocoSource(dataset(tmp_path, moved)).samples()[0]
    assert sorted(str(p.body) for p in first.people) == ["(10.0, 10.0, 30.0, 40.0)", "(40.0, 10.0, 60.0, 40.0)"]
    assert [p.subject for p in first.people] == [None, None]  # nobody could tell who of them consented


@pytest.mark.parametrize(
    ("bbox", "body"),
    [
        ([-5, -5, 20, 20], (0, 0, 15, 15)),
        ([50, 40, 30, 30], (50, 40, 64, 48)),
        ([10, 10, 5, 0], (10, 10, 15, 11)),
        ([64, 10, 0, 20], (63, 10, 64, 30)),
        ([-20, 10, 20, 20], (0, 10, 1, 30)),
    ],
)
def test_boxes_are_cut_off_at_the_border(tmp_path: Path, bbox: list[float], body: tuple[float, ...]) -> None:
    def moved(content: dict[str, Any]) -> None:
        content["annotations"][0] |= {"id": 99, "bbox": bbox, "segmentation": []}

    assert body in [p.body for p in CocoSource(dataset(tmp_path, moved)).samples()[0].people]


@pytest.mark.parametrize("regions", ["face", "body"])
def test_a_box_without_width_and_height_is_none(tmp_path: Path, regions: str) -> None:
    """A placeholder: the person may be anywhere, and so is their cover."""

    def blank(content: dict[str, Any]) -> None:
        content["annotations"].append(person(77, 1, bbox=[0, 0, 0, 0], segmentation=[]))
        content["annotations"].append(person(78, 2, bbox=[0, 0, 0, 0]))

    first, second, _ = CocoSource(dataset(tmp_path, blank)).samples()
    assert [p.body for p in first.people] == [(10, 10, 30, 40), None]
    assert (0, 0, 64, 48) in [region.box for region in assemble(first, [], 64, 48, regions)]
    assert [p.body for p in second.people] == [(10, 0, 30, 48), (10, 10, 30, 40), (10, 10, 30, 40)]  # by its silhouette


def test_without_a_box_the_silhouette_gives_it(tmp_path: Path) -> None:
    def bare(content: dict[str, Any]) -> None:
        del content["annotations"][0]["bbox"]
        content["annotations"].append({"id": 77, "image_id": 1, "category_id": 1})

    people = CocoSource(dataset(tmp_path, bare)).samples()[0].people
    assert len(people) == 2  # the merged one, and one of whom nothing is known but that they are there
    assert people[0].body == (10, 10, 30, 40)
    assert people[1].body is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Person ",
            "persons",
            "people",
            "pedestrians",
            "man",
            "woman",
            "child",
            "boy",
            "girl",
            "rider",
            "cyclist",
            "policeman",
        ),
        *("human.pedestrian.adult", "person_with_helmet", "babies", "Man", "Human body", "crowd"),
    ],
)
def test_categories_of_people(tmp_path: Path, name: str) -> None:
    def renamed(content: dict[str, Any]) -> None:
        content["categories"][0] = {"id": 1, "name": name}
        content["annotations"][0]["id"] = 99

    first = CocoSource(dataset(tmp_path, renamed)).samples()[0]
    assert [(p.body, p.many) for p in first.people] == [
        ((10, 10, 30, 40), name == "crowd"),
        ((10, 10, 30, 40), 0),
    ]


def test_a_supercategory_tells_of_people(tmp_path: Path) -> None:
    def renamed(content: dict[str, Any]) -> None:
        content["categories"][0] = {"id": 1, "name": "goalkeeper", "supercategory": "person"}
        content["annotations"][0]["id"] = 99

    assert len(CocoSource(dataset(tmp_path, renamed)).samples()[0].people) == 2


@pytest.mark.parametrize("name", ["face", "Heads", "human_face"])
def test_categories_of_heads(tmp_path: Path, name: str) -> None:
    def renamed(content: dict[str, Any]) -> None:
        content["categories"][0] = {"id": 1, "name": name}
        content["annotations"][0] |= {"id": 99, "bbox": [12, 25, 6, 6], "segmentation": []}
        content["annotations"].append(person(98, 1, bbox=[14, 32, 5, 5], segmentation=[]))

    root = dataset(tmp_path, renamed)
    samples = CocoSource(root).samples()
    heads = [p for p in samples[0].people if p.body is None]
    assert [(p.head, p.silhouette) for p in heads] == [((12, 25, 18, 31), None), ((14, 32, 19, 37), None)]
    assert samples[0].bodies
    (root / "annotations" / "person_keypoints_val2017.json").unlink()
    assert not CocoSource(root).samples()[0].bodies  # heads alone


def of_people_and_heads(root: Path, people: list[list[float]], heads: list[list[float]]) -> Sample:
    """The sample of one json with boxes of both."""
    root = one_json(root, ["1.png"], ["val2017/1.png"])
    path = root / "annotations" / "instances_val2017.json"
    boxes = [(1, box) for box in people] + [(2, box) for box in heads]
    content = json.loads(path.read_text()) | {
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "head"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": kind, "bbox": box} for n, (kind, box) in enumerate(boxes, 1)
        ],
    }
    path.write_text(json.dumps(content))
    (sample,) = CocoSource(root).samples()
    return sample


@pytest.mark.parametrize(
    ("people", "heads", "together", "bodies"),
    [
        ([[10, 5, 20, 40]], [[15, 4, 8, 10]], 1, True),
        ([[10, 5, 20, 40], [40, 5, 20, 40]], [[15, 6, 8, 10], [45, 5, 8, 10]], 2, True),
        ([[10, 5, 20, 40]], [[15, 20, 8, 10]], 0, True),  # a child before them
        ([[10, 5, 20, 40], [12, 5, 20, 40]], [[15, 6, 8, 10]], 0, True),  # of whom of the two?
        ([[10, 5, 20, 40]], [[11, 6, 8, 10], [20, 6, 8, 10]], 0, True),
        ([[10, 5, 20, 40]], [[40, 6, 8, 10]], 0, False),  # of a body that nothing tells of
        ([], [[15, 6, 8, 10]], 0, False),
    ],
    ids=["one", "two", "child", "two bodies", "two heads", "beside", "nobody"],
)
def test_a_head_is_somebodys_where_it_can_be_nobody_elses(
    tmp_path: Path, people: list[list[float]], heads: list[list[float]], together: int, bodies: bool
) -> None:
    sample = of_people_and_heads(tmp_path, people, heads)
    assert len(sample.people) == len(people) + len(heads) - together
    assert sum(p.body is not None and p.head is not None for p in sample.people) == together
    assert sorted(p.head for p in sample.people if p.head) == sorted((x, y, x + w, y + h) for x, y, w, h in heads)
    assert sample.bodies is bodies


def test_of_a_crowd_of_heads_no_bodies_are_known(tmp_path: Path) -> None:
    def heads(content: dict[str, Any]) -> None:
        content["categories"].append({"id": 3, "name": "heads"})
        content["annotations"].append(person(99, 2, category_id=3, iscrowd=1, bbox=[40, 4, 9, 9], segmentation=[]))

    first, second, _ = CocoSource(dataset(tmp_path, heads)).samples()
    assert (first.bodies, second.bodies) == (True, False)
    assert [(p.head, p.body) for p in second.people if p.many and p.head] == [((40, 4, 49, 13), None)]


def test_a_silhouette_beside_its_box_hides_neither(tmp_path: Path) -> None:
    """A polygon in shares of the picture, or of somebody else: all of both is hidden."""

    def moved(content: dict[str, Any]) -> None:
        content["annotations"][0] |= {"id": 99, "segmentation": [[1, 1, 6, 1, 6, 6, 1, 6]]}

    first = CocoSource(dataset(tmp_path, moved)).samples()[0].people[0]
    assert (first.silhouette, first.body) == (None, (1, 1, 30, 40))


def with_joints(
    root: Path, bbox: list[float], size: tuple[int, int] = (64, 48), **marked: tuple[float, float, int]
) -> Sample:
    """The sample of one json with somebody of that box, a silhouette in it, and joints."""
    root = one_json(root, ["1.png"], ["val2017/1.png"])
    path = root / "annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    x, y, w, h = bbox
    content["images"][0] |= dict(zip(("width", "height"), size, strict=True))
    content["annotations"][0] |= {"bbox": bbox, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
    content["annotations"][0] |= joints(**marked)
    path.write_text(json.dumps(content))
    (sample,) = CocoSource(root).samples()
    return sample


def test_a_face_far_from_its_box_is_covered_with_it(tmp_path: Path) -> None:
    (one,) = with_joints(tmp_path, [0, 0, 8, 8], nose=(50, 30, 2), left_eye=(52, 28, 2)).people
    assert one.silhouette is None
    assert one.body == one.head
    assert one.body is not None
    x0, y0, x1, y1 = one.body
    assert (x0, y0) == (0, 0)
    assert x1 > 53
    assert y1 >= 31


FACE = {"nose": (0, 0), "left_eye": (3, -3), "right_eye": (-3, -3)}


@pytest.mark.parametrize(
    ("at", "others", "silhouette"),
    [
        ((20, 20), {}, False),  # far above: less than a quarter of both is the box
        ((20, 20), {"left_ankle": (20, 90, 2)}, False),
        ((300, 465), {}, True),  # beside the box's top, in somebody else
        (None, {"left_hip": (20, 20, 2), "left_ankle": (22, 90, 2)}, False),  # no head among the joints
    ],
)
def test_where_joints_contradict_the_box_the_head_is_hidden_in_both(
    tmp_path: Path, at: tuple[float, float] | None, others: dict[str, tuple[float, float, int]], silhouette: bool
) -> None:
    """Of somebody tall the top alone would be covered: of the box, or of where the joints are."""
    face = {joint: (at[0] + x, at[1] + y, 2) for joint, (x, y) in FACE.items()} if at else {}
    sample = with_joints(tmp_path, [100, 460, 60, 160], (320, 640), **face, **others)
    assert (sample.people[0].silhouette is not None) is silhouette
    (cover,) = assemble(sample, [], 320, 640, "face")
    places = [(100.0, 460.0, 160.0, 620.0), *((x - 9, y - 9, x + 9, y + 9) for x, y, _ in face.values())]
    assert all(intersection([cover.box], [place])[0, 0] == area([place])[0] for place in places)


def test_a_joint_a_little_beyond_the_box_is_no_contradiction(tmp_path: Path) -> None:
    face = {joint: (110 + x, 297 + y, 2) for joint, (x, y) in FACE.items()}
    (one,) = with_joints(tmp_path, [10, 300, 200, 320], (320, 640), **face).people
    assert one.head is not None
    assert one.head[3] < 400


def test_joints_in_shares_of_the_picture_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"instances_val2017\.json: no keypoint of people is beyond 1"):
        with_joints(tmp_path, [10, 10, 20, 30], nose=(0.3, 0.3, 2), left_eye=(0.32, 0.28, 1))


def test_heads_of_two_files_are_one_only_in_one_place(tmp_path: Path) -> None:
    root = one_json(tmp_path, ["1.png"], ["val2017/1.png"])
    path = root / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text()) | {"categories": [{"id": 1, "name": "face"}]}
    path.write_text(json.dumps(content))
    other = root / "annotations" / "faces_val2017.json"
    other.write_text(path.read_text())
    assert len(CocoSource(root).samples()[0].people) == 1
    content["annotations"][0]["bbox"] = [40, 10, 5, 5]
    other.write_text(json.dumps(content))
    assert len(CocoSource(root).samples()[0].people) == 2


def test_categories_that_are_not_known_to_be_people_are_told(tmp_path: Path) -> None:
    root = one_json(tmp_path, ["1.png"], ["val2017/1.png"])
    path = root / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    path.write_text(
        json.dumps(content | {"categories": [{"id": 1, "name": "Gesicht"}, {"id": 2, "name": "CD_player"}]})
    )
    with pytest.raises(SourceError, match=r"instances_val2017.json has the categories 'Gesicht', 'CD_player', none of"):
        CocoSource(root).samples()
    # beside a file that tells of the people in the same images, things are things
    (root / "annotations" / "people_val2017.json").write_text(json.dumps(content))
    assert len(CocoSource(root).samples()[0].people) == 1
    content["images"] = content["annotations"] = []
    (root / "annotations" / "people_val2017.json").write_text(json.dumps(content))
    with pytest.raises(SourceError, match="'Gesicht'"):
        CocoSource(root).samples()
