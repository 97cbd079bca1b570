"""What the tests of both pages share: the policy of a page, and a browser."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class Policed(HTMLParser):
    """Policy, scripts, style sheets, event handlers and addresses of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.policy: dict[str, list[str]] = {}
        self.order: list[str] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.handlers: list[str] = []
        self.sources: list[str] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.order.append(tag)
        if values.get("http-equiv") == "Content-Security-Policy":
            self.order.append("policy")
            for rule in (values["content"] or "").split(";"):
                name, *sources = rule.split()
                self.policy[name] = sources
        self.handlers += [name for name in values if name.startswith("on")]
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "xlink:href")]
        is_data = values.get("type") == "application/json"
        self._open = tag if tag in self.texts and not is_data else ""
        if self._open:
            self.texts[tag].append("")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def source_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.fixture(scope="session")
def policed() -> Callable[[str], Policed]:
    """Function that reads a page and checks that its policy allows what is in it, and nothing else."""

    def read(html: str) -> Policed:
        page = Policed()
        page.feed(html)
        assert page.policy["script-src"] == [source_hash(text) for text in page.texts["script"]]
        assert page.policy["style-src-elem"] == [source_hash(text) for text in page.texts["style"]]
        assert len(page.texts["script"]) == 2
        assert (
            page.policy["default-src"] == page.policy["base-uri"] == page.policy["form-action"] == ["'none'"]
        )
        first = {tag: page.order.index(tag) for tag in ("policy", "script", "style", "link")}
        assert min(first, key=lambda tag: first[tag]) == "policy"
        assert page.handlers == []
        return page

    return read


@pytest.fixture(scope="session")
def open_in_browser() -> Callable[[Path], tuple[str, str]]:
    """Function that opens a page in headless Chromium: its elements after its scripts, and the console."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium")

    def load(page: Path) -> tuple[str, str]:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
        result = subprocess.run(
            [program, *options, "--virtual-time-budget=3000", "--dump-dom", page.absolute().as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        return result.stdout, "\n".join(console)

    return load


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    playwright = pytest.importorskip("playwright.sync_api")
    if program is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Browser) -> Callable[..., Page]:
    """Function that opens a page at a width, in one of the themes."""

    def load(path: Path, *, width: int = 1280, theme: str = "light") -> Page:
        shown = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
        shown.goto(path.absolute().as_uri())
        return shown

    return load


@pytest.fixture(scope="session")
def violations() -> Callable[[Page], list[str]]:
    """Function that lists the findings of axe-core on a page: rule, its impact, and the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")

    def find(page: Page) -> list[str]:
        found = axe.Axe().run(page).response["violations"]
        return [f"{rule['id']}: {[node['target'] for node in rule['nodes']][:4]}" for rule in found]

    return find
