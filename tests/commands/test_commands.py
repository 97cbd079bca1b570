"""Commands with unusual input: each one answers with a message, none hangs or prints a traceback."""

from __future__ import annotations

import io
import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from quintet import cli
from quintet.audio.decode import load_clip
from quintet.audio.reading.probe import probe_duration_s
from quintet.commands.terminal.parsing import read_file_names
from quintet.datasets.source import load_source
from quintet.errors import (
    AlignmentError,
    ArtefactError,
    ConfigError,
    DecodeError,
    QuintetError,
    SplitLeakError,
)
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable
from quintet.training.corrections.groups import regroup
from quintet.training.corrections.labels import relabel
from quintet.training.settings import TrainSettings
from quintet.training.train import train


@pytest.fixture
def table() -> FeatureTable:
    values = np.random.default_rng(0).normal(size=24)
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(24)], "label": ["a", "b"] * 12, "x": values})
    return foreign_table(frame, Roles(), name="small")


@pytest.mark.parametrize("n_files", [1, 2, 5])
def test_evaluate_fits_a_terminal(n_files: int, tmp_path: Path) -> None:
    """Each score of each file, and each difference, stands with its whole interval on 80 columns."""
    rng = np.random.default_rng(0)
    columns = [f"probability.{name}" for name in "abc"]
    files = [tmp_path / f"member_{k}.csv" for k in range(n_files)]
    for file in files:
        frame = pd.DataFrame(
            {
                "clip_id": [f"c{i}" for i in range(30)],
                "label": list("abc") * 10,
                "group": [f"g{i // 2}" for i in range(30)],
            }
        )
        frame[columns] = rng.dirichlet(np.ones(3), 30)
        frame.to_csv(file, index=False)
    words = ["evaluate", *map(str, files), "--resamples", "50"]
    result = CliRunner().invoke(cli.app, words, env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert "…" not in result.output
    n_scores, n_differences = 8 * n_files, 3 * n_files if n_files > 1 else 0
    assert result.output.count("[") >= n_scores + n_differences


def test_a_file_name_with_brackets_is_printed_whole(tmp_path: Path) -> None:
    (tmp_path / "music" / "rock").mkdir(parents=True)
    (tmp_path / "music" / "rock" / "[bold]empty.wav").write_bytes(b"")
    words = ["extract", str(tmp_path / "music"), "-o", str(tmp_path / "f.parquet")]
    result = CliRunner().invoke(cli.app, words)
    assert "✗ rock/[bold]empty.wav: " in result.stderr


def test_help_shows_brackets() -> None:
    assert "[weights]" in CliRunner().invoke(cli.app, ["fuse", "--help"]).output


def test_an_interrupt_has_a_message_and_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quintet.datasets.source.load_source", interrupt)
    result = CliRunner().invoke(cli.app, ["extract", "demo", "-o", "x.parquet"])
    assert result.exit_code == 130
    assert "the same command continues" in result.stderr
    monkeypatch.setattr("quintet.commands.pretrained.tag.prepare_file", interrupt)
    result = CliRunner().invoke(cli.app, ["tag", "x.wav"])
    assert result.exit_code == 130
    assert "kept" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.parquet", "--timeout", "-1"], "more than 0"),
        (["-o", "x.parquet", "--timeout", "nan"], "more than 0"),
        (["-o", "x.parquet", "--max-failures", "500%"], "below 100"),
        (["-o", "x.parquet", "--max-failures", "nan%"], "below 100"),
    ],
)
def test_extract_refuses_impossible_options(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rock").mkdir()
    (tmp_path / "rock" / "a.wav").write_bytes(b"")
    result = CliRunner().invoke(cli.app, ["extract", ".", *arguments])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_extract_refuses_a_table_that_is_not_parquet(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["extract", str(tmp_path), "-o", str(tmp_path / "table.csv")])
    assert result.exit_code == 2
    assert "parquet" in result.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this file system")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    assert probe_duration_s(tmp_path / "pipe.wav") is None
    with pytest.raises(DecodeError, match="pipe"):
        load_clip(tmp_path / "pipe.wav", sample_rate=None)
    (tmp_path / "list.csv").write_text("path,label\npipe.wav,a\nfolder.wav,a\nnowhere.wav,a\n")
    problems = load_source(str(tmp_path / "list.csv")).frame["problem"].tolist()
    assert ["pipe" in problems[0], "folder" in problems[1], problems[2]] == [True, True, "file not found"]


def test_a_missing_file_of_groups_is_refused(table: FeatureTable, tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match=r"nowhere\.csv"):
        regroup(table, tmp_path / "nowhere.csv")


def test_a_clip_in_two_groups_is_refused(table: FeatureTable, tmp_path: Path) -> None:
    ids = table.frame["id"].tolist()
    same = pd.DataFrame({"id": [*ids, ids[0]], "group": "queen"})
    same.to_csv(tmp_path / "same.csv", index=False)
    assert set(regroup(table, tmp_path / "same.csv").meta["group"]) == {"queen"}
    same.assign(group=["Béla", "Béla "] + ["Béla"] * (len(same) - 2)).to_csv(
        tmp_path / "same.csv", index=False, encoding="cp1252"
    )
    noted = " ".join(regroup(table, tmp_path / "same.csv").metadata["notes"])
    assert "same.csv is not UTF-8 and was read as cp1252" in noted
    assert "1 group is written in several ways, which are joined: 'Béla' ('Béla', 'Béla ')." in noted
    two = pd.DataFrame({"id": [*ids, ids[0]], "group": ["queen"] * len(ids) + ["kinks"]})
    two.to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(AlignmentError, match=r"two\.csv .* 1, for example 'c0'"):
        regroup(table, tmp_path / "two.csv")


def test_groups_and_labels_find_ids_in_either_unicode_form(tmp_path: Path) -> None:
    ids = ["caf\u00e9", "e\u0301t\u00e9", "b", "c"]
    rows = pd.DataFrame({"id": ids, "label": ["x", "x", "y", "y"], "value": [1.0, 2, 3, 5]})
    table = foreign_table(rows, Roles(), name="tiny")
    listed = pd.DataFrame({"id": [unicodedata.normalize("NFD", id) for id in ids]})
    listed.assign(group=["g", "g", "h", "h"]).to_csv(tmp_path / "groups.csv", index=False)
    assert regroup(table, tmp_path / "groups.csv").meta["group"].to_dict() == dict(
        zip(ids, "gghh", strict=True)
    )
    listed.assign(corrected=["y", "", "y", ""]).to_csv(tmp_path / "labels.csv", index=False)
    assert relabel(table, tmp_path / "labels.csv").meta["label"].to_dict() == dict(
        zip(ids, "yxyy", strict=True)
    )


def test_groups_in_a_table_count_even_if_its_metadata_denies_them(
    table: FeatureTable, tmp_path: Path
) -> None:
    rows = np.arange(len(table.frame))
    parts = np.where((rows % 4 == 1) | (rows % 4 == 2), "test", "train")
    frame = table.frame.assign(group=[f"g{k // 2}" for k in rows], split=parts)
    ungrouped = FeatureTable(frame, {**table.metadata, "grouped": False})
    with pytest.raises(SplitLeakError, match="the training and the test part"):
        train(ungrouped, tmp_path / "model", settings=TrainSettings(members=("svm",)))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("wrong", [{"rules": ("men",)}, {"settings": {"svm": {"gama": 1}}}])
def test_an_unknown_rule_or_setting_leaves_no_folder(
    wrong: dict[str, object], table: FeatureTable, tmp_path: Path
) -> None:
    def ask() -> None:
        settings = TrainSettings(**{"members": ("svm",), "rules": ("mean",), **wrong})  # type: ignore[arg-type]
        train(table, tmp_path / "model", settings=settings)

    with pytest.raises(ConfigError):
        ask()
    assert not (tmp_path / "model").exists()


def test_a_file_in_the_place_of_the_model_is_refused(table: FeatureTable, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(ArtefactError, match="is a file"):
        train(table, tmp_path / "model", settings=TrainSettings(members=("svm",)))
    assert issubclass(ArtefactError, QuintetError)


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("genre", "quintet tag"),
        ("mood", "quintet tag"),
        ("similar", "library similar"),
        ("app", "library open"),
    ],
)
def test_a_word_that_people_try_says_where_it_is(word: str, place: str) -> None:
    result = CliRunner().invoke(cli.app, [word, "music/"], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert f"No such command '{word}'." in result.stderr
    assert place in result.stderr


def test_music_in_the_place_of_the_model_is_told_how_to_get_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["predict", str(tmp_path)], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert "a model comes first" in result.stderr
    assert "quintet train" in result.stderr


@pytest.mark.parametrize("text", [b"a b.wav\n\nc.wav\r\n", b"a b.wav\0c.wav\0"])
def test_names_of_files_come_from_standard_input(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert read_file_names(["-"]) == ["a b.wav", "c.wav"]
    assert read_file_names(["-", "x"]) == ["-", "x"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(ConfigError, match="must have names"):
        read_file_names(["-"])
