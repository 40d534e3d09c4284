"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights; the test is skipped, with the reason, where it is absent."""
    root = Path(os.environ.get("DSANON_SHARED", Path(__file__).parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"no real data at {root}: set DSANON_SHARED")
    return root
