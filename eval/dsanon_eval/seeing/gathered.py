"""Observations side by side: what all attacks work on. A row a face, the same row in every picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsanon_eval.seeing.case import Face, Scene
from dsanon_eval.seeing.faces import place
from dsanon_eval.seeing.observation import FEATURES, Observation
from dsanon_eval.seeing.pictures import is_derived
from dsanon_eval.seeing.watch import Look

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Original, release or one control, of n faces and s samples.

    looked: (n,) whether this picture was made of the face (controls are made of some only)
    found: detector → (n,) · embeddings: recogniser → (n, length) · landmarks: (n, 136)
    face_features, image_features: (n, 320), (s, 320) · face_fid, image_fid: (n, 2048), (s, 2048), or no columns
    light: (n, 1), luma of the face
    Rows that were not looked at are False or NaN.
    """

    looked: Bools
    found: dict[str, Bools]
    embeddings: dict[str, Floats]
    landmarks: Floats
    face_features: Floats
    image_features: Floats
    face_fid: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    image_fid: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    light: Floats = field(default_factory=lambda: np.zeros((0, 1), np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """All of it. faces, places, files: of every row · leaders: (s,) the person of each sample's first face.

    places: sample and region, as the manifest has them · files: the source's
    derived: attackers' pictures (see pictures.py), apart from those that every figure is measured on
    """

    faces: list[Face]
    files: list[str]
    leaders: list[str]
    pictures: dict[str, Picture]
    places: list[tuple[str, int]] = field(default_factory=list)
    derived: dict[str, Picture] = field(default_factory=dict)

    def vectors(self, name: str) -> dict[str, Floats]:
        """Kind of picture → (n, length) by one recogniser, or MobileNetV2's features of the face."""
        every = {**self.pictures, **self.derived}
        return {
            kind: picture.face_features if name == FEATURES else picture.embeddings[name]
            for kind, picture in every.items()
            if (picture.face_features.shape[1] if name == FEATURES else name in picture.embeddings)
        }

    @property
    def people(self) -> list[str]:
        """The person of every row."""
        return [face.person for face in self.faces]


def gather(observed: Iterable[tuple[Scene, dict[Look, Observation]]]) -> Gathered:
    """Collect the scenes as they come; of a face nothing is kept but vectors."""
    faces: list[Face] = []
    where: list[tuple[str, int]] = []
    files: list[str] = []
    leaders: list[str] = []
    rows: dict[str, list[tuple[slice, int, Observation]]] = {}
    for number, (scene, looks) in enumerate(observed):
        here = slice(len(faces), len(faces) + len(scene.faces))
        faces += scene.faces
        where += [(scene.sample, face.number) for face in scene.faces]
        files += [scene.source_file] * len(scene.faces)
        leaders.append(scene.faces[0].person)
        for (kind, _), seen in looks.items():
            rows.setdefault(kind, []).append((here, number, seen))
    places = [place(face.region) for face in faces]
    pictures = {}
    for kind, parts in rows.items():
        looked = np.zeros(len(faces), np.bool_)
        found: dict[str, Bools] = {}
        arrays: dict[str, Floats] = {}
        for here, _, seen in parts:
            looked[here] = True
            for detector in seen.squares:
                column = found.setdefault(detector, np.zeros(len(faces), np.bool_))
                column[here] = [seen.found(detector, place) for place in places[here]]
            named = {f"e {name}": vectors for name, vectors in seen.embeddings.items()}
            named |= {"fid": seen.face_fid, "light": seen.light}
            for name, value in {**named, "landmarks": seen.landmarks, "face": seen.face_features}.items():
                if value.size and np.isfinite(value).any():
                    if name not in arrays:
                        arrays[name] = np.full((len(faces), value.shape[1]), np.nan, np.float32)
                    arrays[name][here] = value
        none = np.full((len(faces), 0), np.nan, np.float32)
        embeddings = {name[2:]: value for name, value in arrays.items() if name.startswith("e ")}
        pictures[kind] = Picture(
            looked,
            found,
            embeddings,
            arrays.get("landmarks", none),
            arrays.get("face", none),
            _of_images(len(leaders), [(number, seen.image_features) for _, number, seen in parts]),
            face_fid=arrays.get("fid", none),
            image_fid=_of_images(len(leaders), [(number, seen.image_fid) for _, number, seen in parts]),
            light=arrays.get("light", none),
        )
    derived = {kind: pictures.pop(kind) for kind in list(pictures) if is_derived(kind)}
    return Gathered(faces, files, leaders, pictures, where, derived)


def _of_images(samples: int, seen: Iterable[tuple[int, Floats]]) -> Floats:
    """(s, length) of the (1, length) features of some samples, by their number; () of looks that made none."""
    there = [(number, rows[0]) for number, rows in seen if rows.size]
    out = np.full((samples, len(there[0][1]) if there else 0), np.nan, np.float32)
    for number, row in there:
        out[number] = row
    return out
