"""Permutation importance: AUC falls without a planted cause, and does not without noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from quintet.classifiers.registry import make_member
from quintet.explanation.permutation import correlation_groups, ensemble_predictor, permutation_importance


def _problem(seed: int, *, planted: bool) -> tuple[Any, pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.array(["a", "b", "c"])[np.arange(300) % 3]
    X = pd.DataFrame(rng.normal(size=(300, 8)), columns=[f"f{j // 2}.c{j}" for j in range(8)])
    if planted:
        X["f1.c2"] += 2.5 * (y == "b")
        X["f3.c6"] += 1.5 * (y == "c")
    member = make_member("logistic_regression").fit(X.iloc[:180], y[:180])
    return member, X.iloc[180:], y[180:]


def _importance(member: Any, X: pd.DataFrame, y: np.ndarray, **settings: Any) -> pd.DataFrame:
    predict = ensemble_predictor({"m": member}, lambda stack: stack[0], X, {}, "spectrogram")
    truth = y[:, None] == member.classes_
    groups = np.array([f"g{i // 2}" for i in range(len(y))])
    return permutation_importance(predict, truth, groups, {c: [c] for c in X.columns}, **settings).set_index(
        "player"
    )


def test_planted_columns_have_the_largest_falls_in_their_order() -> None:
    table = _importance(*_problem(0, planted=True))
    assert list(table.index[:2]) == ["f1.c2", "f3.c6"]
    assert (table["low_corrected"].iloc[:2] > 0).all()
    assert table["fall"].iloc[0] > 0.1
    assert (table["low_corrected"] <= table["low"]).all()
    assert (table["low_corrected"].iloc[2:] <= 0.005).all()


def test_with_shuffled_labels_no_corrected_interval_excludes_zero() -> None:
    for seed in range(4):
        table = _importance(*_problem(seed, planted=False))
        assert not ((table["low_corrected"] > 0) | (table["high_corrected"] < 0)).any()


def test_correlated_columns_have_a_fall_together_but_not_one_by_one() -> None:
    rng = np.random.default_rng(4)
    y = np.array(["a", "b"])[np.arange(400) % 2]
    signal = rng.normal(size=400) + 1.5 * (y == "b")
    X = pd.DataFrame(
        {f"x.twin_{i}": signal + 0.02 * rng.normal(size=400) for i in range(4)}
        | {"x.other": rng.normal(size=400)}
    )
    groups = correlation_groups(X.iloc[:200], ["x.twin_2", "x.other", "x.twin_0"])
    assert groups == {
        "x.twin_2 + 3 alike": ["x.twin_2", "x.twin_0", "x.twin_1", "x.twin_3"],
        "x.other": ["x.other"],
    }
    member = make_member("logistic_regression").fit(X.iloc[:200], y[:200])
    predict = ensemble_predictor({"m": member}, lambda stack: stack[0], X.iloc[200:], {}, "spectrogram")
    truth = y[200:, None] == member.classes_
    together = permutation_importance(predict, truth, np.arange(200), groups).set_index("player")["fall"]
    apart = permutation_importance(predict, truth, np.arange(200), {c: [c] for c in X.columns}).set_index(
        "player"
    )["fall"]
    assert together["x.twin_2 + 3 alike"] > 3 * apart["x.twin_2"]


def test_shuffled_spectrogram_changes_only_the_networks() -> None:
    member, X, y = _problem(1, planted=True)
    rng = np.random.default_rng(2)
    network = np.eye(3)[np.searchsorted(["a", "b", "c"], y)] * 0.5 + rng.dirichlet(np.ones(3), len(y)) * 0.5
    predict = ensemble_predictor(
        {"m": member, "cnn": None}, lambda stack: stack.mean(axis=0), X, {"cnn": network}, "spectrogram"
    )
    order, own = rng.permutation(len(X)), np.arange(len(X))
    untouched, mixed = predict(np.stack([own, order]), ["spectrogram"])
    np.testing.assert_allclose(untouched, (member.predict_proba(X) + network) / 2)
    np.testing.assert_allclose(mixed, (member.predict_proba(X) + network[order]) / 2)
    np.testing.assert_allclose(predict(own[None], ())[0], untouched)
    np.testing.assert_allclose(predict(order[None], [*X.columns, "spectrogram"])[0], untouched[order])
    players = {"spectrogram": ["spectrogram"]}
    for family in ("f0", "f1", "f2", "f3"):
        players[family] = [column for column in X.columns if column.startswith(family)]
    table = permutation_importance(predict, y[:, None] == member.classes_, y, players).set_index("player")
    assert table.index[0] == "spectrogram"
    assert table["fall"].idxmin() in ("f0", "f2")


def test_groups_of_columns_keep_names_of_their_own() -> None:
    x = np.arange(6.0)
    table = pd.DataFrame({"a": x, "b": 2 * x, "a + 1 alike": [1.0, -1, 1, -1, 1, -1], "spectrogram": x % 3})
    groups = correlation_groups(table, ["a", "a + 1 alike", "spectrogram"])
    assert sorted(column for own in groups.values() for column in own) == sorted(table.columns)
    assert "spectrogram" not in groups  # this player stands for the input of the networks
