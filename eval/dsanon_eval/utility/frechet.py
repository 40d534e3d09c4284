"""How far the released faces are from real ones as a distribution: Fréchet distance, KID, precision and recall.

On MobileNetV2's ImageNet features, so the names say ``mobilenetv2``: only the original Inception weights make it FID,
and where a user has brought these there are figures of that name, too. The generator trained against a discriminator on
this very MobileNetV2, which flatters it: its figures say ``guided training``, and beside them stands the Fréchet
distance of dlib's embeddings of the same faces, a network that took no part.
Small samples are far from each other by chance: two halves of the originals are the floor that is printed beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsanon.models import store
from dsanon.sample import Pixels
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks import recognisers

Floats = npt.NDArray[np.float64]
SIZE = 160  # pixels: face crops and whole images are scaled to this square
# network → what its distances, kernel distances, precision and recall are called
NAMES = {
    "mobilenet_v2": ("fd_mobilenetv2", "kid_mobilenetv2", "precision_mobilenetv2", "recall_mobilenetv2"),
    "dlib_resnet": ("fd_dlib_resnet",),
    "inception_fid": ("fid", "kid_inception", "precision_inception", "recall_inception"),
}
_ROUNDS = 10  # ways to halve the people
_MOST = 2000  # rows of which all pairs are compared
_NEAREST = 3  # of precision and recall (Kynkäänniemi et al. 2019)


class Features:
    """MobileNetV2's last bottleneck, averaged over the picture: 320-d, few enough for samples of hundreds."""

    length = 320

    def __init__(self) -> None:
        import torch
        from dsanon_training.backbones import MobileNetV2Features

        network = MobileNetV2Features(store.path("mobilenet_v2"))
        self._network: Any = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, pictures: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """(n, 320) of RGB pictures of any size."""
        import cv2
        import torch

        def scaled(picture: Pixels) -> npt.NDArray[np.float32]:
            shrink = max(picture.shape[:2]) > SIZE
            how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
            return np.asarray(cv2.resize(np.ascontiguousarray(picture), (SIZE, SIZE), interpolation=how), np.float32)

        planes = np.stack([scaled(picture) for picture in pictures]).transpose(0, 3, 1, 2) / 127.5 - 1
        with torch.inference_mode():
            last = self._network(torch.from_numpy(planes))[-1]  # as it lies in memory: the channels last
        return np.asarray(last.mean(dim=(2, 3)).numpy(), dtype=np.float32)


def frechet_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Between Gaussians fitted to (n, d) and (m, d) features: |Δμ|² + tr(A + B − 2 (AB)^½). Heusel et al. 2017."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if min(len(x), len(y)) < 2:
        return float("nan")
    mean = np.square(x.mean(0) - y.mean(0)).sum()
    if max(len(x), len(y)) <= x.shape[1]:  # with fewer rows than columns the same follows from the rows' products
        u, v = ((p - p.mean(0)) / np.sqrt(len(p) - 1) for p in (x, y))
        shared = np.linalg.svd(u @ v.T, compute_uv=False).sum()
        return float(max(0.0, mean + np.square(u).sum() + np.square(v).sum() - 2 * shared))
    cx, cy = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    # the trace of the root of AB is the sum of the roots of its eigenvalues: those of A^½ B A^½, which is symmetric
    values, vectors = np.linalg.eigh(cx)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    mixed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cy @ root), 0)).sum()
    return float(max(0.0, mean + np.trace(cx) + np.trace(cy) - 2 * mixed))


def kid(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Kernel distance (Bińkowski et al. 2018): unbiased squared MMD with the kernel (x·y / d + 1)³; may be below 0."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n, m, d = len(x), len(y), x.shape[1]
    if min(n, m) < 2:
        return float("nan")
    xx, yy, xy = ((p @ q.T / d + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
    same = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(same - 2 * xy.mean())


def precision_recall(real: npt.ArrayLike, made: npt.ArrayLike) -> tuple[float, float]:
    """Share of ``made`` among the real ones' neighbourhoods, and of ``real`` among the made ones'."""
    x, y = np.asarray(real, dtype=np.float64), np.asarray(made, dtype=np.float64)
    if min(len(x), len(y)) <= _NEAREST:
        return float("nan"), float("nan")
    across = _squares(x, y)
    radius_x = np.partition(_squares(x, x), _NEAREST, axis=1)[:, _NEAREST]
    radius_y = np.partition(_squares(y, y), _NEAREST, axis=1)[:, _NEAREST]
    return (
        float((across <= radius_x[:, None]).any(axis=0).mean()),
        float((across <= radius_y[None]).any(axis=1).mean()),
    )


def halves(features: npt.ArrayLike, people: Sequence[str], seed: int = 0) -> tuple[Floats, Floats]:
    """Two halves of the originals with nobody in both: the distance of any sample that is as good as real."""
    x = np.asarray(features, dtype=np.float64)
    names = sorted(set(people))
    chosen = set(np.random.default_rng(seed).permutation(names)[: len(names) // 2].tolist())
    first = np.array([person in chosen for person in people], dtype=bool)
    return x[first], x[~first]


def measure(
    where: str,
    control: str,
    real: npt.ArrayLike,
    made: npt.ArrayLike,
    people: Sequence[str],
    network: str = "mobilenet_v2",
) -> list[Measurement]:
    """Distances of a control's features to the originals'. where: ``face`` or ``image`` · people: of each row, of both.

    network: whose features these are, one of ``NAMES``.
    To be comparable with the floor, both sides are halves of different people, too: control of the one half against
    originals of the other. The interval is over the ways to halve. n: rows of the smallest side. What so few rows
    cannot tell is not among the figures.
    """
    x, y = np.asarray(real, dtype=np.float64), np.asarray(made, dtype=np.float64)
    values, n = [], len(x)
    for seed in range(_ROUNDS):
        one, other = halves(x, people, seed)[0], halves(y, people, seed)[1]
        n = min(n, len(one), len(other))
        some, others = (half[np.random.default_rng(seed).permutation(len(half))[:_MOST]] for half in (one, other))
        values.append((frechet_distance(one, other), kid(some, others), *precision_recall(some, others)))
    table = np.array(values)
    low, high = np.quantile(table, (0.025, 0.975), axis=0)
    model = recognisers.label(network)
    return [
        Measurement(f"{name}_{where}", model, control, float(table[:, i].mean()), (float(low[i]), float(high[i])), n)
        for i, name in enumerate(NAMES[network])
        if np.isfinite(table[:, i]).all()
    ]


def _squares(a: Floats, b: Floats) -> Floats:
    squared = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.maximum(squared, 0))
