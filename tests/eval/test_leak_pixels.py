"""Frames of clips and whole bodies: what `test_leaks` does not plant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dsanon_eval.leaks.opened import Case, Seen
from dsanon_eval.leaks.pixels import look
from little_clips import clip
from PIL import Image

from dsanon.detectors import Detection
from dsanon.sources.silhouettes import from_mask

BOX = (170.0, 60.0, 280.0, 200.0)


def covered(portrait: np.ndarray, box: tuple[float, float, float, float] = BOX) -> np.ndarray:
    x0, y0, x1, y1 = map(round, box)
    out = portrait.copy()
    out[y0:y1, x0:x1] = 127
    return out


def test_one_frame_of_a_clip(tmp_path: Path, portrait: np.ndarray) -> None:
    source = [np.roll(portrait, 4 * number, axis=1) for number in range(6)]
    boxes = [(BOX[0] + 4 * n, BOX[1], BOX[2] + 4 * n, BOX[3]) for n in range(6)]
    hidden = [covered(pixels, box) for pixels, box in zip(source, boxes, strict=True)]
    regions = tuple(Seen(n, 0, "face", box, "anonymized", "mask") for n, box in enumerate(boxes))
    case = Case("data/v.mp4", clip(tmp_path / "v.mp4", hidden), clip(tmp_path / "source.mp4", source), regions)
    looked = look(case, ())
    assert (looked.findings, looked.compared) == ((), 6)
    hidden[4] = source[4]
    clip(case.path, hidden)
    (finding,) = look(case, ()).findings
    assert (finding.kind, finding.file) == ("pixels", "data/v.mp4")
    assert finding.message.startswith("frame 4, region 0: the source's face is still there")
    grey = replace(case, withheld=frozenset({4}), regions=tuple(r for r in regions if r.frame != 4))
    (finding,) = look(grey, ()).findings
    assert finding.message == "frame 4 was withheld, and is not plain grey"
    case.path.write_bytes(case.path.read_bytes()[:2000])
    assert {finding.kind for finding in look(case, ()).findings} == {"file"}


def test_a_body_that_nobody_treated(tmp_path: Path, portrait: np.ndarray) -> None:
    source, release = tmp_path / "source.jpg", tmp_path / "release.jpg"
    Image.fromarray(portrait).save(source, quality=95)
    body = Seen(None, 0, "body", (100.0, 20.0, 400.0, 320.0), "anonymized", "mask")
    case = Case("data/a.jpg", release, source, (body,))
    silhouette = (150.0, 40.0, 330.0, 320.0)
    Image.fromarray(covered(portrait, silhouette)).save(release, quality=95)
    assert look(case, ()).findings == ()
    Image.fromarray(portrait).save(release, quality=75)
    (finding,) = look(case, ()).findings
    assert "body is untouched" in finding.message


@pytest.mark.parametrize(("times", "plus"), [(1.0, 14), (1.0, -20), (0.6, 0), (1.3, -20)])
def test_a_body_in_another_light_is_untouched(tmp_path: Path, portrait: np.ndarray, times: float, plus: int) -> None:
    source, release = tmp_path / "source.jpg", tmp_path / "release.jpg"
    Image.fromarray(portrait).save(source, quality=95)
    body = Seen(None, 0, "body", (100.0, 20.0, 400.0, 320.0), "anonymized", "mask")
    case = Case("data/a.jpg", release, source, (body,))
    lit = np.clip(times * portrait.astype(float) + plus, 0, 255).astype(np.uint8)
    Image.fromarray(lit).save(release, quality=85)
    (finding,) = look(case, ()).findings
    assert "body is untouched" in finding.message
    Image.fromarray(covered(lit, (150.0, 40.0, 330.0, 320.0))).save(release, quality=85)
    assert look(case, ()).findings == ()


def test_who_consented_is_no_finding(tmp_path: Path, portrait: np.ndarray) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(portrait).save(path)
    kept = Seen(None, 0, "face", BOX, "kept", "")
    assert look(Case("data/a.png", path, path, (kept,)), (_Sees(0.9),)).findings == ()
    assert look(Case("data/a.png", path, path, ()), (_Sees(0.9),)).findings != ()
    assert look(Case("data/a.png", path, path, ()), (_Sees(0.4),)).findings == ()  # nobody is sure


def test_a_control_is_called_one(tmp_path: Path, portrait: np.ndarray) -> None:
    source, release = tmp_path / "source.png", tmp_path / "release.png"
    Image.fromarray(portrait).save(source)
    Image.fromarray(portrait).save(release)
    seen = Seen(None, 3, "face", BOX, "anonymized", "blur")
    (finding,) = look(Case("data/a.png", release, source, (seen,)), ()).findings
    assert "blur is a control, not protection" in finding.message


def test_a_head_covered_along_its_silhouette(tmp_path: Path, portrait: np.ndarray) -> None:
    """The wall in a guessed head's box stays; what of the person is in it does not."""
    silhouette = np.zeros(portrait.shape[:2], bool)
    silhouette[80:180, 205:250] = True
    box = (150.0, 20.0, 400.0, 300.0)
    source, release = tmp_path / "source.png", tmp_path / "release.png"
    Image.fromarray(portrait).save(source)
    head = Seen(None, 0, "face", box, "fallback", "mask", silhouette=from_mask(silhouette))
    case = Case("data/a.png", release, source, (head,))
    hidden = portrait.copy()
    hidden[silhouette] = 127
    Image.fromarray(hidden).save(release)
    assert look(replace(case, regions=(replace(head, silhouette=None),)), ()).findings != ()
    assert look(case, ()).findings == ()
    for left in (portrait, hidden.copy()):
        left[80:180, 205:247] = portrait[80:180, 205:247]  # all of the person, or nearly
        Image.fromarray(left).save(release)
        (finding,) = look(case, ()).findings
        assert "the source's face is still there" in finding.message
    moved = hidden.copy()
    moved[20:300, 10:130] = portrait[20:300, 165:285]
    Image.fromarray(moved).save(release)
    assert look(replace(case, regions=(replace(head, box=(190.0, 60.0, 260.0, 160.0)),)), ()).findings != ()


def test_a_face_that_only_the_encoder_drew(tmp_path: Path, portrait: np.ndarray) -> None:
    """A print on a shirt, seen in the release by a hair, and in the source, which is the same there, not at all."""
    source, release = tmp_path / "source.png", tmp_path / "release.png"
    Image.fromarray(portrait).save(source)
    noisy = portrait.copy()
    noisy[0, 0] = 255 - noisy[0, 0]
    Image.fromarray(noisy).save(release)
    case = Case("data/a.png", release, source, ())
    assert look(case, (_Sees(0.65, before=0.0, source=portrait),)).findings == ()
    assert look(case, (_Sees(0.65, before=0.3, source=portrait),)).findings != ()  # the job had seen it
    assert look(case, (_Sees(0.85, before=0.0, source=portrait),)).findings != ()  # surely a face
    assert look(replace(case, original=None), (_Sees(0.65, before=0.0, source=portrait),)).findings != ()
    neighbour = noisy.copy()
    neighbour[10:64, 170:280] = 127  # the cover of a face above it reaches into its box
    Image.fromarray(neighbour).save(release)
    above = Seen(None, 0, "face", (170.0, 10.0, 280.0, 60.0), "anonymized", "mask")
    near = _Sees(0.65, before=0.0, source=portrait)
    assert look(replace(case, regions=(above,)), (near,)).findings == ()
    assert look(case, (near,)).findings != ()
    pasted = noisy.copy()
    pasted[80:180, 180:270] = portrait[80:180, 20:110]
    Image.fromarray(pasted).save(release)
    assert look(case, (_Sees(0.65, before=0.0, source=portrait),)).findings != ()  # nothing stood there before


def test_a_face_that_a_body_s_region_left_alone(tmp_path: Path, portrait: np.ndarray) -> None:
    """A silhouette without its head, or somebody else's face in the box; what was painted there is no source's face."""
    source, release = tmp_path / "source.jpg", tmp_path / "release.jpg"
    Image.fromarray(portrait).save(source, quality=95)
    body = Seen(None, 0, "body", (100.0, 20.0, 400.0, 500.0), "anonymized", "mask")
    case = Case("data/a.jpg", release, source, (body,))
    Image.fromarray(covered(portrait, (100.0, 215.0, 400.0, 500.0))).save(release, quality=85)
    (finding,) = look(case, (_Sees(0.9),)).findings
    assert "an untouched face around (225, 130), in the region of a body or of a cover" in finding.message
    face = Seen(None, 1, "face", BOX, "anonymized", "mask")
    found = look(replace(case, regions=(body, face)), (_Sees(0.9),)).findings
    assert all("the source's face is still there" in finding.message for finding in found)
    assert look(replace(case, regions=(replace(body, status="kept"),)), (_Sees(0.9),)).findings == ()
    painted = np.ascontiguousarray(portrait[:, ::-1])
    Image.fromarray(painted).save(release, quality=85)
    assert look(case, (_Sees(0.9),)).findings == ()


def test_a_face_beside_the_silhouette_that_a_cover_took(tmp_path: Path, portrait: np.ndarray) -> None:
    """The box of a cover is larger than what it covered: a crowd's, or a guessed head's."""
    source, release = tmp_path / "source.jpg", tmp_path / "release.jpg"
    Image.fromarray(portrait).save(source, quality=95)
    cover = Seen(None, 0, "face", (100.0, 20.0, 500.0, 500.0), "fallback", "mask")
    case = Case("data/a.jpg", release, source, (cover,))
    Image.fromarray(covered(portrait, (100.0, 215.0, 400.0, 500.0))).save(release, quality=85)
    assert any("an untouched face around (225, 130)" in f.message for f in look(case, (_Sees(0.9),)).findings)
    Image.fromarray(covered(portrait, (100.0, 20.0, 500.0, 500.0))).save(release, quality=85)
    assert look(case, (_Sees(0.9),)).findings == ()


class _Sees:
    """A detector that is sure of a face where the portrait's is. before: its score of the ``source`` itself"""

    name = "centerface"

    def __init__(self, score: float, before: float | None = None, source: np.ndarray | None = None) -> None:
        self._score, self._before, self._source = score, before, source

    def __call__(self, pixels: np.ndarray) -> list[Detection]:
        same = self._source is not None and np.array_equal(pixels, self._source)
        score = self._before if same and self._before is not None else self._score
        return [Detection(BOX, score, self.name)] if score else []


def test_a_face_of_which_the_edge_left_less_than_half_a_pixel(tmp_path: Path, portrait: np.ndarray) -> None:
    source, release = tmp_path / "source.png", tmp_path / "release.png"
    for path in (source, release):
        Image.fromarray(portrait).save(path)
    height, width = portrait.shape[:2]

    class AtTheEdge:
        name = "centerface"

        def __call__(self, pixels: np.ndarray) -> list[Detection]:
            beside = Detection((width - 0.3, 60, width + 40, 110), 0.6, self.name)
            return [beside, Detection((60, height - 0.3, 110, height + 40), 0.6, self.name)]

    case = Case("data/a.png", release, source, (Seen(None, 0, "face", BOX, "anonymized", "mask"),))
    found = look(case, (AtTheEdge(),)).findings
    assert {finding.kind for finding in found} == {"pixels"}  # of the portrait's own face, and no fault
