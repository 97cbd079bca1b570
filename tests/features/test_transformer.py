"""Tests of `FeatureExtractor` in scikit-learn."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quintet.audio.clip import Clip
from quintet.errors import AudioError, ConfigError, TruncationWarning
from quintet.features.columns import feature_names
from quintet.features.parameters import FeatureParameters
from quintet.features.transformer import FeatureExtractor


@pytest.fixture
def paths(tmp_path):
    files = []
    for i, hertz in enumerate([200, 300, 2000, 3000]):
        noise = np.random.default_rng(i).standard_normal(22050) * 0.01
        files.append(str(tmp_path / f"{hertz}.wav"))
        soundfile.write(files[-1], 0.3 * np.sin(2 * np.pi * hertz * np.arange(22050) / 44100) + noise, 44100)
    return files


def test_paths_become_a_float32_frame_with_names(paths):
    table = FeatureExtractor("bahuleyan2018").fit_transform(paths)
    assert table.index.tolist() == paths
    assert table.index.name == "id"
    assert tuple(table.columns) == feature_names(FeatureParameters(feature_set="bahuleyan2018"))
    assert (table.dtypes == np.float32).all()
    centroids = table["spectral.centroid.mean"].to_numpy()
    assert (np.diff(centroids) > 0).all()


def test_a_clip_of_another_rate_gives_the_row_of_its_file(paths):
    samples, rate = soundfile.read(paths[0], dtype="float32")
    extractor = FeatureExtractor("bahuleyan2018", families=["spectral"])
    pd.testing.assert_frame_equal(
        extractor.transform([Clip(samples, rate, "a")]).reset_index(drop=True),
        extractor.transform(paths[:1]).reset_index(drop=True),
    )


def test_the_extractor_works_in_a_pipeline_and_can_be_cloned(paths):
    extractor = FeatureExtractor(
        "full", families=("spectral", "cepstral"), parameters={"n_mfcc": 5}, on_error="nan", n_jobs=1
    )
    twin = clone(extractor)
    assert twin.get_params() == extractor.get_params()
    labels = ["low", "low", "high", "high"]
    model = make_pipeline(twin, StandardScaler(), LogisticRegression()).fit(paths, labels)
    assert model.predict(paths).tolist() == labels
    assert model[0].get_feature_names_out().tolist() == list(extractor.transform(paths).columns)


def test_set_output_is_honoured(paths):
    table = FeatureExtractor("bahuleyan2018").set_output(transform="pandas").transform(paths[:1])
    assert isinstance(table, pd.DataFrame)
    assert table.shape == (1, 97)


@pytest.mark.slow
def test_two_workers_give_the_same_as_one(paths):
    one = FeatureExtractor("bahuleyan2018").transform(paths)
    with joblib.parallel_config("threading"):  # processes would take seconds to start
        two = FeatureExtractor("bahuleyan2018", n_jobs=2).transform(paths)
    pd.testing.assert_frame_equal(one, two)


def test_a_bad_file_raises_or_becomes_a_row_of_nan(paths, tmp_path):
    bad = [paths[0], str(tmp_path / "none.wav")]
    with pytest.raises(AudioError, match="must exist"):
        FeatureExtractor("bahuleyan2018").transform(bad)
    table = FeatureExtractor("bahuleyan2018", on_error="nan").transform(bad)
    assert table.isna().all(axis=1).tolist() == [False, True]


def test_a_recording_that_is_cut_short_is_described_as_far_as_it_goes(paths, tmp_path):
    cut, short = tmp_path / "cut.wav", tmp_path / "short.wav"
    samples, rate = soundfile.read(paths[0], dtype="int16")
    cut.write_bytes(Path(paths[0]).read_bytes()[: 44 + 2 * 9000])
    soundfile.write(short, samples[:9000], rate)
    with pytest.warns(TruncationWarning, match=r"\(1\).*cut\.wav"):
        table = FeatureExtractor("bahuleyan2018").transform([cut, short])
    np.testing.assert_array_equal(table.iloc[0], table.iloc[1])
    with pytest.raises(AudioError, match="cut"):
        FeatureExtractor("bahuleyan2018", strict=True).transform([cut])
    assert (
        FeatureExtractor("bahuleyan2018", strict=True, on_error="nan").transform([cut]).isna().all(axis=None)
    )


def test_no_files_give_an_empty_frame():
    assert FeatureExtractor("bahuleyan2018").transform([]).shape == (0, 97)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"feature_set": "ful"}, "Did you mean 'full'"),
        ({"on_error": "rais"}, "Did you mean 'raise'"),
        ({"families": ["spectrale"]}, "Did you mean 'spectral'"),
    ],
)
def test_settings_are_checked_by_fit(settings, match):
    with pytest.raises(ConfigError, match=match):
        FeatureExtractor(**settings).fit([])


def test_a_table_of_paths_is_not_its_column_names(paths):
    table = pd.DataFrame({"path": paths})
    with pytest.raises(ConfigError, match=r"X\['path'\]"):
        FeatureExtractor().transform(table)


def test_a_single_path_is_refused(paths):
    with pytest.raises(ConfigError, match="Put it into a list"):
        FeatureExtractor().transform(paths[0])
