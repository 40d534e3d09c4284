"""COCO: images are found wherever they are, lying annotations are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from coco_jsons import Edit, dataset, one_json, person
from PIL import Image

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sources.coco import CocoSource
from dsanon.sources.coco_release import public_path

NAMES = Names(b"n" * 32)


def annotation(**changes: Any) -> Edit:
    return lambda content: content["annotations"][0].update(changes)


def nameless(content: dict[str, Any]) -> None:
    """Boxes of the only thing that there is."""
    for entry in content["annotations"]:
        del entry["category_id"]


def in_shares(content: dict[str, Any]) -> None:
    for entry in content["annotations"]:
        entry |= {"bbox": [0.2, 0.3, 0.4, 0.5], "segmentation": [[0.2, 0.3, 0.6, 0.3, 0.6, 0.8]]}


def listed(**changes: Any) -> Edit:
    return lambda content: content["images"][0].update(changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (annotation(bbox=[1, 2, -3, 4]), "annotation 11.*negative"),
        (annotation(bbox=[1, 2, float("nan"), 4]), "annotation 11.*four numbers"),
        (annotation(bbox=[1, 2, "3", 4]), "annotation 11.*four numbers"),
        (annotation(bbox=[100, 100, 5, 5]), "annotation 11.*outside"),
        (annotation(segmentation={"size": [9, 9], "counts": [81]}), "annotation 11.*size"),
        (annotation(segmentation={"size": [48, 64], "counts": "oo"}), "annotation 11.*run lengths"),
        (annotation(segmentation=[[1, 2, 3]]), "annotation 11.*polygon"),
        (annotation(keypoints=[1, 2]), "annotation 11.*keypoints"),
        (
            annotation(keypoints=[9, 9, 2] * 16),
            "annotation 11: it has 16 keypoints, and its category .or COCO. the names of 17",
        ),
        (annotation(image_id=4711), "annotation 11.*4711"),
        (annotation(image_id=[1]), "annotation 11"),
        (annotation(category_id=3), "annotation 11.*category"),
        (annotation(category_id=[1]), "annotation 11.*category"),
        (annotation(id="x"), "annotation 'x'"),
        (lambda content: content["annotations"][0].pop("category_id"), "annotation 11 has no category_id"),
        (lambda content: (content.pop("categories"), nameless(content)), "annotation 11 has no category_id"),
        (lambda content: in_shares(content), "no box and polygon of people is beyond 1"),
        (annotation(id=14, image_id=3), None),
        (lambda content: content["annotations"].append(person(11, 2)), "annotation 11.*no other"),
        (listed(file_name="../x.jpg"), "image 1 has the file_name"),
        (listed(file_name="/etc/x.jpg"), "image 1 has the file_name"),
        (listed(file_name="a\\..\\x.jpg"), "image 1 has the file_name"),
        (listed(file_name=None), "image 1 has the file_name"),
        (listed(id="1"), "image '1'"),
        (listed(id=2), "two files"),
        (listed(width=-64), "image 1 is -64"),
        (listed(width=65), "correct one"),
        (lambda content: content.update(categories=[{"name": "person"}]), "category ids"),
        (lambda content: content.update(categories=None), ": 'images', 'annotations' and"),
        (lambda content: content["annotations"].append(None), ": 'images', 'annotations' and"),
        (annotation(segments_info=[]), ": 'images', 'annotations' and"),
    ],
)
def test_lies_are_told(tmp_path: Path, edit: Edit, message: str | None) -> None:
    source = CocoSource(dataset(tmp_path, edit))
    if message is None:  # twice the same id, but of an image that is not there
        assert len(source.samples()) == 3
        return
    with pytest.raises(
        SourceError, match=rf"instances_val2017.json.*{message}|person_keypoints_val2017.json.*{message}"
    ):
        source.samples()


def test_folders_that_are_no_coco(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no json"):
        CocoSource(tmp_path)
    dataset(tmp_path / "a")
    for path in (tmp_path / "a" / "val2017").iterdir():
        path.unlink()
    with pytest.raises(SourceError, match="no image"):
        CocoSource(tmp_path / "a").samples()
    (tmp_path / "x.json").write_text("[]")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg")
    with pytest.raises(SourceError, match="none of 1 json"):
        CocoSource(tmp_path).samples()
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(SourceError, match=r"x\.json is no JSON"):
        CocoSource(tmp_path).samples()


@pytest.mark.parametrize("layout", ["images/val2017", "images", "."])
def test_other_places_for_the_images(tmp_path: Path, layout: str) -> None:
    root = dataset(tmp_path / "in")
    (root / "val2017").rename(root / "moved")
    (root / layout).mkdir(parents=True, exist_ok=True)
    for path in list((root / "moved").iterdir()):
        path.rename(root / layout / path.name)
    samples = CocoSource(root).samples()
    assert [len(sample.people) for sample in samples] == [1, 2, 0]


@pytest.mark.parametrize(
    ("json_name", "names", "on_disk", "annotated"),
    [
        ("instances_val2017_v2.json", ["1.png"], ["val2017/1.png"], ["val2017/1.png"]),
        ("all.json", ["1.png"], ["some/where/1.png", "some/where/2.png"], ["some/where/1.png"]),
        # one json over two folders
        ("instances_train2017.json", ["1.png", "2.png"], ["train2017/1.png", "val2017/2.png"], None),
        ("instances.json", ["a/1.png", "b/1.png"], ["a/1.png", "b/1.png"], None),
        ("instances.json", ["a/1.png", "b/1.png"], ["images/a/1.png", "images/b/1.png"], None),
        ("instances.json", ["a/1.png", "b/1.png"], ["x/a/1.png", "x/b/1.png"], None),
        ("instances.json", ["data/images/1.png"], ["images/1.png"], None),
        ("instances.json", ["A/\u00c9.PNG"], ["a/e\u0301.png"], None),  # as a disk that ignores case and form has it
        # the folder of the json's name, whatever is elsewhere
        ("instances_val2017.json", ["1.png"], ["val2017/1.png", "small/1.png", "1.png"], ["val2017/1.png"]),
        # a folder that is not there: its images are nobody else's
        ("instances.json", ["a/1.png", "b/1.png"], ["b/1.png"], ["b/1.png"]),
    ],
)
def test_images_are_found_wherever_they_are(
    tmp_path: Path, json_name: str, names: list[str], on_disk: list[str], annotated: list[str] | None
) -> None:
    source = CocoSource(one_json(tmp_path, names, on_disk, json_name))
    found = {sample.file: len(sample.people) for sample in source.samples()}
    assert found == {file: int(annotated is None or file in annotated) for file in on_disk}
    source.publish(tmp_path / "out", source.samples(), NAMES)
    released = json.loads((tmp_path / "out" / "annotations" / json_name).read_text())
    assert len(released["annotations"]) == len(released["images"]) == len(annotated or on_disk)
    if all(public_path(path, NAMES) == path for path in (*names, *on_disk)):
        assert {entry["file_name"] for entry in released["images"]} <= set(names)


def test_a_person_in_one_of_several_images_is_told(tmp_path: Path) -> None:
    source = CocoSource(one_json(tmp_path, ["1.png"], ["a/1.png", "b/1.png"], "people_v2.json"))
    with pytest.raises(
        SourceError, match=r"people_v2.json annotation 11 .* '1.png', which may be 'a/1.png' or 'b/1.pn"
    ):
        source.samples()
    path = tmp_path / "annotations" / "people_v2.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    assert [sample.people for sample in source.samples()] == [(), ()]
    told = " ".join(source.publish(tmp_path / "out", source.samples(), NAMES))
    assert "1 entries without people, each of which may mean several files" in told
    assert "did not have" not in told


def test_names_that_would_end_the_run_are_told_at_the_scan(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"1\.jpg' and 'val2017/1\.png' differ only by the suffix"):
        CocoSource(one_json(tmp_path / "a", ["1.png"], ["val2017/1.png", "val2017/1.jpg"])).samples()
    root = one_json(tmp_path / "b", ["1.png"], ["val2017/1.png", os.fsdecode(b"val2017/stra\xdfe.png")])
    with pytest.raises(SourceError, match="no UTF-8"):
        CocoSource(root).samples()


def test_a_person_in_an_image_stored_anew_is_told(tmp_path: Path) -> None:
    root = one_json(tmp_path, ["1.png"], ["val2017/1.jpg"])
    with pytest.raises(SourceError, match=r"annotation 11 is of a person in '1\.png', which may be 'val2017/1\.jpg'"):
        CocoSource(root).samples()


PLACES = ["val2017/_annotations.coco.json", "annotations/instances_train2017.JSON", "annotations/val/train.json"]


@pytest.mark.parametrize("place", PLACES)
def test_annotations_where_nobody_looks_for_them_are_told(tmp_path: Path, place: str) -> None:
    root = one_json(tmp_path, ["1.png"], ["val2017/1.png"])
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).write_text('{"images": 5}')
    assert len(CocoSource(root).samples()) == 1  # something else
    (root / place).write_text((root / "annotations" / "instances_val2017.json").read_text())
    with pytest.raises(SourceError, match=f"{place} has COCO's annotations: move it to annotations/"):
        CocoSource(root).samples()
