"""The rows of a table: the original, the paper's controls, and the generators that are here, or how to get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsanon.config import GENERATORS
from dsanon.errors import WeightsError
from dsanon.models import store
from dsanon.models.painters import painter_file
from dsanon.models.weights import GeneratorCard, read_card
from dsanon.naming import Names
from dsanon.plan import Control, assign
from dsanon_eval.attacks.disjoint import refuse_trained_on
from dsanon_eval.reproduce.bench import ORIGINAL, PAINTED, Look
from dsanon_eval.seeing.known_faces import KnownFace

KEY = b"which vectors the figures use: fixed, so that two generators are asked for the same people"
LABELS = {
    ORIGINAL: "original",
    "pixelate16": "pixelization 16×16",
    "pixelate8": "pixelization 8×8",
    "blur9": "blur 9×9",
    "blur17": "blur 17×17",
    "blackout": "mask (blackout)",
}
# the paper's ablations: their recipes; the first is what to train where there is none
ABLATIONS = {
    "siamese": ("ciagan-paper", "ciagan-reference"),
    "classification": ("classification",),
    "faces": ("faces",),
}


@dataclass(frozen=True, slots=True)
class Row:
    """name: the ``control`` of its measurements · label: in the table · paper: its name among the paper's figures

    weights: of a generator · missing: what to do to have it measured, '' where it is
    """

    name: str
    label: str
    paper: str
    weights: Path | None = None
    missing: str = ""

    def looks(self, faces: Sequence[KnownFace]) -> list[Look]:
        """Every face as the row has it; a generator gives each person one vector, as in a release.

        Raises UsageError if the generator was trained on one of them.
        """
        if self.weights is None:
            return [Look(face, self.name) for face in faces]
        people = {face.person for face in faces}
        refuse_trained_on(self.weights, people)
        vectors = given(self.weights, people)
        return [Look(face, PAINTED, self.weights, vectors[face.person]) for face in faces]


def given(weights: Path, people: set[str]) -> dict[str, Control]:
    """Each person's control vector: empty for a generator that has none."""
    identities = read_card(weights).config.identities
    if not identities:
        return dict.fromkeys(people, Control((), ()))
    return assign(Names(KEY), "dataset", people, identities)


def controls(*names: str) -> list[Row]:
    """Rows of ``LABELS``, all of them by default."""
    return [Row(name, LABELS[name], name) for name in names or LABELS]


def method(name: str) -> Row:
    """The generator that ``--method`` paints with. Raises WeightsError for a damaged file."""
    model = GENERATORS[name]
    if model in generators():
        return Row(name, f"{name} ({model})" if name != model else name, name, painter_file(name, model))
    return Row(name, name, name, missing=_train(model, model))


def ablations() -> list[Row]:
    """The generators of the paper's ablations, by the recipe that their files name, and those of our own network."""
    here, out = generators(), []
    found = {label: [n for n, (_, card) in here.items() if card.recipe in of] for label, of in ABLATIONS.items()}
    taken = {*LABELS, "chance", *(label for label, names in found.items() if not names)}

    def row(name: str, label: str, paper: str) -> Row:
        """A user may have called a generator ``original``: it is none."""
        return Row(f"generator {name}" if name in taken else name, f"{label} ({name})", paper, here[name][0])

    for label, names in found.items():
        out += [row(name, label, label) for name in names]
        if not names:
            recipe = ABLATIONS[label][0]
            out.append(Row(label, label, label, missing=_train(recipe, recipe)))
    ours = [name for name, (_, card) in here.items() if card.config.architecture == "ciagan"]
    return [*out, *(row(name, "ours", "") for name in ours)]


def generators() -> dict[str, tuple[Path, GeneratorCard]]:
    """Every generator that is shipped or registered: its file and card."""
    out = {}
    for row in store.describe():
        if row["kind"] == "generator" and row["usable"]:
            path = store.path(row["name"])
            try:
                out[str(row["name"])] = path, read_card(path)
            except WeightsError:  # critics and the like, which paint nothing
                continue
    return out


def _train(recipe: str, model: str) -> str:
    return f"no weights: `dsanon train {recipe}`, then `dsanon models add {model} FILE`"
