"""What lies below SOURCE, on disk or in object storage: adapters of stills list and read through it alone.

On object storage nothing but annotation files is copied to this machine; pictures pass through memory, some at a time.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Protocol
from weakref import finalize

from dsanon.errors import SourceError
from dsanon.images import MAX_BYTES, image_size, photo_of, read_photo
from dsanon.sample import Photo, Sample, Unreadable
from dsanon.sources.stills import existing_folder, is_annotation, link_problem, looks_like_an_image, walk
from dsanon.storage import AT_ONCE, Bucket

_HEAD = 1 << 16  # bytes of an image in which its size stands


class Tree(Protocol):
    """where: SOURCE, as the user calls it. Names of files are relative to it."""

    where: str

    @property
    def root(self) -> Path:
        """Where annotation files lie on this machine."""

    def walk(self) -> tuple[list[str], list[str]]:
        """(images, other entries), recursively, sorted; see :func:`dsanon.sources.stills.walk`."""

    def children(self, folder: str = "") -> list[str]:
        """Names in a folder (which ends with a slash), sorted; folders end with a slash, links do not."""

    def has(self, file: str) -> bool:
        """Whether there is such a file."""

    def has_annotation(self, file: str) -> bool:
        """Whether there is such a file; see :func:`dsanon.sources.stills.is_annotation`."""

    def has_folder(self, folder: str) -> bool:
        """Whether there is such a folder."""

    def local(self, file: str) -> Path:
        """The file on this machine, below ``root``."""

    def problem(self, file: str) -> str | None:
        """Why a file is not read; None where it can be."""

    def version(self, file: str) -> str:
        """What tells that it changed."""

    def size(self, file: str) -> tuple[int, int] | None:
        """(width, height) of an image, from its header."""

    def photos(self, samples: Sequence[Sample]) -> Iterator[Photo | Unreadable]:
        """Decode them in order."""


class DiskTree:
    """A folder on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.where = os.fspath(root)

    def walk(self) -> tuple[list[str], list[str]]:
        """(images, other entries). Raises SourceError."""
        return walk(self.root)

    def children(self, folder: str = "") -> list[str]:
        """Names in a folder; none where there is no such folder. Raises SourceError."""
        if not (self.root / folder).is_dir():
            return []
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in entries)
        except OSError as error:
            raise SourceError(
                f"a folder in {os.fspath(self.root / folder)!r} cannot be listed: {error.strerror}"
            ) from None

    def has(self, file: str) -> bool:
        """Whether there is such a file."""
        return (self.root / file).is_file()

    def has_annotation(self, file: str) -> bool:
        """Whether there is such a file. Raises SourceError for a link out of SOURCE, a folder, a pipe or a device."""
        return is_annotation(self.root, self.root / file)

    def has_folder(self, folder: str) -> bool:
        """Whether there is such a folder."""
        return (self.root / folder).is_dir()

    def local(self, file: str) -> Path:
        """The file itself."""
        return self.root / file

    def problem(self, file: str) -> str | None:
        """Why it is not read."""
        return link_problem(self.root, file)

    def version(self, file: str) -> str:
        """Its size and time."""
        return disk_version(self.root / file)

    def size(self, file: str) -> tuple[int, int] | None:
        """(width, height) of an image."""
        return image_size(self.root / file)

    def photos(self, samples: Sequence[Sample]) -> Iterator[Photo | Unreadable]:
        """Decode them in order."""
        for sample in samples:
            yield read_photo(self.root, sample)


class ObjectTree:
    """A prefix of a bucket, listed at most once."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.where = bucket.url
        self._sizes: dict[str, tuple[int, int] | None] = {}

    @cached_property
    def root(self) -> Path:
        """A folder that nobody else can look into, made when it is needed: workers need none."""
        folder = Path(mkdtemp(prefix="dsanon-annotations-"))
        finalize(self, rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def _listed(self) -> dict[str, str]:
        return self.bucket.listed()

    def walk(self) -> tuple[list[str], list[str]]:
        """(images, other objects); hidden is what a name with a dot at its beginning is, or lies below."""
        images: list[str] = []
        others: list[str] = []
        for file in self._listed:
            hidden = any(part.startswith(".") and part not in (".", "..") for part in file.split("/"))
            (others if hidden or not looks_like_an_image(file) else images).append(file)
        return images, others

    def children(self, folder: str = "") -> list[str]:
        """Names in a folder."""
        return (self.bucket / folder).children()

    def has(self, file: str) -> bool:
        """Whether there is such an object."""
        return (self.bucket / file).look() not in ("", "folder")

    def has_annotation(self, file: str) -> bool:
        """Whether there is such an object: a bucket has no links."""
        return self.has(file)

    def has_folder(self, folder: str) -> bool:
        """Whether any object lies below it."""
        return (self.bucket / folder).look() == "folder"

    def local(self, file: str) -> Path:
        """A copy of it."""
        path = self.root / file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.bucket.download(file, path)
        return path

    def problem(self, file: str) -> str | None:
        """Why it is not read: it is larger than any image may be."""
        if int(self._listed[file].split(" ", 1)[0]) > MAX_BYTES:
            return f"the file is larger than the {MAX_BYTES} bytes that are read"
        return None

    def version(self, file: str) -> str:
        """Its size, and ETag or time."""
        return self._listed.get(file, "missing")

    def size(self, file: str) -> tuple[int, int] | None:
        """(width, height) of an image; the next ones in the listing are asked together with it."""
        if file not in self._sizes:
            names = list(self._listed)
            start = bisect_left(names, file)
            some = names[start : start + AT_ONCE]
            for name, head in zip(some, self.bucket.read(some, _HEAD), strict=True):
                self._sizes[name] = image_size(io.BytesIO(head or b""))
            if self._sizes.get(file) is None:
                (whole,) = self.bucket.read([file], MAX_BYTES)
                self._sizes[file] = image_size(io.BytesIO(whole or b""))
        return self._sizes[file]

    def photos(self, samples: Sequence[Sample]) -> Iterator[Photo | Unreadable]:
        """Decode them in order. Raises StorageError where the store fails, which is no sample's fault."""
        contents = self.bucket.read([sample.file for sample in samples if not sample.problem], MAX_BYTES + 1)
        for sample in samples:
            content = None if sample.problem else next(contents)
            yield photo_of(Unreadable("the file is missing") if content is None else content, sample)


def open_tree(root: Path | Bucket, dataset: str) -> Tree:
    """What lies at SOURCE. Raises SourceError where there is nothing."""
    if isinstance(root, Path):
        return DiskTree(existing_folder(root, dataset))
    if root.look() != "folder":
        raise SourceError(f"found no objects below {root}/: --dataset {dataset} expects a prefix with objects")
    return ObjectTree(root)


def disk_version(path: Path) -> str:
    """Size and time of a file, ``missing`` where there is none."""
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns}"
