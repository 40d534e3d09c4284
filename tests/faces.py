"""A drawn face's 68 landmarks, for tests that need geometry but no person."""

from __future__ import annotations

import numpy as np


def drawn_landmarks(x: float, y: float, size: float) -> np.ndarray:
    """(68, 2): an upright, frontal face about ``size`` wide around (x, y)."""
    angles = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 * np.cos(angles), 0.1 + 0.55 * np.sin(angles)], axis=1)
    brows = [(u, -0.22) for u in (*np.linspace(-0.38, -0.1, 5), *np.linspace(0.1, 0.38, 5))]
    nose = [(0, v) for v in np.linspace(-0.12, 0.12, 4)] + [(u, 0.17) for u in np.linspace(-0.08, 0.08, 5)]
    eyes = [
        (c + 0.07 * np.cos(t), -0.1 + 0.03 * np.sin(t))
        for c in (-0.2, 0.2)
        for t in np.linspace(np.pi, -np.pi, 6, endpoint=False)
    ]
    outer = [(-0.17 * np.cos(t), 0.33 - 0.06 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 12, endpoint=False)]
    inner = [(-0.12 * np.cos(t), 0.33 - 0.03 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 8, endpoint=False)]
    points = np.array([*jaw, *brows, *nose, *eyes, *outer, *inner], dtype=np.float32)
    return points * size + (x, y)
