"""Fixtures shared by all tests."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loaded import load_once
from ray_head import ray_head

from dsanon.layout import ReleasePaths
from dsanon.storage import Bucket

load_once()
_FRESH = itertools.count()


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


@pytest.fixture
def memory() -> Iterator[Bucket]:
    """A prefix of object storage in this process's memory, of this test alone."""
    import fsspec

    yield Bucket(f"memory://prefix{next(_FRESH)}")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(scope="session")
def head() -> Iterator[Any]:
    """The Ray cluster of all tests of this process, which is not connected to it."""
    with ray_head() as made:
        yield made


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, head: Any) -> Iterator[Any]:
    """Ray, connected to that cluster: jobs in this process use it. Its processes cannot import the test's module."""
    import ray
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[request.module.__name__])
    before = signal.getsignal(signal.SIGTERM)
    ray.init(address=head.address, log_to_driver=False, logging_level=logging.ERROR)
    yield ray
    ray.shutdown()
    signal.signal(signal.SIGTERM, before)
