"""The figures of Maximov, Elezi and Leal-Taixé (CVPR 2020), to be printed beside ours: shares, not per cent.

Each belongs to the network that measured it there: (row, measurement, model) → value and, where given, deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsanon_eval.measurement import Measurement

Paper = Mapping[tuple[str, str, str], tuple[float, float | None]]

HOG, SSH = ("detection_rate", "hog"), ("detection_rate", "ssh")
PNCA, FACENET = ("recall_at_1", "pnca"), ("recall_at_1", "facenet_vggface2")
FID = ("fid_face", "inception_fid")
VGGFACE2, CASIA = ("tar_at_far", "facenet_vggface2"), ("tar_at_far", "facenet_casia")
LANDMARKS = ("landmark_recall_at_1", "landmarks68")

_TABLE1 = {  # HOG, SSH, PNCA, FaceNet in per cent
    "original": (100.0, 100.0, 70.7, 65.1),
    "pixelate16": (0.0, 0.0, 0.3, 0.3),
    "pixelate8": (0.0, 0.0, 0.4, 0.3),
    "blur9": (90.6, 38.6, 16.9, 57.2),
    "blur17": (68.4, 0.3, 1.9, 0.5),
    "ciagan": (99.9, 98.7, 1.3, 1.0),
}
_TABLE2 = {  # HOG and PNCA in per cent, FID
    "siamese": (99.9, 1.3, 2.1),
    "classification": (64.6, 0.4, 63.2),
    "faces": (98.3, 1.1, 6.5),
}
TABLE1: Paper = {
    (row, *column): (round(value / 100, 4), None)
    for row, values in _TABLE1.items()
    for column, value in zip((HOG, SSH, PNCA, FACENET), values, strict=True)
} | {("ciagan", *FID): (2.1, None)}
TABLE2: Paper = {
    (row, *column): (value if column == FID else round(value / 100, 4), None)
    for row, values in _TABLE2.items()
    for column, value in zip((HOG, PNCA, FID), values, strict=True)
}
TABLE3: Paper = {
    ("original", *VGGFACE2): (0.986, 0.010),
    ("original", *CASIA): (0.965, 0.016),
    ("gafni", *VGGFACE2): (0.038, 0.015),
    ("gafni", *CASIA): (0.035, 0.011),
    ("ciagan", *VGGFACE2): (0.034, 0.016),
    ("ciagan", *CASIA): (0.019, 0.008),
    ("ciagan", *HOG): (0.9913, None),  # it does not say by which detector; its first is HOG
}
LANDMARK: Paper = {("original", *LANDMARKS): (0.305, None), ("ciagan", *LANDMARKS): (0.019, None)}
# kind of dataset → what an audit of it may print: the figures that were measured there on its people
OF_DATASET: Mapping[str, Paper] = {"celeba": {**TABLE1, **LANDMARK}, "lfw": TABLE3}


def stated(measurements: Sequence[Measurement], paper: Paper, rows: Mapping[str, str]) -> list[Measurement]:
    """The measurements, each with the paper's figure where the same network measured it there, and no other.

    rows: control → its row in the paper, so that a release is beside CIAGAN's figures only where ``ciagan`` made it
    """
    figures = [paper.get((rows.get(m.control, ""), m.name, m.model)) for m in measurements]
    return [replace(m, paper=figure[0] if figure else None) for m, figure in zip(measurements, figures, strict=True)]
