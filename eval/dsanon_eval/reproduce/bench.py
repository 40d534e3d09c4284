"""The workbench: every instrument that is usable here, and what it sees of known faces, never twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache as once
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsanon import shape_model
from dsanon.detectors import DETECTORS
from dsanon.landmarks import Landmarker
from dsanon.methods.ciagan import Painter
from dsanon.models import store
from dsanon.plan import Control
from dsanon.render import Treatment
from dsanon.sample import Pixels, Sample
from dsanon_eval.attacks.disjoint import attackers
from dsanon_eval.crew import Crew
from dsanon_eval.networks import recognisers
from dsanon_eval.reproduce.shown import painted
from dsanon_eval.seeing.cache import Cache
from dsanon_eval.seeing.code import PAINTING, digest
from dsanon_eval.seeing.faces import control, points_of
from dsanon_eval.seeing.known_faces import KnownFace, find
from dsanon_eval.seeing.observation import FEATURES, Instruments, Observation, Suite, fingerprint, picture_key, usable
from dsanon_eval.seeing.remembered import remembered

SLOW = ("mmod",)  # a second a photo: the other detectors say the same
ORIGINAL, PAINTED = "original", "painted"
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Look:
    """One picture to see: the photo of ``face`` as ``kind`` has it.

    kind: original, a name of ``CONTROLS``, or painted: by the generator ``weights``, under ``vector``
    """

    face: KnownFace
    kind: str
    weights: Path | None = None
    vector: Control | None = None


class Bench:
    """Instruments, cache and who looks. notes: on instruments whose weights are not here · crew: this process"""

    def __init__(self, cache: Cache, crew: Crew | None = None) -> None:
        detectors, some = usable([name for name in DETECTORS if name not in SLOW])
        self.recognisers, more = usable(recognisers.RECOGNISERS)
        features, without = usable((FEATURES,))
        self.notes = some + more + without
        self.cache, self.crew = cache, crew or Crew()
        self.everything = Suite(tuple(detectors), tuple(self.recognisers), features=bool(features), landmarks=True)
        self.recognition = Suite((), tuple(self.recognisers))

    def admit(self, faces: Iterable[KnownFace], generators: Iterable[Path]) -> None:
        """Take in the recognisers that may be asked for these people only because they never learned from them.

        generators: files of those that will paint. Raises WeightsError.
        """
        self.recognisers, notes = attackers({face.person.partition("/")[2] for face in faces}, generators)
        self.notes += [note for note in notes if note not in self.notes]
        self.everything = replace(self.everything, recognisers=tuple(self.recognisers))
        self.recognition = replace(self.recognition, recognisers=tuple(self.recognisers))

    def find(self, dataset: str, root: Path, samples: Sequence[Sample]) -> list[KnownFace]:
        """See :func:`dsanon_eval.seeing.known_faces.find`."""
        return find(dataset, root, samples, self.cache, self.crew)

    def see(self, stage: str, looks: Sequence[Look], suite: Suite | None = None) -> list[Observation]:
        """What the instruments of ``suite`` (all of them) see in each picture, in order. stage: for the progress."""
        suite = suite or self.everything
        mark = fingerprint(suite)
        tasks = [
            (picture_key(face.sha256, _kind(look), [face.region], mark), face.sample.file, (look, suite, mark))
            for look in looks
            for face in (look.face,)
        ]
        return [Observation.decode(seen) for seen in remembered(f"look {stage}", tasks, _see, self.crew, self.cache)]


def embeddings(seen: Sequence[Observation], name: str) -> Floats:
    """(n, length): of the one face in each of ``seen``, by the recogniser ``name``."""
    return np.concatenate([observation.embeddings[name] for observation in seen])


def _kind(look: Look) -> str:
    """The part of a cache key that says how the picture was made."""
    if look.weights is None:
        return look.kind
    code = digest(*PAINTING, "dsanon_eval.reproduce.shown")
    return f"{store.sha256(look.weights)} {store.sha256(store.path(shape_model.NAME))} {code} {look.vector}"


def _see(task: tuple[Look, Suite, str]) -> bytes:
    look, suite, mark = task
    region, photo = look.face.region, look.face.pixels()
    points = points_of(region, photo, _landmarker(store.sha256(store.path("landmarks68"))))
    (seen,) = _instruments(mark).observe([(_picture(look, photo), suite)], [region], [points])
    return seen.encode()


def _picture(look: Look, photo: Pixels) -> Pixels:
    if look.weights is not None:
        return painted(painter_of(look.weights), photo, Treatment(look.face.region, "ciagan", look.vector))
    return photo if look.kind == ORIGINAL else control(photo, [look.face.region], look.kind)


def painter_of(weights: Path) -> Painter:
    """The generator in ``weights``, opened once."""
    return _painter(weights, store.sha256(weights))


@once
def _instruments(_: str) -> Instruments:
    return Instruments()


@once
def _painter(weights: Path, _: str) -> Painter:
    return Painter(weights, "cpu", 1)


@once
def _landmarker(_: str) -> Landmarker:
    return Landmarker(store.path("landmarks68"))
