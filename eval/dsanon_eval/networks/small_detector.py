"""A small face detector that is trained from nothing in a minute: a heat map of centres, and a size at each.

After Zhou, Wang and Krähenbühl, Objects as Points (2019), for windows of 96 pixels. It is no good detector; it is there
to say what a set of pictures can teach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsanon import boxes
from dsanon.sample import Pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

SIDE, STRIDE = 96, 8  # pixels of a window; of it for one cell of the heat map
STEPS, BATCH, RATE = 250, 32, 3e-3
_MOST = 5  # detections in a window
_SMALL = 1e-4
Boxes = npt.NDArray[np.float64]  # (k, 4) x0 y0 x1 y1 in window pixels
Detections = tuple[Boxes, npt.NDArray[np.float64]]  # (k, 4) and their (k,) scores
Matches = tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]


def train_detector(windows: Pixels, faces: Sequence[Boxes], steps: int = STEPS, seed: int = 0) -> nn.Module:
    """Trained on (n, 96, 96, 3) uint8 windows with the boxes of their faces; mirrored as well."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = _network().train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(2, steps))
    heat, sizes, known = (torch.from_numpy(part) for part in _targets(faces))
    for _ in range(steps):
        rows = torch.from_numpy(random.integers(0, len(windows), BATCH))
        x, wanted, size, there = _planes(windows[rows.numpy()]), heat[rows], sizes[rows], known[rows]
        if random.integers(2):
            x, wanted, size, there = (part.flip(-1) for part in (x, wanted, size, there))
            size[:, 1] *= -1
        out = network(x)
        centre = there[:, None].float()
        # a centre counts for as much as all that is none (focal loss with Gaussian shoulders, equation 1 there)
        p = out[:, :1].sigmoid().clamp(_SMALL, 1 - _SMALL)
        near = -centre * (1 - p) ** 2 * p.log() - (1 - centre) * (1 - wanted[:, None]) ** 4 * p**2 * (1 - p).log()
        loss = near.sum() / centre.sum().clamp(min=1)
        loss = loss + 2 * (F.smooth_l1_loss(out[:, 1:], size, reduction="none", beta=0.1) * centre).sum() / (
            centre.sum().clamp(min=1)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def detect(network: nn.Module, windows: Pixels) -> list[Detections]:
    """Of each window, (k, 4) boxes and (k,) scores, the best first."""
    import torch
    import torch.nn.functional as F

    found: list[Detections] = []
    with torch.inference_mode():
        for start in range(0, len(windows), 64):
            out = network(_planes(windows[start : start + 64]))
            heat = out[:, 0].sigmoid()
            peak = heat * (F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0] == heat)
            for scores, (size, right, down) in zip(peak.numpy(), out[:, 1:].numpy(), strict=True):
                best = np.argsort(-scores, axis=None, kind="stable")[:_MOST]
                row, column = np.unravel_index(best, scores.shape)
                x = (column + 0.5 + right[row, column]) * STRIDE
                y = (row + 0.5 + down[row, column]) * STRIDE
                half = np.exp(size[row, column].clip(-3, 3)) * SIDE / 8
                box = np.stack([x - half, y - half, x + half, y + half], axis=1).astype(np.float64)
                found.append((box, scores[row, column].astype(np.float64)))
    return found


def matched(found: Detections, real: Boxes, overlap: float = 0.5) -> Matches:
    """Scores and hits of one window's detections, the best first: every face is found once at most."""
    box, score = found
    near = boxes.iou(box, real)
    hits = np.zeros(len(box), np.bool_)
    for i in range(len(box) if len(real) else 0):
        best = int(near[i].argmax())
        if near[i, best] >= overlap:
            hits[i] = True
            near[:, best] = 0
    return score, hits


def average_precision(windows: Sequence[Matches], faces: int) -> float:
    """The area under precision over recall of all windows' detections together. faces: how many there are. 0 to 1."""
    if not windows or not faces:
        return 0.0
    scores, hits = (np.concatenate(parts) for parts in zip(*windows, strict=True))
    right = hits[np.argsort(-scores, kind="stable")]
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    best_from = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from[right].sum() / faces)


def _network() -> nn.Module:
    from torch import nn

    def layer(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    layers = [*layer(3, 16, 2), *layer(16, 32, 2), *layer(32, 32, 1), *layer(32, 64, 2), *layer(64, 64, 1)]
    network = nn.Sequential(*layers, *layer(64, 64, 1), nn.Conv2d(64, 4, 1))  # heat, log size, shift right and down
    last: Any = network[-1]
    nn.init.constant_(last.bias, 0.0)
    last.bias.data[0] = -4.0  # hardly any cell is a centre
    return network


def _targets(faces: Sequence[Boxes]) -> tuple[Any, Any, Any]:
    """Heat (n, g, g), sizes and shifts (n, 3, g, g), centres (n, g, g) bool, for g = SIDE / STRIDE."""
    cells = SIDE // STRIDE
    heat = np.zeros((len(faces), cells, cells), np.float32)
    sizes = np.zeros((len(faces), 3, cells, cells), np.float32)
    known = np.zeros((len(faces), cells, cells), bool)
    middle = np.arange(cells) + 0.5
    for i, real in enumerate(faces):
        for x0, y0, x1, y1 in real:
            x, y, side = (x0 + x1) / 2 / STRIDE, (y0 + y1) / 2 / STRIDE, max(x1 - x0, y1 - y0)
            row, column = int(np.clip(y, 0, cells - 1)), int(np.clip(x, 0, cells - 1))
            apart = np.square(middle[:, None] - middle[row]) + np.square(middle[None] - middle[column])
            heat[i] = np.maximum(heat[i], np.exp(-apart / (2 * max(0.6, side / STRIDE / 8) ** 2)))
            sizes[i, :, row, column] = np.log(max(side, 1) / (SIDE / 4)), x - middle[column], y - middle[row]
            known[i, row, column] = True
    return heat, sizes, known


def _planes(windows: Pixels) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(windows.transpose(0, 3, 1, 2))).float() / 127.5 - 1
