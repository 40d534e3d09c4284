"""Weights of users, and the register of them."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest import mock

from fuzz.parser import BYTES, JSON, Parser, file

from dsanon.errors import WeightsError
from dsanon.models import store, weights
from dsanon.models.checks import check


@cache
def _tensor_seeds() -> list[bytes]:
    import torch
    from safetensors.torch import save

    from dsanon.models.generator import GeneratorConfig

    config = {"identities": 2, "widths": (8, 8, 8, 8, 8), "embedding": 4}
    about = {"kind": "generator", "config": config, "identities": ["a", "b"], "steps": 1, "recipe": "r"}
    assert GeneratorConfig(**config)
    return [save({"a": torch.zeros(2, 3)}, {"dsanon": json.dumps(about)}), pickle.dumps({"a": 1})]


def _tensors(data: bytes, folder: Path) -> None:
    path = file(data, folder / "a.safetensors")
    for read in (
        lambda: check("my-face", ".safetensors", data),
        lambda: store.metadata(path),
        lambda: weights.read_card(path),
    ):
        _refused(read)


def _refused(read: Callable[[], object]) -> None:
    try:
        read()
    except WeightsError:
        return


def _onnx(data: bytes, folder: Path) -> None:
    check("yunet", ".onnx", data)


def _dlib(data: bytes, folder: Path) -> None:
    check("landmarks68", ".dat", data)


def _register(data: bytes, folder: Path) -> None:
    with mock.patch.dict(os.environ, DSANON_MODELS=str(folder)):
        file(data, folder / store.REGISTER)
        store.describe()


PARSERS: dict[str, Parser] = {
    "safetensors": Parser(_tensor_seeds, [*BYTES, *JSON], _tensors),
    "onnx": Parser(lambda: [b"\x08\x07\x12\x04test:\x04\n\x00\x12\x00"], BYTES, _onnx),
    "dlib": Parser(lambda: [b"\x01\x01\x01\x02\x01\x44"], BYTES, _dlib),
    "registered.json": Parser(
        lambda: [b'{"yunet": {"file": "yunet.onnx", "sha256": "ab", "size": 3}}'], JSON, _register
    ),
}
