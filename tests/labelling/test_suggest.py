"""Suggestions from a model: of rows of a table and of files, and the way back into a training."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from quintet import cli
from quintet.errors import ConfigError, DatasetError
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.labelling.suggest import suggest, write_suggestions
from quintet.training.corrections.labels import relabel
from quintet.training.settings import TrainSettings
from quintet.workflow import extract, train

RATE = 8000

pytestmark = pytest.mark.slow  # it extracts and trains; tests/labelling/test_choice.py is quick


def write_clip(path: Path, pitch: float, seed: int, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * t) + 0.02 * rng.normal(size=len(t)), RATE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve labelled and nine new clips, a table of the labelled ones and a model of one member."""
    folder = tmp_path_factory.mktemp("suggest")
    for k in range(6):
        seconds = 1.0 if k else 2.5  # `predict` cuts it into segments
        write_clip(folder / "music" / "low" / f"{k}.wav", 200 + 5 * k, k, seconds)
        write_clip(folder / "music" / "high" / f"{k}.wav", 2000 + 40 * k, 10 + k)
    for k in range(9):
        write_clip(folder / "new" / "unknown" / f"{k}.wav", (210, 650, 2050)[k % 3] + 3 * k, 20 + k)
    parameters = FeatureParameters(families=("spectral",))
    extract(folder / "music", folder / "features.parquet", parameters=parameters, n_jobs=0)
    settings = TrainSettings(members=("logistic_regression",), folds=2, test_size=0, resamples=5)
    train(folder / "features.parquet", folder / "model", settings=settings)
    return folder


@pytest.fixture(scope="module")
def table(place: Path) -> FeatureTable:
    """The rows of the training, of which half have lost their labels, and nine new ones without labels."""
    table = read_feature_table(place / "features.parquet")
    frame = table.frame.copy()
    frame.loc[frame["id"].str.contains("[345].wav"), "label"] = None
    extract(place / "new", place / "new.parquet", parameters=table.parameters, n_jobs=0)
    new = read_feature_table(place / "new.parquet").frame.assign(label=None)
    return FeatureTable(pd.concat([frame, new.astype(frame.dtypes)], ignore_index=True), table.metadata)


def test_new_rows_without_a_label_are_the_candidates(place: Path, table: FeatureTable) -> None:
    found = suggest(place / "model", table=table, n=4)
    assert found.n_candidates == 9
    assert any("6 rows are clips of the training" in note for note in found.notes)
    assert len(found.frame) == 4
    assert found.frame["id"].str.startswith("unknown/").all()
    assert found.frame["doubt"].between(0, 1).all()
    assert set(found.frame["guess"]) <= {"low", "high"}
    old = FeatureTable(table.frame[~table.frame["id"].str.startswith("unknown/")], table.metadata)
    with pytest.raises(DatasetError, match="6 rows are clips of the training"):
        suggest(place / "model", table=old)


def test_a_table_with_all_labels_and_no_input_are_refused(place: Path, table: FeatureTable) -> None:
    whole = read_feature_table(place / "features.parquet")
    with pytest.raises(DatasetError, match="All 12 usable rows"):
        suggest(place / "model", table=whole)
    with pytest.raises(ConfigError, match="give one"):
        suggest(place / "model")
    with pytest.raises(ConfigError, match="give one"):
        suggest(place / "model", [place / "new"], table=table)


def test_files_are_suggested_and_their_labels_come_back(place: Path, tmp_path: Path) -> None:
    found = suggest(place / "model", [place / "new", place / "music" / "low"], n=3)
    assert found.n_candidates == 9
    assert "6 files are clips of the training" in found.notes[0]
    assert found.frame["path"].map(lambda path: Path(path).parent.name).unique().tolist() == ["unknown"]
    write_suggestions(found, tmp_path / "next.csv")
    with (tmp_path / "next.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "corrected", "path", "guess", "p_guess", "doubt"]
    rows[1][1], rows[2][1] = "low", "high"
    with (tmp_path / "next.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    before = read_feature_table(place / "features.parquet")
    after = relabel(before, tmp_path / "next.csv")
    assert len(after.meta) == 14
    assert after.meta["label"].loc[[rows[1][0], rows[2][0]]].tolist() == ["low", "high"]
    assert "2 clips were added" in after.metadata["notes"][-2]
    pd.testing.assert_frame_equal(after.features.loc[before.meta.index], before.features)
    own = extract(place / "new", tmp_path / "own.parquet", parameters=before.parameters, n_jobs=0)
    assert own.n_failed == 0
    described = read_feature_table(tmp_path / "own.parquet").features
    assert np.array_equal(after.features.loc[rows[1][0]], described.loc[f"unknown/{Path(rows[1][0]).name}"])


def test_the_command_writes_a_list(place: Path, tmp_path: Path) -> None:
    words = ["suggest", str(place / "model"), str(place / "new"), "-n", "2", "-q"]
    printed = CliRunner().invoke(cli.app, words)
    assert printed.exit_code == 0, printed.output
    assert len(printed.stdout.split()) == 2
    written = CliRunner().invoke(cli.app, [*words, "-o", str(tmp_path / "next.csv")])
    assert written.exit_code == 0, written.output
    assert len((tmp_path / "next.csv").read_text().splitlines()) == 3
    assert CliRunner().invoke(cli.app, ["suggest", str(place / "model")]).exit_code == 2
    (tmp_path / "no.wav").write_text("no audio")
    answer = CliRunner().invoke(cli.app, [*words, str(tmp_path / "no.wav"), "--json"])
    assert answer.exit_code == 1
    content = json.loads(answer.stdout)
    assert (len(content["clips"]), content["n_failed"]) == (2, 1)
    (failure,) = content["failures"]
    assert (failure["file"], failure["stage"]) == (str(tmp_path / "no.wav"), "decode")
    assert "holds text" in failure["reason"]
