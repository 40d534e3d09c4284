"""One fault of each kind, so that the suite itself stays sound; ``make faults`` plays many."""

from __future__ import annotations

import pytest
from faults.kinds import KINDS, play
from faults.stage import Stage

# dear, and so left to the suite: other tests kill drivers (test_objects.py), actors (test_executor.py) and nodes
# (test_nodes.py) on clusters that they share
ON_RAY = ("driver killed, on Ray", "actor killed", "raylet killed")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ON_RAY])
def test_a_fault_does_no_harm(kind: str, stage: Stage) -> None:
    assert play(stage, kind, seed=0, number=0) == ""
