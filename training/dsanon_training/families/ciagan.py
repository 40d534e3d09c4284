"""The generators that ship, of faces and of bodies: conditional inpainting, critics, a recogniser as teacher."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.models import store
from dsanon.models.generator import GeneratorConfig
from dsanon_training import losses
from dsanon_training.backbones import MobileNetV2Features
from dsanon_training.batches import Batch, People, plain
from dsanon_training.crops import Crops
from dsanon_training.discriminators import (
    EyesDiscriminator,
    MouthDiscriminator,
    PixelDiscriminator,
    ProjectedDiscriminator,
)
from dsanon_training.engine import Descent, Engine
from dsanon_training.families import composite, forward_of, pair
from dsanon_training.recipe import Recipe
from dsanon_training.strangers import Strangers, grouped
from dsanon_training.teacher import FaceTeacher, Teacher


def teacher_share(recipe: Recipe, step: int) -> float:
    """How much of the teacher's weight counts at ``step``: realism leads, then it rises along a half cosine."""
    t = (step - recipe.teacher_from) / max(1, recipe.teacher_full - recipe.teacher_from)
    return 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, t)))


class Ciagan:
    """See :class:`dsanon_training.families.Family`."""

    kind = "generator"
    partners = False

    def __init__(self, recipe: Recipe, engine: Engine, crops: Crops, people: People) -> None:
        self.recipe, self.engine = recipe, engine
        kind = {"face": "ciagan", "body": "ciagan-body"}[recipe.subject]
        height, width = crops.size
        config = GeneratorConfig(len(people.identities), recipe.widths, recipe.embedding, height, kind, width)
        self.generator, self.average = pair(config, engine)
        self.paint = forward_of(self.generator, recipe)
        self.pixel = engine.place(PixelDiscriminator(crops.size))
        frozen = MobileNetV2Features(store.path("mobilenet_v2"))
        looking = {"projected": ProjectedDiscriminator(frozen)}
        if recipe.details:
            looking |= {"eyes": EyesDiscriminator(frozen), "mouth": MouthDiscriminator(frozen)}
        self.projected = {name: engine.place(critic) for name, critic in looking.items()}
        critics = self.pixel, *self.projected.values()
        self.critics: tuple[nn.Module, ...] = critics
        self.networks = {"pixel": self.pixel, **self.projected}
        self.descend_g = Descent(self.generator.parameters(), recipe, engine)
        self.descend_d = Descent([p for critic in critics for p in critic.parameters()], recipe, engine)
        self.descents = {"optimise_g": self.descend_g, "optimise_d": self.descend_d}
        self.teacher: Teacher | None = None
        self.strangers: Strangers | None = None
        if recipe.identity or recipe.away:
            self.teacher = engine.place(_teacher(recipe))
            who = people.person if recipe.strangers else people.identity
            of = np.flatnonzero(who >= 0)[engine.rank :: engine.ranks]
            seen = _seen(self.teacher, engine, crops, of)
            average = means(seen, torch.from_numpy(who[of]), int(who.max()) + 1, engine)
            if recipe.strangers:
                group = torch.from_numpy(grouped(average.cpu().numpy(), recipe.strangers))
                self.strangers = Strangers(average, engine.shared(group.to(engine.device)))
                self.networks["strangers"] = self.strangers
                self.critics = (*critics, self.strangers)  # for who starts from this generator: what its codes mean
            else:
                self.means = average

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Critics, then generator, as the recipe's ``critic_every`` and ``generator_every`` say."""
        terms: dict[str, Tensor] = {}
        if self.strangers is not None:
            batch = self.strangers.told(batch)
        with self.engine.autocast():
            painted = self.paint(batch.drawn, batch.real, batch.hidden, batch.padding, batch.control)
            fake = composite(painted, batch)
            with torch.no_grad():
                real = {name: critic.look(batch.real) for name, critic in self.projected.items()}
            seen = {name: critic.look(fake) for name, critic in self.projected.items()}
            real_scores, real_layers = self.pixel(batch.real, batch.drawn)
            if step % self.recipe.critic_every == 0:
                fake_scores, _ = self.pixel(fake.detach(), batch.drawn)
                terms["critic_pixel"] = losses.lsgan_discriminator(real_scores, fake_scores)
                for name, critic in self.projected.items():
                    judged = critic.judge([m.detach() for m in seen[name][0]])
                    terms[f"critic_{name}"] = losses.lsgan_discriminator(critic.judge(real[name][0]), judged)
                self.descend_d(torch.stack(list(terms.values())).sum())
            if step % self.recipe.generator_every == 0:
                # fool the critics, restore what is known, be the person whom the vector names
                self.descend_d.frozen(True)
                r, own = self.recipe, batch.own
                scores, layers = self.pixel(fake, batch.drawn)
                known, ring = batch.weight * own.view(-1, 1, 1, 1), (1 - batch.hidden) * (1 - batch.padding)
                wanted = {
                    "pixel": r.pixel * losses.lsgan_generator(scores),
                    "l1": r.l1 * losses.masked_l1(painted, batch.real, known),
                    "ring": r.ring * losses.masked_l1(painted, batch.real, ring),
                    "matching": r.matching * losses.feature_matching(real_layers, layers, own),
                }
                for name, critic in self.projected.items():
                    weight = r.projected if name == "projected" else r.details
                    wanted[name] = weight * losses.lsgan_generator(critic.judge(seen[name][0]))
                alike = [losses.feature_matching(real[name][1], seen[name][1], own) for name in self.projected]
                wanted["perceptual"] = r.perceptual * torch.stack(alike).sum()
                if r.tone:
                    others = batch.only(~own)
                    wanted["tone"] = r.tone * losses.tone(fake[~own], others.real, others.weight)
                share = teacher_share(r, step)
                if self.teacher is not None and share > 0:
                    views = self._views(self.teacher, batch, fake, step)
                    if views:
                        wanted |= self._identity(self.teacher, share, batch.only(~own), views)
                    if self.strangers is not None:  # even without any: all processes do
                        self.strangers.follow(views, batch.control[~own], self.engine)
                self.descend_g(torch.stack([t.float() for t in wanted.values()]).sum())
                self.descend_d.frozen(False)
                terms |= wanted
        return {name: value.detach() for name, value in terms.items()}

    def _views(self, teacher: Teacher, batch: Batch, fake: Tensor, step: int) -> list[Tensor]:
        """What the teacher sees in several augmented views of each face or body that is to be somebody else."""
        r, others = self.recipe, ~batch.own
        if not bool(others.any()):
            return []
        rng = np.random.default_rng([r.seed, step, 7, *([self.engine.rank] if self.engine.rank else [])])
        return [teacher.look(fake[others], batch.only(others), rng) for _ in range(r.views)]

    def _identity(self, teacher: Teacher, share: float, batch: Batch, views: list[Tensor]) -> dict[str, Tensor]:
        """The teacher's losses: whom the vector names, not the source, and nobody who trained."""
        r = self.recipe
        with torch.no_grad():
            source = teacher.look(batch.real, batch)
        prototypes = self.means if self.strangers is None else self.strangers.targets()
        named = [losses.identity_cross_entropy(e, prototypes, batch.control, enough=r.identity_enough) for e in views]
        moved = [losses.away_from_source(e, source, r.away_margin) for e in views]
        wanted = {
            "identity": share * r.identity * torch.stack(named).mean(),
            "away": share * r.away * torch.stack(moved).mean(),
        }
        if self.strangers is not None:
            people, near = self.strangers.people, self.strangers.near
            met = [losses.away_from_people(e, people, near) for e in views]
            wanted["nobody"] = share * r.away * torch.stack(met).mean()
        return wanted


def _teacher(recipe: Recipe) -> Teacher:
    if recipe.subject == "face":
        return FaceTeacher(store.path("mobilefacenet"))
    from dsanon_training.person_teacher import NAME, PersonTeacher

    return PersonTeacher(store.path(NAME))


@torch.no_grad()
def _seen(teacher: Teacher, engine: Engine, crops: Crops, photos: np.ndarray) -> Tensor:
    """Embeddings (n, length) of the crops that ``photos`` numbers."""
    parts = []
    for start in range(0, len(photos), 64):
        batch = plain(crops, photos[start : start + 64]).to(engine.device)
        parts.append(teacher.look(batch.real, batch))
    return torch.cat(parts)


def means(embeddings: Tensor, identity: Tensor, identities: int, engine: Engine) -> Tensor:
    """Prototypes (identities, length): the mean embedding of each identity's photos, of unit length.

    embeddings, identity: of this process's photos; they count in all of them
    """
    sums = embeddings.new_zeros(identities, embeddings.shape[1])
    return F.normalize(engine.summed(sums.index_add_(0, identity.to(sums.device), embeddings)), dim=1)
