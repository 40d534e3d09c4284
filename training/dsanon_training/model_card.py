"""What a trained file says of itself: its terms in its metadata, and a card of one page beside it."""

from __future__ import annotations

from pathlib import Path

from dsanon.models.architectures import AnyGenerator
from dsanon.models.encoder_decoder import EncoderDecoder
from dsanon_training.batches import People
from dsanon_training.embedder import Embedder
from dsanon_training.recipe import Recipe

_TERMS = {
    "face": "trained on CelebA and LFW, which are for research and not for commercial use; so are these weights",
    "body": "trained on photos of people (COCO and MOTS folders) whose licences differ and may exclude commercial use, "
    "and guided by a teacher trained on CUHK03, which is for research; so are these weights",
}
_DATA = {
    "face": "aligned faces, of CelebA's training partition and of LFW's people outside pairs.txt",
    "body": "bodies with silhouettes, of COCO folders without their validation images and of every fifth frame of MOTS",
}
_SEES = "IT SEES THE SOURCE'S FACE and anonymizes nobody: for measuring only"


def terms(recipe: Recipe, generator: AnyGenerator | Embedder) -> dict[str, str]:
    """Licence, origin and terms, as ``dsanon models`` and a release's card show them."""
    sees = isinstance(generator, EncoderDecoder) and generator.sees_source
    said = f"{_SEES}; {_TERMS[recipe.subject]}" if sees else _TERMS[recipe.subject]
    return {"licence": "research only", "origin": f"trained by dsanon's recipe {recipe.name}", "terms": said}


def write_card(path: Path, recipe: Recipe, generator: AnyGenerator, people: People, steps: int, sha256: str) -> None:
    """The card as Markdown. What was not measured is not claimed."""
    said = terms(recipe, generator)
    config, identities = generator.config, generator.config.identities
    control = f"{identities} identities in its control vector" if identities else "no control over the identity"
    if people.strangers:
        control += f", each what {len(people.seen) // identities} training people or more have in common"
    path.write_text(
        f"# {recipe.name}\n\n{recipe.about}.\n\n"
        f"- **Network**: `{config.architecture}`, {config.size} × {config.across}, {control}; sha256 `{sha256}`.\n"
        f"- **Training**: {steps} steps of {recipe.batch}; run.json has recipe, versions and machine.\n"
        f"- **Data**: {len(people.training)} {_DATA[recipe.subject]}. The file holds hashes of the identities' labels, "
        "no names.\n"
        f"- **Terms**: {said['terms']}.\n"
        "- **Figures**: none were measured in training. Audit a release before you publish it; whatever guided the "
        "training may not audit it.\n",
        encoding="utf-8",
    )


def write_auditors_card(
    path: Path, recipe: Recipe, embedder: Embedder, people: People, steps: int, sha256: str
) -> None:
    """The card of a recogniser."""
    config = embedder.config
    path.write_text(
        f"# {recipe.name}\n\n{recipe.about}.\n\n"
        f"- **Network**: `{config.architecture}`, {config.size} × {config.size} to {config.length} values; sha256 "
        f"`{sha256}`.\n"
        f"- **Training**: {steps} steps of {recipe.batch}; run.json has recipe, versions and machine.\n"
        f"- **Data**: {len(people.training)} aligned faces of {config.identities} people, of CelebA's validation "
        "partition and of the people of LFW's pairs.txt. The file holds hashes of their labels, no names.\n"
        f"- **Terms**: {terms(recipe, embedder)['terms']}.\n"
        "- **Figures**: none were measured in training. An audit asks it for nobody whom it learned from, and prints "
        "beside each figure what it reaches on originals.\n",
        encoding="utf-8",
    )
