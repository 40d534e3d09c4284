"""Words of the source that a release must not say: names of files, folders and people, captions, links, places.

Names are compared as their letters and digits alone, in lower case: Aaron_Eckhart, "aaron eckhart", AARON-ECKHART and
AaronEckhart are one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from dsanon.sources.coco_release import CAPTION
from dsanon.sources.sequences import is_plain
from dsanon.sources.stills import IMAGE_SUFFIXES
from dsanon.sources.video import SUFFIXES as CLIP_SUFFIXES
from dsanon_eval.leaks.opened import PSEUDONYMOUS, batches

_LINKS = frozenset({"flickr_url", "coco_url", "date_captured"})
_MOST_WORDS = 6  # of a name
_LEAST = 4  # letters and digits of a name that is looked for
_WORD = re.compile(r"[^\W_]+")
_RUN = re.compile(r"[^\W_]+(?:(?:[ _.\-+']|%20){1,2}[^\W_]+)*")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.){4,4096})"')
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_MOST_BYTES = 1 << 26  # of CelebA's list of identities, which has 4 MB
_CHUNK, _OVERLAP = 1 << 20, 1 << 13


@dataclass(frozen=True, slots=True)
class Words:
    """names: whole names · people: those of them that are labels of people · parts: of names, each enough in a path

    sayings: captions, links, whole strings · places: where the source lies on its machine, as bytes
    """

    names: frozenset[str] = frozenset()
    people: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    sayings: frozenset[str] = frozenset()
    places: tuple[bytes, ...] = ()


def gather(dataset: str, source: Path, files: Iterable[str], subjects: Iterable[str]) -> Words:
    """The words of a source. files: its paths · subjects: the labels of its people."""
    names, people, parts = set(), set(), set()
    kept = set()  # what even a pseudonymous release takes over: LFW's outer folder and its lists
    components: set[str] = set()
    for file in files:
        path = PurePosixPath(file)
        if dataset == "lfw":
            kept |= {_joined(path.parts[0]), _joined(PurePosixPath(path.parts[0]).stem)}
        if dataset in PSEUDONYMOUS:
            components |= {*path.parts[:-1], path.name, path.stem}
        elif dataset in ("mot", "mots"):  # sequences keep names of numbers and plain words
            components |= {part for part in path.parts[:-1] if not is_plain(part)}
    labels = {label for label in subjects if not re.fullmatch(r".*/\d+|\d+", label)}
    for component in components | labels:
        words = _words(component)
        joined = "".join(words)
        if len(joined) >= _LEAST and not joined.isdecimal() and joined not in kept:
            names.add(joined)
            if component in labels and len(words) > 1:
                people.add(joined)
            parts |= {word for word in words if len(word) >= _LEAST and word.isalpha()}
    parts -= {part for name in kept for part in (name, *_words(name))}
    parts -= {suffix.lstrip(".") for suffix in (*IMAGE_SUFFIXES, *CLIP_SUFFIXES)}
    places = {str(source).encode(), str(source.absolute()).encode(), str(source.resolve()).encode()}
    sayings = _sayings(source) if dataset == "coco" else frozenset()
    where = tuple(sorted(place for place in places if place.count(b"/") > 1))
    return Words(frozenset(names), frozenset(people), frozenset(parts), sayings, where)


def in_path(words: Words, name: str) -> list[str]:
    """What the path of a released file gives away."""
    if "/" not in name:  # the fixed names: CARD.md is nobody's card
        return []
    runs = [run for component in name.split("/")[1:] for run in _runs(component)]
    if any(joined in words.names for run in runs for joined, _ in _grams(run)):
        return ["its path has a name of the source: rename it"]
    if any(word in words.parts for run in runs for word in run):
        return ["its path has a part of a name of the source: rename it"]
    return []


def in_text(words: Words, path: Path, name: str) -> list[str]:
    """What the text of a released file (or the strings of a table) gives away."""
    annotation = name.startswith("data/")
    own = frozenset() if annotation else own_words()  # a card is made of words, a list of pseudonyms is not
    out: dict[str, None] = {}
    for raw in texts(path):
        if any(place in raw for place in words.places):
            out["it says where the source lies on its machine: remove the path"] = None
        text = raw.decode("utf-8", "replace")
        if "\\u" in text:
            text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        quoted = set(_QUOTED.findall(text))
        if quoted & _LINKS:
            out["it has links to the originals, or their dates (flickr_url, coco_url, date_captured): drop them"] = None
        if quoted & words.sayings:
            out["it repeats a caption, link or description of the source: drop it"] = None
        if not words.names:
            continue
        for run in _runs(text):
            for joined, parts in _grams(run):
                # a file's name of words that dsanon itself uses ("image 1") may be prose; a person's is never
                if joined in words.names and (joined in words.people or not all(_prosaic(p, own) for p in parts)):
                    out["it has a name of the source: replace it by a pseudonym"] = None
            if annotation and any(word in words.parts for word in run):
                out["it has a part of a name of the source: replace it by a pseudonym"] = None
    return list(out)


def texts(path: Path) -> Iterator[bytes]:
    """A file's bytes piece by piece, each with the end of the one before; of Parquet the strings and the schema."""
    if path.suffix == ".parquet":
        yield from _table_texts(path)
        return
    with path.open("rb") as file:
        before = b""
        while piece := file.read(_CHUNK):
            yield before + piece
            before = piece[-_OVERLAP:]


def same_identities(source: Path, release: Path) -> bool:
    """Whether CelebA's identity numbers came through unchanged: more rows alike than chance leaves (1 of 10,177)."""
    before, after = (_identity_rows(folder) for folder in (source, release / "data"))
    same = {file for file, number in after.items() if before.get(file) == number}
    return len({after[file] for file in same}) >= max(2, len(set(after.values())) // 10)


def _identity_rows(folder: Path) -> dict[str, str]:
    rows: dict[str, str] = {}
    for path in (folder / "identity_CelebA.txt", folder / "Anno" / "identity_CelebA.txt"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MOST_BYTES:
            with path.open(encoding="utf-8", errors="replace") as lines:
                rows.update(fields for line in lines if len(fields := line[:200].split()) == 2)  # type: ignore[misc]
    return rows


def _table_texts(path: Path) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        schema = pq.read_schema(file)
    metadata = [item for pair in (schema.metadata or {}).items() for item in pair]
    yield b"\n".join([*(name.encode() for name in schema.names), *metadata])
    for batch in batches(path):
        for column in batch.columns:
            if re.match("(large_)?(string|binary)|fixed_size_binary", str(column.type)):
                values = (v if isinstance(v, bytes) else str(v).encode() for v in column.unique().to_pylist() if v)
                yield b"\n".join(values)


def _sayings(source: Path) -> frozenset[str]:
    """Every string of COCO's json files that a release drops: links, dates, captions, contributors."""
    found: set[str] = set()
    for path in [*source.glob("*.json"), *source.glob("annotations/*.json")]:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if not isinstance(content, dict):
            continue
        for part in ("images", "annotations"):
            entries = content.get(part)
            for entry in entries if isinstance(entries, list) else []:
                if isinstance(entry, dict):
                    found |= {v for k, v in entry.items() if isinstance(v, str) and k != "file_name"}
        info: Any = content.get("info")
        if isinstance(info, dict):
            kept = ("description", "version", "year")
            found |= {v for k, v in info.items() if isinstance(v, str) and k not in kept}
    as_written = {json.dumps(text)[1:-1] for text in found} | {json.dumps(t, ensure_ascii=False)[1:-1] for t in found}
    return frozenset(text for text in found | as_written if len(text) >= _LEAST and text != CAPTION)


@lru_cache(maxsize=1)
def own_words() -> frozenset[str]:
    """Every word of dsanon's own sources: its cards and reports are made of them, so that alone they tell nothing."""
    import dsanon
    import dsanon_eval

    folders = [Path(file).parent for module in (dsanon, dsanon_eval) if (file := module.__file__)]
    text = " ".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    return frozenset(_words(text))


def _joined(name: str) -> str:
    return "".join(_words(name))


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text.replace("%20", " ")).casefold())


def _runs(text: str) -> Iterator[list[str]]:
    """The words of each stretch without other signs than those that names are joined by; numbers alone are none."""
    for match in _RUN.finditer(text):
        run = match[0]
        if not run.replace(".", "").replace("-", "").isdecimal():
            yield _words(run)


def _grams(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    for start in range(len(words)):
        for end in range(start + 1, min(start + _MOST_WORDS, len(words)) + 1):
            yield "".join(words[start:end]), words[start:end]


def _prosaic(word: str, own: frozenset[str]) -> bool:
    return word in own or (word.isdecimal() and len(word) < 3)
