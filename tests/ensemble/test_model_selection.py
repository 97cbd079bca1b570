"""Temperatures of members, choice of views and choice of penalties, before members are joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import logit

from quintet.classifiers.penalties import LADDERS, Ladder
from quintet.classifiers.registry import make_member
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.crossfit import Inputs, Trainer, member_seed
from quintet.ensemble.fusion import RULES, Fusion, LabelledPredictions, fit_fusion
from quintet.ensemble.model_selection.penalties import cross_fit
from quintet.ensemble.model_selection.preparation import prepare_members
from quintet.ensemble.model_selection.temperatures import apply_temperature, fit_temperature
from quintet.errors import ConfigError
from quintet.explanation.refits import refits
from quintet.model_folder.run import read_run
from quintet.training.settings import TrainSettings
from quintet.training.train import train

Floats = NDArray[np.float64]


@pytest.fixture(autouse=True)
def short_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three penalties instead of eight, to save time."""
    monkeypatch.setitem(LADDERS, "logistic_regression", Ladder("C", (1e-3, 3e-2, 3e-1)))


def predictions(n: int, strength: float, rng: np.random.Generator, y: NDArray[np.int64]) -> Floats:
    """Probabilities of three classes that know the class of a clip by `strength`."""
    scores = rng.normal(size=(n, 3)) + strength * np.eye(3)[y]
    exponentials = np.exp(scores)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def stack_of(n: int, strengths: dict[str, float], seed: int = 0) -> LabelledPredictions:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    stack = np.stack([predictions(n, strength, rng, y) for strength in strengths.values()])
    return LabelledPredictions.from_labels(
        stack, y, np.arange(n) // 2, members=tuple(strengths), classes=(0, 1, 2)
    )


def test_the_temperature_is_the_closed_form_of_two_levels_of_certainty() -> None:
    target = np.repeat([0, 1], [90, 10])
    timid = np.full((100, 2), [0.55, 0.45])
    assert fit_temperature(timid, target, 1e6) == pytest.approx(logit(0.55) / logit(0.9), rel=1e-3)
    assert fit_temperature(timid, target, 1e-6) == pytest.approx(1, abs=1e-3)  # without clips it stays at 1


def test_a_calibrated_member_does_not_depend_on_its_own_temperature() -> None:
    y = np.arange(300) % 3
    p = predictions(300, 1.5, np.random.default_rng(1), y)
    results = []
    for own in (0.5, 1.0, 4.0):
        q = apply_temperature(p, own, multilabel=False)
        results.append(apply_temperature(q, fit_temperature(q, y, 1e9), multilabel=False))
    np.testing.assert_allclose(results[0], results[1], atol=2e-3)
    np.testing.assert_allclose(results[2], results[1], atol=2e-3)


def test_a_fusion_keeps_its_temperatures() -> None:
    rng = np.random.default_rng(0)
    stack = np.stack([predictions(8, 1, rng, np.arange(8) % 3) for _ in range(2)])
    fusion = Fusion("weighted", ("a", "b"), ("x", "y", "z"), (0.75, 0.25), temperatures=(0.5, 2.0))
    squared, rooted = stack[0] ** 2, stack[1] ** 0.5
    expected = 0.75 * squared / squared.sum(axis=1, keepdims=True)
    expected += 0.25 * rooted / rooted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fusion.apply(stack), expected, rtol=1e-5)
    again = Fusion.from_json(fusion.to_json())
    assert again == fusion
    np.testing.assert_array_equal(again.apply(iter(stack)), fusion.apply(stack))
    for temperatures in ((0.5,), (0.5, 0.0), (0.5, np.inf)):
        with pytest.raises(ConfigError, match="temperature"):
            Fusion("mean", ("a", "b"), ("x", "y", "z"), (0.5, 0.5), temperatures=temperatures)


@pytest.mark.parametrize("n", [36, 900])
@pytest.mark.parametrize("rule", list(RULES))
def test_a_view_that_adds_nothing_gets_no_weight(n: int, rule: str) -> None:
    """With few clips as with many: 36 clips are 18 groups."""
    strengths = {"svm": 0.0, "xgboost": 0.0, "svm@tags": 2.0, "random_forest@tags": 1.8}
    for seed in range(3):
        labelled = stack_of(n, strengths, seed)
        fusion = fit_fusion(rule, labelled, prepare_members(labelled))
        assert fusion.weights[:2] == (0.0, 0.0)
        assert sum(fusion.weights) > 0.5


def test_views_that_help_each_other_are_kept() -> None:
    strengths = {"svm": 1.2, "xgboost": 1.2, "svm@tags": 1.2, "random_forest@tags": 1.2}
    assert prepare_members(stack_of(600, strengths)).chosen.all()


def test_without_a_pretrained_view_every_member_takes_part() -> None:
    strengths = {"svm": 3.0, "xgboost": 0.0, "vgg_small": 0.0, "svm@cepstral": 0.0}
    assert prepare_members(stack_of(300, strengths)).chosen.all()


def data(n: int = 60, seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.str_], NDArray[np.int64]]:
    """Forty columns of an embedding, of which three know the class, and two columns of noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    names = [f"embedding_x.{j:03d}.mean" for j in range(40)]
    X = pd.DataFrame(rng.normal(size=(n, 40)), columns=names)
    X.iloc[:, :3] += 1.5 * np.eye(3)[y]
    X["rhythm.tempo.bpm"], X["spectral.centroid.mean"] = rng.normal(size=(2, n))
    return X, np.array(["a", "b", "c"])[y], np.arange(n) // 3


def test_the_penalty_of_a_fold_is_chosen_without_the_fold() -> None:
    X, y, groups = data()
    name, values = "logistic_regression@embedding", LADDERS["logistic_regression"].values
    folds = grouped_folds(y, groups.tolist(), n_splits=3, seed=0)
    fitted = cross_fit(Trainer(name, seed=4), Inputs(X), y, groups, folds, ("a", "b", "c"))
    tried = np.full((len(values), len(y), 3), np.nan)
    for value, out_of_fold in zip(values, tried, strict=True):
        for fold, (rows, held_out) in enumerate(folds):
            member = make_member(name, seed=member_seed(4, name, fold), C=value)
            out_of_fold[held_out] = member.fit(X.iloc[rows], y[rows]).predict_proba(X.iloc[held_out])
    codes = np.unique(y, return_inverse=True)[1]

    def best(rows: NDArray[np.intp]) -> float:
        losses = []
        for p in tried:
            temperature = fit_temperature(p[rows], codes[rows], len(np.unique(groups[rows])))
            calibrated = apply_temperature(p[rows], temperature, multilabel=False)
            losses.append(-np.log(calibrated[np.arange(len(rows)), codes[rows]]).mean())
        return values[int(np.argmin(losses))]

    choice = fitted.penalty
    assert choice is not None
    assert choice.chosen == best(np.arange(len(y)))
    assert choice.by_fold == tuple(best(rows) for rows, _ in folds)
    for value, (_, held_out) in zip(choice.by_fold, folds, strict=True):
        np.testing.assert_array_equal(fitted.probabilities[held_out], tried[values.index(value)][held_out])


def test_a_given_penalty_is_not_searched() -> None:
    X, y, groups = data(30)
    folds = grouped_folds(y, groups.tolist(), n_splits=2, seed=0)
    trainer = Trainer("logistic_regression@embedding", {"C": 0.5})
    assert cross_fit(trainer, Inputs(X), y, groups, folds, ("a", "b", "c")).penalty is None
    asked = Trainer("logistic_regression", {"C": "auto"})
    assert cross_fit(asked, Inputs(X), y, groups, folds, ("a", "b", "c")).penalty is not None


def test_an_ensemble_gives_the_noise_of_the_hand_made_columns_no_weight() -> None:
    X, y, groups = data(60)
    members = ("logistic_regression", "logistic_regression@rhythm", "logistic_regression@embedding")
    rules = ("mean", "weighted")
    ensemble = EnsembleClassifier(members, n_splits=3, rules=rules).fit(X, y, groups)
    for fusion in ensemble.fusions_.values():
        assert fusion.weights[:2] == (0.0, 0.0)
    assert set(ensemble.penalties_) == {"logistic_regression@embedding"}
    plain = EnsembleClassifier(members, n_splits=3, rules=rules, calibrate_members=False).fit(X, y, groups)
    assert plain.fusions_["mean"].weights == pytest.approx([1 / 3] * 3)


def test_members_fitted_again_have_the_penalty_of_their_fold(tmp_path: Path) -> None:
    X, y, groups = data(48)
    table = X.assign(id=[f"c{i}" for i in range(48)], label=y, group=groups.astype(str))
    table.to_parquet(tmp_path / "t.parquet")
    members = ("logistic_regression", "logistic_regression@embedding")
    settings = TrainSettings(members=members, rules=("mean",), test_size=0.0, folds=2, resamples=0)
    train(tmp_path / "t.parquet", tmp_path / "m", settings=settings)
    run = read_run(tmp_path / "m")
    chosen = run.member_settings("logistic_regression@embedding")["C"]
    assert run.load_member("logistic_regression@embedding").get_params()["C"] == chosen
    for refit in refits(run, "logistic_regression@embedding"):
        oof = run.oof["logistic_regression@embedding"].take(list(refit.held_out))
        again = refit.member.predict_proba(run.values.loc[refit.held_out])
        np.testing.assert_array_equal(again, oof.probabilities)
