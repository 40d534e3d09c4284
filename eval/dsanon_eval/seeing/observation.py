"""What all instruments see in one picture: the unit of work of an audit, and what its cache holds.

A picture is an original, its release, or a control of it. Its faces are always those of the original's regions.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.align import CROP, Transform, warp
from dsanon.detectors import Detector, open_detectors
from dsanon.landmarks import Landmarker
from dsanon.models import store
from dsanon.sample import Box, Pixels, Region
from dsanon_eval.networks import inception
from dsanon_eval.networks.recognisers import Recogniser, open_recogniser
from dsanon_eval.seeing.code import LOOKING, RENDERING, digest
from dsanon_eval.seeing.faces import luma, place
from dsanon_eval.utility.detection import best_at, squares

FEATURES = "mobilenet_v2"
Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Suite:
    """Which instruments look. landmarks: find them again.

    features: for Fréchet distances, MobileNetV2's and, where a user's weights are here, FID's
    wide: crops are taken so many times as wide, so that they show what is around a face
    """

    detectors: tuple[str, ...] = ()
    recognisers: tuple[str, ...] = ()
    features: bool = False
    landmarks: bool = False
    wide: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Of a picture with r regions.

    squares: detector → (m, 4) landmark squares of every face it finds · embeddings: recogniser → (r, length)
    landmarks: (r, 136) found again in this picture; where no detector finds the face, at its place
    face_features, image_features: (r, 320), NaN for a face that cannot be aligned, and (1, 320); () if not asked for
    face_fid, image_fid: the same by FID's Inception, (r, 2048) and (1, 2048); () without its weights
    light: (r, 1) mean luma of the face, 0 to 255; () without recognisers
    """

    squares: dict[str, npt.NDArray[np.float64]]
    embeddings: dict[str, Floats]
    landmarks: Floats
    face_features: Floats
    image_features: Floats
    face_fid: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    image_fid: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    light: Floats = field(default_factory=lambda: np.zeros((0, 1), np.float32))

    def found(self, detector: str, place: Box) -> bool:
        """Whether the detector finds a face at ``place``."""
        return best_at(self.squares[detector], place) >= 0

    def encode(self) -> bytes:
        """As an .npz without pickles."""
        out = io.BytesIO()
        arrays: dict[str, Any] = {f"s:{name}": a for name, a in self.squares.items()}
        arrays |= {f"e:{name}": a for name, a in self.embeddings.items()}
        arrays |= {"landmarks": self.landmarks, "face": self.face_features, "image": self.image_features}
        arrays |= {"face fid": self.face_fid, "image fid": self.image_fid, "light": self.light}
        np.savez(out, **arrays)
        return out.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> Observation:
        """What ``encode`` made."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            named = {name: file[name] for name in file.files}
        return cls(
            {name[2:]: a for name, a in named.items() if name.startswith("s:")},
            {name[2:]: a for name, a in named.items() if name.startswith("e:")},
            named["landmarks"],
            named["face"],
            named["image"],
            face_fid=named["face fid"],
            image_fid=named["image fid"],
            light=named["light"],
        )


class Instruments:
    """Everything that looks at pictures, loaded once a process."""

    def __init__(self, suite: Suite) -> None:
        self.detectors: list[Detector] = open_detectors(",".join(suite.detectors)) if suite.detectors else []
        self.recognisers: list[Recogniser] = [open_recogniser(name) for name in suite.recognisers]
        self._features: Any = None
        self._fid: Any = None
        if suite.features:
            from dsanon_eval.utility.frechet import Features

            self._features = Features()
            self._fid = inception.InceptionFeatures() if inception.registered() else None
        self._landmarker = Landmarker(store.path("landmarks68")) if suite.landmarks else None
        self._wide = suite.wide

    def observe(self, pixels: Pixels, regions: Sequence[Region], points: Sequence[Points]) -> Observation:
        """Look at one picture whose original has ``regions``, with the faces' (68, 2) ``points`` in the original."""
        seen = {detector.name: squares(detector(pixels)) for detector in self.detectors}
        around = [p.mean(axis=0) + self._wide * (p - p.mean(axis=0)) for p in points]
        embeddings = {r.name: r.embed([r.chip(pixels, p) for p in around]) for r in self.recognisers}
        again = self._again(pixels, [place(region) for region in regions], seen)
        light = np.array([[luma(pixels, p)] for p in points], dtype=np.float32).reshape(-1, 1)
        face_fid, image_fid = self._looks(self._fid, pixels, regions)
        features = self._looks(self._features, pixels, regions)
        return Observation(seen, embeddings, again, *features, face_fid=face_fid, image_fid=image_fid, light=light)

    def _again(self, pixels: Pixels, places: Sequence[Box], seen: dict[str, Any]) -> Floats:
        """Landmarks of this picture, in the square of the first detector that finds the face, else at its place."""
        rows = np.full((len(places), 136), np.nan, np.float32)
        for i, where in enumerate(places if self._landmarker else ()):
            square = where
            for found in seen.values():
                if (best := best_at(found, where)) >= 0:
                    x0, y0, x1, y1 = (float(v) for v in found[best])
                    square = (x0, y0, x1, y1)
                    break
            assert self._landmarker is not None
            rows[i] = self._landmarker(pixels, square).ravel()
        return rows

    def _looks(self, network: Any, pixels: Pixels, regions: Sequence[Region]) -> tuple[Floats, Floats]:
        """The network's features of every region's crop and of the whole picture; () where there is no network."""
        if network is None:
            return np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
        rows = np.full((len(regions), network.length), np.nan, np.float32)
        there = [i for i, region in enumerate(regions) if region.transform]
        crops = [warp(pixels, zoomed(np.array(regions[i].transform).reshape(2, 3), 1 / self._wide)) for i in there]
        if crops:
            rows[there] = network(crops)
        return rows, np.asarray(network([pixels]), dtype=np.float32)


def zoomed(transform: Transform, zoom: float) -> Transform:
    """The transform to a crop, zoomed about the crop's middle."""
    out = transform * zoom
    out[:, 2] += (CROP - 1) / 2 * (1 - zoom)
    return out


def usable(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Those models of ``names`` whose weights are here, and a line for each other one (which may be published)."""
    there = {model["name"] for model in store.describe() if model["usable"]}
    missing = [name for name in names if name not in there]
    notes = [
        f"{name} did not measure: its weights are not here (`dsanon models` says how to get them)" for name in missing
    ]
    return [name for name in names if name in there], notes


def fingerprint(suite: Suite) -> str:
    """A digest of instruments, weights and code. Raises WeightsError for a missing file."""
    names = [name for name in (*suite.detectors, *suite.recognisers) if name != "hog"]
    names += [FEATURES] * suite.features + ["landmarks68"] * suite.landmarks
    names += [inception.NAME] * (suite.features and inception.registered())
    parts = [f"{suite} {digest(*RENDERING, *LOOKING)}", *(f"{name} {store.sha256(store.path(name))}" for name in names)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def picture_key(sha256: str, kind: str, regions: Sequence[Region], instruments: str) -> str:
    """The key of an observation: file's bytes, which picture of it, where its faces are, who looks."""
    key = hashlib.sha256(f"{sha256}\0{kind}\0{instruments}\0".encode())
    for region in regions:
        key.update(np.array([*region.box, *region.landmarks, *region.transform], dtype="<f8").tobytes() + b"\0")
    return key.hexdigest()
