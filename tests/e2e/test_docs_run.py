"""Commands of README, tutorials and the how-to about genres, run in their order on the demo corpus."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from quintet.datasets.demo.corpus import render_demo, render_held_out

from .tagged_music import make_tagged_music

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/tutorial.md", "docs/genres.md", "docs/library-tutorial.md")
ELSEWHERE = (["serve"], ["weights"], ["tag"], ["library", "open"])
"""First words of services that do not end, and of downloads. They have tests of their own."""
QUICKER = {"train": ["--members", "logistic_regression,random_forest"]}


def commands(page: str) -> list[list[str]]:
    """The words of each `quintet …` line in the bash blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines: list[str] = []
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines += block.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line[:1] == ["quintet"]]


def as_it_runs(words: list[str]) -> list[str]:
    """A command, with few members if it names none."""
    extra = [] if "--members" in words else QUICKER.get(words[0], [])
    return [*words, *extra]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with music in one sub-folder per class, its artists, new music, and a song."""
    folder = tmp_path_factory.mktemp("docs")
    render_demo(folder / "music")
    make_tagged_music(folder / "copy", folder / "music")
    manifest = pd.read_csv(folder / "music/manifest.csv").rename(columns={"path": "id"})
    manifest[["id", "group"]].to_csv(folder / "artists.csv", index=False)
    (folder / "music/manifest.csv").unlink()
    render_held_out(folder / "new")
    samples, rate = soundfile.read(folder / "new/rock_by_Pia_Kiesel.flac")
    soundfile.write(folder / "song.mp3", samples, rate)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_their_order(page: str, place: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(place, work)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = 0
    for words in commands(page):
        if words[:1] in ELSEWHERE or words[:2] in ELSEWHERE:
            continue
        if words[0] == "evaluate":
            shutil.copy(work / "model/verdict/test.parquet", work / "predictions.parquet")
        if "demo:music" in words:
            shutil.rmtree(work / "music")
        result = subprocess.run(
            [sys.executable, "-m", "quintet", *as_it_runs(words)],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert result.returncode == 0, f"quintet {shlex.join(words)}\n{result.stderr[-2000:]}"
        done += 1
    assert done >= 4
