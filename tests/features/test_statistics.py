from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from quintet.errors import ConfigError
from quintet.features.statistics import STATISTICS, log_covariance, summaries

SERIES = np.random.default_rng(0).gamma(2.0, size=(5, 101)) * np.array([[1e-6], [1], [10], [1e6], [1e20]])


def test_statistics_equal_numpy_and_scipy():
    expected = {
        "mean": SERIES.mean(axis=1),
        "std": SERIES.std(axis=1),
        "min": SERIES.min(axis=1),
        "max": SERIES.max(axis=1),
        "median": np.median(SERIES, axis=1),
        "skew": scipy.stats.skew(SERIES, axis=1),
        "kurtosis": scipy.stats.kurtosis(SERIES, axis=1),
    }
    ours = summaries(SERIES, STATISTICS)
    assert list(ours) == list(STATISTICS) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("resolution", [0.1, 3.0])
def test_a_resolution_adds_normal_noise_to_skew_and_kurtosis(resolution):
    """Moments of all sums of a value and a node of the normal distribution, which are exact up to order 9."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    sums = SERIES[1][:, None] + resolution * nodes
    weights = np.broadcast_to(weights / weights.sum() / len(sums), sums.shape)
    m2, m3, m4 = (np.sum(weights * (sums - np.sum(weights * sums)) ** k) for k in (2, 3, 4))
    found = summaries(SERIES[1], STATISTICS, resolution=resolution)
    assert found["skew"][0] == pytest.approx(m3 / m2**1.5, rel=1e-9)
    assert found["kurtosis"][0] == pytest.approx(m4 / m2**2 - 3, rel=1e-9)
    plain = summaries(SERIES[1], STATISTICS)
    assert all(found[name] == plain[name] for name in ("mean", "std", "min", "max", "median"))


def test_closed_forms():
    two_valued = summaries(np.array([0.0, 1.0, 0.0, 1.0]), STATISTICS)
    assert {name: float(value[0]) for name, value in two_valued.items()} == {
        "mean": 0.5, "std": 0.5, "min": 0.0, "max": 1.0, "median": 0.5, "skew": 0.0, "kurtosis": -2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "series",
    [
        np.full((1, 77), 0.3),
        np.full((1, 50), -1e9 / 3),
        np.zeros((1, 9)),
        np.array([[4.2]]),
        np.full((1, 99), 1e-200),
    ],
)
def test_a_constant_series_has_no_spread_and_no_shape(series):
    values = summaries(series, STATISTICS)
    assert [float(values[name][0]) for name in ("std", "skew", "kurtosis")] == [0.0, 0.0, 0.0]


def test_scale_and_shift_do_not_change_the_shape():
    base, moved = (
        summaries(SERIES[1], ["skew", "kurtosis"]),
        summaries(3 - 2 * SERIES[1], ["skew", "kurtosis"]),
    )
    np.testing.assert_allclose(moved["skew"], -base["skew"], rtol=1e-10)
    np.testing.assert_allclose(moved["kurtosis"], base["kurtosis"], rtol=1e-10)


def test_tiny_and_huge_values_stay_finite():
    for scale in (1e-100, 1e-30, 1e30):
        values = summaries(SERIES[1] * scale, STATISTICS)
        assert all(np.isfinite(value).all() for value in values.values())


def test_an_unknown_statistic_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'median'"):
        summaries(SERIES, ["medain"])


def test_the_logarithm_of_the_covariance_inverts_to_it():
    series = np.random.default_rng(1).standard_normal((4, 200)).cumsum(axis=0)
    values, vectors = np.linalg.eigh(log_covariance(series, floor=0.5))
    np.testing.assert_allclose(
        0.5 * (vectors * np.exp(values)) @ vectors.T - 0.5 * np.eye(4), np.cov(series, bias=True), atol=1e-12
    )


def test_the_logarithm_of_the_covariance_follows_a_permutation_and_ignores_a_shift():
    series = np.random.default_rng(1).standard_normal((4, 50))
    base, order = log_covariance(series, floor=1.0), [2, 0, 3, 1]
    np.testing.assert_allclose(
        log_covariance(series[order] + 100, floor=1.0), base[np.ix_(order, order)], atol=1e-12
    )


def test_a_single_frame_has_no_covariance():
    assert not log_covariance(np.ones((3, 1)), floor=1.0).any()
