"""What a release says of COCO's json files: pycocotools loads them, and they name nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_jsons import CAT, PERSON, dataset, header, image, one_json, person
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dsanon.naming import Names
from dsanon.sample import Sample
from dsanon.sources.coco import CocoSource
from dsanon.sources.coco_release import CAPTION, public_path
from dsanon.sources.silhouettes import to_mask

NAMES = Names(b"n" * 32)


def publish(root: Path, data: Path, released: list[Sample] | None = None) -> list[str]:
    source = CocoSource(root)
    return source.publish(data, source.samples() if released is None else released, NAMES)


def test_a_release_says_what_it_may(tmp_path: Path) -> None:
    def secrets(content: dict[str, Any]) -> None:
        content["secret"] = content["annotations"][0]["name"] = content["images"][0]["owner"] = "Aaron Eckhart"
        content["categories"][1]["note"] = content["licenses"][0]["holder"] = "Aaron Eckhart"
        content["annotations"][2]["attributes"] = {"name": "Aaron Eckhart"}
        content["annotations"][2] |= {"area": "Aaron Eckhart", "segmentation": {"counts": "Aaron", "of": "Eckhart"}}
        content["info"]["version"] = "by Aaron Eckhart"

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
    assert "1 images are listed in no json file" in told  # image 9
    assert "1 json files of other kinds" in told
    assert "1 other files" in told
    assert "Taken for things, so that their boxes and polygons hide nobody: 'cat'." in told
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


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("http://creativecommons.org/licenses/by-nc-sa/2.0/", True),
        ("https://www.creativecommons.org/licenses/by/4.0/legalcode", True),
        ("https://creativecommons.org/licenses/by-nd/3.0/de/deed.de", True),
        ("https://creativecommons.org/publicdomain/zero/1.0", True),
        ("https://creativecommons.org/publicdomain/mark/1.0/deed", True),
        ("http://creativecommons.org/licenses/by/2.0/aaron-eckhart", False),
        ("http://creativecommons.org/licenses/by/2.0/de/aaron", False),
        ("http://creativecommons.org/licenses/aaron/2.0/", False),
        ("http://creativecommons.org/publicdomain/eckhart/1.0/", False),
        ("http://creativecommons.org/licenses/by/2.0/deed.aaron", False),
        ("http://creativecommons.org/licenses/by/2.0/\n", False),
    ],
)
def test_an_address_of_a_licence_is_of_creative_commons(tmp_path: Path, url: str, stays: bool) -> None:
    def licensed(content: dict[str, Any]) -> None:
        content["licenses"] = [{"id": 1, "name": "(c) Aaron", "url": url}]

    publish(dataset(tmp_path / "in", licensed), tmp_path / "out")
    written = json.loads((tmp_path / "out/annotations/instances_val2017.json").read_text())
    assert written["licenses"] == [{"id": 1, "url": url} if stays else {"id": 1}]


def test_names_of_things_stay_and_are_told_and_what_they_are_sorted_into_is_cocos(tmp_path: Path) -> None:
    def sorted_into(content: dict[str, Any]) -> None:
        content["categories"] += [
            {"id": 18, "name": "dog", "supercategory": "house of Aaron Eckhart"},
            {"id": 19, "name": "helmet", "supercategory": "helmet"},
            {"id": 20, "name": "drone", "supercategory": ["Aaron"]},
            {"id": 21, "name": "kite"},
        ]

    told = " ".join(publish(dataset(tmp_path / "in", sorted_into), tmp_path / "out"))
    written = json.loads((tmp_path / "out/annotations/instances_val2017.json").read_text())
    assert written["categories"] == [
        PERSON,
        CAT,
        {"id": 18, "name": "dog", "supercategory": "thing"},
        {"id": 19, "name": "helmet", "supercategory": "helmet"},
        {"id": 20, "name": "drone", "supercategory": "thing"},
        {"id": 21, "name": "kite"},
    ]
    assert "that nothing is annotated as: 'drone', 'helmet'. Were one" in told
    assert "2 supercategories of things that are not COCO's own are called 'thing'." in told
    assert "hide nobody: 'cat'." in told


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


@pytest.mark.parametrize(
    ("file", "plain"),
    [
        ("val2017/000000000001.jpg", True),
        ("train2014/COCO_train2014_000000000009.jpg", True),
        ("images/img_0001.png", True),
        ("cam1/frame-000123 (2).png", True),
        ("val2017/aaron.jpg", False),
        ("Aaron Eckhart/1.jpg", False),
        ("val2017/img_aaron_1.jpg", False),
        ("a/1.jpg", True),  # a letter alone
        ("\u738b/1.jpg", False),  # a name
        ("\u738b\u4f1f/1.jpg", False),
    ],
)
def test_paths_are_numbers_and_plain_words_or_tokens(file: str, plain: bool) -> None:
    public = public_path(file, NAMES)
    assert (public == file) is plain
    assert public.count("/") == file.count("/")
    assert public.endswith(file[file.rindex(".") :])
    assert "aaron" not in public.casefold()


def test_names_of_people_are_nowhere(tmp_path: Path) -> None:
    """In folders, files, the json's name and its categories; a reader finds every picture where the json says."""
    root = one_json(
        tmp_path / "in", ["aaron_1.png", "2.png"], ["eckhart/aaron_1.png", "eckhart/2.png"], "instances_eckhart.json"
    )
    path = root / "annotations" / "instances_eckhart.json"
    content = json.loads(path.read_text())
    content["categories"] = [{"id": 1, "name": "Aaron Eckhart", "supercategory": "person"}, {"id": 2, "name": "Man"}]
    content["categories"] += [
        {"id": 3, "name": "man: Aaron", "supercategory": "Eckhart", "keypoints": ["nose", "Aaron's ear"]},
        {"id": 4, "name": "person_with_helmets", "supercategory": "person"},
    ]
    content["licenses"] = [
        {"id": 1, "name": "(c) Aaron Eckhart", "url": "https://www.flickr.com/photos/aaron/4567/"},
        {"id": 2, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
    ]
    content["images"][0]["license"] = "https://www.flickr.com/photos/aaron/"
    path.write_text(json.dumps(content))
    source = CocoSource(root)
    samples = source.samples()
    targets = {sample.file: source.target(sample, NAMES) for sample in samples}
    sentences = source.publish(tmp_path / "out", samples, NAMES)
    (written,) = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    text = json.dumps([targets[sample.file] for sample in samples]) + str(written.relative_to(tmp_path / "out"))
    text += written.read_text() + " ".join(sentences)
    assert not any(word in text.casefold() for word in ("aaron", "eckhart"))
    said = json.loads(written.read_text())
    names = [category["name"] for category in said["categories"]]
    assert names == ["person 1", "Man", "person 3", "person_with_helmets"]
    assert said["categories"][2]["keypoints"] == ["nose", "joint 2"]
    assert said["licenses"] == [{"id": 1}, content["licenses"][1]]
    assert [entry["file_name"] for entry in said["images"]] == [
        targets["eckhart/aaron_1.png"].split("/")[1], "2.png"
    ]  # fmt: skip
    for target in targets.values():
        (tmp_path / "out" / target).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48)).save(tmp_path / "out" / target)
    assert [len(sample.people) for sample in CocoSource(tmp_path / "out").samples()] == [1, 1]
    assert any(sentence.startswith("Tokens replace the names of 2 images") for sentence in sentences)
    assert any(sentence.startswith("2 categories of people whose names may be somebody's") for sentence in sentences)


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
