"""The teacher of bodies: a small person recogniser, trained here on the first 80 people of CUHK03.

    python -m dsanon_training.person_teacher CUHK03 OUT.safetensors

It guides and so may not audit. ImageNet's MobileNetV2, one average over the upper and one over the lower half of a
person, an embedding; learnt by cross entropy over scaled cosines to the people (as NormFace, Wang et al. 2017).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsanon.bodies import SIZE
from dsanon.errors import RecipeError
from dsanon.models import store
from dsanon_training import losses
from dsanon_training.backbones import MobileNetV2Features
from dsanon_training.batches import Batch
from dsanon_training.checkpoints import export
from dsanon_training.teacher import Teacher, aligned

NAME = "person-teacher"
PEOPLE = 80  # identities 0000 … 0079; the others are for audits
LENGTH = 128
STEPS, BATCH, RATE = 400, 32, 3e-4
TERMS = {
    "kind": "recogniser",
    "licence": "research only",
    "origin": "trained by dsanon_training.person_teacher, see dsanon/weights/person-teacher.md",
    "terms": "trained on CUHK03, which is for research only, from ImageNet's MobileNetV2; it guides ciagan-body and "
    "may not audit it",
}
_ROOM = 1.15  # a body's crop is so much larger than what the network was trained on: a box around the person


class PersonNetwork(nn.Module):
    """Pixels (n, 3, 128, 64) in [-1, 1] → unit embeddings (n, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = MobileNetV2Features(store.path("mobilenet_v2"))
        self.head = nn.Linear(2 * self.trunk.channels[-1], LENGTH)

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        halves = F.adaptive_avg_pool2d(self.trunk(pixels)[-1], (2, 1))
        return F.normalize(self.head(halves.flatten(1)).float(), dim=1)


class PersonTeacher(Teacher):
    """The network as it ships. It is shown people alone: what is around them says nothing of who they are."""

    def __init__(self, weights: Path) -> None:
        from safetensors.torch import load_file

        super().__init__()
        self.network = PersonNetwork()
        self.network.load_state_dict({name: t.float() for name, t in load_file(weights).items()})
        self.eval().requires_grad_(False)

    def look(self, pixels: Tensor, batch: Batch, jitter: np.random.Generator | None = None) -> Tensor:
        """See :meth:`Teacher.look`."""
        zoom, shift = np.full((len(pixels), 1), 1 / _ROOM), np.zeros((len(pixels), 2))
        if jitter is not None:
            zoom = zoom * jitter.uniform(0.94, 1.06, zoom.shape)
            shift = jitter.uniform(-0.06, 0.06, shift.shape)
        theta = np.zeros((len(pixels), 2, 3), np.float32)
        theta[:, 0, 0] = theta[:, 1, 1] = zoom[:, 0]
        theta[:, :, 2] = shift
        person = pixels.float() * batch.weight
        return torch.as_tensor(self.network(aligned(person, torch.from_numpy(theta).to(pixels.device), SIZE, "zeros")))


def read_people(folder: Path) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """CUHK03's crops ``IIII_KK.jpg``: pixels (n, 3, 128, 64) in [-1, 1], identity (n,), camera (n,) 0 or 1.

    Raises RecipeError where there are none.
    """
    from dsanon.images import decode

    files = sorted(folder.glob("[0-9][0-9][0-9][0-9]_[0-9][0-9].jpg"))
    if not files:
        raise RecipeError(f"{folder} has no photos named IIII_KK.jpg: expected CUHK03's crops")
    photos = [decode(file.read_bytes())[0] for file in files]
    wrong = next((file.name for file, p in zip(files, photos, strict=True) if p.shape != (*SIZE, 3)), None)
    if wrong:
        raise RecipeError(f"{folder / wrong} is not of {SIZE[1]} × {SIZE[0]} pixels: expected CUHK03's crops")
    pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 127.5 - 1
    identity, photo = (np.array([int(file.stem.split("_")[i]) for file in files]) for i in (0, 1))
    return pixels, identity, photo // 5


def train(pixels: Tensor, identity: np.ndarray, steps: int = STEPS) -> PersonNetwork:
    """The network, trained on ``pixels`` of ``identity`` (n,)."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    names, index = np.unique(identity, return_inverse=True)
    network = PersonNetwork().requires_grad_(True)
    proxies = nn.Parameter(torch.randn(len(names), LENGTH))
    adam = torch.optim.Adam([*network.parameters(), proxies], RATE)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = RATE * min(1.0, 8 * (step + 1) / steps, 2 * (1 - step / steps))
        chosen = rng.choice(len(pixels), min(BATCH, len(pixels)), replace=False)
        shown = torch.stack([_disturbed(pixels[i], rng) for i in chosen])
        wanted = F.one_hot(torch.from_numpy(index[chosen]), len(names)).float()
        loss = losses.identity_cross_entropy(network(shown), F.normalize(proxies, dim=1), wanted)
        adam.zero_grad(set_to_none=True)
        torch.autograd.backward([loss])
        adam.step()
    return network.eval().requires_grad_(False)


def _disturbed(person: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirrored, moved, in another light, and half of the time alone: an ellipse of the picture on grey."""
    if rng.random() < 0.5:
        person = person.flip(2)
    person = person.roll((int(rng.integers(-6, 7)), int(rng.integers(-4, 5))), (1, 2))
    person = (person * float(np.exp(rng.normal(0, 0.15))) + float(rng.normal(0, 0.1))).clamp(-1, 1)
    if rng.random() < 0.5:
        height, width = person.shape[1:]
        y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)[None]
        alone = x.square() / float(rng.uniform(0.4, 0.8)) ** 2 + y.square() / float(rng.uniform(0.85, 1.05)) ** 2 <= 1
        person = person * alone
    return person


def recall_at_1(network: nn.Module, pixels: Tensor, identity: np.ndarray, camera: np.ndarray) -> tuple[float, int]:
    """Share of camera A's photos whose nearest one of camera B shows the same person, and their number."""
    with torch.no_grad():
        embeddings = torch.cat([network(piece) for piece in torch.split(pixels, 64)])
    probes, gallery = np.flatnonzero(camera == 0), np.flatnonzero(camera == 1)
    nearest = (embeddings[probes] @ embeddings[gallery].T).argmax(1).numpy()
    return float((identity[gallery][nearest] == identity[probes]).mean()), len(probes)


def main(arguments: Sequence[str]) -> None:
    """Train, measure on people who took no part, export."""
    if len(arguments) != 2:
        raise SystemExit("usage: python -m dsanon_training.person_teacher CUHK03 OUT.safetensors")
    folder, out = map(Path, arguments)
    torch.set_flush_denormal(True)
    pixels, identity, camera = read_people(folder)
    mine = identity < PEOPLE
    network = train(pixels[mine], identity[mine])
    digest = export(out, network.state_dict(), {"kind": "recogniser", "steps": STEPS}, TERMS)
    print(f"{digest}  {int(mine.sum())} photos of {len(np.unique(identity[mine]))} people")
    rest = (pixels[~mine], identity[~mine], camera[~mine])
    if len(rest[1]):
        share, number = recall_at_1(network, *rest)
        print(f"Recall@1 from camera A to camera B, people who took no part: {share:.1%} (n {number})")


if __name__ == "__main__":
    main(sys.argv[1:])
