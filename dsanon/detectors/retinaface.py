"""RetinaFace-MobileNet0.25 (Deng et al., 2020) from the user's file: anchors, SSH context modules, five points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.detectors import Detection, network_input, ranked
from dsanon.detectors.looks import Seen, look
from dsanon.models import open_session, store
from dsanon.sample import Pixels

MEAN = np.array([104, 117, 123], dtype=np.float32)  # BGR
LEVELS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))  # stride, sides of the anchors in pixels
VARIANCES = (0.1, 0.2)  # of centres and points, of the logarithm of the size
OVERLAP = 0.4  # IoU over which the weaker of two boxes is the same face
MULTIPLE = 32


class RetinaFace:
    """``threshold``: least score in (0, 1) · ``size``: longest side, in pixels, at which is looked."""

    name = "retinaface"

    def __init__(self, threshold: float = 0.5, size: int = 1920) -> None:
        self.threshold, self.size = threshold, size
        self._session = open_session(store.path("retinaface"))

    def __call__(self, pixels: Pixels) -> list[Detection]:
        """All faces, best first."""
        return ranked(self.name, *look(pixels, min(1.0, self.size / max(pixels.shape[:2])), self._see, OVERLAP))

    def _see(self, image: Pixels) -> Seen:
        canvas = network_input(image[..., ::-1] - MEAN, MULTIPLE)
        loc, conf, marks = self._session.run(["loc", "conf", "landmarks"], {self._session.get_inputs()[0].name: canvas})
        anchors = priors(canvas.shape[2], canvas.shape[3])
        sure = conf[0, :, 1] > self.threshold
        found, points = decode(loc[0, sure], marks[0, sure], anchors[sure])
        scores = conf[0, sure, 1].astype(np.float64)
        keep = boxes.suppress(found, scores, OVERLAP)
        return found[keep], scores[keep], points[keep]


def priors(height: int, width: int) -> npt.NDArray[np.float64]:
    """(a, 3) centre x, centre y and side of every anchor in pixels, by level, row, column, size."""
    levels = []
    for stride, sides in LEVELS:
        y, x, side = np.meshgrid(
            (np.arange(-(-height // stride)) + 0.5) * stride,
            (np.arange(-(-width // stride)) + 0.5) * stride,
            np.array(sides, dtype=np.float64),
            indexing="ij",
        )
        levels.append(np.stack([x, y, side], axis=-1).reshape(-1, 3))
    return np.concatenate(levels)


def decode(
    loc: npt.NDArray[np.float32], marks: npt.NDArray[np.float32], anchors: npt.NDArray[np.float64]
) -> tuple[boxes.Boxes, boxes.Floats]:
    """Boxes (n, 4) and points (n, 5, 2) in pixels, of loc (n, 4), marks (n, 10) and their anchors (n, 3)."""
    middle, side = anchors[:, :2], anchors[:, 2:]
    centre = middle + loc[:, :2] * VARIANCES[0] * side
    half = np.exp(loc[:, 2:] * VARIANCES[1]) * side / 2
    points = middle[:, None] + marks.reshape(-1, 5, 2) * VARIANCES[0] * side[:, None]
    return np.hstack([centre - half, centre + half]), points
