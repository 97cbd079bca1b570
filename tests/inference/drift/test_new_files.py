"""`predict` compares ten new files or more with the training clips, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from quintet import cli
from quintet.features.parameters import FeatureParameters
from quintet.inference.answers import predict_answer
from quintet.inference.predict import predict_files, predict_table_file
from quintet.training.settings import TrainSettings
from quintet.workflow import extract, train

RATE = 8000

pytestmark = pytest.mark.slow  # it extracts and trains; test_two_sample.py is quick


def write_noises(folder: Path, n: int, *, gain: float, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for k in range(n):
        color = np.convolve(rng.normal(size=RATE + 3), rng.dirichlet(np.ones(4)), "valid")
        soundfile.write(folder / f"{k}.wav", gain * rng.uniform(0.5, 1) * color, RATE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drift")
    write_noises(folder / "music" / "a", 14, gain=0.1, seed=0)
    write_noises(folder / "music" / "b", 14, gain=0.1, seed=1)
    write_noises(folder / "like" / "a", 12, gain=0.1, seed=2)
    write_noises(folder / "unlike" / "a", 12, gain=0.001, seed=3)
    parameters = FeatureParameters(families=("temporal",))
    extract(folder / "music", folder / "features.parquet", parameters=parameters, n_jobs=0)
    settings = TrainSettings(
        members=("logistic_regression",), folds=2, test_size=0, resamples=5, protocol="random"
    )
    train(folder / "features.parquet", folder / "model", settings=settings)
    return folder


def test_files_like_the_training_give_no_note(place: Path) -> None:
    result = predict_files(place / "model", [place / "like"])
    assert result.drift is not None
    assert (result.drift["n"], result.drift["unlike"]) == (12, False)
    assert not any("unlike" in note for note in result.notes)


def test_unlike_files_give_a_note_with_the_family(place: Path) -> None:
    result = CliRunner().invoke(cli.app, ["predict", str(place / "model"), str(place / "unlike"), "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["drift"]["unlike"] is True
    assert answer["drift"]["families"][1]["family"] == "temporal"
    assert any("unlike" in note and "temporal" in note for note in answer["notes"])


@pytest.mark.parametrize("kind", ["like", "unlike"])
def test_rows_of_a_table_are_compared_as_the_files_are(place: Path, kind: str) -> None:
    table = place / f"{kind}.parquet"
    extract(place / kind, table, parameters=FeatureParameters(families=("temporal",)), n_jobs=1)
    words = ["predict", str(place / "model"), "--table", str(table), "--json"]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    files = predict_answer(predict_files(place / "model", [place / kind]))
    assert answer["drift"] == files["drift"]
    sentences = [note.replace("files", "rows") for note in files["notes"] if "unlike" in note]
    assert [note for note in answer["notes"] if "unlike" in note] == sentences
    assert bool(sentences) == (kind == "unlike")


def test_rows_that_the_training_knows_are_not_compared(place: Path) -> None:
    assert predict_table_file(place / "model", place / "features.parquet").drift is None


def test_few_files_and_clips_of_the_training_are_not_compared(place: Path) -> None:
    files = sorted((place / "unlike" / "a").iterdir())
    few = predict_files(place / "model", files[:9])
    assert few.drift is None
    assert "drift" not in predict_answer(few)
    assert predict_files(place / "model", [place / "music"]).drift is None
