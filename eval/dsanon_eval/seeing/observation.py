"""What all instruments see in one picture: the unit of work of an audit, and what its cache holds.

A picture is an original, its release, or a control of it. Its faces are always those of the original's regions.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from dsanon_eval.utility.frechet import Features

FEATURES = "mobilenet_v2"
NETWORKS: dict[str, Callable[[], Any]] = {FEATURES: Features, inception.NAME: inception.InceptionFeatures}
_AT_ONCE = 4  # crops that a network sees together: of more the layers no longer fit into the cache
Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Suite:
    """Which instruments look. landmarks: find them again.

    features: for Fréchet distances, MobileNetV2's and, where a user's weights are here, FID's
    wide: crops are taken so many times as wide, so that they show what is around a face
    image: features are of the whole picture, too
    """

    detectors: tuple[str, ...] = ()
    recognisers: tuple[str, ...] = ()
    features: bool = False
    landmarks: bool = False
    wide: float = 1.0
    image: bool = True


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
    """Everything that looks at pictures; each is opened at its first use, once a process."""

    def __init__(self) -> None:
        self._opened: dict[str, Any] = {}
        self._fid = inception.registered()

    @property
    def landmarker(self) -> Landmarker:
        """dlib's 68 landmarks."""
        return self._open("landmarks68", lambda: Landmarker(store.path("landmarks68")))  # type: ignore[no-any-return]

    def observe(
        self, looks: Sequence[tuple[Pixels, Suite]], regions: Sequence[Region], points: Sequence[Points]
    ) -> list[Observation]:
        """Look at pictures whose original has ``regions``, with the faces' (68, 2) ``points`` in the original.

        A network sees the crops of several pictures at once: that is faster than one by one.
        """
        embeddings = self._embeddings(looks, points)
        features = self._looks(looks, regions, FEATURES)
        fid = self._looks(looks, regions, inception.NAME) if self._fid else [_nothing() for _ in looks]
        out = []
        for i, (pixels, suite) in enumerate(looks):
            seen = {name: squares(self._detector(name)(pixels)) for name in suite.detectors}
            again = np.full((len(regions), 136), np.nan, np.float32)
            if suite.landmarks:
                again = self._again(pixels, [place(region) for region in regions], seen)
            light = np.array([[luma(pixels, p)] for p in points], dtype=np.float32).reshape(-1, 1)
            face_fid, image_fid = fid[i]
            one = Observation(
                seen, embeddings[i], again, *features[i], face_fid=face_fid, image_fid=image_fid, light=light
            )
            out.append(one)
        return out

    def _embeddings(self, looks: Sequence[tuple[Pixels, Suite]], points: Sequence[Points]) -> list[dict[str, Floats]]:
        """Of each picture: recogniser → (r, length)."""
        out: list[dict[str, Floats]] = [{} for _ in looks]
        for name in dict.fromkeys(name for _, suite in looks for name in suite.recognisers):
            recogniser: Recogniser = self._open(name, partial(open_recogniser, name))
            asked = [i for i, (_, suite) in enumerate(looks) if name in suite.recognisers]
            chips = []
            for pixels, suite in (looks[i] for i in asked):
                around = [p.mean(axis=0) + suite.wide * (p - p.mean(axis=0)) for p in points]
                chips += [recogniser.chip(pixels, p) for p in around]
            vectors = _in_pieces(recogniser.embed, chips, recogniser.length)
            for turn, i in enumerate(asked):
                out[i][name] = vectors[turn * len(points) : (turn + 1) * len(points)]
        return out

    def _again(self, pixels: Pixels, places: Sequence[Box], seen: dict[str, Any]) -> Floats:
        """Landmarks of this picture, in the square of the first detector that finds the face, else at its place."""
        rows = np.full((len(places), 136), np.nan, np.float32)
        for i, where in enumerate(places):
            square = where
            for found in seen.values():
                if (best := best_at(found, where)) >= 0:
                    x0, y0, x1, y1 = (float(v) for v in found[best])
                    square = (x0, y0, x1, y1)
                    break
            rows[i] = self.landmarker(pixels, square).ravel()
        return rows

    def _looks(
        self, looks: Sequence[tuple[Pixels, Suite]], regions: Sequence[Region], name: str
    ) -> list[tuple[Floats, Floats]]:
        """Of each picture: the network's features of every region's crop, and of the whole picture; () if not asked."""
        there = [i for i, region in enumerate(regions) if region.transform]
        out = [_nothing() for _ in looks]
        asked = [i for i, (_, suite) in enumerate(looks) if suite.features]
        if not asked:
            return out
        network = self._open(name, NETWORKS[name])
        crops: list[Pixels] = []
        for pixels, suite in (looks[i] for i in asked):
            transforms = [np.array(regions[k].transform).reshape(2, 3) for k in there]
            crops += [warp(pixels, zoomed(transform, 1 / suite.wide)) for transform in transforms]
            crops += [pixels] * suite.image
        rows = iter(_in_pieces(network, crops, network.length))
        for i in asked:
            faces = np.full((len(regions), network.length), np.nan, np.float32)
            for k in there:
                faces[k] = next(rows)
            out[i] = faces, next(rows)[None] if looks[i][1].image else out[i][1]
        return out

    def _detector(self, name: str) -> Detector:
        return self._open(f"detector {name}", lambda: open_detectors(name)[0])  # type: ignore[no-any-return]

    def _open(self, name: str, how: Callable[[], Any]) -> Any:
        if name not in self._opened:
            self._opened[name] = how()
        return self._opened[name]


def _nothing() -> tuple[Floats, Floats]:
    return np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)


def _in_pieces(network: Callable[[Sequence[Pixels]], Floats], crops: Sequence[Pixels], length: int) -> Floats:
    """(n, length), a few crops at a time."""
    parts = [network(crops[start : start + _AT_ONCE]) for start in range(0, len(crops), _AT_ONCE)]
    return np.concatenate([np.zeros((0, length), np.float32), *parts])


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
