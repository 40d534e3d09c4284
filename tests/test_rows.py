from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsanon import rows
from dsanon.sample import Found, Photo, Sample, Unreadable


def obstacle(**changes: Any) -> str:
    pixels = np.zeros((20, 30, 3), np.uint8)
    photo = changes.pop("photo", Photo(pixels, None, "ab"))  # type: ignore[arg-type]
    found = Found(**{"sample": "a", "width": 30, "height": 20, "sha256": "ab", **changes})
    return rows._obstacle(Sample("a", "a.png", someone=True), photo, found, "mask")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"photo": Unreadable("gone")}, "gone"),
        ({"problem": "detectors failed"}, "detectors failed"),
        ({"sha256": "cd"}, "changed during the run"),
        ({"sample": "b"}, "changed during the run"),
        ({"width": 31}, "changed during the run"),
        ({}, "a person must be here"),
    ],
)
def test_obstacles(changes: dict[str, Any], words: str) -> None:
    assert words in obstacle(**changes)
