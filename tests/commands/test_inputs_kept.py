"""No command writes over a file that it reads, and none passes over an option that was given."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quintet.cli import app
from quintet.commands.terminal.destinations import prepare_file, prepare_folder
from quintet.errors import ArtefactError


def test_an_output_is_none_of_the_inputs(tmp_path: Path) -> None:
    given, other = tmp_path / "a.csv", tmp_path / "b.csv"
    given.write_text("id\n1\n")
    prepare_file(other, inputs=[given, None, "missing.csv"])
    prepare_file("/dev/null", inputs=["/dev/null"])
    (tmp_path / "link.csv").symlink_to(given)
    os.link(given, tmp_path / "hard.csv")
    for name in ("a.csv", "link.csv", "hard.csv", "../" + tmp_path.name + "/a.csv"):
        with pytest.raises(ArtefactError, match="that the command reads"):
            prepare_file(tmp_path / name, "--to", inputs=[other, given])


@pytest.mark.parametrize("prepare", [prepare_file, prepare_folder])
def test_an_output_is_no_part_of_a_model(prepare: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "model" / "members").mkdir(parents=True)
    (tmp_path / "model" / "bundle.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    for name in ("scores.json", "bundle.json", "predictions/mine.parquet", "members/new/x.csv"):
        for folder in ("model", "link"):
            with pytest.raises(ArtefactError, match="part of a model"):
                prepare(tmp_path / folder / name)
    for name in ("model/mine.csv", "model/report/page", "other/scores.json"):
        prepare(tmp_path / name)


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "model", "--table", "t.csv", "-o", "t.csv"],
        ["predict", "model", "--table", "other.csv", "--join", "x=t.csv", "-o", "t.csv"],
        ["suggest", "model", "--table", "t.csv", "-o", "t.csv"],
        ["audit", "t.csv", "--groups-to", "t.csv"],
        ["audit", "t.csv", "--model", "model", "--labels-to", "t.csv"],
        ["fuse", "other.csv", "t.csv", "-o", "t.csv"],
        ["extract", "t.parquet", "-o", "t.parquet"],
        ["extract", "t.csv", "-o", "x.parquet", "--published-names", "t.csv", "--features", "bahuleyan2018"],
        ["library", "genres", "my.library", "--map", "t.toml", "--write-map", "t.toml"],
    ],
    ids=" ".join,
)
def test_commands_keep_what_they_read(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("t.csv", "t.parquet", "t.toml"):
        (tmp_path / name).write_text("" if name == "t.toml" else "path,label\n1.wav,rock\n")
    result = CliRunner().invoke(app, words)
    assert "that the command reads" in str(result.exception)
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "model", "--table", "t.csv", "--segment", "3"],
        ["predict", "model", "--table", "t.csv", "--strict"],
        ["predict", "model", "a.wav", "--id-column", "x"],
        ["suggest", "model", "a.wav", "--id-column", "x"],
    ],
    ids=" ".join,
)
def test_an_option_that_would_do_nothing_is_refused(words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert next(word for word in words[3:] if word.startswith("--") and word != "--table") in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["suggest", "model", "a.wav", "-o"],
        ["stress", "model", "a.wav", "-o"],
        ["audit", "t.csv", "--groups-to"],
        ["audit", "t.csv", "--model", "model", "--labels-to"],
    ],
    ids=" ".join,
)
def test_csv_is_not_written_under_the_name_of_another_format(words: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*words, str(tmp_path / "x.parquet")])
    assert result.exit_code == 2
    assert ".csv" in result.output
