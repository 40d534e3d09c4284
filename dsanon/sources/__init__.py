"""Dataset adapters: one file per format, reading and writing side by side.

Adding a dataset is one new file here and one line in ``SOURCES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from dsanon.errors import UsageError
from dsanon.naming import Names
from dsanon.sample import Photo, Sample, Unreadable
from dsanon.storage import Bucket


class Sink(Protocol):
    """Writes one shard's samples below ``data/``; a context manager that closes (or abandons) its files."""

    def write(self, sample: Sample, photo: Photo | None) -> None:
        """Write the anonymized photo; ``None`` for a quarantined sample, of which no pixel may be written.

        A still that is ``None`` is left out; a video gets a plain grey frame, so that it keeps its length.
        """

    def close(self) -> dict[str, str]:
        """Finish the files; released path below ``data/`` → sha256 of its bytes."""


class Source(Protocol):
    """A dataset on disk. Constructing it reads nothing but what is needed to recognise it.

    dataset: its name in ``SOURCES`` · root: SOURCE, absolute (on object storage: where its annotations are copied to)
    scope: what ``--scope`` is by default
    regions: what ``--regions`` is by default
    """

    dataset: str
    root: Path
    scope: str
    regions: str

    def samples(self) -> list[Sample]:
        """Every sample in source order, sequences whole and their frames in time. Raises SourceError."""

    def read(self, samples: Sequence[Sample]) -> Iterator[Photo | Unreadable]:
        """Decode ``samples`` (a contiguous piece of one shard) in order, one item for each."""

    def target(self, sample: Sample, names: Names) -> str:
        """Path below ``data/`` at which the sample is released; pseudonyms in place of names."""

    def version(self, file: str) -> str:
        """What tells that a sample's file changed: its size and time, or whatever the store has."""

    def altered(self, file: str) -> bool:
        """Whether a file has changed since its samples were read, which no hash of theirs could tell."""

    def sink(self, data: Path | Bucket, names: Names) -> AbstractContextManager[Sink]:
        """A writer for one shard's samples; data: where ``data/`` lies."""

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Write the annotation files that belong to the released samples.

        Returns sentences for CARD.md: what was renamed, renumbered or dropped (never naming anybody).
        """

    def inputs(self) -> list[Path]:
        """Annotation files that the samples depend on; their bytes are part of the input's fingerprint."""


# name → (module, class, one line for `dsanon datasets`)
SOURCES: dict[str, tuple[str, str, str]] = {
    "lfw": ("dsanon.sources.lfw", "LfwSource", "Labeled Faces in the Wild: NAME/NAME_0001.jpg, pairs.txt, people.txt"),
    "celeba": (
        "dsanon.sources.celeba",
        "CelebaSource",
        "CelebA: img_align_celeba/, identity, partition and landmark files",
    ),
    "coco": (
        "dsanon.sources.coco",
        "CocoSource",
        "COCO: images and annotations/*.json (instances, keypoints, captions)",
    ),
    "mots": ("dsanon.sources.mots", "MotsSource", "MOTSChallenge and KITTI-MOTS: images/, instances/, instances_txt/"),
    "mot": ("dsanon.sources.mot", "MotSource", "MOT17/MOT20: SEQUENCE/{img1,gt/gt.txt,seqinfo.ini}"),
    "folder": ("dsanon.sources.folder", "FolderSource", "any folder of images, recursively"),
    "video": ("dsanon.sources.video", "VideoSource", "video files (mp4, mkv, mov, webm, avi), or a folder of them"),
}


ON_OBJECTS = ("folder", "lfw", "celeba", "coco")  # what can lie in object storage, as SOURCE or as RELEASE


def refuse_objects(dataset: str, where: Bucket) -> None:
    """Raises UsageError unless such a dataset can lie in object storage."""
    if dataset not in ON_OBJECTS:
        raise UsageError(
            f"--dataset {dataset} cannot lie in object storage ({where}): that works for {', '.join(ON_OBJECTS)}; "
            "work in folders, and copy them there"
        )


def open_source(dataset: str, root: Path | Bucket) -> Source:
    """The source at ``root``. Raises UsageError for an unknown dataset, SourceError for a wrong folder."""
    if dataset not in SOURCES:
        raise UsageError(f"--dataset {dataset!r} is unknown: choose one of {', '.join(SOURCES)}")
    if isinstance(root, Bucket):
        refuse_objects(dataset, root)
    module, name, _ = SOURCES[dataset]
    factory = cast(Callable[..., Any], getattr(import_module(module), name))
    return cast(Source, factory(root))
