"""An afternoon in Chromium: browse, play, similar songs, a playlist, corrections, a training, why, tags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutagen
import pytest

from quintet.library.corrections import read_corrections
from quintet.library.scanning.scan import ScanOptions, scan
from quintet.library.store import Library
from quintet.library.tags.tag_file import open_tags
from quintet.library.vectors import update_vectors
from quintet.serving.browser.page_server import PageServer
from tests.library.test_predict_songs import write_music

from .test_in_chromium import DRAWN, served, until

pytestmark = pytest.mark.slow
LONG_MS = 900_000
VIEWS = ("browse", "tags", "learn", "lists")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A scanned library of 48 sounds by twelve artists: a quarter has no genre, two have a wrong one."""
    folder = tmp_path_factory.mktemp("owner")
    write_music(folder / "music")
    for artist in (4, 6):
        song = mutagen.File(folder / "music" / str(artist) / "1.flac")
        song["genre"] = "Low"
        song.save()
    library = Library.create(folder / "my.library")
    with library.writing():
        scan(library, folder / "music", ScanOptions(embeddings=()))
        update_vectors(library)
    with served(library.folder) as server:
        yield server


def show(page: Any, view: str) -> None:
    page.locator(f'[data-view="{view}"]').click()


def row(page: Any, path: str) -> Any:
    """The row of a song in the list, found by the search."""
    page.locator("#search").fill("")
    until(page, "document.getElementById('songs').textContent === '48 songs'")
    page.locator("#search").fill(path)
    until(page, "document.getElementById('songs').textContent.startsWith('1 of')")
    return page.locator(".row").first


def test_an_afternoon(chromium: Any, server: PageServer) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    faults: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.context.on("request", lambda request: requests.append(request.url))
    page.goto(server.address)
    page.wait_for_selector(DRAWN)
    page.wait_for_selector(".row")
    browse_and_play(page)
    make_a_playlist(page, server)
    correct(page, server)
    retrain(page, server)
    ask_why(page, server)
    write_and_take_back(page, server)
    check_with_axe(chromium, server)
    assert faults == []
    assert {url for url in requests if not url.startswith((server.url, "blob:", "data:"))} == set()


def browse_and_play(page: Any) -> None:
    assert page.locator("#group").input_value() == "genre"  # there is no model yet
    assert page.locator("#groups .name").all_inner_texts() == ["Low", "High", "none"]
    page.locator("#groups button", has_text="High").click()
    until(page, "document.getElementById('songs').textContent === '16 of 48 songs'")
    page.locator("#groups button", has_text="High").click()
    page.locator("#condition").fill("genre is null")
    until(page, "document.getElementById('songs').textContent === '12 of 48 songs'")
    page.locator("#condition").fill("")
    until(page, "document.getElementById('songs').textContent === '48 songs'")
    page.locator(".row").nth(3).dblclick()
    until(page, "document.getElementById('audio').currentTime > 0.2")
    assert page.locator(".row.playing").count() == 1
    page.locator("#more-like").click()
    page.wait_for_selector("#similar button")
    page.locator("#similar button").first.click()
    until(page, "document.querySelectorAll('.row.playing').length <= 1")


def make_a_playlist(page: Any, server: PageServer) -> None:
    """With the mouse: from the list to the bottom of the page."""
    show(page, "lists")
    page.locator("#list-name").fill("Evening")
    page.locator("#list-form button").click()
    page.wait_for_selector(".playlist")
    show(page, "browse")
    for place in (1, 5):
        page.locator(".row").nth(place).hover()
        page.mouse.down()
        page.mouse.move(640, 600, steps=3)
        page.locator("#drop .target", has_text="Evening").hover()
        page.locator("#drop .target", has_text="Evening").hover()
        page.mouse.up()
        until(page, "document.getElementById('drop').hidden")
    show(page, "lists")
    until(page, "document.querySelectorAll('.playlist li').length === 2")
    show(page, "browse")
    until(page, "document.getElementById('drop').hidden")
    assert server.shelf.playlists()["Evening"] == [server.shelf.view.ids[k] for k in (1, 5)]
    show(page, "lists")
    with page.expect_download() as download:
        page.locator(".playlist", has_text="Evening").get_by_role("button", name="Export").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert [Path(line).is_file() for line in lines if not line.startswith("#")] == [True, True]
    show(page, "browse")


def correct(page: Any, server: PageServer) -> None:
    for artist in (4, 6):
        row(page, f"{artist}/1.flac").click()
        page.locator("#correct-genre").fill("High")
        page.get_by_role("button", name="Keep").click()
        until(page, "document.querySelector('.row .genre').textContent.startsWith('High')")
    page.locator("#search").fill("")
    assert sorted(read_corrections(server.shelf.folder).values()) == ["High", "High"]


def retrain(page: Any, server: PageServer) -> None:
    show(page, "learn")
    assert page.locator("#corrections li").count() == 2
    assert "no model yet" in page.locator("#learn-score").inner_text()
    stop_a_training(page, server)
    page.locator("#retrain").click()
    until(page, "document.getElementById('retrain').disabled")
    page.wait_for_selector("#use-model", timeout=LONG_MS)
    assert not page.locator("#stop-retrain").is_visible()
    words = page.locator(".outcome").inner_text()
    assert "2 corrections" in words
    assert "36 songs of 12 artists" in words
    assert "guessing: 50 %" in words
    page.locator("#use-model").click()
    until(page, "document.getElementById('learn-state').textContent.includes('predicted with this model')")
    until(page, "document.getElementById('learn-score').textContent.includes('guessing: 50 %')")
    kept = server.shelf.view.songs.to_pandas().set_index("path")
    untagged = kept[kept["genre"].isna()]
    truth = ["low" if int(path.split("/")[0]) % 2 else "high" for path in untagged.index]
    assert (untagged["verdict"] == truth).mean() > 0.8


def stop_a_training(page: Any, server: PageServer) -> None:
    """In its midst: the process ends, and nothing of its model is left."""
    before = {path: path.stat().st_mtime_ns for path in server.shelf.folder.glob("*.*")}
    page.locator("#retrain").click()
    until(page, "document.getElementById('learn-state').textContent.startsWith('Training')")
    process = server.shelf.learning._process
    assert process is not None
    assert process.is_alive()
    page.locator("#stop-retrain").click()
    until(page, "document.getElementById('learn-state').textContent.includes('stopped')")
    assert not process.is_alive()
    assert page.evaluate("document.activeElement.id") == "retrain"
    assert list((server.shelf.folder / "models").iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in before} == before


def ask_why(page: Any, server: PageServer) -> None:
    show(page, "browse")
    row(page, "3/3.flac").click()
    page.wait_for_selector(".bars")
    with page.context.expect_page(timeout=LONG_MS) as opened:
        page.locator("#why").click()
    why = opened.value
    why.wait_for_selector("main, h1", timeout=LONG_MS)
    text = why.locator("body").inner_text()
    assert "3.flac" in text
    assert "low" in text
    why.close()
    page.locator("#search").fill("")


def write_and_take_back(page: Any, server: PageServer) -> None:
    show(page, "tags")
    assert "guessing: 50 %" in page.locator("#plan-score").inner_text()  # before anything is written
    page.locator("#plan-form button").click()
    page.wait_for_selector("#plan tbody tr")
    n = page.locator("#plan tbody tr").count()
    page.locator("#plan-all").click()
    page.locator("#plan-apply").click()
    until(page, "document.getElementById('plan-state').textContent.includes('written')")
    songs = Library.open(server.shelf.folder).songs()
    empty = [Path(song.root, song.path) for song in songs[songs["genre"].isna()].itertuples()]
    assert sum(bool(open_tags(path).state("genre").values) for path in empty) == n > 0
    page.locator("#journals button").first.click()
    until(page, "document.getElementById('plan-state').textContent.includes('taken back')")
    assert not any(open_tags(path).state("genre").values for path in empty)


def check_with_axe(chromium: Any, server: PageServer) -> None:
    """All views, with what the afternoon has left in them, on a desk and on a phone, by day and by night."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width, theme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
        page = chromium.new_page(
            viewport={"width": width, "height": 844}, color_scheme=theme, bypass_csp=True
        )
        page.goto(server.address)
        page.wait_for_selector(DRAWN)
        page.wait_for_selector(".row")
        for view in VIEWS:
            show(page, view)
            if view == "browse":
                page.locator(".row").nth(1).click()
                page.wait_for_selector(".bars")
                page.locator("#more-like").click()
                page.wait_for_selector("#similar button")
            if view == "tags":
                page.locator("#plan-form button").click()
                page.wait_for_selector("#plan tbody tr")
            found = axe.run(page).response["violations"]
            serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
            assert [(view, fault["id"], fault["nodes"][0]["html"][:120]) for fault in serious] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if view == "browse":
                page.keyboard.press("Escape")
        page.close()
