from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from dsanon_eval.measurement import Curve, Gate, Measurement
from dsanon_eval.report.better import better
from dsanon_eval.report.curves import read_curves
from dsanon_eval.report.figures import draw_curves, draw_rows, finite
from PIL import Image

from dsanon.errors import ReleaseError

HOSTILE = "_</text><script>alert(1)</script> $x_1$"


def test_a_curve_becomes_a_png_and_an_svg_that_no_label_breaks(tmp_path: Path) -> None:
    x = (1e-4, 1e-3, 1e-2, 1.0)
    curves = [
        Curve("roc_x", label, "false accept rate", "true accept rate", x, x, x, (1.0,) * 4, log_x=True)
        for label in ("release", HOSTILE)
    ]
    svg = draw_curves(curves, tmp_path / "roc_x.png")
    with Image.open(tmp_path / "roc_x.png") as image:
        assert image.width > 900  # 200 pixels an inch: for print
        assert not image.info.get("Software")
    root = ElementTree.fromstring(svg)
    assert "script" not in {element.tag.split("}")[-1] for element in root.iter()}
    text = " ".join(element.text or "" for element in root.iter() if element.tag.endswith("text"))
    assert "</text><script>alert(1)</script> $x_1$" in text
    assert "0.001" in text
    assert "mathdefault" not in text


def test_chance_is_inked_impostors_have_their_controls_colour_and_a_cmc_says_rank_10(tmp_path: Path) -> None:
    x, y = tuple(map(float, range(1, 21))), tuple(k / 40 for k in range(1, 21))
    labels = ("blur9", "release", "release, impostors", "blur9, impostors", "chance", "blackout")
    svg = draw_curves([Curve("cmc_x", label, "rank", "rate", x, y) for label in labels], tmp_path / "cmc_x.png")
    text = " ".join(element.text or "" for element in ElementTree.fromstring(svg).iter())
    assert "found by rank 10" in text
    assert all(f"{label}: 25.0 %" in text for label in labels)
    drawn = re.findall(r"stroke: var\((--\w+), #\w+\); stroke-width: ([\d.]+)", svg)
    lines = {pair: drawn.count(pair) // 2 for pair in set(drawn)}  # in the picture and in its legend
    assert lines[("--line0", "1.6")] == lines[("--line0", "0.8")] == 1
    assert lines[("--line1", "1.6")] == lines[("--line1", "0.8")] == 1
    assert lines[("--line2", "1.6")] == 1
    svg = draw_curves([Curve("roc_x", "release", "rank", "rate", x, y)], tmp_path / "roc_x.png")
    assert "25.0 %" not in svg


def test_drawings_do_not_share_ids_and_their_colours_are_the_pages(tmp_path: Path) -> None:
    figures = [Measurement("recall_at_1", "m", control, 0.5, (0.4, 0.6), 9, 0.3, Gate("max", 0.1)) for control in "ab"]
    one, other = (draw_rows(figures, tmp_path / f"{name}.png", "share", True) for name in ("one", "other"))
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', one)) <= ids[0]
    assert "var(--ink, #1b1f24)" in one
    assert "<style" not in one  # it would be the whole page's


def test_csv_is_read_back_with_what_the_report_says_of_it(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    file = tmp_path / "figures" / "cmc_m.csv"
    file.write_text("label,x,y,low,high\nrelease,1,0.5,0.4,0.6\nrelease,2,0.6,0.5,0.7\nblur9,1,0.9,,\n")
    about = [{"figure": "cmc_m", "label": "release", "x_label": "rank", "y_label": "rate", "log_x": False}]
    release, blur = read_curves(tmp_path, about)["cmc_m"]
    assert (release.x, release.y, release.low, release.high) == ((1, 2), (0.5, 0.6), (0.4, 0.5), (0.6, 0.7))
    assert (release.x_label, blur.x_label, blur.low) == ("rank", "x", ())
    file.write_text("label,x\nrelease,1\n")
    with pytest.raises(ReleaseError, match=r"cmc_m\.csv cannot be read as a figure"):
        read_curves(tmp_path, [])


def test_what_is_no_number_is_not_drawn() -> None:
    assert finite(Measurement("a", "m", "release", 0.5, None, 1))
    assert not finite(Measurement("a", "m", "release", math.nan, None, 1))
    assert not finite(Measurement("a", "m", "release", 0.5, (0.1, math.inf), 1))


def test_rows_say_what_they_are_which_way_is_better_and_where_a_guess_lies(tmp_path: Path) -> None:
    rows = {"release": 0.1, "original": 0.9, "chance": 0.02}
    figures = [Measurement("recall_at_1", m, control, value, None, 9) for m in "ab" for control, value in rows.items()]
    drawn = ElementTree.fromstring(draw_rows(figures, tmp_path / "rows.png", "share", True))
    text = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert {"recall_at_1", "lower is better", "release", "original"} <= set(text)
    assert "chance" not in text  # a line, and no row
    lines = {name: element for element in drawn.iter() if "-chance_" in (name := element.get("id") or "")}
    assert set(lines) == {"rows-chance_0", "rows-chance_1"}  # each model has its own
    assert all("stroke-dasharray" in ElementTree.tostring(line, "unicode") for line in lines.values())
    figures = [Measurement("detection_rate", "m", control, 0.5, None, 9) for control in ("release", "blur9")]
    assert "higher is better" in draw_rows(figures, tmp_path / "rows.png", "share", True)
    figures = [Measurement("unheard_of", "m", control, 0.5, None, 9) for control in ("release", "blur9")]
    assert "is better" not in draw_rows(figures, tmp_path / "rows.png", "share", True)


def test_the_longest_beginning_says_which_way_is_better() -> None:
    """Recall of an attacker, of a distribution and of a detector go different ways, as do links."""
    lower = (
        "recall_at_1",
        "subgroup_worst_recall_at_1",
        "linkage_across_scopes",
        "fd_dlib_resnet_face",
        "utility_idsw",
    )
    higher = ("recall_mobilenetv2_face", "subgroup_worst_detection_rate", "linkage_within_scope", "utility_idf1")
    assert {better(name) for name in lower} == {"lower"}
    assert {better(name) for name in higher} == {"higher"}
    assert better("linkage") == ""  # within a scope it is wanted, across scopes it is not
