"""A tiny real release of the astronaut's portrait, and an audit of it: made-up figures, true to the schema."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
from dsanon_eval.measurement import Gate, Measurement
from dsanon_eval.review.queue import Likeness, build, write_queue
from PIL import Image

from dsanon.demo import portrait
from dsanon.durable import write_json
from dsanon.layout import ReleasePaths
from dsanon.manifest import read_rows
from dsanon.private_map import read_map
from runs import anonymize

HOSTILE = "<script>document.title='taken'</script>"
CONTROLS = {"release": (0.02, 0.97), "original": (0.91, 1.0), "blur9": (0.55, 0.88), "blackout": (0.01, 0.0)}


def make_release(folder: Path, method: str = "mask") -> ReleasePaths:
    """SOURCE with three pictures (two people and nobody), and RELEASE beside it."""
    source = folder / "source"
    source.mkdir(parents=True)
    Image.fromarray(portrait()).save(source / "a.jpg", quality=95)
    Image.fromarray(np.ascontiguousarray(portrait()[:, ::-1])).save(source / "b.png")
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(source / "wall.png")
    done = anonymize(source, folder / "release", "--method", method, "--detectors", "hog")
    assert done.code == 0, done.error
    return ReleasePaths.of(source, folder / "release")


def make_audit(paths: ReleasePaths, figures: list[Measurement] | None = None) -> None:
    """audit/ as the audit leaves it, and the review queue on the private side."""
    audit = paths.release / "audit"
    (audit / "figures").mkdir(parents=True, exist_ok=True)
    described = []
    for name, label_x, x in (
        ("roc_dlib_resnet", "false accept rate", np.logspace(-5, 0, 30)),
        ("cmc_dlib_resnet", "rank", np.arange(1, 21)),
    ):
        with (audit / "figures" / f"{name}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("label", "x", "y", "low", "high"))
            for control, (recognised, _) in CONTROLS.items():
                described.append(
                    {
                        "figure": name,
                        "label": control,
                        "x_label": label_x,
                        "y_label": "rate",
                        "log_x": name.startswith("roc"),
                    }
                )
                for value in x:
                    y = (
                        float(recognised + (1 - recognised) * (np.log10(value) + 5) / 5)
                        if name.startswith("roc")
                        else min(1.0, recognised * float(value) ** 0.2)
                    )
                    rows.writerow((control, float(value), y, 0.9 * y, min(1.0, 1.1 * y)))
    report = {
        "schema": 1,
        "release": "astronaut",
        "state": "complete",
        "suite": "quick",
        "audited": {"samples": 3, "faces": 2, "people": 2, "of_faces": 2},
        "measurements": [figure.as_dict() for figure in (made_up() if figures is None else figures)],
        "gates": {
            "passed": 3,
            "failed": 2,
            "failures": [
                "recall_at_1 by faceres on release: 0.12, expected at most 0.03 (n 300)",
                "tar_at_far (dlib_resnet): required, but not measured",
            ],
        },
        "figures": described,
        "notes": ["measured on a sample of people: 2 samples, drawn by their names", HOSTILE],
        "seconds": {"open": 0.1, "look": 12.5, "measure": 3.25},
        "versions": {"dsanon": "0.1.0", "python": "3.11.2"},
        "machine": "x86_64, 2 CPUs",
    }
    write_json(audit / "report.json", report)
    write_json(
        audit / "findings.json",
        [{"kind": "metadata", "file": f"data/{HOSTILE}.jpg", "message": "an EXIF thumbnail: write the file anew"}],
    )
    manifest = read_rows(paths.release / "manifest.parquet")
    write_queue(paths.private, queue_of(paths, manifest))


def queue_of(paths: ReleasePaths, manifest: pa.Table) -> pa.Table:
    """The review queue, with one region that a recogniser takes for its original."""
    rows = [row for row in manifest.to_pylist() if row["region"] is not None]
    near = {(rows[0]["sample"], rows[0]["region"]): Likeness(0.6, 0.5, 0.4)}
    from dsanon.key import load_key

    return build(manifest, read_map(paths.map, load_key(paths.key)), near)


def made_up() -> list[Measurement]:
    """Figures of every sort: gates kept and missed, with and without interval, paper's figure and known name."""
    out = []
    for model, worse in (("dlib_resnet", 0.0), ("faceres", 0.1)):
        for control, (recognised, _) in CONTROLS.items():
            value = min(1.0, recognised + worse)
            gate = Gate("max", 0.03) if control == "release" else None
            paper = {"original": 0.651, "blur9": 0.572, "release": 0.010}.get(control)
            out.append(
                Measurement(
                    "recall_at_1", model, control, value, (0.8 * value, min(1.0, 1.2 * value)), 300, paper, gate
                )
            )
        out.append(Measurement("recall_at_1", model, "chance", 0.005, None, 300))
    for detector in ("hog", "centerface"):
        for control, (_, found) in CONTROLS.items():
            if control != "original":
                gate = Gate("min", 0.95) if control == "release" else None
                out.append(
                    Measurement(
                        "detection_rate",
                        detector,
                        control,
                        found,
                        (0.97 * found, found),
                        300,
                        0.999 if control == "release" else None,
                        gate,
                    )
                )
    out.append(Measurement("fd_mobilenetv2_face", "mobilenet_v2 (guided training)", "release", 31.4, (29.0, 34.2), 300))
    out.append(Measurement("fd_mobilenetv2_face", "mobilenet_v2 (guided training)", "blur9", 55.2, (50.0, 60.0), 300))
    out.append(Measurement("leak_metadata", "scanner", "release", 1.0, None, 9, None, Gate("max", 0)))
    out.append(Measurement("unheard_of", HOSTILE, HOSTILE, 0.5, None, 1))
    return out
