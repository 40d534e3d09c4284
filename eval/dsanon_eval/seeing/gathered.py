"""Observations side by side: what all attacks work on. A row a face, the same row in every picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsanon_eval.seeing.case import Face, Scene
from dsanon_eval.seeing.faces import place
from dsanon_eval.seeing.observation import Observation
from dsanon_eval.seeing.watch import Look

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Original, release or one control, of n faces and s samples.

    looked: (n,) whether this picture was made of the face (controls are made of some only)
    found: detector → (n,) · embeddings: recogniser → (n, length) · landmarks: (n, 136)
    face_features, image_features: (n, 320), (s, 320). Rows that were not looked at are False or NaN.
    """

    looked: Bools
    found: dict[str, Bools]
    embeddings: dict[str, Floats]
    landmarks: Floats
    face_features: Floats
    image_features: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """All of it. faces, places, files: of every row · leaders: (s,) the person of each sample's first face.

    places: sample and region, as the manifest has them · files: the source's
    """

    faces: list[Face]
    files: list[str]
    leaders: list[str]
    pictures: dict[str, Picture]
    places: list[tuple[str, int]] = field(default_factory=list)

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
        images = np.full((len(leaders), 0), np.nan, np.float32)
        for here, number, seen in parts:
            looked[here] = True
            for detector in seen.squares:
                column = found.setdefault(detector, np.zeros(len(faces), np.bool_))
                column[here] = [seen.found(detector, place) for place in places[here]]
            named = {f"e {name}": vectors for name, vectors in seen.embeddings.items()}
            for name, value in {**named, "landmarks": seen.landmarks, "face": seen.face_features}.items():
                if value.size and np.isfinite(value).any():
                    if name not in arrays:
                        arrays[name] = np.full((len(faces), value.shape[1]), np.nan, np.float32)
                    arrays[name][here] = value
            if seen.image_features.size:
                if not images.shape[1]:
                    images = np.full((len(leaders), seen.image_features.shape[1]), np.nan, np.float32)
                images[number] = seen.image_features[0]
        none = np.full((len(faces), 0), np.nan, np.float32)
        embeddings = {name[2:]: value for name, value in arrays.items() if name.startswith("e ")}
        pictures[kind] = Picture(
            looked, found, embeddings, arrays.get("landmarks", none), arrays.get("face", none), images
        )
    return Gathered(faces, files, leaders, pictures, where)
