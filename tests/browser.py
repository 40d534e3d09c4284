"""A headless Chromium for tests of pages; they are skipped, with the reason, where none is installed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextmanager
def browser(profile: Path) -> Iterator[Any]:
    """A new browser with a profile of its own, which records its console and its network."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = binary
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def look(chrome: Any, width: int, dark: bool = False, paper: bool = False) -> None:
    """Set the width of the window, the colour scheme and the medium."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chrome.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"media": "print" if paper else "screen", "features": [scheme]}
    )


def overflow(chrome: Any) -> int:
    """By how many pixels the page is wider than its window."""
    return int(chrome.execute_script("const e = document.documentElement; return e.scrollWidth - e.clientWidth"))


def requests(chrome: Any) -> list[str]:
    """What the browser asked for since the last call: addresses, without those that hold their content themselves."""
    events = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [
        url
        for url in sent
        if not url.startswith(("data:", "about:", "chrome:", "chrome-untrusted:", "chrome-extension:"))
    ]
