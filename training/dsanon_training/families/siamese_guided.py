"""The paper's family: a GAN whose identity guide is trained beside it.

Its text (``ciagan-paper``), its authors' code (``ciagan-reference``) and its two ablations are recipes of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dsanon.models.generator import GeneratorConfig
from dsanon_training import losses
from dsanon_training.batches import Batch, People
from dsanon_training.crops import Crops
from dsanon_training.discriminators import ResidualCritic
from dsanon_training.engine import Descent, Engine
from dsanon_training.families import composite, forward_of, pair
from dsanon_training.recipe import Recipe
from dsanon_training.siamese import SiameseNet


class SiameseGuided:
    """See :class:`dsanon_training.families.Family`. The guide is a siamese network, or in the ablation a classifier."""

    kind = "generator"
    partners = True

    def __init__(self, recipe: Recipe, engine: Engine, crops: Crops, people: People) -> None:
        self.recipe, self.engine = recipe, engine
        config = GeneratorConfig(len(people.identities), architecture=recipe.network)
        self.generator, self.average = pair(config, engine)
        self.paint = forward_of(self.generator, recipe)
        self.critic = engine.place(ResidualCritic())
        self.guide = engine.place(SiameseNet(config.identities))
        self.critics = ()
        self.networks = {"critic": self.critic, "guide": self.guide}
        self.descend_g = Descent(self.generator.parameters(), recipe, engine)
        self.descend_d = Descent(self.critic.parameters(), recipe, engine)
        self.descend_s = Descent(self.guide.parameters(), recipe, engine)
        self.descents = {"optimise_g": self.descend_g, "optimise_d": self.descend_d, "optimise_s": self.descend_s}

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """First the guide alone; then critic, guide and generator."""
        terms: dict[str, Tensor] = {}
        with self.engine.autocast():
            if step < self.recipe.pretrain:
                terms["pretrain"] = self._pretrain(batch)
                self.descend_s(terms["pretrain"])
                return {name: value.detach() for name, value in terms.items()}

            painted = self.paint(batch.drawn, batch.real, batch.hidden, batch.padding, batch.control)
            fake = composite(painted, batch)
            if step % self.recipe.critic_every == 0:
                terms["critic"] = losses.lsgan_discriminator(
                    self.critic(batch.real, batch.drawn), self.critic(fake.detach(), batch.drawn)
                )
                self.descend_d(terms["critic"])
                terms["guide"] = self._guide(batch, fake.detach())
                self.descend_s(terms["guide"])
            if step % self.recipe.generator_every == 0:
                for descent in (self.descend_d, self.descend_s):
                    descent.frozen(True)
                wanted = {
                    "pixel": self.recipe.pixel * losses.lsgan_generator(self.critic(fake, batch.drawn)),
                    "identity": self.recipe.identity * self._named(batch, fake),
                }
                self.descend_g(torch.stack([t.float() for t in wanted.values()]).sum())
                for descent in (self.descend_d, self.descend_s):
                    descent.frozen(False)
                terms |= wanted
        return {name: value.detach() for name, value in terms.items()}

    def _pretrain(self, batch: Batch) -> Tensor:
        """Real photos of the targets: Proxy-NCA, or the classifier's cross entropy."""
        embeddings, identity = self.guide(batch.partners[:, 0]), batch.control.argmax(1)
        if self.recipe.guide == "classifier":
            return F.cross_entropy(self.guide.identities(embeddings).float(), identity)
        return losses.proxy_nca(embeddings, self.guide.identities.weight, identity)

    def _guide(self, batch: Batch, fake: Tensor) -> Tensor:
        """What the guide learns beside the GAN; ``joint``: from painted faces as well as from real ones."""
        if self.recipe.guide == "classifier":
            return self._pretrain(batch)
        target = self.guide(batch.partners[:, 0])
        terms = [losses.contrastive(self.guide(batch.real), target, batch.own, self.recipe.margin)]
        if self.recipe.joint:  # and two photos of one person, which random targets alone never bring
            same = torch.ones_like(batch.own)
            terms += [
                losses.contrastive(self.guide(other), target, same, self.recipe.margin)
                for other in (batch.partners[:, 1], fake)
            ]
        return torch.stack(terms).mean()

    def _named(self, batch: Batch, fake: Tensor) -> Tensor:
        """The painted face must be the target: near to a real photo of it, or of its class."""
        if self.recipe.guide == "classifier":
            return F.cross_entropy(self.guide.identities(self.guide(fake)).float(), batch.control.argmax(1))
        with torch.no_grad():
            target = self.guide(batch.partners[:, 0])
        return losses.contrastive(self.guide(fake), target, torch.ones_like(batch.own), self.recipe.margin)
