"""Which names of files and folders name nobody: those of numbers and of words that datasets are made of."""

from __future__ import annotations

import re
from collections.abc import Collection

_LETTERS = re.compile(r"[^\W\d_]+")
# Words that a path may have beside numbers and single letters; whatever else is in it may be a name.
_PLAIN = frozenset({"coco", "train", "training", "val", "valid", "validation", "test", "testing", "dev"}) | {
    *("unlabeled", "unlabelled", "all", "split", "set", "data", "dataset", "image", "images", "img", "imgs", "im"),
    *("frame", "frames", "photo", "photos", "pic", "pics", "picture", "pictures", "cam", "camera", "left", "right"),
    *("lfw", "deepfunneled", "funneled", "deep"),
    *("color", "rgb", "jpg", "jpeg", "png", "annotations", "annotation", "instances", "keypoints", "captions"),
    *("person", "people", "pedestrian", "pedestrians", "face", "faces", "head", "heads", "crowd", "labels"),
}


def plain(name: str, also: Collection[str] = ()) -> bool:
    """Whether a path's part, without its suffix, may stand in a release as it is. also: words, in lower case"""
    return name.isascii() and all(  # in other scripts a single letter may be a name
        len(word) == 1 or word.casefold() in _PLAIN or word.casefold() in also for word in _LETTERS.findall(name)
    )
