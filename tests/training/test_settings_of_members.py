"""Settings of members that no fit can use are refused before the model folder is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from quintet.errors import ConfigError
from quintet.training.settings import TrainSettings
from quintet.training.train import train
from quintet.tuning.search_settings import TuneSettings, check_search

IMPOSSIBLE = [
    ("random_forest", "n_estimators", -5),
    ("svm", "C", -1),
    ("xgboost", "max_depth", -3),
    ("logistic_regression", "C", 0),
]


@pytest.mark.parametrize(("member", "setting", "value"), IMPOSSIBLE)
def test_impossible_settings_are_refused(tmp_path: Path, member: str, setting: str, value: int) -> None:
    content = {"members": [member], "settings": {member: {setting: value}}}
    with pytest.raises(ConfigError, match=rf"'{member}' cannot be fitted with {setting} = {value}"):
        train(tmp_path / "table.csv", tmp_path / "model", settings=TrainSettings(**content))
    assert not (tmp_path / "model").exists()
    if member != "logistic_regression":  # it has one setting to search
        with pytest.raises(ConfigError, match=rf"{setting} = {value}"):
            check_search(TuneSettings(**content), 2)
