"""Looking at many scenes: by several workers, each with its own instruments, and never twice at one picture."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from dsanon.errors import ReleaseError, UsageError
from dsanon.images import safe_path
from dsanon.progress import Progress
from dsanon.sources.clip import fingerprint as fingerprint_of_clip
from dsanon_eval.crew import Crew
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.case import Scene
from dsanon_eval.seeing.faces import points_of
from dsanon_eval.seeing.observation import Instruments, Observation, Suite, fingerprint, picture_key
from dsanon_eval.seeing.pictures import Means, Studio, made_by

Look = tuple[str, Suite]  # original, release or a control, and by which instruments


@dataclass(frozen=True, slots=True)
class Task:
    """One scene and the looks at it that nobody remembers."""

    scene: Scene
    source: Path
    data: Path
    looks: tuple[Look, ...]
    means: Means = field(default_factory=Means)


class Watcher:
    """Instruments of one process, opened at their first use: it travels before that."""

    def __init__(self) -> None:
        self._instruments = Instruments()
        self._studio = Studio()

    def __call__(self, task: Task) -> list[bytes]:
        """The encoded observations of ``task.looks``, in order."""
        pictures = self._studio.pictures(task.scene, task.source, task.data, task.means)
        recognised = any(suite.recognisers for _, suite in task.looks)
        regions = pictures.regions if recognised else []
        points = [points_of(region, pictures["original"], self._instruments.landmarker) for region in regions]
        looks = [(pictures[kind], suite) for kind, suite in task.looks]
        return [seen.encode() for seen in self._instruments.observe(looks, pictures.regions, points)]


def observe(
    scenes: Iterable[tuple[Scene, tuple[Look, ...]]],
    total: int,
    source: Path,
    data: Path,
    crew: Crew,
    cache: Cache,
    means: Means | None = None,
) -> Iterator[tuple[Scene, dict[Look, Observation]]]:
    """Every scene with its looks, in order. means: for attackers' pictures

    Raises UsageError where a file of SOURCE is missing or is another than the release was made of, ReleaseError where
    one of the release is.
    """
    marks: dict[Suite, str] = {}
    means = means or Means()
    waiting: deque[tuple[Scene, dict[Look, Observation], dict[Look, str]]] = deque()

    def tasks() -> Iterator[tuple[str, Task]]:
        for scene, looks in scenes:
            known, missing = _remembered(scene, looks, source, data, cache, marks, means)
            waiting.append((scene, known, missing))
            if missing:
                yield _name(scene), Task(scene, source, data, tuple(missing), means)

    with Progress("look", total) as progress:
        for seen in chain(crew.each(Watcher(), tasks()), [[]]):  # behind the last result come scenes that are known
            while waiting:
                scene, known, missing = waiting.popleft()
                for (look, key), found in zip(missing.items(), seen if missing else (), strict=True):
                    cache.put(key, found)
                    known[look] = Observation.decode(found)
                progress.add({"samples": 1, "faces": len(scene.faces)})
                yield scene, known
                if missing:
                    break


def _remembered(
    scene: Scene,
    looks: Iterable[Look],
    source: Path,
    data: Path,
    cache: Cache,
    marks: dict[Suite, str],
    means: Means,
) -> tuple[dict[Look, Observation], dict[Look, str]]:
    """What the cache has of the scene, and the keys of the rest; the files must be the very ones of the release."""
    hashed = _sha256 if scene.frame is None else _clip_sha256
    if scene.source_file and hashed(source, scene.source_file) != scene.source_sha256:
        raise UsageError(
            f"{scene.source_file} is not in {source}, or not as it was: name the SOURCE the release was made from"
        )
    if hashed(data, scene.release_file) != scene.output_sha256:
        raise ReleaseError(f"data/{scene.release_file} is missing or was altered: make the release anew")
    regions = [face.region for face in scene.faces]
    known: dict[Look, Observation] = {}
    missing: dict[Look, str] = {}
    for kind, suite in looks:
        mark = marks[suite] = marks.get(suite) or fingerprint(suite)
        digest = scene.output_sha256 if "release" in kind.split() else scene.source_sha256
        digest += "" if scene.frame is None else f" {scene.frame}"
        made = made_by(kind, means, [face.status for face in scene.faces], scene.faces[0].scope)
        key = picture_key(digest, made, regions, mark)
        stored = cache.get(key)
        if stored is None:
            missing[kind, suite] = key
        else:
            known[kind, suite] = Observation.decode(stored)
    return known, missing


def _sha256(root: Path, file: str) -> str:
    path = root / file
    if not safe_path(file) or path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _clip_sha256(root: Path, file: str) -> str:
    """Of a video; remembered from frame to frame, for as long as the file does not change."""
    path = root / file
    if not safe_path(file) or path.is_symlink() or not path.is_file():
        return ""
    return fingerprint_of_clip(path)


def _name(scene: Scene) -> str:
    """What the user looks into when it cannot be looked at."""
    frame = "" if scene.frame is None else f" (frame {scene.frame})"
    return f"data/{scene.release_file}" + (f" or its source {scene.source_file}" if scene.source_file else "") + frame
