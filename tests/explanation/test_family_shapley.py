"""Shapley values of families: games with known values, and fast methods against slow ones."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from quintet.classifiers.storage import load_member
from quintet.errors import ConfigError
from quintet.explanation.importance import family
from quintet.explanation.shapley import coalitions
from quintet.explanation.shapley.family_shapley import (
    SPECTROGRAM,
    columns_by_family,
    concatenate_clips,
    family_shapley,
    shapley_values,
)
from quintet.explanation.shapley.forests import coalition_outputs, forest_from_sklearn
from quintet.explanation.shapley.sampled_shapley import sampled_shapley


class Formula:
    """A classifier with one output: a formula of the columns."""

    def __init__(self, formula: Any) -> None:
        self.formula = formula

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return np.asarray(self.formula(X["a.x"], X["b.y"], X["c.z"]), dtype=float)[:, None]


PLAYERS = {"a": ["a.x"], "b": ["b.y"], "c": ["c.z"]}


def game(formula: Any, row: list[float], background: list[list[float]]) -> np.ndarray:
    columns = ["a.x", "b.y", "c.z"]
    rows, others = pd.DataFrame([row], columns=columns), pd.DataFrame(background, columns=columns)
    found = family_shapley({"m": Formula(formula)}, lambda stack: stack[0], rows, others, players=PLAYERS)
    assert found.residual < 1e-12
    return found.values[0, :, 0]


def test_families_keep_their_own_share_in_an_additive_game() -> None:
    values = game(lambda x, y, z: 2 * x - 3 * y + z, [1.0, 1.0, 5.0], [[0.0, 0.0, 5.0], [0.0, 2.0, 5.0]])
    np.testing.assert_allclose(values, [2.0, 0.0, 0.0], atol=1e-12)


def test_families_share_a_product_equally() -> None:
    np.testing.assert_allclose(
        game(lambda x, y, z: x * y * z, [1.0, 2.0, 3.0], [[0.0, 0.0, 0.0]]), [2.0, 2.0, 2.0], atol=1e-12
    )
    np.testing.assert_allclose(
        game(lambda x, y, z: x * y, [3.0, 5.0, 9.0], [[1.0, 1.0, 1.0]]), [6.0, 8.0, 0.0], atol=1e-12
    )


def test_exclusive_or_of_two_families_has_known_values() -> None:
    background = [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    np.testing.assert_allclose(
        game(lambda x, y, z: np.abs(x - y), [1.0, 0.0, 1.0], background), [0.25, 0.25, 0.0], atol=1e-12
    )
    np.testing.assert_allclose(
        game(lambda x, y, z: np.abs(x - y), [1.0, 0.0, 1.0], [[0.0, 0.0, 0.0]]), [1.0, 0.0, 0.0], atol=1e-12
    )
    np.testing.assert_allclose(
        game(lambda x, y, z: np.abs(x - y), [1.0, 1.0, 1.0], [[0.0, 0.0, 0.0]]), [0.0, 0.0, 0.0], atol=1e-12
    )


def test_values_equal_the_mean_over_all_orders() -> None:
    worth = np.random.default_rng(0).normal(size=(16, 3))
    expected = np.zeros((4, 3))
    for order in permutations(range(4)):
        mask = 0
        for i in order:
            expected[i] += (worth[mask | 1 << i] - worth[mask]) / 24
            mask |= 1 << i
    np.testing.assert_allclose(shapley_values(worth), expected, atol=1e-12)


@pytest.fixture(scope="module")
def tables(model_folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    features = pd.read_parquet(model_folder / "features.parquet").set_index("id")
    split = pd.read_parquet(model_folder / "split.parquet").set_index("id")["part"]
    values = features[[c for c in features.columns if "." in c]]
    return values[split == "test"].iloc[:4], values[split == "train"].iloc[:3]


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "svm", "xgboost"])
def test_fast_method_of_each_member_equals_prediction_of_hybrids(
    name: str, model_folder: Path, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    member = load_member(model_folder / "members" / name)
    players = columns_by_family(
        list(tables[0].columns), lambda column: column[0]
    )  # by first letter: four families
    assert len(players) == 4
    fast = coalitions.coalition_probabilities(member, *tables, players)
    slow = coalitions._hybrid_probabilities(member, *tables, players)
    assert fast.shape == (16, 12, 6)
    np.testing.assert_allclose(fast, slow, atol=2e-6)  # XGBoost adds in float32
    assert np.abs(fast[0] - fast[-1]).max() > 0.01


def test_values_of_members_and_a_network_add_up_to_the_ensemble_prediction(
    model_folder: Path, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    rng = np.random.default_rng(1)
    own, other = (rng.dirichlet(np.ones(6), size=len(table)) for table in tables)
    members: dict[str, Any] = {
        name: load_member(model_folder / "members" / name) for name in ("logistic_regression", "svm")
    } | {"cnn": None}
    players = columns_by_family(list(tables[0].columns), family)

    def geometric(stack: np.ndarray) -> np.ndarray:
        pooled = np.exp(np.log(stack + 1e-6).mean(axis=0))
        return np.asarray(pooled / pooled.sum(axis=1, keepdims=True))

    found = family_shapley(members, geometric, *tables, players=players, networks={"cnn": (own, other)})
    assert found.players[-1] == "spectrogram"
    assert found.residual < 1e-6
    np.testing.assert_allclose(
        found.values.sum(axis=2), 0.0, atol=1e-9
    )  # probabilities of all classes sum to one
    np.testing.assert_allclose(
        found.prediction,
        geometric(np.stack([m.predict_proba(tables[0]) if m else own for m in members.values()])),
        atol=1e-12,
    )


def test_spectrogram_has_value_0_if_fusion_ignores_the_network(
    tables: tuple[pd.DataFrame, pd.DataFrame], model_folder: Path
) -> None:
    member = load_member(model_folder / "members" / "logistic_regression")
    own, other = (np.full((len(table), 6), 1 / 6) for table in tables)
    own[:, 0], other[:, 1] = 0.5, 0.5
    players = {"all": list(tables[0].columns)}
    found = family_shapley(
        {"l": member, "cnn": None},
        lambda stack: stack[0],
        *tables,
        players=players,
        networks={"cnn": (own, other)},
    )
    np.testing.assert_allclose(found.values[:, 1], 0.0, atol=1e-12)


def test_value_of_a_network_is_its_prediction_minus_its_background_mean(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    rng = np.random.default_rng(2)
    own, other = (rng.dirichlet(np.ones(6), size=len(table)) for table in tables)

    class Constant:
        def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
            return np.full((len(X), 6), 1 / 6)

    found = family_shapley(
        {"t": Constant(), "cnn": None},
        lambda stack: stack[1],
        *tables,
        players={"all": list(tables[0].columns)},
        networks={"cnn": (own, other)},
    )
    np.testing.assert_allclose(found.base, np.tile(other.mean(axis=0), (4, 1)), atol=1e-12)
    np.testing.assert_allclose(found.values[:, 1], own - other.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.by_background[:, 1], own[:, None] - other[None], atol=1e-12)


def test_forest_sends_neighbouring_float32_values_as_scikit_learn_does() -> None:
    base = np.array([1.0, 3.0, 0.1, -7.0], dtype=np.float32)
    column = np.concatenate([base, np.nextafter(base, np.float32(np.inf))]).astype(np.float64)
    X, y = np.column_stack([column, -column]), np.arange(8) // 4
    forest = RandomForestClassifier(30, random_state=0).fit(X, y)
    single_player = np.zeros(2, dtype=np.int64)
    ours = np.concatenate(
        [
            coalition_outputs(forest_from_sklearn(forest), X[[i]], X[[i]], single_player, 1)[1]
            for i in range(8)
        ]
    )
    np.testing.assert_allclose(ours, forest.predict_proba(X), atol=1e-12)


def test_game_refuses_13_families_and_columns_without_a_family() -> None:
    row = pd.DataFrame([[0.0] * 13], columns=[f"f{i}.x" for i in range(13)])
    with pytest.raises(ConfigError, match="12"):
        family_shapley(
            {}, lambda stack: stack[0], row, row, players={f"f{i}": [f"f{i}.x"] for i in range(13)}
        )
    with pytest.raises(ConfigError, match="13"):
        family_shapley({}, lambda stack: stack[0], row, row, players={"f0": ["f0.x"]})


def test_parts_with_different_backgrounds_are_joined() -> None:
    columns = ["a.x", "b.y", "c.z"]
    rows = pd.DataFrame([[1.0, 2.0, 3.0]], columns=columns)
    member = {"m": Formula(lambda x, y, z: x + y * z)}
    parts = []
    for n_background in (3, 2):
        others = pd.DataFrame(np.arange(3.0 * n_background).reshape(-1, 3), columns=columns)
        parts.append(family_shapley(member, lambda stack: stack[0], rows, others, players=PLAYERS))
    joined = concatenate_clips(parts)
    np.testing.assert_array_equal(joined.values[0], parts[0].values[0])
    np.testing.assert_array_equal(joined.values[1], parts[1].values[0])
    assert joined.by_background.shape == (2, 3, 2, 1)
    assert joined.residual < 1e-12


def test_every_column_keeps_its_family_if_one_is_called_other() -> None:
    columns = ["other.a", "other.b", "other.c", "x.a", "y.a"]
    families = columns_by_family(columns, lambda name: name.partition(".")[0], limit=2)
    assert sorted(column for own in families.values() for column in own) == columns
    assert families["other"] == ["other.a", "other.b", "other.c"]


def test_no_family_of_columns_is_taken_for_the_input_of_the_networks() -> None:
    families = columns_by_family(["spectrogram", "spectrogram_mean", "a.x"], family)
    assert SPECTROGRAM not in families
    assert families["spectrogram columns"] == ["spectrogram", "spectrogram_mean"]


def test_a_single_player_has_the_whole_difference() -> None:
    def total(clips: np.ndarray, backgrounds: np.ndarray, present: np.ndarray) -> np.ndarray:
        return np.where(present[:, 0], 10.0 + clips, backgrounds)

    found = sampled_shapley(total, ["only"], n_clips=3, n_background=2, n_pairs=2)
    np.testing.assert_allclose(found.values[:, 0], [9.5, 10.5, 11.5])  # the backgrounds are 0 and 1 by turns
    assert found.residual < 1e-12
