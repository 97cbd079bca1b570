"""Comparisons: DeLong's published example, an O(n²) form, McNemar and Holm by hand, rates of false alarms."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from quintet.errors import DatasetError
from quintet.evaluation import comparisons as module
from quintet.evaluation.comparisons import difference_tests, holm, mcnemar, metric_differences
from quintet.evaluation.delong import delong
from quintet.evaluation.intervals import NO_RESAMPLING, Resampling
from quintet.evaluation.ranking import rank_scores
from quintet.evaluation.scores import score

CLASSES = ("a", "b", "c")

# The ovarian cancer data of DeLong, DeLong & Clarke-Pearson 1988 (43 complete patients: albumin, total
# protein, K-G score, 1 = benefits from surgery), as printed with its results in the SAS/STAT User's Guide,
# PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves".
OVARIAN_TEXT = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""
OVARIAN = np.array(OVARIAN_TEXT.split(), dtype=float).reshape(-1, 4)


@pytest.mark.parametrize(
    ("column", "area", "difference", "error", "low", "high", "chi_square", "p_value"),
    [
        (0, 0.7366, 0.0108, 0.0953, -0.1761, 0.1976, 0.0127, 0.9102),
        (1, 0.6478, -0.0780, 0.1046, -0.2830, 0.1271, 0.5554, 0.4561),
    ],
    ids=["albumin", "total protein"],
)
def test_delong_matches_the_published_example(
    column, area, difference, error, low, high, chi_square, p_value
):
    found = delong(OVARIAN[:, 3] == 1, OVARIAN[:, column], 10 - OVARIAN[:, 2])
    values = (
        found.first,
        found.second,
        found.difference.value,
        found.standard_error,
        found.difference.low,
        found.difference.high,
    )
    assert values == pytest.approx((area, 0.7258, difference, error, low, high), abs=5e-5)
    assert (found.z**2, found.difference.p_value) == pytest.approx((chi_square, p_value), abs=5e-5)


def quadratic(positive, first, second):
    """DeLong from its definition: every positive against every negative."""
    parts = []
    for scores in (first, second):
        wins = np.sign(scores[positive][:, None] - scores[~positive][None, :]) / 2 + 0.5
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    covariance = sum(np.cov([parts[0][k], parts[1][k]]) / len(parts[0][k]) for k in (0, 1))
    return parts[0][0].mean() - parts[1][0].mean(), np.sqrt(
        covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    )


@pytest.mark.parametrize("seed", range(20))
def test_delong_equals_its_quadratic_definition(seed):
    rng = np.random.default_rng(seed)
    n, levels = rng.integers(6, 80), rng.choice([3, 10, 10_000])
    positive = np.r_[True, True, False, False, rng.random(n - 4) < 0.4]
    first, second = rng.integers(0, levels, n) + positive, rng.integers(0, levels, n) + 0.0
    found = delong(positive, first, second)
    assert (found.difference.value, found.standard_error) == pytest.approx(
        quadratic(positive, first, second), abs=1e-12
    )
    alone = delong(positive, first, second, np.arange(n))
    assert alone.standard_error == pytest.approx(found.standard_error, abs=1e-12)
    assert delong(positive, second, first).difference.value == -found.difference.value


def test_copies_in_one_group_leave_the_error_of_delong():
    rng = np.random.default_rng(0)
    positive = rng.random(60) < 0.5
    first, second, groups = rng.random(60) + positive, rng.random(60) + positive * 0.3, np.arange(60)
    once = delong(positive, first, second)
    copies = [np.repeat(x, 5) for x in (positive, first, second)]
    assert delong(*copies, np.repeat(groups, 5)).standard_error == pytest.approx(
        once.standard_error, rel=1e-12
    )
    assert delong(*copies).standard_error < once.standard_error / 2


def test_delong_by_group_counts_what_positives_and_negatives_of_a_group_share():
    """Each group has positives and negatives, and shifts all its scores by one value.

    The error equals that of a bootstrap over groups, which needs the mixed terms.
    """
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 6)
    positive = np.tile([True, True, True, False, False, False], 100)
    shift = rng.normal(size=100)[groups] * 2
    first, second = shift + positive + rng.normal(size=600), rng.normal(size=600) + positive
    drawn = rng.multinomial(100, np.full(100, 0.01), size=2000)[:, groups].astype(float)
    areas = [rank_scores(positive, scores, drawn).auc for scores in (first, second)]
    assert delong(positive, first, second, groups).standard_error == pytest.approx(
        (areas[0] - areas[1]).std(), rel=0.08
    )


def test_delong_gives_p_1_for_equal_scores_and_an_error_for_too_few_clips():
    positive = np.array([True, True, False, False])
    found = delong(positive, np.arange(4.0), np.arange(4.0))
    assert (found.z, found.difference.p_value) == (0.0, 1.0)
    with pytest.raises(DatasetError, match="two positives"):
        delong(np.array([True, False, False]), np.arange(3.0), np.arange(3.0))
    with pytest.raises(DatasetError, match="two groups"):
        delong(positive, np.arange(4.0), np.arange(4.0), np.array(["x", "x", "y", "z"]))


def test_too_few_or_too_many_clips_give_no_delong(monkeypatch):
    y, first, second, groups = pair(0)
    assert list(difference_tests(y, first, second, CLASSES, groups).delong) == list(CLASSES)
    only = difference_tests(np.where(y == "c", "a", y), first, second, CLASSES, groups)
    assert list(only.delong) == ["a", "b"]
    assert only.mcnemar is not None
    assert (
        difference_tests(
            np.column_stack([y == "a", y == "b"]),
            first[:, :2],
            second[:, :2],
            ("a", "b"),
            groups,
            multilabel=True,
        ).mcnemar
        is None
    )
    monkeypatch.setattr(module, "MAX_RANKED", 10)
    assert difference_tests(y, first, second, CLASSES, groups).delong == {}


def test_mcnemar_by_hand():
    """Ten against two: 2 · (C(12,0) + C(12,1) + C(12,2)) / 2¹² = 158 / 4096."""
    found = mcnemar(
        np.r_[np.ones(10), np.zeros(2), np.ones(30)], np.r_[np.zeros(10), np.ones(2), np.ones(30)]
    )
    assert (found.only_first, found.only_second) == (10, 2)
    assert found.p_value == pytest.approx(158 / 4096)
    assert mcnemar(np.ones(3), np.ones(3)).p_value == 1.0
    with pytest.raises(DatasetError, match="same clips"):
        mcnemar(np.ones(3), np.ones(2))


def test_holm_by_hand():
    """The table of R's p.adjust: sorted 0.005, 0.011, 0.02, 0.04 times 4, 3, 2, 1, and never falling."""
    assert holm([0.04, 0.005, 0.02, 0.011]) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    assert holm([0.5, 0.9, 0.7]) == pytest.approx([1, 1, 1])
    assert np.isnan(holm([0.01, np.nan, 0.02])[1])
    assert holm([0.01, np.nan, 0.02])[0] == pytest.approx(0.02)
    assert holm([]).size == 0


def pair(seed, n_groups=40, size=3, gain=0.0):
    rng = np.random.default_rng(seed)
    groups, codes = np.repeat(np.arange(n_groups), size), np.repeat(rng.integers(0, 3, n_groups), size)
    shared = rng.normal(size=(n_groups, 3))[groups] + 1.2 * np.eye(3)[codes]
    logits = [
        shared + rng.normal(size=(n_groups, 3))[groups] * 0.7 + rng.normal(size=(len(codes), 3)) * 0.5
        for _ in range(2)
    ]
    logits[0] += gain * np.eye(3)[codes]
    first, second = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in logits)
    return np.array(CLASSES)[codes], first, second, groups.astype(str)


def test_differences_are_those_of_the_scores_and_change_sign_with_the_order():
    y, first, second, groups = pair(0, gain=0.5)
    found = metric_differences(y, first, second, CLASSES, groups, resampling=Resampling(n_resamples=200))
    scores = [score(y, p, CLASSES, groups, resampling=NO_RESAMPLING).scores for p in (first, second)]
    for name, difference in found.items():
        assert difference.value == pytest.approx(scores[0][name].value - scores[1][name].value, abs=1e-12)
        assert difference.low <= difference.value <= difference.high
    turned = metric_differences(y, second, first, CLASSES, groups, resampling=Resampling(n_resamples=200))[
        "macro_auc"
    ]
    assert (turned.low, turned.high) == pytest.approx(
        (-found["macro_auc"].high, -found["macro_auc"].low), abs=2e-3
    )
    json.dumps(found["ece"].to_json(), allow_nan=False)


def test_pairing_narrows_the_interval_of_a_small_difference():
    y, first, second, groups = pair(1)
    paired = metric_differences(
        y, first, 0.9 * first + 0.1 * second, CLASSES, groups, resampling=Resampling(n_resamples=300)
    )["accuracy"]
    single = score(y, first, CLASSES, groups, resampling=Resampling(n_resamples=300)).scores["accuracy"]
    assert paired.high - paired.low < (single.high - single.low) / 2


def test_the_p_value_agrees_with_the_interval():
    for seed in range(12):
        y, first, second, groups = pair(seed, gain=0.3)
        for difference in metric_differences(
            y, first, second, CLASSES, groups, resampling=Resampling(n_resamples=400)
        ).values():
            if abs(difference.p_value - 0.05) > 0.02:
                assert (difference.p_value < 0.05) == (difference.low > 0 or difference.high < 0)


def rate_of_false_alarms(n_simulations, n_resamples):
    p = {"accuracy": [], "macro_auc": [], "log_loss": []}
    for seed in range(n_simulations):
        y, first, second, groups = pair(seed)
        found = metric_differences(
            y, first, second, CLASSES, groups, resampling=Resampling(seed=seed, n_resamples=n_resamples)
        )
        for name, values in p.items():
            values.append(found[name].p_value)
    return {name: float(np.mean(np.array(values) < 0.05)) for name, values in p.items()}


def test_equal_classifiers_rarely_differ_quickly():
    assert all(rate <= 0.15 for rate in rate_of_false_alarms(60, 100).values())


@pytest.mark.slow
def test_equal_classifiers_differ_at_the_nominal_rate():
    rates = rate_of_false_alarms(600, 600)
    assert all(0.028 <= rate <= 0.075 for rate in rates.values()), rates


def test_delong_has_the_nominal_rate_by_group_but_not_by_clip():
    grouped, naive = [], []
    for seed in range(200):
        y, first, second, groups = pair(seed)
        grouped.append(delong(y == "a", first[:, 0], second[:, 0], groups).difference.p_value < 0.05)
        naive.append(delong(y == "a", first[:, 0], second[:, 0]).difference.p_value < 0.05)
    assert np.mean(grouped) < 0.11
    assert np.mean(naive) > 0.15
    assert stats.binomtest(int(np.sum(grouped)), 200, 0.05).pvalue > 1e-3


def test_blocks_compare_large_data(monkeypatch):
    y, first, second, groups = pair(0, n_groups=400, gain=0.3)
    resampled = metric_differences(y, first, second, CLASSES, groups, resampling=Resampling(n_resamples=300))
    monkeypatch.setattr(module, "MAX_RESAMPLED", 1)
    blocks = metric_differences(y, first, second, CLASSES, groups, resampling=Resampling(n_resamples=300))
    for name in ("accuracy", "macro_auc", "log_loss"):
        assert blocks[name].value == resampled[name].value
        assert blocks[name].high - blocks[name].low == pytest.approx(
            resampled[name].high - resampled[name].low, rel=0.6
        )
        assert blocks[name].p_value < 0.05


def test_label_sets_have_differences():
    y, first, second, groups = pair(0)
    indicator = y[:, None] == np.array(CLASSES)
    assert "micro_f1" in metric_differences(
        indicator,
        first,
        second,
        CLASSES,
        groups,
        multilabel=True,
        resampling=Resampling(n_resamples=20),
    )
    with pytest.raises(DatasetError, match="Align them"):
        metric_differences(y, first, second[:-1], CLASSES)
