"""The page in a real browser: browse, play, similar songs, playlists, tags, corrections, the keyboard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from quintet.library.corrections import read_corrections
from quintet.library.tags.tag_file import open_tags
from quintet.serving.browser.page_server import PageServer

from .made_library import make_library

pytestmark = pytest.mark.slow
DRAWN = 'body[data-map-drawn]:not([data-map-drawn="0"])'


@contextmanager
def served(folder: Path) -> Iterator[PageServer]:
    """The page of a library, at a free port."""
    server = PageServer(folder)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    server.stop()
    thread.join(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    folder = tmp_path_factory.mktemp("page")
    make_library(folder, 60, with_sound=True)
    with served(folder / "my.library") as server:
        yield server


@pytest.fixture
def page(chromium: Any, server: PageServer) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    faults: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append("a dialog"))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(server.address)
    page.wait_for_selector(DRAWN)
    page.wait_for_selector(".row")
    yield page
    assert faults == []
    assert {url for url in requests if not url.startswith((server.url, "blob:", "data:"))} == set()
    page.close()


def until(page: Any, expression: str) -> None:
    """Wait until an expression is true, without `eval` in the page, which its policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(expression)


def test_find_play_and_more_like_it(page: Any) -> None:
    assert page.locator("#name").inner_text() == "my.library"
    assert "token" not in page.url
    page.locator("#search").fill("artist 3")
    until(page, "document.getElementById('songs').textContent.includes('of 60')")
    page.locator("#search").fill("")
    until(page, "document.getElementById('songs').textContent === '60 songs'")
    page.locator("#groups button", has_text="rock").click()
    shown = page.locator(".row .genre").all_inner_texts()
    assert shown
    assert all(text.startswith("rock") for text in shown)
    page.locator("#groups button", has_text="rock").click()
    page.locator("#condition").fill("tempo > 120 and energy > 0.5")
    until(page, "document.getElementById('condition-state').textContent.includes('meet it')")
    page.locator("#condition").fill("drop table songs")
    page.wait_for_selector("#condition-state.bad")
    page.locator("#condition").fill("")
    until(page, "document.getElementById('songs').textContent === '60 songs'")
    page.locator(".row").nth(2).dblclick()
    until(page, "document.getElementById('audio').currentTime > 0.2")
    page.locator("#more-like").click()
    page.wait_for_selector("#similar button")
    page.locator("#similar button").first.click()
    assert page.locator("#now-title").inner_text() != "Song 2"


def point_at_a_song(page: Any) -> tuple[float, float]:
    """Move the pointer over the map until it is on a song; the place."""
    box = page.locator("#map").bounding_box()
    for step in range(400):
        x = box["x"] + box["width"] * (0.06 + 0.88 * (step % 20) / 19)
        y = box["y"] + box["height"] * (step // 20) / 20 + 20
        page.mouse.move(x, y)
        if not page.locator("#map-tip").is_hidden():
            return x, y
    raise AssertionError("there is no song")


def require_point_under_spot(page: Any) -> None:
    """The picture has a point where the song under the pointer is marked."""
    assert page.evaluate("""() => {
      const canvas = document.getElementById("map-picture"), box = canvas.getBoundingClientRect();
      const spot = document.getElementById("map-pointed").getBoundingClientRect();
      const place = [spot.x + spot.width / 2 - box.x, spot.y + spot.height / 2 - box.y];
      const at = place.map((px) => Math.floor(px * canvas.width / box.width));
      const pixel = canvas.getContext("2d").getImageData(...at, 1, 1).data.slice(0, 3).join(", ");
      return !getComputedStyle(document.getElementById("map")).backgroundColor.includes(pixel);
    }""")


def test_the_map_plays_what_is_clicked(page: Any) -> None:
    until(page, "document.getElementById('map-state').textContent === ''")
    x, y = point_at_a_song(page)
    page.mouse.down()
    page.mouse.up()
    until(page, "document.getElementById('audio').src !== ''")
    assert page.locator("#map-tip").inner_text().startswith(page.locator("#now-title").inner_text())
    spot = page.locator("#map-pointed").bounding_box()
    middle = spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2
    assert abs(middle[0] - x) < 16
    assert abs(middle[1] - y) < 16
    require_point_under_spot(page)


PICTURE_COVERS_MAP = """() => {
  const boxOf = (id) => document.getElementById(id).getBoundingClientRect();
  const inner = boxOf("map"), outer = boxOf("map-picture");
  const { left, right, top, bottom } = inner;
  return outer.left <= left && outer.right >= right && outer.top <= top && outer.bottom >= bottom;
}"""


def picture_of_map(page: Any) -> bytes:
    """The map as it is seen, once nothing moves any more."""
    before, now = b"", page.locator("#map").screenshot()
    while before != now:
        page.wait_for_timeout(300)
        before, now = now, page.locator("#map").screenshot()
    return now


def test_a_map_that_moves_is_the_one_that_is_drawn(page: Any) -> None:
    """Zoomed, dragged and held: the picture that was moved is equal to one that is drawn there at once."""
    until(page, "document.getElementById('map-state').textContent === ''")
    box = page.locator("#map").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    seen = [picture_of_map(page)]

    def require_picture() -> None:
        seen.append(picture_of_map(page))
        assert page.evaluate(PICTURE_COVERS_MAP)
        for _ in range(2):  # another theme draws all points anew
            page.locator("#theme").evaluate("button => button.click()")
        assert picture_of_map(page) == seen[-1]
        assert seen[-1] != seen[-2]

    page.mouse.move(x, y)
    for _ in range(4):
        page.mouse.wheel(0, -120)
    require_picture()
    page.mouse.move(x + 0.4 * box["width"], y - 0.4 * box["height"])
    page.mouse.down()
    page.mouse.move(x + 0.4 * box["width"] - 23, y - 0.4 * box["height"] + 41, steps=3)
    require_picture()  # inside the margin of the picture
    page.mouse.move(x - 0.4 * box["width"], y + 0.4 * box["height"], steps=9)
    require_picture()  # beyond it
    page.mouse.up()
    page.mouse.wheel(0, 120)
    require_picture()
    point_at_a_song(page)
    require_point_under_spot(page)


def test_the_keyboard_is_enough(page: Any) -> None:
    page.keyboard.press("/")
    page.keyboard.type("song 1")
    until(page, "document.getElementById('songs').textContent.includes('of')")
    page.locator("#rows").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('audio').src !== ''")
    assert page.locator('.row[aria-selected="true"]').count() == 1
    page.keyboard.press("p")
    until(page, "document.getElementById('summary').textContent.includes('My playlist')")
    page.keyboard.press("Escape")
    assert page.locator("#song.empty").count() == 1


def test_a_playlist_by_dragging(page: Any, server: PageServer) -> None:
    page.locator('[data-view="lists"]').click()
    page.locator("#list-name").fill("Evening")
    page.locator("#list-form button").click()
    page.wait_for_selector(".playlist")
    page.locator('[data-view="browse"]').click()
    source, transfer = page.locator(".row").nth(4), page.evaluate_handle("new DataTransfer()")
    source.dispatch_event("dragstart", {"dataTransfer": transfer})
    target = page.locator("#drop .target", has_text="Evening")
    target.dispatch_event("dragover", {"dataTransfer": transfer})
    target.dispatch_event("drop", {"dataTransfer": transfer})
    source.dispatch_event("dragend", {"dataTransfer": transfer})
    until(page, "document.getElementById('summary').textContent.includes('Evening')")
    assert server.shelf.playlists()["Evening"] == [server.shelf.view.ids[4]]
    page.locator('[data-view="lists"]').click()
    with page.expect_download() as download:
        page.locator(".playlist", has_text="Evening").get_by_role("button", name="Export").click()
    assert "song 4.wav" in Path(download.value.path()).read_text()


def test_tags_are_accepted_written_and_taken_back(page: Any, server: PageServer) -> None:
    page.locator('[data-view="tags"]').click()
    page.locator("#plan-form button").click()
    page.wait_for_selector("#plan tbody tr")
    n = page.locator("#plan tbody tr").count()
    page.locator("#plan-all").click()
    page.locator("#plan tbody input").first.uncheck()
    page.locator("#plan-apply").click()
    until(page, "document.getElementById('plan-state').textContent.includes('written')")
    assert f"{n - 1} tags" in page.locator("#plan-state").inner_text()
    paths = [server.shelf.view.path(id) for id in server.shelf.view.ids]
    assert sum(bool(open_tags(path).state("genre").values) for path in paths) == n - 1
    page.locator("#journals button").first.click()
    until(page, "document.getElementById('plan-state').textContent.includes('taken back')")
    assert sum(bool(open_tags(path).state("genre").values) for path in paths) == 0


def test_a_correction_is_kept(page: Any, server: PageServer) -> None:
    page.locator(".row").nth(5).click()
    page.locator("#correct-genre").fill("Space Rock")
    page.get_by_role("button", name="Keep").click()
    until(page, "document.querySelectorAll('.row .genre')[5].textContent.startsWith('Space Rock')")
    assert read_corrections(server.shelf.folder) == {"xxh3:" + f"{5:032x}": "Space Rock"}
    page.reload()
    page.wait_for_selector(".row")
    assert page.locator(".row .genre").nth(5).inner_text().startswith("Space Rock")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium: Any, server: PageServer, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = chromium.new_page(viewport={"width": 1280, "height": 800}, color_scheme=theme, bypass_csp=True)
    page.goto(server.address)
    page.wait_for_selector(DRAWN)
    page.locator(".row").nth(1).click()
    page.wait_for_selector(".bars")
    for view in ("browse", "tags", "lists"):
        page.locator(f'[data-view="{view}"]').click()
        found = axe.run(page).response["violations"]
        serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
        assert [(fault["id"], fault["nodes"][0]["html"][:120]) for fault in serious] == []
    page.close()


def test_a_phone_needs_no_scrolling_sideways(chromium: Any, server: PageServer) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.goto(server.address)
    page.wait_for_selector(DRAWN)
    for view in ("browse", "tags", "lists"):
        page.locator(f'[data-view="{view}"]').click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
