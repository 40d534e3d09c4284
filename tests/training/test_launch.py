"""Two processes on Ray Train (gloo), as several GPUs are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from dsanon_training import crops, launch
from dsanon_training.loop import CHECKPOINT
from dsanon_training.recipe import load_recipe, validate
from dsanon_training.report import Report
from made_up_crops import made_up_cache
from test_loop import TINY

from dsanon.errors import DsanonError, RecipeError, UsageError, WeightsError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = made_up_cache(tmp_path / "crops")
    monkeypatch.setattr(launch, "prepare", lambda *_: made)
    return made


def state(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    return dict(torch.load(out / CHECKPOINT, weights_only=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")  # Ray's own
def test_two_processes_average_resume_and_report(
    cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, recipe = tmp_path / "two", TINY | {"name": "tiny", "save_every": 1}
    launch.train(validate(recipe | {"steps": 1}), tmp_path, out, 2, False, Report())
    after_one = state(out)["generator"]
    launch.train(validate(recipe | {"steps": 2}), tmp_path, out, 2, True, Report())
    assert not torch.equal(after_one["out.weight"], state(out)["generator"]["out.weight"])
    starts = json.loads((out / "run.json").read_text())["starts"]
    assert [(start["step"], start["workers"]) for start in starts] == [(0, 2), (1, 2)]
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [1, 2]
    assert not (out / "ray").exists()
    shown = "".join(capfd.readouterr())
    assert 1 <= shown.count("12 training faces") <= 2  # a line a run, which Ray repeats unless it is told not to
    assert "State API" not in shown  # nor does it say every second that it has no dashboard


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")  # Ray's own
def test_each_of_two_processes_may_have_loaders_of_its_own(cache: Path, tmp_path: Path) -> None:
    """As on GPUs, where they do by default."""
    recipe = TINY | {"name": "tiny", "steps": 2, "save_every": 1}
    for loaders in (0, 1):
        launch.train(validate(recipe | {"loaders": loaders}), tmp_path, tmp_path / str(loaders), 2, False, Report())
    a, b = (state(tmp_path / str(loaders))["generator"] for loaders in (0, 1))
    assert all(torch.allclose(a[name], b[name], atol=1e-5) for name in a)


def test_what_a_process_raises_is_told_as_it_was() -> None:
    from ray.train import WorkerGroupError
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

    def failed(error: Exception) -> DsanonError:
        return launch._first_cause(WorkerGroupError("…", {0: UserExceptionWithTraceback(error, "Traceback …")}))

    assert str(failed(RecipeError("bad input"))) == "bad input"
    assert failed(RecipeError("bad input")).exit_code == 2
    assert str(failed(ValueError("x"))) == "a training process failed: ValueError: x"
    assert failed(ValueError("x")).exit_code == 1


def test_what_cannot_be_started_is_said_first(cache: Path, tmp_path: Path) -> None:
    recipe = validate(TINY | {"batch": 3})
    with pytest.raises(RecipeError, match="batch = 3 cannot be shared by 2"):
        launch.train(recipe, tmp_path, tmp_path / "run", 2, False, Report())
    with pytest.raises(UsageError, match="--workers 0"):
        launch.train(recipe, tmp_path, tmp_path / "run", 0, False, Report())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / CHECKPOINT).touch()
    with pytest.raises(RecipeError, match="holds a run: go on with --resume"):
        launch.train(recipe, tmp_path, tmp_path / "run", 1, False, Report())


def test_too_few_people_for_the_vectors_are_told_before_crops_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = [crops._Photo(f"{n}.jpg", f"celeba/{n % 20}", n % 20 > 16, ()) for n in range(40)]
    monkeypatch.setattr(crops, "_photos", lambda *_: photos)
    monkeypatch.setattr(crops, "cached", lambda *_: pytest.fail("crops are made"))
    with pytest.raises(RecipeError, match=r"strangers = 3: 17 people are fewer than 8 for each.*at most 2"):
        crops.prepare(tmp_path, tmp_path / "cache", 1, strangers=3)


def test_a_teacher_that_is_not_here_is_told_before_crops_are_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path))
    with pytest.raises(WeightsError, match="mobilefacenet is not here"):
        launch.train(load_recipe("ciagan-face"), tmp_path / "no data", tmp_path / "run", 1, False, Report())
