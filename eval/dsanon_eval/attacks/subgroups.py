"""Is anybody less protected than others? Recall@1 and detection by the face's size, turn and light, and by attributes.

Small groups are told with their n and interval; a verdict is only taken over groups of ``LEAST`` probes or more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsanon.align import apply, upright
from dsanon.errors import UsageError
from dsanon_eval.attacks.reidentification import Ranks
from dsanon_eval.intervals import share_of_people
from dsanon_eval.measurement import Measurement
from dsanon_eval.seeing.faces import place
from dsanon_eval.seeing.gathered import Gathered

RECALL, DETECTION, COVERED = "subgroup_recall_at_1", "subgroup_detection_rate", "subgroup_covered"
WORST_RECALL, WORST_DETECTION = "subgroup_worst_recall_at_1", "subgroup_worst_detection_rate"
LEAST = 30  # probes of a group that gets a verdict
ALLOWED, TIMES = 0.1, 5.0  # of the worst group, as gates.toml has it: max, and chance
TURNS = ((15.0, "1: to 15°"), (30.0, "2: 15° to 30°"), (np.inf, "3: over 30°"))
_DEPTH = 1.1  # half the distance of the eyes' outer corners to the depth of the nose's tip before them, about
Traits = dict[str, list[str | None]]  # trait → the group of each row, None where it is not known


def traits(gathered: Gathered, attributes: Mapping[str, Mapping[str, bool]] | None = None) -> Traits:
    """Of every row. attributes: name of a source file → attribute → whether it has it."""
    sides = [max(b[2] - b[0], b[3] - b[1]) for b in (place(face.region) for face in gathered.faces)]
    original = gathered.pictures["original"]
    light = original.light
    # a face that could not be aligned has none of its own, but those that were looked for in its original
    again = original.landmarks.tolist() if original.landmarks.shape[1] else [()] * len(sides)
    shapes = [face.region.landmarks or there for face, there in zip(gathered.faces, again, strict=True)]
    out: Traits = {"size": _terciles(sides, "px"), "turn": [_turned(shape) for shape in shapes]}
    if light.size:
        out["light"] = _terciles(light[:, 0], "luma")
    names = sorted({name for row in (attributes or {}).values() for name in row})
    rows = [(attributes or {}).get(Path(file).name) for file in gathered.files]
    for name in names:
        trait = name.lower()
        while trait in out:  # an attribute called Light hides no group of ours
            trait += "_attribute"
        out[trait] = [None if row is None or name not in row else "yes" if row[name] else "no" for row in rows]
    return out


def yaw(landmarks: npt.ArrayLike) -> float:
    """How far a head is turned aside, in degrees, estimated from 68 landmarks: the nose's tip against the eyes."""
    p = np.asarray(landmarks, dtype=np.float64).reshape(68, 2)
    p = apply(upright(p), p)
    left, right, nose = p[36, 0], p[45, 0], p[30, 0]
    return float(np.degrees(np.arctan(_DEPTH * (2 * nose - left - right) / max(1e-6, right - left))))


def recall(found: Ranks, groups: Traits, model: str, control: str) -> list[Measurement]:
    """Recall@1 by group; of a release also the group worst off. Missing faces count as recognised."""
    rows = found.rows
    hits = (found.rank <= 0).astype(np.float64)
    out = _by_group(RECALL, hits, found.people, rows, groups, model, control)
    if control == "release":
        places = {(trait, group): some for trait, group, some in _groups(rows, groups) if len(some) >= LEAST}
        if places:
            # by how far it is beyond what the gates allow, else another group would hide one that fails
            allowed = {place: max(ALLOWED, TIMES * float(found.chance[some].mean())) for place, some in places.items()}
            worst = places[max(places, key=lambda place: float(hits[places[place]].mean()) / allowed[place])]
            value, who = float(hits[worst].mean()), [found.people[i] for i in worst]
            interval = share_of_people(hits[worst], who)
            out.append(Measurement(WORST_RECALL, model, control, value, interval, len(worst)))
            luck = float(found.chance[worst].mean())
            out.append(Measurement(WORST_RECALL, model, "chance", luck, None, len(worst)))
    return out


def detected(
    before: npt.ArrayLike,
    again: npt.ArrayLike,
    treated: npt.ArrayLike,
    people: Sequence[str],
    groups: Traits,
    detector: str,
) -> list[Measurement]:
    """By group, of the faces found in the original: of those ``treated`` the share found in the release, as
    detection_rate has it; and, where anybody was, the share that could only be covered, by the traits that are known
    of anybody who was, for by another one nobody would have been. (n,) bool each.
    """
    found, method = np.asarray(before, dtype=bool), np.asarray(treated, dtype=bool)
    out: list[Measurement] = []
    without = np.flatnonzero(found & ~method).tolist()
    if without:
        every = np.flatnonzero(found).tolist()
        hidden = (~method[every]).astype(np.float64)
        known = {trait: of for trait, of in groups.items() if any(of[row] is not None for row in without)}
        out += _by_group(COVERED, hidden, [people[i] for i in every], every, known, detector, "release")
    rows = np.flatnonzero(found & method).tolist()
    hits = np.asarray(again, dtype=np.float64)[rows]
    who = [people[i] for i in rows]
    out += _by_group(DETECTION, hits, who, rows, groups, detector, "release")
    some = [mine for _, _, mine in _groups(rows, groups) if len(mine) >= LEAST]
    if some:
        worst = min(some, key=lambda mine: float(hits[mine].mean()))
        interval = share_of_people(hits[worst], [who[i] for i in worst])
        out.append(Measurement(WORST_DETECTION, detector, "release", float(hits[worst].mean()), interval, len(worst)))
    return out


def read_attributes(path: Path) -> dict[str, dict[str, bool]]:
    """``--attributes FILE``, as CelebA's list_attr_celeba.txt: names on a line, then file and 1 or -1 for each name.

    A first line with the number of rows may be there; commas may part the columns. Raises UsageError with the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--attributes {path} cannot be read ({error}): expected a text file") from error
    rows = [(i, line.replace(",", " ").split()) for i, line in enumerate(lines, 1) if line.strip()]
    if rows and len(rows[0][1]) == 1 and rows[0][1][0].isdigit():
        rows = rows[1:]
    if len(rows) < 2:
        raise UsageError(f"--attributes {path} has no rows: expected names on a line, then a file's row on each")
    names = rows[0][1][1:] if "," in lines[rows[0][0] - 1] else rows[0][1]  # with commas the files have a name, too
    out = {}
    for number, (file, *values) in rows[1:]:
        if len(values) != len(names) or not set(values) <= {"1", "-1", "0"}:
            raise UsageError(
                f"--attributes {path} line {number}: expected a file and {len(names)} values of 1, 0 or -1, "
                f"found {len(values)} columns behind {file}"
            )
        out[Path(file).name] = {name: value == "1" for name, value in zip(names, values, strict=True)}
    return out


def _by_group(
    name: str,
    hits: npt.NDArray[np.float64],
    people: Sequence[str],
    rows: Sequence[int],
    groups: Traits,
    model: str,
    control: str,
) -> list[Measurement]:
    return [
        Measurement(
            f"{name}_{trait}",
            model,
            f"{control}, {group}",
            float(hits[some].mean()),
            share_of_people(hits[some], [people[i] for i in some]),
            len(some),
        )
        for trait, group, some in _groups(rows, groups)
    ]


def _groups(rows: Sequence[int], groups: Traits) -> Iterator[tuple[str, str, list[int]]]:
    """Every trait, group of it, and the probes (not rows) in it."""
    for trait, of in groups.items():
        here = [of[row] for row in rows]
        for group in sorted({group for group in here if group is not None}):
            yield trait, group, [i for i, mine in enumerate(here) if mine == group]


def _terciles(values: npt.ArrayLike, unit: str) -> list[str | None]:
    x = np.asarray(values, dtype=np.float64)
    there = x[np.isfinite(x)]
    if not there.size:
        return [None] * len(x)
    low, high = np.quantile(there, (1 / 3, 2 / 3))
    names = (f"1: below {low:.0f} {unit}", f"2: {low:.0f} to {high:.0f} {unit}", f"3: from {high:.0f} {unit}")
    return [names[int(v >= low) + int(v >= high)] if np.isfinite(v) else None for v in x]


def _turned(landmarks: Sequence[float]) -> str | None:
    if not landmarks or not np.isfinite(landmarks).all():
        return None
    angle = abs(yaw(landmarks))
    return next(name for limit, name in TURNS if angle <= limit)
