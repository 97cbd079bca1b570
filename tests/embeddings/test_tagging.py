"""Tags of files, in Python and from the command line."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner, Result

import quintet
from quintet.audio.decode import DecodedClip, load_clip
from quintet.cli import app
from quintet.embeddings import tagging
from quintet.embeddings.library import open_network
from quintet.embeddings.tagging import TagChoice
from quintet.embeddings.vocabulary import GROUPS, tag_group, tag_names
from quintet.errors import ConfigError


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, seconds in (("long", 8.0), ("short", 1.0)):
        soundfile.write(folder / f"{name}.wav", rng.normal(size=int(seconds * 22050)) / 5, 22050)
    (folder / "broken.wav").write_text("no sound")
    return folder


def call(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output + str(result.exception)
    return result


@pytest.mark.usefixtures("networks")
def test_no_file_with_tags_gives_no_heading(music: Path) -> None:
    result = call("tag", music / "broken.wav", code=1)
    assert result.stdout == ""
    assert "broken.wav" in result.stderr


@pytest.mark.usefixtures("networks")
def test_tags_are_means_over_the_windows(music: Path) -> None:
    result = quintet.tag(music, choice=TagChoice(top=None))
    assert len(result.frame) == 2 * 2 * 50
    assert [Path(path).name for path in result.failures["path"]] == ["broken.wav"]
    rows = result.frame[result.frame["path"].str.endswith("long.wav")]
    rows = rows[rows["network"] == "musicnn_msd"].set_index("tag")["activation"]
    clip = load_clip(music / "long.wav", sample_rate=16000).clip.samples
    mean = open_network("musicnn_msd").run(clip, windows=10)["tags"].mean(axis=0)
    np.testing.assert_allclose(rows[list(tag_names("msd"))], mean, rtol=1e-6)
    assert rows.is_monotonic_decreasing


@pytest.mark.usefixtures("networks")
def test_top_threshold_and_windows_choose_rows(music: Path) -> None:
    everything = quintet.tag(music / "long.wav", "musicnn_msd", choice=TagChoice(top=None)).frame
    top = quintet.tag(music / "long.wav", "musicnn_msd", choice=TagChoice(top=3)).frame
    pd.testing.assert_frame_equal(top, everything.iloc[:3])
    level = float(everything["activation"].iloc[7])
    high = quintet.tag(music / "long.wav", ["musicnn_msd"], choice=TagChoice(None, threshold=level)).frame
    pd.testing.assert_frame_equal(high, everything.iloc[:8])
    over_time = quintet.tag(
        music / "long.wav", "musicnn_msd", choice=TagChoice(top=None, windows="all", over_time=True)
    ).frame
    spans = over_time[["start_s", "end_s"]].drop_duplicates()
    assert len(spans) == (8 * 16000 // 256 + 1 - 187) // 93 + 1
    np.testing.assert_allclose(spans["end_s"] - spans["start_s"], 187 * 0.016)
    assert spans["end_s"].max() <= 8.0


@pytest.mark.usefixtures("networks")
def test_the_command_writes_every_format(music: Path, tmp_path: Path) -> None:
    printed = call("tag", music / "short.wav", "--format", "csv", "--top", 2)
    frame = pd.read_csv(io.StringIO(printed.stdout))
    assert list(frame["network"]) == ["musicnn_msd"] * 2 + ["musicnn_mtt"] * 2
    call("tag", music, "-o", tmp_path / "t.json", "-q", code=1)
    content = json.loads((tmp_path / "t.json").read_text())
    assert [Path(row["path"]).name for row in content["failures"]] == ["broken.wav"]
    assert set(content["networks"]) == {"musicnn_msd", "musicnn_mtt"}
    call("tag", music, "-o", tmp_path / "t.parquet", "-q", code=1)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), pd.DataFrame(content["tags"]))
    table = call("tag", music / "long.wav", "--over-time", "--top", 1).stdout
    assert "seconds" in table.splitlines()[0]
    call("tag", music / "short.wav", "--windows", "some", code=2)


@pytest.mark.usefixtures("library")
def test_without_weights_the_command_says_how_to_get_them(music: Path) -> None:
    result = CliRunner().invoke(app, ["tag", str(music)])
    assert isinstance(result.exception, ConfigError)
    assert "weights fetch musicnn" in str(result.exception)


@pytest.mark.usefixtures("networks")
def test_weights_are_listed_and_checked() -> None:
    listed = json.loads(call("weights", "list", "--json").stdout)
    assert [row["id"] for row in listed["networks"]] == ["musicnn_msd", "musicnn_mtt"]
    assert listed["fetchable"] == ["vgg_msd", "vgg_mtt"]
    checked = json.loads(call("weights", "check", "--json").stdout)["checks"]
    assert all(row["ok"] for row in checked)


def test_every_published_word_has_a_group() -> None:
    for vocabulary in ("mtt", "msd"):
        assert len(set(tag_names(vocabulary))) == 50
        assert {tag_group(tag) for tag in tag_names(vocabulary)} <= set(GROUPS)


def _crash(file: Path, sample_rate: int) -> DecodedClip:
    """A decoder that crashes on one file."""
    if file.name == "short.wav":
        os.kill(os.getpid(), signal.SIGSEGV)
    return load_clip(file, sample_rate=sample_rate, strict=False)


@pytest.mark.usefixtures("networks")
@pytest.mark.skipif(os.name == "nt", reason="SIGSEGV is a signal on POSIX")
def test_a_crash_of_a_decoder_costs_one_file(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "_decode", _crash)
    result = quintet.tag(music, "musicnn_msd", choice=TagChoice(top=1))
    assert {Path(path).name for path in result.frame["path"]} == {"long.wav"}
    assert sorted(Path(path).name for path in result.failures["path"]) == ["broken.wav", "short.wav"]
