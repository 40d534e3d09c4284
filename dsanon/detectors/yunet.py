"""YuNet (Wu et al., 2023) from the user's file: small, fast, anchor-free, with five points.

It runs in onnxruntime: OpenCV 4's own ``FaceDetectorYN`` cannot read exports with a free input size.
"""

from __future__ import annotations

import numpy as np

from dsanon import boxes
from dsanon.detectors import Detection, network_input, ranked
from dsanon.detectors.looks import Seen, look
from dsanon.models import open_session, store
from dsanon.models.onnx_file import any_size
from dsanon.sample import Pixels

STRIDES = (8, 16, 32)
OUTPUTS = [f"{head}_{stride}" for stride in STRIDES for head in ("cls", "obj", "bbox", "kps")]
OVERLAP = 0.3  # IoU over which the weaker of two boxes is the same face
MULTIPLE = 32


class YuNet:
    """``threshold``: least score in (0, 1) · ``size``: longest side, in pixels, at which is looked."""

    name = "yunet"

    def __init__(self, threshold: float = 0.5, size: int = 1920) -> None:
        self.threshold, self.size = threshold, size
        self._session = open_session(any_size(store.path("yunet").read_bytes()))

    def __call__(self, pixels: Pixels) -> list[Detection]:
        """All faces, best first."""
        return ranked(self.name, *look(pixels, min(1.0, self.size / max(pixels.shape[:2])), self._see, OVERLAP))

    def _see(self, image: Pixels) -> Seen:
        canvas = network_input(image[..., ::-1], MULTIPLE)
        outputs = self._session.run(OUTPUTS, {self._session.get_inputs()[0].name: canvas})
        heads = {name: output[0].astype(np.float64) for name, output in zip(OUTPUTS, outputs, strict=True)}
        levels = [
            decode(heads[f"cls_{s}"], heads[f"obj_{s}"], heads[f"bbox_{s}"], heads[f"kps_{s}"], s, canvas.shape[3] // s)
            for s in STRIDES
        ]
        found, scores, points = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        sure = np.flatnonzero(scores > self.threshold)
        keep = sure[boxes.suppress(found[sure], scores[sure], OVERLAP)]
        return found[keep], scores[keep], points[keep]


def decode(
    cls: boxes.Floats, obj: boxes.Floats, box: boxes.Floats, kps: boxes.Floats, stride: int, columns: int
) -> Seen:
    """Boxes (n, 4), scores (n,) and points (n, 5, 2) in pixels of one level's n cells, row by row.

    cls, obj (n, 1) in [0, 1] · box (n, 4): centre from the cell's corner and logarithm of the size, in strides ·
    kps (n, 10): points from the cell's corner, in strides
    """
    cells = np.stack(np.divmod(np.arange(len(cls)), columns)[::-1], axis=1)
    centre, half = (cells + box[:, :2]) * stride, np.exp(box[:, 2:].clip(max=20)) * stride / 2
    scores = np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1))
    points = (cells[:, None] + kps.reshape(-1, 5, 2)) * stride
    return np.hstack([centre - half, centre + half]), scores, points
