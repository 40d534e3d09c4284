"""What the adapters of still images share: walking a folder, reading samples, writing releases."""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from dsanon.durable import sync_files
from dsanon.errors import SourceError
from dsanon.images import encode, safe_path
from dsanon.naming import Names
from dsanon.sample import Encoding, Photo, Sample, Unreadable
from dsanon.storage import AT_ONCE, Bucket

# suffix → Pillow's format that a release writes under it
FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    ".png": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
}
# images that cannot be read are listed all the same, so that they are accounted for (quarantined)
IMAGE_SUFFIXES = frozenset(FORMATS) | {".apng", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".mpo"}


def walk(root: Path) -> tuple[list[str], list[str]]:
    """(image files, other entries) below ``root``: sorted posix paths relative to it.

    Hidden entries and links to folders are never entered and count as one other entry each. A link named like
    an image counts as an image, so that it is quarantined, not forgotten. Raises SourceError.
    """
    images: list[str] = []
    others: list[str] = []
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    path = folder + entry.name
                    if entry.name.startswith("."):
                        others.append(path)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(path + "/")
                    elif looks_like_an_image(path) and not (entry.is_symlink() and (root / path).is_dir()):
                        images.append(path)
                    else:
                        others.append(path)
        except OSError as error:
            raise SourceError(
                f"{os.fspath(root / folder)!r} cannot be listed ({error.strerror}): expected a readable folder"
            ) from None
    return sorted(images), sorted(others)


def looks_like_an_image(path: str) -> bool:
    """Whether it is named like one."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def link_problem(root: Path, file: str) -> str | None:
    """Why ``file`` is not read: a symbolic link, missing, or no regular file. None where it is one."""
    try:
        mode = os.lstat(root / file).st_mode
    except (OSError, ValueError):
        return "the file is missing"
    if stat.S_ISLNK(mode):
        return "a symbolic link: expected a regular file"
    return None if stat.S_ISREG(mode) else "not a regular file (a folder, pipe or device): expected an image file"


def is_annotation(root: Path, path: Path) -> bool:
    """Whether there is such an annotation file below ``root``. Raises SourceError for one that is no part of SOURCE.

    A link could lead to any file of this machine, lines of which would be told or released; a pipe never ends.
    """
    if not path.exists() and not path.is_symlink():
        return False
    where = f"{path.parent.name}/{path.name}"
    if root.resolve() not in path.resolve().parents:
        raise SourceError(f"{where} is a link that leads out of SOURCE: put the file itself there")
    if not path.is_file():
        raise SourceError(f"{where} is no regular file (a folder, pipe or device): replace or remove it")
    return True


def folded(path: str) -> str:
    """What two paths have in common that are one on a file system that ignores case or Unicode form."""
    return unicodedata.normalize("NFC", path).casefold()


def check_targets(targets: Iterable[str]) -> None:
    """Raise SourceError for paths under which a release could not hold two samples, or name one.

    They are one on a file system that ignores case or Unicode form, one but for the suffix, which a sample's name in
    the manifest has not, or no UTF-8, as which the manifest names them.
    """
    seen: dict[str, str] = {}
    samples: dict[str, str] = {}
    for target in targets:
        if printable(target) != target:
            raise SourceError(f"{target!r} is no UTF-8, as which the manifest names files: rename it")
        other = seen.setdefault(folded(target), target)
        if other != target:
            raise SourceError(f"{other!r} and {target!r} differ only by case: rename one, or the release loses it")
        twin = samples.setdefault(target.rsplit(".", 1)[0], target)
        if twin != target:
            raise SourceError(f"{twin!r} and {target!r} differ only by the suffix: rename one, both are one sample")


def existing_folder(root: Path, dataset: str) -> Path:
    """``root``, absolute. Raises SourceError where it is missing or no folder."""
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise SourceError(f"found {found} at {os.fspath(root)!r}: --dataset {dataset} expects a folder")
    return root.absolute()


def printable(path: str) -> str:
    r"""``path`` as text that every table can store: bytes that are no UTF-8 as ``\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class StillSource(ABC):
    """A dataset of still images; an adapter adds ``samples``, ``target`` and ``publish`` (see ``Source``)."""

    dataset = ""
    scope = "dataset"
    regions = "face"

    def __init__(self, root: Path | Bucket) -> None:
        from dsanon.sources.tree import open_tree

        self.tree = open_tree(root, self.dataset)

    @property
    def root(self) -> Path:
        """SOURCE, absolute; on object storage where its annotation files are copied to."""
        return self.tree.root

    @abstractmethod
    def samples(self) -> list[Sample]:
        """Every sample in source order, with its annotations. Raises SourceError."""

    def read(self, samples: Sequence[Sample]) -> Iterator[Photo | Unreadable]:
        """Decode ``samples`` in order, one item for each."""
        return self.tree.photos(samples)

    def version(self, file: str) -> str:
        """What tells that a file changed."""
        return self.tree.version(file)

    def altered(self, file: str) -> bool:
        """False: a still is hashed and decoded from one reading."""
        return False

    @abstractmethod
    def target(self, sample: Sample, names: Names) -> str:
        """Path below ``data/`` at which the sample is released."""

    def sink(self, data: Path | Bucket, names: Names) -> StillSink:
        """A writer for one shard's samples."""
        kind = StillSink if isinstance(data, Path) else ObjectSink
        return kind(data, lambda sample: self.target(sample, names))

    @abstractmethod
    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Write the annotation files of the released samples; sentences for CARD.md."""

    def inputs(self) -> list[Path]:
        """Annotation files that the samples depend on."""
        return []


class StillSink:
    """Writes each photo to its target below ``data``: aside first, then renamed, so never half of it.

    A full disk or a read-only release raises OSError.
    """

    def __init__(self, data: Path | Bucket, target: Callable[[Sample], str]) -> None:
        self._data = data
        self._target = target
        self._written: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None  # nothing stays open between two writes

    def write(self, sample: Sample, photo: Photo | None) -> None:
        """Encode ``photo`` in the format that the target's suffix names; nothing for ``None``."""
        if photo is None:
            return
        target = self._target(sample)
        data = encode(photo.pixels, encoding_for(target, photo.encoding))
        self._store(target, data)
        self._written[target] = hashlib.sha256(data).hexdigest()

    def _store(self, target: str, content: bytes) -> None:
        assert isinstance(self._data, Path)
        write_aside(self._data, target, content, sync=False)

    def close(self) -> dict[str, str]:
        """Released path → sha256 of its bytes, which are on disk now."""
        if isinstance(self._data, Path):
            sync_files(self._data, [self._data / target for target in self._written])
        return dict(self._written)


class ObjectSink(StillSink):
    """The same into object storage, some at a time; an object is whole or not there. Raises StorageError."""

    def __init__(self, data: Path | Bucket, target: Callable[[Sample], str]) -> None:
        super().__init__(data, target)
        self._waiting: dict[str, bytes] = {}

    def _store(self, target: str, content: bytes) -> None:
        if not safe_path(target):
            raise SourceError(f"release path {target!r} leaves the release: expected a relative path without '..'")
        self._waiting[target] = content
        if len(self._waiting) == AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        assert isinstance(self._data, Bucket)
        waiting, self._waiting = self._waiting, {}
        if waiting:
            self._data.write(waiting)

    def close(self) -> dict[str, str]:
        """Released path → sha256 of its bytes, all of which are there now."""
        self._flush()
        return super().close()


def encoding_for(target: str, encoding: Encoding) -> Encoding:
    """``encoding``, or the suffix's format where the source is named for another than it has."""
    kind = FORMATS.get(PurePosixPath(target).suffix.lower(), encoding.format)
    return encoding if kind == encoding.format else Encoding(kind, encoding.grey)


def write_aside(data: Path, target: str, content: bytes, sync: bool = True) -> None:
    """Write ``content`` to ``data / target``, whole or not at all. sync: and wait until it is on disk.

    Raises SourceError for a path that leaves ``data``, OSError for a disk that is full or read-only.
    """
    if not safe_path(target):
        raise SourceError(f"release path {target!r} leaves the release: expected a relative path without '..'")
    final = data / target
    final.parent.mkdir(parents=True, exist_ok=True)
    # one name per target: whoever writes it again after a crash also removes what the crash left
    aside = final.parent / f".{hashlib.sha256(final.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.partial"
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(handle)
        aside.replace(final)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
