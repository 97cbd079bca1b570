"""Commands that write: one at a time on an output, and on a disk that fills."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import mutagen
import numpy as np
import pandas as pd
import pytest
import soundfile

from quintet import cli
from quintet.commands.terminal.faults import TRACEBACK_VARIABLE
from quintet.datasets.builtin import audioset_download
from quintet.errors import ArtefactError
from quintet.files.locks import output_lock
from quintet.library.store import DATABASE_FILE, FACTS_FILE, Library
from quintet.library.tags.plan_growth import LOOKS_FILE
from quintet.model_folder.load import load_model
from quintet.reports.html import PageKind, replace_page

RECIPE = 'name = "small"\n[data]\nsource = "{music}"\n[train]\nmembers = ["logistic_regression"]\n'
QUICK = ["-m", "logistic_regression", "--folds", "2"]
NAMED = ["--published-names", "OUT.csv"]
COMMANDS: dict[str, list[str]] = {
    "extract": ["extract", "music", "-o", "OUT.parquet", "--families", "temporal"],
    "published": ["extract", "music", "-f", "bahuleyan2018", "-o", "own.parquet", *NAMED],
    "audit": ["audit", "table.csv", "--groups-to", "OUT.csv", "-q"],
    "labels": ["audit", "table.csv", "--model", "model", "--labels-to", "OUT.csv", "-q"],
    "fuse": ["fuse", "one.csv", "two.csv", "-o", "OUT.csv"],
    "predict": ["predict", "model", "--table", "table.csv", "-o", "OUT.csv", "-q"],
    "stress": ["stress", "heard", "music", "--disturbances", "noise", "-o", "OUT.csv", "-q"],
    "suggest": ["suggest", "heard", "songs", "-o", "OUT.csv", "-q"],
    "train": ["train", "table.csv", "-o", "OUT", "--resamples", "20", "-q", *QUICK],
    "tune": ["tune", "table.csv", "-o", "OUT", "--trials", "2", "-q", *QUICK],
    "report": ["report", "model", "-o", "OUT", "-q"],
    "explain": ["explain", "model", "music/x/0.wav", "-o", "OUT", "-q"],
    "run": ["run", "recipe.toml", "-o", "OUT", "-q"],
    "fetch": ["fetch", "audioset", "."],
    "tag": ["tag", "music", "--networks", "musicnn_msd", "--windows", "1", "-o", "OUT.csv", "-q"],
    "export": ["export", "model", "-o", "OUT", "-q"],
    "scan": ["library", "scan", "songs", "-o", "OUT", "--embeddings", "none", "-q"],
    "judge": ["library", "scan", "songs", "-o", "OUT", "--model", "heard", "--embeddings", "none", "-q"],
    "genres": ["library", "genres", "own.library", "--map", "genres.toml", "-o", "OUT.parquet", "-q"],
    "map": ["library", "genres", "own.library", "--write-map", "OUT.toml", "-q"],
    "songs": ["library", "songs", "own.library", "-o", "OUT.m3u8", "-q"],
    "similar": ["library", "similar", "own.library", "songs/7.flac", "-o", "OUT.m3u8", "-q"],
    "playlist": ["library", "playlist", "own.library", "-o", "OUT.m3u8", "-q"],
    "retrain": ["library", "retrain", "own.library", "--map", "genres.toml", "-o", "OUT", "-q", *QUICK[:2]],
    "plan": ["library", "tags", "own.library", "--plan", "OUT.csv", "--fields", "key", "-q"],
    "watch": ["library", "watch", "own.library", "--once", "--plan", "OUT.csv", "--fields", "key", "-q"],
}
"""Command → its words. OUT stands for the output."""

ONCE = ("train", "export", "retrain", "map")
"""Commands that refuse an output that is finished."""

TRIES = int(os.environ.get("QUINTET_TEST_DISKS", "20"))
"""Disks of each command in the slow tests."""

LAST = ("bundle.json", "export.json", "index.html", DATABASE_FILE)
"""Files of folders that are written when all others are there."""

FILES = ("audit", "labels", "stress", "suggest", "fuse", "predict", "tag", "plan")
PLAYLISTS = ("songs", "similar", "playlist")
OF_A_LIBRARY = ("genres", "map", "plan", "retrain", "watch", *PLAYLISTS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of every command. The model is made where it is needed."""
    folder = tmp_path_factory.mktemp("writers")
    rng = np.random.default_rng(0)
    for k in range(6):
        path = folder / "music" / "xy"[k % 2] / f"{k // 2}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.sin(np.arange(8000) / (9 + k)), 8000)
    for k in range(24):
        path = folder / "songs" / f"{k}.flac"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.sin(np.arange(8000) / (9 + k)), 8000)
        song = mutagen.File(path)
        song.update({"genre": "xy"[k % 2], "artist": f"artist {k // 2}"})
        song.save()
    (folder / "genres.toml").write_text("least = 2\n")
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=["a", "b", "c", "d"])
    frame.insert(0, "id", [f"clip{row}" for row in range(40)])
    frame["label"], frame["group"] = ["x", "y"] * 20, [f"g{row // 2}" for row in range(40)]
    frame.to_csv(folder / "table.csv", index=False)
    for name in ("one", "two"):
        p = rng.random(40)
        columns = {"clip_id": frame["id"], "label": frame["label"], "group": frame["group"]}
        table = pd.DataFrame({**columns, "probability.x": p, "probability.y": 1 - p})
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "recipe.toml").write_text(RECIPE.format(music=folder / "music"))
    (folder / "audio").mkdir()
    return folder


@pytest.fixture
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def networks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library with one small network, for `tag`."""
    small = pytest.importorskip("tests.embeddings.conftest")
    monkeypatch.setenv("QUINTET_WEIGHTS_DIR", str(tmp_path_factory.mktemp("library")))
    small.install_network("musicnn_msd", small.musicnn_graph(small.Checkpoint(small.musicnn_arrays())))


def call(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> object:
    monkeypatch.setattr(sys, "argv", ["quintet", *words])
    try:
        cli.main()
    except SystemExit as exit_:
        return exit_.code or 0
    return 0


def words_of(command: str, output: str) -> list[str]:
    return [word.replace("OUT", output) for word in COMMANDS[command]]


def output_of(command: str, output: Path) -> Path:
    """The file or folder that a command writes."""
    suffixes = dict.fromkeys(("extract", "genres"), ".parquet") | {"map": ".toml", "watch": ".csv"}
    suffixes |= dict.fromkeys(("published", *FILES), ".csv") | dict.fromkeys(PLAYLISTS, ".m3u8")
    return output.with_name(output.name + suffixes.get(command, ""))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "judge"])
def test_every_writer_refuses_an_output_that_another_command_writes(
    command: str,
    inside: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if command == "tune":
        pytest.importorskip("optuna")
    target = inside / "audio" if command == "fetch" else output_of(command, tmp_path / "out")
    if command in OF_A_LIBRARY:
        make_library(inside, monkeypatch)
    if command == "report":  # the model is looked at first
        monkeypatch.setattr("quintet.model_folder.folder.ModelFolder.is_finished", True)
    monkeypatch.setattr(audioset_download, "program_path", lambda name: name)
    monkeypatch.setattr(audioset_download, "segments", lambda root, variant: ([], []))
    with output_lock(target):
        assert call(monkeypatch, words_of(command, str(tmp_path / "out"))) == 1
    message = capsys.readouterr().err
    assert f"process {os.getpid()}" in " ".join(message.split())
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


CLOCKED = (".skops", "environment.json")
"""Ends of names of files that hold times, the words of the command line, or addresses."""

PATHS_OF_MUSIC = rb"(?:\.\./)+(?:[\w.-]+/)*music/"
"""Paths of recordings in links and commands, as seen from the place of the page."""

PATHS_OF_SONGS = r"(?:\.\./)+(?:[\w.-]+/)*songs/"
"""Paths of songs, as seen from the place of the playlist."""

CLOCKED_IN_PAGES = rb"T2dnUw[A-Za-z0-9+/=]+|<code>quintet [^<]*|\d{4}-\d\d-\d\dT[\d:+]{8,}"
"""Ogg files in base64, which have random numbers, the words of the command line, and times."""


def content(path: Path) -> object:
    """Content of an output, without times, words of the command line and addresses of objects."""
    if not path.is_dir():
        return timeless(path) if path.exists() else None
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.endswith(".lock")]
    found: dict[str, object] = {file.relative_to(path).as_posix(): timeless(file) for file in files}
    if FACTS_FILE not in found:
        return found
    # an interrupted scan has described sounds in more parts
    return {name: of for name, of in found.items() if not name.startswith("features")} | {
        "features": described(path)
    }


def timeless(file: Path) -> object:
    """Content of a file of an output, without what differs from run to run."""
    if file.suffix == ".sqlite":
        return "times"  # the trials are in trials.parquet, too
    if file.name == LOOKS_FILE:
        return "times and places"
    if file.suffix == ".html":
        page = re.sub(CLOCKED_IN_PAGES, b"", file.read_bytes())
        return re.sub(PATHS_OF_MUSIC, b"music/", page)
    if file.name == ".model":  # the digest of environment.json is in it
        return "digest"
    if file.suffix == ".m3u8":  # it begins with its own name
        return re.sub(PATHS_OF_SONGS, "songs/", file.read_text()).splitlines()[2:]
    if file.suffix == ".skops":  # the names of its arrays are addresses
        with zipfile.ZipFile(file) as archive:
            arrays = sorted(archive.read(name) for name in archive.namelist() if name.endswith(".npy"))
            return re.sub(rb"\d{9,}", b"", archive.read("schema.json")), arrays
    if file.suffix == ".duckdb":
        with duckdb.connect(file, read_only=True) as connection:
            tables = [name for (name,) in connection.sql("SHOW TABLES").fetchall()]
            frames = {name: connection.table(name).df() for name in tables}
            return {name: without_times(frame).to_csv() for name, frame in frames.items()}
    if file.name == "songs.parquet":
        return without_times(pd.read_parquet(file)).to_csv()
    if file.suffix == ".parquet":
        frame = pd.read_parquet(file)
        return frame.drop(columns="seconds").to_json() if "seconds" in frame else file.read_bytes()
    if file.name in ("environment.json", "bundle.json"):
        record = json.loads(file.read_text())
        changes = {
            listed: {name: of for name, of in record[listed].items() if not name.endswith(CLOCKED)}
            for listed in ("files", "sizes")
            if listed in record
        }
        return {**record, **dict.fromkeys(("created", "command", "fold_seconds")), **changes}
    return file.read_bytes()


def without_times(songs: pd.DataFrame) -> pd.DataFrame:
    return songs.drop(columns=["added", "changed", "seen"], errors="ignore")


def make_model(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (inside / "model").exists():
        assert call(monkeypatch, words_of("train", "model")) == 0


def make_library(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (inside / "own.library").exists():
        assert call(monkeypatch, words_of("scan", "own.library")) == 0


def make_heard_model(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of features that quintet made, which `explain` needs."""
    if not (inside / "heard").exists():
        assert call(monkeypatch, words_of("extract", "features")) == 0
        words = ["train", "features.parquet", "-o", "heard", "--test-size", "0", "-q", *QUICK]
        assert call(monkeypatch, words) == 0
    monkeypatch.setitem(COMMANDS, "explain", ["explain", "heard", *COMMANDS["explain"][2:]])


def prepare(
    command: str, inside: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Make the inputs of a command that other commands write."""
    if command in ("predict", "report", "export", "labels"):
        make_model(inside, monkeypatch)
    if command in OF_A_LIBRARY:
        make_library(inside, monkeypatch)
    if command == "tag":
        request.getfixturevalue("networks")
    if command in ("explain", "judge", "stress", "suggest"):
        make_heard_model(inside, monkeypatch)


def fill(command: str, output: Path, monkeypatch: pytest.MonkeyPatch, *, tries: int) -> Iterator[int]:
    """Run a command `tries` times on a disk that fills at a random byte, and yield the exit codes."""
    resource = pytest.importorskip("resource")
    rng = random.Random(command)
    target = output_of(command, output)
    files = [target] if target.is_file() else list(target.rglob("*"))
    largest = max((file.stat().st_size for file in files if file.is_file()), default=1 << 16)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for k in range(tries):
        new = output.with_name(f"{output.name}{k}")
        resource.setrlimit(resource.RLIMIT_FSIZE, (rng.randrange(largest), limits[1]))
        try:
            code = call(monkeypatch, words_of(command, str(new)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        yield int(str(code))


def check_full_disk(
    command: str,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    tries: int,
) -> int:
    """Check a command on disks that fill. Returns how often it failed."""
    n_failed = 0
    assert call(monkeypatch, words_of(command, str(output))) == 0
    whole = content(output_of(command, output))
    capsys.readouterr()
    for k, code in enumerate(fill(command, output, monkeypatch, tries=tries)):
        text = capsys.readouterr()
        assert "Traceback" not in text.out + text.err
        assert TRACEBACK_VARIABLE not in text.err, "an error that Quintet does not know"
        assert code in (0, 1), text.err
        new = output_of(command, output.with_name(f"{output.name}{k}"))
        n_failed += code == 1
        if code == 1 and new.suffix:
            assert not new.exists()
        if code == 1:
            assert not any((new / name).exists() for name in LAST)
        again = words_of(command, str(output.with_name(f"{output.name}{k}")))
        assert call(monkeypatch, again) == 0 or (code == 0 and command in ONCE)
        assert content(new) == whole
        if command == "train":
            load_model(new)
    return n_failed


def described(folder: Path) -> dict[str, bytes]:
    """Sound of a library → its features."""
    parts = Library.open(folder).feature_parts
    digests = sorted(parts.digests())
    return dict(zip(digests, (row.tobytes() for row in parts.read(digests)), strict=True))


@pytest.mark.parametrize("command", ["audit", "fuse", "songs", "plan", "map"])
def test_on_a_full_disk_a_command_ends_with_a_sentence_and_then_goes_on(
    command: str,
    inside: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    prepare(command, inside, monkeypatch, request)
    assert check_full_disk(command, tmp_path / "out", monkeypatch, capsys, tries=2) > 0


def test_a_page_whose_disk_fills_at_the_end_is_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of the output is full; the folder for temporary files is on another one."""
    kind, write = PageKind("A report", mark="the mark"), Path.write_bytes

    def write_on_a_full_disk(path: Path, content: bytes) -> int:
        if path.is_relative_to(tmp_path / "full"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    (tmp_path / "free").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "free"))
    monkeypatch.setattr(Path, "write_bytes", write_on_a_full_disk)

    def make_page() -> None:
        with replace_page(tmp_path / "full" / "page", kind) as numbers:
            numbers.add("scores", pd.DataFrame({"score": [0.5]}))
            numbers.page = "<p>the page</p>"

    with pytest.raises(ArtefactError, match="No space left on device") as caught:
        make_page()
    (page,) = (tmp_path / "free").rglob("index.html")
    assert page.read_text() == "<p>the page</p>"
    assert pd.read_parquet(page.parent / "numbers" / "scores.parquet")["score"].tolist() == [0.5]
    assert str(page.parent) in str(caught.value)
    assert not (tmp_path / "full" / "page").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "fetch"])
def test_every_command_on_twenty_disks_that_fill_at_a_random_byte(
    command: str,
    inside: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    prepare(command, inside, monkeypatch, request)
    assert check_full_disk(command, tmp_path / "out", monkeypatch, capsys, tries=TRIES) > 0


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "fetch"])
def test_the_order_of_sets_does_not_change_an_output(
    command: str,
    inside: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    prepare(command, inside, monkeypatch, request)
    contents = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        (tmp_path / seed).mkdir()
        words = [sys.executable, "-m", "quintet", *words_of(command, str(tmp_path / seed / "out"))]
        subprocess.run(words, check=True, capture_output=True)
        contents.append(content(output_of(command, tmp_path / seed / "out")))
    assert contents[0] == contents[1]
