"""Which released faces are one person? Within a scope they should be found together, across scopes they must not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from dsanon_eval.attacks.reidentification import chance, measure, ranks
from dsanon_eval.measurement import Measurement
from dsanon_eval.seeing.case import Face

ANYWHERE, WITHIN, ACROSS = "linkage", "linkage_within_scope", "linkage_across_scopes"


def linkage(embeddings: npt.ArrayLike, faces: Sequence[Face], model: str) -> list[Measurement]:
    """Recall@1 of released faces (n, d) among released faces.

    anywhere: of the same person, in whatever scope
    within: of the same pseudonym (utility: a tracker or a recogniser can be trained on the release)
    across: of the same person in another scope; nothing where nobody is in two scopes
    """
    out = []
    subjects = [f"{face.scope} {face.subject}" for face in faces]
    people, scopes = [face.person for face in faces], [face.scope for face in faces]
    for name, who, apart in ((ANYWHERE, people, None), (WITHIN, subjects, None), (ACROSS, people, scopes)):
        found = ranks(embeddings, embeddings, who, own=False, apart=apart)
        out += measure(found, name, model, "release") + chance(found, name, model)
    return out
