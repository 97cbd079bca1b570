"""Files that are clips of the training run, whatever their names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import quintet
from quintet.features.parameters import FeatureParameters
from quintet.training.settings import TrainSettings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of ten clips of two classes; one clip is three times as long as the others."""
    folder = tmp_path_factory.mktemp("known")
    rng = np.random.default_rng(0)
    for k in range(10):
        (folder / "music" / f"class{k % 2}").mkdir(parents=True, exist_ok=True)
        sound = 0.1 * (1 + k % 2) * rng.normal(size=8000 * (3 if k == 9 else 1))
        soundfile.write(folder / "music" / f"class{k % 2}" / f"{k}.wav", sound, 8000)
    parameters = FeatureParameters(feature_set="bahuleyan2018", families=("temporal",))
    quintet.extract(folder / "music", folder / "f.parquet", parameters=parameters, n_jobs=0)
    settings = TrainSettings(members=("logistic_regression",), rules=("mean",), folds=2, resamples=0)
    quintet.train(folder / "f.parquet", folder / "model", settings=settings)
    return folder


def test_a_clip_of_the_training_is_known_under_any_name(run: Path, tmp_path: Path) -> None:
    split = pd.read_parquet(run / "model" / "split.parquet").set_index("id")["part"]
    for id in split.index:
        shutil.copy(run / "music" / id, tmp_path / Path(id).name)
    soundfile.write(tmp_path / "new.wav", 0.1 * np.random.default_rng(9).normal(size=8000), 8000)
    (tmp_path / "text.wav").write_text("no audio")
    result = quintet.predict(run / "model", tmp_path)
    rows = result.frame.assign(name=[Path(file).name for file in result.frame["file"]]).set_index("name")
    assert pd.isna(rows.loc["new.wav", "known_id"])
    for id, part in split.items():
        row = rows.loc[Path(str(id)).name]
        assert (row["known_id"], row["known_part"]) == (id, part), f"in {row['segments']} segments"
    n_trained = int((split == "train").sum())
    assert any(f"{n_trained} of 11 files" in note for note in result.notes)
