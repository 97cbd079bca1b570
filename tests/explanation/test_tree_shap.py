"""TreeSHAP against the definition, shap and XGBoost, for every column, tie and number of threads."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier

from quintet.explanation.contracts import import_shap
from quintet.explanation.shapley.arrays import Forest
from quintet.explanation.shapley.forests import forest_from_sklearn, forest_from_xgboost
from quintet.explanation.shapley.tree_shap import tree_shapley


def _problem(n: int = 150, d: int = 12, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    X = np.round(rng.normal(size=(n, d)), 1)  # many ties, so that rows lie on thresholds
    return X, (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int) + (classes > 2) * (X[:, 3] > 0.5)


def _by_definition(forest: Forest, row: np.ndarray) -> np.ndarray:
    """Shapley values (d, outputs) of `E[tree | columns of S]`, by the shares of the branches."""

    def worth(present: tuple[int, ...], node: int) -> Any:
        if forest.left[node] < 0:
            return forest.value[node]
        left, right = forest.left[node], forest.right[node]
        if forest.feature[node] in present:
            return worth(
                present, left if np.float32(row[forest.feature[node]]) < forest.threshold[node] else right
            )
        return (
            forest.cover[left] * worth(present, left) + forest.cover[right] * worth(present, right)
        ) / forest.cover[node]

    d = len(row)
    found = np.zeros((d, forest.value.shape[1]))
    for j in range(d):
        for size in range(d):
            for others in combinations([k for k in range(d) if k != j], size):
                weight = factorial(size) * factorial(d - size - 1) / factorial(d)
                found[j] += weight * sum(
                    worth((*others, j), int(s)) - worth(others, int(s)) for s in forest.start
                )
    return found


def test_values_equal_the_definition() -> None:
    X, y = _problem(d=4)
    forest = forest_from_sklearn(
        RandomForestClassifier(3, max_depth=7, random_state=0).fit(X, y)
    )  # a path compares some columns more than once
    values, base = tree_shapley(forest, X[:5])
    np.testing.assert_allclose(values, [_by_definition(forest, row) for row in X[:5]], atol=1e-12)
    assert base.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("balanced", [None, "balanced"])
def test_deep_forest_equals_shap_tree_explainer(balanced: str | None) -> None:
    X, y = _problem()
    model = RandomForestClassifier(30, class_weight=balanced, random_state=0).fit(X, y)
    values, base = tree_shapley(forest_from_sklearn(model), X[:20])
    explainer = import_shap().TreeExplainer(model)
    np.testing.assert_allclose(values, explainer.shap_values(X[:20], check_additivity=False), atol=1e-12)
    np.testing.assert_allclose(base, explainer.expected_value, atol=1e-12)
    np.testing.assert_allclose(values.sum(axis=1) + base, model.predict_proba(X[:20]), atol=1e-12)
    assert np.abs(values).max() > 0.1


def test_xgboost_trees_equal_xgboost_contributions() -> None:
    X, y = _problem()
    model = xgboost.XGBClassifier(n_estimators=20, max_depth=5, random_state=0).fit(X, y)
    values, base = tree_shapley(forest_from_xgboost(model, X), X[:20])
    own = model.get_booster().predict(xgboost.DMatrix(X[:20]), pred_contribs=True)
    np.testing.assert_allclose(values, own[:, :, :-1].transpose(0, 2, 1), atol=1e-5)
    np.testing.assert_allclose(base, own[0, :, -1], atol=1e-5)


def test_number_of_threads_and_other_rows_do_not_matter() -> None:
    X, y = _problem()
    forest = forest_from_sklearn(RandomForestClassifier(10, random_state=0).fit(X, y))
    together, _ = tree_shapley(forest, X[:7], n_jobs=3)
    np.testing.assert_array_equal(together, tree_shapley(forest, X[:7], n_jobs=1)[0])
    np.testing.assert_array_equal(together[4:5], tree_shapley(forest, X[4:5])[0])


def test_tree_of_one_leaf_has_values_of_0() -> None:
    model = RandomForestClassifier(2, max_depth=3, random_state=0).fit([[0.0], [0.0], [0.0]], [0, 1, 1])
    values, base = tree_shapley(forest_from_sklearn(model), np.zeros((2, 1)))
    assert values.tolist() == [[[0.0, 0.0]], [[0.0, 0.0]]]
    np.testing.assert_allclose(base, model.predict_proba([[0.0]])[0])
