"""Importance of the ensemble: what moves the fused probability, and which members decide."""

from __future__ import annotations

import json
import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quintet
from quintet.explanation import members as why
from quintet.explanation.assembly import MIN_SHARE
from quintet.explanation.importance import family
from quintet.explanation.members import RunExplanation, explain_run
from quintet.model_folder.folder import relist
from quintet.model_folder.load import load_model
from quintet.model_folder.run import Run, read_run
from quintet.training.settings import TrainSettings

COLUMNS = ["cepstral.0.mean", "cepstral.1.mean", "tonal.0.mean", "rhythm.0.mean"]
FAMILIES = ("cepstral", "tonal", "rhythm")
FEW_BACKGROUND = 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Forty clips of two classes; logistic regression and a forest; a held-out part of ten clips."""
    folder = tmp_path_factory.mktemp("decisive")
    rng = np.random.default_rng(5)
    label = np.array(["a", "b"] * 20)
    values = pd.DataFrame(rng.normal(size=(40, len(COLUMNS))), columns=COLUMNS)
    values["cepstral.0.mean"] += 2.0 * (label == "b")
    values["tonal.0.mean"] += 1.0 * (label == "b")
    table = pd.concat(
        [pd.DataFrame({"id": [f"c{i:02d}" for i in range(40)], "label": label}), values], axis=1
    )
    table.to_csv(folder / "clips.csv", index=False)
    settings = TrainSettings(
        members=("logistic_regression", "random_forest"),
        settings={"random_forest": {"n_estimators": 5}},
        folds=2,
        resamples=0,
        rules=("mean", "geometric"),
        rule="geometric",
        test_size=0.25,
    )
    quintet.train(folder / "clips.csv", folder / "model", settings=settings)
    return read_run(folder / "model")


@pytest.fixture(scope="module")
def found(run: Run) -> RunExplanation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(why, "MAX_BACKGROUND", FEW_BACKGROUND)
        return explain_run(run)


def coalition_value(run: Run, clip: pd.Series, background: pd.DataFrame, own: set[str]) -> np.ndarray:
    """Mean prediction of the loaded model for the background clips with the columns `own` of the clip."""
    hybrids = background.copy()
    for column in own:
        hybrids[column] = clip[column]
    return np.asarray(load_model(run.path).predict_proba(hybrids).mean(axis=0))


def shapley_by_orders(
    run: Run, clip: pd.Series, background: pd.DataFrame, players: dict[str, list[str]]
) -> dict[str, np.ndarray]:
    """The definition: the mean over all orders of what a player adds when it joins."""
    known: dict[frozenset[str], np.ndarray] = {}

    def value(coalition: frozenset[str]) -> np.ndarray:
        if coalition not in known:
            own = {column for name in coalition for column in players[name]}
            known[coalition] = coalition_value(run, clip, background, own)
        return known[coalition]

    totals = {name: np.zeros(2) for name in players}
    orders = list(permutations(players))
    for order in orders:
        present: frozenset[str] = frozenset()
        for name in order:
            joined = present | {name}
            totals[name] += value(joined) - value(present)
            present = joined
    return {name: total / len(orders) for name, total in totals.items()}


def test_families_of_the_ensemble_equal_the_definition_on_the_loaded_model(
    run: Run, found: RunExplanation
) -> None:
    """Hybrids by hand, the public model, and all orders: nothing of the package's games takes part."""
    game = found.game
    assert game is not None
    assert set(game.shapley.players) == set(FAMILIES)
    assert run.best == "geometric"  # the fusion is not linear in the members
    background = run.values.loc[found.background.index]
    assert len(background) == FEW_BACKGROUND
    players = {name: [column for column in COLUMNS if family(column) == name] for name in FAMILIES}
    for i, clip in enumerate(game.clips.index[:2]):
        expected = shapley_by_orders(run, run.values.loc[clip], background, players)
        for k, name in enumerate(game.shapley.players):
            np.testing.assert_allclose(game.shapley.values[i, k], expected[name], atol=1e-6)
            assert np.abs(expected[name]).max() > 1e-3  # else the comparison says nothing


@pytest.mark.slow
def test_columns_of_the_ensemble_equal_the_definition_within_their_error(
    run: Run, found: RunExplanation
) -> None:
    columns = found.column_game
    assert columns is not None
    players = {name: [name] for name in columns.shapley.players}
    assert set(players) == set(COLUMNS)
    game = found.game
    assert game is not None
    clip = str(game.clips.index[0])
    background = run.values.loc[found.background.index]
    expected = shapley_by_orders(run, run.values.loc[clip], background, players)
    truth = run.classes.index(str(game.clips.loc[clip, "label"]))
    for k, name in enumerate(columns.shapley.players):
        error = max(float(columns.shapley.errors[0, k]), 1e-9)
        assert abs(columns.shapley.values[0, k] - expected[name][truth]) < 5 * error + 1e-6


def reweighted(run: Run, folder: Path, weights: dict[str, float]) -> Run:
    """The same model with other weights of its rule."""
    shutil.copytree(run.path, folder)
    content = json.loads((folder / "fusion.json").read_text())
    content["rules"][run.best]["weights"] = weights
    (folder / "fusion.json").write_text(json.dumps(content))
    return read_run(relist(folder))


@pytest.mark.parametrize(
    "heavy", ["logistic_regression", pytest.param("random_forest", marks=pytest.mark.slow)]
)
def test_the_member_with_the_weight_is_explained_and_one_below_the_limit_is_not(
    run: Run, tmp_path: Path, heavy: str
) -> None:
    light = {"logistic_regression", "random_forest"} - {heavy}
    weights = {heavy: 1 - MIN_SHARE / 2, light.copy().pop(): MIN_SHARE / 2}
    other = reweighted(run, tmp_path / "model", weights)
    assert list(other.member_shares) == [heavy, *light]
    explanation = explain_run(other)
    assert explanation.main.name == heavy
    assert set(explanation.members) == {heavy}
    assert f"{MIN_SHARE / 2:.2f}" in explanation.reasons[light.copy().pop()]
    everything = explain_run(other, full=True)
    assert set(everything.members) == {heavy, *light}
    assert everything.main.name == heavy
