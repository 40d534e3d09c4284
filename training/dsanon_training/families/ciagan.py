"""The face generator that ships: conditional inpainting, two critics, and a recogniser as teacher."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from dsanon.models import store
from dsanon.models.generator import GeneratorConfig
from dsanon_training import losses
from dsanon_training.backbones import MobileNetV2Features
from dsanon_training.batches import Batch, People, plain
from dsanon_training.crops import Crops
from dsanon_training.discriminators import PixelDiscriminator, ProjectedDiscriminator
from dsanon_training.engine import Descent, Engine
from dsanon_training.families import composite, forward_of, pair
from dsanon_training.recipe import Recipe
from dsanon_training.teacher import Teacher, arcface_theta

DETAIL = (48, 64, 88, 112)  # pixels across a face of which the teacher is shown one choice at random


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
        config = GeneratorConfig(len(people.identities), recipe.widths, recipe.embedding)
        self.generator, self.average = pair(config, engine)
        self.paint = forward_of(self.generator, recipe)
        self.pixel = engine.place(PixelDiscriminator(size=config.size))
        self.projected = engine.place(ProjectedDiscriminator(MobileNetV2Features(store.path("mobilenet_v2"))))
        self.critics = (self.pixel, self.projected)
        self.networks = {"pixel": self.pixel, "projected": self.projected}
        self.descend_g = Descent(self.generator.parameters(), recipe, engine)
        self.descend_d = Descent([p for critic in self.critics for p in critic.parameters()], recipe, engine)
        self.descents = {"optimise_g": self.descend_g, "optimise_d": self.descend_d}
        self.teacher: Teacher | None = None
        if recipe.identity or recipe.away:
            self.teacher = engine.place(Teacher(store.path("mobilefacenet")))
            _prototypes(self.teacher, engine, crops, people)

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Critics, then generator, as the recipe's ``critic_every`` and ``generator_every`` say."""
        terms: dict[str, Tensor] = {}
        with self.engine.autocast():
            painted = self.paint(batch.drawn, batch.real, batch.hidden, batch.padding, batch.control)
            fake = composite(painted, batch)
            with torch.no_grad():
                real_mixed, real_features = self.projected.look(batch.real)
            fake_mixed, fake_features = self.projected.look(fake)
            real_scores, real_layers = self.pixel(batch.real, batch.drawn)
            if step % self.recipe.critic_every == 0:
                fake_scores, _ = self.pixel(fake.detach(), batch.drawn)
                terms["critic_pixel"] = losses.lsgan_discriminator(real_scores, fake_scores)
                terms["critic_projected"] = losses.lsgan_discriminator(
                    self.projected.judge(real_mixed), self.projected.judge([m.detach() for m in fake_mixed])
                )
                self.descend_d(terms["critic_pixel"] + terms["critic_projected"])
            if step % self.recipe.generator_every == 0:
                # fool both critics, restore what is known, be the person whom the vector names
                self.descend_d.frozen(True)
                r, own = self.recipe, batch.own
                scores, layers = self.pixel(fake, batch.drawn)
                known, ring = batch.weight * own.view(-1, 1, 1, 1), (1 - batch.hidden) * (1 - batch.padding)
                wanted = {
                    "pixel": r.pixel * losses.lsgan_generator(scores),
                    "projected": r.projected * losses.lsgan_generator(self.projected.judge(fake_mixed)),
                    "l1": r.l1 * losses.masked_l1(painted, batch.real, known),
                    "ring": r.ring * losses.masked_l1(painted, batch.real, ring),
                    "matching": r.matching * losses.feature_matching(real_layers, layers, own),
                    "perceptual": r.perceptual * losses.feature_matching(real_features, fake_features, own),
                }
                share = teacher_share(r, step)
                if self.teacher is not None and share > 0:
                    wanted |= self._identity(self.teacher, share, batch, fake, step)
                self.descend_g(torch.stack([t.float() for t in wanted.values()]).sum())
                self.descend_d.frozen(False)
                terms |= wanted
        return {name: value.detach() for name, value in terms.items()}

    def _identity(self, teacher: Teacher, share: float, batch: Batch, fake: Tensor, step: int) -> dict[str, Tensor]:
        """The teacher's two losses over several augmented views of each face."""
        r, side = self.recipe, fake.shape[-1]
        rng = np.random.default_rng([r.seed, step, 7, *([self.engine.rank] if self.engine.rank else [])])

        def theta(jitter: np.random.Generator | None = None) -> Tensor:
            return torch.from_numpy(arcface_theta(batch.points, side, jitter)).to(fake.device)

        views = [theta(rng) for _ in range(r.views)]
        faces = [teacher.embed(fake, view, int(rng.choice(DETAIL))) for view in views]
        with torch.no_grad():
            source = teacher.embed(batch.real, theta())
        named = [losses.identity_cross_entropy(e, teacher.prototypes, batch.control) for e in faces]
        moved = [losses.away_from_source(e, source, ~batch.own, r.away_margin) for e in faces]
        return {
            "identity": share * r.identity * torch.stack(named).mean(),
            "away": share * r.away * torch.stack(moved).mean(),
        }


def _prototypes(teacher: Teacher, engine: Engine, crops: Crops, people: People) -> None:
    """Give the teacher each identity's mean embedding over its photos."""
    known = np.flatnonzero(people.identity >= 0)
    parts = []
    with torch.no_grad():
        for start in range(0, len(known), 64):
            piece = known[start : start + 64]
            batch = plain(crops, piece)
            theta = torch.from_numpy(arcface_theta(batch.points, batch.real.shape[-1])).to(engine.device)
            parts.append(teacher.embed(batch.real.to(engine.device), theta))
    teacher.set_prototypes(torch.cat(parts), torch.from_numpy(people.identity[known]), len(people.identities))
