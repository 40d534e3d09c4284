"""The experiment on face swap: are painted faces people of the training set?"""

from __future__ import annotations

import math
from collections import Counter

from dsanon.errors import UsageError
from dsanon.models.weights import read_card
from dsanon.plan import Control
from dsanon.sample import Sample
from dsanon_eval.attacks import swap as attack
from dsanon_eval.attacks.disjoint import identities_of, refuse_overlap, refuse_trained_on
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks import recognisers
from dsanon_eval.reproduce import rows
from dsanon_eval.reproduce.bench import ORIGINAL, PAINTED, Look, embeddings
from dsanon_eval.reproduce.rows import Row
from dsanon_eval.reproduce.setting import Result, Setting, counts_of, held_out_people, weights_of
from dsanon_eval.reproduce.table import Section, Table
from dsanon_eval.seeing.known_faces import KnownFace, celeba_samples, lfw_training_samples

TARGET = Section(
    "Recall@1 of the target identity, %",
    ("swap_recall_at_1",),
    "The nearest real photo of the generator's identities is of the one that the vector names. Chance is one of these "
    "photos at random. MobileFaceNet guided the training and is no judge. Intervals: the wider of those over targets "
    "and over sources.",
)
NEAR = Section(
    "As near to a photo of the training set as the nearest hundredth of strangers, %",
    ("swap_near_training_face",),
    "Is anybody painted a person of the training set? Strangers are the real, unpainted photos: 1 % of them by design.",
)
RELEASE = "release"


def swap(setting: Setting) -> Result:
    """Whether painted faces are people of the training set: the target identity, or anybody at all.

    Every source face is painted under every target in turn, one-hot, up to ``setting.faces`` in all. Where the vectors
    name nobody, there is no target to be found, and the targets are the vectors.
    """
    bench, ciagan = setting.bench, rows.method("ciagan")
    if ciagan.weights is None:
        raise UsageError(f"there is nothing to measure: {ciagan.missing}")
    training, faces = _training_people(setting), held_out_people(setting)
    who, sources = [face.person for face in training], {face.person for face in faces}
    refuse_trained_on(ciagan.weights, sources)
    refuse_overlap(sources, who)
    card, numbers = read_card(ciagan.weights), identities_of(ciagan.weights, who)
    named = not set(card.identities).isdisjoint(card.people)
    if not named:
        numbers = {f"vector {number}": number for number in range(len(card.identities))}
    if len(numbers) < 2:
        raise UsageError(
            f"--data {setting.data} has photos of {len(numbers)} of the {len(card.identities)} "
            "identities of the generator: expected CelebA and LFW, which it was trained on"
        )
    targets = sorted(numbers)
    jobs = pairs_of(len(faces), len(targets), setting.faces)
    looks = [Look(faces[i], PAINTED, ciagan.weights, Control((numbers[targets[j]],), (1.0,))) for i, j in jobs]
    real = bench.see("training", [Look(face, ORIGINAL) for face in training], bench.recognition)
    seen = {RELEASE: bench.see("painted", looks, bench.recognition)}
    unpainted = {
        row: bench.see(row, [Look(face, row) for face in faces], bench.recognition)
        for row in (ORIGINAL, "blackout", "blur9")
    }
    seen |= {row: [observed[i] for i, _ in jobs] for row, observed in unpainted.items()}
    measured: list[Measurement] = []
    notes: list[str] = []
    known = [i for i, person in enumerate(who) if person in numbers]
    wanted, of = [targets[j] for _, j in jobs], [faces[i].person for i, _ in jobs]
    for name in bench.recognisers:
        model, photos = recognisers.label(name), embeddings(real, name)
        asked = {row: attack.Probes(embeddings(observed, name), wanted, of) for row, observed in seen.items()}
        some = attack.recall(asked, photos[known], [who[i] for i in known], model) if named else []
        made = {row: probes for row, probes in asked.items() if row != ORIGINAL}
        some += attack.near(made, embeddings(unpainted[ORIGINAL], name), [f.person for f in faces], photos, who, model)
        measured += some
        notes += attack.verdict(some, model) if name != recognisers.GUIDED else []
    shown = [
        Row(RELEASE, ciagan.label, ""),
        Row(ORIGINAL, "the photo as it was", ""),
        Row("blackout", rows.LABELS["blackout"], ""),
        Row("blur9", rows.LABELS["blur9"], ""),
        Row("target", "a photo of the training set, among the others", ""),
    ]
    if not named:
        notes.insert(0, f"{ciagan.weights.name}: its vectors name nobody of the training set, so none is looked for")
    tables = [Table(section, shown, {}, measured) for section in ((TARGET, NEAR) if named else (NEAR,))]
    counts = counts_of(faces) | {
        "painted faces": len(jobs),
        "target identities": len(targets),
        "training people": len(set(who)),
        "training photos": len(who),
    }
    return Result("Face swap", tables, counts, weights_of([ciagan]), [*bench.notes, *notes])


def pairs_of(sources: int, targets: int, most: int) -> list[tuple[int, int]]:
    """Up to ``most`` pairs of a source and a target, none twice, every one of either in turn."""
    return [(i % sources, i % targets) for i in range(min(most, math.lcm(sources, targets)))]


def _training_people(setting: Setting) -> list[KnownFace]:
    """The faces of CelebA's training partition and of LFW outside its pairs; ``limit``: of those most photographed."""
    samples = {"celeba": celeba_samples(setting.root("celeba"), 0)}
    if (setting.root("lfw") / "pairs.txt").is_file():
        samples["lfw"] = lfw_training_samples(setting.root("lfw"))
    faces: list[KnownFace] = []
    for dataset, found in samples.items():
        most = {label for label, _ in Counter(_label(s) for s in sorted(found, key=_label)).most_common(setting.limit)}
        faces += setting.bench.find(dataset, setting.root(dataset), [s for s in found if _label(s) in most])
    return faces


def _label(sample: Sample) -> str:
    return sample.people[0].subject or ""
