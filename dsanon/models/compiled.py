"""A network compiled for the CPU by OpenVINO: float32, one thread, the same bits on every run.

PyTorch lays a convolution's weights out anew on every call, which at one face a call takes as long as the arithmetic;
OpenVINO does so once, and takes normalisation, sums and activations along with the convolutions.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[np.float32]

# One thread: workers are the parallelism. Not pinned: every worker would choose the same core.
_OPTIONS = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
    "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16, or half precision, where the processor has it
}


class Compiled:
    """Computes what ``network`` does, for float32 inputs of the shapes of ``example``, whose values do not matter."""

    def __init__(self, network: nn.Module, example: Sequence[Tensor]) -> None:
        openvino = _openvino()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's: that shapes become constants, as they shall
            traced = torch.jit.trace(network.eval(), tuple(example), check_trace=False)  # type: ignore[no-untyped-call]
            shapes = [(list(tensor.shape), openvino.Type.f32) for tensor in example]
            model = openvino.convert_model(torch.jit.freeze(traced), input=shapes)
        self._request = _core().compile_model(model, "CPU", _OPTIONS).create_infer_request()

    def __call__(self, *inputs: Tensor) -> Array:
        """The network's one output, a copy."""
        found = self._request.infer([tensor.numpy() for tensor in inputs])
        return np.array(found[0], dtype=np.float32)


@cache
def _core() -> Any:
    """The process's one Core, which is never taken down.

    OpenVINO's CPU plugin lends the thread that opens it a stack for signals, and unmaps it when it closes
    (``SigAltStackSetup``). Of two, closed in the order in which they were opened, the second one puts the first one's
    back, which is gone: the next signal, as of Ctrl-C, ends the process in a silent segmentation fault.
    """
    return _openvino().Core()


@cache
def _openvino() -> Any:
    """The package, kept from reporting its use to its makers: where the reporter is missing it does without."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
