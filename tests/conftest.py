"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dsanon.layout import ReleasePaths


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights; the test is skipped, with the reason, where it is absent."""
    root = Path(os.environ.get("DSANON_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"no real data at {root}: set DSANON_SHARED")
    return root


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """(320, 512, 3): head and shoulders of the astronaut Eileen Collins (NASA, public domain), from scikit-image."""
    from skimage import data

    return np.asarray(data.astronaut())[:320]


@pytest.fixture
def paths(tmp_path: Path) -> ReleasePaths:
    """A source that is there, and the places of its release, where nothing is yet."""
    (tmp_path / "source").mkdir()
    return ReleasePaths.of(tmp_path / "source", tmp_path / "out")
