"""One person before three cameras: one fake identity a camera, in all of its sequences, and another in every other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from dsanon_eval.attacks.linkage import linkage
from dsanon_eval.attacks.reidentification import ranks
from dsanon_eval.networks.recognisers import open_recogniser
from dsanon_eval.seeing.case import Face, open_case

from dsanon.images import decode
from dsanon.key import LENGTH
from dsanon.private_map import lookup
from dsanon.sample import Person, Sample
from dsanon.sources import SOURCES
from dsanon.sources.folder import FolderSource
from dsanon.sources.sequences import frames_of
from runs import anonymize

CAMERAS = {"gate": ("a", "b"), "hall": ("c", "d"), "yard": ("e", "f")}
PEOPLE = 6


class CameraSource(FolderSource):
    """SEQUENCE/000001.jpg, frame n of every sequence showing person n: what a system of several cameras labels."""

    dataset = "cameras"

    def samples(self) -> list[Sample]:
        frames = {file: number for files in frames_of(s.file for s in super().samples()).values()
                  for number, file in files.items()}  # fmt: skip
        return [
            replace(
                sample,
                people=(Person(f"person {frames[sample.file]}", head=(55.0, 55.0, 195.0, 195.0)),),
                sequence=PurePosixPath(sample.file).parts[0],
                time=float(frames[sample.file]),
            )
            for sample in super().samples()
        ]


@pytest.fixture(scope="module")
def released(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(source, release) of six people of LFW, each a photo in each of six sequences."""
    root = tmp_path_factory.mktemp("cameras")
    folders = sorted((shared / "data" / "lfw" / "lfw-deepfunneled").iterdir())
    chosen = [photos for folder in folders if len(photos := sorted(folder.glob("*.jpg"))) >= 6][:PEOPLE]
    sequences = [sequence for pair in CAMERAS.values() for sequence in pair]
    for place, sequence in enumerate(sequences):
        (root / "source" / sequence).mkdir(parents=True)
        for number, photos in enumerate(chosen):
            (root / "source" / sequence / f"{number:06d}.jpg").write_bytes(photos[place].read_bytes())
    lines = [f"{sequence}\t{camera}\n" for camera, pair in CAMERAS.items() for sequence in pair]
    (root / "cameras.txt").write_text("sequence\tcamera\n" + "".join(lines))
    key = root / "key"  # the same vectors in every run: 18 people are few to measure on
    key.write_text("ca" * LENGTH + "\n")
    key.chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "cameras", ("test_cameras", "CameraSource", "several cameras"))
        options = ("--scope", "camera", "--cameras", root / "cameras.txt", "--detectors", "hog", "--key", key)
        done = anonymize(root / "source", root / "release", *options, dataset="cameras")
    assert done.code == 0, done.error
    return root / "source", root / "release"


@pytest.mark.shared
def test_ids_agree_within_a_camera_and_differ_across(released: tuple[Path, Path]) -> None:
    rows = [row for row in lookup(released[1]) if row["control_ids"] and row["source_subject"]]
    assert len(rows) > 4 * PEOPLE  # whoever's face cannot be aligned is covered
    of_camera: dict[tuple[str, str], set[tuple[str, tuple[int, ...], tuple[float, ...]]]] = {}
    for row in rows:
        camera = next(c for c, pair in CAMERAS.items() if row["source_file"].split("/")[0] in pair)
        who = row["subject"], tuple(row["control_ids"]), tuple(row["control_weights"])
        of_camera.setdefault((row["source_subject"], camera), set()).add(who)
    assert len(of_camera) == 3 * PEOPLE
    assert all(len(found) == 1 for found in of_camera.values())  # two sequences of a camera are one scope
    for person in {person for person, _ in of_camera}:
        mine = [next(iter(of_camera[person, camera])) for camera in CAMERAS]
        assert len({subject for subject, _, _ in mine}) == 3
        assert len({(ids, weights) for _, ids, weights in mine}) == 3


@pytest.mark.shared
def test_a_recogniser_links_within_a_camera_and_not_across(released: tuple[Path, Path]) -> None:
    source, release = released
    recogniser = open_recogniser("dlib_resnet")
    faces: list[Face] = []
    vectors: dict[str, list[np.ndarray]] = {"release": [], "original": []}
    for scene in open_case(release, source).scenes():
        painted = [face for face in scene.faces if face.status == "anonymized"]
        faces += painted
        files = {"release": release / "data" / scene.release_file, "original": source / scene.source_file}
        for kind, path in files.items():
            pixels, _ = decode(path.read_bytes())
            points = [np.array(face.region.landmarks).reshape(68, 2) for face in painted]
            vectors[kind] += list(recogniser.embed([recogniser.chip(pixels, p) for p in points]))
    rows = {(row.name, row.control): row.value for row in linkage(vectors["release"], faces, "dlib_resnet")}
    assert rows["linkage_within_scope", "release"] > 0.8
    assert rows["linkage_across_scopes", "release"] <= 3 * rows["linkage_across_scopes", "chance"]
    # the same people as they were are linked across cameras: the recogniser could have told
    people, scopes = [face.person for face in faces], [face.scope for face in faces]
    originals = ranks(vectors["original"], vectors["original"], people, own=False, apart=scopes)
    assert (originals.rank == 0).mean() > 0.8
