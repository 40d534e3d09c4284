"""CelebA: numbered images of celebrities, with identity, partition, landmark, box and attribute lists.

Both layouts are read: flat (img_align_celeba/ beside the lists, as torchvision has it) and official (Img/, Anno/,
Eval/). Any subset of images and lists will do. Image numbers are kept; identity numbers are replaced under the key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Box, Person, Sample
from dsanon.sources.stills import IMAGE_SUFFIXES, StillSource, check_targets, printable, write_aside
from dsanon.storage import Bucket

ALIGNED = ("img_align_celeba", "img_align_celeba_png")
FOLDERS = (*ALIGNED, "img_celeba")
IDENTITY = "identity_CelebA.txt"
ATTRIBUTES = "list_attr_celeba.txt"
# name → (lines before the rows, numbers in a row; None: as many as the second line names)
LISTS: dict[str, tuple[int, int | None]] = {
    IDENTITY: (0, 1),
    "list_eval_partition.txt": (0, 1),
    "list_landmarks_align_celeba.txt": (2, 10),
    "list_landmarks_celeba.txt": (2, 10),
    "list_bbox_celeba.txt": (2, 4),
    ATTRIBUTES: (2, None),
}
IDENTITIES = 10_177
LARGEST = 1_000_000  # no identity, pixel or mark is beyond; numbers of identities are shuffled up to the largest

# Names of columns that a release keeps; others may be somebody's
COLUMNS = frozenset({"image_id", "x_1", "y_1", "width", "height"}) | {
    *(f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"),
    *("5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose"),
    *("Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses"),
    *("Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache"),
    *("Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks"),
    *("Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick"),
    *("Wearing_Necklace", "Wearing_Necktie", "Young"),
}

_NUMBERED = re.compile(f"[0-9]+({'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})", re.ASCII | re.IGNORECASE)
# A line as CelebA has it; another, of numbers that Python reads as well (1_000), is written anew
_LINE = re.compile(r"\S+([ \t]+-?[0-9]+)*", re.ASCII)

Points = tuple[tuple[float, float], ...]

# Aligned images are warped onto these points (means over 5,736 images; they vary by 2 to 5 pixels)
_SIZE = (178, 218)
_ALIGNED: Points = ((70.5, 112.5), (107.6, 112.5), (88.8, 134.0), (72.2, 151.7), (105.8, 151.6))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a list. stem: the image's number, whatever its suffix · line: its text, of a name and numbers."""

    stem: str
    numbers: tuple[int, ...]
    line: str


class CelebaSource(StillSource):
    """CelebA; SOURCE holds img_align_celeba/ (or Img/img_align_celeba/) and the lists."""

    dataset = "celeba"

    def __init__(self, root: Path | Bucket) -> None:
        super().__init__(root)
        places = [f"{outer}{name}" for outer in ("", "Img/") for name in FOLDERS]
        self.folders = [f"{place}/" for place in places if self.tree.has_folder(place)]
        if not self.folders:
            raise SourceError(
                f"no img_align_celeba/, Img/img_align_celeba/ or img_celeba/ in {self.tree.where!r}:"
                " expected the folder that contains it and the lists"
            )

    def samples(self) -> list[Sample]:
        """Every image, with identity and landmarks where the lists have them. Raises SourceError."""
        rows = {path.name: {row.stem: row for row in read_list(path)} for path in self.inputs()}
        images = self._images()
        if not images:
            raise SourceError(f"no image in {self.folders[0]}: expected 000001.jpg and so on")
        check_targets(file for file in images if self._is_numbered(file))
        self._check_alignment(images, rows.get("list_landmarks_align_celeba.txt", {}))
        return [self._sample(file, rows) for file in images]

    def target(self, sample: Sample, names: Names) -> str:
        """The sample's own path, which holds a number only; a token for what is named otherwise (quarantined)."""
        if self._is_numbered(sample.file):
            return sample.file
        return names.token("celeba", sample.file) + sample.file[sample.file.rindex(".") :]

    def inputs(self) -> list[Path]:
        """The lists that are there."""
        places = [f"{outer}{name}" for name in LISTS for outer in ("", "Anno/", "Eval/")]
        return [self.tree.local(place) for place in places if self.tree.has_annotation(place)]

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Write the lists' rows of the released images, with identity numbers of the release's own."""
        stems = {_stem(sample.file) for sample in released}
        sentences = ["Image numbers are CelebA's own: who has CelebA can put an image beside its original."]
        for path in self.inputs():
            rows = read_list(path)
            kept = [row for row in rows if row.stem in stems]
            lines = [row.line for row in kept]
            if path.name == IDENTITY:
                new = names.permutation(range(1, max([IDENTITIES, *(row.numbers[0] for row in rows)]) + 1), "celeba")
                lines = [f"{row.line.split()[0]} {new[row.numbers[0]]}" for row in kept]
                sentences.append("Identity numbers were replaced by others, one for each person.")
            if path.name == ATTRIBUTES:
                sentences.append(
                    f"{ATTRIBUTES} describes the original faces (nose, chin, age, hair …), which may not be true of"
                    " the released ones and tells something of the original people."
                )
            if LISTS[path.name][0]:
                header, renamed = public_header(_text(path)[1])
                lines = [str(len(kept)), header, *lines]
                if renamed:
                    sentences.append(
                        f"{path.name}: {renamed} columns whose names are not CelebA's are called by their places"
                        " (attribute_1 …)."
                    )
            content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
            write_aside(data, path.relative_to(self.root).as_posix(), content)
            if len(kept) < len(rows):
                sentences.append(f"{path.name}: {len(kept)} of {len(rows)} rows, those of the released images.")
        images, others = self.tree.walk()
        uncopied = len(images) + len(others) - len(self._images()) - len(self.inputs())
        if uncopied:
            sentences.append(f"{uncopied} other files of the source were not copied.")
        return sentences

    def _images(self) -> list[str]:
        return [file for file in self.tree.walk()[0] if file.startswith(tuple(self.folders))]

    def _is_numbered(self, file: str) -> bool:
        folder, name = file[: file.rindex("/") + 1], file[file.rindex("/") + 1 :]
        return folder in self.folders and _NUMBERED.fullmatch(name) is not None

    def _sample(self, file: str, rows: dict[str, dict[str, Row]]) -> Sample:
        stem, aligned = _stem(file), _is_aligned(file)
        problem = self.tree.problem(file)
        if not self._is_numbered(file):
            problem = problem or "not named 000001.jpg as CelebA's images are: rename or remove it"
        identity = rows.get(IDENTITY, {}).get(stem)
        landmarks = rows.get(f"list_landmarks_{'align_' if aligned else ''}celeba.txt", {}).get(stem)
        bbox = None if aligned else rows.get("list_bbox_celeba.txt", {}).get(stem)
        points = _points(landmarks.numbers) if landmarks else ()
        head: Box | None = None
        prior: Box | None = None
        if points:
            head = head_box(points)
        elif bbox:
            x, y, width, height = bbox.numbers
            head = (x, y, x + width, y + height)
        elif aligned and not problem:
            x0, y0, x1, y1 = head_box(_ALIGNED)
            prior = x0 / _SIZE[0], y0 / _SIZE[1], x1 / _SIZE[0], y1 / _SIZE[1]
        return Sample(
            printable(file),
            file,
            (Person(str(identity.numbers[0]) if identity else None, head=head, head_share=prior, points=points),),
            size=_SIZE if aligned and points else None,
            someone=True,
            problem=problem,
        )

    def _check_alignment(self, images: list[str], landmarks: dict[str, Row]) -> None:
        for file in images:
            if _is_aligned(file) and _stem(file) in landmarks and self.tree.problem(file) is None:
                found = self.tree.size(file)
                if found is None:
                    continue
                if found != _SIZE:
                    raise SourceError(
                        f"{file} has {found[0]}x{found[1]} pixels, but list_landmarks_align_celeba.txt is for 178x218:"
                        " use the images as CelebA has them, or move that list away"
                    )
                return


def read_list(path: Path) -> list[Row]:
    """The rows of one of the ``LISTS``. Raises SourceError with the line that is malformed."""
    header, count = LISTS[path.name]
    lines = _text(path)
    if header:
        if len(lines) < header or not lines[0].strip().isdigit():
            raise SourceError(f"{path.name} line 1: {lines[0][:40]!r}: expected the number of images, then the columns")
        count = len(lines[1].split()) if count is None else count
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines[header:], header + 1):
        fields = line.split()
        if not fields:
            continue
        try:
            numbers = tuple(map(int, fields[1:]))
        except ValueError:
            numbers = ()
        if len(numbers) != count or max(map(abs, numbers), default=0) > LARGEST or not _NUMBERED.fullmatch(fields[0]):
            raise SourceError(
                f"{path.name} line {number}: {line.strip()[:40]!r}: expected 000001.jpg and {count} whole numbers"
                f" up to {LARGEST}"
            )
        if path.name == IDENTITY and numbers[0] < 1:
            raise SourceError(f"{path.name} line {number}: identity {numbers[0]}: expected 1 or more")
        text = line.rstrip()
        if not _LINE.fullmatch(text):
            text = " ".join([fields[0], *map(str, numbers)])
        row = Row(_stem(fields[0]), numbers, text)
        if rows.setdefault(row.stem, row) is not row:
            raise SourceError(f"{path.name} line {number}: {fields[0]!r} has a row already: remove one of them")
    return list(rows.values())


def public_header(line: str) -> tuple[str, int]:
    """The names of columns as a release has them, and how many of them are not CelebA's."""
    words = line.split()
    said = [word if word in COLUMNS else f"attribute_{place}" for place, word in enumerate(words, 1)]
    renamed = sum(new != old for new, old in zip(said, words, strict=True))
    return (" ".join(said) if renamed else line.rstrip()), renamed


def head_box(points: Points) -> Box:
    """The head's box from five points (x, y), also of a turned or tilted head.

    Measured on 349 images: in units of the larger of eye distance and eye-to-mouth distance around the middle
    between both, 98 % of the faces (CenterFace's box and dlib's 68 landmarks) reach less than 1.65 to either side,
    2.0 up and 1.65 down.
    """
    left, right, _, *mouth = points
    eyes = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
    lips = ((mouth[0][0] + mouth[1][0]) / 2, (mouth[0][1] + mouth[1][1]) / 2)
    down = (lips[0] - eyes[0], lips[1] - eyes[1])
    length = (down[0] ** 2 + down[1] ** 2) ** 0.5
    unit = max(length, ((right[0] - left[0]) ** 2 + (right[1] - left[1]) ** 2) ** 0.5)
    dx, dy = (down[0] / length, down[1] / length) if length else (0.0, 1.0)
    x, y = (eyes[0] + lips[0]) / 2, (eyes[1] + lips[1]) / 2
    corners = [
        (x + unit * (along * dx - across * dy), y + unit * (along * dy + across * dx))
        for along in (-2.05, 1.7)
        for across in (-1.7, 1.7)
    ]
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    return (min(xs), min(ys), max(xs), max(ys))


def _points(numbers: tuple[int, ...]) -> Points:
    """CelebA's "left" is the viewer's; where a row has it the other way round, the points are put right by x."""
    points = [(float(x), float(y)) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    return (*sorted(points[:2]), points[2], *sorted(points[3:]))


def _is_aligned(file: str) -> bool:
    return file.rsplit("/", 2)[-2] in ALIGNED


def _stem(file: str) -> str:
    return file.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _text(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").split("\n")
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}") from None
