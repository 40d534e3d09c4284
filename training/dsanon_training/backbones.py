"""Frozen networks that guide training: ImageNet MobileNetV2 and a face recogniser read from ONNX."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.errors import WeightsError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@lru_cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(n,) float32 on ``device``, sent there once: a GPU waits for whatever is copied to it."""
    with torch.inference_mode(False):  # it is kept, and may be part of a gradient later
        return torch.tensor(values, device=device)


def imagenet(pixels: Tensor) -> Tensor:
    """[-1, 1] RGB (n, 3, h, w) to ImageNet's mean and deviation."""
    mean, std = (constant(v, pixels.device).to(pixels.dtype).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((pixels + 1) / 2 - mean) / std


class _Inverted(nn.Module):
    """Inverted residual of MobileNetV2 (Sandler et al. 2018), keys as torchvision names them."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inputs * expand
        layers: list[nn.Module] = [] if expand == 1 else [_conv(inputs, wide, 1, 1, 1)]
        layers += [_conv(wide, wide, 3, stride, wide), nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return x + y if self.residual else torch.as_tensor(y)


def _conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class MobileNetV2Features(nn.Module):
    """Frozen ImageNet features at strides 4, 8, 16 and 32 (24, 32, 96 and 320 channels).

    weights: ImageNet's; None: of no use until others are loaded
    """

    channels = (24, 32, 96, 320)

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_conv(3, 32, 3, 2, 1)]
        inputs = 32
        table = (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        )
        for expand, outputs, repeat, stride in table:
            for i in range(repeat):
                blocks.append(_Inverted(inputs, outputs, stride if i == 0 else 1, expand))
                inputs = outputs
        self.features = nn.ModuleList(blocks)
        if weights is not None:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            missing, _ = self.load_state_dict(state, strict=False)
            if missing:
                raise WeightsError(f"{weights.name} lacks {len(missing)} tensors of MobileNetV2, {missing[0]} first")
        fold_batch_norms(self)
        self.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Features of (n, 3, h, w) RGB in [-1, 1], from fine to coarse."""
        x, out = imagenet(pixels), []
        for index, block in enumerate(self.features):
            x = block(x)
            if index in (3, 6, 13, 17):
                out.append(x)
        return out


def fold_batch_norms(module: nn.Module) -> None:
    """Merge each frozen batch norm into the convolution before it: a third of the passes over memory go."""
    for parent in module.modules():
        names = list(parent._modules)
        for first, second in pairwise(names):
            conv, norm = parent._modules[first], parent._modules[second]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                norm.eval()
                parent._modules[first] = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm)
                parent._modules[second] = nn.Identity()


class OnnxNetwork(nn.Module):
    """A small ONNX graph as a differentiable module: convolution, Clip, Relu, PRelu, Add, Reshape, Flatten.

    Enough for MobileFaceNet; anything else raises WeightsError with the operator's name.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnx
        from onnx import helper, numpy_helper

        graph = onnx.load(path).graph
        self.input, self.output = graph.input[0].name, graph.output[0].name
        values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.steps: list[tuple[str, list[str], str, dict[str, object]]] = []
        for node in graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                values[node.output[0]] = numpy_helper.to_array(attributes["value"])
            elif node.op_type in ("Conv", "Clip", "Relu", "PRelu", "Add", "Reshape", "Flatten"):
                self.steps.append((node.op_type, list(node.input), node.output[0], attributes))
            else:
                raise WeightsError(f"{path.name}: operator {node.op_type} is not supported here")
        self._numbers = {name: float(value) for name, value in values.items() if value.size == 1}  # known without a GPU
        self._names = {name: f"w{i}" for i, name in enumerate(values)}
        for name, value in values.items():
            self.register_buffer(self._names[name], torch.tensor(value))
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """The graph's first output for its first input."""
        live: dict[str, Tensor] = {self.input: x}

        def value(name: str) -> Tensor:
            return live[name] if name in live else torch.as_tensor(getattr(self, self._names[name]))

        for kind, names, out, options in self.steps:
            a = [value(n) for n in names if n]
            if kind == "Conv":
                pads, strides = options.get("pads", [0] * 4), options.get("strides", [1, 1])
                live[out] = F.conv2d(*a, stride=strides, padding=pads[:2], groups=options.get("group", 1))  # type: ignore
            elif kind == "Clip":
                low, high = (self._numbers[n] for n in names[1:])
                live[out] = F.hardtanh(a[0], low, high)  # a clamp's gradient takes four passes
            elif kind == "Relu":
                live[out] = F.relu(a[0])
            elif kind == "PRelu":
                live[out] = F.prelu(a[0], a[1].flatten())
            elif kind == "Add":
                live[out] = a[0] + a[1]
            else:
                live[out] = a[0].flatten(1)
        return live[self.output]
