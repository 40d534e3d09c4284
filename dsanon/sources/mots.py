"""MOTSChallenge and KITTI-MOTS: frames, 16-bit instance masks and the same masks as run lengths.

``[train/]images/SEQ`` or ``[training/]image_02/SEQ`` with ``instances/SEQ/*.png`` and ``instances_txt/SEQ.txt``
beside them (KITTI: or above), or ``[train/]SEQ/img1`` with ``SEQ/gt/gt.txt``. An instance is 1000 × class + number.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsanon.errors import SourceError
from dsanon.images import MAX_PIXELS, read_regular
from dsanon.naming import Names
from dsanon.sample import Person, Rle, Sample, Unreadable
from dsanon.sources.sequences import (
    frame_rate,
    frames_of,
    public_folder,
    public_path,
    publish_seqinfo,
    refuse_twice,
    sentences,
    sequence_names,
)
from dsanon.sources.silhouettes import box_of, from_counts, from_mask, to_mask
from dsanon.sources.stills import (
    StillSource,
    check_targets,
    is_annotation,
    link_problem,
    printable,
    walk,
    write_aside,
)

CAR, PERSON, IGNORE = 1, 2, 10  # classes
_IMAGES = ("images", "image_02")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of instances_txt. rle: None where it covers nothing."""

    frame: int
    instance: int
    kind: int
    size: tuple[int, int]
    rle: Rle | None
    text: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    """Where a sequence is. folder: of it · frames: by number · rows, masks: annotation files, if it has them."""

    name: str
    folder: str
    frames: dict[int, str]
    rows: str | None
    masks: dict[int, str]


class MotsSource(StillSource):
    """Tracks with silhouettes."""

    dataset = "mots"
    scope = "sequence"
    regions = "body"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        above = ("", "*/", "*/*/")
        patterns = [f"{start}{images}/*" for start in above for images in _IMAGES] + ["*/img1", "*/*/img1"]
        if not any(path.is_dir() for pattern in patterns for path in self.root.glob(pattern)):
            raise SourceError(
                f"no images/SEQUENCE, image_02/SEQUENCE or SEQUENCE/img1 in {os.fspath(root)!r}:"
                " --dataset mots expects MOTSChallenge or KITTI-MOTS"
            )

    def inputs(self) -> list[Path]:
        """The run lengths and the masks."""
        found = self._sequences(walk(self.root)[0])
        files = [file for sequence in found for file in (sequence.rows, *sequence.masks.values()) if file]
        return [self.root / file for file in files]

    def samples(self) -> list[Sample]:
        """Every frame that is there, with the people whose silhouettes are known. Raises SourceError.

        A frame without a row and without a mask may be one that nobody annotated: nothing tells of bodies in it.
        """
        samples = [s for sequence in self._sequences(walk(self.root)[0]) for s in self._scan(sequence)]
        if not samples:
            raise SourceError(f"no frame in {os.fspath(self.root)!r}: expected images/SEQUENCE/000001.jpg")
        check_targets(sample.file for sample in samples)
        return samples

    def target(self, sample: Sample, names: Names) -> str:
        """Its own path, with a token where the name of the sequence may be somebody's."""
        return public_path(sample.file, names)

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Write the run lengths, masks and seqinfo.ini of the frames that are released."""
        images, others = walk(self.root)
        kept = {sample.file for sample in released}
        used: set[str] = set()
        dropped, shortened, renamed = 0, False, 0
        for sequence in self._sequences(images):
            frames = {number: file for number, file in sequence.frames.items() if file in kept}
            used |= {
                *sequence.frames.values(),
                *sequence.masks.values(),
                sequence.rows or "",
                f"{sequence.folder}/seqinfo.ini",
            }
            if not frames:
                continue
            renamed += public_folder(sequence.folder, names) != sequence.folder
            if sequence.rows:
                rows = self._rows(sequence)
                texts = [row.text for row in rows if row.frame in frames]
                dropped += len(rows) - len(texts)
                write_aside(data, public_path(sequence.rows, names), "".join(f"{text}\n" for text in texts).encode())
            for number, file in sequence.masks.items():
                if number in frames:
                    write_aside(data, public_path(file, names), _png(self._mask(file)))
            shortened |= publish_seqinfo(self.root, data, sequence.folder, frames, names)
        left = sum(file not in used for file in [*images, *others])
        return list(sentences(renamed, dropped, shortened, left))

    def _sequences(self, images: Iterable[str]) -> list[_Sequence]:
        """The sequences and their annotation files, in order. Raises SourceError."""
        images = list(images)
        frames = frames_of(file for file in images if _is_frame(file))
        masks = frames_of(file for file in images if PurePosixPath(file).parent.parent.name == "instances")
        folders = {images: _folder(images) for images in frames}
        names = sequence_names(folders.values())
        if len(names) < len(folders):
            one, other = next((a, b) for a, b in combinations(folders, 2) if folders[a] == folders[b])
            raise SourceError(f"{one!r} and {other!r} are the same sequence: remove one of them")
        return [
            _Sequence(names[folder], folder, frames[images], *self._annotations(images, masks))
            for images, folder in folders.items()
        ]

    def _annotations(self, images: str, masks: Mapping[str, dict[int, str]]) -> tuple[str | None, dict[int, str]]:
        """(run lengths, masks) that belong to a folder of frames."""
        path = PurePosixPath(images)
        if path.name == "img1":
            rows = (path.parent / "gt" / "gt.txt").as_posix()
            return (rows if is_annotation(self.root, self.root / rows) else None), {}
        bases = [path.parent.parent]
        if not bases[0].name.startswith("test"):  # KITTI's instances/ is of training/, whose numbers testing/ has, too
            bases += [base for base in bases[0].parents if base != bases[0]][:1]
        texts = [(base / "instances_txt" / f"{path.name}.txt").as_posix() for base in bases]
        folders = [(base / "instances" / path.name).as_posix() for base in bases]
        return (
            next((text for text in texts if is_annotation(self.root, self.root / text)), None),
            next((masks[folder] for folder in folders if folder in masks), {}),
        )

    def _scan(self, sequence: _Sequence) -> Iterator[Sample]:
        people: dict[int, list[Person]] = {}
        sizes: dict[int, tuple[int, int]] = {}
        rows: list[_Row] = []
        seen: set[tuple[int, str]] = set()
        if sequence.rows:
            rows = self._rows(sequence)
            for row in rows:
                if sizes.setdefault(row.frame, row.size) != row.size:
                    raise SourceError(f"{sequence.rows}: frame {row.frame} has masks of two sizes: correct one")
                for person in _people(row.instance, row.kind, row.rle, sequence.name, sequence.rows):
                    people.setdefault(row.frame, []).append(person)
                    refuse_twice(seen, row.frame, person.subject, sequence.rows)
            self._compare(sequence, rows)
        else:
            for number in sequence.masks.keys() & sequence.frames.keys():
                mask = self._mask(sequence.masks[number])
                sizes[number] = (mask.shape[1], mask.shape[0])
                people[number] = [
                    person
                    for instance in np.unique(mask[mask > 0]).tolist()
                    for person in _people(
                        instance, instance // 1000, from_mask(mask == instance), sequence.name, sequence.masks[number]
                    )
                ]
        rate = frame_rate(self.root / sequence.folder / "seqinfo.ini")
        for number, file in sequence.frames.items():
            yield Sample(
                printable(file),
                file,
                people=tuple(people.get(number, ())),
                sequence=sequence.name,
                size=sizes.get(number),
                problem=link_problem(self.root, file),
                time=number / rate,
                bodies=number in sizes or number in sequence.masks,
            )

    def _rows(self, sequence: _Sequence) -> list[_Row]:
        """The lines of the run lengths, frames numbered as the files are. Raises SourceError with file and line."""
        file = str(sequence.rows)
        try:
            lines = (self.root / file).read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            raise SourceError(f"{file} cannot be read: expected lines of 'frame id class height width rle'") from None
        found: list[tuple[int, list[str]]] = []
        for number, line in enumerate(lines, start=1):
            parts = line.split()
            if parts and (len(parts) != 6 or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts[:5])):
                hint = ": boxes are of --dataset mot" if line.count(",") > 4 else ""
                expected = f"expected 'frame id class height width rle'{hint}"
                raise SourceError(f"{file} line {number} is {line[:40]!r}: {expected}")
            if parts:
                found.append((number, parts))
        shift = _shift({int(parts[0]) for _, parts in found}, sequence.frames.keys(), file, bool(sequence.masks))
        rows = []
        for number, parts in found:
            frame, instance, kind, height, width = map(int, parts[:5])
            try:
                rle = from_counts(parts[5].encode("ascii"), width, height)
            except ValueError as error:
                raise SourceError(f"{file} line {number}: {error}; correct or remove it") from None
            rows.append(_Row(frame + shift, instance, kind, (width, height), rle, " ".join(parts)))
        return rows

    def _compare(self, sequence: _Sequence, rows: Iterable[_Row]) -> None:
        """Raise SourceError where masks and run lengths, both of them there, tell different things.

        Of every frame: a person whom only one of them knows would not be hidden.
        """
        silhouettes: dict[int, dict[int, Rle]] = {
            number: {} for number in sequence.masks.keys() & sequence.frames.keys()
        }
        for row in rows:
            if row.frame in silhouettes and row.rle:
                silhouettes[row.frame][row.instance] = row.rle
        for number, instances in sorted(silhouettes.items()):
            mask = self._mask(sequence.masks[number])
            painted = np.zeros_like(mask)
            for instance, rle in instances.items():
                if (rle.height, rle.width) == mask.shape:
                    painted[to_mask(rle)] = instance
            if not np.array_equal(mask, painted):
                raise SourceError(
                    f"{sequence.masks[number]} and {sequence.rows} show different instances in frame {number}:"
                    " expected the same; remove the one that is wrong"
                )

    def _mask(self, file: str) -> npt.NDArray[np.uint16]:
        """The instance of every pixel (h, w) of a 16-bit PNG. Raises SourceError."""
        try:
            data = read_regular(self.root / file)
            if isinstance(data, Unreadable):
                raise SourceError(f"{file}: {data.reason}")
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise SourceError(f"{file} has {image.width}x{image.height} pixels: at most {MAX_PIXELS} are read")
                if image.mode not in ("I;16", "I"):
                    raise SourceError(f"{file} has the colour mode {image.mode}: expected a 16-bit grey PNG")
                return np.array(image).astype(np.uint16)
        except SourceError:
            raise
        except Exception:  # Pillow's parsers raise nearly anything on damaged input
            raise SourceError(f"{file} cannot be read as a PNG: restore or remove it") from None


def _is_frame(file: str) -> bool:
    path = PurePosixPath(file)
    return (path.parent.name == "img1" and len(path.parts) > 2) or path.parent.parent.name in _IMAGES


def _folder(images: str) -> str:
    """train/images/0001 → train/0001, train/MOTS20-02/img1 → train/MOTS20-02."""
    path = PurePosixPath(images)
    return (path.parent if path.name == "img1" else path.parent.parent / path.name).as_posix()


def _shift(frames: set[int], files: Iterable[int], file: str, masks: bool) -> int:
    """What to add to the frames of a text so that they are numbered as the files are; either may start at 0 or 1.

    masks: there are some, with which the rows will be compared. Raises SourceError where nothing tells.
    """
    files = set(files)
    shift = 0
    if 0 in frames and 0 not in files:
        shift = 1
    elif 0 in files and 0 not in frames and max(files) + 1 in frames:
        shift = -1
    elif frames and 0 in files and 0 not in frames and not masks:
        raise SourceError(
            f"{file} has no row of frame 0, and none of frame {max(files) + 1}: it may count from 0 or from 1; add the"
            " instances' masks, or number the images as the rows are"
        )
    if frames and not {frame + shift for frame in frames} & files:
        raise SourceError(f"{file} has no row of any frame that is there: expected the numbers of the images")
    return shift


def _people(instance: int, kind: int, rle: Rle | None, sequence: str, where: str) -> Iterator[Person]:
    """The person, or the people of a region to ignore; nobody for cars and for what covers nothing.

    Raises SourceError for any other class, and for one that the instance's number contradicts: it may be of people.
    """
    if kind not in (CAR, PERSON, IGNORE):
        raise SourceError(
            f"{where}: instance {instance} has the class {kind}: expected {CAR} (car), {PERSON} (pedestrian) or"
            f" {IGNORE} (ignore); correct or remove it"
        )
    told = instance // 1000  # KITTI's and MOTSChallenge's numbers begin with the class
    if kind != IGNORE and told in (CAR, PERSON) and told != kind:
        raise SourceError(f"{where}: instance {instance} has the class {kind}: expected {told}; correct one of the two")
    if rle is None:
        return
    if kind == IGNORE or instance == IGNORE * 1000:
        yield Person(body=box_of(rle), silhouette=rle, many=True)
    elif kind == PERSON:
        yield Person(subject=f"{sequence}/{instance}", body=box_of(rle), silhouette=rle)


def _png(mask: npt.NDArray[np.uint16]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "PNG")
    return out.getvalue()
