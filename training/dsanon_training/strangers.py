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
from torch import Tensor, nn

from dsanon.errors import RecipeError
from dsanon_training.batches import Batch

_TRIES = 200  # drawn for each one that is kept
_RIDGE = 0.02  # of the mean square of the prototypes along a direction; keeps mixes small

Doubles = npt.NDArray[np.float64]


class Strangers(nn.Module):
    """prototypes: (count, length) of unit length, what the teacher is to see in a face of each vector

    people: (m, length) of unit length, what it sees in all photos of each training person together. No file holds them.
    """

    prototypes: Tensor
    people: Tensor

    def __init__(self, prototypes: Tensor, people: Tensor) -> None:
        super().__init__()
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("people", people, persistent=False)

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
