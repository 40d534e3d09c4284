"""Networks whose weights the user brings: what a file of them must hold, and loading it.

Names and shapes are those of the network itself, built without memory; so a file is compared tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsanon.errors import WeightsError
from dsanon.models import store

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]
_COUNTER = "num_batches_tracked"  # of batch norms: older files lack it, and nobody needs it


@dataclass(frozen=True, slots=True)
class Network:
    """Where the class is. besides: tensors that a file may hold and that are not used, as its classifier's."""

    module: str
    name: str
    besides: Mapping[str, Shape] = field(default_factory=dict)


def _head(name: str, classes: int, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (classes, width), f"{name}.bias": (classes,)}


NETWORKS: dict[str, Network] = {
    "ssh": Network("dsanon.models.ssh", "Ssh", {"conv5_128_up.weight": (128, 1, 4, 4)}),
    "facenet_vggface2": Network("dsanon.models.inception_resnet", "InceptionResnetV1", _head("logits", 8631, 512)),
    "facenet_casia": Network("dsanon.models.inception_resnet", "InceptionResnetV1", _head("logits", 10575, 512)),
    "inception_fid": Network("dsanon.models.inception_v3", "InceptionV3Fid", _head("fc", 1008, 2048)),
}


def expected(name: str) -> dict[str, Shape]:
    """Names and shapes of the tensors that the network ``name`` needs."""
    import torch

    with torch.device("meta"):
        state = _class(name)().state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items() if not key.endswith(_COUNTER)}


def refuse_others(name: str, shapes: Mapping[str, Shape]) -> None:
    """Raise WeightsError unless tensors of ``shapes`` are those of the network ``name``, and no others."""
    needed = expected(name)
    known = needed | dict(NETWORKS[name].besides)
    for key, wanted in known.items():
        if key in needed and key not in shapes:
            raise WeightsError(f"{name}: {key} of {_size(wanted)} is missing: this is another model")
        if key in shapes and shapes[key] != wanted:
            raise WeightsError(
                f"{name}: {key} is of {_size(shapes[key])}, expected {_size(wanted)}: this is another model"
            )
    if others := sorted(key for key in shapes if key not in known and not key.endswith(_COUNTER)):
        raise WeightsError(f"{name}: it has no tensor {others[0]} ({len(others)} unknown): this is another model")


def load(name: str, path: Path | None = None) -> Any:
    """The network ``name`` in float32 with its registered weights, or those in ``path``, ready for inference.

    Raises WeightsError where they are missing, altered or another model's.
    """
    from safetensors.torch import load_file

    state = load_file(path or store.path(name))
    refuse_others(name, {key: tuple(tensor.shape) for key, tensor in state.items()})
    network = _class(name)()
    network.load_state_dict({key: state[key].float() for key in expected(name)}, strict=False)
    return network.eval().requires_grad_(False)


def _class(name: str) -> Callable[[], nn.Module]:
    found: Callable[[], nn.Module] = getattr(import_module(NETWORKS[name].module), NETWORKS[name].name)
    return found


def _size(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "one number"
