"""Quick table members give the numbers of the fitted ones."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.registry import make_member
from quintet.classifiers.tabular.members import TableMember
from quintet.frozen.quick_table import QuickTable

SMALL: dict[str, dict[str, object]] = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 7},
    "xgboost": {"n_estimators": 5},
    "svm": {},
}


def table(n: int, seed: int) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(n, 6))
    values[::7, 2] = np.nan
    return pd.DataFrame(values, columns=[f"spectral.{k}.mean" for k in range(6)])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", SMALL)
def test_a_quick_member_gives_the_probabilities_of_the_member(name: str, n_classes: int) -> None:
    X = table(60, 0)
    y = np.array([f"class{k}" for k in np.digitize(X.iloc[:, 0], [-0.4, 0.4][: n_classes - 1])])
    member = cast(TableMember, make_member(name, **SMALL[name]).fit(X, y))
    rows = table(40, 1) * 2
    received = QuickTable(member).predict_proba(rows)
    np.testing.assert_allclose(received, member.predict_proba(rows), rtol=0, atol=1e-12)
    assert np.ptp(received, axis=0).min() > 0.01


@pytest.mark.parametrize("name", SMALL)
def test_a_quick_member_gives_the_probabilities_of_tags(name: str) -> None:
    X = table(60, 2)
    y = np.column_stack([X.iloc[:, 0] > 0, X.iloc[:, 1] > 0.2, np.ones(60, bool)]).astype(np.int8)
    member = cast(TableMember, make_member(name, **SMALL[name]).fit(X, y, classes=["a", "b", "always"]))
    rows = table(40, 3)
    received = QuickTable(member).predict_proba(rows)
    np.testing.assert_allclose(received, member.predict_proba(rows), rtol=0, atol=1e-12)
    assert np.ptp(received[:, :2], axis=0).min() > 0.01


def test_other_columns_are_refused_as_the_member_refuses_them() -> None:
    X = table(30, 4)
    member = cast(TableMember, make_member("random_forest", n_estimators=3).fit(X, ["a", "b", "c"] * 10))
    with pytest.raises(ValueError, match="feature names"):
        QuickTable(member).predict_proba(X.iloc[:, ::-1])
