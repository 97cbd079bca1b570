"""Intervals from resamples, some of which may have no value."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.evaluation.percentile_intervals import comparison_interval


def test_a_statistic_that_no_resample_has_gets_no_interval():
    interval = comparison_interval(0.5, np.full(30, np.nan), n_groups=12, n_compared=2)
    assert np.isnan([interval.low, interval.high, interval.low_corrected, interval.high_corrected]).all()


def test_resamples_without_a_value_do_not_count():
    values = np.random.default_rng(0).normal(size=200)
    some = np.concatenate([values, np.full(50, np.nan)])
    expected = comparison_interval(0.0, values, n_groups=12, n_compared=3)
    received = comparison_interval(0.0, some, n_groups=12, n_compared=3)
    assert received == pytest.approx(expected)
