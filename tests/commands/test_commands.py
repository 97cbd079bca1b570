"""What a tired user or an awkward file name meets at the terminal: nothing swallowed, nothing hanging, no traceback."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from quintet import cli
from quintet.audio.decode import load_clip
from quintet.audio.reading.probe import probe_duration_s
from quintet.commands.terminal import progress as console
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
from quintet.training.data import regroup
from quintet.training.settings import TrainSettings
from quintet.training.train import train


@pytest.fixture
def table() -> FeatureTable:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"id": [f"c{i}" for i in range(24)], "label": ["a", "b"] * 12, "x": rng.normal(size=24)}
    )
    return foreign_table(frame, Roles(), name="small")


def shown(
    rows: list[dict[str, object]], classes: list[str], *, width: int = 80, monkeypatch: pytest.MonkeyPatch
) -> str:
    screen = Console(file=io.StringIO(), width=width, highlight=False)
    monkeypatch.setattr(console, "out", screen)
    screen.print(console.probability_table(rows, classes))
    return screen.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_leak_gate_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two splits and their gap stand side by side on 80 columns, three do not: every number is whole in either case."""
    score = {"value": 0.853, "low": 0.81, "high": 0.89}
    for protocols in (["random", "group"], ["random", "group", "given"]):
        of_one = {"logistic_regression": {"scores": {"accuracy": score}}}
        gaps = [
            {"member": "logistic_regression", "score": "accuracy", "to": p, **score} for p in protocols[1:]
        ]
        screen = Console(file=io.StringIO(), width=80, highlight=False)
        screen.print(
            *console.gate_tables(
                {"protocols": dict.fromkeys(protocols, of_one), "gaps": gaps, "ungrouped": ["random"]}
            )
        )
        text = screen.file.getvalue()  # type: ignore[attr-defined]
        assert "…" not in text
        assert text.count("0.853 [0.81, 0.89]") == len(protocols)
        assert text.count("+0.853 [+0.81, +0.89]") == len(protocols) - 1


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_scores_of_many_files_fit_a_terminal(n: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(n):
        p = rng.dirichlet(np.ones(3), 30)
        frame = pd.DataFrame(
            {
                "clip_id": [f"c{i}" for i in range(30)],
                "label": list("abc") * 10,
                "group": [f"g{i // 2}" for i in range(30)],
            }
        )
        frame[[f"probability.{name}" for name in "abc"]] = p
        frame.to_csv(tmp_path / f"member_{k}.csv", index=False)
    files = [str(tmp_path / f"member_{k}.csv") for k in range(n)]
    result = CliRunner().invoke(cli.app, ["evaluate", *files, "--resamples", "50"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert "…" not in result.output
    assert (
        result.output.count("[") >= 8 * n + 3 * (n > 1) * n
    )  # every score of every file, and every difference, with its interval


def test_file_and_class_names_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"file": "[red]a[x].mp3", "probabilities": {"[bold]rock": 0.75, "[/]": 0.25}, "set": "[/]"}]
    text = shown(rows, ["[bold]rock", "[/]"], monkeypatch=monkeypatch)
    assert "[red]a[x].mp3" in text
    assert "[bold]rock 0.75" in text
    assert text.count("[/]") == 2


def test_long_class_names_leave_the_probability_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = ["a very long name of a genre " + letter for letter in "abc"]
    rows = [{"file": "x" * 300 + "\n.mp3", "probabilities": dict(zip(classes, (0.5, 0.3, 0.2), strict=True))}]
    lines = shown(rows, classes, monkeypatch=monkeypatch).splitlines()
    assert len(lines) == 2
    assert all(number in lines[1] for number in ("0.50", "0.30", "0.20"))


def test_the_ledger_does_not_swallow_brackets(tmp_path: Path) -> None:
    (tmp_path / "music" / "rock").mkdir(parents=True)
    (tmp_path / "music" / "rock" / "[bold]empty.wav").write_bytes(b"")
    result = CliRunner().invoke(
        cli.app, ["extract", str(tmp_path / "music"), "-o", str(tmp_path / "f.parquet")]
    )
    assert "✗ rock/[bold]empty.wav: " in result.stderr


def test_help_shows_brackets() -> None:
    assert "[weights]" in CliRunner().invoke(cli.app, ["fuse", "--help"]).output


def test_ctrl_c_says_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quintet.datasets.source.load_source", interrupted)
    result = CliRunner().invoke(cli.app, ["extract", "demo", "-o", "x.parquet"])
    assert result.exit_code == 130
    assert "What was finished is kept" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "table.csv"], "table.parquet"),
        (["-o", "x.parquet", "--timeout", "-1"], "more than 0"),
        (["-o", "x.parquet", "--timeout", "nan"], "more than 0"),
        (["-o", "x.parquet", "--max-failures", "500%"], "below 100"),
        (["-o", "x.parquet", "--max-failures", "nan%"], "below 100"),
    ],
)
def test_extract_refuses_what_it_cannot_mean(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rock").mkdir()
    (tmp_path / "rock" / "a.wav").write_bytes(b"")
    result = CliRunner().invoke(cli.app, ["extract", ".", *arguments])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this file system")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    assert probe_duration_s(tmp_path / "pipe.wav") is None
    with pytest.raises(DecodeError, match="pipe"):
        load_clip(tmp_path / "pipe.wav", sample_rate=None)
    (tmp_path / "list.csv").write_text("path,label\npipe.wav,a\nfolder.wav,a\nnowhere.wav,a\n")
    problems = load_source(str(tmp_path / "list.csv")).frame["problem"].tolist()
    assert ["pipe" in problems[0], "folder" in problems[1], problems[2]] == [True, True, "file not found"]


def test_a_missing_file_of_groups_is_a_sentence(table: FeatureTable, tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match="readable CSV"):
        regroup(table, tmp_path / "nowhere.csv")


def test_a_clip_in_two_groups_is_refused(table: FeatureTable, tmp_path: Path) -> None:
    ids = table.frame["id"].tolist()
    pd.DataFrame({"id": [*ids, ids[0]], "group": "queen"}).to_csv(tmp_path / "same.csv", index=False)
    assert set(regroup(table, tmp_path / "same.csv").meta["group"]) == {"queen"}
    pd.DataFrame({"id": [*ids, ids[0]], "group": ["queen"] * len(ids) + ["kinks"]}).to_csv(
        tmp_path / "two.csv", index=False
    )
    with pytest.raises(AlignmentError, match="gives two or more to 1, for example"):
        regroup(table, tmp_path / "two.csv")


def test_a_table_that_has_forgotten_its_groups_does_not_leak(table: FeatureTable, tmp_path: Path) -> None:
    """Groups that stand in the table count, whatever its metadata say of them."""
    rows = np.arange(len(table.frame))
    frame = table.frame.assign(
        group=[f"g{k // 2}" for k in rows], split=np.where((rows % 4 == 1) | (rows % 4 == 2), "test", "train")
    )
    with pytest.raises(SplitLeakError, match="the training and the test part"):
        train(
            FeatureTable(frame, {**table.metadata, "grouped": False}),
            tmp_path / "model",
            settings=TrainSettings(members=("svm",)),
        )
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("wrong", [{"rules": ("men",)}, {"settings": {"svm": {"gama": 1}}}])
def test_a_misspelt_rule_or_setting_leaves_no_folder_behind(
    wrong: dict[str, object], table: FeatureTable, tmp_path: Path
) -> None:
    settings = TrainSettings(**{"members": ("svm",), "rules": ("mean",), **wrong})  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        train(table, tmp_path / "model", settings=settings)
    assert not (tmp_path / "model").exists()


def test_a_file_in_the_place_of_the_model_is_a_sentence(table: FeatureTable, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(ArtefactError, match="is a file"):
        train(table, tmp_path / "model", settings=TrainSettings(members=("svm",)))
    assert issubclass(ArtefactError, QuintetError)
