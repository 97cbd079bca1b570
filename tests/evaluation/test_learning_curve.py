"""Learning curves: planted curves are found; the outlook covers the truth, also if sizes share clips."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from quintet.errors import DatasetError
from quintet.evaluation.intervals import NO_RESAMPLING
from quintet.evaluation.learning_curve import curve_scores, fit_learning_curve, outlook
from quintet.evaluation.scores import score

SIZES = np.array([40, 80, 160, 320, 640])


def noisy(scores: np.ndarray, error: float, n: int = 200, seed: int = 0) -> np.ndarray:
    return scores + error * np.random.default_rng(seed).standard_normal((n, len(scores)))


@pytest.mark.parametrize(
    ("ceiling", "gap", "exponent"), [(0.95, 1.0, 0.5), (0.7, 0.5, 1.0), (0.4, -3.0, 0.3)]
)
def test_the_fit_gives_the_curve_of_the_data(ceiling, gap, exponent):
    """The third is a loss, which falls."""
    curve = fit_learning_curve(SIZES, ceiling - gap * SIZES**-exponent)
    assert (curve.ceiling, curve.gap, curve.exponent) == pytest.approx((ceiling, gap, exponent), abs=1e-6)
    assert curve.predict([1280]) == pytest.approx([ceiling - gap * 1280**-exponent])


def test_errors_are_weights():
    """A size with a very large error has no influence."""
    scores = 0.9 - SIZES**-0.5
    spoilt = scores + np.array([0.3, 0, 0, 0, 0])
    curve = fit_learning_curve(SIZES, spoilt, [1e6, 0.01, 0.01, 0.01, 0.01])
    assert curve.ceiling == pytest.approx(0.9, abs=1e-3)


def test_a_flat_curve_has_no_gain():
    found = outlook(SIZES, np.full(5, 0.8), noisy(np.full(5, 0.8), 0.01))
    assert found.gain == pytest.approx(0, abs=1e-9)
    assert found.low < 0 < found.high


def test_an_error_that_all_sizes_share_changes_no_gain():
    """The gain is a difference, so the uncertainty of the level does not matter."""
    scores = 0.9 - 1.2 * SIZES**-0.5
    level = 0.2 * np.random.default_rng(0).standard_normal((300, 1))
    found = outlook(SIZES, scores, scores + level)
    assert (found.low, found.high) == pytest.approx((found.gain, found.gain), abs=1e-9)
    assert found.path[0].high - found.path[0].low > 0.5


def test_the_error_of_one_size_is_its_weight():
    """The smallest size is wrong and has a large error: the curve follows the others."""
    rng, scores = np.random.default_rng(0), 0.9 - 1.2 * SIZES**-0.5
    draws = (
        scores
        + rng.standard_normal((400, 1))
        + np.array([0.2, 0.001, 0.001, 0.001, 0.001]) * rng.standard_normal((400, 5))
    )
    off = scores + np.array([0.05, 0, 0, 0, 0])
    truth = 1.2 * (640**-0.5 - 1280**-0.5)
    assert abs(outlook(SIZES, off, draws).gain - truth) < 0.4 * abs(
        outlook(SIZES, off, np.zeros((0, 5))).gain - truth
    )


def test_the_path_passes_the_measured_sizes_and_ends_at_the_gain():
    scores = 0.9 - 1.2 * SIZES**-0.5
    found = outlook(SIZES, scores, noisy(scores, 0.01), factor=3.0)
    assert (found.path[0].size, found.path[-1].size) == pytest.approx((40, 1920))
    assert found.path[-1].value - scores[-1] == pytest.approx(found.gain, abs=1e-6)
    assert all(point.low < point.value < point.high for point in found.path)


def test_few_groups_widen_the_interval():
    scores = 0.9 - 1.2 * SIZES**-0.5
    few, many = (outlook(SIZES, scores, noisy(scores, 0.01, 2000), n_groups=n) for n in (6, None))
    assert few.low < many.low
    assert few.high > many.high


def test_without_resamples_there_is_no_interval():
    found = outlook(SIZES, 0.9 - SIZES**-0.5, np.zeros((0, 5)))
    assert found.gain > 0
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["gain"]["low"] is None
    assert content["path"][0]["low"] is None


def size_predictions(
    seed: int, *, gap: float, n_groups: int = 30, repeats: int = 3
) -> tuple[np.ndarray, list[list[np.ndarray]], np.ndarray]:
    """Clips of two classes, and classifiers with an accuracy of `0.95 - gap · n^-½`.

    A clip or group is equally easy at every size.
    """
    rng = np.random.default_rng(seed)
    n = 5 * n_groups
    groups, y = np.repeat(np.arange(n_groups), 5), np.array(["a", "b"])[np.arange(n) % 2]
    ease = np.sqrt(0.3) * np.repeat(rng.normal(size=n_groups), 5) + np.sqrt(0.3) * rng.normal(size=n)
    predictions: list[list[np.ndarray]] = []
    for size in SIZES:
        predictions.append([])
        for _ in range(1 if size == SIZES[-1] else repeats):
            right = ease + np.sqrt(0.4) * rng.normal(size=n) < stats.norm.ppf(0.95 - gap * size**-0.5)
            p = np.where((y == "a") == right, 0.8, 0.2)
            predictions[-1].append(np.column_stack([p, 1 - p]))
    return y, predictions, groups


def test_the_scores_of_a_size_are_those_of_its_predictions():
    y, predictions, groups = size_predictions(0, gap=1.5)
    found = curve_scores(y, predictions, ("a", "b"), groups, n_resamples=400)
    for k, size in enumerate(predictions):
        alone = [score(y, p, ("a", "b"), groups, resampling=NO_RESAMPLING).scores for p in size]
        assert found.values[k].tolist() == pytest.approx(
            [np.mean([s[name].value for s in alone]) for name in found.names]
        )
    full = score(y, predictions[-1][0], ("a", "b"), groups).scores["accuracy"]
    estimate = found.estimate(4, "accuracy")
    assert (estimate.low, estimate.high) == pytest.approx((full.low, full.high), abs=0.03)


def test_repeats_that_differ_widen_the_interval_of_their_size():
    y, predictions, groups = size_predictions(1, gap=1.5)
    alike = [[size[0]] * len(size) for size in predictions]
    spread = [
        curve_scores(y, given, ("a", "b"), groups, n_resamples=400).draws[:, :, 0].std(axis=0)
        for given in (predictions, alike)
    ]
    assert spread[0][4] == pytest.approx(spread[1][4], rel=0.15)  # the whole is drawn once
    shift = [
        predictions[0],
        [p[:, ::-1] if r == 0 else p for r, p in enumerate(predictions[1])],
        *predictions[2:],
    ]
    assert curve_scores(y, shift, ("a", "b"), groups, n_resamples=400).draws[:, 1, 0].std() > 2 * spread[0][1]


def test_label_sets_have_their_scores_and_one_group_has_no_draws():
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 1]])
    p = np.array([[0.9, 0.2], [0.1, 0.7], [0.6, 0.8], [0.2, 0.4]])
    found = curve_scores(y, [[p, p], [p, p], [p]], ("rock", "live"), np.array(["one"] * 4), multilabel=True)
    assert found.names == ("macro_pr_auc", "macro_auc", "log_loss")
    assert found.draws.shape == (0, 3, 3)
    with pytest.raises(DatasetError, match="one row per clip"):
        curve_scores(y, [[p[:2]]], ("rock", "live"), multilabel=True)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_the_outlook_covers_the_truth(gap):
    """Nominal 0.95: at least 52 of 60 simulated corpora (the binomial 1 % point); a gain is detected."""
    truth, hits, seen = gap * (640**-0.5 - 1280**-0.5), 0, 0
    for seed in range(60):
        y, predictions, groups = size_predictions(seed, gap=gap)
        found = curve_scores(y, predictions, ("a", "b"), groups, n_resamples=100, seed=seed)
        ahead = outlook(SIZES, found.values[:, 0], found.draws[:, :, 0], n_groups=found.n_groups)
        hits += ahead.low <= truth <= ahead.high
        seen += ahead.low > 0
    assert hits >= 52
    assert seen > 20 if gap else seen <= 6


def test_bad_input_is_an_error():
    for sizes, scores in (
        ([10, 20], [0.5, 0.6]),
        ([10, 20, 20], [0.5, 0.6, 0.6]),
        ([10, 20, 30], [0.5, np.nan, 0.7]),
        ([0, 20, 30], [0.5, 0.6, 0.7]),
    ):
        with pytest.raises(DatasetError, match="three sizes or more"):
            fit_learning_curve(sizes, scores)
