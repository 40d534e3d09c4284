"""Annotations of the datasets: each is read and written again as the job does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.parser import JSON, TEXT, Parser, file, picture, stored

from dsanon.naming import Names
from dsanon.sources import open_source
from dsanon.sources.silhouettes import box_of, from_counts, from_mask, from_segmentation, to_mask

NAMES = Names(bytes(32))


def read_source(dataset: str, root: Path, image: str) -> None:
    """Read what is in ``root`` as the job does, and write its annotations again."""
    if not (root / image).exists():
        file(stored(picture(), "PNG" if image.endswith("png") else "JPEG"), root / image)
    source = open_source(dataset, root)
    source.publish(root.with_name("data"), source.samples(), NAMES)


def _coco_seeds() -> list[bytes]:
    people = {
        "images": [{"id": 1, "width": 24, "height": 16, "file_name": "000000000001.jpg", "license": 1}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 9.5, 8], "iscrowd": 0, "area": 70.5,
             "segmentation": [[2, 2, 11, 2, 11, 10]], "keypoints": [4, 4, 2, 5, 4, 1, 6, 5, 2], "num_keypoints": 3},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 3, 3], "iscrowd": 1,
             "segmentation": {"size": [16, 24], "counts": [10, 20, 354]}},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}],
        "info": {"description": "COCO 2017 Dataset"}, "licenses": [{"id": 1, "name": "x", "url": "y"}],
    }  # fmt: skip
    captions = {"images": people["images"], "annotations": [{"id": 1, "image_id": 1, "caption": "Ann"}]}
    return [json.dumps(content).encode() for content in (people, captions)]


def _coco(data: bytes, folder: Path) -> None:
    file(data, folder / "coco/annotations/instances_val2017.json")
    read_source("coco", folder / "coco", "val2017/000000000001.jpg")


def _rle_seeds() -> list[bytes]:
    mask = np.zeros((16, 24), bool)
    mask[3:9, 4:15] = True
    rle = from_mask(mask)
    assert rle is not None
    segmentations: list[Any] = [{"size": [16, 24], "counts": rle.counts.decode()}, [[2, 2, 11, 2, 11, 10]]]
    return [rle.counts, *(json.dumps(one).encode() for one in segmentations)]


def _rle(data: bytes, folder: Path) -> None:
    try:
        found = from_segmentation(json.loads(data), 24, 16) if data[:1] in b"[{" else from_counts(data, 24, 16)
    except (ValueError, RecursionError):  # what its callers turn into a line
        return
    if found is not None:
        assert to_mask(found).shape == (16, 24)
        box_of(found)


def _lfw(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        root = folder / f"lfw-{name}"
        file(data, root / name)
        read_source("lfw", root, "lfw/Ann_By/Ann_By_0001.jpg")

    return read


_CELEBA = {
    "identity_CelebA.txt": [b"000001.jpg 5\n000002.jpg 77\n"],
    "list_landmarks_celeba.txt": [b"1\na b c d e f g h i j\n000001.jpg 1 2 3 4 5 6 7 8 9 10\n"],
    "list_bbox_celeba.txt": [b"1\nimage_id x_1 y_1 width height\n000001.jpg 1 2 10 10\n"],
    "list_attr_celeba.txt": [b"1\nBald Young\n000001.jpg -1 1\n"],
}


def _celeba(data: bytes, folder: Path) -> None:
    """The first line tells which of the lists it is."""
    name, _, content = data.partition(b"\n")
    names = sorted(_CELEBA)
    root = folder / "celeba"
    for other in names:
        (root / other).unlink(missing_ok=True)
    file(content, root / names[sum(name) % len(names)])
    read_source("celeba", root, "img_celeba/000001.jpg")


def _celeba_seeds() -> list[bytes]:
    return [bytes([number]) + b"\n" + _CELEBA[name][0] for number, name in enumerate(sorted(_CELEBA))]


_SEQINFO = b"[Sequence]\nname=A\nimDir=img1\nframeRate=30\nseqLength=2\nimWidth=24\nimHeight=16\nimExt=.jpg\n"


def _mot(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        root = folder / f"mot-{name.replace('/', '-')}"
        file(data, root / "A" / name)
        read_source("mot", root, "A/img1/000001.jpg")

    return read


def _mots_text(data: bytes, folder: Path) -> None:
    root = folder / "mots-text"
    file(data, root / "instances_txt/0001.txt")
    read_source("mots", root, "images/0001/000001.jpg")


def _mots_seeds() -> list[bytes]:
    return [b"1 2001 2 16 24 " + _rle_seeds()[0] + b"\n1 10000 10 16 24 " + _rle_seeds()[0] + b"\n"]


PARSERS: dict[str, Parser] = {
    "coco": Parser(_coco_seeds, JSON, _coco),
    "rle": Parser(_rle_seeds, JSON, _rle),
    "pairs.txt": Parser(lambda: [b"1\t1\nAnn_By\t1\t1\nAnn_By\t1\tBob\t1\n"], TEXT, _lfw("pairs.txt")),
    "people.txt": Parser(lambda: [b"1\n2\nAnn_By\t1\nBob\t2\n"], TEXT, _lfw("people.txt")),
    "celeba": Parser(_celeba_seeds, TEXT, _celeba),
    "gt.txt": Parser(lambda: [b"1,1,2,2,9,9,1,1,0.5\n1,2,3,3,4,4,1,7,1\n"], TEXT, _mot("gt/gt.txt")),
    "seqinfo.ini": Parser(
        lambda: [_SEQINFO], [*TEXT, b"[", b"=", b"[Sequence]", b"imWidth=", b"%(x)s"], _mot("seqinfo.ini")
    ),
    "instances_txt": Parser(_mots_seeds, TEXT, _mots_text),
}
