"""`scores.json` read into dataclasses and written again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet import TrainSettings, train
from quintet.errors import ArtefactError
from quintet.model_folder.run import ENSEMBLE_PREDICTION, read_run
from quintet.model_folder.scores import PublishedScores, RunScores, SplitFacts

PUBLISHED = {
    "protocol": "one random split",
    "scores": {"logistic_regression": {"accuracy": 0.5}},
    "source": "a paper",
}


@pytest.fixture(scope="module", params=[20, 0], ids=["intervals", "no-intervals"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model with every optional part of scores.json."""
    rng = np.random.default_rng(0)
    rows = [(f"{i}.wav", "ab"[i % 2], f"artist{i // 6}", *rng.normal(i % 2, 1, size=3)) for i in range(72)]
    target = tmp_path_factory.mktemp("scores")
    pd.DataFrame(rows, columns=["id", "label", "group", *"xyz"]).to_csv(target / "t.csv", index=False)
    settings = TrainSettings(
        members=("logistic_regression",),
        rules=("mean",),
        resamples=request.param,
        protocols=("random", "group"),
        learning_curve=True,
    )
    train(target / "t.csv", target / "model", settings=settings, published=PUBLISHED)
    return target / "model"


def test_scores_are_written_byte_for_byte_as_they_were_read(folder: Path) -> None:
    text = (folder / "scores.json").read_text()
    scores = RunScores.from_json(json.loads(text))
    assert json.dumps(scores.to_json(), indent=2, allow_nan=False) + "\n" == text
    assert list(json.loads(text)) == [
        "split",
        "oof",
        "test",
        "published",
        ENSEMBLE_PREDICTION,
        "leak_gate",
        "learning_curve",
    ]


def test_typed_scores_are_the_numbers_of_the_file(folder: Path) -> None:
    content, results = json.loads((folder / "scores.json").read_text()), read_run(folder).results
    accuracy = content["test"]["mean"]["scores"]["accuracy"]
    estimate = results.parts["test"]["mean"].scores["accuracy"]
    assert estimate.value == accuracy["value"]
    assert math.isnan(estimate.low) if accuracy["low"] is None else estimate.low == accuracy["low"]
    assert results.published == PublishedScores.from_json(PUBLISHED)
    assert results.leak_gate is not None
    assert results.leak_gate.gaps[0].difference.value == content["leak_gate"]["gaps"][0]["value"]
    assert results.learning_curve is not None
    assert [point.clips for point in results.learning_curve.points] == [
        point["clips"] for point in content["learning_curve"]["points"]
    ]


def test_a_run_has_the_scores_of_the_ensemble_prediction_in_each_part(folder: Path) -> None:
    run = read_run(folder)
    assert run.results.ensemble is not None
    assert run.results.parts["oof"][ENSEMBLE_PREDICTION] == run.results.ensemble.parts["oof"]
    assert run.report_scores == run.results.parts["test"][ENSEMBLE_PREDICTION]


def test_absent_parts_stay_absent() -> None:
    assert RunScores.from_json({}).to_json() == {}
    old = RunScores.from_json({"oof": {}, "split": {"protocol": "group"}})
    assert old.split == SplitFacts(protocol="group")
    assert old.to_json() == {"split": {"protocol": "group"}, "oof": {}}


def test_damaged_scores_are_refused() -> None:
    with pytest.raises(ArtefactError, match=r"scores\.json"):
        RunScores.from_json({"test": {"svm": {"n": 3}}})
