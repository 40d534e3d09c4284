"""The family of the auditor: no generator, but a recogniser trained by Proxy-NCA, as the paper's was."""

from __future__ import annotations

from torch import Tensor, nn

from dsanon.errors import RecipeError
from dsanon.models import store
from dsanon_training import losses
from dsanon_training.batches import Batch, People
from dsanon_training.crops import Crops
from dsanon_training.embedder import KIND, Embedder, EmbedderConfig
from dsanon_training.engine import Descent, Engine
from dsanon_training.recipe import Recipe

_SPREAD = 0.02  # of a new proxy's values: only its direction counts, and short ones turn faster


class Pnca:
    """See :class:`dsanon_training.families.Family`. Every identity has a proxy, a vector that learns with the rest."""

    kind = KIND
    partners = False

    def __init__(self, recipe: Recipe, engine: Engine, crops: Crops, people: People) -> None:
        self.recipe, self.engine = recipe, engine
        if recipe.own_share < 1 or (people.identity[people.training] < 0).any():
            raise RecipeError("family pnca learns who is in every photo: own_share = 1 and min_photos = 1 are needed")
        config = EmbedderConfig(len(people.identities), recipe.embedding)
        weights = store.path("mobilenet_v2")
        self.generator = engine.place(Embedder(config, weights))
        self.average = engine.place(Embedder(config, weights)).requires_grad_(False).eval()
        self.average.load_state_dict(self.generator.state_dict())
        self.proxies = nn.Embedding(config.identities, config.length)
        nn.init.normal_(self.proxies.weight, std=_SPREAD)
        self.proxies = engine.place(self.proxies)
        self.critics = ()
        self.networks = {"proxies": self.proxies}
        self.descend = Descent([*self.generator.parameters(), *self.proxies.parameters()], recipe, engine)
        self.descents = {"optimise": self.descend}

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Every photo to the proxy of its person, away from those of all others."""
        with self.engine.autocast():
            embeddings = self.generator(batch.real)
        nca = losses.proxy_nca(embeddings, self.proxies.weight, batch.control.argmax(1), self.recipe.sharpness)
        self.descend(nca)
        return {"nca": nca.detach()}
