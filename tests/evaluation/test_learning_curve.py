"""Learning curves: planted curves are found again; the outlook covers the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quintet.errors import DatasetError
from quintet.evaluation.learning_curve import fit_learning_curve, outlook

SIZES = np.array([40, 80, 160, 320, 640])


@pytest.mark.parametrize(("ceiling", "gap", "exponent"), [(0.95, 1.0, 0.5), (0.7, 0.5, 1.0), (0.4, -3.0, 0.3)])
def test_a_planted_curve_is_found(ceiling, gap, exponent):
    """The third is a loss, which falls."""
    curve = fit_learning_curve(SIZES, ceiling - gap * SIZES**-exponent)
    assert (curve.ceiling, curve.gap, curve.exponent) == pytest.approx((ceiling, gap, exponent), abs=1e-6)
    assert curve.predict([1280]) == pytest.approx([ceiling - gap * 1280**-exponent])


def test_errors_are_weights():
    """A size with a huge error is as if it were not there."""
    scores = 0.9 - SIZES**-0.5
    spoilt = scores + np.array([0.3, 0, 0, 0, 0])
    curve = fit_learning_curve(SIZES, spoilt, [1e6, 0.01, 0.01, 0.01, 0.01])
    assert curve.ceiling == pytest.approx(0.9, abs=1e-3)


def test_a_flat_curve_promises_nothing():
    found = outlook(SIZES, np.full(5, 0.8), np.full(5, 0.01))
    assert found.gain == pytest.approx(0, abs=1e-9)
    assert found.low < 0 < found.high


def test_the_outlook_covers_the_truth():
    truth = 1.2 * (640**-0.5 - 1280**-0.5)
    rng, hits = np.random.default_rng(0), 0
    for seed in range(40):
        found = outlook(SIZES, 0.9 - 1.2 * SIZES**-0.5 + 0.01 * rng.standard_normal(5), np.full(5, 0.01), n_resamples=100, seed=seed)
        hits += found.low <= truth <= found.high
    assert hits >= 34
    json.dumps(found.to_json(), allow_nan=False)


def test_bad_input_is_refused():
    for sizes, scores in (
        ([10, 20], [0.5, 0.6]),
        ([10, 20, 20], [0.5, 0.6, 0.6]),
        ([10, 20, 30], [0.5, np.nan, 0.7]),
        ([0, 20, 30], [0.5, 0.6, 0.7]),
    ):
        with pytest.raises(DatasetError, match="three sizes or more"):
            fit_learning_curve(sizes, scores)
