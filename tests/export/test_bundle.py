"""The folder of an export: its numbers, its description, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quintet
from quintet.errors import ArtefactError, MissingExtraError, QuintetError
from quintet.export import bundle
from quintet.export.bundle import export
from quintet.inference.predict import predict_table
from quintet.training.settings import TrainSettings

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feature table of another program, and a model of it."""
    root = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    labels = np.array(["low", "mid", "top"])[np.arange(45) % 3]
    frame = pd.DataFrame(rng.normal(size=(45, 4)) + (np.arange(45) % 3)[:, None], columns=list("wxyz"))
    frame.insert(0, "id", [f"c{k}" for k in range(45)])
    frame["label"] = labels
    frame.loc[3, "x"] = np.nan
    frame.to_csv(root / "t.csv", index=False)
    settings = TrainSettings(
        members=("logistic_regression", "random_forest"),
        settings={"random_forest": {"n_estimators": 5}},
        folds=2,
        rules=("mean",),
        rule="mean",
        resamples=0,
    )
    quintet.train(root / "t.csv", root / "model", settings=settings)
    return root


def test_other_programs_get_the_numbers_of_predict(table: Path, tmp_path: Path) -> None:
    result = export(table / "model", tmp_path / "bundle")
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == ["ensemble.onnx", "export.json"]
    description = json.loads((tmp_path / "bundle" / "export.json").read_text())
    assert max(description["largest_differences"].values()) <= 1e-6
    assert description["not_exported"] == list(result.not_exported) != []
    rows = quintet.read_feature_table(table / "t.csv")
    expected = predict_table(table / "model", rows).frame
    session = runtime.InferenceSession(tmp_path / "bundle" / description["file"])
    values = rows.features[description["columns"]].to_numpy(np.float32).astype(np.float64)
    (received,) = session.run(["probabilities"], {"features": values})
    wanted = expected[[f"probability.{name}" for name in description["classes"]]].to_numpy()
    np.testing.assert_allclose(received, wanted, rtol=0, atol=1e-6)


def test_an_export_with_other_numbers_is_not_written(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "add_calibration", lambda graph, calibration, value: graph.node("Neg", value))
    with pytest.raises(QuintetError, match="differs by"):
        export(table / "model", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ArtefactError, match="must not exist"):
        export(table / "model", tmp_path / "there")
    monkeypatch.setattr(bundle, "load_frozen", lambda folder: "'svm' differs")
    with pytest.raises(ArtefactError, match="'svm' differs"):
        export(table / "model", tmp_path / "bundle")
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"\[export\]"):
        export(table / "model", tmp_path / "bundle")
    shutil.rmtree(tmp_path / "there")
    assert list(tmp_path.iterdir()) == []
