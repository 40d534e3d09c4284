"""The generator of faces and of bodies: a conditional U-Net that paints a new person into a hidden region.

After Maximov et al., CVPR 2020, section 3: landmark image (of a body: silhouette), masked background and identity
control vector in, a face or a body out. The source's hidden pixels never reach it: they are zeroed on the way in,
whoever calls.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Everything needed to rebuild the network; stored beside its weights.

    identities: length of the control vector · widths: channels at 128, 64, 32, 16 and 8 pixels of height
    embedding: length of the identity code · size, across: height and width of what it paints, in pixels
    architecture: see :mod:`dsanon.models.architectures`; the others take their widths from their papers
    """

    identities: int
    widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    embedding: int = 256
    size: int = 128
    architecture: str = "ciagan"
    across: int = 128

    def as_dict(self) -> dict[str, object]:
        """Plain values for a file's metadata."""
        return asdict(self)


def fill(pixels: Tensor, visible: Tensor) -> Tensor:
    """Smooth colours for what is hidden, from visible pixels alone (push-pull over an image pyramid).

    pixels (n, 3, h, w) already zero where hidden, visible (n, 1, h, w) in {0, 1}, h and w powers of two.
    Gives the network the skin tone beside the region and nothing of what lies inside it.
    """
    colours, weights = [pixels * visible], [visible]
    while min(weights[-1].shape[-2:]) > 1:
        colours.append(F.avg_pool2d(colours[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    out = colours[-1] / weights[-1].clamp_min(1e-4)
    for colour, weight in zip(colours[-2::-1], weights[-2::-1], strict=True):
        out = F.interpolate(out, scale_factor=2, mode="bilinear", align_corners=False)
        out = colour + (1 - weight) * out
    return out


M = TypeVar("M", bound=nn.Module)


def channels_last(module: M) -> M:
    """The module with its weights in channels-last memory, which the CPU's and the GPU's convolutions prefer."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def _means(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Means over pixels of (n, pixels, c) and of its squares: (n, 1, c) float32."""
    row = flat.new_full((len(flat), 1, flat.shape[1]), 1 / flat.shape[1])
    return torch.bmm(row, flat).float(), torch.bmm(row, flat * flat).float()


def _means_on_gpu(flat: Tensor) -> tuple[Tensor, Tensor]:
    """The same, summed in float32: the square of what float16 holds is not held by it."""
    length = torch.linalg.vector_norm(flat, dim=1, keepdim=True, dtype=torch.float32)
    return flat.mean(1, keepdim=True, dtype=torch.float32), length.square() / flat.shape[1]


class _ScaledInstanceNorm(torch.autograd.Function):
    """Instance norm, scale and shift in one pass over channels-last memory.

    PyTorch's own copies channels-last input to the other layout and back; this is what training spends its
    time on otherwise. On a CPU means are products with a constant row, so they run at the matrix unit's speed.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        n, c, h, w = x.shape
        flat = x.permute(0, 2, 3, 1).reshape(n, h * w, c)
        mean, square = (_means_on_gpu if x.is_cuda else _means)(flat)
        rstd = torch.rsqrt((square - mean * mean).clamp_min(0) + 1e-5)
        gain = scale.float()[:, None] * rstd
        out = torch.addcmul((shift.float()[:, None] - mean * gain).to(x.dtype), flat, gain.to(x.dtype))
        ctx.save_for_backward(x, mean, rstd, gain)
        return out.view(n, h, w, c).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, mean, rstd, gain = ctx.saved_tensors
        n, c, h, w = x.shape
        flat, g = (t.permute(0, 2, 3, 1).reshape(n, h * w, c) for t in (x, grads[0]))
        if x.is_cuda:
            g_mean, g_flat = (t.mean(1, keepdim=True, dtype=torch.float32) for t in (g, g * flat))
        else:
            row = flat.new_full((n, 1, h * w), 1 / (h * w))
            g_mean, g_flat = torch.bmm(row, g).float(), torch.bmm(row, g * flat).float()
        g_hat = (g_flat - g_mean * mean) * rstd  # mean of gradient × normalised input
        slope = gain * rstd * g_hat
        out = torch.addcmul((slope * mean - gain * g_mean).to(x.dtype), g, gain.to(x.dtype))
        out = torch.addcmul(out, flat, (-slope).to(x.dtype))
        area = h * w
        return out.view(n, h, w, c).permute(0, 3, 1, 2), (g_hat * area)[:, 0], (g_mean * area)[:, 0]


class Film(nn.Module):
    """Instance norm whose scale and shift the identity code sets (FiLM, Perez et al. 2018).

    Without a code (``code=0``) scale and shift are learnt constants: the encoder knows no identity.
    """

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.affine = nn.Linear(code, 2 * channels) if code else None
        self.constant = nn.Parameter(torch.zeros(2 * channels))
        if self.affine is not None:
            nn.init.normal_(self.affine.weight, std=0.02)
            nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """(n, channels, s, s), (n, code) → (n, channels, s, s)."""
        both = self.constant.expand(len(x), -1)
        if self.affine is not None and code is not None:
            both = both + self.affine(code)
        scale, shift = both.chunk(2, dim=1)
        plain = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if plain:  # compilers fuse it by themselves
            return (1 + scale)[:, :, None, None] * F.instance_norm(x) + shift[:, :, None, None]
        return torch.as_tensor(_ScaledInstanceNorm.apply(x, 1 + scale, shift))  # type: ignore[no-untyped-call]


class Block(nn.Module):
    """Two normalised 3 × 3 convolutions around a sum, steered by the identity where there is a code."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.film1 = Film(channels, code)
        self.film2 = Film(channels, code)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """(n, channels, s, s) → the same shape."""
        y = F.leaky_relu(self.film1(self.first(x), code), 0.2)
        return F.leaky_relu(x + self.film2(self.second(y), code), 0.2)


class Down(nn.Module):
    """Half the resolution: average pooling, a change of width, a block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(inputs, outputs, 1)
        self.block = Block(outputs, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, s, s) → (n, outputs, s / 2, s / 2)."""
        return torch.as_tensor(self.block(self.widen(F.avg_pool2d(x, 2))))


class Up(nn.Module):
    """Twice the resolution: a change of width, nearest, the encoder's skip added, a block.

    The width changes before the resolution does: at 128 pixels a concatenation would cost twice the arithmetic.
    """

    def __init__(self, inputs: int, outputs: int, code: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, outputs, 1)
        self.block = Block(outputs, code)

    def forward(self, x: Tensor, skip: Tensor, code: Tensor) -> Tensor:
        """(n, inputs, s, s), (n, outputs, 2 s, 2 s) → (n, outputs, 2 s, 2 s)."""
        x = F.interpolate(self.narrow(x), scale_factor=2, mode="nearest") + skip
        return torch.as_tensor(self.block(x, code))


class Generator(nn.Module):
    """Landmark image, masked pixels and control vector → pixels in [-1, 1]."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        w, code = config.widths, config.embedding
        self.identity = nn.Linear(config.identities, code, bias=False)
        self.mapping = nn.Sequential(
            nn.Linear(code, code), nn.LeakyReLU(0.2), nn.Linear(code, code), nn.LeakyReLU(0.2), nn.Linear(code, code)
        )
        self.seed = nn.Linear(code, 128 * 4)
        self.grow = nn.Sequential(
            nn.ConvTranspose2d(128, 128, 4, 2, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(128, 64, 4, 2, 1)
        )
        self.stem = nn.Conv2d(8, w[0], 3, padding=1)  # 3 landmark channels, 3 colours, visible, hidden-by-padding
        self.downs = nn.ModuleList(Down(a, b) for a, b in pairwise(w))
        self.bottleneck = nn.Conv2d(w[-1] + 64, w[-1], 3, padding=1)
        self.middle = nn.ModuleList(Block(w[-1], code) for _ in range(3))
        self.ups = nn.ModuleList(Up(a, b, code) for a, b in zip(w[:0:-1], w[-2::-1], strict=True))
        self.out = nn.Conv2d(w[0], 3, 3, padding=1)
        nn.init.normal_(self.identity.weight)

    def code(self, control: Tensor) -> Tensor:
        """Control vectors (n, identities) → identity codes (n, embedding): mixes of known codes, and as long as these.

        Mixed before the mapping, which is not linear, a vector of two identities is a code that nobody has: such faces
        had specks and creases all over.
        """
        e = self.identity.weight.T
        codes = self.mapping(e * torch.rsqrt(e.square().mean(dim=1, keepdim=True) + 1e-8))
        mixed, length = control @ codes, control @ codes.norm(dim=1, keepdim=True)
        return torch.as_tensor(mixed * (length / mixed.norm(dim=1, keepdim=True).clamp_min(1e-6)))

    def forward(self, landmarks: Tensor, pixels: Tensor, hidden: Tensor, padding: Tensor, control: Tensor) -> Tensor:
        """Paint (n, 3, h, w) in [-1, 1].

        landmarks (n, 3, h, w) in [0, 1]: of a body its silhouette · pixels (n, 3, h, w) in [-1, 1] · hidden, padding
        (n, 1, h, w) in {0, 1}: where somebody is hidden, and where the crop lies beyond the photo
        control (n, identities), rows sum to 1
        """
        visible = (1 - hidden) * (1 - padding)
        pixels = fill(pixels * visible, visible)
        code = self.code(control)
        x = F.leaky_relu(self.stem(torch.cat([landmarks, pixels, visible, padding], dim=1)), 0.2)
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(x)
        seed = self.grow(self.seed(code).view(-1, 128, 2, 2))
        if seed.shape[-2:] != x.shape[-2:]:
            seed = F.interpolate(seed, size=x.shape[-2:], mode="nearest")
        x = self.bottleneck(torch.cat([x, seed], dim=1))
        for block in self.middle:
            x = block(x, code)
        for up in self.ups:
            x = up(x, skips.pop(), code)
        return torch.tanh(self.out(x))
