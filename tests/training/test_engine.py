from __future__ import annotations

from typing import Any

import pytest
import torch
from dsanon_training import engine
from dsanon_training.engine import Descent, Engine, default_workers, engine_for, pick_precision
from dsanon_training.recipe import Recipe
from torch import nn

from dsanon.errors import RecipeError

CPU = torch.device("cpu")
RECIPE = Recipe(learning_rate=0.5, beta1=0.0, beta2=0.0)


def test_float16_is_scaled_its_overflow_is_no_step_and_its_state_comes_back() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    descend = Descent([weight], RECIPE, Engine(CPU, torch.float16))
    descend((weight * torch.inf).sum())
    assert weight.item() == 1.0
    assert descend.scaler.get_scale() == 2.0**15
    descend(weight.sum())
    assert weight.item() == pytest.approx(0.5)
    again = Descent([nn.Parameter(torch.tensor([1.0]))], RECIPE, Engine(CPU, torch.float16))
    again.load_state_dict(descend.state_dict())
    assert again.scaler.get_scale() == 2.0**15


def test_without_float16_the_state_is_adams_own() -> None:
    descend = Descent([nn.Parameter(torch.tensor([1.0]))], RECIPE, Engine(CPU, torch.bfloat16))
    assert set(descend.state_dict()) == {"state", "param_groups"}


def test_a_gpu_without_bfloat16_gets_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    for capability, dtype in (((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert pick_precision("auto", gpu) == dtype
    assert pick_precision("fp32", gpu) == torch.float32
    assert pick_precision("auto", CPU) in (torch.float32, torch.bfloat16)


def test_threads_are_the_cores_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "cores", lambda: 6)
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, source: None)
    for ranks in (1, 2, 8):
        engine_for(Recipe(batch=16, precision="fp32"), CPU, 0, ranks)
    assert threads == [6, 3, 1]
    with pytest.raises(RecipeError, match="batch = 15 cannot be shared by 2"):
        engine_for(Recipe(batch=15), CPU, 0, 2)


def test_without_a_number_there_are_as_many_processes_as_share_the_batch_well() -> None:
    assert [default_workers(16, gpus) for gpus in (0, 1, 8)] == [1, 1, 1]
    assert [default_workers(128, gpus) for gpus in (3, 4, 7, 8)] == [2, 4, 4, 8]
    assert default_workers(1024, 6) == 4


def test_gradients_are_not_computed_under_autocast() -> None:
    class Noted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
            seen.append(torch.is_autocast_enabled("cpu"))
            return grads[0]

    seen: list[bool] = []
    weight, here = nn.Parameter(torch.tensor([1.0])), Engine(CPU, torch.bfloat16)
    descend = Descent([weight], RECIPE, here)
    with here.autocast():
        descend(Noted.apply(weight).sum())  # type: ignore[no-untyped-call]
    assert seen == [False]
