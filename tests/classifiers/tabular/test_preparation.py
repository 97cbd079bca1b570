"""Preparation of a table: gaps, useless columns and scaling, learnt from training rows only."""

import numpy as np
import pytest

from quintet.classifiers.tabular.preparation import Preparation


def test_statistics_come_from_the_training_rows_only():
    fitted = Preparation(scale=True).fit(np.array([[0.0], [2.0]]))
    np.testing.assert_allclose(
        fitted.transform(np.array([[3.0], [np.nan], [-np.inf]])), [[2.0], [0.0], [0.0]]
    )


def test_an_extreme_value_is_limited():
    fitted = Preparation(scale=True, limit=5.0).fit(np.array([[0.0], [2.0]]))
    assert fitted.transform(np.array([[1e12], [-1e12]])).tolist() == [[5.0], [-5.0]]


def test_the_state_can_be_restored_from_arrays():
    fitted = Preparation(scale=True).fit(np.array([[0.0, 1.0, 3.0], [2.0, 1.0, 5.0]]))
    restored = Preparation(scale=True).restore(fitted.arrays())
    table = np.array([[9.0, 9.0, np.nan]])
    np.testing.assert_array_equal(restored.transform(table), fitted.transform(table))


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_tiny_differences_give_finite_values(offset):
    table = offset + np.array([[1.0], [1.0 + 1e-6]])
    assert np.isfinite(Preparation(scale=True).fit(table).transform(table)).all()
