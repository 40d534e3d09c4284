"""The figures of a release, out of what was seen of its faces: every attack on them, and their use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dsanon_eval.attacks import few, outside, parrot, reidentification, subgroups, templates, worst
from dsanon_eval.attacks import landmarks as landmark_attack
from dsanon_eval.attacks import verification as lfw_release
from dsanon_eval.attacks.linkage import linkage
from dsanon_eval.measurement import Curve, Measurement
from dsanon_eval.networks import inception, recognisers
from dsanon_eval.reproduce import paper
from dsanon_eval.seeing.case import Case
from dsanon_eval.seeing.gathered import Gathered, Picture
from dsanon_eval.seeing.observation import FEATURES
from dsanon_eval.seeing.pictures import Means
from dsanon_eval.utility import detection, frechet

LENGTHS = {
    recognisers.label(FEATURES): frechet.Features.length,
    recognisers.INDEPENDENT: recognisers.DlibResnet.length,
    inception.NAME: inception.InceptionFeatures.length,
}


def measure(
    case: Case, gathered: Gathered, attributes: Mapping[str, Mapping[str, bool]], means: Means
) -> tuple[list[Measurement], list[Curve], list[str]]:
    """All attacks on what was seen: figures, curves, and notes on what could not be measured. means: of attackers."""
    if not gathered.faces:
        what = "no face was treated in this release, bodies were: only these are asked who they are"
        if not case.bodies.num_rows:
            what = "neither a face nor a body was treated in this release: there is nothing to attack"
        return [], [], [what]
    figures: list[Measurement] = []
    curves: list[Curve] = []
    notes: list[str] = []
    if not case.mapped:
        for detector, found in gathered.pictures["release"].found.items():
            figures += detection.seen(detector, found, gathered.people)
        return figures, curves, notes
    if not any(face.labelled for face in gathered.faces):
        notes.append("the source does not say who is who: every track, or else every face, counts as a person")
    original = gathered.pictures["original"]
    groups = subgroups.traits(gathered, attributes)
    treated = _treated(gathered)
    for control, picture in gathered.pictures.items():
        figures += _detected(gathered, original, control, picture)
    for detector, again in gathered.pictures["release"].found.items():
        before = original.found[detector]
        figures += subgroups.detected(before, again, treated, gathered.people, groups, detector)
        notes += detection.covered(detector, before & ~treated)
    subjects = [f"{face.scope} {face.subject}" for face in gathered.faces]
    samples = [sample for sample, _ in gathered.places]
    looked = {control: picture.looked for control, picture in gathered.pictures.items()}
    for name in original.embeddings:
        model = recognisers.label(name)
        named, lines = _recognised(gathered, name, model, groups)
        confirmed, more, told = lfw_release.verification(case, gathered, name, model)
        figures += named + confirmed
        curves += lines + more
        notes += told
        shown = {control: picture.embeddings[name] for control, picture in gathered.pictures.items()}
        figures += templates.by_subject(shown, gathered.people, subjects, samples, model, looked=looked)
        figures += lfw_release.own(gathered, name, model)
        figures += linkage(gathered.pictures["release"].embeddings[name], gathered.faces, model)
        figures += parrot.parrot(gathered, gathered.vectors(name), model, means)
    if original.face_features.shape[1]:
        figures += parrot.parrot(gathered, gathered.vectors(FEATURES), recognisers.label(FEATURES), means)
    figures += outside.outside(gathered)
    shapes = {control: picture.landmarks for control, picture in gathered.pictures.items()}
    figures += landmark_attack.measure(shapes, gathered.people)
    notes += lfw_release.strangers(gathered) + lfw_release.left_out(case, gathered)
    untaught = _aligned(gathered, original)
    # every picture of the same faces: these figures depend on how many there are
    shared = np.logical_and.reduce([picture.looked for picture in gathered.pictures.values()])
    led = np.array([shared[samples.index(sample)] for sample in dict.fromkeys(samples)], dtype=bool)
    for control, picture in gathered.pictures.items():
        for where, network, real, made, people in (
            ("face", FEATURES, original.face_features, picture.face_features, gathered.people),
            ("image", FEATURES, original.image_features, picture.image_features, gathered.leaders),
            ("face", recognisers.INDEPENDENT, untaught, _aligned(gathered, picture), gathered.people),
            ("face", inception.NAME, original.face_fid, picture.face_fid, gathered.people),
            ("image", inception.NAME, original.image_fid, picture.image_fid, gathered.leaders),
        ):
            figures += _apart(where, control, real, made, people, network, shared if where == "face" else led)
    if any(f.name.startswith(("fd_", "fid_")) and f.n < LENGTHS[f.model] for f in figures):
        notes.append(
            "distances of distributions are of fewer faces than features: mostly the scatter of so small a sample, "
            "only to be compared with the controls of this run"
        )
    rows = {control: control for control in gathered.pictures} | {"release": means.method}
    return paper.stated(figures, paper.OF_DATASET.get(case.dataset, {}), rows), curves, notes


def _treated(gathered: Gathered) -> np.ndarray:
    """(n,) bool: the faces that the method painted; the others were covered."""
    return np.array([face.status == "anonymized" for face in gathered.faces], dtype=bool)


def _detected(gathered: Gathered, original: Picture, control: str, picture: Picture) -> list[Measurement]:
    """Faces found again: of those that the method treated, of those that it could only cover, and of all."""
    if control == "original":
        return []
    treated = _treated(gathered)
    parts = {"detection_rate": treated}
    if not treated.all():
        parts["detection_rate_covered"] = ~treated
    if control == "release" or not treated.all():  # the release owes it, whoever was treated
        parts["detection_rate_all"] = np.ones_like(treated)
    out = []
    for detector, again in picture.found.items():
        before = original.found[detector] & picture.looked
        for name, chosen in parts.items():
            out += detection.measure(detector, control, before & chosen, again, gathered.people, name)
    return out


def _recognised(
    gathered: Gathered, name: str, model: str, groups: subgroups.Traits
) -> tuple[list[Measurement], list[Curve]]:
    """Recall@1 with the probe's own photo left out and left in, of every picture, in the gallery of originals.

    Without it also of the people worst off, and for the auditors of original and release by subgroup.
    """
    gallery = gathered.pictures["original"].embeddings[name]
    people, figures, curves = gathered.people, [], []
    for control, picture in gathered.pictures.items():
        figures += few.few(gallery, picture.embeddings[name], people, picture.looked, model, control)
    figures += few.guess(figures)
    for figure, own in (("recall_at_1", False), ("self_recall_at_1", True)):
        for control, picture in gathered.pictures.items():
            found = reidentification.ranks(picture.embeddings[name], gallery, people, own, asked=picture.looked)
            figures += reidentification.measure(found, figure, model, control)
            if control == "original":
                figures += reidentification.chance(found, figure, model)
                curves += [] if own or not len(found.rank) else [reidentification.cmc_chance(found, model)]
            if not own and len(found.rank):
                curves.append(reidentification.cmc(found, model, control))
                figures += worst.worst(found, model, control)
                figures += worst.luck(found, model) if control == "original" else []
                curves += worst.people(found, model, control)
                if name != recognisers.GUIDED and control in ("original", "release"):
                    figures += subgroups.recall(found, groups, model, control)
    return figures, curves


def _aligned(gathered: Gathered, picture: Picture) -> np.ndarray:
    """(n, 128) embeddings of the faces whose crops the other Fréchet distances are of; NaN for others, () for none."""
    if recognisers.INDEPENDENT not in picture.embeddings:
        return np.zeros((len(gathered.faces), 0), np.float32)
    there = np.array([bool(face.region.transform) for face in gathered.faces], dtype=bool)
    return np.where(there[:, None], picture.embeddings[recognisers.INDEPENDENT], np.nan)


def _apart(
    where: str,
    control: str,
    real: np.ndarray,
    made: np.ndarray,
    people: Sequence[str],
    network: str,
    shared: np.ndarray,
) -> list[Measurement]:
    """shared: (n,) bool, the rows of which there is every picture"""
    if not real.shape[1] or not made.shape[1]:
        return []
    rows = np.flatnonzero(shared & np.isfinite(real).all(axis=1) & np.isfinite(made).all(axis=1))
    if len(rows) < 8:
        return []
    return frechet.measure(where, control, real[rows], made[rows], [people[int(i)] for i in rows], network)
