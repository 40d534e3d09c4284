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

_SHRUNK = 0.1  # share of the covariance that is the same in every direction
_CANDIDATES = 4  # drawn for each one that is kept
_TRIES = 50  # times that so many are drawn
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
    def confine(self, weight: Tensor) -> None:
        """Make of ``weight`` (code, count), the map from vectors to codes, a function of the prototypes' mix alone.

        There are more vectors than the teacher's embedding is long. What differs between two vectors of which the
        teacher would see the same is never told of a real photo: the generator would be free to paint a flaw for it.
        """
        weight.copy_(weight @ (self.prototypes @ torch.linalg.pinv(self.prototypes)))


def drawn(people: npt.ArrayLike, count: int, seed: int) -> Doubles:
    """Prototypes (count, length) of unit length, of nobody among ``people`` (m, length), of unit length as well.

    Drawn from the people's Gaussian; dropped if nearer to anybody than half of the people are to their nearest
    neighbour; of the rest, one after the other, that which is furthest from those taken. Raises RecipeError where there
    are too few people for that.
    """
    means = np.asarray(people, dtype=np.float64)
    if len(means) < 3:
        raise RecipeError(f"strangers = {count}: {len(means)} people are too few to draw others from; give more data")
    alike = means @ means.T
    np.fill_diagonal(alike, -1)
    near = np.median(alike.max(axis=1))

    rng = np.random.default_rng([seed, 223])
    spread = np.atleast_2d(np.cov(means.T))
    spread = (1 - _SHRUNK) * spread + _SHRUNK * np.trace(spread) / len(spread) * np.eye(len(spread))
    pool = np.zeros((0, means.shape[1]))
    for _ in range(_TRIES):
        new = rng.multivariate_normal(means.mean(axis=0), spread, _CANDIDATES * count, method="cholesky")
        new /= np.linalg.norm(new, axis=1, keepdims=True)
        pool = np.concatenate([pool, new[(new @ means.T).max(axis=1) <= near]])
        if len(pool) >= _CANDIDATES * count:
            break
    if len(pool) < count:
        raise RecipeError(
            f"strangers = {count}: only {len(pool)} were found far enough from {len(means)} people: choose fewer"
        )
    taken, closest = [0], pool @ pool[0]
    while len(taken) < count:
        closest[taken] = np.inf
        taken.append(int(closest.argmin()))
        closest = np.maximum(closest, pool @ pool[taken[-1]])
    return pool[taken]
