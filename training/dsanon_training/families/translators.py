"""The trained baselines, pix2pix and CycleGAN: image to image, without an identity to control."""

from __future__ import annotations

import torch
from torch import Tensor

from dsanon.models.generator import GeneratorConfig
from dsanon.models.translation import ResidualTranslator, sketched
from dsanon_training import losses
from dsanon_training.batches import Batch, People
from dsanon_training.crops import Crops
from dsanon_training.discriminators import PatchCritic
from dsanon_training.engine import Descent, Engine
from dsanon_training.families import composite, forward_of, pair
from dsanon_training.recipe import Recipe


class Pix2PixFamily:
    """Isola et al. 2017: a conditional GAN and the distance to the source's own pixels."""

    kind = "generator"
    partners = False

    def __init__(self, recipe: Recipe, engine: Engine, crops: Crops, people: People) -> None:
        self.recipe, self.engine = recipe, engine
        self.generator, self.average = pair(GeneratorConfig(0, architecture="pix2pix"), engine)
        self.paint = forward_of(self.generator, recipe)
        self.critic = engine.place(PatchCritic(9))
        self.critics = ()
        self.networks = {"critic": self.critic}
        self.descend_g = Descent(self.generator.parameters(), recipe, engine)
        self.descend_d = Descent(self.critic.parameters(), recipe, engine)
        self.descents = {"optimise_g": self.descend_g, "optimise_d": self.descend_d}

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Critic, then generator."""
        with self.engine.autocast():
            shown = torch.cat([batch.drawn, batch.real * (1 - batch.hidden) * (1 - batch.padding)], dim=1)
            fake = composite(self.paint(batch.drawn, batch.real, batch.hidden, batch.padding, batch.control), batch)
            terms = {
                "critic": losses.gan_discriminator(
                    self.critic(torch.cat([shown, batch.real], 1)), self.critic(torch.cat([shown, fake.detach()], 1))
                )
            }
            self.descend_d(terms["critic"])
            self.descend_d.frozen(True)
            wanted = {
                "pixel": self.recipe.pixel * losses.gan_generator(self.critic(torch.cat([shown, fake], 1))),
                "l1": self.recipe.l1 * (fake - batch.real).abs().mean(),
            }
            self.descend_g(wanted["pixel"] + wanted["l1"])
            self.descend_d.frozen(False)
        return {name: value.detach() for name, value in (terms | wanted).items()}


class CycleGanFamily:
    """Zhu et al. 2017: sketched photos (landmarks where the face was) to photos and back, without pairs."""

    kind = "generator"
    partners = False

    def __init__(self, recipe: Recipe, engine: Engine, crops: Crops, people: People) -> None:
        self.recipe, self.engine = recipe, engine
        self.generator, self.average = pair(GeneratorConfig(0, architecture="cyclegan"), engine)
        self.paint = forward_of(self.generator, recipe)
        self.back = engine.place(ResidualTranslator())
        self.photo, self.sketch = engine.place(PatchCritic(3)), engine.place(PatchCritic(3))
        self.critics = ()
        self.networks = {"back": self.back, "photo": self.photo, "sketch": self.sketch}
        self.descend_g = Descent([*self.generator.parameters(), *self.back.parameters()], recipe, engine)
        self.descend_d = Descent([*self.photo.parameters(), *self.sketch.parameters()], recipe, engine)
        self.descents = {"optimise_g": self.descend_g, "optimise_d": self.descend_d}

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Critics, then both generators. The photo that goes the other way is another person's."""
        r, there = self.recipe, self.generator.translator
        with self.engine.autocast():
            sketch = sketched(batch.drawn, batch.real, batch.hidden, batch.padding)
            photo = batch.real.roll(1, 0)
            painted = self.paint(batch.drawn, batch.real, batch.hidden, batch.padding, batch.control)
            drawn = self.back(photo)
            terms = {
                "critic_photo": losses.lsgan_discriminator([self.photo(photo)], [self.photo(painted.detach())]),
                "critic_sketch": losses.lsgan_discriminator([self.sketch(sketch)], [self.sketch(drawn.detach())]),
            }
            self.descend_d(terms["critic_photo"] + terms["critic_sketch"])
            self.descend_d.frozen(True)
            wanted = {
                "pixel": r.pixel * losses.lsgan_generator([self.photo(painted)]),
                "pixel_sketch": r.pixel * losses.lsgan_generator([self.sketch(drawn)]),
                "cycle_sketch": r.cycle * losses.cycle_consistency(self.back(painted), sketch),
                "cycle_photo": r.cycle * losses.cycle_consistency(there(drawn), photo),
            }
            self.descend_g(torch.stack([t.float() for t in wanted.values()]).sum())
            self.descend_d.frozen(False)
        return {name: value.detach() for name, value in (terms | wanted).items()}
