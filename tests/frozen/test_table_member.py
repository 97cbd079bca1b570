"""Explanations from frozen table members are those of the fitted ones: SHAP values, outputs, coalitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.tabular.members import TableMember
from quintet.explanation.importance import additivity_residual, explain, outputs
from quintet.explanation.shapley.coalitions import coalition_probabilities
from quintet.frozen.members import FrozenTable, Size
from quintet.frozen.quick_table import QuickTable
from quintet.frozen.table_member import ArrayMember
from tests.frozen.test_scorers import N_COLUMNS, NAMES, SETTINGS, fit_and_freeze


def freeze(kind: str, n_classes: int) -> tuple[ArrayMember, TableMember, pd.DataFrame]:
    """A frozen member as it is read from a folder, the fitted one, and the table of its fit."""
    member, frozen, table = fit_and_freeze(kind, n_classes)
    size = Size(N_COLUMNS, abs(n_classes), n_classes < 0)
    restored = FrozenTable.restore(frozen.head(), frozen.arrays(), size)
    return ArrayMember(kind, np.asarray(member.classes_, object), tuple(NAMES), restored), member, table


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("n_classes", [2, 4, -3], ids=["two", "four", "label_sets"])
def test_values_of_a_frozen_member_are_those_of_the_member(kind: str, n_classes: int) -> None:
    frozen, fitted, table = freeze(kind, n_classes)
    assert frozen.is_complete
    rows, background = table.iloc[:12], table.iloc[20:25]
    received, expected = explain(frozen, rows, background), explain(fitted, rows, background)
    np.testing.assert_allclose(received.values, expected.values, atol=2e-6)
    np.testing.assert_allclose(received.base_values, expected.base_values, atol=2e-6)
    np.testing.assert_array_equal(received.data, expected.data)
    assert received.feature_names == expected.feature_names
    np.testing.assert_allclose(outputs(frozen, rows), outputs(fitted, rows), atol=2e-6)
    finite = np.isfinite(received.base_values[0])
    assert additivity_residual(received, outputs(frozen, rows)) < 1e-5 or not finite.all()
    players = {"first": NAMES[:3], "others": NAMES[3:]}
    for member in (frozen, QuickTable(frozen)):
        games = coalition_probabilities(member, rows, background, players)
        np.testing.assert_allclose(
            games, coalition_probabilities(fitted, rows, background, players), atol=2e-6
        )
    np.testing.assert_allclose(frozen.predict_proba(rows[NAMES[::-1]]), fitted.predict_proba(rows), atol=1e-6)
    np.testing.assert_allclose(QuickTable(frozen).predict_proba(rows), frozen.predict_proba(rows), atol=0)


@pytest.mark.parametrize("kind", ["random_forest", "xgboost"])
def test_trees_without_weights_of_their_nodes_are_not_explained(kind: str) -> None:
    frozen, _, _ = freeze(kind, 4)
    head, arrays = frozen.frozen.head(), frozen.frozen.arrays()
    size = Size(N_COLUMNS, 4, multilabel=False)
    early = FrozenTable.restore(head, {k: v for k, v in arrays.items() if k != "0.cover"}, size)
    assert not replace(frozen, frozen=early).is_complete
    for wrong in (np.zeros_like(arrays["0.cover"]), arrays["0.cover"][1:], -arrays["0.cover"]):
        with pytest.raises(ValueError, match="no training row"):
            FrozenTable.restore(head, {**arrays, "0.cover": wrong}, size)
