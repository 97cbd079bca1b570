"""Plans carried out and taken back: files, journals, and what is left as it is."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import mutagen
import pytest

from quintet.errors import ArtefactError
from quintet.files.digests import file_digest
from quintet.library.tags import rewriting, writing
from quintet.library.tags.journal import read_journal
from quintet.library.tags.plan_file import PlanFile, PlanRow, write_plan
from quintet.library.tags.rewriting import sound_digest
from quintet.library.tags.tag_file import open_tags
from quintet.library.tags.writing import WritingOptions, apply_plan, undo

from .songs import add_tags, make_song


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """No worker processes: the slow tests have them."""

    def map_here(function, calls, *, n_workers):
        for arguments in calls:
            try:
                yield function(*arguments)
            except Exception as error:  # noqa: BLE001  as the pool does
                yield error

    monkeypatch.setattr(writing, "map_isolated", map_here)


@pytest.fixture
def song(tmp_path) -> Path:
    path = make_song(tmp_path / "music" / "a.wav") if (tmp_path / "music").mkdir() is None else Path()
    add_tags(path)
    return path


def plan_of(folder: Path, *rows: PlanRow) -> Path:
    plan = folder / "plan.csv"
    write_plan(rows, plan)
    return plan


def genres(path: Path) -> tuple[str, ...]:
    return open_tags(path).state("genre").values


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_apply_and_undo(song, tmp_path):
    before, others = sound_digest(song), open_tags(song).others([])
    song.chmod(0o640)
    plan = plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock", "Live"), 0.9, "model"))
    result = apply_plan(plan)
    assert (result.n_files, result.n_fields, result.refusals) == (1, 1, ())
    assert genres(song) == ("Rock", "Live")
    assert sound_digest(song) == before
    assert song.stat().st_mode & 0o777 == 0o640
    assert result.journal == tmp_path / "plan.journal-1.jsonl"
    ready = json.loads(result.journal.read_text().splitlines()[2])
    assert ready["after"] == file_digest(song)
    assert ready["sound"] == before

    again = apply_plan(plan)  # as after a kill
    assert (again.n_files, again.n_equal, again.refusals) == (0, 1, ())

    taken = undo(result.journal)
    assert (taken.n_files, taken.refusals) == (1, ())
    assert open_tags(song).others([]) == others
    assert undo(result.journal).n_equal == 1
    assert undo(taken.journal).n_files == 1  # an undo is undone in the same way
    assert genres(song) == ("Rock", "Live")
    assert hidden(song.parent) == []


def test_a_field_that_somebody_changed_is_left(song, tmp_path):
    plan = plan_of(
        tmp_path,
        PlanRow(song, "genre", "", ("Rock",)),
        PlanRow(song, "mood", "", ("calm",)),
        PlanRow(song, "bpm", "97", ("120",)),
    )
    journal = apply_plan(plan).journal
    tags = open_tags(song)
    tags.put("genre", tags.encode("genre", ["My own"], None))
    tags.save()
    result = undo(journal)
    assert [(refusal.file, refusal.fields) for refusal in result.refusals] == [(str(song), ("genre",))]
    tags = open_tags(song)
    states = [tags.state(field).text for field in ("genre", "mood", "bpm")]
    assert states == ["My own", "", "97"]

    stale = plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",)))
    assert apply_plan(stale).refusals[0].reason == writing.CHANGED_SINCE
    assert genres(song) == ("My own",)


def test_times_are_kept_on_request(song, tmp_path):
    os.utime(song, ns=(10**18, 10**18 + 7))
    plan = plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",)))
    journal = apply_plan(plan, WritingOptions(keep_times=True)).journal
    assert song.stat().st_mtime_ns == 10**18 + 7
    undo(journal)
    assert song.stat().st_mtime_ns > 10**18 + 7


def test_links_protected_files_and_lost_ones_are_rows(song, tmp_path):
    music = song.parent
    (music / "linked.wav").symlink_to(song)
    shutil.copy(song, music / "hard.wav")
    os.link(music / "hard.wav", music / "hard too.wav")
    protected = Path(shutil.copy(song, music / "protected.wav"))
    protected.chmod(0o444)
    (music / "text.mp3").write_text("no music")
    broken = make_song(music / "broken.flac")
    broken.write_bytes(broken.read_bytes()[:300])
    os.mkfifo(music / "pipe.wav")
    names = ("linked.wav", "hard.wav", "protected.wav", "text.mp3", "broken.flac", "pipe.wav", "lost.wav")
    before = {name: file_digest(music / name) for name in names[1:5]}
    rows = [PlanRow(music / name, "genre", "", ("Rock",)) for name in names]
    result = apply_plan(plan_of(tmp_path, *rows, PlanRow(song, "genre", "", ("Rock",))))
    assert [Path(refusal.file).name for refusal in result.refusals] == list(names)
    for refusal, word in zip(
        result.refusals,
        ("link", "hard links", "chmod", "must be whole", "no samples", "regular", "not there"),
        strict=True,
    ):
        assert word in refusal.reason
    assert result.n_files == 1
    assert {name: file_digest(music / name) for name in names[1:5]} == before
    assert hidden(music) == []
    journal = result.journal.read_text()
    assert journal.count('"left"') == len(names)


def test_names_that_are_no_text(tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9;=1 'n' \n.wav"))
    make_song(tmp_path / "a.wav").rename(odd)
    formula = Path(shutil.copy(odd, tmp_path / "=1+1|x;=2.wav"))
    plan = plan_of(tmp_path, *(PlanRow(path, "genre", "", ("=Rock",)) for path in (odd, formula)))
    result = apply_plan(plan)
    assert result.refusals == ()
    assert genres(odd) == genres(formula) == ("=Rock",)
    assert undo(result.journal).n_files == 2
    assert genres(odd) == ()


def test_a_full_disk_is_a_row(song, tmp_path, monkeypatch):
    before = file_digest(song)

    def fail(reader, writer, length):
        writer.write(reader.read(100))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rewriting.shutil, "copyfileobj", fail)
    result = apply_plan(plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",))))
    assert "No space left" in result.refusals[0].reason
    assert file_digest(song) == before
    assert hidden(song.parent) == []


def test_a_journal_on_a_full_disk_stops_before_the_file(song, tmp_path, monkeypatch):
    before = file_digest(song)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: 1 / 0 if b'"ready"' in bytes(data) else real(fd, data))
    with pytest.raises(ZeroDivisionError):
        apply_plan(plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",))))
    assert file_digest(song) == before
    assert hidden(song.parent) == []


def test_a_changed_sound_is_never_kept(song, tmp_path, monkeypatch):
    before = file_digest(song)
    digests = iter(["xxh3:1", "xxh3:2"])
    monkeypatch.setattr(rewriting, "sound_digest", lambda path: next(digests))
    result = apply_plan(plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",))))
    assert "equal to the bit" in result.refusals[0].reason
    assert file_digest(song) == before


def test_a_song_that_changes_meanwhile_is_left(song, tmp_path, monkeypatch):
    real = rewriting.Identity.of
    monkeypatch.setattr(rewriting, "_keep_owner", lambda copy, facts: pytest.fail("too late"))
    calls = []

    def of(path):
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(path.read_bytes() + b"\0")
        return real(path)

    monkeypatch.setattr(rewriting.Identity, "of", of)
    result = apply_plan(plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",))))
    assert "meanwhile" in result.refusals[0].reason
    assert genres(song) == ()


def test_a_plan_that_a_spreadsheet_has_saved(song, tmp_path):
    other = make_song(song.parent / "b, c.wav")
    plan = tmp_path / "plan.csv"
    text = (
        "confidence;proposed;my note;FIELD;now;file\r\n"
        f"0,93;Rock;a;genre;;{other}\r\n"
        f"0,8;;was removed;genre;;{song}\r\n"
        f"0,7;Folk; ;mood;;{song}\r\n"
        "0,7;Folk;;colour;;/a.wav\r\n"
        "0,7;Folk;;genre;;a.wav\r\n"
        f'0,7;"a\tb";;genre;;{song}\r\n'
        f"0,7;120;;bpm;97;{song}\r\n"
        f"0,7;fast;;bpm;97;{other}\r\n"
    )
    plan.write_bytes(b"\xef\xbb\xbf" + text.encode())
    content = PlanFile.read(plan)
    assert [(row.file, row.field, row.values) for row in content.rows] == [
        (other, "genre", ("Rock",)),
        (song, "mood", ("Folk",)),
        (song, "bpm", ("120",)),
    ]
    assert content.n_blank == 1
    assert len(content.refusals) == 4
    result = apply_plan(plan)
    assert result.n_fields == 3
    assert len(result.refusals) == 4

    plan.write_text("file,field,proposed\n")
    with pytest.raises(ArtefactError, match="now"):
        PlanFile.read(plan)


def test_two_rows_for_one_field_are_refused(song, tmp_path):
    rows = [PlanRow(song, "genre", "", (name,)) for name in ("Rock", "Pop")]
    result = apply_plan(plan_of(tmp_path, *rows))
    assert "one row per file and field" in result.refusals[0].reason
    assert genres(song) == ()


def test_refusals_of_a_plan_are_in_its_order(tmp_path):
    songs = [tmp_path / f"{k}.flac" for k in range(20)]
    rows = [PlanRow(song, "genre", "", (name,)) for song in songs for name in ("Rock", "Pop")]
    found = PlanFile.read(plan_of(tmp_path, *rows)).refusals
    assert [refusal.file for refusal in found] == list(map(str, songs))


def test_plans_hold_no_formula(tmp_path):
    plan = plan_of(tmp_path, PlanRow(tmp_path / "a.wav", "genre", "=1+1; @x", ("-Rock", "+1")))
    assert plan.read_bytes().startswith(b"\xef\xbb\xbf")
    cells = plan.read_text("utf-8-sig").splitlines()[1].split(",")
    assert cells[2:4] == ["\"'=1+1; '@x\"", "\"'-Rock; '+1\""]
    assert PlanFile.read(plan).rows[0].values == ("-Rock", "+1")


@pytest.mark.parametrize("n_bytes", [0, 10, 200])
def test_a_journal_that_was_cut(song, tmp_path, n_bytes):
    """A kill leaves the beginning of a journal and perhaps a copy, which the next run removes."""
    plan = plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",)))
    journal = apply_plan(plan).journal
    lines = journal.read_bytes().splitlines(keepends=True)
    undo(journal)
    copy = Path(json.loads(lines[1])["copy"])
    copy.write_bytes(b"half")
    journal.write_bytes(
        b"".join(lines[:2])[: n_bytes or None] if n_bytes != 200 else b"".join(lines[:2]) + b"{"
    )
    assert read_journal(journal).is_cut == (n_bytes != 0)
    result = apply_plan(plan)
    assert result.n_files == 1
    assert result.n_copies == (n_bytes != 10)


def test_a_killed_run_between_ready_and_done_is_undone(song, tmp_path):
    plan = plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",)))
    journal = apply_plan(plan).journal
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:3]))
    assert undo(journal).n_files == 1
    assert genres(song) == ()
    assert undo(journal).n_equal == 1  # as if the kill had come before the step


def test_damaged_and_strange_journals_are_refused(song, tmp_path):
    journal = apply_plan(plan_of(tmp_path, PlanRow(song, "genre", "", ("Rock",)))).journal
    lines = journal.read_text().splitlines()
    for bad in (
        "hello",
        '{"journal_version": 2}\n',
        "\n".join([lines[0], "{", *lines[1:], ""]),
        "\n".join([lines[0], lines[1].replace(".tags.tmp", ".wav"), ""]),
        "\n".join([lines[0], lines[2].replace('"genre"', '"colour"'), ""]),
        "\n".join([lines[0], lines[2].replace(str(song), "a.wav"), ""]),
        "\n".join([lines[0], lines[2].replace('["Rock"]', "[1]"), ""]),
        "\n".join([lines[0], json.dumps({**json.loads(lines[2]), "fields": 7}), ""]),
        "\n".join([lines[0], "[" * 100_000, ""]),
    ):
        journal.write_text(bad)
        with pytest.raises(ArtefactError):
            undo(journal)


@pytest.mark.parametrize("kind", ["pipe", "hole", "device"])
def test_a_journal_is_an_ordinary_file_of_a_bounded_size(kind, tmp_path):
    journal = tmp_path / "plan.journal-1.jsonl"
    if kind == "pipe":
        os.mkfifo(journal)
    elif kind == "device":
        journal.symlink_to("/dev/zero")
    else:
        journal.touch()
        os.truncate(journal, 1 << 40)
    with pytest.raises(ArtefactError, match=r"ordinary|bytes"):
        undo(journal)


def test_a_journal_of_a_stranger_changes_fields_of_songs_and_nothing_else(song, tmp_path):
    """Its keys, its texts and its names of files are those of a stranger, who knows what the song holds."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    tags = open_tags(song)
    others = tags.others(("mood",))
    hostile = {
        "another frame": [["TIT2", ["stolen"], 3]],
        "no frame": [["XXXX", ["x"], 3]],
        "a picture": [["APIC", ["x"], 3]],
        "an encoding": [["TXXX:MOOD", ["calm"], 99]],
    }
    for name, entries in hostile.items():
        journal = stranger_journal(tmp_path / f"{name}.jsonl", song, entries)
        result = undo(journal)
        assert (result.n_fields, len(result.refusals)) == (0, 1), name
        assert (open_tags(song).state("mood").values, open_tags(song).others(("mood",))) == ((), others)
    result = undo(stranger_journal(tmp_path / "text.jsonl", secret, [["TXXX:MOOD", ["calm"], 3]]))
    assert (result.n_fields, secret.read_text()) == (0, "secret")
    link = tmp_path / "link.wav"
    link.symlink_to(song)
    assert undo(stranger_journal(tmp_path / "link.jsonl", link, [["TXXX:MOOD", ["calm"], 3]])).n_fields == 0
    assert hidden(tmp_path) == hidden(song.parent) == []


def stranger_journal(path: Path, song: Path, entries: list) -> Path:
    lines = [
        {"journal_version": 1, "token": "00"},
        {
            "event": "ready",
            "file": str(song),
            "made_tag": False,
            "fields": {"mood": {"old": {"entries": entries, "values": ["calm"]}, "new": {"values": []}}},
        },
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_plan_of_a_stranger_changes_fields_of_songs_and_nothing_else(song, tmp_path):
    """It may name any file: what is no song, is reached by a link, or holds something else stays."""
    secret, link = tmp_path / "secret.txt", tmp_path / "link.wav"
    secret.write_text("secret")
    link.symlink_to(song)
    before = file_digest(song)
    rows = [PlanRow(path, "mood", "", ("calm",)) for path in (secret, link, Path("/dev/zero"), tmp_path)]
    result = apply_plan(plan_of(tmp_path, *rows, PlanRow(song, "mood", "sad", ("calm",))))
    assert (result.n_fields, len(result.refusals)) == (0, 5)
    assert (secret.read_text(), file_digest(song)) == ("secret", before)
    plan = tmp_path / "plan.csv"
    cells = (
        f"{song},title,,x",
        "music/a.wav,mood,,calm",
        f"{song},genre,,\x1b[2J",
        f"{song},mood,,{'x' * 500}",
    )
    plan.write_text("\n".join(["file,field,now,proposed", *cells]))
    result = apply_plan(plan)
    assert (result.n_fields, len(result.refusals)) == (0, 4)
    assert file_digest(song) == before
    assert hidden(tmp_path) == hidden(song.parent) == []


def test_hostile_tags_pass_through(song, tmp_path):
    file = mutagen.File(song)
    from mutagen.id3 import TCON

    file.tags.add(TCON(encoding=3, text=["x" * 1_000_000, "=cmd|' /C calc'!A0\x1b[2J"]))
    file.save()
    now = open_tags(song).state("genre").text
    assert len(now) < 500
    plan = plan_of(tmp_path, PlanRow(song, "genre", now, ("Rock",)))
    assert plan.stat().st_size < 2000
    result = apply_plan(plan)
    assert result.refusals == ()
    undo(result.journal)
    assert open_tags(song).state("genre").text == now
