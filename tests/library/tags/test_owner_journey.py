"""An owner's music goes from scan to tags and back through the real commands, and through fifty kills."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quintet.files.digests import file_digest
from quintet.library.store import Library
from quintet.library.tags.rewriting import sound_digest
from quintet.library.tags.tag_file import open_tags

from .killing import every_journal, journals, lines_of, n_done, run_and_kill
from .owner_music import Music, counted, make_music, recordings

pytestmark = pytest.mark.slow

N_FILES = {"real recordings": 400, "demo corpus": 160}
N_KILLS = 50
GENRES = 'never = ["other", "live"]\nseveral = "first"\nleast = 5\n'


def command(*words: str | Path, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Run `quintet` and return its answer as JSON (empty if it gives none), with its seconds printed."""
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "quintet", *map(str, words)], capture_output=True, text=True, check=False
    )
    print(f"  {time.monotonic() - started:6.1f} s  quintet {' '.join(map(str, words[:3]))} …")
    assert result.returncode in codes, result.stderr[-2000:]
    return json.loads(result.stdout) if "--json" in words else {}


def signatures(music: Music) -> dict[Path, tuple[str, dict[str, str]]]:
    """Digest of the sound and of every tag of each song."""
    return {path: (sound_digest(path), open_tags(path).others([])) for path in music.songs}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def music(place: Path) -> Iterator[Music]:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as other:
        (place / "music").mkdir()
        name, found = recordings(place)
        made = make_music((place / "music", Path(other)), found, N_FILES[name])
        print(f"\n{name}: {counted(made)}")
        yield made


@pytest.fixture(scope="module")
def plan(place: Path, music: Music) -> Path:
    """A plan from a model of the owner's own genres, made and looked at as an owner does."""
    library, model = place / "my.library", place / "model"
    scanned = command("library", "scan", *music.drives, "-o", library, "--jobs", "2", "--json")
    assert sum(folder["new"] for folder in scanned["folders"]) == len(music.songs)
    n_pictures = sum(path.suffix == ".jpg" for path in music.others)
    assert sum(folder["failed"] for folder in scanned["folders"]) == len(music.others) - n_pictures
    (place / "genres.toml").write_text(GENRES)
    table = place / "genres.parquet"
    command("library", "genres", library, "--map", place / "genres.toml", "-o", table)
    command("train", table, "-o", model, "--members", "logistic_regression", "-q")
    again = command(
        "library", "scan", *music.drives, "-o", library, "--model", model, "--confidence", "0.6", "--json"
    )
    assert sum(folder["unchanged"] for folder in again["folders"]) == len(music.songs)
    path = place / "plan.csv"
    fields = ("--fields", "genre,bpm,key", "--min-confidence", "0.3")
    answer = command("library", "tags", "--plan", path, library, *fields, "--json")
    assert answer["refused"] == []
    assert answer["files"] > len(music.songs) // 2
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    place_of = {name: k for k, name in enumerate(rows[0])}
    genres = [row for row in rows[1:] if row[place_of["field"]] == "genre"]
    assert len(genres) >= 10
    assert {row[place_of["now"]] for row in genres} == {""}
    genres[0][place_of["proposed"]] = "Folk; Ethereal"
    rows.remove(genres[1])
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_from_scan_to_tags_and_back(place: Path, music: Music, plan: Path) -> None:
    before = signatures(music)
    untouched = {path: file_digest(path) for path in music.others}
    ids = _ids(place / "my.library")
    first = command("library", "tags", "--apply", plan, "--json")
    assert first["left"] == []
    with open(plan, encoding="utf-8-sig", newline="") as file:
        planned = len(list(csv.DictReader(file)))
    assert first["fields"] == planned
    written = signatures(music)
    assert {path: sound for path, (sound, _) in written.items()} == {
        path: sound for path, (sound, _) in before.items()
    }
    assert sum(written[path] != before[path] for path in music.songs) == first["files"]

    scanned = command("library", "scan", *music.drives, "-o", place / "my.library", "--jobs", "2", "--json")
    assert sum(folder["changed"] for folder in scanned["folders"]) == first["files"]
    assert _ids(place / "my.library") == ids
    genres = Library.open(place / "my.library").songs()["genre"]
    assert "Folk;Ethereal" in set(genres)

    back = command("library", "tags", "--undo", first["journal"], "--json")
    assert (back["fields"], back["left"]) == (first["fields"], [])
    assert signatures(music) == before
    assert {path: file_digest(path) for path in music.others} == untouched
    assert not _copies(music)
    Path(first["journal"]).unlink()
    Path(back["journal"]).unlink()
    print(f"  {first['fields']} fields of {first['files']} songs written and taken back")


def test_fifty_kills_of_the_same_plan(place: Path, music: Music, plan: Path) -> None:
    """After each kill, each file is one of the two that the journals name, byte by byte."""
    before = signatures(music)
    known = {path: {file_digest(path)} for path in music.files}
    rng = random.Random(16)
    n_killed = {"apply": 0, "undo": 0}
    n_left = 0
    for attempt in range(4 * N_KILLS):
        if sum(n_killed.values()) == N_KILLS:
            break
        written = [journal for journal in journals(place) if n_done([journal])]
        back = [rng.choice(written)] if attempt % 2 and written else []
        kind = "undo" if back else "apply"
        words = ["--undo", str(back[0])] if back else ["--apply", str(plan)]
        most_done = max(0, n_done(back) - 1) if back else 12
        n_killed[kind] += run_and_kill(words, rng, place, jobs=2, most_done=most_done, within_s=0.3)
        lines = lines_of(every_journal(place))
        for line in lines:
            if line.get("event") == "ready":
                known[Path(str(line["file"]))].add(str(line["after"]))
        for path in music.files:
            assert file_digest(path) in known[path], path
        left = _copies(music)
        n_left += len(left)
        assert {str(path) for path in left} <= {str(line.get("copy")) for line in lines}
    assert sum(n_killed.values()) == N_KILLS
    assert min(n_killed.values()) >= N_KILLS // 5
    n_versions = sum(len(digests) > 1 for digests in known.values())
    print(f"  killed: {n_killed}; {n_versions} files had been rewritten; {n_left} copies were left and named")
    time.sleep(1)  # worker processes of the last kill
    again = command("library", "tags", "--apply", plan, "--json")
    assert again["left"] == []
    for journal in reversed(journals(place)):
        command("library", "tags", "--undo", journal, "-q", codes=(0, 1))
    assert signatures(music) == before
    assert not _copies(music)


def _ids(library: Path) -> dict[str, str]:
    songs = Library.open(library).songs()
    return dict(zip(songs["root"] + "/" + songs["path"], songs["id"], strict=True))


def _copies(music: Music) -> list[Path]:
    return [path for drive in music.drives for path in drive.rglob(".*.tmp")]
