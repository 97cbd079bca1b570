"""Every command that writes, on a disk of its own that is full at a random byte and then gets room.

The disk is a small file system in memory (tmpfs), which needs the right to mount. `test_writers.py` does the
same with a limit on the size of files, everywhere.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.model_folder.load import load_model
from tests.commands.test_writers import (
    COMMANDS,
    UNEQUAL,
    call,
    content,
    inside,
    make_heard_model,
    make_model,
    networks,
    output_of,
    place,
)
from tests.datasets.builtin.test_audioset import BALANCED, EVALUATION, GENRES, table

__all__ = ["inside", "networks", "place"]

TRIES = int(os.environ.get("QUINTET_TEST_DISKS", "20"))
ROOM = "size=512m"
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
    if command == "weights":
        library = pytest.importorskip("tests.embeddings.test_library").small(tmp_path)
    if command == "tag":
        request.getfixturevalue("networks")
    if command == "fetch":
        write_programs(tmp_path / "bin", monkeypatch)
    if command in ("predict", "report"):
        make_model(inside, monkeypatch)
    if command == "explain":
        make_heard_model(inside, monkeypatch)
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
    """Names of everything below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


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
        assert code in (0, 1), text.err
        n_failed += code == 1
        if code == 1:
            assert text.err.strip(), "a sentence"
            assert not (target.suffix and target.exists()), "a file under its final name"
            assert not any((target / name).exists() for name in ("bundle.json", "index.html"))
        disk.enlarge()
        assert call(monkeypatch, line) == 0 or (code == 0 and command == "train")
        assert names(disk.folder) == expected
        if command not in UNEQUAL:
            assert content(target) == whole
        if command == "train":
            load_model(target)
        disk.unmount()
    assert n_failed > 0
