"""Identities that are nobody: drawn from the training people as the teacher sees them, and far from each of them.

A generator that learns to paint training people paints people. These are none: each is as far from every real person as
two real people are from one another. What a vector means is learnt from real photos all the same, since whoever is on
one is, to the teacher, a mix of strangers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.errors import RecipeError
from dsanon_training.batches import Batch
from dsanon_training.engine import Engine

_TRIES = 200  # drawn for each one that is kept
_FOLLOW = 0.3  # of the way to what is seen now
_RIDGE = 0.02  # of the mean square of the prototypes along a direction; keeps mixes small

Doubles = npt.NDArray[np.float64]


class Strangers(nn.Module):
    """prototypes: (count, length) of unit length, what the teacher is asked to see in a face of each vector

    painted: (count, length), what it has lately seen in them · near: cosine that half of the people have to their
    nearest neighbour
    people: (m, length) of unit length, what it sees in all photos of each training person together. No file holds them.
    """

    prototypes: Tensor
    painted: Tensor
    people: Tensor

    def __init__(self, prototypes: Tensor, people: Tensor) -> None:
        super().__init__()
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("painted", prototypes.clone())
        self.register_buffer("people", people, persistent=False)
        alike = people @ people.T
        self.near = float(alike.fill_diagonal_(-1).amax(1).median())

    def targets(self) -> Tensor:
        """(count, length) of unit length: half-way between what was drawn and what a face of the vector looks like.

        Not everything that is drawn has a face, least of all in any pose: who insists on it gets a caricature.
        """
        return F.normalize(self.prototypes + self.painted, dim=1)

    @torch.no_grad()
    def follow(self, views: list[Tensor], control: Tensor, engine: Engine) -> None:
        """Move ``painted`` towards what the teacher sees, (n, length) a view, in faces of ``control`` (n, count).

        Mixes do not count. Every process has to call it, with whatever it painted.
        """
        sums = self.painted.new_zeros(len(self.painted), self.painted.shape[1] + 1)
        plain = (control == 1).to(sums.dtype)
        for view in views:
            sums += torch.cat([plain.T @ view.detach(), plain.sum(0)[:, None]], dim=1)
        if engine.ranks > 1:
            torch.distributed.all_reduce(sums)
        number = sums[:, -1:]
        self.painted += _FOLLOW * (number > 0) * (sums[:, :-1] / number.clamp_min(1) - self.painted)

    def mix(self, embeddings: Tensor) -> Tensor:
        """Control vectors (n, count) of whom the teacher sees in ``embeddings`` (n, length): the shortest mix, of
        either sign, whose prototypes sum up to each (ridge regression).
        """
        p = self.prototypes
        gram = p.T @ p
        gram = gram + _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
        return torch.as_tensor(embeddings @ torch.linalg.solve(gram, p.T))

    @torch.no_grad()
    def told(self, batch: Batch) -> Batch:
        """``batch`` with the control vectors of the samples whose target is the source itself.

        They tell of the person, not of the photo: else a vector would come to mean blur, or a tint, as well.
        """
        control = batch.control.clone()
        control[batch.own] = self.mix(self.people[batch.person[batch.own]])
        return replace(batch, control=control)

    @torch.no_grad()
    def translated(self, weight: Tensor, prototypes: Tensor) -> Tensor:
        """``weight`` (code, other count) of a generator with other ``prototypes`` (other count, length), for these.

        What was learnt is how to paint what the teacher sees; whom the vectors name is each run's own choice, for they
        must be far from everybody who trains in it.
        """
        return torch.as_tensor(weight @ torch.linalg.pinv(prototypes.T) @ self.prototypes.T)

    @torch.no_grad()
    def confine(self, weight: Tensor) -> None:
        """Make of ``weight`` (code, count), the map from vectors to codes, a function of the prototypes' mix alone.

        There are more vectors than the teacher's embedding is long. What differs between two vectors of which the
        teacher would see the same is never told of a real photo: the generator would be free to paint a flaw for it.
        """
        weight.copy_(weight @ (self.prototypes @ torch.linalg.pinv(self.prototypes)))


def drawn(photos: npt.ArrayLike, who: npt.NDArray[np.int64], count: int, seed: int) -> Doubles:
    """Prototypes (count, length) of unit length, of people whom none of the photos shows.

    photos: (n, length) of unit length · who: (n,), the person on each, from 0 on. Drawn from the Gaussian of what
    people differ in; dropped if nearer to a person, or to a stranger taken before, than half of the people are to
    their nearest neighbour. Raises RecipeError where there are too few people for that.
    """
    x = np.asarray(photos, dtype=np.float64)
    counts = np.bincount(who).astype(np.float64)
    if len(counts) < 3:
        raise RecipeError(f"strangers = {count}: {len(counts)} people are too few to draw others from; give more data")
    means = np.zeros((len(counts), x.shape[1]))
    np.add.at(means, who, x)
    means /= counts[:, None]
    axes, deviations = _between(x - means[who], means, counts)
    centre = means.mean(axis=0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    alike = means @ means.T
    np.fill_diagonal(alike, -1)
    near = np.median(alike.max(axis=1))

    rng = np.random.default_rng([seed, 223])
    taken: list[Doubles] = []
    others = means
    for _ in range(_TRIES * count):
        new = centre + axes @ (deviations * rng.standard_normal(len(deviations)))
        new /= np.linalg.norm(new)
        if (others @ new).max() <= near:
            taken.append(new)
            others = np.vstack([others, new])
            if len(taken) == count:
                return np.stack(taken)
    raise RecipeError(
        f"strangers = {count}: only {len(taken)} were found far enough from {len(means)} people: choose fewer"
    )


def _between(residuals: Doubles, means: Doubles, counts: Doubles) -> tuple[Doubles, Doubles]:
    """Axes (length, k) of the people's covariance, and the deviation along each (k,).

    residuals: (n, length), photos without their person's mean. What one person's photos differ in (blur, light, pose)
    is in the means as well, the more the fewer photos there are, and is taken out: the components of variance.
    """
    within = residuals.T @ residuals / max(1.0, len(residuals) - len(means))
    variances, axes = np.linalg.eigh(np.cov(means.T) - within * (1 / counts).mean())
    real = variances > 0
    return axes[:, real], np.sqrt(variances[real])
