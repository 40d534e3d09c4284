"""How a step is computed here: on which device, in which precision, in how many processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dsanon.errors import RecipeError
from dsanon.models.generator import channels_last
from dsanon_training.recipe import Recipe

_LEAST = 16  # samples that a GPU should have a step: with fewer it waits more than it computes
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class Engine:
    """One of ``ranks`` processes that train together. dtype: of what autocast may compute in less than float32."""

    device: torch.device
    dtype: torch.dtype
    rank: int = 0
    ranks: int = 1

    def autocast(self) -> AbstractContextManager[Any]:
        """Convolutions and products in ``dtype``."""
        low = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype if low else torch.bfloat16, enabled=low)

    def place(self, module: nn.Module) -> Any:
        """The module on the device, in channels-last memory."""
        return channels_last(module.to(self.device))

    def shared(self, tensor: Tensor) -> Tensor:
        """The first process's ``tensor`` in all of them."""
        if self.ranks > 1:
            torch.distributed.broadcast(tensor, 0)
        return tensor

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' ``tensor``, in all of them."""
        if self.ranks > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def agree(self, modules: Iterable[nn.Module]) -> None:
        """Raise RuntimeError if the processes' weights have drifted apart."""
        if self.ranks > 1:
            total = torch.stack([p.detach().double().sum() for module in modules for p in module.parameters()]).sum()
            both = torch.stack([total, -total])
            torch.distributed.all_reduce(both, torch.distributed.ReduceOp.MAX)
            if float(both[0] + both[1]) != 0:
                raise RuntimeError("the processes' weights differ: their gradients were not the same")


class Descent:
    """Adam. Gradients are averaged over the processes, and scaled where float16 would lose them."""

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe, engine: Engine) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.adam = torch.optim.Adam(self.parameters, recipe.learning_rate, (recipe.beta1, recipe.beta2))
        self.scaler = torch.amp.GradScaler(engine.device.type, enabled=engine.dtype == torch.float16)
        self.ranks = engine.ranks

    def __call__(self, loss: Tensor) -> None:
        """One step down the gradient of ``loss``."""
        self.adam.zero_grad(set_to_none=True)
        with torch.autocast(loss.device.type, enabled=False):  # gradients have the precision of what they are of
            torch.autograd.backward([self.scaler.scale(loss)])
        if self.ranks > 1:
            average_gradients(self.parameters, self.ranks)
        self.scaler.step(self.adam)
        self.scaler.update()

    def frozen(self, frozen: bool) -> None:
        """Whether the parameters are left out of others' gradients."""
        for p in self.parameters:
            p.requires_grad_(not frozen)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for group in self.adam.param_groups:
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Adam's state, with the scaler's where there is one."""
        scaler = {"scaler": self.scaler.state_dict()} if self.scaler.is_enabled() else {}
        return self.adam.state_dict() | scaler

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.adam.load_state_dict({key: value for key, value in state.items() if key != "scaler"})
        if self.scaler.is_enabled() and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])


def average_gradients(parameters: list[nn.Parameter], ranks: int) -> None:
    """Replace every gradient by its mean over the processes, in one exchange.

    A step computes the same losses in every process, so the same parameters have a gradient in all of them.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= ranks
    for g, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        g.copy_(mean.view_as(g))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(batch: int, gpus: int) -> int:
    """A process per GPU, as far as ``batch`` is shared evenly and each has ``_LEAST`` samples; one without a GPU."""
    return max(n for n in range(1, max(1, gpus) + 1) if n == 1 or (batch % n == 0 and batch // n >= _LEAST))


def engine_for(recipe: Recipe, device: torch.device, rank: int = 0, ranks: int = 1) -> Engine:
    """The engine of one process, with its share of the cores and the precision that its device is good at."""
    if recipe.batch % ranks:
        raise RecipeError(f"batch = {recipe.batch} cannot be shared by {ranks} processes: choose a multiple of {ranks}")
    torch.set_flush_denormal(True)
    torch.set_num_threads(max(1, cores() // ranks))
    if device.type == "cuda":
        # and no cudnn.benchmark: the teacher's share of a batch is of another size each step
        torch.set_float32_matmul_precision("high")
    dtype = pick_precision(recipe.precision, device)
    if ranks > 1:  # what was timed may differ: the first process decides for all
        known = list(_DTYPES.values())
        choice = torch.tensor([known.index(dtype)], device=device)
        torch.distributed.broadcast(choice, 0)
        dtype = known[int(choice)]
    return Engine(device, dtype, rank, ranks)


def pick_precision(wanted: str, device: torch.device) -> torch.dtype:
    """What the recipe names; for ``auto`` bf16 where the device is good at it, else fp16 on a GPU, float32 on a CPU.

    On a GPU the hardware says so; on a CPU a convolution of the generator's kind is timed, because emulation is slow.
    """
    if wanted != "auto":
        return _DTYPES[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(8, 64, 64, 64, dtype=dtype).to(memory_format=torch.channels_last)
        conv = channels_last(nn.Conv2d(64, 64, 3, padding=1).to(dtype))
        times = []
        for _ in range(5):
            start = time.perf_counter()
            conv(x)
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return torch.bfloat16 if seconds[torch.bfloat16] * 1.2 < seconds[torch.float32] else torch.float32
