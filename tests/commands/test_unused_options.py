"""An option that has no effect on these data is refused, or said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from quintet.cli import app
from quintet.training.settings import TrainSettings
from quintet.workflow import train

FAST = ["-m", "logistic_regression", "--rules", "mean", "--resamples", "0"]


def blobs(n: int = 48) -> pd.DataFrame:
    """Two classes, a group of two clips each, and a split column."""
    y = np.arange(n) % 2
    values = np.random.default_rng(0).normal(size=(n, 2)) + 2.0 * y[:, None]
    frame = pd.DataFrame(values, columns=["f0", "f1"])
    parts = np.array(["train", "test", "train", "valid"])[np.arange(n) // 4 % 4]
    return frame.assign(
        id=[f"clip{k}" for k in range(n)],
        label=np.where(y, "x", "y"),
        group=[f"g{k // 4}" for k in range(n)],
        split=parts,
    )


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("options", [["--test-size", "0.5"], ["--protocol", "given", "--test-size", "0.2"]])
def test_the_share_of_a_test_part_is_refused_where_the_data_bring_one(
    tmp_path: Path, options: list[str]
) -> None:
    blobs().to_csv(tmp_path / "t.csv", index=False)
    result = run("train", tmp_path / "t.csv", "-o", tmp_path / "m", *FAST, *options)
    assert result.exit_code == 2
    assert not (tmp_path / "m").exists()
    assert run("train", tmp_path / "t.csv", "-o", tmp_path / "m", *FAST).exit_code == 0


def test_files_of_a_split_are_refused_where_another_protocol_splits(tmp_path: Path) -> None:
    frame = blobs()
    frame.drop(columns="split").to_csv(tmp_path / "t.csv", index=False)
    frame[["id", "split"]].to_csv(tmp_path / "s.csv", index=False)
    words = ("train", tmp_path / "t.csv", "-o", tmp_path / "m", *FAST, "--split-file", tmp_path / "s.csv")
    assert run(*words, "--protocol", "group").exit_code == 2
    assert run(*words).exit_code == 0


def test_spectrograms_are_refused_where_no_member_reads_them(tmp_path: Path) -> None:
    blobs().to_csv(tmp_path / "t.csv", index=False)
    words = ("train", tmp_path / "t.csv", "-o", tmp_path / "m", *FAST, "--spectrograms", tmp_path / "none")
    assert run(*words).exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        ["--spectrograms", "none"],
        ["--test-size", "0.5"],
        ["--protocol", "group", "--split-file", "t.csv"],
    ],
)
def test_a_search_refuses_what_training_refuses(tmp_path: Path, options: list[str]) -> None:
    blobs().to_csv(tmp_path / "t.csv", index=False)
    words = ["tune", tmp_path / "t.csv", "-o", tmp_path / "s", "-m", "logistic_regression", "--trials", 1]
    result = run(*words, *[tmp_path / word if word == "t.csv" else word for word in options])
    assert result.exit_code == 2
    assert not (tmp_path / "s").exists()
    assert run(*words).exit_code == 0


def test_a_search_for_a_recipe_refuses_tables_to_join(tmp_path: Path) -> None:
    result = run("tune", "bahuleyan2018", "-o", tmp_path / "s", "--join", tmp_path / "none.csv")
    assert result.exit_code == 2
    assert "--join is for tables" in " ".join(result.output.split())


def test_a_promise_is_refused_without_a_confidence(tmp_path: Path) -> None:
    blobs().to_csv(tmp_path / "t.csv", index=False)
    for promise in ("recall", "precision"):
        words = ("predict", tmp_path / "m", "--table", tmp_path / "t.csv", "--promise", promise)
        assert "--promise: is about --confidence" in " ".join(run(*words).output.split())


def test_fingerprints_are_refused_for_a_table(tmp_path: Path) -> None:
    blobs().to_csv(tmp_path / "t.csv", index=False)
    assert run("audit", tmp_path / "t.csv", "--fingerprints").exit_code == 2
    assert run("audit", tmp_path / "t.csv", "--id-column", "id", "--no-fingerprints").exit_code == 2
    assert run("audit", tmp_path / "t.csv").exit_code == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, []),
        ({"test_size": 0.5}, ["share of 0.5"]),
        ({"folds": 3}, ["3 folds"]),
        ({"protocol": "group", "folds": 2}, ["splits by 'group'"]),
    ],
)
def test_settings_without_effect_are_said(
    tmp_path: Path, changed: dict[str, object], words: list[str]
) -> None:
    blobs().to_csv(tmp_path / "t.csv", index=False)
    settings = TrainSettings(members=("logistic_regression",), rules=("mean",), resamples=0, **changed)
    result = train(tmp_path / "t.csv", tmp_path / "m", settings=settings)
    notes = [
        note for note in result.notes if note.startswith("The data bring their own") or "is not used" in note
    ]
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))
    assert json.loads((tmp_path / "m" / "bundle.json").read_text())["notes"][: len(notes)] == notes
