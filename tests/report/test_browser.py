"""The page in a real browser: without a network, on a telephone and on a desk, sorted by a click."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from xkd.report import Report, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not opened in a browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=[400, 1600])
def page(request: pytest.FixtureRequest, browser: Browser, report: Report, tmp_path: Path) -> Iterator[Any]:
    """The report, opened without a network; nothing may be complained of."""
    write_report(tmp_path / "report.html", report)
    context = browser.new_context(viewport={"width": request.param, "height": 900}, offline=True)
    opened = context.new_page()
    complaints: list[str] = []
    urls: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda wanted: urls.append(wanted.url))
    opened.goto((tmp_path / "report.html").as_uri())
    yield opened
    context.close()
    assert not complaints
    assert [url for url in urls if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]


def test_it_fits_its_width_and_shows_its_pictures(page: Any) -> None:
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("document.images.length") > 0
    sizes = page.evaluate("[...document.querySelectorAll('p, td, th, li')].map(e => parseFloat(getComputedStyle(e).fontSize))")
    assert min(sizes) >= 12


def test_a_click_sorts_and_what_is_no_number_comes_last(page: Any) -> None:
    table = page.locator("table.sortable").first

    def arms() -> list[str]:
        return [text.split("\n")[0] for text in table.locator("tbody th").all_inner_texts()]

    before = arms()
    choice = page.locator(".choice select").first
    if page.viewport_size["width"] < 640:
        assert not page.locator("table.cards thead").first.is_visible(), "cards have no heads to click"
        choice.select_option("accuracy, %, falling")
        assert arms()[0] == before[1], "the best first"
        choice.select_option("accuracy, %, rising")
        assert arms()[0] == "Student alone"
        choice.select_option("arm, falling")
        assert arms() == sorted(before, reverse=True)
        choice.select_option("accuracy, %, falling")
        choice.select_option("nothing")
        assert arms() == before
        return
    assert not choice.is_visible(), "heads are there to be clicked"
    assert before[0] == "Student alone"
    head = table.get_by_role("button", name="accuracy")
    head.click()
    assert arms()[0] == before[1], "the best first"
    assert table.locator("th[aria-sort=descending]").count() == 1
    head.click()
    assert arms()[0] == "Student alone"
    table.get_by_role("button", name="arm").click()
    assert arms() == sorted(before, reverse=True)
    assert table.locator("th[aria-sort]").count() == 1


def test_costs_are_sorted_by_their_numbers(page: Any) -> None:
    table = page.locator("section", has=page.get_by_role("heading", name="Times and sizes"))
    if page.viewport_size["width"] < 640:
        table.locator("select").select_option("training, falling")
    else:
        table.get_by_role("button", name="training").click()
    assert table.locator("tbody td:nth-child(2)").all_inner_texts() == ["101 s", "81 s", "9 s"]


def test_words_of_a_head_are_not_broken(page: Any) -> None:
    styles = page.evaluate("[...document.querySelectorAll('.cards thead th')].map(e => getComputedStyle(e).overflowWrap)")
    assert set(styles) == {"normal"}
