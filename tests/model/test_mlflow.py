"""Models in MLflow. The round trip takes seconds, most of them to import MLflow: `make test-mlflow`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quintet
import quintet.mlflow
from quintet.errors import ConfigError, MissingExtraError


@pytest.fixture(scope="module")
def fitted() -> quintet.EnsembleClassifier:
    rng = np.random.default_rng(0)
    y = np.repeat(["jazz", "rock"], 12)
    X = pd.DataFrame(rng.normal(size=(24, 2)) + (y == "rock")[:, None], columns=["a", "b"]).astype("float32")
    return quintet.EnsembleClassifier(("logistic_regression",), n_splits=2, rules=("mean",)).fit(X, y)


def test_without_mlflow_the_extra_is_named(
    fitted: quintet.EnsembleClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    for call in (
        lambda: quintet.mlflow.log_model(fitted),
        lambda: quintet.mlflow.save_model(fitted, tmp_path / "m"),
        lambda: quintet.mlflow.load_model("runs:/1/model"),
    ):
        with pytest.raises(MissingExtraError, match=r"quintet-music\[mlflow\]"):
            call()
    assert not (tmp_path / "m").exists()


def test_a_pyfunc_predicts_rows_as_the_ensemble_does(
    fitted: quintet.EnsembleClassifier, tmp_path: Path
) -> None:
    model = quintet.mlflow._load_pyfunc(str(fitted.save(tmp_path / "m")))
    X = pd.DataFrame({"b": [0.5, 1.0], "a": [0.0, 1.0]}, index=["p", "q"])
    frame = model.predict(X)
    assert frame.index.tolist() == ["p", "q"]
    expected = fitted.predict_proba(X[["a", "b"]])
    np.testing.assert_array_equal(frame[["probability.jazz", "probability.rock"]].to_numpy(), expected)
    np.testing.assert_array_equal(frame["confidence"], expected.max(axis=1))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # MLflow warns about its own types when it is imported
def test_a_logged_model_comes_back_the_same(
    fitted: quintet.EnsembleClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = importlib.import_module("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    X = pd.DataFrame({"a": [0.0, 1.0], "b": [0.5, 1.0]})
    folder = fitted.save(tmp_path / "folder")
    for model in (fitted, quintet.load_model(folder), folder):
        with mlflow.start_run():
            info = quintet.mlflow.log_model(model, metadata={"corpus": "made up"})
        again = quintet.mlflow.load_model(info.model_uri)
        np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
        frame = mlflow.pyfunc.load_model(info.model_uri).predict(X)
        np.testing.assert_array_equal(frame.filter(like="probability.").to_numpy(), fitted.predict_proba(X))
        assert info.flavors["quintet"]["quintet_version"] == quintet.__version__
        assert info.metadata == {"corpus": "made up"}
    with pytest.raises(ConfigError, match="keeps its own"):
        quintet.mlflow.save_model(folder, tmp_path / "x", parameters=quintet.FeatureParameters())
