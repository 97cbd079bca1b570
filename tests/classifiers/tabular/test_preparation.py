"""Preparation of a table: gaps, useless columns and scaling, as defined to the last bit, in little memory."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest

from quintet.classifiers.tabular import preparation
from quintet.classifiers.tabular.preparation import Preparation


@pytest.mark.parametrize(
    ("order", "scale", "view"), [*itertools.product("CF", (False, True), (None, np.arange(0, 9, 2)))]
)
def test_the_numbers_are_those_of_the_definition(
    order: str, scale: bool, view: np.ndarray | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "STD_COLUMNS", 2)
    rng = np.random.default_rng(0)
    X = np.array(rng.normal(size=(3000, 9)) * 10.0 ** rng.integers(-6, 6, 9), order=order)  # type: ignore[call-overload]
    X[rng.random(X.shape) < 0.1] = np.nan
    X[0, 3], X[:, 4], X[:, 6] = np.inf, 2.0, np.nan
    kept = [j for j in (range(9) if view is None else view) if j not in (4, 6)]
    median = np.array([np.median(X[np.isfinite(X[:, j]), j]) for j in kept])
    filled = np.where(np.isfinite(X[:, kept]), X[:, kept], median)
    before = X.copy()
    fitted = Preparation(scale=scale).fit(X, view)
    expected = filled
    if scale:
        expected = np.clip((filled - filled.mean(axis=0)) / filled.std(axis=0), -5.0, 5.0)
    assert fitted.kept.tolist() == kept
    assert np.array_equal(fitted.mean, filled.mean(axis=0))
    assert np.array_equal(fitted.std, filled.std(axis=0))
    assert np.array_equal(fitted.transform(X), expected)
    assert fitted.transform(X.astype(np.float32)).dtype == np.float64
    assert np.array_equal(X, before, equal_nan=True)


def test_one_copy_of_the_table_is_made() -> None:
    X = np.random.default_rng(0).normal(size=(4000, 500))
    tracemalloc.start()
    Preparation(scale=True).fit(X).transform(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * X.nbytes


def test_statistics_come_from_the_training_rows_only() -> None:
    fitted = Preparation(scale=True).fit(np.array([[0.0], [2.0]]))
    np.testing.assert_allclose(
        fitted.transform(np.array([[3.0], [np.nan], [-np.inf]])), [[2.0], [0.0], [0.0]]
    )


def test_an_extreme_value_is_limited() -> None:
    fitted = Preparation(scale=True, limit=5.0).fit(np.array([[0.0], [2.0]]))
    assert fitted.transform(np.array([[1e12], [-1e12]])).tolist() == [[5.0], [-5.0]]


def test_the_state_can_be_restored_from_arrays() -> None:
    fitted = Preparation(scale=True).fit(np.array([[0.0, 1.0, 3.0], [2.0, 1.0, 5.0]]))
    restored = Preparation(scale=True).restore(fitted.arrays())
    table = np.array([[9.0, 9.0, np.nan]])
    np.testing.assert_array_equal(restored.transform(table), fitted.transform(table))


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_tiny_differences_give_finite_values(offset: float) -> None:
    table = offset + np.array([[1.0], [1.0 + 1e-6]])
    assert np.isfinite(Preparation(scale=True).fit(table).transform(table)).all()
