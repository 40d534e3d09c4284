"""What a release says of COCO's json files: every geometry, and nothing that names anybody."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from dsanon.naming import Names
from dsanon.sources.coco_people import impersonal, whose
from dsanon.sources.keypoints import COCO_JOINTS
from dsanon.sources.plain import plain
from dsanon.sources.silhouettes import run_lengths

CAPTION = "a photo"  # what a release says in place of every caption
_DESCRIPTION = re.compile(r"COCO \d{4} Dataset", re.ASCII)  # a curator's own words may name people
_VERSION = re.compile(r"[0-9.]{1,4}", re.ASCII)
# COCO's own licences, and whoever else's are of Creative Commons: another text may name the photographer
_LICENCES = frozenset(f"Attribution{terms} License" for terms in ("", "-NonCommercial", "-ShareAlike", "-NoDerivs")) | {
    *("Attribution-NonCommercial-ShareAlike License", "Attribution-NonCommercial-NoDerivs License"),
    *("No known copyright restrictions", "United States Government Work"),
    *("http://flickr.com/commons/usage/", "http://www.usa.gov/copyright.shtml"),
}
_COMMONS = re.compile(
    r"https?://(www\.)?creativecommons\.org"
    r"/(licenses/by(-nc)?(-sa|-nd)?/[1-4]\.[0-9](/[a-z]{2})?|publicdomain/(zero|mark)/1\.0)"
    r"(/|/legalcode|/deed(\.[a-z]{2})?)?",
    re.ASCII,
)
# COCO's own categories of things, and what these are sorted into; "thing" stands for whatever others are
_THINGS = frozenset({"bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"}) | {
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors"),
    *("teddy bear", "hair drier", "toothbrush"),
}
_ABOVE = frozenset({"vehicle", "outdoor", "animal", "accessory", "sports", "kitchen", "food", "furniture"}) | {
    *("electronic", "appliance", "indoor", "none", "object", "thing"),
}

# What a release may say; every other field is dropped (URLs, dates, names, captions, unknown attributes).
_INFO = ("description", "version", "year")
_IMAGE = ("id", "width", "height", "file_name", "license")
_CATEGORY = ("id", "name", "supercategory", "keypoints", "skeleton")
_ANNOTATION = (
    *("id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd", "ignore"),
    *("keypoints", "num_keypoints"),
)


def public_path(file: str, names: Names) -> str:
    """``file`` with tokens in place of the folders and names that are not of numbers and plain words; suffixes stay."""
    path = PurePosixPath(file)
    kept = [plain(part) for part in (*path.parts[:-1], path.stem)]
    places = ["/".join(path.parts[: depth + 1]) for depth in range(len(path.parts))]
    parts = [
        name if stays else names.token("coco", place)
        for name, stays, place in zip((*path.parts[:-1], path.stem), kept, places, strict=True)
    ]
    return "/".join(parts) + path.suffix


def public_name(name: str, file: str, names: Names) -> str:
    """What a json calls an image: its own ``name`` of ``file`` where both are plain, else the end of its new path."""
    target = public_path(file, names)
    if target == file and public_path(name, names) == name:
        return name
    return "/".join(target.split("/")[-(name.count("/") + 1) :])


def public(content: dict[str, Any], files: Mapping[int, str]) -> dict[str, Any]:
    """What a release says: the images of which ``files`` tells what they are called now, and what belongs to them."""
    info = _only(content.get("info"), _INFO)
    if not _DESCRIPTION.fullmatch(str(info.get("description"))):
        info.pop("description", None)
    info = {field: value for field, value in info.items() if field == "description" or _VERSION.fullmatch(str(value))}
    said: dict[str, Any] = {"info": info}
    if _dicts(content.get("licenses")):
        said["licenses"] = [_licence(licence) for licence in content["licenses"]]
    said["images"] = [
        _numbers(_only(image, _IMAGE)) | {"file_name": files[image["id"]]}
        for image in content["images"]
        if image["id"] in files
    ]
    if "annotations" in content:
        said["annotations"] = [
            _numbers(_only(annotation, _ANNOTATION)) | ({"caption": CAPTION} if "caption" in annotation else {})
            for annotation in content["annotations"]
            if annotation["image_id"] in files
        ]
    if "categories" in content:
        said["categories"] = [_category(category) for category in content["categories"]]
    return said


def _numbers(annotation: dict[str, Any]) -> dict[str, Any]:
    """Those of its fields that are geometry: numbers, lists of them, and run lengths, which may be COCO's text."""
    out = {field: value for field, value in annotation.items() if _is_number(value)}
    if isinstance(rle := annotation.get("segmentation"), dict):
        out["segmentation"] = {
            field: rle[field]
            for field in ("size", "counts")
            if field in rle and (_is_number(rle[field]) or _is_text(rle))
        }
    return {field: out[field] for field in annotation if field in out}


def _is_number(value: Any) -> bool:
    return all(map(_is_number, value)) if isinstance(value, list) else isinstance(value, int | float)


def _is_text(rle: dict[str, Any]) -> bool:
    """Whether the run lengths are COCO's text, and cover the picture that they are of."""
    try:
        height, width = rle["size"]
        return bool(run_lengths(rle["counts"].encode("ascii")).sum() == height * width)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def _licence(licence: dict[str, Any]) -> dict[str, Any]:
    said = _numbers(_only(licence, ("id",)))
    texts = {field: licence.get(field) for field in ("name", "url")}
    return said | {field: t for field, t in texts.items() if t in _LICENCES or _COMMONS.fullmatch(str(t))}


def is_unnamed(category: dict[str, Any]) -> bool:
    """Whether a category of people may be named for one of them."""
    return bool(whose(category)) and not impersonal(category.get("name"))


def is_misplaced(category: dict[str, Any]) -> bool:
    """Whether a category of things is sorted into what may be somebody's name."""
    above = category.get("supercategory", "thing")
    return not whose(category) and not (isinstance(above, str) and (above in _ABOVE or above == category.get("name")))


def own_names(categories: Iterable[dict[str, Any]]) -> set[str]:
    """The names of categories of things that are not COCO's: a release keeps them, whatever they are."""
    return {str(category.get("name")) for category in categories if not whose(category)} - _THINGS


def _category(category: dict[str, Any]) -> dict[str, Any]:
    out = _only(category, _CATEGORY) | ({"supercategory": "thing"} if is_misplaced(category) else {})
    if whose(category):
        above = category.get("supercategory", "person")
        above = above if above and impersonal(above) else "person"
        out |= {"supercategory": above} if "supercategory" in out else {}
        out |= {"name": f"{above} {category['id']}"} if is_unnamed(category) else {}
    if "keypoints" in out:
        joints = out["keypoints"] if isinstance(out["keypoints"], list) else []
        out["keypoints"] = [name if name in COCO_JOINTS else f"joint {place}" for place, name in enumerate(joints, 1)]
    if "skeleton" in out and not _is_number(out["skeleton"]):
        del out["skeleton"]
    return out


def _dicts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _only(entry: Any, fields: Iterable[str]) -> dict[str, Any]:
    return {field: entry[field] for field in fields if field in entry} if isinstance(entry, dict) else {}


def sentences(
    captions: bool,
    missing: int,
    unclear: int,
    unknown: int,
    others: int,
    renamed: int,
    unlisted: int,
    called: int,
    things: Collection[str],
    own: Collection[str],
    misplaced: int,
) -> Iterator[str]:
    """What CARD.md says. things: names of categories that annotations have and that are of nobody

    own: those that no annotation has, and that are not COCO's · misplaced: categories whose supercategory went
    """
    yield (
        "The json files keep the released images, those of their licences that are COCO's own or Creative Commons', and"
        " every geometry (boxes, polygons, run lengths, keypoints); flickr_url, coco_url, date_captured, every"
        " description but COCO's own ('COCO 2017 Dataset') and every field that is not COCO's were dropped."
        " The photographers' attribution went with the URLs: image ids lead back to it."
    )
    if captions:
        yield f"Captions can describe or name people: each was replaced by {CAPTION!r}."
    if missing:
        yield f"{missing} entries of images that the source did not have were dropped from the json files."
    if unclear:
        yield (
            f"{unclear} entries without people, each of which may mean several files of the source, were dropped from"
            " the json files."
        )
    if unknown:
        yield f"{unknown} json files of other kinds than instances, person_keypoints and captions were not released."
    if others > 0:
        yield f"{others} other files of the source were not released."
    if unlisted:
        yield (
            f"{unlisted} images are listed in no json file that has annotations of people: nobody annotated who is in"
            " them, detectors alone looked."
        )
    if things:
        yield (
            f"Taken for things, so that their boxes and polygons hide nobody: {some(sorted(things), 100)}. Were one of"
            " them of people, its name in the source has to say so ('person')."
        )
    if own:
        yield (
            "Other categories of things that keep their names, and that nothing is annotated as:"
            f" {some(sorted(own), 100)}. Were one of these somebody's name, it has to be taken out of the source."
        )
    if misplaced:
        yield f"{misplaced} supercategories of things that are not COCO's own are called 'thing'."
    if renamed:
        yield (
            f"Tokens replace the names of {renamed} images (or of their folders) that are more than numbers and words"
            " like 'train2017'; the json files call them by these."
        )
    if called:
        yield (
            f"{called} categories of people whose names may be somebody's are called by their supercategory and id;"
            " where each was of one person, it joins their pictures."
        )


def some(names: Sequence[str], most: int = 8) -> str:
    """The first of ``names``, quoted, and how many more there are."""
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
