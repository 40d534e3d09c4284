"""Any folder of images, recursively. Nothing is known of the people in it; every name may be somebody's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Sample
from dsanon.sources.stills import IMAGE_SUFFIXES, StillSource, printable


class FolderSource(StillSource):
    """A folder of images; files and folders are released under tokens, in the same tree."""

    dataset = "folder"

    def samples(self) -> list[Sample]:
        """Every image below the folder. Raises SourceError where there is none."""
        images, _ = self.tree.walk()
        if not images:
            raise SourceError(
                f"no image below {self.tree.where!r}: expected files with one of the suffixes"
                f" {' '.join(sorted(IMAGE_SUFFIXES))}"
            )
        samples = [Sample(printable(file), file, problem=self.tree.problem(file)) for file in images]
        samples.sort(key=lambda sample: sample.id)
        for one, other in pairwise(samples):
            if one.id == other.id:
                raise SourceError(f"{one.file!r} and {other.file!r} read alike: rename one of them")
        return samples

    def target(self, sample: Sample, names: Names) -> str:
        """A token for each folder and for the file, and the file's suffix."""
        path = PurePosixPath(sample.file)
        ancestors = [str(parent) for parent in path.parents][-2::-1]  # outermost first, without "."
        tokens = [names.token("folder", ancestor) for ancestor in ancestors]
        return "/".join([*tokens, names.token("folder", sample.file) + path.suffix])

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Nothing to write: what is no image is not copied."""
        sentences = ["Tokens replace the names of files and folders; the tree and the suffixes are as they were."]
        _, others = self.tree.walk()
        if others:
            sentences.append(f"{len(others)} other files of the source (no images, hidden, linked) were not copied.")
        return sentences
