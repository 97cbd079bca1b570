"""Command `audit`: options that name the columns of a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from quintet import cli


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Table of twelve clips by three artists, who have numbers; the clip ids name two classes."""
    values = np.random.default_rng(0).normal(size=(12, 3))
    frame = pd.DataFrame(values, columns=["x", "y", "z"])
    frame.insert(0, "id", [f"{'ab'[i % 2]}.{i}" for i in range(12)])
    frame.insert(1, "label", ["one", "two"] * 6)
    frame.insert(2, "artist", np.arange(12) // 4)
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path


def audit(table: Path, *options: str) -> dict[str, object]:
    result = CliRunner().invoke(cli.app, ["audit", str(table), "--json", "--quiet", *options])
    assert result.exit_code == 0, result.output
    report: dict[str, object] = json.loads(result.stdout)
    return report


def test_the_group_column_alone_gives_the_groups(table: Path) -> None:
    assert audit(table, "--group-column", "artist")["n_groups"] == 3
    assert audit(table)["n_groups"] == 12


def test_the_label_expression_alone_gives_the_classes(table: Path) -> None:
    balance = audit(table, "--label-from", "^(.)")["balance"]
    assert isinstance(balance, list)
    assert sorted(row["label"] for row in balance) == ["a", "b"]


@pytest.mark.parametrize("option", ["--id-column", "--label-column", "--group-column"])
def test_a_column_that_is_not_in_the_table_is_an_error(table: Path, option: str) -> None:
    result = CliRunner().invoke(cli.app, ["audit", str(table), "--quiet", option, "nowhere"])
    assert "nowhere" in str(result.exception)


def test_an_audit_of_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\nnowhere.wav,rock\n", encoding="utf-8")
    result = CliRunner().invoke(cli.app, ["audit", str(tmp_path / "list.csv"), "--json", "--quiet"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["n"] == 0
    assert "1 that cannot" in str(result.exception)


def test_the_columns_and_the_root_of_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    noise = np.random.default_rng(0).normal(size=8000) * 0.1
    soundfile.write(tmp_path / "audio/a.wav", noise, 8000)
    (tmp_path / "list.csv").write_text("file,kind,start\na.wav,rock,900\n", encoding="utf-8")
    words = ["--root", str(tmp_path / "audio"), "--column", "path=file", "--column", "label=kind"]
    assert audit(tmp_path / "list.csv", *words, "--ignore-column", "start")["n"] == 1
    mixed = ["audit", str(tmp_path / "list.csv"), *words, "--id-column", "file"]
    assert CliRunner().invoke(cli.app, mixed).exit_code == 2
