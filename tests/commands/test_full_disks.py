"""Every command that writes, on a disk of its own that is full at a random byte and then gets room.

The disk is a small file system in memory (tmpfs), which needs the right to mount. `test_writers.py` does the
same with a limit on the size of files, everywhere.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.commands.terminal.faults import TRACEBACK_VARIABLE
from quintet.library.corrections import read_corrections
from quintet.library.tags.plan_file import PlanRow, write_plan
from quintet.library.tags.rewriting import sound_digest
from quintet.library.tags.tag_file import open_tags
from quintet.model_folder.load import load_model
from quintet.serving.browser.shelf import Shelf
from tests.commands.test_writers import (
    COMMANDS,
    LAST,
    ONCE,
    TRIES,
    call,
    content,
    inside,
    networks,
    output_of,
    place,
    prepare,
)
from tests.datasets.builtin.test_audioset import BALANCED, EVALUATION, GENRES, table
from tests.library.tags.songs import add_tags, make_song
from tests.serving.browser.made_library import make_library
from tests.serving.browser.test_shelf import KEY, ask

__all__ = ["inside", "networks", "place"]

ROOM = "size=512m"
SUFFIXES = ("mp3", "flac", "ogg", "wav")
YT_DLP = """#!{python} -SE
import sys
open(sys.argv[sys.argv.index("--output") + 1].replace("%(ext)s", "webm"), "wb").write(bytes(200_000))
"""
FFMPEG = """#!{python} -SE
import shutil, sys
shutil.copy({clip!r}, sys.argv[-1])
"""
WRITERS = [*(name for name in COMMANDS if name != "fetch"), "fetch", "weights"]


class Disk:
    """A file system in memory whose size can be changed.

    Args:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def mount(self, options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self.folder], check=True)

    def mount_with(self, content: Path, more: int) -> None:
        """Mount a disk that has room for a copy of a folder and `more` bytes."""
        self.mount(ROOM)
        shutil.copytree(content, self.folder / content.name)
        used = os.statvfs(self.folder)
        n_bytes = (used.f_blocks - used.f_bfree) * used.f_frsize
        subprocess.run(["mount", "-o", f"remount,size={n_bytes + more}", self.folder], check=True)

    def enlarge(self) -> None:
        subprocess.run(["mount", "-o", f"remount,{ROOM}", self.folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    result = Disk(tmp_path / "disk")
    try:
        result.mount(ROOM)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    result.unmount()
    yield result
    result.unmount()


@pytest.fixture
def words(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[[str, Path], list[str]]:
    """Maker of the words of a command for an output. Inputs that lie in the output are written, too."""
    library = tmp_path / "model.onnx", tmp_path / "model.toml"

    def make(command: str, output: Path) -> list[str]:
        if command == "fetch":
            write_segments(output)
            return ["fetch", "audioset", str(output), "-q"]
        if command == "weights":
            monkeypatch.setenv("QUINTET_WEIGHTS_DIR", str(output))
            model, contract = library
            return ["weights", "add", str(model), "--contract", str(contract)]
        return [word.replace("OUT", str(output)) for word in COMMANDS[command]]

    command = request.node.callspec.params["command"]
    prepare(command, inside, monkeypatch, request)
    if command == "weights":
        library = pytest.importorskip("tests.embeddings.test_library").small(tmp_path)
    if command == "fetch":
        write_programs(tmp_path / "bin", monkeypatch)
    return make


def write_segments(folder: Path) -> None:
    """Lists of AudioSet, which lie where the clips shall be."""
    if folder.exists():
        return
    folder.mkdir()
    for name, rows in (("balanced_train", BALANCED), ("eval", EVALUATION)):
        (folder / f"{name}_segments.csv").write_text(table(rows))
    extra = {"description": "", "citation_uri": "", "positive_examples": [], "restrictions": []}
    below = {"/m/06by7": ["/m/05r6t"], "/m/05r6t": ["/m/0punk"]}
    ids = [*GENRES, "/m/04rlf", "/m/05r6t", "/m/0punk"]
    nodes = [{"id": id, "name": id, "child_ids": below.get(id, []), **extra} for id in ids]
    (folder / "ontology.json").write_text(json.dumps(nodes))


def write_programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in the place of yt-dlp and ffmpeg, which write as much as those do, or fail."""
    folder.mkdir()
    soundfile.write(folder / "clip.flac", np.random.default_rng(0).normal(size=40_000) / 9, 22050)
    for name, text in (("yt-dlp", YT_DLP), ("ffmpeg", FFMPEG)):
        (folder / name).write_text(text.format(python=sys.executable, clip=str(folder / "clip.flac")))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def names(folder: Path) -> set[str]:
    """Names of everything below a folder; the parts of the features of a library have one name."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {re.sub(r"part-\w{16}-\d{6}", "part", name) for name in found}


@pytest.mark.slow
@pytest.mark.parametrize("command", WRITERS)
def test_every_command_on_disks_that_are_full_at_a_random_byte(
    command: str,
    words: Callable[[str, Path], list[str]],
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = random.Random(command)
    target = output_of(command, disk.folder / "out")
    disk.mount(ROOM)
    assert call(monkeypatch, words(command, disk.folder / "out")) == 0
    whole, expected = content(target), names(disk.folder)
    used = os.statvfs(disk.folder)
    n_bytes = (used.f_blocks - used.f_bfree) * used.f_frsize
    disk.unmount()
    n_failed = 0
    for _ in range(TRIES):
        capsys.readouterr()
        disk.mount(f"size={rng.randrange(1 << 13, n_bytes + (1 << 17)) >> 12 << 12}")
        try:
            line = words(command, disk.folder / "out")
        except OSError:  # no room for the inputs
            disk.unmount()
            continue
        code = call(monkeypatch, line)
        text = capsys.readouterr()
        assert "Traceback" not in text.out + text.err
        assert TRACEBACK_VARIABLE not in text.err, "an error that Quintet does not know"
        assert code in (0, 1), text.err
        n_failed += code == 1
        if code == 1:
            assert text.err.strip(), "a sentence"
            assert not (target.suffix and target.exists()), "a file under its final name"
            assert not any((target / name).exists() for name in LAST)
        disk.enlarge()
        assert call(monkeypatch, line) == 0 or (code == 0 and command in ONCE)
        assert names(disk.folder) == expected
        assert content(target) == whole
        if command == "train":
            load_model(target)
        disk.unmount()
    assert n_failed > 0


def make_plan(folder: Path, n_songs: int) -> Path:
    """Songs, each with a cover and a comment, and a plan for two fields of each."""
    (folder / "music").mkdir(parents=True)
    songs = [
        make_song(folder / "music" / f"{k}.{SUFFIXES[k % len(SUFFIXES)]}", seed=k) for k in range(n_songs)
    ]
    for song in songs:
        add_tags(song)
    values = {"genre": ("Rock", "Live"), "mood": ("calm",)}
    write_plan(
        [PlanRow(song, field, "", of) for song in songs for field, of in values.items()], folder / "plan.csv"
    )
    return folder / "plan.csv"


def fields_of(folder: Path) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Song → its genres and moods. Every song is whole: its sound and its other tags can be read."""
    found = {}
    for song in sorted((folder / "music").iterdir()):
        tags = open_tags(song)
        assert sound_digest(song)
        assert tags.others(("genre", "mood"))
        found[song.name] = tuple(tags.state(field).values for field in ("genre", "mood"))
    return found


OLD, NEW = ((), ()), (("Rock", "Live"), ("calm",))


def require_whole(folder: Path, sounds: dict[str, str]) -> None:
    """Each song has its old tags or its new ones, its sound, and no copy beside it."""
    found = fields_of(folder)
    assert set(found.values()) <= {OLD, NEW}
    assert {name: sound_digest(folder / "music" / name) for name in found} == sounds


@pytest.mark.slow
def test_tags_on_disks_that_are_full_at_a_random_byte(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    make_plan(disk.folder / "songs", 6)
    sounds = {song.name: sound_digest(song) for song in (disk.folder / "songs" / "music").iterdir()}
    shutil.move(disk.folder / "songs", tmp_path / "songs")
    n_failed = 0
    for _ in range(TRIES):
        disk.mount_with(tmp_path / "songs", rng.randrange(1, 24) << 12)
        plan = disk.folder / "songs" / "plan.csv"
        for option, whole in (("--apply", NEW), ("--undo", OLD)):
            paths = [plan] if option == "--apply" else sorted(plan.parent.glob("plan.journal-*.jsonl"))[::-1]
            for path in paths:
                code = call(monkeypatch, ["library", "tags", option, str(path), "--jobs", "1"])
                text = capsys.readouterr()
                assert "Traceback" not in text.out + text.err
                assert code in (0, 1), text.err
                n_failed += code == 1
                require_whole(plan.parent, sounds)
                disk.enlarge()
                assert call(monkeypatch, ["library", "tags", option, str(path), "--jobs", "1"]) == 0
            assert set(fields_of(plan.parent).values()) == {whole}
        disk.unmount()
    assert n_failed > 0


@pytest.mark.slow
def test_two_plans_of_one_song_at_once(tmp_path: Path) -> None:
    """Each field of each song is written once, by one of them, or is left with a sentence."""
    plan = make_plan(tmp_path, 12)
    shutil.copy(plan, tmp_path / "other.csv")
    starts = [
        subprocess.Popen(
            [sys.executable, "-m", "quintet", "library", "tags", "--apply", str(path), "--jobs", "1"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for path in (plan, tmp_path / "other.csv", plan)
    ]
    messages = [process.communicate()[1] for process in starts]
    codes = [process.returncode for process in starts]
    for code, message in zip(codes, messages, strict=True):
        assert code == 0 or (code == 1 and message.strip()), (
            "each may leave songs that another one is writing"
        )
        assert "Traceback" not in message
    assert set(fields_of(tmp_path).values()) == {NEW}


@pytest.mark.slow
def test_what_the_page_keeps_on_disks_that_are_full_at_a_random_byte(disk: Disk, tmp_path: Path) -> None:
    """Corrections and playlists: what was answered with 200 is there, the rest has a sentence."""
    rng = random.Random(0)
    make_library(tmp_path, 24, with_sound=True)
    n_failed = 0
    for _ in range(TRIES):
        disk.mount_with(tmp_path / "my.library", rng.randrange(1, 4) << 12)
        shelf = Shelf(disk.folder / "my.library")
        sounds = shelf.view.songs.column("audio_digest").to_pylist()
        known: dict[str, str] = {}
        kept: dict[str, list[str]] = {}
        for k in range(40):
            row = rng.randrange(24)
            label = f"genre {k} {'x' * rng.randrange(1, 180)}"
            status, _, answer = ask(
                shelf, "/api/corrections", KEY, {"id": shelf.view.ids[row], "label": label}
            )
            if status == 200:
                known[sounds[row]] = label
            n_failed += status == 507
            assert status == 200 or (status == 507 and b"disk" in answer)
            lists = {f"list {k}": [shelf.view.ids[n] for n in range(24)]}
            status, _, answer = ask(shelf, "/api/playlists", KEY, lists)
            kept = lists if status == 200 else kept
            assert status == 200 or (status == 507 and b"disk" in answer)
        assert read_corrections(shelf.folder) == known
        assert shelf.playlists() == kept
        assert {file.name for file in shelf.folder.iterdir() if file.name.startswith(".")} == set()
        shelf.close()
        disk.unmount()
    assert n_failed > 0
