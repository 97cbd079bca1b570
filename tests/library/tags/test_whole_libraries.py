"""A library of 400 files of nine formats on two drives, and fifty kills: no file is ever damaged."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mutagen
import pytest
from mutagen.id3 import ID3, TCON, TIT2, TXXX

from quintet.files.digests import file_digest
from quintet.library.tags.plan_file import PlanFile, PlanRow, write_plan
from quintet.library.tags.rewriting import sound_digest
from quintet.library.tags.tag_file import open_tags
from quintet.library.tags.writing import WritingOptions, apply_plan, undo

from .killing import every_journal, journals, lines_of, n_done, run_and_kill
from .songs import FORMATS, add_tags, make_song

pytestmark = pytest.mark.slow

ODD_NAMES = ("=1+1|x", "'n' roll", " blank ", "日本", "a;b, c", "new\nline", "-rf", "x" * 230)
VERSION_1 = b"TAG" + b"Old title".ljust(30, b" ") + bytes(90) + b"1994\x11"


def signature(path: Path) -> tuple[str, dict[str, str]]:
    """Digest of the sound, and all tags."""
    return sound_digest(path), open_tags(path).others([])


def dress(path: Path, kind: int) -> None:
    """Tags of one of several kinds: none, all but a genre, a genre, several, hostile, old versions."""
    if kind == 0:
        return
    add_tags(path, id3_version=3 if kind == 5 else 4)
    tags = open_tags(path)
    if kind == 2:
        tags.put("genre", tags.encode("genre", ["Blues"], None))
        tags.save()
    elif kind == 3:
        tags.put("genre", tags.encode("genre", ["Blues", "R&B/Soul"], None))
        tags.put("mood", tags.encode("mood", ["calm"], None))
        tags.save()
    elif kind == 4:
        tags.put(
            "genre", tags.encode("genre", ["=cmd|' /C calc'!A0", "<script>alert(1)</script>\x1b[2J"], None)
        )
        tags.save()
    elif kind == 6 and path.suffix == ".mp3":
        path.write_bytes(path.read_bytes() + VERSION_1)
    elif kind == 7 and path.suffix == ".mp3":
        tag = ID3(path)
        if "63" in path.name:  # 10 MB
            tag.add(TXXX(encoding=0, desc="big", text=["x" * 10_000_000]))
        tag.add(TCON(encoding=0, text=["(17)(9)"]))
        tag.add(TIT2(encoding=1, text=["Σ"]))
        tag.save(path, v2_version=3, v23_sep=None)


@pytest.fixture
def drives(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two folders, on two file systems where the machine has them."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as other:
        (tmp_path / "music").mkdir()
        yield tmp_path / "music", Path(other)


def fill(drives: tuple[Path, Path], n_files: int) -> list[Path]:
    """Songs of all formats and kinds of tags, in both folders; some are copies of others."""
    made: list[Path] = []
    for k in range(n_files):
        suffix = FORMATS[k % len(FORMATS)]
        odd = ODD_NAMES[k // 9 % len(ODD_NAMES)] if k % 3 == 0 else "song"
        folder = drives[k % 2] / f"artist {k % 7}"
        folder.mkdir(exist_ok=True)
        path = folder / f"{odd}{k}.{suffix}"
        if k >= 360:
            shutil.copy(made[k - 360], path.with_suffix(made[k - 360].suffix))
            made.append(path.with_suffix(made[k - 360].suffix))
            continue
        make_song(path, seconds=0.2, seed=k)
        dress(path, k // len(FORMATS) % 8)
        made.append(path)
    return made


def test_four_hundred_files_there_and_back(drives: tuple[Path, Path], tmp_path: Path) -> None:
    songs = fill(drives, 400)
    broken = []
    for k, suffix in enumerate(("mp3", "flac", "ogg", "m4a", "wav")):
        path = drives[k % 2] / f"broken {k}.{suffix}"
        path.write_bytes(songs[[s.suffix[1:] for s in songs].index(suffix)].read_bytes()[: 40 + k])
        broken.append(path)
    cover = drives[0] / "cover.jpg"
    cover.write_bytes(b"\xff\xd8" + bytes(100))
    everything = [*songs, *broken, cover]
    bytes_before = {path: file_digest(path) for path in everything}
    before = {path: signature(path) for path in songs}
    now = {path: open_tags(path).state("genre").text for path in songs}
    rows = [PlanRow(path, "genre", now[path], ("Folk Metal", f"Jazz {k}")) for k, path in enumerate(songs)]
    rows += [
        PlanRow(path, "mood", "", ("happy",))
        for path in songs[::5]
        if not open_tags(path).state("mood").values
    ]
    rows += [PlanRow(path, "genre", "", ("Rock",)) for path in (*broken, cover)]
    plan = tmp_path / "plan.csv"
    write_plan(rows, plan)
    assert PlanFile.read(plan).rows == tuple(
        PlanRow(row.file, row.field, row.now, row.values) for row in rows
    )

    result = apply_plan(plan, WritingOptions(n_jobs=2))
    assert result.n_files == len(songs)
    assert {Path(refusal.file) for refusal in result.refusals} == {*broken, cover}
    for k, path in enumerate(songs):
        tags = open_tags(path)
        assert tags.state("genre").values == ("Folk Metal", f"Jazz {k}")
        assert sound_digest(path) == before[path][0]
        assert mutagen.File(path) is not None

    back = undo(result.journal, WritingOptions(n_jobs=2))
    assert back.n_files == len(songs)
    assert back.refusals == ()
    assert {path: signature(path) for path in songs} == before
    assert {path: open_tags(path).state("genre").text for path in songs} == now
    assert {path: file_digest(path) for path in (*broken, cover)} == {
        path: bytes_before[path] for path in (*broken, cover)
    }
    assert not [path for drive in drives for path in drive.rglob(".*.tmp")]


def test_fifty_kills_leave_every_file_whole(drives: tuple[Path, Path], tmp_path: Path) -> None:
    """After each kill, each file is one of the two that the journals name, byte by byte."""
    songs = fill(drives, 63)
    before = {path: signature(path) for path in songs}
    now = {path: open_tags(path).state("genre").text for path in songs}
    plan = tmp_path / "plan.csv"
    write_plan([PlanRow(path, "genre", now[path], ("Folk Metal",)) for path in songs], plan)
    known = {path: {file_digest(path)} for path in songs}
    rng = random.Random(7)
    n_killed = {"apply": 0, "undo": 0}
    within_s = {"apply": 1.0, "undo": 1.0}
    for attempt in range(200):
        if sum(n_killed.values()) >= 50:
            break
        written = [journal for journal in journals(tmp_path) if n_done([journal])]
        back = [rng.choice(written)] if attempt % 2 and written else []
        kind = "undo" if back else "apply"
        words = ["--undo", str(back[0])] if back else ["--apply", str(plan)]
        was_killed = run_and_kill(words, rng, tmp_path, within_s=within_s[kind])
        n_killed[kind] += was_killed
        within_s[kind] *= 1 if was_killed else 0.7  # it had ended: machines differ in speed
        lines = lines_of(every_journal(tmp_path))
        for line in lines:
            if line.get("event") == "ready":
                known[Path(str(line["file"]))].add(str(line["after"]))
        for path in songs:
            assert file_digest(path) in known[path], path
        begun = {str(line["copy"]) for line in lines if line.get("event") == "start"}
        left = [str(path) for drive in drives for path in drive.rglob(".*.tmp")]
        assert set(left) <= begun

    assert sum(n_killed.values()) == 50
    assert min(n_killed.values()) >= 10
    time.sleep(1)  # worker processes of the last kill
    apply_plan(plan)
    assert all(open_tags(path).state("genre").text == "Folk Metal" for path in songs)
    for journal in reversed(journals(tmp_path)):
        undo(journal)
    assert {path: open_tags(path).state("genre").text for path in songs} == now
    assert {path: signature(path) for path in songs} == before
    assert not [path for drive in drives for path in drive.rglob(".*.tmp")]
