"""SSH (Najibi et al., ICCV 2017) from the user's file: the paper's second detector, and slow without a GPU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.detectors import Detection, network_input, ranked, resized
from dsanon.models import networks
from dsanon.sample import Pixels

MEAN = np.array([102.9801, 115.9465, 122.7717], dtype=np.float32)  # BGR
LEVELS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))  # stride, sides of the anchors in pixels: section 3.2
FIRST = 8  # pixels: centre of the first anchor of every level, as anchors of a base of 16 have it
BEST = 1000  # anchors of each module that are looked at
OVERLAP = 0.3  # IoU over which the weaker of two boxes is the same face
MULTIPLE = 32


class Ssh:
    """``threshold``: least probability in (0, 1) · ``size``: longest side, in pixels, at which is looked.

    ``shortest``: pixels to which the shorter side is enlarged, as far as ``size`` allows; 0 leaves it. Its authors'
    figures are with 1200, for the tiny faces of WIDER FACE: a square photo then takes some 20 s of a CPU core, reckoned
    from 0.8 s for 250 pixels.
    """

    name = "ssh"

    def __init__(self, threshold: float = 0.5, size: int = 1600, shortest: int = 0) -> None:
        self.threshold, self.size, self.shortest = threshold, size, shortest
        self._network = networks.load("ssh")

    def __call__(self, pixels: Pixels) -> list[Detection]:
        """All faces, best first."""
        import torch

        low, high = min(pixels.shape[:2]), max(pixels.shape[:2])
        image, grow = resized(pixels, min(self.size / high, max(1.0, self.shortest / low)))
        canvas = network_input(image[..., ::-1] - MEAN, MULTIPLE)
        with torch.inference_mode():
            heads = [(s[0].numpy(), d[0].numpy()) for s, d in self._network(torch.from_numpy(canvas))]
        levels = [
            decode(scores, deltas, stride, sides, self.threshold)
            for (scores, deltas), (stride, sides) in zip(heads, LEVELS, strict=True)
        ]
        found, scores = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        keep = boxes.suppress(found, scores, OVERLAP)
        return ranked(self.name, found[keep] * np.tile(grow, 2), scores[keep])


def decode(
    scores: npt.NDArray[np.float32],
    deltas: npt.NDArray[np.float32],
    stride: int,
    sides: tuple[int, ...],
    threshold: float,
) -> tuple[boxes.Boxes, boxes.Floats]:
    """Boxes (n, 4) in pixels and their scores (n,), best first, of one module's anchors over ``threshold``.

    scores (a, h, w) in [0, 1] · deltas (a, 4, h, w): shift of the centre in sides of the anchor, and logarithms of
    width and height in it (Girshick et al. 2014, appendix C)
    """
    anchor, y, x = np.nonzero(scores > threshold)
    sure = scores[anchor, y, x].astype(np.float64)
    best = np.argsort(-sure, kind="stable")[:BEST]
    anchor, y, x = anchor[best], y[best], x[best]
    side = np.array(sides, dtype=np.float64)[anchor, None]
    move = deltas[anchor, :, y, x].astype(np.float64)
    centre = np.stack([x, y], axis=1) * stride + FIRST + move[:, :2] * side
    half = np.exp(move[:, 2:].clip(max=20)) * side / 2
    return np.hstack([centre - half, centre + half]), sure[best]
