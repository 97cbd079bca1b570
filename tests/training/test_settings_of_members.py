"""Settings that no fit can use, or that are absurd, are refused before the model folder is begun."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from quintet.audio.augment import AudioAugmentation
from quintet.classifiers.registry import MEMBERS, TABLE_MEMBERS, _load_factory, make_member
from quintet.classifiers.setting_ranges import RANGES
from quintet.errors import ConfigError
from quintet.features.parameters import FeatureParameters, LogMelParameters
from quintet.training.settings import LearningCurveSettings, TrainSettings
from quintet.training.train import train
from quintet.tuning.search_settings import TuneSettings, check_search

IMPOSSIBLE = [
    ("random_forest", "n_estimators", -5),
    ("random_forest", "n_estimators", 10**9),
    ("random_forest", "min_samples_split", 1),
    ("random_forest", "n_jobs", 10**6),
    ("svm", "C", -1),
    ("svm", "C", True),
    ("svm", "C", float("inf")),
    ("svm", "C", "3"),
    ("svm", "gamma", "sclae"),
    ("svm", "calibration_folds", 2.5),
    ("xgboost", "max_depth", -3),
    ("xgboost", "learning_rate", float("nan")),
    ("logistic_regression", "C", 0),
]


@pytest.mark.parametrize(("member", "setting", "value"), IMPOSSIBLE)
def test_impossible_settings_are_refused(tmp_path: Path, member: str, setting: str, value: object) -> None:
    content = {"members": [member], "settings": {member: {setting: value}}}
    with pytest.raises(ConfigError, match=rf"{setting} of '{member}'|'{member}' .*{setting} = '?{value}"):
        train(tmp_path / "table.csv", tmp_path / "model", settings=TrainSettings(**content))
    assert not (tmp_path / "model").exists()
    if member != "logistic_regression":  # it has one setting to search
        with pytest.raises(ConfigError, match=setting):
            check_search(TuneSettings(**content), 2)


@pytest.mark.parametrize(
    "chosen",
    [
        {"epochs": 10**7},
        {"epochs": "ten"},
        {"epochs": None},
        {"batch_size": 10**6},
        {"batch_size": 0},
        {"patch_frames": 10**9},
        {"max_patches": 2.5},
        {"learning_rate": -1},
        {"learning_rate": float("nan")},
        {"validation_share": 0.9},
        {"schedule": "cosin"},
        {"pooling": "mean of all"},
    ],
    ids=str,
)
def test_absurd_settings_of_a_network_are_refused(tmp_path: Path, chosen: dict[str, object]) -> None:
    settings = TrainSettings(members=("vgg_small",), settings={"vgg_small": chosen})
    with pytest.raises(ConfigError):
        train(tmp_path / "table.csv", tmp_path / "model", settings=settings)
    assert not (tmp_path / "model").exists()


def test_every_number_among_the_settings_has_a_range() -> None:
    for entry in MEMBERS:
        for name, parameter in inspect.signature(_load_factory(entry)).parameters.items():
            is_number = type(parameter.default) in (int, float) and name not in ("seed", "validation_share")
            assert name in RANGES or not is_number, (entry.name, name)


@pytest.mark.parametrize("name", [entry.name for entry in MEMBERS])
def test_the_defaults_lie_in_their_ranges(name: str) -> None:
    defaults = {
        key: value
        for key, value in make_member(name).get_params(deep=False).items()
        if key not in ("seed", "network", "view", "settings", "augmentation")
    }
    assert make_member(name, **defaults).get_params(deep=False).keys() >= defaults.keys()
    assert len(defaults) >= (1 if name in TABLE_MEMBERS else 10)


@pytest.mark.parametrize(
    "values",
    [
        {"n_mels": 5000, "n_fft": 1 << 18},
        {"n_bands": 1000},
        {"n_contrast_bands": 10**9},
        {"modulation_hz": (0.25, float("inf"))},
        {"hop_length": 10**12},
        {"log_mel": {"hop_length": 10**12}},
        {"log_mel": {"floor_db": float("-inf")}},
    ],
    ids=str,
)
def test_absurd_parameters_of_features_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        FeatureParameters(**values)


def test_other_absurd_numbers_are_refused() -> None:
    for name, value in {"seed": 2**40, "resamples": 10**9, "folds": 10**9}.items():
        with pytest.raises(ConfigError, match=name):
            TrainSettings(**{name: value})
        with pytest.raises(ConfigError, match=name):
            TuneSettings(**{name: value})
    with pytest.raises(ConfigError, match="repeats"):
        LearningCurveSettings(repeats=10**9)
    with pytest.raises(ConfigError, match="n_mels"):
        LogMelParameters(n_mels=4000, n_fft=1 << 18)
    for absurd in ({"copies": 10**9}, {"gain_db": (0, float("inf"))}, {"time_stretch": (1, 1e9)}):
        with pytest.raises(ValueError, match=next(iter(absurd))):
            AudioAugmentation(**{"gain_db": (0, 1), **absurd})
