"""Made-up datasets in COCO's layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsanon.sources.keypoints import COCO_JOINTS

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
