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


@pytest.mark.parametrize("long_tailed", [np.arange(5), np.array([0, 1, 4])], ids=["all", "some"])
def test_tails_are_compressed_by_the_definition(
    long_tailed: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "STD_COLUMNS", 2)
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.standard_cauchy((400, 3)), rng.normal(size=400), np.zeros(400)])
    X[:30, 4] = rng.uniform(1.0, 3.0, 30)  # the quartiles are equal
    X[5, 0] = np.nan
    fitted = Preparation(scale=True).fit(X, long_tailed=long_tailed)
    median = np.nanmedian(X, axis=0)
    filled = np.where(np.isnan(X), median, X)
    low, high = np.percentile(filled, [25, 75], axis=0)
    spread = (high - low) / 1.349
    spread[4] = np.abs(filled[:, 4] - median[4]).mean()
    u = filled.copy()
    d = (filled - median) / spread
    u[:, long_tailed] = (d / np.sqrt(1 + (d / 3) ** 2))[:, long_tailed]
    expected = np.clip((u - u.mean(axis=0)) / u.std(axis=0), -5, 5)
    np.testing.assert_allclose(fitted.transform(X), expected, rtol=0, atol=1e-12)
    restored = Preparation(scale=True).restore(fitted.arrays())
    np.testing.assert_array_equal(restored.transform(X), fitted.transform(X))


def test_compressed_values_keep_their_order_and_stay_finite() -> None:
    X = np.array([-1e308, -1e200, *np.linspace(-3, 3, 40), 1e308])[:, None]
    prepared = Preparation(scale=True).fit(X, long_tailed=np.array([0])).transform(X)[:, 0]
    assert np.isfinite(prepared).all()
    assert (np.diff(prepared) >= 0).all()
    assert (np.diff(prepared[2:-1]) > 0).all()


def test_a_far_value_moves_the_others_less_if_tails_are_compressed() -> None:
    X = np.append(np.linspace(-1.0, 1.0, 99), 1000.0)[:, None]
    plain = np.ptp(Preparation(scale=True).fit(X).transform(X[:99]))
    compressed = np.ptp(Preparation(scale=True).fit(X, long_tailed=np.array([0])).transform(X[:99]))
    assert plain < 0.05
    assert compressed > 1.0


@pytest.mark.parametrize("long_tailed", [None, np.arange(500)], ids=["plain", "compressed"])
def test_one_copy_of_the_table_is_made(long_tailed: np.ndarray | None) -> None:
    X = np.random.default_rng(0).normal(size=(4000, 500))
    tracemalloc.start()
    Preparation(scale=True).fit(X, long_tailed=long_tailed).transform(X)
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
