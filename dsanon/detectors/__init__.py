"""Face detectors behind one port. Adding one is a new file here and one line in ``DETECTORS``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.errors import UsageError
from dsanon.sample import Box, Pixels


@dataclass(frozen=True, slots=True)
class Detection:
    """One face. score in [0, 1], comparable within a detector only.

    points: left eye, right eye, nose, left and right mouth corner as the viewer sees them, () where not given
    """

    box: Box
    score: float
    detector: str
    points: tuple[tuple[float, float], ...] = ()


class Detector(Protocol):
    """Finds faces in one sample. Called once a sample, by one thread."""

    name: str

    def __call__(self, pixels: Pixels) -> list[Detection]:
        """All faces of ``pixels`` (h, w, 3) uint8 RGB, in a deterministic order; boxes may reach over the border."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A detector that ``--detectors`` can name: where its class is, what it is, its options' types and ranges."""

    module: str
    factory: str
    about: str
    options: Mapping[str, tuple[type[int] | type[float], float, float]] = field(default_factory=dict)


_LIKE = {"threshold": (float, 0.01, 0.99), "size": (int, 64, 16384)}

DETECTORS: dict[str, Choice] = {
    "hog": Choice("dsanon.detectors.hog", "Hog", "dlib's HOG: frontal faces, exact squares", {"upsample": (int, 0, 1)}),
    "mmod": Choice(
        "dsanon.detectors.mmod", "Mmod", "dlib's CNN: slow", {"size": (int, 64, 4096), "upsample": (int, 0, 1)}
    ),
    "centerface": Choice("dsanon.detectors.centerface", "CenterFace", "small faces, profiles, five points", _LIKE),
    "yunet": Choice("dsanon.detectors.yunet", "YuNet", "fast, five points; your file", _LIKE),
    "retinaface": Choice("dsanon.detectors.retinaface", "RetinaFace", "MobileNet0.25, five points; your file", _LIKE),
    "ssh": Choice("dsanon.detectors.ssh", "Ssh", "VGG-16: slow; your file", _LIKE | {"shortest": (int, 0, 4096)}),
}

DEFAULT_DETECTORS = "hog,centerface"


def open_detectors(spec: str = DEFAULT_DETECTORS) -> list[Detector]:
    """The detectors of ``--detectors``, loaded: ``hog,centerface:threshold=0.4:size=1280``.

    Raises UsageError for what is unknown, out of range or named twice, WeightsError for a missing model.
    """
    opened: list[Detector] = []
    for name, options in parse_detectors(spec):
        factory = getattr(import_module(DETECTORS[name].module), DETECTORS[name].factory)
        opened.append(cast(Detector, factory(**options)))
    return opened


def parse_detectors(spec: str) -> list[tuple[str, dict[str, float]]]:
    """Names and options of ``spec`` without loading anything. Raises UsageError."""
    parsed: list[tuple[str, dict[str, float]]] = []
    for item in spec.split(","):
        name, *pairs = (part.strip() for part in item.split(":"))
        if name not in DETECTORS:
            raise UsageError(f"--detectors: {name!r} is unknown: choose from {', '.join(DETECTORS)}")
        if name in (other for other, _ in parsed):
            raise UsageError(f"--detectors: {name} is named twice: once is enough")
        options = dict(_option(name, pair) for pair in pairs)
        if len(options) < len(pairs):
            raise UsageError(f"--detectors: {item.strip()!r} sets an option twice: once is enough")
        parsed.append((name, options))
    return parsed


def _option(detector: str, pair: str) -> tuple[str, float]:
    known = DETECTORS[detector].options
    key, _, text = (part.strip() for part in pair.partition("="))
    if key not in known:
        raise UsageError(f"--detectors: {detector} has no option {key!r}: choose from {', '.join(known)}")
    kind, low, high = known[key]
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:  # also NaN
        noun = "an integer" if kind is int else "a number"
        raise UsageError(f"--detectors: {detector}:{key}={text}: expected {noun} from {low} to {high}")
    return key, value


def ranked(detector: str, found: npt.ArrayLike, scores: npt.ArrayLike, points: npt.ArrayLike = ()) -> list[Detection]:
    """Detections best first, ties by their boxes: found (n, 4), scores (n,), points (n, 5, 2) or none."""
    array, values = boxes.as_boxes(found), np.asarray(scores, dtype=np.float64).reshape(-1)
    places = np.asarray(points, dtype=np.float64)
    return [
        Detection(
            box=(float(array[i, 0]), float(array[i, 1]), float(array[i, 2]), float(array[i, 3])),
            score=float(values[i]),
            detector=detector,
            points=tuple((float(x), float(y)) for x, y in places[i]) if places.size else (),
        )
        for i in boxes.ranking(array, values)
    ]


def shrunk(pixels: Pixels, longest: int) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """``pixels`` with sides of at most ``longest``, and the factors (x, y) that lead back to the original's pixels."""
    return resized(pixels, min(1.0, longest / max(pixels.shape[:2])))


def resized(pixels: Pixels, scale: float) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """``pixels`` at ``scale``, and the factors (x, y) that lead back to the original's pixels."""
    import cv2

    height, width = pixels.shape[:2]
    w, h = max(round(width * scale), 1), max(round(height * scale), 1)
    image = np.ascontiguousarray(pixels)
    if (w, h) != (width, height):
        image = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return image, np.array([width / w, height / h])


def network_input(image: npt.NDArray[Any], multiple: int) -> npt.NDArray[np.float32]:
    """(1, 3, h', w'): ``image`` (h, w, 3) with zeros to the right and below, up to multiples of ``multiple`` pixels."""
    h, w = image.shape[:2]
    canvas = np.zeros((1, 3, h + -h % multiple, w + -w % multiple), dtype=np.float32)
    canvas[0, :, :h, :w] = image.transpose(2, 0, 1)
    return canvas
