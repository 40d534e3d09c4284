"""Batches: a pure function of recipe, step and rank, so that resuming needs no state of a random generator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dsanon import bodies
from dsanon.align import PAD, Floats, apply
from dsanon.landmarks import (
    HIDDEN,
    blend_weight,
    distance_outside,
    distance_to,
    draw,
    face_polygon,
    hidden_from_generator,
)
from dsanon.sample import Mask, Pixels
from dsanon_training.crops import MARGIN, Crops, open_crops
from dsanon_training.engine import Engine, cores
from dsanon_training.recipe import Recipe

_BLED = 2.0  # coarse pixels as far as a pixel is seen once it was shrunk and enlarged again
# dlib's points after a mirror
MIRROR = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),  # jaw, brows, nose
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)),  # lips
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One step's samples, as :meth:`to` brings them to where they are learnt from. Before, pictures are bytes: other
    processes make them, and a batch of 128 in float32 is more shared memory than a container has.

    real (n, 3, h, w) in [-1, 1] · drawn (n, 3, h, w) in [0, 1] · hidden, padding (n, 1, h, w) in {0, 1}
    weight (n, 1, h, w): share of the painted pixel, to 1/255 · control (n, identities), zero where only a teacher can
    tell the source's group · own (n,) bool: the target is the source itself · person (n,): who of the training people
    that is, -1 for others · points (n, 68, 2) in crop pixels, (n, 0, 2) of bodies · partners (n, 2, 3, h, w): two
    photos of the target's, where the family asks for them, else (n, 0, 3, h, w)
    """

    real: Tensor
    drawn: Tensor
    hidden: Tensor
    padding: Tensor
    weight: Tensor
    control: Tensor
    own: Tensor
    person: Tensor
    points: Floats
    partners: Tensor

    def to(self, device: torch.device) -> Batch:
        """On ``device``, as the class says; photos and landmark images in channels-last memory."""
        there = self._each(lambda t: t.to(device, non_blocking=True))
        last = torch.channels_last
        return replace(
            there,
            real=(there.real.float() / 127.5 - 1).contiguous(memory_format=last),
            drawn=(there.drawn.float() / 255).contiguous(memory_format=last),
            hidden=there.hidden.float(),
            padding=there.padding.float(),
            weight=there.weight.float() / 255,
            partners=there.partners.float() / 127.5 - 1,
        )

    def pin_memory(self) -> Batch:
        """In memory that a GPU can fetch while it computes."""
        return self._each(lambda t: t.pin_memory())

    def only(self, items: Tensor) -> Batch:
        """The chosen samples; items: (n,) bool."""
        chosen = self._each(lambda t: t[items])
        return replace(chosen, points=self.points[items.cpu().numpy()])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: change(v) if isinstance(v, Tensor) else v for name, v in values.items()}
        return Batch(**moved)


class People:
    """Who is an identity of the control vector, and which crops are theirs. identity (n,) is -1 for others.

    person: (n,), a number for each of the training people, -1 for others
    strangers: so many groups of training people are the identities; whoever has many photos is drawn less often for
    each, so that none of a group counts for much more than the others
    """

    def __init__(self, crops: Crops, min_photos: int, strangers: int = 0) -> None:
        training = [label for label, held in zip(crops.labels, crops.held_out, strict=True) if not held]
        counts: dict[str, int] = {}
        for label in training:
            counts[label] = counts.get(label, 0) + 1
        self.strangers = bool(strangers)
        self.identities = sorted(label for label, count in counts.items() if count >= min_photos)
        if strangers:
            self.identities = [f"nobody/{number}" for number in range(strangers)]
        self.hashed = hashes(self.identities)
        self.seen = hashes(sorted(counts))
        index = {label: i for i, label in enumerate(self.identities)}
        held = crops.held_out
        number = {label: i for i, label in enumerate(sorted(counts))}
        self.person = np.array([-1 if h else number[x] for x, h in zip(crops.labels, held, strict=True)])
        self.identity = np.array([-1 if h else index.get(x, -1) for x, h in zip(crops.labels, held, strict=True)])
        self.training = np.flatnonzero(~held)
        self.turned = _turned_aside(crops.landmarks[self.training])  # of those in ``training``
        photos = np.bincount(self.person[self.training])[self.person[self.training]]
        self.odds = 1 / np.sqrt(photos) if strangers else np.ones(len(photos))  # of being drawn: of those as well
        self.unseen = np.flatnonzero(held)
        ordered = np.argsort(self.identity, kind="stable")
        ends = np.searchsorted(self.identity[ordered], np.arange(len(self.identities) + 1))
        self.photos = [ordered[a:b] for a, b in pairwise(ends)]  # the crops of each identity


def hashes(labels: Sequence[str]) -> list[str]:
    """What a file says of people: it names nobody."""
    return [hashlib.sha256(label.encode()).hexdigest()[:16] for label in labels]


def _turned_aside(landmarks: Floats) -> npt.NDArray[np.bool_]:
    """The tenth of the faces whose nose's tip is furthest from the middle of the jaw's ends: (n,); no body is."""
    if not landmarks.size:
        return np.zeros(len(landmarks), bool)
    left, right, nose = (landmarks[:, i, 0] for i in (0, 16, 30))
    aside = np.abs(2 * (nose - left) / (right - left) - 1)
    return np.asarray(aside >= np.quantile(aside, 0.9))


def plain(crops: Crops, indices: np.ndarray) -> Batch:
    """Samples as they are, for looking at; without targets."""
    identity = np.array([[1.0, 0, -MARGIN], [0, 1, -MARGIN]])
    samples = [_sample(crops, int(i), identity, False) for i in indices]
    control = torch.zeros(len(indices), 0)
    nobody = np.full(len(indices), -1)
    return _stack(samples, [s.distance() for s in samples], control, np.zeros(len(indices), bool), nobody)


def batch(
    crops: Crops, people: People, recipe: Recipe, step: int, rank: int = 0, ranks: int = 1, partners: bool = False
) -> Batch:
    """The samples that process ``rank`` of ``ranks`` has in ``step``: augmented crops and their targets."""
    rng = np.random.default_rng([recipe.seed, step, rank])
    size = recipe.batch // ranks
    turned = people.turned
    wanted = recipe.turned_share if turned.any() else 0.0
    odds = np.zeros(len(turned))
    for which, share in ((turned, wanted), (~turned, 1 - wanted)):
        odds[which] = share * people.odds[which] / people.odds[which].sum()
    chosen = rng.choice(people.training, size, replace=False, p=odds / odds.sum())
    control = torch.zeros(size, len(people.identities))
    own = np.zeros(size, bool)
    samples = []
    for row, index in enumerate(chosen):
        me = int(people.identity[index])
        own[row] = (people.strangers or me >= 0) and rng.random() < recipe.own_share
        if own[row]:
            if not people.strangers:
                control[row, me] = 1
        else:
            others = rng.choice([i for i in range(control.shape[1]) if i != me], 2, replace=False)
            share = _part(rng) if rng.random() < recipe.mix_share else 1.0
            control[row, others[0]] = share
            control[row, others[1]] += 1 - share
        samples.append(_disturb(_sample(crops, int(index), _transform(rng, crops.size), _mirrored(rng)), rng))
    distances = [_spread(s, rng) if rng.random() < recipe.spread_share else s.distance() for s in samples]
    made = _stack(samples, distances, control, own, people.person[chosen])
    if not partners:
        return made
    rng = np.random.default_rng([recipe.seed, step, rank, 11])
    return replace(made, partners=_partners(crops, people, control.argmax(1).tolist(), chosen, rng))


def _part(rng: np.random.Generator) -> float:
    """Of the first of two identities in a mix: a half in every other one, as releases give them first."""
    return 0.5 if rng.random() < 0.5 else float(rng.uniform(0.3, 0.7))


def _partners(
    crops: Crops, people: People, targets: list[int], sources: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """Two photos of each target (of whom a mix holds more), neither the source's where there are others."""
    out = []
    for target, source in zip(targets, sources, strict=True):
        photos = people.photos[target]
        others = photos[photos != source]
        two = rng.choice(others if len(others) else photos, 2, replace=len(others) < 2)
        pair = [_sample(crops, int(i), _transform(rng, crops.size), _mirrored(rng)).pixels for i in two]
        out.append(np.stack(pair))
    return torch.from_numpy(np.stack(out)).permute(0, 1, 4, 2, 3)


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """A crop. padding: (h, w) uint8 in {0, 1} · other: (h, w) bool, what else is hidden

    points: (68, 2), (0, 2) of a body, which has a silhouette (h, w) bool instead · coarse: crop pixels for one of the
    photo's, where that is so coarse that who is hidden has bled into what lies around
    """

    pixels: Pixels
    padding: npt.NDArray[np.uint8]
    other: Mask
    points: Floats
    silhouette: Mask | None
    coarse: float = 0.0

    def distance(self) -> Floats:
        """Of each pixel to the face's polygon or to the silhouette."""
        if self.silhouette is not None:
            return distance_to(self.silhouette)
        return distance_outside(face_polygon(self.points), self.padding.shape)

    def drawn(self) -> Pixels:
        """The landmark image, or the silhouette in its place."""
        return draw(self.points) if self.silhouette is None else bodies.draw(self.silhouette)


def _mirrored(rng: np.random.Generator) -> bool:
    return bool(rng.random() < 0.5)


def _transform(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A small rotation, scale and shift from the canvas to the crop of ``size``."""
    angle, zoom = np.deg2rad(rng.normal(0, 4)), np.exp(rng.normal(0, 0.05))
    r = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(size[::-1]) - 1) / 2
    return np.hstack([r, (middle + rng.normal(0, 2.0, 2) - r @ (middle + MARGIN))[:, None]])


def _sample(crops: Crops, index: int, transform: np.ndarray, mirror: bool) -> _Sample:
    height, width = crops.size
    stored, points = crops.pixels[index], apply(transform, crops.landmarks[index])
    pixels = cv2.warpAffine(stored[..., :3], transform, (width, height), flags=cv2.INTER_LINEAR, borderValue=[PAD] * 3)
    silhouette = None
    if crops.bodies:
        silhouette = cv2.warpAffine(stored[..., 3], transform, (width, height), flags=cv2.INTER_LINEAR) > 127
    corners = apply(transform, crops.corners[index])
    padding = np.full((height, width), 1, np.uint8)
    cv2.fillConvexPoly(padding, np.rint(corners).astype(np.int32), 0)
    if mirror:
        pixels, padding = pixels[:, ::-1], padding[:, ::-1]
        silhouette = None if silhouette is None else silhouette[:, ::-1]
        points = np.stack([width - 1 - points[:, 0], points[:, 1]], axis=1)[MIRROR if len(points) else slice(0)]
    pixels = np.where(padding[..., None] > 0, np.uint8(PAD), pixels)
    return _Sample(pixels, padding, np.zeros((height, width), bool), points.astype(np.float32), silhouette)


def _disturb(sample: _Sample, rng: np.random.Generator) -> _Sample:
    """Light, colour and sharpness as sources have them, and now and then a neighbour's hidden region."""
    padding, other = sample.padding, sample.other
    height, width = padding.shape
    coarse = 0.0
    image = sample.pixels.astype(np.float32) / 255
    if rng.random() < 0.5:
        image = np.clip(image, 0, 1) ** np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    if rng.random() < 0.05:
        image[:] = image.mean(axis=2, keepdims=True)
    if rng.random() < 0.3:  # small in its photo, as most people in street scenes are
        coarse = float(np.exp(rng.uniform(np.log(1.2), np.log(6.0))))
        small = int(width / coarse), int(height / coarse)
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))
    if rng.random() < 0.1:
        x, y = rng.integers(-20, (width, height), 2)
        w, h = rng.integers(20, 70, 2)
        other = other.copy()
        other[max(0, y) : y + h, max(0, x) : x + w] = True
    if rng.random() < 0.04:  # a face in the midst of covered people: nothing around it is to be seen
        other = np.ones_like(other)
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return replace(sample, pixels=np.where(padding[..., None] > 0, np.uint8(PAD), pixels), other=other, coarse=coarse)


def _spread(sample: _Sample, rng: np.random.Generator) -> Floats:
    """The distance to the outline and to that of somebody of another shape as well; a body keeps its silhouette."""
    if sample.silhouette is not None:
        return sample.distance()
    reshaped = replace(sample, points=_reshaped(sample.points, rng))
    return np.minimum(sample.distance(), reshaped.distance())


def _reshaped(points: Floats, rng: np.random.Generator) -> Floats:
    """The landmarks of a face that is wider or narrower, longer or shorter."""
    centre = points[27:31].mean(axis=0)
    size = np.exp(rng.normal(0, (0.09, 0.07)))
    lean = np.array([[1, rng.normal(0, 0.05)], [0, 1]])
    return np.asarray((points - centre) * size @ lean.T + centre, dtype=np.float32)


def _stack(
    samples: list[_Sample], distances: list[Floats], control: Tensor, own: np.ndarray, person: np.ndarray
) -> Batch:
    """distances: of each sample's pixels to the outlines that are hidden."""
    whole = any(s.silhouette is not None for s in samples)
    least = bodies.HIDDEN if whole else HIDDEN
    hides = [hidden_from_generator(d, least + _BLED * s.coarse) for d, s in zip(distances, samples, strict=True)]
    weights = [
        blend_weight(d) if s.silhouette is None else bodies.inside(s.silhouette)
        for d, s in zip(distances, samples, strict=True)
    ]

    def planes(images: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(images).astype(np.uint8))[:, None]

    def colours(images: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)

    return Batch(
        real=colours([s.pixels for s in samples]),
        drawn=colours([s.drawn() for s in samples]),
        hidden=planes([h | s.other for h, s in zip(hides, samples, strict=True)]),
        padding=planes([s.padding for s in samples]),
        weight=planes([np.rint(w * 255) for w in weights]),
        control=control,
        own=torch.from_numpy(own),
        person=torch.from_numpy(person),
        points=np.stack([s.points for s in samples]),
        partners=torch.zeros(len(samples), 0, 3, *samples[0].padding.shape, dtype=torch.uint8),
    )


class _Steps(Dataset[Batch]):
    """The batch of every step, for processes that open the crops themselves."""

    def __init__(self, folder: Path, recipe: Recipe, rank: int, ranks: int, partners: bool) -> None:
        self.folder, self.recipe = folder, recipe
        self.place = rank, ranks, partners
        self._opened: tuple[Crops, People] | None = None

    def __getitem__(self, step: int) -> Batch:
        if self._opened is None:
            cv2.setNumThreads(1)
            crops = open_crops(self.folder)
            self._opened = crops, People(crops, self.recipe.min_photos, self.recipe.strangers)
        crops, people = self._opened
        return batch(crops, people, self.recipe, step, *self.place)


def stream(crops: Crops, people: People, recipe: Recipe, start: int, engine: Engine, partners: bool) -> Iterator[Batch]:
    """This process's batches of the steps from ``start`` on, in order, the next ones always under way.

    A thread is enough where the networks run on the same cores; a GPU is fed by processes.
    """
    on_gpu = engine.device.type == "cuda"
    loaders = recipe.loaders if recipe.loaders >= 0 else on_gpu * max(1, min(8, cores() // engine.ranks - 1))
    place = engine.rank, engine.ranks, partners
    if loaders:
        loader = DataLoader(
            _Steps(crops.folder, recipe, *place),
            batch_size=None,
            sampler=range(start, recipe.steps),
            num_workers=loaders,
            prefetch_factor=2,
            pin_memory=on_gpu,
            multiprocessing_context="spawn",
        )
        yield from loader
        return
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batch, crops, people, recipe, start, *place)
        for step in range(start, recipe.steps):
            ready = ahead.result()
            if step + 1 < recipe.steps:
                ahead = pool.submit(batch, crops, people, recipe, step + 1, *place)
            yield ready
