"""The losses, each with its equation. All take and return float tensors; images are (n, c, h, w) in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) products of vectors (n, d) and (m, d), in float32 under autocast as well: bfloat16 has three digits."""
    with torch.autocast(a.device.type, enabled=False):
        return a.float() @ b.float().T


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


def tone(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """E |Σ w (a - b)| / Σ w, over images and channels: the mean colours of a region. weight: (n, 1, h, w)."""
    difference = ((a - b) * weight).sum((2, 3)) / weight.sum((2, 3)).clamp_min(1.0)
    return difference.abs().sum() / max(1, difference.numel())


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor], items: Tensor) -> Tensor:
    """Σ_layers E|f(x) - f(G)| / E|f(x)| over the chosen ``items`` (n,) bool; 0 without any (Wang et al. 2018)."""
    if not bool(items.any()):
        return fake[0].new_zeros((), dtype=torch.float32)
    terms = []
    for r, f in zip(real, fake, strict=True):
        r, f = r[items].detach().float(), f[items].float()
        terms.append((r - f).abs().mean() / r.abs().mean().clamp_min(1e-3))
    return torch.stack(terms).mean()


def identity_cross_entropy(
    embeddings: Tensor, prototypes: Tensor, control: Tensor, scale: float = 20.0, enough: float = 0.0
) -> Tensor:
    """E max(0, -Σ_i c_i log (softmax_i(scale · cos(e, p_i)) / c_i) - enough): the face must be whom the vector names.

    embeddings (n, d) and prototypes (identities, d) of unit length, control (n, identities), rows sum to 1: the
    divergence of what is seen from what was wished, in nats. A face that is recognised well ``enough`` is left alone:
    a teacher that always asks for more gets a caricature.
    """
    wish = torch.special.entr(control) + control * F.log_softmax(scale * cosines(embeddings, prototypes), dim=1)
    return F.relu(-wish.sum(1) - enough).mean()


def away_from_source(embeddings: Tensor, sources: Tensor, margin: float = 0.05) -> Tensor:
    """E max(0, cos(e, e_source) - margin): the painted face must not be the source's."""
    return F.relu((embeddings * sources).sum(1) - margin).mean()


def away_from_people(embeddings: Tensor, people: Tensor, near: float) -> Tensor:
    """E max(0, max_k cos(e, p_k) - near): the painted face must be nobody's. people: (m, d) of unit length."""
    return F.relu(cosines(embeddings, people).amax(1) - near).mean()


def gan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-½ E log σ(D(x)) - ½ E log(1 - σ(D(G(z)))) (Goodfellow et al. 2014; equation 1 of pix2pix)."""
    return 0.5 * (F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean())


def gan_generator(fake: Tensor) -> Tensor:
    """-E log σ(D(G(z))), the form that does not saturate (section 3.3 of pix2pix)."""
    return F.softplus(-fake.float()).mean()


def cycle_consistency(back: Tensor, start: Tensor) -> Tensor:
    """E|F(G(x)) - x| (Zhu et al. 2017, equation 2)."""
    return (back.float() - start.float()).abs().mean()


def proxy_nca(embeddings: Tensor, proxies: Tensor, identity: Tensor, sharpness: float = 1.0) -> Tensor:
    """-E log exp(-d(e, p_y)) / Σ_{z ≠ y} exp(-d(e, p_z)), d the squared distance of unit vectors, times ``sharpness``.

    Movshovitz-Attias et al. 2017, equation 4. embeddings (n, d), proxies (identities, d) of any length,
    identity (n,) in [0, identities). sharpness: the square of the length that all vectors are given
    """
    e, p = F.normalize(embeddings.float(), dim=1), F.normalize(proxies.float(), dim=1)
    distance = sharpness * (2 - 2 * cosines(e, p))
    mine = F.one_hot(identity, len(p)).bool()
    others = distance.masked_fill(mine, torch.inf)
    return (distance[mine] + torch.logsumexp(-others, dim=1)).mean()


def contrastive(a: Tensor, b: Tensor, same: Tensor, margin: float) -> Tensor:
    """E ½ y d² + ½ (1 - y) max(0, margin - d)², d = |a - b| (Hadsell et al. 2006, equation 4).

    a, b (n, d) · same (n,) bool: y, whether both show one person
    """
    squared = (a.float() - b.float()).square().sum(1)
    far = F.relu(margin - (squared + 1e-12).sqrt()).square()  # the root has no slope at 0
    return 0.5 * torch.where(same, squared, far).mean()
