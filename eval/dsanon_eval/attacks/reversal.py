"""Undoing the anonymization: a network trained on pairs of after and before, then recognition of what it restores.

The attacker has pairs of his own people, nobody of whom is measured. What he restores is never written down; his
networks lie on the private side (0600), for they have seen people of the source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dsanon.align import warp
from dsanon.durable import PRIVATE_FOLDER, explained
from dsanon.errors import DsanonError
from dsanon.progress import Progress
from dsanon.sample import Pixels
from dsanon_eval.attacks.reidentification import chance, measure, ranks
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks import recognisers
from dsanon_eval.networks.undo import save_undo, train_undo
from dsanon_eval.seeing.case import Case, Scene
from dsanon_eval.seeing.code import RENDERING, digest
from dsanon_eval.seeing.gathered import Gathered
from dsanon_eval.seeing.pictures import RESTORED, Means, Studio

NAME, UNTOUCHED = "reversal_recall_at_1", "reversal_untouched_recall_at_1"
LEAST = 100  # pairs to learn from: with fewer the attacker is no measure of anything
_CODE = (
    "dsanon.sources.clip",
    "dsanon.sources.mp4",
    "dsanon_eval.networks.undo",
    "dsanon_eval.seeing.clips",
    "dsanon_eval.seeing.faces",
    "dsanon_eval.seeing.pictures",
)


def sides(case: Case, chosen: Iterable[str], measured: int, pairs: int) -> tuple[set[str], set[str]]:
    """Samples that the attacker learns from, with about ``pairs`` faces, and others that are measured.

    Half of the people are on either side, drawn by their names; a sample that shows people of both is on none.
    Raises DsanonError where somebody is on both, which would void the attack.
    """
    samples, people, _ = case.people()
    wanted = set(chosen)
    shown: dict[str, set[str]] = {}
    for sample, person in zip(samples, people, strict=True):
        if sample in wanted:
            shown.setdefault(sample, set()).add(person)
    learnt: set[str] = set()
    asked: set[str] = set()
    counts = [0, 0]
    for sample in sorted(shown, key=lambda name: min(map(_digest, shown[name]))):
        at = {int(_digest(person)[0]) % 2 for person in shown[sample]}
        if len(at) > 1:
            continue
        (side,) = at
        if counts[side] < (pairs, measured)[side]:
            (learnt, asked)[side].add(sample)
            counts[side] += len(shown[sample])
    if both := {p for s in learnt for p in shown[s]} & {p for s in asked for p in shown[s]}:
        raise DsanonError(f"{len(both)} people are both learnt from and measured: the reversal attack is void")
    return learnt, asked


def learn(
    case: Case, learnt: set[str], kinds: Sequence[str], means: Means, folder: Path, steps: int
) -> tuple[dict[str, str], int]:
    """Kind of picture → the name of the network that undoes it, trained now or found in ``folder``; pairs, at most.

    Nothing where there are fewer than ``LEAST`` pairs.
    """
    scenes = list(case.scenes(learnt))
    faces = sum(bool(face.region.transform) for scene in scenes for face in scene.faces)
    if faces < LEAST:
        return {}, faces
    names = {kind: _name(scenes, kind, steps) for kind in kinds}
    missing = [kind for kind, name in names.items() if not (folder / f"{name}.safetensors").is_file()]
    if missing:
        with explained(folder):
            folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        before, after = crops(case, scenes, missing, means)
        with Progress("undo", len(missing)) as progress:
            for kind in missing:
                save_undo(train_undo(after[kind], before, steps), folder / f"{names[kind]}.safetensors")
                progress.add({"samples": 1, "faces": len(before)})
    return names, faces


def crops(case: Case, scenes: Sequence[Scene], kinds: Sequence[str], means: Means) -> tuple[Pixels, dict[str, Pixels]]:
    """Aligned crops (n, 128, 128, 3) of the originals, and the same of each kind of picture."""
    studio = Studio()
    before: list[Pixels] = []
    after: dict[str, list[Pixels]] = {kind: [] for kind in kinds}
    with Progress("pairs", len(scenes)) as progress:
        for scene in scenes:
            pictures = studio.pictures(scene, case.root, case.paths.release / "data", means)
            for face in scene.faces:
                if face.region.transform:
                    transform = np.array(face.region.transform).reshape(2, 3)
                    before.append(warp(pictures["original"], transform))
                    for kind in kinds:
                        after[kind].append(warp(pictures[kind], transform))
            progress.add({"samples": 1, "faces": len(scene.faces)})
    return np.stack(before), {kind: np.stack(some) for kind, some in after.items()}


def kind_of(control: str, network: str) -> str:
    """The name of the picture in which ``network`` has undone ``control``."""
    return f"{RESTORED} {control} {network}"


def reversal(gathered: Gathered, names: dict[str, str]) -> list[Measurement]:
    """Recall@1 of restored faces among originals, by other photos; and of the same faces as they were before.

    names: control → its network. The gallery and the probes are the measured people's.
    """
    original = gathered.pictures["original"]
    out: list[Measurement] = []
    for name, gallery in original.embeddings.items():
        model = recognisers.label(name)
        found = ranks(gallery, gallery, gathered.people, own=False)
        out += measure(found, NAME, model, "original") + chance(found, NAME, model)
        for control, network in names.items():
            pictures = (
                (NAME, gathered.derived.get(kind_of(control, network))),
                (UNTOUCHED, gathered.pictures[control]),
            )
            for figure, picture in pictures:
                if picture is not None:
                    vectors = picture.embeddings[name]
                    found = ranks(vectors, gallery, gathered.people, own=False, asked=picture.looked)
                    out += measure(found, figure, model, control)
    return out


def _name(scenes: Sequence[Scene], kind: str, steps: int) -> str:
    """Of a network: what it was trained on, and by which code."""
    key = hashlib.sha256(f"{kind} {steps} {digest(*RENDERING, *_CODE)}".encode())
    for scene in scenes:
        key.update(f"\0{scene.source_sha256} {scene.output_sha256 if kind == 'release' else ''}".encode())
        for face in scene.faces:
            key.update(np.array([*face.region.box, *face.region.transform], dtype="<f8").tobytes())
    return key.hexdigest()[:32]


def _digest(person: str) -> bytes:
    return hashlib.sha256(b"side " + person.encode("utf-8", "surrogateescape")).digest()
