"""Who is this body? Recall@1 among the originals, by a network that knows people by their clothes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsanon_eval.attacks.reidentification import chance, measure, ranks
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks.recognisers import Osnet
from dsanon_eval.utility.frames import Body, Pair

Floats = npt.NDArray[np.float32]


@dataclass(slots=True)
class Bodies:
    """Embeddings of treated bodies, each cut out where the original's is. original, release: rows of 512

    each: of one person at most, in one sequence; further and further apart, for neighbouring frames show the same
    """

    network: Osnet
    each: int
    bodies: list[Body] = field(default_factory=list)
    original: list[Floats] = field(default_factory=list)
    release: list[Floats] = field(default_factory=list)
    _taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    _due: dict[tuple[str, str], int] = field(default_factory=dict)

    def look(self, pair: Pair) -> None:
        """Embed those of the pair's bodies whose turn it is."""
        chosen = [body for body in pair.bodies if self._turn(pair, body)]
        if chosen and not pair.withheld:
            self.bodies += chosen
            for rows, pixels in ((self.original, pair.original), (self.release, pair.release)):
                rows += list(self.network.embed([self.network.crop(pixels, body.box) for body in chosen]))

    def _turn(self, pair: Pair, body: Body) -> bool:
        who = pair.sequence, body.person
        if self._taken[who] >= self.each or pair.number < self._due.get(who, 0):
            return False
        self._due[who] = pair.number + (1 << self._taken[who])
        self._taken[who] += 1
        return True

    def measurements(self) -> list[Measurement]:
        """Re-identification and linkage: see :func:`figures`."""
        return figures(self.original, self.release, self.bodies, self.network.name)


def figures(original: npt.ArrayLike, release: npt.ArrayLike, bodies: Sequence[Body], model: str) -> list[Measurement]:
    """original, release: (n, d) of the same bodies.

    body_recall_at_1: the probe's own picture is not in the gallery · body_self_recall_at_1: it is
    body_linkage_…: among released bodies, of one pseudonym within a scope, of one person across scopes
    """
    if not bodies:
        return []
    out = []
    people = [body.person for body in bodies]
    for name, own in (("body_recall_at_1", False), ("body_self_recall_at_1", True)):
        for control, probes in (("release", release), ("original", original)):
            found = ranks(probes, original, people, own)
            out += measure(found, name, model, control)
        out += chance(found, name, model)
    scopes = [body.scope for body in bodies]
    subjects = [f"{body.scope} {body.subject}" for body in bodies]
    for name, who, apart in (("within_scope", subjects, None), ("across_scopes", people, scopes)):
        found = ranks(release, release, who, own=False, apart=apart)
        out += measure(found, f"body_linkage_{name}", model, "release")
        out += chance(found, f"body_linkage_{name}", model)
    return out
