"""The losses, each with its equation. All take and return float tensors; images are (n, c, h, w) in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def lsgan_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """½ E[(D(x) - 1)²] + ½ E[D(G(z))²], averaged over the heads (Mao et al. 2017; equation 1 of CIAGAN)."""
    terms = [
        0.5 * ((r.float() - 1).square().mean() + f.float().square().mean()) for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def lsgan_generator(fake: Sequence[Tensor]) -> Tensor:
    """½ E[(D(G(z)) - 1)²], averaged over the heads (equation 2 of CIAGAN)."""
    return torch.stack([0.5 * (f.float() - 1).square().mean() for f in fake]).mean()


def masked_l1(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Σ w |a - b| / (channels · Σ w); 0 where no weight is given. weight: (n, 1, h, w)."""
    total = weight.sum() * a.shape[1]
    return ((a - b).abs() * weight).sum() / total.clamp_min(1.0)


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor], items: Tensor) -> Tensor:
    """Σ_layers E|f(x) - f(G)| / E|f(x)| over the chosen ``items`` (n,) bool; 0 without any (Wang et al. 2018)."""
    if not bool(items.any()):
        return fake[0].new_zeros((), dtype=torch.float32)
    terms = []
    for r, f in zip(real, fake, strict=True):
        r, f = r[items].detach().float(), f[items].float()
        terms.append((r - f).abs().mean() / r.abs().mean().clamp_min(1e-3))
    return torch.stack(terms).mean()


def identity_cross_entropy(embeddings: Tensor, prototypes: Tensor, control: Tensor, scale: float = 20.0) -> Tensor:
    """-Σ_i c_i log softmax_i(scale · cos(e, p_i)): the painted face must be the one that the vector names.

    embeddings (n, d) and prototypes (identities, d) of unit length, control (n, identities), rows sum to 1.
    """
    return torch.sum(-control * F.log_softmax(scale * embeddings @ prototypes.T, dim=1), dim=1).mean()


def away_from_source(embeddings: Tensor, sources: Tensor, items: Tensor, margin: float = 0.05) -> Tensor:
    """E max(0, cos(e, e_source) - margin) over ``items``: the painted face must not be the source's."""
    if not bool(items.any()):
        return embeddings.new_zeros(())
    return F.relu((embeddings[items] * sources[items]).sum(1) - margin).mean()
