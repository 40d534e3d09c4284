"""COCO: people merged from several files, lying annotations refused, a release that pycocotools loads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Photo, Sample
from dsanon.sources.coco import CAPTION, CocoSource
from dsanon.sources.keypoints import COCO_JOINTS
from dsanon.sources.silhouettes import to_mask

NAMES = Names(b"n" * 32)
PERSON = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO_JOINTS), "skeleton": [[1, 2]]}
CAT = {"id": 17, "name": "cat", "supercategory": "animal"}
SQUARE = [[10, 10, 30, 10, 30, 40, 10, 40]]
Edit = Callable[[dict[str, Any]], None]


def image(number: int, width: int = 64, height: int = 48) -> dict[str, Any]:
    return {
        "license": 4,
        "file_name": f"{number:012d}.jpg",
        "coco_url": f"http://images.cocodataset.org/val2017/{number:012d}.jpg",
        "height": height,
        "width": width,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": "http://farm7.staticflickr.com/6116/6255196340_da26cf2c9e_z.jpg",
        "id": number,
    }


def person(number: int, of: int, **more: Any) -> dict[str, Any]:
    found = {
        "id": number,
        "image_id": of,
        "category_id": 1,
        "bbox": [10, 10, 20, 30],
        "segmentation": SQUARE,
        "area": 600.0,
        "iscrowd": 0,
    }
    return found | more


def joints(**marked: tuple[float, float, int]) -> dict[str, Any]:
    values = [value for joint in COCO_JOINTS for value in marked.get(joint, (0, 0, 0))]
    return {"keypoints": values, "num_keypoints": len(marked)}


def header() -> dict[str, Any]:
    return {
        "info": {"description": "d", "url": "http://x", "version": "1", "year": 2017, "contributor": "Aaron Eckhart"},
        "licenses": [{"id": 4, "name": "by", "url": "http://creativecommons.org/licenses/by/2.0/"}],
        "images": [image(1), image(2), image(3)],
    }


def dataset(root: Path, edit: Edit = lambda content: None) -> Path:
    """Three listed images of which one is missing, and one that is listed nowhere; ``edit`` changes instances."""
    face = joints(nose=(20, 18, 2), left_eye=(22, 16, 2), right_eye=(18, 16, 1), left_ankle=(20, 39, 2))
    crowd = {"size": [48, 64], "counts": [48 * 10, 48 * 20, 48 * 34]}
    instances = header() | {
        "categories": [PERSON, dict(CAT)],
        "annotations": [
            person(11, 1),
            person(12, 2, iscrowd=1, segmentation=crowd, bbox=[10, 0, 20, 48]),
            person(13, 1, category_id=17),
            person(14, 3),
        ],
    }
    edit(instances)
    keypoints = header() | {"categories": [PERSON], "annotations": [person(11, 1, **face), person(15, 2, **joints())]}
    captions = header() | {"annotations": [{"image_id": 1, "id": 5, "caption": "Aaron Eckhart waits for a bus."}]}
    (root / "annotations").mkdir(parents=True)
    for name, content in {"instances": instances, "person_keypoints": keypoints, "captions": captions}.items():
        (root / "annotations" / f"{name}_val2017.json").write_text(json.dumps(content))
    (root / "val2017").mkdir()
    for number in (1, 2, 9):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "val2017" / f"{number:012d}.jpg")
    return root


def test_people_of_several_files_are_one(tmp_path: Path) -> None:
    source = CocoSource(dataset(tmp_path))
    first, second, unlisted = source.samples()
    assert [s.id for s in (first, second, unlisted)] == [f"val2017/{n:012d}.jpg" for n in (1, 2, 9)]
    assert (first.size, unlisted.size) == ((64, 48), None)
    assert unlisted.people == ()
    assert (first.bodies, second.bodies, unlisted.bodies) == (True, True, False)
    (one,) = first.people
    assert one.body == (10, 10, 30, 40)
    assert one.subject is None
    assert not one.many
    assert one.head is not None
    assert one.head[0] < 18 < 22 < one.head[2]
    assert one.silhouette is not None
    assert np.array_equal(np.argwhere(to_mask(one.silhouette)).min(0), [10, 10])
    assert to_mask(one.silhouette).sum() == 600
    crowd, other = second.people
    assert crowd.many
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


def test_the_same_id_for_two_people_is_two_people(tmp_path: Path) -> None:
    def moved(content: dict[str, Any]) -> None:
        content["annotations"][0]["bbox"] = [40, 10, 20, 30]

    first = CocoSource(dataset(tmp_path, moved)).samples()[0]
    assert sorted(str(p.body) for p in first.people) == ["(10.0, 10.0, 30.0, 40.0)", "(40.0, 10.0, 60.0, 40.0)"]


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
        content["annotations"][0] |= {"id": 99, "bbox": bbox}

    assert body in [p.body for p in CocoSource(dataset(tmp_path, moved)).samples()[0].people]


def test_without_a_box_the_silhouette_gives_it(tmp_path: Path) -> None:
    def bare(content: dict[str, Any]) -> None:
        del content["annotations"][0]["bbox"]
        content["annotations"].append({"id": 77, "image_id": 1, "category_id": 1})

    people = CocoSource(dataset(tmp_path, bare)).samples()[0].people
    assert len(people) == 2  # the merged one, and one of whom nothing is known but that they are there
    assert people[0].body == (10, 10, 30, 40)
    assert people[1].body is None


def annotation(**changes: Any) -> Edit:
    return lambda content: content["annotations"][0].update(changes)


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
        (annotation(image_id=4711), "annotation 11.*4711"),
        (annotation(image_id=[1]), "annotation 11"),
        (annotation(category_id=3), "annotation 11.*category"),
        (annotation(category_id=[1]), "annotation 11.*category"),
        (annotation(id="x"), "annotation 'x'"),
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


def one_json(root: Path, names: list[str], on_disk: list[str], json_name: str = "instances_val2017.json") -> Path:
    """A json that lists ``names``, with a person in each, and the images ``on_disk``."""
    images = [image(number) | {"file_name": name} for number, name in enumerate(names, 1)]
    people = [person(10 + number, number) for number in range(1, len(names) + 1)]
    (root / "annotations").mkdir(parents=True)
    content = {"images": images, "categories": [PERSON], "annotations": people}
    (root / "annotations" / json_name).write_text(json.dumps(content))
    for file in on_disk:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48)).save(root / file)
    return root


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


@pytest.mark.parametrize(
    "name",
    [
        *("Person ", "persons", "people", "pedestrians", "man", "woman", "child", "boy", "girl", "rider", "cyclist"),
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
        content["annotations"][0]["id"] = 99
        content["annotations"].append(person(98, 1, bbox=[40, 10, 5, 5]))

    root = dataset(tmp_path, renamed)
    samples = CocoSource(root).samples()
    heads = [p for p in samples[0].people if p.body is None]
    assert [(p.head, p.silhouette) for p in heads] == [((10, 10, 30, 40), None), ((40, 10, 45, 15), None)]
    assert samples[0].bodies
    (root / "annotations" / "person_keypoints_val2017.json").unlink()
    assert not CocoSource(root).samples()[0].bodies  # heads alone


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


def test_names_that_would_end_the_run_are_told_at_the_scan(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"1\.jpg' and 'val2017/1\.png' differ only by the suffix"):
        CocoSource(one_json(tmp_path / "a", ["1.png"], ["val2017/1.png", "val2017/1.jpg"])).samples()
    root = one_json(tmp_path / "b", ["1.png"], ["val2017/1.png", os.fsdecode(b"val2017/stra\xdfe.png")])
    with pytest.raises(SourceError, match="no UTF-8"):
        CocoSource(root).samples()


def publish(root: Path, data: Path, released: list[Sample] | None = None) -> list[str]:
    source = CocoSource(root)
    return source.publish(data, source.samples() if released is None else released, NAMES)


def test_a_release_says_what_it_may(tmp_path: Path) -> None:
    def secrets(content: dict[str, Any]) -> None:
        content["secret"] = content["annotations"][0]["name"] = content["images"][0]["owner"] = "Aaron Eckhart"
        content["categories"][1]["note"] = content["licenses"][0]["holder"] = "Aaron Eckhart"
        content["annotations"][2]["attributes"] = {"name": "Aaron Eckhart"}

    root = dataset(tmp_path / "in", secrets)
    (root / "annotations" / "panoptic_val2017.json").write_text(
        json.dumps(header() | {"annotations": [{"image_id": 1, "segments_info": [], "file_name": "1.png"}]})
    )
    (root / "Aaron_Eckhart.txt").write_text("x")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    source = CocoSource(root)
    samples = source.samples()
    sentences = source.publish(tmp_path / "out", samples, NAMES)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    files = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert files == [f"{kind}_val2017.json" for kind in ("captions", "instances", "person_keypoints")]
    text = " ".join((tmp_path / "out" / "annotations" / file).read_text() for file in files)
    for word in ("Eckhart", "flickr", "coco_url", "date_captured", "cocodataset", "secret", "bus"):
        assert word not in text
    instances = json.loads((tmp_path / "out/annotations/instances_val2017.json").read_text())
    assert [entry["id"] for entry in instances["images"]] == [1, 2]  # 3 was not there
    assert instances["images"][0] == {k: image(1)[k] for k in ("id", "width", "height", "file_name", "license")}
    assert [entry["id"] for entry in instances["annotations"]] == [11, 12, 13]
    assert instances["annotations"][0] == person(11, 1)
    assert instances["categories"] == [PERSON, CAT]
    captions = json.loads((tmp_path / "out/annotations/captions_val2017.json").read_text())
    assert captions["annotations"] == [{"id": 5, "image_id": 1, "caption": CAPTION}]
    told = " ".join(sentences)
    assert "Captions" in told
    assert "3 entries of images" in told  # image 3, in each of three files
    assert "1 json files of other kinds" in told
    assert "1 other files" in told
    assert "Eckhart" not in told
    assert all(source.target(sample, NAMES) == sample.file for sample in samples)


@pytest.mark.parametrize(
    ("description", "public"),
    [
        ("COCO 2017 Dataset", {"description": "COCO 2017 Dataset"}),
        ("COCO 2014 Dataset", {"description": "COCO 2014 Dataset"}),
        ("Aaron Eckhart at work", {}),
        ("COCO 2017 Dataset of Aaron Eckhart", {}),
        ("Aaron Eckhart's COCO 2017 Dataset", {}),
        ("COCO 2017 Dataset\n", {}),
        (["COCO 2017 Dataset", "Aaron Eckhart"], {}),
        (None, {}),
    ],
)
def test_a_description_is_cocos_own_or_dropped(tmp_path: Path, description: Any, public: dict[str, str]) -> None:
    def described(content: dict[str, Any]) -> None:
        content["info"]["description"] = description

    sentences = publish(dataset(tmp_path / "in", described), tmp_path / "out")
    written = (tmp_path / "out/annotations/instances_val2017.json").read_text()
    assert json.loads(written)["info"] == {"version": "1", "year": 2017} | public
    assert "Eckhart" not in written
    assert "every description but COCO's own ('COCO 2017 Dataset')" in sentences[0]


@pytest.mark.parametrize("info", [None, [], "Aaron Eckhart", {}])
def test_without_an_info_there_is_nothing_to_say(tmp_path: Path, info: Any) -> None:
    publish(dataset(tmp_path / "in", lambda content: content.update(info=info)), tmp_path / "out")
    assert json.loads((tmp_path / "out/annotations/instances_val2017.json").read_text())["info"] == {}


def test_quarantined_images_are_not_mentioned(tmp_path: Path) -> None:
    root = dataset(tmp_path / "in")
    released = [sample for sample in CocoSource(root).samples() if not sample.id.endswith("1.jpg")]
    publish(root, tmp_path / "out", released)
    instances = json.loads((tmp_path / "out/annotations/instances_val2017.json").read_text())
    assert [entry["id"] for entry in instances["images"]] == [2]
    assert [entry["id"] for entry in instances["annotations"]] == [12]
    assert json.loads((tmp_path / "out/annotations/captions_val2017.json").read_text())["annotations"] == []


def test_names_that_are_not_cocos_are_told(tmp_path: Path) -> None:
    root = dataset(tmp_path / "in")
    Image.new("RGB", (8, 8)).save(root / "val2017" / "aaron.jpg")
    assert any(sentence.startswith("File names were kept; 1 ") for sentence in publish(root, tmp_path / "out"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_real_data_round_trip(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = shared / "data" / "coco"
    source = CocoSource(root)
    samples = source.samples()
    assert len(samples) == 91
    assert sum(len(sample.people) for sample in samples) == 290
    assert sum(person.head is not None for sample in samples for person in sample.people) == 116
    source.publish(tmp_path, samples, NAMES)
    for split, images in (("train2017", 44), ("val2017", 47)):
        for kind in ("instances", "person_keypoints", "captions"):
            name = f"annotations/{kind}_{split}.json"
            old, new = COCO(str(root / name)), COCO(str(tmp_path / name))
            assert new.dataset["info"] == {"description": "COCO 2017 Dataset", "version": "1.0", "year": 2017}
            assert len(new.getImgIds()) == images
            assert new.getAnnIds() == old.getAnnIds()
            if kind == "captions":
                assert {entry["caption"] for entry in new.anns.values()} == {CAPTION}
                continue
            for number in old.getAnnIds():
                assert new.anns[number] == old.anns[number]
            for number in old.getAnnIds()[:20]:
                assert np.array_equal(old.annToMask(old.anns[number]), new.annToMask(new.anns[number]))
    people = {sample.file: sample.people for sample in samples}
    coco = COCO(str(tmp_path / "annotations/instances_val2017.json"))
    for number in coco.getAnnIds(catIds=[1])[:30]:
        entry = coco.anns[number]
        mask = coco.annToMask(entry).astype(bool)
        of = people[f"val2017/{coco.imgs[entry['image_id']]['file_name']}"]
        assert any(p.silhouette and np.array_equal(to_mask(p.silhouette), mask) for p in of)
    detections = [
        {"image_id": entry["image_id"], "category_id": entry["category_id"], "bbox": entry["bbox"], "score": 0.9}
        for entry in coco.anns.values()
        if not entry["iscrowd"]
    ]
    evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] > 0.99
    assert "Average Precision" in capsys.readouterr().out
