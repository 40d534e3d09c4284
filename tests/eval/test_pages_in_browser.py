"""Both pages in a real browser: what a reader sees, and a review from the first click to the new release."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from audited_release import make_audit, make_release
from browser import browser, look, overflow, requests
from dsanon_eval.report.page import write_report
from dsanon_eval.review.desk import open_desk
from dsanon_eval.review.server import ReviewServer

from dsanon.layout import ReleasePaths
from dsanon.manifest import read_rows
from dsanon.review import read_review
from runs import anonymize


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def paths(chrome: Any, tmp_path_factory: pytest.TempPathFactory) -> ReleasePaths:
    """An audited release; made only where there is a browser to look at it."""
    paths = make_release(tmp_path_factory.mktemp("audited"), "blur")
    make_audit(paths)
    return paths


@pytest.fixture(scope="module")
def report(paths: ReleasePaths) -> str:
    return write_report(paths.release).as_uri()


def until(condition: Callable[[], bool]) -> None:
    """Wait for the page, half a minute at most."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("width", [1200, 375])
@pytest.mark.parametrize("dark", [False, True])
def test_the_report_fits_and_is_quiet(chrome: Any, report: str, width: int, dark: bool) -> None:
    look(chrome, width, dark)
    requests(chrome)
    chrome.get(report)
    assert overflow(chrome) <= 0
    assert chrome.get_log("browser") == []
    assert requests(chrome) == [report]
    assert chrome.title.startswith("Privacy audit of")  # the hostile names did not take it
    broken = "return [...document.images].filter(image => !image.naturalWidth).length"
    assert chrome.execute_script(broken) == 0
    ground, ink = chrome.execute_script(
        "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    )
    assert (_light(ground) < _light(ink)) == dark
    label = "return getComputedStyle(document.querySelector('.drawing text')).fill"
    assert (_light(chrome.execute_script(label)) > 128) == dark  # drawings follow


def test_on_paper_it_is_light_and_whole(chrome: Any, report: str) -> None:
    look(chrome, 700, dark=True, paper=True)
    chrome.get(report)
    assert _light(chrome.execute_script("return getComputedStyle(document.body).backgroundColor")) > 250
    assert overflow(chrome) <= 0
    assert chrome.execute_script(_FOLDED) == []


_FOLDED = """
return [...document.querySelectorAll("details > :not(summary)")].filter(e => !e.checkVisibility()).map(e => e.tagName)
"""


def test_a_value_and_its_bound_are_seen_on_a_phone(chrome: Any, report: str) -> None:
    look(chrome, 420, dark=False)
    chrome.get(report)
    outside = """
    const tables = [...document.querySelectorAll("#recognition > .scroll, #detection > .scroll")];
    const right = table => table.getBoundingClientRect().right;
    const cells = table => [...table.querySelectorAll("tr:not(.group) > :nth-child(-n+3)")];
    return tables.map(table => Math.max(...cells(table).map(right)) - right(table))
    """
    found = chrome.execute_script(outside)
    assert len(found) == 2
    assert max(found) <= 0.5
    assert len(chrome.execute_script(_FOLDED)) > 5  # the rest is a click away


def _light(colour: str) -> float:
    return sum(map(float, colour[colour.index("(") + 1 :].rstrip(")").split(",")[:3])) / 3


def test_click_decide_apply(chrome: Any, paths: ReleasePaths) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    desk = open_desk(paths.release)
    first, second = desk.rows
    with ReviewServer(desk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            for width in (375, 1200):
                look(chrome, width)
                requests(chrome)
                chrome.get(server.address)
                assert overflow(chrome) <= 0
            until(lambda: chrome.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth)"))
            assert all(url.startswith(server.address) for url in requests(chrome))
            cards = chrome.find_elements(By.CSS_SELECTOR, "li[data-number]")
            cards[0].find_element(By.CSS_SELECTOR, "button[value=mask]").click()
            until(lambda: cards[0].get_attribute("data-verdict") == "mask")
            body = chrome.find_element(By.TAG_NAME, "body")
            body.send_keys("j")  # by keys alone: next, drop, take back, accept
            for key, verdict in (("d", "drop"), ("u", ""), ("a", "accept")):
                cards[1].send_keys(key)
                until(lambda verdict=verdict: cards[1].get_attribute("data-verdict") == verdict)  # type: ignore[misc]
            assert "1 accept, 1 mask, 0 drop" in chrome.find_element(By.ID, "counts").text
            cards[0].find_element(By.CSS_SELECTOR, "button[value=drop]").send_keys(Keys.ENTER)
            until(lambda: cards[0].get_attribute("data-verdict") == "drop")
            cards[0].find_element(By.CSS_SELECTOR, "button[value=mask]").click()
            until(lambda: cards[0].get_attribute("data-verdict") == "mask")
            chrome.get(server.address)  # what is on disk is shown again
            pressed = chrome.find_elements(By.CSS_SELECTOR, "button[aria-pressed=true]")
            assert [button.get_attribute("value") for button in pressed] == ["mask", "accept"]
            assert chrome.get_log("browser") == []
        finally:
            server.shutdown()
            thread.join()
    stored = read_review(desk.decisions).decisions
    assert {(d.sample, d.verdict) for d in stored} == {(first["sample"], "mask"), (second["sample"], "accept")}
    source = paths.release.parent / "source"
    done = anonymize(
        source, paths.release, "--method", "blur", "--detectors", "hog", "--resume", "--review", desk.decisions
    )
    assert done.code == 0, done.error
    rows = read_rows(paths.release / "manifest.parquet").to_pylist()
    reasons = {row["sample"]: row["reason"] for row in rows if row["region"] is not None}
    assert reasons == {first["sample"]: "masked by a reviewer", second["sample"]: ""}
