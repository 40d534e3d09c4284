"""Who is this body? Recall@1 among the originals, by a network that knows people by their clothes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dsanon.boxes import iou
from dsanon.sources.silhouettes import box_of, to_mask
from dsanon_eval.attacks import templates
from dsanon_eval.attacks.reidentification import chance, measure, ranks
from dsanon_eval.measurement import Measurement
from dsanon_eval.networks.recognisers import Osnet
from dsanon_eval.utility.frames import Body, Frame, Pair

Floats = npt.NDArray[np.float32]
GREY = 127
_SAME = 0.5  # overlap from which on a treated box is that of a silhouette


@dataclass(slots=True)
class Bodies:
    """Embeddings of treated bodies, each cut out where the original's is. original, release, blackout: rows of 512

    blackout: of the original with grey in place of everybody, so that what lies around people is seen by itself
    each: of one person at most, in one sequence; further and further apart, for neighbouring frames show the same
    """

    network: Osnet
    each: int
    bodies: list[Body] = field(default_factory=list)
    original: list[Floats] = field(default_factory=list)
    release: list[Floats] = field(default_factory=list)
    blackout: list[Floats] = field(default_factory=list)
    _taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    _due: dict[tuple[str, str], int] = field(default_factory=dict)

    def look(self, pair: Pair) -> None:
        """Embed those of the pair's bodies whose turn it is."""
        chosen = [body for body in pair.bodies if self._turn(pair, body)]
        if chosen and not pair.withheld:
            self.bodies += chosen
            grey = blackout(pair)
            for rows, pixels in ((self.original, pair.original), (self.release, pair.release), (self.blackout, grey)):
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
        shown = {"release": self.release, "blackout": self.blackout, "original": self.original}
        return figures(self.original, shown, self.bodies, self.network.name)


def blackout(pair: Pair) -> Frame:
    """The original with grey in place of everybody: their silhouettes, or what was treated where none is known."""
    out = pair.original.copy()
    height, width = out.shape[:2]
    silhouettes = [p.silhouette for p in pair.people if p.silhouette and not p.many]
    known = [s for s in silhouettes if (s.height, s.width) == (height, width)]
    for silhouette in known:
        out[to_mask(silhouette)] = GREY
    outlined = np.array([box_of(s) for s in known]).reshape(-1, 4)
    for body in pair.bodies:
        if not (iou([body.box], outlined) > _SAME).any():
            x0, y0, x1, y1 = (max(0, round(v)) for v in body.box)
            out[y0:y1, x0:x1] = GREY
    return out


def figures(
    original: npt.ArrayLike, shown: Mapping[str, npt.ArrayLike], bodies: Sequence[Body], model: str
) -> list[Measurement]:
    """original: (n, d) · shown: the same bodies as each control, ``release`` among them, has them

    body_recall_at_1: the probe's own picture is not in the gallery · body_self_recall_at_1: it is
    body_subject_recall_at_1: all pictures of a pseudonym together (each is a photo of its own: one body of it in one)
    body_linkage_…: among released bodies, of one pseudonym within a scope, of one person across scopes
    """
    if not bodies:
        return []
    out = []
    people = [body.person for body in bodies]
    for name, own in (("body_recall_at_1", False), ("body_self_recall_at_1", True)):
        for control, probes in shown.items():
            found = ranks(probes, original, people, own)
            out += measure(found, name, model, control)
        out += chance(found, name, model)
    scopes = [body.scope for body in bodies]
    subjects = [f"{body.scope} {body.subject}" for body in bodies]
    pictures = [str(number) for number in range(len(bodies))]
    every = {"original": original, **shown}
    out += templates.by_subject(every, people, subjects, pictures, model, f"body_{templates.NAME}")
    for name, who, apart in (("within_scope", subjects, None), ("across_scopes", people, scopes)):
        found = ranks(shown["release"], shown["release"], who, own=False, apart=apart)
        out += measure(found, f"body_linkage_{name}", model, "release")
        out += chance(found, f"body_linkage_{name}", model)
    return out
