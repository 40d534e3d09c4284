"""The page, built from a tiny real release and made-up figures."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from audited_release import HOSTILE, make_audit, make_release
from dsanon_eval import gates
from dsanon_eval.measurement import Gate, Measurement
from dsanon_eval.report.audit_files import AuditFiles
from dsanon_eval.report.page import write_report
from dsanon_eval.seeing.observation import usable

from dsanon.durable import read_json, write_json
from dsanon.errors import KeyFileError, ReleaseError, UsageError
from dsanon.layout import ReleasePaths
from dsanon.private_map import forget


class Page(HTMLParser):
    """Tags and their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> ReleasePaths:
    paths = make_release(tmp_path_factory.mktemp("report"))
    make_audit(paths)
    return paths


@pytest.fixture(scope="module")
def page(paths: ReleasePaths) -> Page:
    return Page(write_report(paths.release))


def test_it_holds_everything_itself_and_no_script(page: Page) -> None:
    assert not page.all("script")
    assert {source for image in page.all("img") if (source := image["src"])[:23] != "data:image/jpeg;base64,"} == set()  # type: ignore[index]
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert re.match(r"#|data:|$", attributes.get(name) or ""), attributes
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\((?!#)", page.text)


def test_hostile_names_stay_text(page: Page) -> None:
    assert HOSTILE not in page.text
    assert page.text.count("&lt;script&gt;document.title=") >= 4  # a finding, a note, a model and a control


def test_the_verdict_comes_first_in_plain_words(page: Page) -> None:
    assert "Not fit for publication: 3 of 6 gates failed" in page.text
    assert "faceres still names 12.0 % of the released faces" in page.text
    assert "tar_at_far (dlib_resnet): required, but not measured" in page.text
    assert page.text.index("Not fit for publication") < page.text.index("What became of samples")


def test_the_verdict_says_what_it_leaves_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: gates kept by chance, gates and instruments that were not asked, attacks that were not tried."""
    paths = make_release(tmp_path)
    make_audit(paths)
    assert "Not asked" not in _verdict(paths)
    assert "Of the 3 gates kept, 2 are uncertain" in _verdict(paths)  # the detectors': 0.97 with an interval from 0.94
    report = paths.release / "audit" / "report.json"
    whole = read_json(report)
    monkeypatch.setenv("DSANON_MODELS", str(tmp_path / "none"))
    rules = [gates.Rule(name, "m", "release", (), "max", 1.0, None, False) for name in ("tar_at_far", "linkage")]
    whole["notes"] = [*gates.unasked(rules, []), *usable(["facenet_casia", "inception_fid"])[1], HOSTILE]
    for figures in (whole["measurements"], [row for row in whole["measurements"] if row["passed"]], []):
        write_json(report, whole | {"measurements": figures, "gates": {"failures": []}})
        said = _verdict(paths)
        assert "Not asked, for want of a figure: 2 gates" in said
        assert "Did not measure: facenet_casia, inception_fid." in said
        assert "Measured in the suite quick; not attacked: " in said
        assert "Undoing the anonymization" in said
        assert "Recognition of the body" not in said  # nobody's was treated
        assert "Use: " not in said


def _verdict(paths: ReleasePaths) -> str:
    text = write_report(paths.release).read_text()
    return text[text.index('<section id="verdict"') : text.index("</section>")]


def test_the_first_rows_are_those_that_decide_and_the_others_a_click_away(page: Page) -> None:
    chapter = page.text[page.text.index('<section id="recognition"') :]
    first, _, further = chapter[: chapter.index("</section>")].partition("<details>")
    row, group = r'<th scope="row">([^<]+)', r'scope="rowgroup"[^>]*><code>(\w+)</code> by (\w+)'
    assert re.findall(group, first) == [("recall_at_1", "dlib_resnet"), ("recall_at_1", "faceres")]
    assert re.findall(row, first) == ["release", "original", "chance"] * 2
    assert re.findall(row, further) == ["blackout", "blur9"] * 2
    assert re.findall(r'scope="col"[^>]*>([^<]+)', first)[:3] == ["Measured on", "Value", "Bound"]
    assert "<svg" not in first
    distance = page.text[page.text.index('<section id="realism"') :]
    assert "Two halves of the originals" in distance[: distance.index("<details>")]  # no bound says what it means


def test_it_can_be_read_without_seeing_it(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(image.get("alt") for image in page.all("img"))
    assert all(cell.get("scope") for cell in page.all("th"))
    drawings = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(drawings) == len(page.all("svg"))
    assert all(drawing.get("aria-label") for drawing in drawings)
    ids = [value for _, attributes in page.tags if (value := attributes.get("id"))]
    assert len(ids) == len(set(ids))
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in ids}


def test_the_cost_is_told_by_stage_and_face(page: Page) -> None:
    table = page.text[page.text.index("Cost by stage") :]
    rows = re.findall(r'row">(\w+)</th><td class="n">([\d.]+)</td><td class="n">([\d.]+)</td>', table)
    expected = {"open": 0.1, "look": 12.5, "measure": 3.25, "all": 15.85}  # of two faces
    assert [row[0] for row in rows] == [*expected]
    for stage, seconds, milliseconds in rows:
        assert float(seconds) == pytest.approx(expected[stage], abs=0.051)
        assert float(milliseconds) == pytest.approx(500 * expected[stage])


def test_figures_lie_beside_it(page: Page, paths: ReleasePaths) -> None:
    named = set(re.findall(r"figures/([\w.-]+\.png)", page.text))
    assert {"roc_dlib_resnet.png", "recall_at_1.png", "privacy_utility_faceres.png"} <= named
    assert named == {path.name for path in (paths.release / "audit" / "figures").glob("*.png")}


def test_pictures_of_an_earlier_audit_go(tmp_path: Path) -> None:
    paths = make_release(tmp_path)
    make_audit(paths)
    old = paths.release / "audit" / "figures" / "cmc_another.png"
    old.write_bytes(b"of an audit that had another recogniser")
    text = write_report(paths.release).read_text()
    assert not old.exists()
    assert "cmc_dlib_resnet.png" in text
    assert (old.parent / "cmc_dlib_resnet.png").is_file()


def test_source_crops_go_to_the_private_side_only(paths: ReleasePaths) -> None:
    source = paths.release.parent / "source"
    out = write_report(paths.release, source, with_source=True)
    assert out.is_relative_to(paths.private)
    assert out.stat().st_mode & 0o077 == 0
    private = Page(out)
    assert len(private.all("img")) == 4
    assert 'role="alert"' in private.text
    assert "faces of real people" in private.text
    public = Page(write_report(paths.release))
    assert len(public.all("img")) == 2
    assert "faces of real people" not in public.text
    for told in ("similarity 0.60", "a recogniser takes it for the original"):  # where to look is nothing to publish
        assert told in private.text
        assert told not in public.text
    assert str(paths.private) not in public.text
    with pytest.raises(UsageError, match="--source"):
        write_report(paths.release, with_source=True)


def test_a_figure_that_fails_hides_no_missing_one_of_its_name() -> None:
    failed = Measurement("x", "m", "original", 0.2, None, 9, None, Gate("min", 0.5))
    missing = "x by m on release, which is required, was not measured: its weights are not here"
    lines = ["x by m on original: 0.2, expected at least 0.5 (n 9)", missing]
    files = SimpleNamespace(failed=[failed], report={"gates": {"failures": lines}})
    assert AuditFiles.missing.fget(files) == [missing]  # type: ignore[attr-defined]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    paths = make_release(tmp_path)
    with pytest.raises(ReleaseError, match="run `dsanon audit"):
        write_report(paths.release)
    make_audit(paths, [])
    (paths.release / "audit" / "findings.json").unlink()
    (paths.private / "review.parquet").unlink()
    for file in (paths.release / "audit" / "figures").iterdir():
        file.unlink()
    for file in (paths.release / "data").rglob("*.jpg"):
        file.unlink()
    report = paths.release / "audit" / "report.json"
    report.write_text('{"schema": 1, "measurements": [{"name": "recall_at_1", "value": null}]}')
    text = write_report(paths.release).read_text()
    for said in (
        "No verdict: no gate was checked",
        "1 entries of report.json hold no figure",
        "No figure was measured",
        "The files were not scanned",
        "not shown: ",
        "The cost by stage was not recorded",
        "<li>Undoing the anonymization</li>",
        "<strong>Pseudonymous.</strong>",
    ):
        assert said in text
    report.write_text(
        report.read_text().replace("null", '0.5, "model": "m", "control": "release", "n": 5, "gate": {"max": 0.6}')
    )
    forget(paths.release)
    text = write_report(paths.release).read_text()
    assert "Every gate kept (1)</h2>" in text
    report.write_text(report.read_text().replace('"n": 5', '"n": 5, "ci95": [0.4, 0.7]'))
    text = write_report(paths.release).read_text()
    assert "Every gate kept (1), 1 within the margin of error</h2>" in text
    assert "n = 5)" in text
    assert "<strong>The key was destroyed.</strong>" in text
    assert "What hides a person shows where and how large they are." in text  # a mask keeps no expression
    assert "expression" not in text
    about = paths.release / "release.json"
    about.write_text(about.read_text().replace('"mask"', '"ciagan"').replace('"regions": "face"', '"regions": "body"'))
    text = write_report(paths.release).read_text()
    assert "<li>Pose is kept on purpose, and a body keeps its outline and its gait.</li>" in text
    assert "hair, ears, hands" not in text
    with pytest.raises(KeyFileError):
        write_report(paths.release, paths.release.parent / "source", with_source=True)
