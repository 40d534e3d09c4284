"""COCO: image folders and ``annotations/*.json`` (instances, person_keypoints, captions), told by their content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dsanon.errors import SourceError
from dsanon.images import safe_path
from dsanon.naming import Names
from dsanon.sample import Person, Sample
from dsanon.sources.coco_people import merge, person_of, whose
from dsanon.sources.keypoints import COCO_JOINTS
from dsanon.sources.silhouettes import LARGEST
from dsanon.sources.stills import StillSource, check_targets, folded, printable, write_aside
from dsanon.storage import Bucket

CAPTION = "a photo"  # what a release says in place of every caption
_COCO_NAME = re.compile(r"(COCO_\w+_)?\d{12}\.jpg")
_COCO_DESCRIPTION = re.compile(r"COCO \d{4} Dataset", re.ASCII)  # a curator's own words may name people

# What a release may say; every other field is dropped (URLs, dates, names, captions, unknown attributes).
_INFO = ("description", "version", "year")
_LICENCE = ("id", "name", "url")
_IMAGE = ("id", "width", "height", "file_name", "license")
_CATEGORY = ("id", "name", "supercategory", "keypoints", "skeleton")
_ANNOTATION = (
    *("id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd", "ignore"),
    *("keypoints", "num_keypoints"),
)


@dataclass(frozen=True, slots=True)
class _Listed:
    """An image as one json lists it. file: relative to SOURCE, None where it is not on disk, or cannot be told.

    name: as the json has it · like: files on disk, several of them, each of which may be meant
    """

    name: str
    file: str | None
    size: tuple[int, int] | None
    like: tuple[str, ...] = ()


class CocoSource(StillSource):
    """Images with COCO annotations. People are not told apart between images: COCO has no identities."""

    dataset = "coco"

    def __init__(self, root: Path | Bucket) -> None:
        super().__init__(root)
        if not self._jsons():
            raise SourceError(
                f"no json in {self.tree.where + '/annotations'!r} or {self.tree.where!r}:"
                " --dataset coco expects annotations/instances_*.json or another of COCO's files"
            )

    def inputs(self) -> list[Path]:
        """The json files."""
        return sorted(self.tree.local(file) for file in self._jsons())

    def _jsons(self) -> list[str]:
        files = [folder + name for folder in ("annotations/", "") for name in self.tree.children(folder)]
        return [file for file in files if file.endswith(".json") and self.tree.has_annotation(file)]

    def samples(self) -> list[Sample]:
        """Every image below SOURCE, with the people that any of the json files tells of. Raises SourceError."""
        images, _ = self.tree.walk()
        if not images:
            raise SourceError(f"no image below {self.tree.where!r}: expected COCO's, e.g. in val2017/")
        check_targets(images)
        on_disk = _Files(images)
        people: dict[str, list[tuple[int, Person]]] = {}
        sizes: dict[str, tuple[int, int]] = {}
        known = 0
        told: set[str] = set()  # files of which a json says who is in them
        bodies: set[str] = set()  # and whose bodies, not heads alone
        mute: dict[str, tuple[set[str], list[str]]] = {}  # json without people → the files it annotates, its categories
        for path in self.inputs():
            content = _load(path)
            if _kind(content) is None:
                continue
            known += 1
            listed = self._listed(path, content, on_disk)
            for entry in listed.values():
                if entry.file and entry.size and sizes.setdefault(entry.file, entry.size) != entry.size:
                    raise SourceError(
                        f"{path.name}: {entry.file} is {entry.size} here and {sizes[entry.file]}"
                        " in another json: correct one of them"
                    )
            for file, number, person in _people(path, content, listed):
                merge(people.setdefault(file, []), number, person)
            things = [a["image_id"] for a in content.get("annotations", []) if "category_id" in a]
            if kinds := {kind for kind in map(whose, content.get("categories", [])) if kind}:
                files = {entry.file for entry in listed.values() if entry.file}
                told |= files
                bodies |= files if kinds - {"head"} else set()
            elif things:
                names = [str(category.get("name")) for category in content["categories"]]
                files = {file for n in things for file in (listed[n].file, *listed[n].like) if file}
                mute[path.name] = files, names
        if not known:
            raise SourceError(
                f"none of {len(self.inputs())} json files has COCO's 'images' and 'annotations':"
                " expected instances, person_keypoints or captions"
            )
        for name, (files, categories) in mute.items():
            if not files <= told:
                raise SourceError(
                    f"{name} has the categories {_some(categories)}, none of which is known to be of people: name that"
                    " of people 'person' (heads: 'head'); if nobody is annotated, put the images into another folder"
                    " and use --dataset folder"
                )
        return [
            Sample(
                printable(file),
                file,
                people=tuple(person for _, person in people.get(file, ())),
                size=sizes.get(file),
                problem=self.tree.problem(file),
                bodies=file in bodies,
            )
            for file in sorted(images, key=printable)
        ]

    def target(self, sample: Sample, names: Names) -> str:
        """Its own path: COCO's file names are numbers, not names."""
        return sample.file

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Write each json for the released images, with every geometry and nothing that names anybody."""
        images, others = self.tree.walk()
        on_disk, kept = _Files(images), {sample.file for sample in released}
        unknown, missing, unclear = 0, 0, 0
        captions = False
        paths = self.inputs()
        for path in paths:
            content = _load(path)
            kind = _kind(content)
            if kind is None:
                unknown += 1
                continue
            captions |= kind == "captions"
            listed = self._listed(path, content, on_disk)
            unclear += sum(bool(entry.like) for entry in listed.values())
            missing += sum(entry.file is None and not entry.like for entry in listed.values())
            ids = {number for number, entry in listed.items() if entry.file in kept}
            text = json.dumps(_public(content, ids), separators=(",", ":"))
            write_aside(data, path.relative_to(self.root).as_posix(), text.encode())
        return list(_sentences(captions, missing, unclear, unknown, len(others) - len(paths), kept))

    def _listed(self, path: Path, content: dict[str, Any], on_disk: _Files) -> dict[int, _Listed]:
        """Image id → where it is. Raises SourceError."""
        names: dict[int, tuple[str, dict[str, Any]]] = {}
        for image in content["images"]:
            number, name = image.get("id"), image.get("file_name")
            if type(number) is not int or not isinstance(name, str) or not safe_path(name) or "\\" in name:
                raise SourceError(
                    f"{path.name}: image {number!r} has the file_name {name!r}:"
                    " expected a whole number and a relative path without '..'"
                )
            if names.setdefault(number, (name, image))[0] != name:
                raise SourceError(f"{path.name}: image id {number} is given to two files: expected one")
        places = list(_folders(path))
        named = {number: on_disk.at(name, places) for number, (name, _) in names.items()}
        taken = set(named.values())  # a file that an entry names outright is not meant by another with a like name
        listed = {}
        for number, (name, image) in names.items():
            like = () if named[number] else tuple(file for file in on_disk.like(name) if file not in taken)
            file = named[number] or (like[0] if len(like) == 1 else None)
            listed[number] = _Listed(name, file, _size(path, image), like if len(like) > 1 else ())
        return listed


class _Files:
    """The images on disk, found by the names that a json has for them: whatever their case and Unicode form."""

    def __init__(self, files: Iterable[str]) -> None:
        self._paths = {folded(file): file for file in files}
        self._names: dict[str, list[str]] = {}
        for file in files:
            self._names.setdefault(folded(PurePosixPath(file).name), []).append(file)

    def at(self, name: str, folders: Iterable[str]) -> str | None:
        """The file at the path that a json names, from SOURCE or from one of ``folders``; a bare name is in these."""
        places = ["", *folders] if "/" in name else folders
        return next((self._paths[path] for folder in places if (path := folded(folder + name)) in self._paths), None)

    def like(self, name: str) -> list[str]:
        """The files that may be meant by a name which is at none of these: those that end like it, else its last part.

        None but one where the name's folders tell.
        """
        same = self._names.get(folded(PurePosixPath(name).name), [])
        return [file for file in same if folded(file).endswith(folded(f"/{name}"))] or same


def _folders(path: Path) -> Iterator[str]:
    """Where the images of a json may be, most likely first: instances_train2017.json → train2017/ …"""
    words = path.stem.split("_")
    for start in range(len(words)):
        split = "_".join(words[start:])
        yield from (f"{split}/", f"images/{split}/")
    yield from ("images/", "")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path.name} is no JSON ({error}): download or write it again") from None
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read ({error.strerror}): make it readable") from None


def _kind(content: Any) -> str | None:
    """captions, keypoints, instances or images (no annotation); None for what is not COCO's."""
    if not isinstance(content, dict) or not _dicts(content.get("images")):
        return None
    annotations = content.get("annotations", [])
    if not _dicts(annotations) or not _dicts(content.get("categories", [])):
        return None
    fields = {name for annotation in annotations for name in annotation}
    if "segments_info" in fields:  # panoptic: its masks are images of their own
        return None
    for field, kind in {"keypoints": "keypoints", "bbox": "instances", "segmentation": "instances"}.items():
        if field in fields:
            return kind
    if "caption" in fields:
        return "captions"
    return "images" if not annotations else "instances"


def _dicts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _size(path: Path, image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if width is None and height is None:
        return None
    if (
        type(width) is not int
        or type(height) is not int
        or not 1 <= min(width, height) <= max(width, height) <= LARGEST
    ):
        raise SourceError(f"{path.name}: image {image['id']} is {width!r} x {height!r}: expected pixels")
    return width, height


def _people(path: Path, content: dict[str, Any], listed: dict[int, _Listed]) -> Iterator[tuple[str, int, Person]]:
    """(file, annotation id, person) for each person in an image on disk. Raises SourceError."""
    categories = {_hashable(category.get("id")): category for category in content.get("categories", [])}
    if not all(type(category) is int for category in categories):
        raise SourceError(f"{path.name}: the category ids are {list(categories)}: expected whole numbers")
    people = {number: kind for number, category in categories.items() if (kind := whose(category))}
    seen: set[int] = set()
    for annotation in content.get("annotations", []):
        number = annotation.get("id")
        where = f"{path.name} annotation {number!r}"
        if type(annotation.get("image_id")) is not int or annotation["image_id"] not in listed:
            raise SourceError(
                f"{where} is of image {annotation.get('image_id')!r}, which 'images' does not list: add or remove it"
            )
        if "category_id" not in annotation:
            continue
        if type(annotation["category_id"]) is not int or annotation["category_id"] not in categories:
            raise SourceError(f"{where} has the unknown category {annotation['category_id']!r}: add it to 'categories'")
        entry = listed[annotation["image_id"]]
        if annotation["category_id"] not in people:
            continue
        if entry.like:
            raise SourceError(
                f"{where} is of a person in {entry.name!r}, which may be {entry.like[0]!r} or {entry.like[1]!r}: give"
                " the folder in its file_name, from SOURCE on"
            )
        if entry.file is None:
            continue
        if type(number) is not int or number in seen:
            raise SourceError(f"{where}: expected a whole number that no other annotation has")
        seen.add(number)
        joints = categories[annotation["category_id"]].get("keypoints") or COCO_JOINTS
        try:
            yield entry.file, number, person_of(annotation, people[annotation["category_id"]], entry.size, joints)
        except (TypeError, ValueError, OverflowError) as error:
            raise SourceError(f"{where}: {error}; correct or remove it") from None


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int) else repr(value)


def _public(content: dict[str, Any], ids: set[int]) -> dict[str, Any]:
    """What a release says: the entries of the images ``ids``, their allowed fields, captions replaced."""
    info = _only(content.get("info"), _INFO)
    if not _COCO_DESCRIPTION.fullmatch(str(info.get("description"))):
        info.pop("description", None)
    public: dict[str, Any] = {"info": info}
    if _dicts(content.get("licenses")):
        public["licenses"] = [_only(licence, _LICENCE) for licence in content["licenses"]]
    public["images"] = [_only(image, _IMAGE) for image in content["images"] if image["id"] in ids]
    if "annotations" in content:
        public["annotations"] = [
            _only(annotation, _ANNOTATION) | ({"caption": CAPTION} if "caption" in annotation else {})
            for annotation in content["annotations"]
            if annotation["image_id"] in ids
        ]
    if "categories" in content:
        public["categories"] = [_only(category, _CATEGORY) for category in content["categories"]]
    return public


def _only(entry: Any, fields: Iterable[str]) -> dict[str, Any]:
    return {field: entry[field] for field in fields if field in entry} if isinstance(entry, dict) else {}


def _sentences(captions: bool, missing: int, unclear: int, unknown: int, others: int, kept: set[str]) -> Iterator[str]:
    yield (
        "The json files keep the released images, their licence ids and every geometry (boxes, polygons, run lengths,"
        " keypoints); flickr_url, coco_url, date_captured, every description but COCO's own ('COCO 2017 Dataset') and"
        " every field that is not COCO's were dropped."
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
    named = sum(not _COCO_NAME.fullmatch(PurePosixPath(file).name) for file in kept)
    if named:
        yield f"File names were kept; {named} are not COCO's numbers: check that they name nobody."
