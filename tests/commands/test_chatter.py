"""What C libraries print about a damaged file is not what people read: the ledger has our reason."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an mp3 whose frames are overwritten here and there: libmpg123 writes lines about it."""
    folder = tmp_path_factory.mktemp("damaged") / "rock"
    folder.mkdir()
    rng = np.random.default_rng(0)
    sound = 0.2 * np.sin(0.05 * np.arange(4 * 44100)) + 0.05 * rng.normal(size=4 * 44100)
    soundfile.write(folder / "a.mp3", sound, 44100)
    content = bytearray((folder / "a.mp3").read_bytes())
    for k in range(3000, len(content), 1500):
        content[k : k + 40] = bytes(rng.integers(0, 256, 40, dtype=np.uint8))
    (folder / "a.mp3").write_bytes(content)
    return folder.parent


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("jobs", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_damaged_mp3_adds_no_lines(damaged: Path, jobs: int, tmp_path: Path) -> None:
    plain = run("-c", f"import soundfile; soundfile.read({str(damaged / 'rock' / 'a.mp3')!r})")
    if "mpg123" not in plain.stderr:
        pytest.skip("this libmpg123 writes nothing about the file")
    output = tmp_path / "f.parquet"
    words = ("extract", damaged, "-o", output, "--families", "temporal", "-j", jobs, "-q")
    done = run("-c", "from quintet.cli import main; main()", *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_load_clip_prints_nothing_in_threads_and_gives_standard_error_back(
    damaged: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also on workers of a cluster, which have threads: blocks overlap, and the last one gives it back."""
    soundfile.read(damaged / "rock" / "a.mp3")
    if "mpg123" not in capfd.readouterr().err:
        pytest.skip("this libmpg123 writes nothing about the file")
    with ThreadPoolExecutor(4) as pool:
        clips = list(
            pool.map(
                lambda _: load_clip(damaged / "rock" / "a.mp3", sample_rate=22050, strict=False), range(8)
            )
        )
    assert {clip.clip.samples.size for clip in clips} == {clips[0].clip.samples.size}
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_a_figure_prints_nothing_where_no_home_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = "from quintet.reports.style import new_figure; import matplotlib.font_manager; new_figure(9)"
    nowhere = {
        "HOME": str(tmp_path / "file"),
        "XDG_CONFIG_HOME": "",
        "XDG_CACHE_HOME": "",
        "MPLCONFIGDIR": "",
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **nowhere}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
