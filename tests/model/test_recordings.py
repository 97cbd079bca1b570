"""A loaded model takes recordings: files and waveforms, with the same numbers, and explains a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import quintet
import quintet.mlflow
from quintet.errors import ArtefactError, ConfigError

RATE = 22050


def tone(seed: int, frequency: float) -> np.ndarray:
    t = np.arange(RATE // 2) / RATE
    return 0.3 * np.sin(2 * np.pi * frequency * t) + 0.05 * np.random.default_rng(seed).normal(size=t.size)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> quintet.Model:
    extractor = quintet.FeatureExtractor("bahuleyan2018", families=("spectral",))
    clips = [quintet.Clip(tone(k, 300 + 1500 * (k % 2)), RATE, f"{k}") for k in range(8)]
    ensemble = quintet.EnsembleClassifier(("logistic_regression",), n_splits=2, rules=("mean",))
    ensemble.fit(extractor.transform(clips), ["low", "high"] * 4)
    folder = tmp_path_factory.mktemp("sound") / "model"
    ensemble.save(folder, parameters=extractor.feature_parameters)
    return quintet.load_model(folder)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "song.wav"
    soundfile.write(path, tone(9, 1800), RATE, subtype="DOUBLE")
    return path


def test_files_and_waveforms_have_the_same_probabilities(model: quintet.Model, file: Path) -> None:
    clip = quintet.Clip(tone(9, 1800), RATE, "mine")
    result = model.predict([file, clip])
    assert result.frame["file"].tolist() == [str(file), "mine"]
    assert result.segments["file"].tolist() == [str(file), "mine"]
    assert result.frame["verdict"].tolist() == ["high", "high"]
    of_file, of_clip = result.frame.filter(like="probability.").to_numpy()
    np.testing.assert_array_equal(of_file, of_clip)
    for one in (file, str(file), pd.Series([str(file)]), np.array([str(file)])):
        alone = model.predict(one).frame.filter(like="probability.").to_numpy()[0]
        np.testing.assert_allclose(alone, of_file, rtol=1e-12)
    assert quintet.predict(model.folder_, clip).frame["file"].tolist() == ["mine"]


def test_a_table_still_gets_classes(model: quintet.Model, file: Path) -> None:
    features = quintet.FeatureExtractor("bahuleyan2018", families=("spectral",)).transform([file])
    assert model.predict(features).tolist() == ["high"]
    assert model.predict(features.to_numpy().tolist()).tolist() == ["high"]  # type: ignore[arg-type]
    probabilities = model.predict(file).frame.filter(like="probability.").to_numpy()
    np.testing.assert_allclose(probabilities, model.predict_proba(features), atol=1e-6)


def test_a_pyfunc_takes_a_column_of_files(model: quintet.Model, file: Path) -> None:
    pyfunc = quintet.mlflow._load_pyfunc(str(model.folder_))
    expected = model.predict(file).frame
    for data in (pd.DataFrame({"file": [str(file)]}), [str(file)]):
        pd.testing.assert_frame_equal(pyfunc.predict(data), expected)
    sets = pyfunc.predict(pd.DataFrame({"path": [str(file)]}), {"confidence": 0.5})
    assert "set" in sets


@pytest.mark.parametrize(
    "take",
    [
        lambda model, sound: model.predict(sound),
        lambda model, sound: quintet.predict(model.folder_, sound),
        lambda model, sound: quintet.predict(model.folder_, [sound]),
        lambda model, sound: quintet.FeatureExtractor().transform([sound]),
    ],
)
def test_a_bare_array_is_told_about_clips(take, model: quintet.Model) -> None:
    with pytest.raises(ConfigError, match=r"wrap sound in quintet\.Clip\(samples, sample_rate, id\)"):
        take(model, np.zeros(100, np.float32))


def test_clips_need_ids_of_their_own(model: quintet.Model) -> None:
    clips = [quintet.Clip(tone(0, 300), RATE), quintet.Clip(tone(1, 300), RATE)]
    with pytest.raises(ConfigError, match="id of its own"):
        model.predict(clips)


def test_rows_of_a_series_keep_their_index(file: Path) -> None:
    extractor = quintet.FeatureExtractor("bahuleyan2018", families=("spectral",))
    table = extractor.transform(pd.Series([str(file)], index=[17]))
    assert table.index.tolist() == [17]


def test_a_model_without_a_run_says_that_it_cannot_explain(model: quintet.Model, file: Path) -> None:
    with pytest.raises(ArtefactError, match="needs predictions"):
        model.explain(file)
