"""A library that stays up to date: settled files are scanned, the plan grows, nothing is forgotten."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quintet.files.locks import HeldOutputError, output_lock
from quintet.library.scanning import finish, watching
from quintet.library.scanning import scan as scan_module
from quintet.library.scanning.scan import ScanOptions, scan
from quintet.library.scanning.watching import Watcher, WatchSettings
from quintet.library.store import DATABASE_FILE, Library
from quintet.library.tags import plan as planning
from quintet.library.tags import plan_growth
from quintet.library.tags.plan import PlanOptions
from quintet.library.tags.plan_file import PlanFile, PlanRow
from quintet.library.tags.plan_growth import add_proposals, grow_plan
from quintet.library.vectors import VECTORS_FILE

PROPOSALS = PlanOptions(("bpm",), min_confidence=0.0)
CLICK_HZ = 2.0


def write_song(path: Path, seed: int = 0, *, seconds: float = 4.5, old: bool = True) -> Path:
    """A song with a tempo, last changed an hour ago (if `old`)."""
    samples = np.random.default_rng(seed).normal(0, 0.001, int(seconds * 8000)).astype(np.float32)
    samples[:: int(8000 / (CLICK_HZ + 0.1 * seed))] += 0.5
    soundfile.write(path, samples, 8000)
    if old:
        os.utime(path, (time.time() - 3600,) * 2)
    return path


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are examined here, without worker processes; nothing is derived from the tables."""
    monkeypatch.setattr(watching, "finish_scan", lambda *_, **__: None)
    for module in (scan_module, planning):
        monkeypatch.setattr(module, "map_isolated", _map_here)


def _map_here(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], **_: object) -> Iterator[Any]:
    return (function(*arguments) for arguments in calls)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library that knows one song."""
    (tmp_path / "music").mkdir()
    write_song(tmp_path / "music/first.wav")
    library = Library.create(tmp_path / "my.library")
    with library.writing():
        scan(library, tmp_path / "music", ScanOptions(embeddings=()))
    return library.folder


def paths(folder: Path) -> set[str]:
    return set(Library.open(folder).songs()["path"])


def test_new_changed_moved_and_gone_songs(folder: Path) -> None:
    music = folder.parent / "music"
    watcher = Watcher(folder, WatchSettings())
    assert not watcher.look().is_news
    write_song(music / "second.wav", 1)
    first = watcher.look()
    assert {root: summary.new for root, summary in first.summaries.items()} == {str(music): 1}
    os.rename(music / "first.wav", music / "renamed.wav")
    assert watcher.look().summaries[str(music)].moved == 1
    (music / "second.wav").unlink()
    assert watcher.look().summaries[str(music)].gone == 1
    assert paths(folder) == {"renamed.wav"}
    assert not watcher.look().is_news


def test_a_song_that_is_being_written_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(watching, "steady_time_s", lambda: now[0])
    music = folder.parent / "music"
    watcher = Watcher(folder, WatchSettings(settle_s=10))
    watcher.look()
    song = write_song(music / "second.wav", 1, old=False)
    assert (watcher.look().n_waiting, paths(folder)) == (1, {"first.wav"})
    write_song(song, 2, seconds=5, old=False)
    now[0] += 9
    assert watcher.look().n_waiting == 1  # it has grown: its time begins anew
    now[0] += 9
    assert watcher.look().n_waiting == 1
    now[0] += 2
    found = watcher.look()
    assert (found.n_waiting, paths(folder)) == (0, {"first.wav", "second.wav"})
    assert found.summaries[str(music)].new == 1


def test_a_song_that_has_gone_and_comes_again_waits_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(watching, "steady_time_s", lambda: now[0])
    watcher = Watcher(folder, WatchSettings(settle_s=10))
    song = write_song(folder.parent / "music/second.wav", 1, old=False)
    times = (song.stat().st_atime_ns, song.stat().st_mtime_ns)
    assert watcher.look().n_waiting == 1
    song.unlink()
    assert watcher.look().n_waiting == 0
    now[0] += 100
    os.utime(write_song(song, 1, old=False), ns=times)
    assert watcher.look().n_waiting == 1


def test_a_known_song_that_is_written_again_is_neither_gone_nor_read(folder: Path) -> None:
    music = folder.parent / "music"
    watcher = Watcher(folder, WatchSettings(settle_s=60))
    write_song(music / "first.wav", 3, old=False)
    write_song(music / "second.wav", 1)
    found = watcher.look()
    assert (found.n_waiting, found.summaries[str(music)].gone, found.summaries[str(music)].new) == (1, 0, 1)
    assert paths(folder) == {"first.wav", "second.wav"}
    os.utime(music / "first.wav", (time.time() - 3600,) * 2)
    assert watcher.look().summaries[str(music)].changed == 1


def test_a_drive_that_is_not_there_keeps_its_songs(folder: Path) -> None:
    music = folder.parent / "music"
    os.rename(music, folder.parent / "elsewhere")
    found = Watcher(folder, WatchSettings()).look()
    assert not found.summaries
    assert "is not there" in found.notes[0]
    assert paths(folder) == {"first.wav"}


def test_another_writer_is_waited_for(folder: Path) -> None:
    write_song(folder.parent / "music/second.wav", 1)
    watcher = Watcher(folder, WatchSettings())
    with output_lock(folder), pytest.raises(HeldOutputError, match="one command at a time"):
        watcher.look()
    assert watcher.look().is_news
    assert len(paths(folder)) == 2


def test_the_plan_grows_and_keeps_what_its_owner_did(folder: Path) -> None:
    music, plan = folder.parent / "music", folder.parent / "plan.csv"
    watcher = Watcher(folder, WatchSettings(plan=plan, proposals=PROPOSALS))
    assert watcher.look().n_proposals == 1  # a new plan begins with all songs
    text = plan.read_text(encoding="utf-8-sig").splitlines()
    edited = [text[0] + ",my notes", text[1].rsplit(",", 4)[0] + ",,77,,,keep; this"]
    plan.write_text("\n".join(edited), encoding="utf-8")
    write_song(music / "second.wav", 1)
    write_song(music / "third.wav", 2)
    assert watcher.look().n_proposals == 2
    rows = {row.file.name: row for row in PlanFile.read(plan).rows}
    assert rows["first.wav"].values == ("77",)
    assert set(rows) == {"first.wav", "second.wav", "third.wav"}
    assert "keep; this" in plan.read_text(encoding="utf-8")
    lines = plan.read_text(encoding="utf-8-sig").splitlines()
    plan.write_text("\n".join(line for line in lines if "third" not in line), encoding="utf-8")
    write_song(music / "fourth.wav", 3)
    again = Watcher(folder, WatchSettings(plan=plan, proposals=PROPOSALS))  # as after a restart
    assert again.look().n_proposals == 1
    assert {row.file.name for row in PlanFile.read(plan).rows} == {"first.wav", "second.wav", "fourth.wav"}
    assert (music / "fourth.wav").read_bytes() == write_song(folder.parent / "same.wav", 3).read_bytes()


def test_two_plans_of_one_library_keep_their_marks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second plan is looked at while the first one grows, and gets no song twice."""
    first, second = folder.parent / "first.csv", folder.parent / "second.csv"

    def grow_second_first(path: Path, rows: list[PlanRow]) -> int:
        if path == first:
            assert add_proposals(folder, second, PROPOSALS) == 1
        return grow_plan(path, rows)

    with monkeypatch.context() as patch:
        patch.setattr(plan_growth, "grow_plan", grow_second_first)
        assert add_proposals(folder, first, PROPOSALS) == 1
    second.unlink()  # its owner has removed it: no song comes back
    assert add_proposals(folder, second, PROPOSALS) == 0


def test_a_list_of_plans_that_is_too_large_is_not_read(folder: Path) -> None:
    marks = folder / plan_growth.MARKS_FILE
    marks.touch()
    os.truncate(marks, 1 << 40)
    assert add_proposals(folder, folder.parent / "plan.csv", PROPOSALS) == 1


def test_an_interrupt_between_scan_and_plan_forgets_no_song(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = folder.parent / "plan.csv"
    settings = WatchSettings(plan=plan, proposals=PROPOSALS)
    Watcher(folder, settings).look()
    write_song(folder.parent / "music/second.wav", 1)
    with monkeypatch.context() as patch:
        patch.setattr(watching, "add_proposals", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            Watcher(folder, settings).look()
    assert len(paths(folder)) == 2
    assert Watcher(folder, settings).look().n_proposals == 1
    shutil.rmtree(folder.parent / "music")
    assert len(PlanFile.read(plan).rows) == 2


def _interrupt(*_: object) -> int:
    raise KeyboardInterrupt


def test_what_an_interrupted_scan_did_not_finish_is_made_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library.open(folder)
    written: list[str] = []
    monkeypatch.setattr(finish, "update_vectors", lambda library: (folder / VECTORS_FILE).touch())
    monkeypatch.setattr(Library, "write_database", lambda library: written.append("database"))
    finish.finish_scan(library, changed=False)
    assert written == ["database"]
    database = folder / DATABASE_FILE
    database.touch()
    os.utime(database, ns=((folder / "songs.parquet").stat().st_mtime_ns + 1,) * 2)
    finish.finish_scan(library, changed=False)
    assert written == ["database"]
    os.utime(folder / "songs.parquet", ns=(database.stat().st_mtime_ns + 1,) * 2)
    finish.finish_scan(library, changed=False)
    assert written == ["database"] * 2
