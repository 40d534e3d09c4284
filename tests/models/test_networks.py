"""The users' networks: their tensors as published, and outputs that follow from weights made by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from network_weights import brightness, neutral, write
from torch import nn

from dsanon.errors import WeightsError
from dsanon.models import networks, store
from dsanon.models.inception_resnet import InceptionResnetV1
from dsanon.models.inception_v3 import InceptionV3Fid
from dsanon.models.ssh import Ssh

Shapes = dict[str, tuple[int, ...]]
FLAT7, TALL7, FLAT3, TALL3 = (1, 7), (7, 1), (1, 3), (3, 1)


def unit(name: str, inputs: int, outputs: int, kernel: int | tuple[int, int] = 1) -> Shapes:
    """A convolution without bias and its batch norm."""
    h, w = (kernel, kernel) if isinstance(kernel, int) else kernel
    norms = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.conv.weight": (outputs, inputs, h, w)} | {f"{name}.bn.{n}": (outputs,) for n in norms}


def chain(name: str, *layers: tuple[int, int, int | tuple[int, int]]) -> Shapes:
    """A sequence of units."""
    return {k: v for i, layer in enumerate(layers) for k, v in unit(f"{name}.{i}", *layer).items()}


def facenet() -> Shapes:
    """facenet-pytorch's InceptionResnetV1 without its classifier, from Szegedy et al. 2016."""
    out: Shapes = {}
    stem = {"1a": (3, 32, 3), "2a": (32, 32, 3), "2b": (32, 64, 3), "3b": (64, 80, 1), "4a": (80, 192, 3)}
    for name, layer in (stem | {"4b": (192, 256, 3)}).items():
        out |= unit(f"conv2d_{name}", *layer)
    for i in range(5):
        block = f"repeat_1.{i}"
        out |= unit(f"{block}.branch0", 256, 32) | chain(f"{block}.branch1", (256, 32, 1), (32, 32, 3))
        out |= chain(f"{block}.branch2", (256, 32, 1), (32, 32, 3), (32, 32, 3))
        out |= {f"{block}.conv2d.weight": (256, 96, 1, 1), f"{block}.conv2d.bias": (256,)}
    out |= unit("mixed_6a.branch0", 256, 384, 3)
    out |= chain("mixed_6a.branch1", (256, 192, 1), (192, 192, 3), (192, 256, 3))
    for i in range(10):
        block = f"repeat_2.{i}"
        out |= unit(f"{block}.branch0", 896, 128)
        out |= chain(f"{block}.branch1", (896, 128, 1), (128, 128, FLAT7), (128, 128, TALL7))
        out |= {f"{block}.conv2d.weight": (896, 256, 1, 1), f"{block}.conv2d.bias": (896,)}
    out |= chain("mixed_7a.branch0", (896, 256, 1), (256, 384, 3))
    out |= chain("mixed_7a.branch1", (896, 256, 1), (256, 256, 3))
    out |= chain("mixed_7a.branch2", (896, 256, 1), (256, 256, 3), (256, 256, 3))
    for block in (*(f"repeat_3.{i}" for i in range(5)), "block8"):
        out |= unit(f"{block}.branch0", 1792, 192)
        out |= chain(f"{block}.branch1", (1792, 192, 1), (192, 192, FLAT3), (192, 192, TALL3))
        out |= {f"{block}.conv2d.weight": (1792, 384, 1, 1), f"{block}.conv2d.bias": (1792,)}
    out |= {"last_linear.weight": (512, 1792)}
    return out | {f"last_bn.{n}": (512,) for n in ("weight", "bias", "running_mean", "running_var")}


def inception() -> Shapes:
    """torchvision's Inception-v3 without auxiliary head and classifier, as pytorch-fid's file has it."""
    out: Shapes = {}
    stem = {"1a_3x3": (3, 32, 3), "2a_3x3": (32, 32, 3), "2b_3x3": (32, 64, 3), "3b_1x1": (64, 80, 1)}
    for name, layer in (stem | {"4a_3x3": (80, 192, 3)}).items():
        out |= unit(f"Conv2d_{name}", *layer)
    for name, n, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        branches = {"1x1": (n, 64), "5x5_1": (n, 48), "5x5_2": (48, 64, 5), "_pool": (n, pool)}
        branches |= {"3x3dbl_1": (n, 64), "3x3dbl_2": (64, 96, 3), "3x3dbl_3": (96, 96, 3)}
        out |= _mixed(name, branches)
    out |= _mixed("6a", {"3x3": (288, 384, 3), "3x3dbl_1": (288, 64), "3x3dbl_2": (64, 96, 3), "3x3dbl_3": (96, 96, 3)})
    for name, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        branches = {"1x1": (768, 192), "_pool": (768, 192), "7x7_1": (768, c), "7x7_2": (c, c, FLAT7)}
        branches |= {"7x7_3": (c, 192, TALL7), "7x7dbl_1": (768, c), "7x7dbl_2": (c, c, TALL7)}
        branches |= {"7x7dbl_3": (c, c, FLAT7), "7x7dbl_4": (c, c, TALL7), "7x7dbl_5": (c, 192, FLAT7)}
        out |= _mixed(name, branches)
    branches = {"3x3_1": (768, 192), "3x3_2": (192, 320, 3), "7x7x3_1": (768, 192), "7x7x3_2": (192, 192, FLAT7)}
    out |= _mixed("7a", branches | {"7x7x3_3": (192, 192, TALL7), "7x7x3_4": (192, 192, 3)})
    for name, n in (("7b", 1280), ("7c", 2048)):
        branches = {"1x1": (n, 320), "_pool": (n, 192), "3x3_1": (n, 384), "3x3dbl_1": (n, 448)}
        branches |= {"3x3_2a": (384, 384, FLAT3), "3x3_2b": (384, 384, TALL3), "3x3dbl_2": (448, 384, 3)}
        out |= _mixed(name, branches | {"3x3dbl_3a": (384, 384, FLAT3), "3x3dbl_3b": (384, 384, TALL3)})
    return out


def _mixed(name: str, branches: dict[str, tuple]) -> Shapes:
    return {k: v for branch, layer in branches.items() for k, v in unit(f"Mixed_{name}.branch{branch}", *layer).items()}


def ssh() -> Shapes:
    """The layers of test_ssh.prototxt that have weights, less the fixed bilinear one."""
    widths = {"1": (64, 64), "2": (128, 128), "3": (256,) * 3, "4": (512,) * 3, "5": (512,) * 3}
    layers, inputs = {}, 3
    for group, outputs in widths.items():
        for i, n in enumerate(outputs, 1):
            layers[f"conv{group}_{i}"], inputs = (n, inputs, 3, 3), n
    layers |= {"conv4_128": (128, 512, 1, 1), "conv5_128": (128, 512, 1, 1), "conv4_fuse_final": (128, 128, 3, 3)}
    for m, n, x in (("m1", 128, 128), ("m2", 512, 256), ("m3", 512, 256)):
        half = (x // 2, x // 2, 3, 3)
        layers |= {f"{m}@ssh_3x3": (x, n, 3, 3), f"{m}@ssh_dimred": (x // 2, n, 3, 3)}
        layers |= {f"{m}@ssh_5x5": half, f"{m}@ssh_7x7-1": half, f"{m}@ssh_7x7": half}
        layers |= {f"{m}@ssh_cls_score": (4, 2 * x, 1, 1), f"{m}@ssh_bbox_pred": (8, 2 * x, 1, 1)}
    return {f"{k}.weight": v for k, v in layers.items()} | {f"{k}.bias": v[:1] for k, v in layers.items()}


PUBLISHED = {"facenet_vggface2": facenet, "facenet_casia": facenet, "inception_fid": inception, "ssh": ssh}


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_tensors_are_the_published_ones(name: str) -> None:
    assert networks.expected(name) == PUBLISHED[name]()


def parameters(shapes: Shapes) -> int:
    return sum(math.prod(shape) for key, shape in shapes.items() if "running" not in key)


def test_as_many_parameters_as_published() -> None:
    # facenet-pytorch: 27.9 M with the classes of VGGFace2 · VGG-16 without its head: 14,714,688
    assert parameters(facenet()) + 8631 * 512 + 8631 == 27_910_327
    with torch.device("meta"):
        classified = InceptionResnetV1(classes=8631)
    assert sum(p.numel() for p in classified.parameters()) == 27_910_327
    assert set(classified.state_dict()) >= {"logits.weight", "logits.bias"}
    trunk = {k: v for k, v in ssh().items() if k[4] in "12345" and k[5] == "_" and "128" not in k and "fuse" not in k}
    assert parameters(trunk) == 14_714_688
    assert len(facenet()) == 602
    assert len(inception()) == 5 * 94


@pytest.mark.parametrize(
    ("name", "head", "classes"), [("facenet_vggface2", "logits", 8631), ("inception_fid", "fc", 1008)]
)
def test_a_classifier_may_come_along_but_only_its_own(name: str, head: str, classes: int) -> None:
    shapes = networks.expected(name)
    width = {"logits": 512, "fc": 2048}[head]
    networks.refuse_others(name, shapes)
    networks.refuse_others(name, shapes | {f"{head}.weight": (classes, width), f"{head}.bias": (classes,)})
    counter = next(k for k in shapes if k.endswith("running_var")).replace("running_var", "num_batches_tracked")
    networks.refuse_others(name, shapes | {counter: ()})
    with pytest.raises(WeightsError, match=f"{head}.weight is of 10575×{width}, expected {classes}×{width}"):
        networks.refuse_others(name, shapes | {f"{head}.weight": (10575, width)})


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_one_tensor_less_more_or_other_is_another_model(name: str) -> None:
    shapes = networks.expected(name)
    first, *_, last = shapes
    with pytest.raises(WeightsError, match=f"{last} of .* is missing: this is another model"):
        networks.refuse_others(name, {k: v for k, v in shapes.items() if k != last})
    with pytest.raises(WeightsError, match=f"{first} is of 7×7, expected"):
        networks.refuse_others(name, shapes | {first: (7, 7)})
    with pytest.raises(WeightsError, match=r"it has no tensor more\.weight"):
        networks.refuse_others(name, shapes | {"more.weight": (1,)})


@pytest.mark.parametrize("name", ["facenet_casia", "inception_fid", "ssh"])
def test_a_whole_file_is_registered_and_loaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "models"))
    state = {key: torch.zeros(shape, dtype=torch.float16) for key, shape in networks.expected(name).items()}
    key = next(k for k in state if k.endswith(".weight"))
    state[key].view(-1)[0] = 3
    assert store.add(name.replace("_", "-"), write(tmp_path / "file.safetensors", state)) == store.path(name)
    loaded = networks.load(name)
    assert loaded.state_dict()[key].view(-1)[0] == 3
    assert loaded.state_dict()[key].dtype == torch.float32
    assert not loaded.training
    del state[key]
    with pytest.raises(WeightsError, match=f"{key} of .* is missing"):
        store.add(name, write(tmp_path / "less.safetensors", state))


def test_facenet_by_hand() -> None:
    """Every unit makes 1; so a block adds its scale, and what a pool takes along is what was there before.

    256 channels: 1 + 5 × 0.17 = 1.85 · 640 new of 1 beside them, + 10 × 0.1: 2 and 2.85 · 896 new of 1 beside them,
    + 5 × 0.2: 2, 3 and 3.85 · the last block takes 10 off, and there is no ReLU behind it.
    """
    network = neutral(InceptionResnetV1())
    for name, module in network.named_modules():
        if name.endswith(".bn"):
            nn.init.ones_(module.bias)
        if name.endswith(".conv2d"):
            nn.init.constant_(module.weight, (-10 if name.startswith("block8") else 1) / module.in_channels)
    weight = torch.zeros(512, 1792)
    for row, channel in enumerate((0, 895, 896, 1535, 1536, 1791)):
        weight[row, channel] = 1
    network.last_linear.weight.data = weight
    wanted = torch.tensor([-8, -8, -7, -7, -6.15, -6.15])
    sides = []
    network.block8.register_forward_hook(lambda _m, _i, out: sides.append(out.shape))
    made = network(torch.randn(1, 3, 160, 160))[0]
    assert torch.allclose(made[:6], wanted / wanted.norm(), atol=1e-5)
    assert made[6:].abs().max() == 0
    assert sides == [(1, 1792, 3, 3)]


def test_inception_by_hand() -> None:
    """Constants come out where each branch of the last block has its channels."""
    network = neutral(InceptionV3Fid())
    block = network.Mixed_7c
    parts = {"branch1x1": 320, "branch3x3_2a": 384, "branch3x3_2b": 384, "branch3x3dbl_3a": 384}
    parts |= {"branch3x3dbl_3b": 384, "branch_pool": 192}
    for value, name in enumerate(parts, 1):
        nn.init.constant_(block.get_submodule(name).bn.bias, value)
    sides = []
    network.Mixed_7c.register_forward_hook(lambda _m, _i, out: sides.append(out.shape[2:]))
    made = network(torch.rand(1, 3, 40, 50))[0]
    assert made.tolist() == [value for value, width in enumerate(parts.values(), 1) for _ in range(width)]
    assert sides == [(8, 8)]


@pytest.mark.parametrize(("name", "inputs", "corner", "near"), [
    ("Mixed_5b", 192, 1 / 4, 1 / 9), ("Mixed_6c", 768, 1 / 4, 1 / 9), ("Mixed_7b", 1280, 1 / 4, 1 / 9),
    ("Mixed_7c", 2048, 1, 1),
])  # fmt: skip
def test_its_pools_leave_out_the_padding_and_the_last_takes_the_maximum(
    name: str, inputs: int, corner: float, near: float
) -> None:
    block = neutral(InceptionV3Fid()).get_submodule(name)
    block.branch_pool.conv.weight.data[0, 5] = 1
    x = torch.zeros(1, inputs, 6, 6)
    x[0, 5, 0, 0] = x[0, 5, 3, 3] = 1
    pooled = block(x)[0, -block.branch_pool.conv.out_channels]
    assert pooled[0, 0] == pytest.approx(corner)
    assert pooled[4, 4] == pytest.approx(near)
    assert pooled[5, 5] == 0


def test_its_pictures_are_scaled_without_antialiasing() -> None:
    network = neutral(InceptionV3Fid())
    seen = []
    network.Conv2d_1a_3x3.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    stripes = (torch.arange(4 * 299) % 4 // 2 == (torch.arange(4 * 299) % 4 % 2 == 0).long()).float()  # 0 1 1 0
    network(stripes.expand(1, 3, 4 * 299, -1))
    assert stripes[:4].tolist() == [0, 1, 1, 0]
    assert seen[0].shape == (1, 3, 299, 299)
    assert torch.allclose(seen[0], torch.ones(()))


def test_sshs_upsampling_is_bilinear() -> None:
    coarse = torch.randn(1, 128, 5, 6)
    up = F.conv_transpose2d(coarse, Ssh().bilinear, stride=2, padding=1, groups=128)
    assert torch.allclose(
        up[..., 1:-1, 1:-1], F.interpolate(coarse, scale_factor=2, mode="bilinear")[..., 1:-1, 1:-1], atol=1e-5
    )


def test_sshs_modules_see_their_strides_and_a_softmax_over_background_and_face() -> None:
    network = brightness(neutral(Ssh()))
    network.get_submodule("m2@ssh_cls_score").bias.data = torch.tensor([0.0, 1, 3, 2])
    heads = network(torch.zeros(1, 3, 64, 96))
    assert [tuple(score.shape) for score, _ in heads] == [(1, 2, 8, 12), (1, 2, 4, 6), (1, 2, 2, 3)]
    assert [tuple(deltas.shape) for _, deltas in heads] == [(1, 2, 4, 8, 12), (1, 2, 4, 4, 6), (1, 2, 4, 2, 3)]
    score = heads[1][0][0, :, 0, 0].numpy()
    assert np.allclose(score, [1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-1))])
