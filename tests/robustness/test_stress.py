"""Stress test: numbers of the report in closed form, and a model of tones under all disturbances."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from quintet import cli
from quintet.audio.decode import ClipSource
from quintet.errors import ConfigError, DatasetError
from quintet.features.parameters import FeatureParameters
from quintet.robustness.disturbances import DISTURBANCES
from quintet.robustness.recordings import Labelled
from quintet.robustness.report import make_report
from quintet.robustness.stress import stress
from quintet.training.settings import TrainSettings
from quintet.workflow import extract, train

RATE = 8000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Quiet and loud noise, of which only the level tells the class, and a model of the level."""
    folder = tmp_path_factory.mktemp("stress")
    for k in range(16):
        for name, gain in (("quiet", 0.03), ("loud", 0.1)):
            path = folder / "music" / name / f"{k}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(k).normal(size=RATE)
            soundfile.write(path, gain * noise, RATE)
    parameters = FeatureParameters(families=("temporal",))
    extract(folder / "music", folder / "features.parquet", parameters=parameters, n_jobs=0)
    settings = TrainSettings(members=("logistic_regression",), folds=2, test_size=0.25, resamples=5)
    train(folder / "features.parquet", folder / "model", settings=settings)
    return folder


@pytest.mark.slow
def test_gain_breaks_a_model_of_levels_and_trimming_does_not(place: Path) -> None:
    names = ("gain_up", "gain_down", "trimmed", "mono")
    report = stress(place / "model", [place / "music"], names=names)
    frame = report.frame.set_index("disturbance")
    assert report.n_labelled == 32
    assert list(frame.index) == ["unchanged", *names]
    assert frame.loc["unchanged", "accuracy"] == 1.0
    assert frame.loc["gain_up", "flips"] == frame.loc["gain_up", "loss"] == pytest.approx(0.5, abs=0.1)
    assert frame.loc["gain_up", "accuracy"] == pytest.approx(1 - frame.loc["gain_up", "loss"])
    assert frame.loc[["trimmed", "mono"], "flips"].tolist() == [0.0, 0.0]
    assert frame.loc["gain_up", "loss_low"] > 0
    assert set(frame.loc["gain_up", "families"]) == {"temporal"}
    assert frame.loc["mono", "families"] == {"temporal": 0.0}
    assert "clips of the training part" in " ".join(report.notes)


@pytest.mark.slow
def test_held_out_clips_are_the_default(place: Path) -> None:
    report = stress(place / "model", names=["trimmed"])
    n_held_out = int((pd.read_parquet(place / "model" / "split.parquet")["part"] == "test").sum())
    assert report.frame["n"].tolist() == [n_held_out, n_held_out]
    assert report.n_labelled == n_held_out
    assert report.notes == ()


@pytest.mark.slow
def test_clips_of_the_training_are_known_in_other_places(place: Path, tmp_path: Path) -> None:
    split = pd.read_parquet(place / "model" / "split.parquet").set_index("id")["part"]
    (tmp_path / "loud").mkdir()
    for id in split.index[split.index.str.startswith("loud/")]:
        (tmp_path / id).write_bytes((place / "music" / id).read_bytes())
    n_trained = int((split[split.index.str.startswith("loud/")] == "train").sum())
    report = stress(place / "model", [tmp_path / "loud"], names=["trimmed"])
    assert any(f"{n_trained} of the files are clips of the training part" in note for note in report.notes)


@pytest.mark.slow
def test_what_cannot_be_measured_is_said(place: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(99).normal(size=RATE)
    (tmp_path / "unknown").mkdir()
    soundfile.write(tmp_path / "unknown" / "a.wav", 0.1 * noise, RATE)
    (tmp_path / "unknown" / "b.wav").write_text("no audio")
    report = stress(place / "model", [tmp_path / "unknown"], names=["trimmed"])
    assert report.n_labelled == 0
    notes = " ".join(report.notes)
    assert "no accuracy" in notes
    assert "are those of these files" not in notes
    assert "1 of 2 recordings could not be read" in notes
    assert [(Path(row["file"]).name, row["stage"]) for row in report.failures] == [("b.wav", "decode")]
    assert "b.wav' holds text" in report.failures[0]["reason"]


@pytest.mark.slow
def test_a_recording_that_cannot_be_read_counts_as_no_labelled_one(place: Path, tmp_path: Path) -> None:
    for label in ("loud", "quiet"):
        (tmp_path / label).mkdir()
    noise = np.random.default_rng(98).normal(size=RATE)
    soundfile.write(tmp_path / "loud" / "a.wav", 0.1 * noise, RATE)
    (tmp_path / "quiet" / "b.wav").write_text("no audio")
    report = stress(place / "model", [tmp_path], names=["trimmed"])
    assert (report.n_labelled, report.frame["n"].tolist(), len(report.failures)) == (1, [1, 1], 1)


@pytest.mark.slow
def test_the_command_prints_writes_and_refuses(place: Path, tmp_path: Path) -> None:
    words = ["stress", str(place / "model"), "--disturbances", "gain_down", "-q"]
    printed = CliRunner().invoke(cli.app, [*words, "-o", str(tmp_path / "table.csv")])
    assert printed.exit_code == 0, printed.output
    assert "gain_down" in printed.stdout
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["disturbance"].tolist() == ["unchanged", "gain_down"]
    answer = json.loads(CliRunner().invoke(cli.app, [*words, "--json"]).stdout)
    assert answer["disturbances"][1]["words"] == DISTURBANCES["gain_down"].words
    with pytest.raises(ConfigError, match="disturbance"):
        stress(place / "model", names=["echo"])
    (tmp_path / "no.wav").write_text("no audio")
    with pytest.raises(DatasetError, match="none among 1"):
        stress(place / "model", [tmp_path / "no.wav"], names=["noise"])


def model(*, multilabel: bool) -> SimpleNamespace:
    """What the report asks of a model."""
    bundle = {"feature_names": ["spectral.a.mean", "rhythm.b.mean"]}
    return SimpleNamespace(class_names_=("x", "y"), multilabel_=multilabel, bundle_=bundle, files_=None)


def recordings(labels: list[str | None]) -> Labelled:
    ids = [str(k) for k in range(len(labels))]
    return Labelled([ClipSource(id) for id in ids], labels, ids)


def test_numbers_of_classes() -> None:
    base = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [np.nan, np.nan]])
    other = np.array([[0.2, 0.8], [0.7, 0.3], [0.3, 0.7], [0.4, 0.6], [0.5, 0.5]])
    values = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [np.nan, np.nan]])
    moved = values + np.array([np.std([0, 1, 2, 3]), 0.0])
    report = make_report(
        model(multilabel=False),
        recordings(["x", "y", "y", None, "x"]),
        {"unchanged": base, "noise": other},
        {"unchanged": values, "noise": moved},
    )
    row = report.frame.iloc[1]
    assert (row["n"], row["flips"]) == (4, 0.5)
    assert row["accuracy"] == pytest.approx(1 / 3)  # the first flips to wrong, the second stays wrong
    assert row["loss"] == pytest.approx(1 / 3)
    assert row["families"] == {"spectral": 1.0, "rhythm": 0.0}
    assert report.frame.iloc[0]["loss"] == 0.0


def test_numbers_of_tags_and_of_recordings_without_labels() -> None:
    base, other = np.array([[0.9, 0.1], [0.8, 0.9]]), np.array([[0.9, 0.6], [0.2, 0.1]])
    values = np.array([[0.0, 1.0], [1.0, 0.0]])
    tables = {"unchanged": base, "noise": other}, {"unchanged": values, "noise": values}
    row = make_report(model(multilabel=True), recordings(["x", "x;y"]), *tables).frame.iloc[1]
    assert (row["flips"], row["accuracy"], row["loss"]) == (0.75, 0.25, 0.75)
    report = make_report(model(multilabel=True), recordings([None, None]), *tables)
    assert report.n_labelled == 0
    assert report.frame["accuracy"].isna().all()
    assert report.to_json()["disturbances"][1]["accuracy"] is None
