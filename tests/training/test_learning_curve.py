"""Learning curve of a run: nested parts of whole groups, its fits, its stored result and its sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quintet.datasets.splits.folds import grouped_folds, nested_subsets
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.errors import ConfigError
from quintet.evaluation.learning_curve import LearningCurve, Outlook
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable
from quintet.model_folder.run import read_run
from quintet.model_folder.scores import CurveResult, SplitFacts
from quintet.pipeline.recipe import load_recipe
from quintet.reports.sections.learning_curve import (
    curve_drawings,
    curve_sentence,
    learning_curve_section,
)
from quintet.settings import parse_settings
from quintet.training.data import TrainingPart, gather
from quintet.training.learning_curve import curve_members, curve_part, learning_curve
from quintet.training.settings import TrainSettings
from quintet.training.train import train

SETTINGS = TrainSettings(
    members=("logistic_regression", "svm"),
    settings={"svm": {"calibration_folds": 2}},
    learning_curve=True,
    resamples=100,
)


def rows(n_groups: int = 40, per_group: int = 4, seed: int = 0) -> pd.DataFrame:
    """Two classes in ten noisy columns: members improve with more groups."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), per_group)
    label = np.where(group % 2, "rock", "jazz")
    x = rng.normal(size=(len(group), 10)) + 0.7 * rng.normal(size=(n_groups, 10))[group]
    x += 0.5 * (label == "rock")[:, None]
    ids = [f"clip{i:03d}" for i in range(len(group))]
    return pd.DataFrame(x, columns=[f"x{j}" for j in range(10)]).assign(
        id=ids, label=label, group=[f"artist{g}" for g in group]
    )


def table(**options: Any) -> FeatureTable:
    return foreign_table(rows(**options), Roles(), name="planted")


def training_part(frame: pd.DataFrame | None = None, n_splits: int = 4) -> TrainingPart:
    frame = rows() if frame is None else frame
    y, groups = frame["label"].to_numpy(str), frame["group"].to_numpy(str)
    folds = tuple(grouped_folds(y, groups.tolist(), n_splits=n_splits, seed=0))
    inputs, ids = Inputs(frame.filter(regex="^x")), frame["id"].to_numpy(str)
    return TrainingPart(inputs, ids, y, y, groups, groups, ("jazz", "rock"), folds)


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_nested_whole_groups_and_stratified(seed: int) -> None:
    frame = rows()
    y, groups = frame["label"].to_numpy(str), frame["group"].to_numpy(str)
    shares = [0.25, 0.5, 0.8]
    parts = nested_subsets(y, groups.tolist(), shares=shares, seed=seed)
    for share, part, larger in zip(shares, parts, [*parts[1:], np.arange(len(y))], strict=True):
        assert set(part) < set(larger)
        assert not set(groups[part]) & set(np.delete(groups, part))
        assert len(part) == pytest.approx(share * len(y), abs=4)
        assert (y[part] == "rock").mean() == pytest.approx(0.5, abs=0.1)
    assert not np.array_equal(parts[0], nested_subsets(y, groups.tolist(), shares=shares, seed=seed + 100)[0])


def test_shares_that_do_not_rise_are_refused() -> None:
    for shares in ([], [0.5, 0.5], [0.0, 0.5], [0.5, 1.2]):
        with pytest.raises(ConfigError, match="must rise"):
            nested_subsets(["a", "b"], ["x", "y"], shares=shares, seed=0)


@pytest.mark.slow
def test_the_loss_falls_with_more_data_and_every_fit_is_counted() -> None:
    events: list[Any] = []
    curve = learning_curve(training_part(), SETTINGS, listener=events.append)
    clips = [point.clips for point in curve.points]
    assert clips == sorted(clips)
    assert clips[-1] == 120
    losses = [point.scores["log_loss"].value for point in curve.points]
    assert losses[0] > losses[-1]
    assert curve.outlook["log_loss"].gain < 0
    assert [event.details["done"] for event in events] == list(range(1, 1 + 4 * 2 * (4 * 3 + 1)))
    assert {event.details["total"] for event in events} == {104}
    json.dumps(curve.to_json(), allow_nan=False)


@pytest.mark.slow
def test_no_group_is_on_both_sides_and_known_folds_are_not_fitted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, fitted = training_part(), []
    plain = Trainer.predict_fold

    def spy(self: Trainer, inputs: Inputs, y: Any, groups: Any, fold: int, parts: Any, classes: Any) -> Any:
        fitted.append(len(parts[0]))
        assert not set(groups[parts[0]]) & set(groups[parts[1]])
        return plain(self, inputs, y, groups, fold, parts, classes)

    known = {
        name: Trainer(name, dict(SETTINGS.settings.get(name, {}))).out_of_fold(
            given.inputs, given.y, given.units, given.folds, given.classes
        )[0]
        for name in SETTINGS.members
    }
    monkeypatch.setattr(Trainer, "predict_fold", spy)
    curve = learning_curve(given, SETTINGS, known=known)
    assert len(fitted) == 4 * 2 * 4 * 3
    assert max(fitted) < 120
    assert curve == learning_curve(given, SETTINGS)


def test_parts_without_a_class_are_left_out_and_too_few_sizes_give_no_curve() -> None:
    curve = learning_curve(
        training_part(rows(n_groups=12), n_splits=3), SETTINGS
    )  # a fold learns from four groups of each class
    assert 0.25 in curve.left_out
    few = learning_curve(training_part(rows(n_groups=6), n_splits=3), SETTINGS)
    assert (few.points, few.outlook) == ((), {})
    assert "No learning curve" in curve_sentence(few, SplitFacts())


def test_networks_are_left_out_of_the_curve_by_default() -> None:
    members = ("logistic_regression", "vgg_small")
    assert curve_members(TrainSettings(members=members)) == ("logistic_regression",)
    assert curve_members(TrainSettings(members=members, learning_curve={"members": ("vgg_small",)})) == (
        "vgg_small",
    )
    assert curve_members(TrainSettings(members=("vgg_small",))) == ("vgg_small",)


def test_only_the_validation_part_of_the_data_is_scored() -> None:
    frame = rows()
    frame["split"] = np.select([frame.index < 80, frame.index < 120], ["train", "valid"], "test")
    given = foreign_table(frame, Roles(), name="lists")
    part = curve_part(gather(given, TrainSettings(members=("svm",), protocol="given")))
    assert [(len(train), len(held_out)) for train, held_out in part.folds] == [(80, 40)]
    assert len(part.evaluation_rows) == 40


def test_settings_are_read_from_a_recipe_and_faults_are_named(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'name = "r"\n[data]\nsource = "demo"\n[train]\nmembers = ["svm"]\n'
        "[train.learning_curve]\nrepeats = 5\n"
    )
    curve = load_recipe(recipe).training.learning_curve
    assert curve is not None
    assert curve.repeats == 5
    for content, message in (
        ({"learning_curve": {"shares": [0.5, 0.2]}}, "rise between 0 and 1"),
        ({"learning_curve": {"members": ["musicnn"]}}, "members that take part"),
        ({"learning_curve": {"repeats": 1}}, "greater than or equal to 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_settings(TrainSettings, content, where="here")
    assert TrainSettings(learning_curve=False).learning_curve is None


def outlook_of(gain: float, low: float, high: float, score: str = "accuracy") -> CurveResult:
    outlook = Outlook(LearningCurve(0.9, 0.5, 0.5, 100.0), 2.0, gain, low, high)
    return CurveResult(("svm",), 4, 100, 10, (), outlook={score: outlook})


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        (outlook_of(0.05, 0.02, 0.08), "more data would help"),
        (outlook_of(0.02, -0.01, 0.05), "do not show whether"),
        (outlook_of(0.001, -0.004, 0.006), "next to nothing"),
        (outlook_of(-0.05, -0.08, -0.02), "falls as data grow"),
        (outlook_of(-0.05, -0.08, -0.02, "log_loss"), "more data would help"),
        (outlook_of(0.05, np.nan, np.nan), "without intervals"),
    ],
)
def test_the_sentence_follows_from_the_interval(curve: CurveResult, words: str) -> None:
    sentence = curve_sentence(curve, SplitFacts())
    assert words in sentence
    assert "Twice the data (200 training clips)" in sentence


def test_the_sentence_mentions_new_groups_only_if_groups_are_known() -> None:
    better, worse = outlook_of(0.05, 0.02, 0.08), outlook_of(-0.05, -0.08, -0.02)
    by_group, by_clip = SplitFacts(grouped=True), SplitFacts(grouped=False)
    assert "from new groups" in curve_sentence(better, by_group)
    assert "added groups" in curve_sentence(worse, by_group)
    assert "more of the same kind" in curve_sentence(better, by_clip)
    assert "added clips" in curve_sentence(worse, by_clip)


@pytest.mark.slow
def test_a_run_stores_its_curve_and_the_report_shows_it(
    tmp_path: Path, write_sections: Callable[..., Path]
) -> None:
    members = ("logistic_regression",)
    result = train(
        table(),
        tmp_path / "model",
        settings=TrainSettings(members=members, learning_curve=True, resamples=50, rules=("mean",)),
    )
    curve = result.scores["learning_curve"]
    assert curve["n"] == json.loads((tmp_path / "model" / "scores.json").read_text())["oof"]["mean"]["n"]
    whole, mean = curve["points"][-1]["scores"], result.scores["oof"]["mean"]["scores"]
    assert whole["accuracy"]["value"] == mean["accuracy"]["value"]
    page = write_sections(tmp_path / "model", tmp_path / "report", learning_curve_section)
    text = page.read_text()
    assert 'id="more"' in text
    assert "Twice the data" in text
    drawn = curve_drawings(read_run(tmp_path / "model"))
    assert [drawing.name for drawing in drawn] == ["curve-accuracy", "curve-macro-auc"]
    assert set(drawn[0].numbers["kind"]) == {"measured", "curve"}
    for name in ("learning-curve", "learning-curve-outlook", "curve-accuracy"):
        assert (page.parent / "numbers" / f"{name}.parquet").is_file()
