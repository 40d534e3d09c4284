"""The experiments that are tables of rows: who is measured, in which rows, and which tables come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dsanon.config import GENERATORS
from dsanon.errors import UsageError
from dsanon.sources.lfw import Pair, parse_pairs
from dsanon_eval.attacks.lfw_protocol import FAR, drawn_of
from dsanon_eval.reproduce import figures, paper, rows
from dsanon_eval.reproduce.bench import ORIGINAL, Bench, Look
from dsanon_eval.reproduce.face_swap import swap
from dsanon_eval.reproduce.rows import Row
from dsanon_eval.reproduce.setting import Result, Setting, counts_of, held_out_people, unaligned, weights_of
from dsanon_eval.reproduce.table import Section, Table
from dsanon_eval.seeing.known_faces import KnownFace, lfw_samples
from dsanon_eval.seeing.observation import Observation

DETECTION = Section(
    "Detection, %",
    ("detection_rate",),
    "Faces found in the original that are found again at the same place; of the original, the share of all faces. "
    "Intervals: the wider end of the bootstrap over people and of Wilson's, over as many faces as these are worth.",
)
RECOGNITION = Section(
    "Recognition: Recall@1, %",
    ("recall_at_1",),
    "The nearest original (never the probe's own photo) is of the same person. Faces are cropped where the original's "
    "lie, so a face that no detector finds is a probe like any other.",
)
DISTANCE = Section(
    "Distance to real faces",
    ("fd_", "fid_"),
    "Fréchet distance of face crops, half of the people against the other half; the original row is the floor. "
    "Guided training: the generator trained against a discriminator on this very network, which flatters it; dlib's "
    "took no part. Only figures of the original Inception network are FID.",
    share=False,
)
LANDMARKS = Section(
    "Recall@1 by 68 landmarks alone, %",
    ("landmark_recall_at_1",),
    "The attacker knows the real landmarks of every other photo. Those of each row's pictures are found anew, at the "
    "original's place where no detector finds the face: every photo counts.",
)


def table1(setting: Setting) -> Result:
    """Detection, recognition and realism of the controls, the baselines and CIAGAN."""
    return _people("Table 1: CIAGAN and its baselines on CelebA", setting, _methods(), paper.TABLE1)


def table2(setting: Setting) -> Result:
    """The paper's ablations beside ours."""
    beside = rows.controls(ORIGINAL, "pixelate16", "blur9", "blackout")
    return _people("Table 2: ablations on CelebA", setting, [*beside, *rows.ablations()], paper.TABLE2)


def table3(setting: Setting) -> Result:
    """LFW's verification protocol with the second image of each pair anonymized."""
    pairs = setting.root("lfw") / "pairs.txt"
    if not pairs.is_file():
        raise UsageError(f"--data {setting.data}: no {pairs}: expected LFW with its pairs.txt in DATA/lfw or DATA")
    folds = [_first(fold, setting.limit) for fold in parse_pairs(pairs)]
    if len(folds) < 2:
        raise UsageError(f"{pairs} has one fold: expected ten, for the threshold of each comes from the others")
    bench, wanted = setting.bench, _methods()
    faces = bench.find("lfw", setting.root("lfw"), lfw_samples(setting.root("lfw"), folds))
    second = figures.second_images(folds, faces)
    originals = bench.see("original", [Look(face, ORIGINAL) for face in faces])
    first = {id(face): seen for face, seen in zip(faces, originals, strict=True)}
    seen = {ORIGINAL: [first[id(face)] for face in second]} | _seen(bench, wanted[1:], second)
    measured = figures.verification(bench.recognisers, folds, faces, originals, second, seen)
    measured += figures.looks(second, seen)
    gafni = Row("gafni", "Gafni et al.", "gafni", missing="their weights are not public")
    shown = [wanted[0], gafni, *wanted[1:]]
    sections = (*_verification(folds, len(faces)), DETECTION, DISTANCE)
    tables = [Table(section, shown, paper.TABLE3, measured) for section in sections]
    counts = {"folds": len(folds), "pairs": sum(map(len, folds)), "images": len(faces), "second images": len(second)}
    return Result("Table 3: LFW verification", tables, counts | unaligned(second), weights_of(wanted), bench.notes)


def landmarks(setting: Setting) -> Result:
    """The identifier that looks at 68 landmarks alone, on real ones and on those found in anonymized faces."""
    wanted = _methods()
    faces = held_out_people(setting)
    measured = figures.geometry(faces, _seen(setting.bench, wanted, faces))
    if not measured:
        raise UsageError("the landmark identifier needs two people with two photos or more each: raise --limit")
    tables = [Table(LANDMARKS, wanted, paper.LANDMARK, measured)]
    return Result("Landmarks alone", tables, counts_of(faces), weights_of(wanted), setting.bench.notes)


EXPERIMENTS: dict[str, Callable[[Setting], Result]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "landmarks": landmarks,
    "swap": swap,
}


def _methods() -> list[Row]:
    return [*rows.controls(), *(rows.method(name) for name in GENERATORS)]


def _people(title: str, setting: Setting, wanted: list[Row], stated: paper.Paper) -> Result:
    """Detection, recognition and realism of CelebA's test people in every row."""
    faces = held_out_people(setting)
    setting.bench.admit(faces, weights_of(wanted).values())
    seen = _seen(setting.bench, wanted, faces)
    measured = figures.looks(faces, seen) + figures.recalls(setting.bench.recognisers, faces, seen)
    tables = [Table(section, wanted, stated, measured) for section in (DETECTION, RECOGNITION, DISTANCE)]
    return Result(title, tables, counts_of(faces), weights_of(wanted), setting.bench.notes)


def _verification(folds: Sequence[Sequence[Pair]], images: int) -> tuple[Section, ...]:
    """A table for each threshold; the text beside it says how many impostors of these folds stand behind it."""
    impostors = [sum(not pair.same for pair in fold) for fold in folds]
    fewest = sum(impostors) - max(impostors)
    accepted = fewest * FAR
    coarse = (
        f"{fewest:,} impostor pairs are {accepted:.2g} false accepts at this rate, so the threshold is coarse."
        if accepted >= 1
        else f"{fewest:,} impostor pairs cannot show this rate: the threshold is simply the most alike of them."
    )
    about = "The second image of each pair is as the row has it. Intervals: the wider of Student's and Wilson's. "
    return (
        Section(
            "TAR at FAR 0.001, %: threshold of the other folds' impostors, both images original",
            ("tar_at_far",),
            about + coarse,
        ),
        Section(
            "TAR at FAR 0.001, %: threshold of the other folds' impostors, second image as the row has it",
            ("tar_at_far_own",),
            about + coarse + " An attacker who knows that the images are anonymized would calibrate so.",
        ),
        Section(
            "TAR at FAR 0.001, %: threshold of all pairs of different people among the originals",
            ("tar_at_far_all_pairs",),
            about + f"The pairs are of {drawn_of(images)}: far more, and the threshold is the steadiest.",
        ),
    )


def _seen(bench: Bench, wanted: Sequence[Row], faces: Sequence[KnownFace]) -> dict[str, list[Observation]]:
    """What was seen of every face in each row that can be made."""
    return {row.name: bench.see(row.name, row.looks(faces)) for row in wanted if not row.missing}


def _first(fold: Sequence[Pair], limit: int | None) -> list[Pair]:
    """The first ``limit`` pairs of each kind."""
    return [pair for same in (True, False) for pair in [p for p in fold if p.same == same][:limit]]
