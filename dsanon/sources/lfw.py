"""Labeled Faces in the Wild: NAME/NAME_0001.jpg and the protocol files pairs.txt, people.txt and their kin.

Names, image numbers and the order of the official files are public, so all three are replaced under the key:
a name by a pseudonym, the numbers of a person's images by 1, 2, … in a keyed order, the lines by the order of
the pseudonyms, and the folds of a view by a keyed order of folds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sample import Person, Sample
from dsanon.sources.plain import plain
from dsanon.sources.stills import StillSource, printable, write_aside
from dsanon.sources.tree import Tree
from dsanon.storage import Bucket

PAIRS = ("pairs.txt", "pairsDevTrain.txt", "pairsDevTest.txt")
PEOPLE = ("people.txt", "peopleDevTrain.txt", "peopleDevTest.txt")

# Every face is centred. Of 900 deep-funneled images, 99.3 % of the central faces (CenterFace's box and dlib's
# 68 landmarks) lie inside this box of the 250 × 250 pixels.
_PRIOR = (40 / 250, 36 / 250, 210 / 250, 224 / 250)

_IMAGE = re.compile(r"(?P<person>[^/]+)/(?P=person)_(?P<number>\d{4,})\.[^./]+")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images (person and number each), of one person or of two."""

    first: str
    i: int
    second: str
    j: int
    same: bool


class LfwSource(StillSource):
    """LFW; SOURCE holds the folder of people and the protocol files, or is the folder of people itself."""

    dataset = "lfw"

    def __init__(self, root: Path | Bucket) -> None:
        super().__init__(root)
        if _has_people(self.tree, ""):
            self.folder = ""
        else:
            found = [folder[:-1] for folder in _folders(self.tree) if _has_people(self.tree, folder)]
            if len(found) != 1:
                which = " and ".join(map(printable, found)) or "no folder"
                raise SourceError(
                    f"found {which} with NAME/NAME_0001.jpg in {self.tree.where!r}:"
                    " expected one, such as lfw-deepfunneled/ beside pairs.txt; or name the folder of people itself"
                )
            self.folder = f"{found[0]}/"
        self._numbers: dict[str, list[int]] = {}

    def samples(self) -> list[Sample]:
        """Every image, with the head where LFW centres it. Raises SourceError, for a wrong protocol file too."""
        for path in self.inputs():  # a malformed one must not come to light after hours
            _ = parse_pairs(path) if path.name in PAIRS else parse_people(path)
        images, _ = self.tree.walk()
        samples = [self._sample(file) for file in images if file.startswith(self.folder)]
        if not samples:
            raise SourceError(f"no image in {self.tree.where + '/' + self.folder!r}: expected NAME/NAME_0001.jpg")
        self._check_names(samples)
        return sorted(samples, key=lambda sample: sample.id)

    def target(self, sample: Sample, names: Names) -> str:
        """``<folder>/<pseudonym>/<pseudonym>_0001.jpg``, the number in a keyed order of the person's images."""
        suffix = sample.file[sample.file.rindex(".") :]
        named = _named(self.folder, sample.file)
        outer = self.folder if plain(self.folder) else names.token("lfw folder", self.folder) + "/"
        if named is None:  # quarantined
            return f"{outer}{names.token('lfw', sample.file)}{suffix}"
        person, number = named
        pseudonym = names.subject("dataset", printable(person))
        return f"{outer}{pseudonym}/{pseudonym}_{self._renumbered(person, names)[number]:04d}{suffix}"

    def inputs(self) -> list[Path]:
        """The protocol files that are there."""
        return [self.tree.local(name) for name in PAIRS + PEOPLE if self.tree.has_annotation(name)]

    def publish(self, data: Path, released: Sequence[Sample], names: Names) -> list[str]:
        """Rewrite the protocol files under pseudonyms, with the released images only."""
        numbers: dict[str, dict[int, int]] = {}
        for sample in released:
            named = _named(self.folder, sample.file)
            if named is not None:
                person, number = named
                numbers.setdefault(person, {})[number] = self._renumbered(person, names)[number]
        sentences = [
            "Folders, file names and protocol files carry pseudonyms in place of people's names, the images of each"
            " person are renumbered, and the lines of the protocol files and their folds stand in a secret order.",
            "How many images a person has and which of them are paired is as in the public LFW, which can tell who"
            " is meant by the pseudonym of a person with many images.",
        ]
        gaps = sum(max(new.values()) > len(new) for new in numbers.values())
        if gaps:
            sentences.append(
                f"The images of {gaps} people are numbered among all that the source has of them, of which the release"
                " has a part: the numbers tell that there are more, and may tell how many."
            )
        for path in self.inputs():
            rewrite = _rewrite_pairs if path.name in PAIRS else _rewrite_people
            text, sentence = rewrite(path, numbers, names)
            if text:
                write_aside(data, path.name, text.encode())
            sentences.append(sentence)
        images, others = self.tree.walk()
        uncopied = len(others) + sum(not file.startswith(self.folder) for file in images) - len(self.inputs())
        if uncopied:
            sentences.append(f"{uncopied} other files of the source were not copied.")
        return sentences

    def _check_names(self, samples: Iterable[Sample]) -> None:
        """Raise SourceError where two images would have one name in the release, or one none that it can hold."""
        if printable(self.folder) != self.folder:
            raise SourceError(f"{self.folder!r} is no UTF-8, as which the manifest names files: rename the folder")
        seen: dict[tuple[str, int] | str, str] = {}
        for sample in samples:
            named = _named(self.folder, sample.file)
            name = sample.id if named is None else (printable(named[0]), named[1])
            other = seen.setdefault(name, sample.file)
            if other != sample.file:
                raise SourceError(f"{other!r} and {sample.file!r} are the same image of a person: rename or remove one")

    def _sample(self, file: str) -> Sample:
        named = _named(self.folder, file)
        problem = self.tree.problem(file)
        if named is None:
            problem = problem or "not named NAME/NAME_0001.jpg as LFW's images are: rename or remove it"
        subject = None if named is None else printable(named[0])
        return Sample(printable(file), file, (Person(subject, head_share=_PRIOR),), someone=True, problem=problem)

    def _renumbered(self, person: str, names: Names) -> dict[int, int]:
        """Image number on disk → released number, 1 … n in a keyed order: a gap of the source's would tell who it is.

        Of all that are on disk: whoever writes one shard does not know which images the others release.
        """
        if person not in self._numbers:
            files = self.tree.children(f"{self.folder}{person}/")
            matches = [_IMAGE.fullmatch(f"{person}/{file}") for file in files]
            self._numbers[person] = sorted({int(match["number"]) for match in matches if match})
        keyed = names.order(self._numbers[person], "lfw image", person)
        return {number: new for new, number in enumerate(keyed, 1)}


def pairs_people(path: Path) -> set[str]:
    """The names that a pairs file mentions: nobody of them may train what is evaluated on it."""
    return {name for fold in parse_pairs(path) for pair in fold for name in (pair.first, pair.second)}


def parse_pairs(path: Path) -> list[list[Pair]]:
    """The folds of a pairs file: a header ``folds<TAB>n`` (or ``n``, one fold), then 2 n pairs a fold.

    Raises SourceError, with the line, for anything else.
    """
    lines = _lines(path)
    header = _integers(path, lines[0], "the number of folds and of pairs in each", (1, 2))
    folds, n = header if len(header) == 2 else [1, header[0]]
    if len(lines) - 1 != folds * n * 2:
        raise SourceError(f"{path.name}: {len(lines) - 1} pairs, but its first line promises {folds} x 2 x {n}")
    pairs = [_pair(path, line) for line in lines[1:]]
    return [pairs[start : start + 2 * n] for start in range(0, len(pairs), 2 * n)] if n else []


def parse_people(path: Path) -> list[list[str]]:
    """The names in each set: in people.txt the number of sets, then for each ``n`` and n times ``NAME<TAB>count``.

    peopleDev*.txt have one set. The counts are those of the full LFW and are not checked.
    Raises SourceError, with the line.
    """
    lines = _lines(path)
    sets, at = 1, 0
    if path.name == "people.txt":
        sets, at = _integers(path, lines[0], "the number of sets", (1,))[0], 1
    found: list[list[str]] = []
    for _ in range(sets):
        if at >= len(lines):
            raise SourceError(f"{path.name}: {len(found)} sets, but its first line promises {sets}")
        n = _integers(path, lines[at], "the number of people in the set", (1,))[0]
        rows = lines[at + 1 : at + 1 + n]
        if len(rows) != n:
            raise SourceError(f"{path.name} line {lines[at][0]}: promises {n} people, {len(rows)} follow")
        for number, fields in rows:
            if len(fields) != 2 or not _is_count(fields[1]):
                raise SourceError(f"{path.name} line {number}: {' '.join(fields)!r}: expected NAME<TAB>COUNT")
        found.append([fields[0] for _, fields in rows])
        at += 1 + n
    if at != len(lines):
        raise SourceError(f"{path.name} line {lines[at][0]}: more lines than its headers promise")
    return found


T = TypeVar("T")
Line = tuple[int, list[str]]  # line number from 1, fields


def _lines(path: Path) -> list[Line]:
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}") from None
    lines = [(number, line.split()) for number, line in enumerate(text.split("\n"), 1)]
    lines = [line for line in lines if line[1]]
    if not lines:
        raise SourceError(f"{path.name} is empty: expected one of LFW's protocol files, or none")
    return lines


def _integers(path: Path, line: Line, what: str, lengths: tuple[int, ...]) -> list[int]:
    number, fields = line
    if len(fields) not in lengths or not all(map(_is_number, fields)):
        raise SourceError(f"{path.name} line {number}: {' '.join(fields)!r}: expected {what}")
    return [int(field) for field in fields]


def _pair(path: Path, line: Line) -> Pair:
    number, fields = line
    match fields:
        case [name, i, j] if _is_count(i) and _is_count(j):
            return Pair(name, int(i), name, int(j), same=True)
        case [first, i, second, j] if _is_count(i) and _is_count(j):
            return Pair(first, int(i), second, int(j), same=False)
    raise SourceError(
        f"{path.name} line {number}: {' '.join(fields)!r}:"
        " expected NAME<TAB>IMAGE<TAB>IMAGE or NAME<TAB>IMAGE<TAB>NAME<TAB>IMAGE"
    )


def _is_count(field: str) -> bool:
    return _is_number(field) and int(field) > 0


def _is_number(field: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", field) is not None


def _rewrite_pairs(path: Path, numbers: dict[str, dict[int, int]], names: Names) -> tuple[str, str]:
    """The released pairs file ('' where no fold has a pair of each kind left), and the sentence about it."""
    folds = parse_pairs(path)
    kept = [
        [pair for pair in fold if pair.same == same and pair.i in numbers.get(pair.first, {})
         and pair.j in numbers.get(pair.second, {})]
        for fold in _keyed_folds(folds, names)
        for same in (True, False)
    ]  # fmt: skip
    n = min(map(len, kept), default=0)
    before = sum(map(len, folds))
    if n == 0:
        return "", f"{path.name} was left out: too few of its {before} pairs have both images in the release."
    lines = [f"{n}\n" if path.name != "pairs.txt" else f"{len(folds)}\t{n}\n"]
    for pairs in kept:
        chosen = names.order(pairs, "lfw pairs", path.name)[:n]  # which are cut must not follow the public order
        lines += sorted(_pair_line(pair, numbers, names) for pair in chosen)
    sentence = f"{path.name}: {before} pairs in the source, {n * len(kept)} in the release, {n} of each kind in a fold."
    return "".join(lines), sentence


def _pair_line(pair: Pair, numbers: dict[str, dict[int, int]], names: Names) -> str:
    first, second = (names.subject("dataset", printable(name)) for name in (pair.first, pair.second))
    i, j = numbers[pair.first][pair.i], numbers[pair.second][pair.j]
    if pair.same:
        return f"{first}\t{min(i, j)}\t{max(i, j)}\n"
    if names.number(2, "lfw swap", str(pair)):
        first, i, second, j = second, j, first, i
    return f"{first}\t{i}\t{second}\t{j}\n"


def _rewrite_people(path: Path, numbers: dict[str, dict[int, int]], names: Names) -> tuple[str, str]:
    sets = parse_people(path)
    kept = [[name for name in people if name in numbers] for people in _keyed_folds(sets, names)]
    before, after = sum(map(len, sets)), sum(map(len, kept))
    if after == 0:
        return "", f"{path.name} was left out: nobody of it is in the release."
    lines = [f"{len(sets)}\n"] if path.name == "people.txt" else []
    for people in kept:
        lines.append(f"{len(people)}\n")
        lines += sorted(f"{names.subject('dataset', printable(name))}\t{len(numbers[name])}\n" for name in people)
    return "".join(lines), f"{path.name}: {before} people in the source, {after} in the release, with its image counts."


def _keyed_folds(folds: list[list[T]], names: Names) -> list[list[T]]:
    return [folds[i] for i in names.order(range(len(folds)), "lfw fold")]


def _named(folder: str, file: str) -> tuple[str, int] | None:
    match = _IMAGE.fullmatch(file.removeprefix(folder))
    return (match["person"], int(match["number"])) if match else None


def _has_people(tree: Tree, folder: str) -> bool:
    return any(
        _IMAGE.fullmatch(person + image)
        for person in _folders(tree, folder)
        for image in tree.children(folder + person)
    )


def _folders(tree: Tree, folder: str = "") -> list[str]:
    return [name for name in tree.children(folder) if name.endswith("/")]
