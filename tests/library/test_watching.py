"""A library that stays up to date: settled files are scanned, the plan grows, nothing is forgotten."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from typer.testing import CliRunner

from quintet import cli
from quintet.files.locks import HeldOutputError, output_lock
from quintet.library.corrections import add_correction
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
from quintet.library.tags.tag_file import open_tags
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
    with output_lock(folder), pytest.raises(HeldOutputError, match="this command"):
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


def test_two_plans_of_one_library_keep_their_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    looks = folder / plan_growth.LOOKS_FILE
    looks.touch()
    os.truncate(looks, 1 << 40)
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


SURE, SEVERAL = ("rock", 0.9, "rock"), ("rock", 0.9, "rock;jazz")


def predict(folder: Path, model: str, verdicts: dict[str, tuple[str, float, str]]) -> None:
    """Note the predictions of a model: path of a song → genre, probability and prediction set."""
    library = Library.open(folder)
    songs = library.table("songs")
    paths = songs.column("path").to_pylist()
    values = {path: (model, *verdict) for path, verdict in verdicts.items()}
    for k, name in enumerate(("model", "verdict", "verdict_probability", "verdict_set")):
        column = songs.column(name).to_pylist()
        column = [values[path][k] if path in values else now for path, now in zip(paths, column, strict=True)]
        place = songs.column_names.index(name)
        songs = songs.set_column(place, name, pa.array(column, songs.schema.field(name).type))
    library.write("songs", songs)


@pytest.fixture
def predicted(folder: Path) -> Path:
    """A library whose songs a model has predicted after a plan had been looked at: one is not sure."""
    for number, name in enumerate(("second", "third", "fourth"), 1):
        write_song(folder.parent / f"music/{name}.wav", number, seconds=0.5)
    Watcher(folder, WatchSettings(plan=folder.parent / "plan.csv")).look()
    verdicts = {"first.wav": SURE, "second.wav": SURE, "third.wav": SURE, "fourth.wav": SEVERAL}
    predict(folder, "one", verdicts)
    return folder


def rows_of(plan: Path) -> dict[str, str]:
    """Name of a file → its proposal."""
    return {row.file.name: row.proposed for row in PlanFile.read(plan).rows}


def without_lines(plan: Path, word: str) -> None:
    """Remove rows of a plan as its owner does."""
    lines = plan.read_text(encoding="utf-8-sig").splitlines()
    plan.write_text("\n".join(line for line in lines if word not in line), encoding="utf-8")


def test_songs_from_before_the_first_model_get_proposals(predicted: Path) -> None:
    plan = predicted.parent / "plan.csv"
    assert not plan.exists()
    watcher = Watcher(predicted, WatchSettings(plan=plan))
    assert watcher.look().n_proposals == 3
    assert watcher.look().n_proposals == 0
    assert rows_of(plan) == dict.fromkeys(("first.wav", "second.wav", "third.wav"), "rock")


def test_another_model_adds_what_the_plan_lacks(predicted: Path) -> None:
    """One row is edited, one is emptied, one is removed: the owner has decided all three."""
    plan = predicted.parent / "plan.csv"
    add_proposals(predicted, plan, PlanOptions())
    without_lines(plan, "third.wav")
    text = plan.read_text(encoding="utf-8-sig")
    plan.write_text(text.replace('"rock"', '"metal"', 1).replace('"rock"', '""', 1), encoding="utf-8")
    predict(predicted, "two", dict.fromkeys(paths(predicted), SURE))
    assert add_proposals(predicted, plan, PlanOptions()) == 1
    assert rows_of(plan) == {"first.wav": "metal", "fourth.wav": "rock"}
    assert PlanFile.read(plan).n_blank == 1


def test_a_song_whose_genre_is_removed_in_another_program_gets_a_proposal(folder: Path) -> None:
    song, plan = folder.parent / "music/first.wav", folder.parent / "plan.csv"
    bare = song.read_bytes()
    tags = open_tags(song)
    tags.put("genre", tags.encode("genre", ["Polka"], None))
    tags.save()
    watcher = Watcher(folder, WatchSettings(settle_s=0, plan=plan))
    watcher.look()
    predict(folder, "one", {"first.wav": SURE})
    assert watcher.look().n_proposals == 0
    song.write_bytes(bare)
    assert watcher.look().n_proposals == 1


def test_the_model_of_the_watch_predicts_all_songs_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later looks use the model that the library then has, which a scan may have replaced."""
    asked: list[str] = []

    def note(library: Library, model: SimpleNamespace, **_: object) -> int:
        asked.append(model.name)
        library.facts.model = {"path": "of the library"}
        library.write_facts()
        predict(folder, model.name, {"first.wav": SURE})
        return 1

    monkeypatch.setattr(watching, "predict_library", note)
    monkeypatch.setattr(watching, "open_model", lambda *_: SimpleNamespace(name="of the library"))
    monkeypatch.setattr(watching, "replace", lambda model, **_: model)
    plan = folder.parent / "plan.csv"
    Watcher(folder, WatchSettings(plan=plan)).look()
    watcher = Watcher(folder, WatchSettings(plan=plan, model=SimpleNamespace(name="of the watch")))
    assert watcher.look().n_proposals == 1
    assert asked == ["of the watch"]
    write_song(folder.parent / "music/second.wav", 1, seconds=0.5)
    watcher.look()
    assert asked == ["of the watch", "of the library"]


def test_a_look_in_the_midst_of_predictions_forgets_no_song(folder: Path) -> None:
    """Nor does it bring back the row of another field, which the owner has removed."""
    plan, options = folder.parent / "plan.csv", PlanOptions(("genre", "bpm"), min_confidence=0.0)
    write_song(folder.parent / "music/second.wav", 1)
    assert Watcher(folder, WatchSettings(plan=plan, proposals=options)).look().n_proposals == 2
    without_lines(plan, "first.wav")
    for path in ("first.wav", "second.wav"):
        predict(folder, "one", {path: SURE})
        assert add_proposals(folder, plan, options) == 1
    found = [(row.file.name, row.field) for row in PlanFile.read(plan).rows]
    assert found == [("second.wav", "bpm"), ("first.wav", "genre"), ("second.wav", "genre")]


def test_a_row_that_is_removed_from_a_plan_of_the_command_stays_out(predicted: Path) -> None:
    plan = predicted.parent / "plan.csv"
    words = ["library", "tags", str(predicted), "--plan", str(plan), "-q"]
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    without_lines(plan, "third.wav")
    assert add_proposals(predicted, plan, PlanOptions()) == 0
    predict(predicted, "two", dict.fromkeys(paths(predicted), SURE))
    assert add_proposals(predicted, plan, PlanOptions()) == 1
    assert set(rows_of(plan)) == {"first.wav", "second.wav", "fourth.wav"}


def move_songs(music: Path) -> None:
    """Move one song into a folder, and let two change their names."""
    (music / "sub").mkdir()
    os.rename(music / "first.wav", music / "sub/renamed.wav")
    os.rename(music / "second.wav", music / "other.wav")
    os.rename(music / "third.wav", music / "second.wav")
    os.rename(music / "other.wav", music / "third.wav")


def test_rows_of_a_plan_follow_songs_that_were_moved(predicted: Path) -> None:
    plan = predicted.parent / "plan.csv"
    watcher = Watcher(predicted, WatchSettings(plan=plan))
    watcher.look()
    text = plan.read_text(encoding="utf-8-sig")
    assert text.index("first.wav") < text.index("second.wav") < text.index("third.wav")
    for genre in ("of the first", "of the second", "of the third"):
        text = text.replace('"rock"', f'"{genre}"', 1)
    plan.write_text(text, encoding="utf-8")
    move_songs(predicted.parent / "music")
    look = watcher.look()
    assert (look.n_followed, look.n_proposals) == (3, 0)
    assert look.is_news
    moved = {"renamed.wav": "of the first", "third.wav": "of the second", "second.wav": "of the third"}
    assert rows_of(plan) == moved
    assert not watcher.look().is_news
    assert rows_of(plan) == moved


def test_a_row_does_not_follow_where_the_plan_has_one_already(predicted: Path) -> None:
    """Its owner has written a row for the new place, which would otherwise be there twice."""
    plan = predicted.parent / "plan.csv"
    watcher = Watcher(predicted, WatchSettings(plan=plan))
    watcher.look()
    first = next(line for line in plan.read_text(encoding="utf-8-sig").splitlines() if "first.wav" in line)
    own = first.replace("first.wav", "sub/renamed.wav").replace('"rock"', '"mine"')
    plan.write_text(plan.read_text(encoding="utf-8-sig") + own + "\n", encoding="utf-8")
    move_songs(predicted.parent / "music")
    assert watcher.look().n_followed == 2
    rows = [(row.file.name, row.proposed) for row in PlanFile.read(plan).rows]
    assert [proposed for name, proposed in rows if name == "renamed.wav"] == ["mine"]
    assert "first.wav" in dict(rows)


def test_looks_of_an_earlier_version_are_kept(predicted: Path) -> None:
    """They lack the files: no row comes back, and songs that are looked at again are followed."""
    plan, looks = predicted.parent / "plan.csv", predicted / plan_growth.LOOKS_FILE
    add_proposals(predicted, plan, PlanOptions())
    without_lines(plan, "third.wav")
    pq.write_table(pq.read_table(looks).drop_columns("file"), looks)
    assert add_proposals(predicted, plan, PlanOptions()) == 0
    assert plan_growth.follow_songs(predicted, plan) == 0
    predict(predicted, "two", dict.fromkeys(paths(predicted), SURE))
    assert add_proposals(predicted, plan, PlanOptions()) == 1
    move_songs(predicted.parent / "music")
    assert Watcher(predicted, WatchSettings(plan=plan)).look().n_followed == 2


@pytest.mark.slow
def test_a_plan_of_the_command_is_applied_to_songs_that_were_moved(predicted: Path) -> None:
    plan, music = predicted.parent / "plan.csv", predicted.parent / "music"
    run = CliRunner().invoke
    assert run(cli.app, ["library", "tags", str(predicted), "--plan", str(plan), "-q"]).exit_code == 0
    move_songs(music)
    assert run(cli.app, ["library", "tags", "--apply", str(plan), "-q"]).exit_code == 1
    without = open_tags(music / "sub/renamed.wav")
    assert not without.state("genre").values
    Watcher(predicted, WatchSettings()).look()
    apply = run(cli.app, ["library", "tags", str(predicted), "--apply", str(plan), "-q"])
    assert apply.exit_code == 0, apply.output
    assert open_tags(music / "sub/renamed.wav").state("genre").values == ("rock",)


def test_rows_of_a_plan_from_elsewhere_are_known(predicted: Path) -> None:
    """It is newer than the songs: what it lacks counts as removed, until another model predicts."""
    plan, found = predicted.parent / "plan.csv", predicted.parent / "found.csv"
    add_proposals(predicted, plan, PlanOptions())
    without_lines(plan, "first.wav")
    shutil.copyfile(plan, found)
    assert add_proposals(predicted, found, PlanOptions()) == 0
    without_lines(found, "third.wav")
    predict(predicted, "two", dict.fromkeys(paths(predicted), SURE))
    assert add_proposals(predicted, found, PlanOptions()) == 2
    assert set(rows_of(found)) == {"first.wav", "second.wav", "fourth.wav"}


def test_corrections_and_further_fields_are_proposed_for_known_songs(predicted: Path) -> None:
    plan = predicted.parent / "plan.csv"
    add_proposals(predicted, plan, PlanOptions())
    songs = Library.open(predicted).songs().set_index("path")
    add_correction(predicted, songs.at["fourth.wav", "audio_digest"], "polka")
    assert add_proposals(predicted, plan, PlanOptions()) == 1
    assert rows_of(plan)["fourth.wav"] == "polka"
    assert add_proposals(predicted, plan, PlanOptions(("genre", "bpm"), min_confidence=0.0)) == 1
    assert add_proposals(predicted, plan, PlanOptions(("genre", "bpm"), min_confidence=0.0)) == 0


def test_a_library_that_cannot_be_written_can_be_planned(predicted: Path) -> None:
    plan = predicted.parent / "plan.csv"
    looks = predicted / plan_growth.LOOKS_FILE
    before = looks.read_bytes()
    with output_lock(looks):
        words = ["library", "tags", str(predicted), "--plan", str(plan), "-q"]
        assert CliRunner().invoke(cli.app, words).exit_code == 0
    assert looks.read_bytes() == before
    assert len(rows_of(plan)) == 3


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
