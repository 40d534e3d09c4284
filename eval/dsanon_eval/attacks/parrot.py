"""Parrot recognition: an attacker who is trained on anonymized pictures (McPherson, Shokri and Shmatikov 2016).

The attacker knows some photos of everybody and is asked about other photos of the same people. Two attackers:

* ``parrot_recall_at_1`` anonymizes the photos he knows *himself*, by the same program under a key of his own, and
  learns from those. Of a method without a secret (blur, mosaic, mask) he learns the release's own pictures that way.
  Of one whose generator is not here there is no such attacker, and no such figure of the release.
* ``parrot_leaked_recall_at_1`` has learnt the names of a part of the release. Within a scope a painted person has one
  fake face on purpose, so that he names the rest by it: that is what pseudonymous means, and no gate asks for less.

Both name people by what lies around the face, too, as blackout shows. Controls are made of some photos only, so
``parrot_above_blackout`` is how many more of the same photos the first attacker names in the release than in a
blackout, having learnt from the same photos of the same people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dsanon.errors import DsanonError
from dsanon_eval.attacks.discriminant import Discriminant, tuned
from dsanon_eval.attacks.reidentification import Ranks, chance, measure
from dsanon_eval.intervals import share_of_people
from dsanon_eval.measurement import Measurement
from dsanon_eval.seeing.case import Case
from dsanon_eval.seeing.gathered import Gathered
from dsanon_eval.seeing.pictures import REPAINTED, Means

NAME, LEAKED, ABOVE = "parrot_recall_at_1", "parrot_leaked_recall_at_1", "parrot_above_blackout"
COVERED = "blackout"  # the control that shows what lies around a face, and nothing of it
_FEWER = "chance of the controls"  # which are asked about fewer people
LEAST = 4  # photos of a person: two to learn from, one of them to tune by, and two to ask about
Rows = list[int]


def split(samples: Sequence[str], people: Sequence[str], labelled: Sequence[bool]) -> tuple[Rows, Rows]:
    """Rows of faces that the attacker knows, and rows that he is asked about; of people with ``LEAST`` photos or more.

    Every other photo of a person is known, in an order that follows from the photos' names alone; the faces of one
    person in one photo are on one side.
    """
    photos: dict[str, set[str]] = {}
    for sample, person, named in zip(samples, people, labelled, strict=True):
        if named:
            photos.setdefault(person, set()).add(sample)
    known = {
        (person, sample)
        for person, mine in photos.items()
        if len(mine) >= LEAST
        for sample in sorted(mine, key=lambda name: hashlib.sha256(name.encode()).digest())[::2]
    }
    rows: tuple[Rows, Rows] = ([], [])
    for i, (sample, person, named) in enumerate(zip(samples, people, labelled, strict=True)):
        if named and len(photos[person]) >= LEAST:
            rows[(person, sample) not in known].append(i)
    return rows


def learnt_from(case: Case, chosen: set[str]) -> set[str]:
    """Those of the ``chosen`` samples that show a face which the attacker knows."""
    rows = [row for row in zip(*case.people(), strict=True) if row[0] in chosen]
    samples, people, labelled = zip(*rows, strict=True) if rows else ((), (), ())
    return {samples[i] for i in split(samples, people, labelled)[0]}


def attack(
    learnt: npt.ArrayLike, who: Sequence[str], photos: Sequence[str], asked: npt.ArrayLike, people: Sequence[str]
) -> Ranks:
    """Ranks of ``people`` for ``asked`` (m, d) by an attacker who has ``learnt`` (n, d) of ``who`` in ``photos``.

    Vectors that are not there (NaN) are not learnt from; asked for they stay in, as missing. Raises ValueError where
    somebody asked for is not known at all.
    """
    x, q = np.asarray(learnt, dtype=np.float64), np.asarray(asked, dtype=np.float64)
    there = np.flatnonzero(np.isfinite(x).all(axis=1))
    known, seen = [who[int(i)] for i in there], [photos[int(i)] for i in there]
    x = x[there]
    scale = x.std(axis=0) + 1e-9
    mean = x.mean(axis=0)
    x, q = (x - mean) / scale, (q - mean) / scale
    found = Discriminant(x, known)
    place = {name: i for i, name in enumerate(found.names)}
    if strangers := set(people) - set(place):
        raise ValueError(f"{len(strangers)} people are asked for of whom nothing was learnt")
    usable = np.isfinite(q).all(axis=1)
    distances = found.distances(np.where(usable[:, None], q, 0), tuned(x, known, seen))
    own = distances[np.arange(len(q)), [place[person] for person in people]]
    rank = (distances <= own[:, None]).sum(axis=1) - 1  # a tie is no success
    luck = np.full(len(q), 1 / len(found.names))
    return Ranks(np.where(usable, rank, -1).astype(np.int64), luck, tuple(people))


def parrot(
    gathered: Gathered, vectors: Mapping[str, npt.NDArray[np.float32]], model: str, means: Means
) -> list[Measurement]:
    """Both attackers on the release, and the first on every control.

    vectors: kind of picture → (n, d) of every row · means: what the first has; without a key both are the same one
    """
    samples = [sample for sample, _ in gathered.places]
    people = gathered.people
    known, asked = split(samples, people, [face.labelled for face in gathered.faces])
    if twice := {gathered.files[i] + people[i] for i in known} & {gathered.files[i] + people[i] for i in asked}:
        raise DsanonError(f"{len(twice)} photos are both learnt from and asked about: the parrot attack is void")
    own = [kind for kind in vectors if kind.startswith(REPAINTED)]
    attackers = {(NAME, kind): [kind] for kind in gathered.pictures}
    if means.painted:  # who knows the release's own pictures by name has learnt what only its maker knows
        del attackers[NAME, "release"]
    if own:
        attackers[NAME, "release"] = own
    if means.keyed:
        attackers[LEAKED, "release"] = ["release"]
    out: list[Measurement] = []
    for (name, control), sources in attackers.items():
        found = _asked(gathered, vectors, control, sources, known, asked)
        if found is None:
            continue
        out += measure(found, name, model, control)
        (guess,) = chance(found, name, model)
        there = {figure.value for figure in out if figure.name == name and "chance" in figure.control}
        if control == "original" or name == LEAKED:
            out.append(guess)
        elif control != "release" and guess.value not in there:
            out.append(replace(guess, control=_FEWER))
    if (NAME, "release") in attackers:
        out += _above(gathered, vectors, model, attackers[NAME, "release"], known, asked)
    return out


def _asked(
    gathered: Gathered,
    vectors: Mapping[str, npt.NDArray[np.float32]],
    control: str,
    sources: Sequence[str],
    known: Rows,
    asked: Rows,
) -> Ranks | None:
    """The ranks of ``asked`` rows in ``control`` for who learnt ``known`` ones in ``sources``; None for too few."""
    if not all(source in vectors for source in [control, *sources]):
        return None
    people, samples = gathered.people, [sample for sample, _ in gathered.places]
    looks = _looked(gathered, control)
    told = [i for i in known if all(_looked(gathered, source)[i] for source in sources)]
    met = {people[i] for i in told if np.isfinite(vectors[sources[0]][i]).all()}
    probes = [i for i in asked if looks[i] and people[i] in met]
    if len(met) < 2 or not probes:
        return None
    return attack(
        np.concatenate([vectors[source][told] for source in sources]),
        [people[i] for i in told] * len(sources),
        [samples[i] for i in told] * len(sources),
        vectors[control][probes],
        [people[i] for i in probes],
    )


def _above(
    gathered: Gathered,
    vectors: Mapping[str, npt.NDArray[np.float32]],
    model: str,
    sources: Sequence[str],
    known: Rows,
    asked: Rows,
) -> list[Measurement]:
    """The share of photos named in the release less that in a blackout, of photos that there are as both.

    A face that is missing counts as named in the release, and not in the blackout. The interval is Newcombe's (1998)
    of two shares as if they were of different photos: too wide rather than too narrow.
    """
    if not all(kind in vectors for kind in (COVERED, "release", *sources)):
        return []
    both = [i for i in asked if all(_looked(gathered, kind)[i] for kind in (COVERED, "release"))]
    told = [i for i in known if all(np.isfinite(vectors[kind][i]).all() for kind in (COVERED, *sources))]
    painted = _asked(gathered, vectors, "release", sources, told, both)
    covered = _asked(gathered, vectors, COVERED, [COVERED], told, both)
    if painted is None or covered is None:
        return []
    (p, (low, high)), (q, (least, most)) = (
        (float(hits.mean()), share_of_people(hits, painted.people)) for hits in (painted.rank <= 0, covered.rank == 0)
    )
    value = p - q
    interval = value - float(np.hypot(p - low, most - q)), value + float(np.hypot(high - p, q - least))
    return [Measurement(ABOVE, model, "release", value, interval, len(painted.rank))]


def lacking(means: Means) -> dict[str, str]:
    """Figures of the release that nobody can measure with such means → why not."""
    if not means.painted or means.generator:
        return {}
    return {NAME: "the generator that painted the release is not here, so no attacker could run the method himself"}


def _looked(gathered: Gathered, kind: str) -> npt.NDArray[np.bool_]:
    picture = gathered.pictures.get(kind) or gathered.derived[kind]
    return picture.looked
