"""A song that crashes, hangs or bombs its decoder costs one row of a library, or one answer of its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from quintet.audio.isolation import calls, processes
from quintet.audio.isolation.bounds import MEMORY_VARIABLE, SECONDS_VARIABLE
from quintet.library.scanning import watching
from quintet.library.scanning.scan import ScanOptions, scan
from quintet.library.scanning.watching import Watcher, WatchSettings
from quintet.library.store import Library
from quintet.serving.browser.shelf import Shelf
from tests.serving.browser.made_library import make_library
from tests.serving.browser.test_shelf import ask
from tests.tones import write_tone

sys.path.insert(0, str(Path(__file__).parent))
import decoder_hook

KINDS = decoder_hook.KINDS

ERRORS = {
    "crash": "worker process died",
    "opencrash": "worker process died",
    "hang": "longer than 2.5 s",
    "bomb": "memory",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the hook reaches workers by a fork"),
]


@pytest.fixture(autouse=True)
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that acts by names, in workers with small bounds."""
    calls.stop_worker()
    monkeypatch.setenv(SECONDS_VARIABLE, "2.5")
    monkeypatch.setenv(MEMORY_VARIABLE, "200")
    monkeypatch.setattr(processes, "may_fork", lambda: True)
    monkeypatch.setattr(watching, "finish_scan", lambda *_, **__: None)
    decoder_hook.install(monkeypatch.setattr)


def reasons(library: Library) -> dict[str, str]:
    """File → why it is in the ledger of the library."""
    rows = library.table("failures").to_pylist()
    return {Path(row["path"]).stem: row["reason"] for row in rows}


def require_reasons(library: Library) -> None:
    found = reasons(library)
    assert sorted(found) == sorted(KINDS)
    for kind, reason in found.items():
        assert ERRORS[kind] in reason


def test_a_scan_does_the_other_songs(tmp_path: Path) -> None:
    for kind in KINDS:
        write_tone(tmp_path / "music" / f"{kind}.wav", 3 + len(kind))
    for k in range(2):
        write_tone(tmp_path / "music" / f"{'az'[k]}.wav", k)
    library = Library.create(tmp_path / "my.library")
    with library.writing():
        summary = scan(library, tmp_path / "music", ScanOptions(embeddings=()))
    assert set(library.songs()["path"]) == {"a.wav", "z.wav"}
    assert (summary.new, summary.failed) == (2, len(KINDS))
    require_reasons(library)


def test_a_watcher_does_the_other_songs_and_reads_no_bad_one_twice(tmp_path: Path) -> None:
    write_tone(tmp_path / "music" / "first.wav", 0)
    library = Library.create(tmp_path / "my.library")
    with library.writing():
        scan(library, tmp_path / "music", ScanOptions(embeddings=()))
    for kind in KINDS:
        write_tone(tmp_path / "music" / f"{kind}.wav", 3 + len(kind))
    write_tone(tmp_path / "music" / "second.wav", 2)
    watcher = Watcher(library.folder, WatchSettings(settle_s=0))
    (summary,) = watcher.look().summaries.values()
    assert (summary.new, summary.failed) == (1, len(KINDS))
    require_reasons(Library.open(library.folder))
    assert watcher.look().summaries == {}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_answers_for_the_other_songs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    shelf = Shelf(make_library(tmp_path, 8, with_sound=True).folder)
    bad, good = write_tone(tmp_path / f"{kind}.wav", 0), shelf.sound_path(shelf.view.ids[1])
    monkeypatch.setattr(shelf, "sound_path", {"bad": bad, "good": good}.get)
    status, _, answer = ask(shelf, "/api/songs/bad/waveform")
    assert status == 422
    assert ERRORS[kind] in json.loads(answer)["detail"]
    monkeypatch.setattr("quintet.serving.browser.song_sound.MEDIA_TYPES", {})  # browsers play no format
    for what, expected in (("bad/sound", 422), ("good/sound", 200), ("good/waveform", 200)):
        assert ask(shelf, f"/api/songs/{what}")[0] == expected
