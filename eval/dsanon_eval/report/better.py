"""Which way a figure is better, by the beginning of its name, for the drawings: each says so in its corner."""

from __future__ import annotations

from typing import Literal

Better = Literal["lower", "higher", ""]

_LOWER = (
    "recall_at_1",
    "self_",
    "tar_at_far",
    "parrot",
    "reversal",
    "worst",
    "people",
    "subgroup_recall",
    "subgroup_worst_recall",
    "subgroup_covered",
    "landmark",
    "outside",
    "body_recall",
    "body_self",
    "body_linkage_across",
    "linkage_across",
    "swap",
    "fd_",
    "fid",
    "kid_",
    "temporal",
    "utility_idsw",  # identities that a tracker confuses
    "leak",
)
_HIGHER = (
    "detection_rate",
    "face_seen_rate",
    "subgroup_detection",
    "subgroup_worst_detection",
    "linkage_within",
    "body_linkage_within",
    "precision_",
    "recall_mobilenetv2",
    "recall_inception",
    "coverage_",
    "density_",
    "utility",
    "ap_",
    "person_ap",
    "pedestrian",
    "background",
    "psnr",
)


def better(name: str) -> Better:
    """Of a figure by its name: the longest beginning that fits decides; '' where neither can be said."""
    sides: tuple[tuple[Better, tuple[str, ...]], ...] = (("lower", _LOWER), ("higher", _HIGHER))
    fitting = [(len(start), side) for side, starts in sides for start in starts if name.startswith(start)]
    return max(fitting)[1] if fitting else ""
