"""One fault of each kind, so that the suite itself stays sound; ``make faults`` plays many."""

from __future__ import annotations

import pytest
from faults.kinds import KINDS, play
from faults.stage import Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "actor" not in kind and "raylet" not in kind])
def test_a_fault_does_no_harm(kind: str, stage: Stage) -> None:
    """Actors and raylets are killed in test_executor.py, on a cluster that its tests share, and by the suite."""
    assert play(stage, kind, seed=0, number=0) == ""
