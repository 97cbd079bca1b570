"""`predict --table` compares new rows of a table from elsewhere with the rows of the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.inference.drift.new_files import drift_sentence
from quintet.inference.drift.two_sample import ALL, Drift, FamilyShift
from quintet.inference.predict import predict_table, predict_table_file
from quintet.training.settings import TrainSettings
from quintet.workflow import train

COLUMNS = ["mfcc_1", "mfcc_2", "mfcc_3", "tempo", "chroma_1", "chroma_2"]


def rows(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, len(COLUMNS))), columns=COLUMNS)
    frame.insert(0, "id", [f"{seed}-{k}" for k in range(n)])
    frame["label"] = np.where(np.arange(n) % 2, "rock", "jazz")
    return frame


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    rows(60, 0).to_csv(folder / "train.csv", index=False)
    settings = TrainSettings(
        members=("logistic_regression",), folds=2, test_size=0, resamples=0, protocol="random"
    )
    train(folder / "train.csv", folder / "model", settings=settings)
    return folder / "model"


def predict(model: Path, frame: pd.DataFrame, tmp_path: Path, **options: float) -> tuple[object, list[str]]:
    frame.to_csv(tmp_path / "new.csv", index=False)
    result = predict_table_file(model, tmp_path / "new.csv", **options)
    return result.drift, [note for note in result.notes if "unlike" in note]


def test_rows_like_the_training_give_no_word(model: Path, tmp_path: Path) -> None:
    drift, words = predict(model, rows(30, 1), tmp_path)
    assert drift is not None
    assert (drift["n"], drift["unlike"], words) == (30, False, [])


def test_unlike_rows_give_a_word_with_the_family_and_labels_do_not_matter(
    model: Path, tmp_path: Path
) -> None:
    moved = rows(30, 1)
    moved[["mfcc_1", "mfcc_2", "mfcc_3"]] += 5.0
    drift, words = predict(model, moved, tmp_path, confidence=0.9)
    assert drift is not None
    assert drift["unlike"]
    assert [row["family"] for row in drift["families"] if row["unlike"]] == ["all", "mfcc"]
    assert len(words) == 1
    assert "30 new rows" in words[0]
    assert "mfcc" in words[0]
    assert predict(model, moved.drop(columns="label"), tmp_path) == (drift, words)


def test_rows_of_the_training_are_left_out(model: Path, tmp_path: Path) -> None:
    old = pd.read_csv(model.parent / "train.csv", dtype={"id": str})
    assert predict(model, old, tmp_path) == (None, [])
    assert predict(model, pd.concat([old, rows(9, 1)]), tmp_path) == (None, [])
    drift, _ = predict(model, pd.concat([old, rows(10, 1)]), tmp_path)
    assert drift is not None
    assert drift["n"] == 10


def test_ids_of_a_table_in_memory_may_be_numbers(model: Path, tmp_path: Path) -> None:
    rows(12, 1).to_csv(tmp_path / "new.csv", index=False)
    table = read_feature_table(tmp_path / "new.csv", label_column="label")
    numbered = FeatureTable(table.frame.assign(id=np.arange(12)), table.metadata)
    expected = predict_table(model, table).drift
    assert expected is not None
    assert predict_table(model, numbered).drift == expected


def test_the_sentence_names_what_is_unlike_and_nothing_else() -> None:
    shifts = [FamilyShift(ALL, 1.02, 0.4), FamilyShift("rhythm", 1.5, 1e-9), FamilyShift("tonal", 1.3, 0.2)]
    sentence = drift_sentence(Drift(1234, 40, tuple(shifts)), "new rows")
    assert sentence is not None
    assert "1,234 new rows" in sentence
    assert "1.50 times the usual distance in rhythm" in sentence
    assert "1.02" not in sentence  # of all columns, which are not unlike
    assert "tonal" not in sentence
    many = [FamilyShift(name, 2.0, 1e-9) for name in (ALL, *"abcdef")]
    sentence = drift_sentence(Drift(12, 40, tuple(many)), "new files")
    assert sentence is not None
    assert "over all columns" in sentence
    assert "in d, and in 2 other families" in sentence
    assert drift_sentence(Drift(12, 40, (shifts[0],)), "new files") is None
