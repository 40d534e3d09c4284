"""The figures of CelebA and of LFW, out of what was seen of their faces in each row of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from dsanon.sources.lfw import Pair
from dsanon_eval.attacks import landmarks as landmark_attack
from dsanon_eval.attacks import lfw_protocol, reidentification
from dsanon_eval.intervals import share_of_people
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks import inception, recognisers
from dsanon_eval.reproduce.bench import ORIGINAL, embeddings
from dsanon_eval.seeing.faces import place
from dsanon_eval.seeing.known_faces import KnownFace
from dsanon_eval.seeing.observation import FEATURES, Observation
from dsanon_eval.utility import detection, frechet

Seen = Mapping[str, Sequence[Observation]]  # a row's name → what was seen of every face; the original's among them


def looks(faces: Sequence[KnownFace], seen: Seen) -> list[Measurement]:
    """Detection and Fréchet distances of every row.

    The original's detection rate is of all faces, the others' of those that the detector finds in the original.
    """
    who, places = [face.person for face in faces], [place(face.region) for face in faces]
    original, out = seen[ORIGINAL], []
    for detector in original[0].squares if original else ():
        found = {row: [o.found(detector, p) for o, p in zip(rows, places, strict=True)] for row, rows in seen.items()}
        before = np.array(found[ORIGINAL], dtype=bool)
        rate, interval = float(before.mean()), share_of_people(before, who)
        out.append(Measurement("detection_rate", detector, ORIGINAL, rate, interval, len(who)))
        for row, again in found.items():
            out += detection.measure(detector, row, before, again, who) if row != ORIGINAL else []
    aligned = [i for i, face in enumerate(faces) if face.region.transform]
    people = [who[i] for i in aligned]
    none = np.zeros((0, 0), np.float32)
    features_of: dict[str, Callable[[Observation], npt.NDArray[np.float32]]] = {
        FEATURES: attrgetter("face_features"),
        recognisers.INDEPENDENT: lambda seen: seen.embeddings.get(recognisers.INDEPENDENT, none),
        inception.NAME: attrgetter("face_fid"),
    }
    for network, of_faces in features_of.items():
        if aligned and of_faces(original[0]).size:
            features = {row: np.concatenate([of_faces(rows[i]) for i in aligned]) for row, rows in seen.items()}
            for row, made in features.items():
                out += frechet.measure("face", row, features[ORIGINAL], made, people, network)
    return out


def recalls(names: Sequence[str], faces: Sequence[KnownFace], seen: Seen) -> list[Measurement]:
    """Recall@1 of every row in the gallery of originals, without and with the probe's own photo, and chance."""
    who, out = [face.person for face in faces], []
    for name in names:
        model, gallery = recognisers.label(name), embeddings(seen[ORIGINAL], name)
        for figure, own in (("recall_at_1", False), ("self_recall_at_1", True)):
            for row, rows in seen.items():
                found = reidentification.ranks(embeddings(rows, name), gallery, who, own)
                out += reidentification.measure(found, figure, model, row)
                out += reidentification.chance(found, figure, model) if row == ORIGINAL else []
    return out


def verification(
    names: Sequence[str],
    folds: Sequence[Sequence[Pair]],
    faces: Sequence[KnownFace],
    originals: Sequence[Observation],
    second: Sequence[KnownFace],
    seen: Seen,
) -> list[Measurement]:
    """LFW's TAR at FAR 0.001, the second image of each pair as every row has it.

    faces, originals: of all images of the pairs · second, seen: of their second images
    """
    out = []
    for name in names:
        was = _vectors(faces, originals, name)
        everybody = lfw_protocol.all_pairs_impostors(was)
        for row, rows in seen.items():
            scores = lfw_protocol.fold_scores(folds, was, _vectors(second, rows, name))
            out += lfw_protocol.measure(scores, recognisers.label(name), row, everybody)
    return out


def geometry(faces: Sequence[KnownFace], seen: Seen) -> list[Measurement]:
    """The landmark attack on every row."""
    shapes = {row: np.concatenate([o.landmarks for o in rows]) for row, rows in seen.items()}
    return landmark_attack.measure(shapes, [face.person for face in faces])


def second_images(folds: Sequence[Sequence[Pair]], faces: Sequence[KnownFace]) -> list[KnownFace]:
    """Those of ``faces`` that are the second image of a pair."""
    wanted = {(f"lfw/{pair.second}", pair.j) for fold in folds for pair in fold}
    return [face for face in faces if (face.person, face.number) in wanted]


def _vectors(faces: Sequence[KnownFace], seen: Sequence[Observation], name: str) -> lfw_protocol.Vectors:
    return {
        (face.person.removeprefix("lfw/"), face.number): o.embeddings[name][0]
        for face, o in zip(faces, seen, strict=True)
    }
