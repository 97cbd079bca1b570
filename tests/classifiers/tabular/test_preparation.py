"""The preparation in place gives the numbers of its definition to the last bit, in little memory."""

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
