"""What the adapters of tracking datasets share: folders of numbered frames and seqinfo.ini."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from dsanon.errors import SourceError
from dsanon.naming import Names
from dsanon.sources.plain import plain
from dsanon.sources.stills import is_annotation, printable, write_aside

# words of the benchmarks' own sequences and folders: MOT15 to MOT20, MOTS20, KITTI
_WORDS = frozenset({"mot", "mots", "kitti", "frcnn", "dpm", "sdp", "gt", "det", "txt", "seq", "sequence"}) | {
    *("adl", "rundle", "avg", "towncentre", "eth", "bahnhof", "jelmoli", "linthescher", "crossing", "sunnyday"),
    *("pets", "tud", "campus", "stadtmitte", "venice"),
}
# what a release's seqinfo.ini says, and what that looks like: a line of another form is somebody's own words
_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,9})?"
_SEQINFO = {"name": r"[\w.-]+", "imDir": r"\w+", "frameRate": _NUMBER, "seqLength": _NUMBER} | {
    **{"imWidth": _NUMBER, "imHeight": _NUMBER, "imExt": r"\.[A-Za-z0-9]{1,5}"}
}


def frames_of(files: Iterable[str]) -> dict[str, dict[int, str]]:
    """Folder → frame number → file, folders in order of their names, frames of their numbers. Raises SourceError.

    Frames are named 000001.jpg, or 1.jpg.
    """
    folders: dict[str, dict[int, str]] = {}
    for file in sorted(files, key=printable):
        path = PurePosixPath(file)
        if not (path.stem.isascii() and path.stem.isdigit()):
            raise SourceError(f"{file!r} has no frame number for a name: expected 000001.jpg; rename or remove it")
        frames = folders.setdefault(path.parent.as_posix(), {})
        if frames.setdefault(int(path.stem), file) != file:
            raise SourceError(f"{frames[int(path.stem)]!r} and {file!r} are the same frame: remove one of them")
    return {folder: dict(sorted(frames.items())) for folder, frames in folders.items()}


def sequence_names(folders: Iterable[str]) -> dict[str, str]:
    """Folder → name of the sequence: its last part, or all of it where train/ and test/ share that."""
    last = {folder: PurePosixPath(folder).name for folder in folders}
    often = list(last.values())
    return {folder: printable(name if often.count(name) == 1 else folder) for folder, name in last.items()}


def public_path(file: str, names: Names) -> str:
    """The path of a frame or an annotation file as :func:`public_folder` has it; its suffix stays."""
    path = PurePosixPath(file)
    return public_folder(path.with_suffix("").as_posix(), names) + path.suffix


def public_folder(folder: str, names: Names) -> str:
    """A path with tokens in place of the names that may be somebody's.

    A name has one token in all places: the frames of a sequence, its masks and its rows are found by it.
    """
    return "/".join(part if is_plain(part) else names.token("sequence", part) for part in folder.split("/"))


def is_plain(name: str) -> bool:
    """Whether a folder, or a file without its suffix, may keep its name."""
    return plain(name, _WORDS)


def refuse_twice(seen: set[tuple[int, str]], frame: int, subject: str | None, where: str) -> None:
    """Note that somebody is in a frame. Raises SourceError for a number that is there already, as TrackEval does.

    Two people would be one: of two faces in a frame under one name no track tells which is whose.
    """
    if subject is not None and (frame, subject) in seen:
        raise SourceError(f"{where}: {subject!r} is in frame {frame} twice: give each person a number of their own")
    if subject is not None:
        seen.add((frame, subject))


def read_seqinfo(path: Path) -> dict[str, str]:
    """The section [Sequence] of seqinfo.ini, {} where there is no such file. Raises SourceError."""
    if not is_annotation(path.parent, path):
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
        return dict(parser["Sequence"])
    except (configparser.Error, KeyError, ValueError, OSError):
        where = f"{path.parent.name}/{path.name}"
        raise SourceError(f"{where} has no readable section [Sequence]: correct or remove it") from None


def stated_size(path: Path) -> tuple[int, int] | None:
    """(width, height) that seqinfo.ini states, None where it does not. Raises SourceError."""
    info = read_seqinfo(path)
    if "imWidth" not in info or "imHeight" not in info:
        return None
    width, height = info["imWidth"], info["imHeight"]
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,6}", side) for side in (width, height)):
        raise SourceError(f"{path.parent.name}/{path.name} states {width} x {height} pixels: correct or remove it")
    return int(width), int(height)


def frame_rate(path: Path) -> float:
    """Frames per second that seqinfo.ini states, 30 where it does not, as MOT17's cameras mostly have."""
    try:
        rate = float(read_seqinfo(path).get("frameRate", 30))
    except ValueError:
        rate = 0.0
    if not 0 < rate < 10_000:
        raise SourceError(f"{path.parent.name}/{path.name} states no usable frameRate: correct or remove the line")
    return rate


def publish_seqinfo(root: Path, data: Path, folder: str, frames: Mapping[int, str], names: Names) -> bool:
    """Write seqinfo.ini with the length that the release has; whether the source stated another.

    The length is the last frame's number: the number of frames, and where a frame is missing in between, what
    readers that count from 1 need to reach the others.
    """
    info = read_seqinfo(root / folder / "seqinfo.ini")
    if not info:
        return False
    stated = info.get("seqLength")
    public = public_folder(folder, names)
    info |= {"name": PurePosixPath(public).name, "imDir": "img1", "seqLength": str(max(frames))}
    lines = [f"{key}={info[key]}\n" for key, form in _SEQINFO.items() if re.fullmatch(form, info.get(key, ""))]
    write_aside(data, f"{public}/seqinfo.ini", "".join(["[Sequence]\n", *lines]).encode())
    return stated != info["seqLength"]


def sentences(renamed: int, dropped: int, shortened: bool, left: int) -> Iterator[str]:
    """What CARD.md says of a release of sequences. renamed: sequences"""
    yield "Frame and track numbers are the source's, and so are names of sequences that are numbers and plain words."
    if renamed:
        yield f"The names of {renamed} sequences, which may be somebody's, were replaced by tokens."
    if dropped:
        yield f"{dropped} rows of annotation files were dropped because their frames are not in the release."
    if shortened:
        yield "seqLength in seqinfo.ini was set to the last frame of the release; the source stated another length."
    if left:
        yield f"{left} other files of the source were not released."
