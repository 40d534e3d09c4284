"""COCO: image folders and ``annotations/*.json`` (instances, person_keypoints, captions), told by their content."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dsanon.errors import SourceError
from dsanon.images import safe_path
from dsanon.naming import Names
from dsanon.sample import Person, Sample
from dsanon.sources.coco_people import bodies_known, in_shares, labelled, merge, person_of, united, whose
from dsanon.sources.coco_release import (
    is_misplaced,
    is_unnamed,
    own_names,
    public,
    public_name,
    public_path,
    sentences,
    some,
)
from dsanon.sources.keypoints import COCO_JOINTS
from dsanon.sources.silhouettes import LARGEST
from dsanon.sources.stills import StillSource, check_targets, folded, printable, write_aside
from dsanon.storage import Bucket

_LIKE_ANNOTATIONS = re.compile(r"(coco|annotation|instances|keypoints).*\.json$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Listed:
    """An image as one json lists it. file: relative to SOURCE, None where it is not on disk, or cannot be told.

    name: as the json has it · like: files on disk, each of which may be meant: several, or one with another suffix
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
                _refuse_damaged(path, content)
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
            if kinds := _annotated(content):
                files = {entry.file for entry in listed.values() if entry.file}
                told |= files
                bodies |= files if kinds - {"head"} else set()
            elif things and not any(map(whose, content["categories"])):
                names = [str(category.get("name")) for category in content["categories"]]
                files = {file for n in things for file in (listed[n].file, *listed[n].like) if file}
                mute[path.name] = files, names
        if not known:
            raise SourceError(
                f"none of {len(self.inputs())} json files has COCO's 'images' and 'annotations':"
                " expected instances, person_keypoints or captions"
            )
        self._refuse_elsewhere()
        for name, (files, categories) in mute.items():
            if not files <= told:
                raise SourceError(
                    f"{name} has the categories {some(categories)}, none of which is known to be of people: name that"
                    " of people 'person' (heads: 'head'); if nobody is annotated, put the images into another folder"
                    " and use --dataset folder"
                )
        everybody = {file: united(labelled(file, found)) for file, found in people.items()}
        return [
            Sample(
                printable(file),
                file,
                people=tuple(everybody.get(file, ())),
                size=sizes.get(file),
                problem=self.tree.problem(file),
                bodies=file in bodies and bodies_known(everybody.get(file, ())),
            )
            for file in sorted(images, key=printable)
        ]

    def _refuse_elsewhere(self) -> None:
        """Raises SourceError for annotations where nobody looks for them: whom they tell of would be lost."""
        read = set(self._jsons())
        for file in self.tree.walk()[1]:
            if not _LIKE_ANNOTATIONS.search(file) or file in read or not self.tree.has_annotation(file):
                continue
            if _kind(_load(self.tree.local(file))) is not None:
                raise SourceError(
                    f"{file} has COCO's annotations: move it to annotations/, and let its name end in .json"
                )

    def target(self, sample: Sample, names: Names) -> str:
        """Its own path where that is of numbers and words like ``train2017``, as COCO's; else tokens for the rest."""
        return public_path(sample.file, names)

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Write each json for the released images, with every geometry and nothing that names anybody."""
        images, others = self.tree.walk()
        on_disk, kept = _Files(images), {sample.file for sample in released}
        unknown, missing, unclear = 0, 0, 0
        unlisted, called, misplaced, things, own = set(kept), set(), set(), set(), set()
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
            categories = {category["id"]: category for category in content.get("categories", [])}
            called |= {number for number, category in categories.items() if is_unnamed(category)}
            nobody = {number: str(c.get("name")) for number, c in categories.items() if not whose(c)}
            things |= {nobody[a["category_id"]] for a in _of(content, nobody)}
            own |= own_names(categories.values())
            misplaced |= {number for number, category in categories.items() if is_misplaced(category)}
            unlisted -= {entry.file for entry in listed.values()} if _annotated(content) else set()
            unclear += sum(bool(entry.like) for entry in listed.values())
            missing += sum(entry.file is None and not entry.like for entry in listed.values())
            files = {
                number: public_name(entry.name, entry.file, names)
                for number, entry in listed.items()
                if entry.file in kept and entry.file
            }
            text = json.dumps(public(content, files), separators=(",", ":"))
            write_aside(data, public_path(path.relative_to(self.root).as_posix(), names), text.encode())
        renamed = sum(public_path(file, names) != file for file in kept)
        left = len(others) - len(paths)
        counts = missing, unclear, unknown, left, renamed, len(unlisted), len(called)
        return list(sentences(captions, *counts, things, own - things, len(misplaced)))

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
            unsure = like if file is None else ()
            if file is None and not like:
                unsure = tuple(other for other in on_disk.called(name) if other not in taken)
            listed[number] = _Listed(name, file, _size(path, image), unsure)
        return listed


class _Files:
    """The images on disk, found by the names that a json has for them: whatever their case and Unicode form."""

    def __init__(self, files: Iterable[str]) -> None:
        self._paths = {folded(file): file for file in files}
        self._names: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for file in files:
            self._names.setdefault(folded(PurePosixPath(file).name), []).append(file)
            self._stems.setdefault(folded(PurePosixPath(file).stem), []).append(file)

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

    def called(self, name: str) -> list[str]:
        """The files of that name, but for their folders and suffixes: a dataset stored anew, as JPEGs for PNGs."""
        return self._stems.get(folded(PurePosixPath(name).stem), [])


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
    if "segments_info" in fields:  # panoptic, whose masks are images of their own, or damaged
        return None
    for field, kind in {"keypoints": "keypoints", "bbox": "instances", "segmentation": "instances"}.items():
        if field in fields:
            return kind
    if "caption" in fields:
        return "captions"
    return "images" if not annotations else "instances"


def _refuse_damaged(path: Path, content: Any) -> None:
    """Raises SourceError for a json that is nearly COCO's: whom it tells of would be lost."""
    if not isinstance(content, dict) or not {"images", "annotations"} & content.keys():
        return
    annotations = content.get("annotations")
    if not (_dicts(annotations) and annotations and all("segments_info" in annotation for annotation in annotations)):
        raise SourceError(
            f"{path.name}: 'images', 'annotations' and 'categories' are no lists of objects, all of one kind, as COCO's"
            " are: correct it, or move it out of SOURCE"
        )


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
    if shares := in_shares(_of(content, people)):
        raise SourceError(
            f"{path.name}: no {shares} of people is beyond 1, as if they were shares of the picture's sides:"
            " expected pixels"
        )
    for annotation in content.get("annotations", []):
        number = annotation.get("id")
        where = f"{path.name} annotation {number!r}"
        if type(annotation.get("image_id")) is not int or annotation["image_id"] not in listed:
            raise SourceError(
                f"{where} is of image {annotation.get('image_id')!r}, which 'images' does not list: add or remove it"
            )
        if "category_id" not in annotation:
            if any(annotation.get(field) for field in ("bbox", "segmentation", "keypoints")):
                raise SourceError(f"{where} has no category_id, so that it may be of a person: add one")
            continue
        if type(annotation["category_id"]) is not int or annotation["category_id"] not in categories:
            raise SourceError(f"{where} has the unknown category {annotation['category_id']!r}: add it to 'categories'")
        entry = listed[annotation["image_id"]]
        if annotation["category_id"] not in people:
            continue
        if entry.like:
            raise SourceError(
                f"{where} is of a person in {entry.name!r}, which may be {' or '.join(map(repr, entry.like[:2]))}: give"
                " its path in file_name, from SOURCE on"
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


def _annotated(content: dict[str, Any]) -> set[str]:
    """What of people is annotated: persons, heads, crowds. A category without annotations says nothing of anybody."""
    kinds = {_hashable(category.get("id")): whose(category) for category in content.get("categories", [])}
    return {kind for annotation in _of(content, kinds) if (kind := kinds[_hashable(annotation["category_id"])])}


def _of(content: dict[str, Any], categories: Container[Any]) -> Iterator[dict[str, Any]]:
    """The annotations of some categories."""
    return (a for a in content.get("annotations", []) if _hashable(a.get("category_id")) in categories)


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int) else repr(value)
