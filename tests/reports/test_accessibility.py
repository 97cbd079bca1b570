"""Pages and docs in a browser: rules of accessibility, widths of a phone, and a click on a class."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WIDTHS = (390, 1280)
SCREEN_PX = 800
SMALLEST_PX = 9.5
"""Smallest letters of a figure on a phone."""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_in_the_report(
    page: Path,
    show: Callable[..., Page],
    violations: Callable[[Page], list[str]],
    width: int,
    theme: str,
) -> None:
    shown = show(page, width=width, theme=theme)
    shown.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert violations(shown) == []


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the documentation."""
    site = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(words, cwd=ROOT, env=environment, check=True)
    return site


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_in_the_docs(
    docs: Path, show: Callable[..., Page], violations: Callable[[Page], list[str]], width: int, theme: str
) -> None:
    for page in ("", "tutorial", "genres", "main-job", "glossary", "serve"):
        shown = show(docs / page / "index.html", width=width, theme=theme)
        shown.wait_for_function("document.querySelectorAll('.md-code__nav:not([aria-label])').length === 0")
        assert violations(shown) == [], page
        shown.close()


def test_nothing_is_wider_than_the_screen_and_three_screens_come_before_the_details(
    page: Path, show: Callable[..., Page]
) -> None:
    for width in WIDTHS:
        shown = show(page, width=width)
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        if width > 1000:
            top = shown.evaluate("document.getElementById('details').getBoundingClientRect().top")
            assert top <= 3 * SCREEN_PX
        answers = shown.evaluate("document.querySelector('.answers').getBoundingClientRect().bottom")
        assert answers <= 2 * SCREEN_PX


def test_a_click_on_a_class_filters_the_page_and_a_second_one_shows_all(
    page: Path, show: Callable[..., Page]
) -> None:
    shown = show(page)
    button = shown.locator(".pick").first
    name = button.inner_text()
    visible = shown.locator(".mistakes li:visible")
    before = visible.count()
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert visible.count() > 0
    for row in visible.all():
        assert name in (row.get_attribute("data-label"), row.get_attribute("data-predicted"))
    assert shown.locator(".matrix .dim").count() > 0
    assert name in shown.locator(".picked-bar").inner_text()
    button.click()
    assert visible.count() == before
    assert shown.locator(".matrix .dim").count() == 0


def test_a_link_into_a_folded_section_opens_it(page: Path, show: Callable[..., Page]) -> None:
    shown = show(page)
    assert not shown.locator("#card").evaluate("(e) => e.closest('details').open")
    shown.evaluate("location.hash = '#card'")
    shown.wait_for_function("document.getElementById('card').closest('details').open")


def test_every_figure_can_be_read_on_a_phone_without_scrolling(page: Path, show: Callable[..., Page]) -> None:
    shown = show(page, width=390)
    shown.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    figures = shown.evaluate(
        """() => [...document.querySelectorAll('svg.plot')].map((svg) => {
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
            const texts = [...svg.querySelectorAll('text')];
            const sizes = texts.map((text) => parseFloat(getComputedStyle(text).fontSize) * scale);
            const box = svg.closest('.scroll');
            return [Math.min(99, ...sizes), box ? box.scrollWidth - box.clientWidth : 0];
        })"""
    )
    assert len(figures) > 10
    for size, hidden in figures:
        assert size >= SMALLEST_PX
        assert hidden <= 0
    for matrix in shown.locator(".matrix").all():
        assert matrix.evaluate("(box) => box.scrollWidth - box.clientWidth") <= 0
