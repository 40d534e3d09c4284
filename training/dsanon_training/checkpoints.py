"""Checkpoints that resume exactly, and weights that ship."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsanon.errors import RecipeError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint aside, then rename: a kill at any moment leaves the last good one."""
    aside = path.with_suffix(".partial")
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's state; tensors and plain values only, so that a file can't run code."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or "step" not in state:
        raise RecipeError(f"{path} is not a checkpoint of this program")
    return state


def export(path: Path, weights: dict[str, Tensor], metadata: dict[str, Any]) -> str:
    """Half-precision safetensors with JSON metadata, and the file's sha256 beside it; returns the digest."""
    from safetensors.torch import save as serialise

    half = {name: t.detach().to(torch.float16).contiguous() for name, t in weights.items()}
    data = serialise(half, {"dsanon": json.dumps(metadata, sort_keys=True)})
    digest = hashlib.sha256(data).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial")
    aside.write_bytes(data)
    aside.replace(path)
    path.with_suffix(".sha256").write_text(digest + "\n")
    return digest
