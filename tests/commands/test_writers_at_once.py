"""Two commands at once: on one output, and in one library."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.commands.test_writers import (
    FILES,
    PLAYLISTS,
    QUICK,
    call,
    content,
    inside,
    make_heard_model,
    make_library,
    networks,
    output_of,
    place,
    prepare,
    words_of,
)

__all__ = ["inside", "networks", "place"]

FOLDERS = ("train", "tune", "report", "export", "explain", "run", "scan", "judge", "retrain")
KINDS = ((*FILES, "published", "watch"), FOLDERS, PLAYLISTS, ("extract", "genres"), ("map",))
"""Commands whose outputs may have one name, for each kind of output."""

READERS = {
    "genres": ["genres", "LIBRARY", "--map", "genres.toml", "-o", "OUT.parquet", "-q"],
    "retrain": ["retrain", "LIBRARY", "--map", "genres.toml", "-o", "OUT", "-q", *QUICK[:2]],
    "plan": ["tags", "LIBRARY", "--plan", "OUT.csv", "--fields", "key", "-q"],
}
SCAN = ["scan", "songs", "-o", "LIBRARY", "--embeddings", "none", "-q"]
SHARERS = {
    "scan": SCAN,
    "judge": [*SCAN, "--model", "heard"],
    "watch": ["watch", "LIBRARY", "--once", "--settle", "0", "-q"],
    **READERS,
}
"""Commands that write into a library, and commands that read it meanwhile."""


def undisturbed(
    command: str, inside: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> object:
    """What a command leaves if no other one disturbs it; it is run once for all tests."""
    prepare(command, inside, monkeypatch, request)
    output = inside / "undisturbed" / command
    output.parent.mkdir(exist_ok=True)
    if not output_of(command, output).exists():
        assert call(monkeypatch, words_of(command, str(output))) == 0
    return content(output_of(command, output))


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "quintet", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def at_once(pair: list[list[str]]) -> list[bool]:
    """Whether each of two commands has done its work. If it has not, it says why."""
    starts = [start(words) for words in pair]
    messages = [process.communicate()[1] for process in starts]
    codes = [process.returncode for process in starts]
    for code, message in zip(codes, messages, strict=True):
        assert code == 0 or (code == 1 and message.startswith("Error: ")), message
        assert "Traceback" not in message
    assert 0 in codes
    return [code == 0 for code in codes]


@pytest.mark.slow
@pytest.mark.parametrize(
    "pair",
    [pair for kind in KINDS for pair in combinations_with_replacement(kind, 2)],
    ids="-".join,
)
def test_two_commands_at_once_on_one_output(
    pair: tuple[str, str],
    inside: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    alone = {command: undisturbed(command, inside, monkeypatch, request) for command in set(pair)}
    done = at_once([words_of(command, str(tmp_path / "both")) for command in pair])
    left = content(output_of(pair[0], tmp_path / "both"))
    assert left in [alone[command] for command, is_done in zip(pair, done, strict=True) if is_done]


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_two_trainings_with_two_seeds_at_once(
    attempt: int, inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder holds the members of one seed alone: it never takes over folds of the other training."""
    seeds = ("1", "2")
    alone = []
    for seed in seeds:
        folder = inside / "undisturbed" / f"seed {seed}"
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            assert call(monkeypatch, [*words_of("train", str(folder)), "--seed", seed]) == 0
        alone.append(content(folder))
    both = tmp_path / "both"
    done = at_once([[*words_of("train", str(both)), "--seed", seed] for seed in seeds])
    assert content(both) in [model for model, is_done in zip(alone, done, strict=True) if is_done]


def sharer(command: str, folder: Path) -> list[str]:
    """Words of a command for the library in a folder. What it writes elsewhere lies beside the library."""
    names = {"LIBRARY": str(folder / "my.library"), "OUT": str(folder / command)}
    words = SHARERS[command]
    for name, path in names.items():
        words = [word.replace(name, path) for word in words]
    return ["library", *words]


@pytest.mark.slow
@pytest.mark.parametrize(
    "pair",
    [
        *combinations_with_replacement(("scan", "judge", "watch"), 2),
        *((writer, reader) for writer in ("scan", "watch") for reader in READERS),
    ],
    ids="-".join,
)
def test_two_commands_at_once_in_one_library(
    pair: tuple[str, str], inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A song has changed. What is there afterwards is what the commands leave one after the other."""
    make_heard_model(inside, monkeypatch)
    make_library(inside, monkeypatch)
    places = [tmp_path / name for name in ("both", "0", "1", "01", "10")]
    for folder in places:
        shutil.copytree(inside / "own.library", folder / "my.library")
    song = inside / "songs" / "new.flac"
    soundfile.write(song, np.random.default_rng(1).normal(size=8000) / 9, 8000)
    try:
        done = at_once([sharer(command, places[0]) for command in pair])
        for folder in places[1:]:
            for k in folder.name:
                assert call(monkeypatch, sharer(pair[int(k)], folder)) == 0
    finally:
        song.unlink()
    orders = places[3:] if all(done) else [places[1 + done.index(True)]]
    assert found_in(places[0], pair) in [found_in(folder, pair) for folder in orders]


def found_in(folder: Path, pair: tuple[str, str]) -> list[object]:
    """Content of the library of a folder, and of what a reader of it has written."""
    outputs = [output_of(name, folder / name) for name in pair if name in READERS]
    return [content(path) for path in (folder / "my.library", *outputs)]
