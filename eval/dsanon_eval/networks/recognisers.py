"""Recognisers, the attackers' tool: a face's crop in, a vector out. Two faces are the more alike the nearer they are.

Adding one is a class with ``chip`` and ``embed``, and a line in ``RECOGNISERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsanon.align import Floats
from dsanon.boxes import clip
from dsanon.errors import UsageError
from dsanon.models import open_session, store
from dsanon.sample import Box, Pixels
from dsanon_eval.networks.dlib_resnet import LENGTH, DlibNetwork
from dsanon_eval.networks.facenet import FaceNet
from dsanon_eval.networks.pnca import Pnca
from dsanon_eval.seeing.faces import arcface_chip, dlib_chip, square_chip

GUIDED = "mobilefacenet"  # the teacher of training: what it does not recognise, it was trained not to
INDEPENDENT = "dlib_resnet"  # took no part in training: whose Fréchet distance does not flatter
# networks that took part in training: the teacher, and the backbone of the discriminator against which it trained
TOOK_PART = (GUIDED, "mobilenet_v2")
DLIB_SAME_PERSON = 0.6  # Euclidean distance below which dlib's authors take two faces for one person


class Recogniser(Protocol):
    """One recogniser, loaded once a process."""

    name: str
    length: int

    def chip(self, pixels: Pixels, points: npt.ArrayLike) -> Pixels:
        """The crop it wants of the face with (68, 2) landmarks ``points``."""

    def embed(self, chips: Sequence[Pixels]) -> Floats:
        """(n, length) float32, to be compared by Euclidean distance."""


def label(name: str) -> str:
    """The name that its figures carry: one that took part in training is no independent auditor, and says so."""
    return f"{name} (guided training)" if name in TOOK_PART else name


class DlibResnet:
    """dlib's ResNet (King 2017), 128-d: took no part in training."""

    name = "dlib_resnet"
    length = LENGTH

    def __init__(self) -> None:
        self._network = DlibNetwork(store.path(self.name))

    def chip(self, pixels: Pixels, points: npt.ArrayLike) -> Pixels:
        """150 × 150."""
        return dlib_chip(pixels, points)

    def embed(self, chips: Sequence[Pixels]) -> Floats:
        """As dlib gives them; its authors' threshold of 0.6 is for these."""
        return self._network(chips)


class _Onnx:
    """A network of the user's, of unit vectors; several crops a pass."""

    name: str
    length: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    reverse: bool  # BGR

    def __init__(self) -> None:
        self._session: Any = open_session(store.path(self.name))

    def embed(self, chips: Sequence[Pixels]) -> Floats:
        """Unit vectors."""
        if not chips:
            return np.zeros((0, self.length), np.float32)
        stack = np.stack(chips)[..., ::-1] if self.reverse else np.stack(chips)
        planes = ((stack - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)
        feed = {self._session.get_inputs()[0].name: np.ascontiguousarray(planes.transpose(0, 3, 1, 2))}
        vectors = np.asarray(self._session.run(None, feed)[0], dtype=np.float32)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), dtype=np.float32)


class FaceRes(_Onnx):
    """HSE's face embedding (MobileNet, VGGFace2), 1,024-d: took no part in training."""

    name = "faceres"
    length = 1024
    mean, deviation, reverse = (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), True

    def chip(self, pixels: Pixels, points: npt.ArrayLike) -> Pixels:
        """224 × 224."""
        return square_chip(pixels, points)


class MobileFaceNet(_Onnx):
    """MobileFaceNet (Chen et al. 2018), 128-d: the teacher that guided training."""

    name = "mobilefacenet"
    length = 128
    mean, deviation, reverse = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), False

    def chip(self, pixels: Pixels, points: npt.ArrayLike) -> Pixels:
        """112 × 112."""
        return arcface_chip(pixels, points)


class Osnet(_Onnx):
    """OSNet ×0.25 (Zhou et al. 2019, MSMT17), 512-d: it knows people by clothes and build, not by faces."""

    name = "osnet"
    length = 512
    mean, deviation, reverse = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), False

    def crop(self, pixels: Pixels, box: Box) -> Pixels:
        """256 × 128: the body in ``box``, stretched as in training: Pillow's bilinear filter averages as it shrinks."""
        height, width = pixels.shape[:2]
        x0, y0, x1, y1 = (round(float(v)) for v in clip([box], width, height)[0])
        x0, y0 = min(x0, width - 1), min(y0, height - 1)
        part = Image.fromarray(np.ascontiguousarray(pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]))
        return np.asarray(part.resize((128, 256), Image.Resampling.BILINEAR), dtype=np.uint8)


RECOGNISERS: dict[str, Callable[[], Recogniser]] = {
    "dlib_resnet": DlibResnet,
    "faceres": FaceRes,
    "mobilefacenet": MobileFaceNet,
    "facenet_vggface2": partial(FaceNet, "facenet_vggface2"),
    "facenet_casia": partial(FaceNet, "facenet_casia"),
}
# recognisers that learned from people who may be measured: ask attacks.disjoint whether they may be asked
AUDITORS: dict[str, Callable[[], Recogniser]] = {"pnca": Pnca}


def open_recogniser(name: str) -> Recogniser:
    """Loaded. Raises UsageError for an unknown name, WeightsError where its file is missing or altered."""
    known = RECOGNISERS | AUDITORS
    if name not in known:
        raise UsageError(f"recogniser {name!r} is unknown: choose from {', '.join(known)}")
    return known[name]()
