"""CARD.md: what was done to whom and with what residual risk, for those who will use the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from dsanon.manifest import Counts

METHODS = {
    "ciagan": "every hidden face or body is generated anew as a fake identity that a person keeps in a scope (CIAGAN)",
    "pix2pix": "every hidden face is generated anew by the baseline pix2pix, which has no control over the identity",
    "cyclegan": "every hidden face is generated anew by the baseline CycleGAN, which has no control over the identity",
    "blur": "every hidden face or body is blurred (kernel {kernel}, of a face that is 128 pixels wide)",
    "pixelate": "every hidden face or body is pixelated (block {block}, of a face that is 128 pixels wide)",
    "mask": "every hidden face or body is covered with a flat grey",
}
_OTHER = "every hidden region is painted over"
SCOPES = {
    "dataset": "in the whole dataset",
    "camera": "within the pictures of one camera, and another in those of every other",
    "sequence": "within one sequence, and another in every other sequence",
    "image": "within one image, and another in every other image",
}
# Labels that a dataset's readers need, and that join a person's pictures whatever the scope is; the scopes they cross.
LABELS = {
    "lfw": ("the folders of people", ("camera", "sequence", "image")),
    "celeba": ("the identity numbers", ("camera", "sequence", "image")),
    "mot": ("the track numbers", ("image",)),
    "mots": ("the instance numbers", ("image",)),
}
ON_MISS = {
    "mask": "covered with grey",
    "pixelate": "pixelated",
    "quarantine": "not released: the whole sample is withheld",
}
SHAPES = {
    "replaced": "of a face's landmarks only pose and expression are the source's; jaw, nose and mouth get the shape of "
    "the fake identity",
    "source": "the outline of every hidden region is the source's",
}
# Generated pixels take nothing from the source's; these two do.
REVERSIBLE = ("blur", "pixelate")


@dataclass(frozen=True, slots=True)
class CardWeights:
    """A model that took part. sha256: hex digest of its file · note: what a user must know, '' for nothing."""

    name: str
    sha256: str
    licence: str
    note: str = ""


def write_card(
    configuration: Mapping[str, Any], counts: Counts, notes: Sequence[str], weights: Sequence[CardWeights]
) -> str:
    """The page, as Markdown.

    configuration: dataset, method, regions, scope, detectors (a list of names) and on_miss, as the job ran
    notes: sentences of ``Source.publish()`` on what was renamed or dropped
    """
    sections = (
        _summary(configuration, counts),
        _done(configuration, {item.name for item in weights}),
        _counts(counts),
        _list(
            "What was renamed or dropped",
            notes or ["Nothing but the metadata inside the files."],
        ),
        _pseudonymous(),
        _list("What can still go wrong", _risks(configuration, counts)),
        _weights(weights),
        _verify(),
    )
    return "\n\n".join(sections) + "\n"


def _summary(configuration: Mapping[str, Any], counts: Counts) -> str:
    state = (
        f"**Incomplete**: {counts.quarantined} of {counts.samples} samples were withheld (quarantined)."
        if counts.quarantined
        else "**Complete**: every sample that went in is here."
    )
    return (
        f"# Anonymized release ({configuration['dataset']} layout)\n\n"
        "The people in these pictures were anonymized by dsanon. Layout and formats are those of the original dataset, "
        f"so that its readers work unchanged. {state}"
    )


def _done(configuration: Mapping[str, Any], models: Set[str]) -> str:
    method, scope, on_miss = configuration["method"], configuration["scope"], configuration["on_miss"]
    told = "the source annotates" + (" or its public detections tell of" if configuration["dataset"] == "mot" else "")
    regions = {
        "face": "faces",
        "body": f"whole bodies of everybody whom {told}, and the faces of everybody else",
        "both": f"faces, and whole bodies of everybody whom {told}",
    }[configuration["regions"]]
    detectors = ", ".join(configuration["detectors"])
    return (
        "## What was done\n\n"
        f"- Method `{method}`: {METHODS.get(method, _OTHER).format_map(configuration)}.\n"
        f"- Regions: {regions}, as the source's annotations and these detectors together found them: {detectors}.\n"
        f"{_bodies(configuration, models)}"
        f"- Shape `{configuration['shape']}`: {SHAPES[configuration['shape']]}.\n"
        f"- Scope `{scope}`: one person has one pseudonym, and where the method gives fake identities one of these, "
        f"{SCOPES[scope]}. No two people of a scope share one.\n"
        f"- A person known to be there whose face could not be aligned is {ON_MISS[on_miss]} (`{on_miss}`).\n"
        "- A region was first filled with grey and only then painted, so that an error leaves grey and no face.\n"
        "- Metadata inside the files was dropped, and all files bear the same time. Every geometry of the annotations "
        "was kept."
    )


def _bodies(configuration: Mapping[str, Any], models: Set[str]) -> str:
    """What became of bodies, where the method paints them: '' for others."""
    if configuration["method"] != "ciagan" or configuration["regions"] == "face":
        return ""
    if "ciagan-body" not in models:
        return "- No generator of bodies was here: every body is covered with a flat grey.\n"
    return (
        "- A body is painted where the silhouette of one person is known, and keeps that silhouette; where only a box "
        "or a group is known, it is covered with a flat grey.\n"
    )


def _counts(counts: Counts) -> str:
    meaning = {
        "anonymized": "everybody found in it by the method above, but for those who consented",
        "fallback": "at least one person by the simpler way above, the others as above",
        "kept": "everybody found in it consented, and was left as they are",
        "empty": "nobody was found in it",
        "quarantined": "withheld, or a plain grey frame of a video",
    }
    rows = [f"| {status} | {number} | {meaning[status]} |" for status, number in counts.by_status().items()]
    table = "\n".join(
        ["| samples | number | meaning |", "| --- | ---: | --- |", *rows, f"| all | {counts.samples} | |"]
    )
    parts = [
        f"{sum(by.values())} {kind} regions (" + ", ".join(f"{number} {status}" for status, number in by.items()) + ")"
        for kind, by in (counts.regions or {}).items()
    ]
    return f"## How many\n\n{table}\n\n" + (f"There are {' and '.join(parts)}." if parts else "There is no region.")


def _pseudonymous() -> str:
    return (
        "## Pseudonymous, not yet anonymous\n\n"
        "As long as its publisher holds the key, the private map leads from this release back to the people: in the "
        "sense of the GDPR these are pseudonymised, and so still personal, data. `dsanon forget` destroys the key; "
        "then nobody can read the map any more, and what is left is the risk that the next section tells of. Whether "
        "that is anonymous in law depends on who else holds the originals."
    )


def _risks(configuration: Mapping[str, Any], counts: Counts) -> list[str]:
    """Ten honest sentences."""
    method = configuration["method"]
    rest = (
        "Clothes, place and company" if configuration["regions"] != "face" else "Body, clothes, gait, place and company"
    )
    fallback = sum(by.get("fallback", 0) for by in (counts.regions or {}).values())
    kept = sum(by.get("kept", 0) for by in (counts.regions or {}).values())
    labels, crossed = LABELS.get(configuration["dataset"], ("", ()))
    joined = f", and {labels} join a person's pictures across scopes" if configuration["scope"] in crossed else ""
    return [
        "A person whom neither an annotation nor a detector found was left as they are: small, turned away, dark, "
        "half-hidden or painted faces first of all, and reflections and pictures in the picture.",
        "What lies outside of a region's mask is the original: hair, ears, neck, hands, tattoos.",
        f"{rest} are unchanged and can be recognised by whoever knows the person.",
        "Pose and expression are kept, and the face's place and size with them; somebody who always looks the same way "
        "may be told by that."
        if configuration["shape"] == "replaced"
        else "Pose and geometry are kept: where the landmarks or the silhouette lay, they still lie, and their "
        "proportions are a weak biometric of their own.",
        "The background is unchanged: whoever holds the original photo finds it again, and with it who is in it.",
        "How many pictures a person has, and with whom, is kept within a scope: somebody who is unusually frequent "
        f"stays so, and can be told by that alone{joined}.",
        f"{fallback} regions could not be treated by the method and fell back to a simpler one, whose shape may show "
        "the outline of the person.",
        f"{kept} regions show people who consented and were left as they are; whoever stands beside them is known by "
        "their company.",
        f"`{method}` keeps a coarse version of the face, from which recognisers trained on such pictures name people "
        "better than people do: prefer another method for publication."
        if method in REVERSIBLE
        else "A painted face may resemble a real person by chance, or one of those the model was trained on."
        if method != "mask"
        else "Flat grey keeps nothing of a face; its place, size and outline are there to be seen.",
        "The audit measures with today's recognisers; later ones may do better.",
    ]


def _weights(weights: Sequence[CardWeights]) -> str:
    if not weights:
        return "## Models\n\nNo trained model took part."
    rows = [f"| {item.name} | `{item.sha256[:16]}` | {item.licence} | {item.note} |" for item in weights]
    return "\n".join(["## Models\n", "| model | sha256 | licence | note |", "| --- | --- | --- | --- |", *rows])


def _verify() -> str:
    return (
        "## How to verify\n\n"
        "`manifest.parquet` has a row for every region and the sha256 of every file; `release.json` has the "
        "configuration, the versions and the models. Whoever holds the source can measure the release with "
        "`dsanon audit RELEASE --source SOURCE`; the result, where the publisher enclosed it, is `audit/report.html`."
    )


def _list(title: str, items: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {item}" for item in items)
