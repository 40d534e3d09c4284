"""Identities that are nobody: each is what a group of training people who look alike have in common.

A generator that learns to paint training people paints people. A vector that stands for k of them is taught by real
photos too, but by nobody's alone: k-Same (Newton, Sweeney, Malin 2005, "Preserving privacy by de-identifying face
images") with groups by Mondrian's partition (LeFevre, DeWitt, Ramakrishnan 2006).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon_training.batches import Batch
from dsanon_training.engine import Engine
from dsanon_training.exclusions import check_groups
from dsanon_training.losses import cosines

_FOLLOW = 0.3  # of the way to what is seen now


class Strangers(nn.Module):
    """prototypes: (count, length) of unit length, what the teacher sees in the photos of each group together

    painted: (count, length), what it has lately seen in faces of each vector · group: (m,), of each training person
    near: cosine that half of the people have to their nearest neighbour
    people: (m, length) of unit length, what it sees in all photos of each training person. No file holds them.
    """

    prototypes: Tensor
    painted: Tensor
    group: Tensor
    people: Tensor

    def __init__(self, people: Tensor, group: Tensor) -> None:
        super().__init__()
        count = int(group.max()) + 1
        sums = people.new_zeros(count, people.shape[1]).index_add_(0, group.to(people.device), people)
        self.register_buffer("prototypes", F.normalize(sums, dim=1))
        self.register_buffer("painted", self.prototypes.clone())
        self.register_buffer("group", group.to(people.device))
        self.register_buffer("people", people, persistent=False)
        alike = people @ people.T
        self.near = float(alike.fill_diagonal_(-1).amax(1).median())

    def targets(self) -> Tensor:
        """(count, length) of unit length: half-way between the group and what a face of its vector looks like.

        The mean of several people need not have a face, least of all in any pose: who insists gets a caricature.
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
            sums += torch.cat([cosines(plain.T, view.detach().T), plain.sum(0)[:, None]], dim=1)
        if engine.ranks > 1:
            torch.distributed.all_reduce(sums)
        number = sums[:, -1:]
        self.painted += _FOLLOW * (number > 0) * (sums[:, :-1] / number.clamp_min(1) - self.painted)

    @torch.no_grad()
    def told(self, batch: Batch) -> Batch:
        """``batch`` with the control vectors of the samples whose target is the source itself: of their groups."""
        control = batch.control.clone()
        groups = self.group[batch.person[batch.own]]
        control[batch.own] = F.one_hot(groups, control.shape[1]).to(control.dtype)
        return replace(batch, control=control)

    @torch.no_grad()
    def translated(self, weight: Tensor, prototypes: Tensor) -> Tensor:
        """``weight`` (code, other count) of a generator with other ``prototypes`` (other count, length), for these.

        What was learnt is how to paint what the teacher sees; codes are taken for linear in it. Those of the same
        groups stay as they are: a file's prototypes are rounded, and solving for them would spread that.
        """
        if prototypes.shape == self.prototypes.shape and torch.allclose(prototypes, self.prototypes, atol=2e-3):
            return weight
        return torch.as_tensor(weight @ torch.linalg.pinv(prototypes.T) @ self.prototypes.T)


def grouped(people: npt.ArrayLike, count: int) -> npt.NDArray[np.int64]:
    """The group in [0, count) of each of the people (m, length), of m / count people each, one more or less.

    Halved again and again across the direction in which those in it differ most. Raises RecipeError where the groups
    would be smaller than LEAST.
    """
    x = np.asarray(people, dtype=np.float64)
    check_groups(len(x), count)
    group = np.empty(len(x), dtype=np.int64)

    def halve(members: npt.NDArray[np.intp], first: int, groups: int) -> None:
        if groups == 1:
            group[members] = first
            return
        apart = x[members] - x[members].mean(axis=0)
        along = apart @ np.linalg.svd(apart, full_matrices=False)[2][0]
        ordered, half = members[np.argsort(along, kind="stable")], groups // 2
        cut = round(len(members) * half / groups)
        halve(ordered[:cut], first, half)
        halve(ordered[cut:], first + half, groups - half)

    halve(np.arange(len(x)), 0, count)
    return group
