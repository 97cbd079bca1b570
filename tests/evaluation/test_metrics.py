"""Metrics equal those of scikit-learn, with ties, absent classes, one class and weights, one or a batch."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from quintet.errors import DatasetError
from quintet.evaluation.metrics import (
    MULTI_LABEL,
    SINGLE_LABEL,
    calibration_error,
    confusion_matrix,
    label_codes,
    multi_label_metrics,
    reliability_curve,
    single_label_metrics,
    tag_indicator,
    top_label,
)
from quintet.evaluation.ranking import rank_scores, roc_curve
from quintet.evaluation.scores import score


@st.composite
def problems(draw, min_classes=2):
    """Labels, probabilities and weights. There are ties; classes may be absent, and weights may be zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_classes = draw(st.integers(1, 60)), draw(st.integers(min_classes, 6))
    coarse = draw(st.sampled_from([1, 2, 5, 1000]))
    raw = rng.integers(0, coarse + 1, (n, n_classes)) + draw(st.sampled_from([0.0, 0.5]))
    raw[raw.sum(axis=1) == 0] = 1
    present = draw(st.integers(1, n_classes))
    weights = draw(
        st.sampled_from(
            [None, rng.random(n) + 0.01, rng.integers(0, 3, n).astype(float) + (np.arange(n) == 0)]
        )
    )
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    return rng.integers(0, present, n), (raw / raw.sum(axis=1, keepdims=True)).astype(dtype), weights


def oracle(function, *args, **kwargs):
    """Value of scikit-learn; NaN if it warns that there is none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = function(*args, **kwargs)
    undefined = any(
        issubclass(w.category, sk._ranking.UndefinedMetricWarning) or "No positive class" in str(w.message)
        for w in caught
    )
    return np.nan if undefined else value


def without_zero_weights(weights, *arrays):
    """Without rows of weight zero: scikit-learn counts a class as present by its rows, we by its weight."""
    rows = slice(None) if weights is None else weights > 0
    return [array[rows] for array in arrays], None if weights is None else weights[rows]


@settings(max_examples=80, deadline=None)
@given(problems())
def test_single_label_metrics_equal_scikit_learn(problem):
    codes, p, weights = problem
    table = single_label_metrics(codes, p, weights)
    (codes, p), weights = without_zero_weights(weights, codes, p)
    n_classes = p.shape[1]
    labels, predicted, onehot = np.arange(n_classes), p.argmax(axis=1), codes[:, None] == np.arange(n_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": sk.accuracy_score(codes, predicted, sample_weight=weights),
            "balanced_accuracy": sk.balanced_accuracy_score(codes, predicted, sample_weight=weights),
            "macro_f1": sk.f1_score(
                codes, predicted, average="macro", sample_weight=weights, zero_division=0
            ),
            "micro_auc": sk.roc_auc_score(
                onehot.ravel(),
                p.ravel(),
                sample_weight=None if weights is None else np.repeat(weights, n_classes),
            ),
            "log_loss": sk.log_loss(codes, p, sample_weight=weights, labels=labels),
            "brier": sk.brier_score_loss(
                codes, p.astype(np.float64), sample_weight=weights, labels=labels, scale_by_half=False
            )
            if n_classes > 2
            else 2 * sk.brier_score_loss(codes == 1, p[:, 1].astype(np.float64), sample_weight=weights),
        }
        if n_classes == len(np.unique(codes)) > 2 and p.dtype == np.float64:
            for average in ("macro", "weighted"):
                found = sk.roc_auc_score(
                    codes, p, multi_class="ovr", average=average, sample_weight=weights, labels=labels
                )
                np.testing.assert_allclose(table.scores[f"{average}_auc"], found, atol=1e-12)
    assert set(expected) | {"macro_auc", "weighted_auc", "macro_pr_auc", "ece"} == set(SINGLE_LABEL)
    for name, value in expected.items():
        tolerance = 1e-5 if p.dtype == np.float32 and name in ("log_loss", "brier") else 1e-11
        np.testing.assert_allclose(table.scores[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@settings(max_examples=80, deadline=None)
@given(problems())
def test_per_class_metrics_equal_scikit_learn(problem):
    codes, p, weights = problem
    table = single_label_metrics(codes, p, weights)
    (codes, p), weights = without_zero_weights(weights, codes, p)
    n_classes = p.shape[1]
    found = sk.precision_recall_fscore_support(
        codes, p.argmax(axis=1), labels=range(n_classes), sample_weight=weights, zero_division=np.nan
    )
    for name, values in zip(("precision", "recall", "f1"), found[:3], strict=True):
        known = ~np.isnan(table.per_class[name])
        np.testing.assert_allclose(table.per_class[name][known], values[known], atol=1e-12, err_msg=name)
    for k in range(n_classes):
        np.testing.assert_allclose(
            table.per_class["auc"][k],
            oracle(sk.roc_auc_score, codes == k, p[:, k], sample_weight=weights),
            atol=1e-12,
        )
        expected = oracle(sk.average_precision_score, codes == k, p[:, k], sample_weight=weights)
        np.testing.assert_allclose(table.per_class["pr_auc"][k], expected, atol=1e-12)
    defined = [value for value in table.per_class["pr_auc"] if not np.isnan(value)]
    np.testing.assert_allclose(table.scores["macro_pr_auc"], np.mean(defined), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(0, 1000))
def test_multi_label_metrics_equal_scikit_learn(problem, seed):
    _, p, weights = problem
    p = p.astype(np.float64)
    indicator = np.random.default_rng(seed).random(p.shape) < 0.4
    table = multi_label_metrics(indicator, p, weights)
    (indicator, p), weights = without_zero_weights(weights, indicator, p)
    called = p >= 0.5
    repeated = None if weights is None else np.repeat(weights, p.shape[1])
    expected = {
        "subset_accuracy": sk.accuracy_score(indicator, called, sample_weight=weights),
        "micro_f1": sk.f1_score(
            indicator.ravel(), called.ravel(), sample_weight=repeated, zero_division=np.nan
        ),
        "micro_auc": oracle(sk.roc_auc_score, indicator.ravel(), p.ravel(), sample_weight=repeated),
        "micro_pr_auc": oracle(
            sk.average_precision_score, indicator.ravel(), p.ravel(), sample_weight=repeated
        ),
        "log_loss": sk.log_loss(indicator.ravel(), p.ravel(), sample_weight=repeated, labels=[False, True]),
        "brier": np.average((indicator.ravel() - p.ravel()) ** 2, weights=repeated),
    }
    per_tag = [
        oracle(sk.roc_auc_score, indicator[:, k], p[:, k], sample_weight=weights) for k in range(p.shape[1])
    ]
    expected["macro_auc"] = (
        np.mean([v for v in per_tag if not np.isnan(v)]) if not np.isnan(per_tag).all() else np.nan
    )
    support = indicator.T @ (np.ones(len(indicator)) if weights is None else weights)
    known = ~np.isnan(per_tag)
    expected["weighted_auc"] = (
        np.average(np.array(per_tag)[known], weights=support[known]) if known.any() else np.nan
    )
    precisions = [
        oracle(sk.average_precision_score, indicator[:, k], p[:, k], sample_weight=weights)
        for k in range(p.shape[1])
    ]
    rates = sk.f1_score(indicator, called, average=None, sample_weight=weights, zero_division=np.nan)
    for name, values in (("macro_pr_auc", precisions), ("macro_f1", rates)):
        expected[name] = np.nan if np.isnan(values).all() else np.nanmean(values)
    for name, value in expected.items():
        np.testing.assert_allclose(table.scores[name], value, atol=1e-11, err_msg=name)
    np.testing.assert_allclose(table.per_class["auc"], per_tag, atol=1e-12)
    np.testing.assert_allclose(table.per_class["pr_auc"], precisions, atol=1e-12)
    assert set(expected) == set(MULTI_LABEL) - {"ece"}  # scikit-learn has none: below, a loop over bins


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(0, 1000))
def test_a_batch_of_weights_equals_one_at_a_time(problem, seed):
    codes, p, _ = problem
    weights = np.random.default_rng(seed).integers(0, 3, (4, len(codes))).astype(float)
    weights[:, 0] += 1
    indicator = codes[:, None] != np.arange(p.shape[1])
    for function, target in ((single_label_metrics, codes), (multi_label_metrics, indicator)):
        batch, singles = function(target, p, weights), [function(target, p, row) for row in weights]
        for name in batch.scores:
            np.testing.assert_allclose(
                batch.scores[name], [one.scores[name] for one in singles], atol=1e-12, err_msg=name
            )
        for name in batch.per_class:
            np.testing.assert_allclose(
                batch.per_class[name], [one.per_class[name] for one in singles], atol=1e-12, err_msg=name
            )


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(0, 1000))
def test_a_weight_is_a_number_of_copies(problem, seed):
    codes, p, _ = problem
    copies = np.random.default_rng(seed).integers(0, 4, len(codes))
    copies[0] += 1
    weighted, repeated = (
        single_label_metrics(codes, p, copies.astype(float)),
        single_label_metrics(np.repeat(codes, copies), np.repeat(p, copies, axis=0)),
    )
    for name, value in repeated.scores.items():
        np.testing.assert_allclose(weighted.scores[name], value, atol=1e-10, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(problems(), st.booleans())
def test_sorting_as_integers_equals_sorting_with_weights_of_one(problem, negate_zero):
    codes, p, _ = problem
    scores = np.where(p[:, 0] == 0, -0.0 if negate_zero else 0.0, p[:, 0]).astype(p.dtype)
    packed, plain = rank_scores(codes == 0, scores), rank_scores(codes == 0, scores, np.ones(len(codes)))
    np.testing.assert_allclose(packed, plain, atol=1e-13)


def test_sorting_as_integers_holds_over_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    positive, scores = rng.random(500) < 0.3, rng.integers(0, 40, 500) / 40
    whole = rank_scores(positive, scores)
    for size in (1, 7, 64):
        monkeypatch.setattr("quintet.evaluation.ranking.CHUNK", size)
        np.testing.assert_allclose(rank_scores(positive, scores), whole, atol=1e-13)


def test_ranking_takes_any_scores_not_only_probabilities():
    positive, scores = np.array([True, False, True, False]), np.array([3.0, -1.0, -5.0, 0.0])
    assert rank_scores(positive, scores).auc == sk.roc_auc_score(positive, scores)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_roc_curve_equals_scikit_learn(problem):
    codes, p, weights = problem
    positive = codes == 0
    if (
        positive.all()
        or not positive.any()
        or (weights is not None and not (weights[positive].sum() and weights[~positive].sum()))
    ):
        return
    curve = roc_curve(positive, p[:, 0], weights)
    (positive, scores), kept_weights = without_zero_weights(weights, positive, p[:, 0])
    fpr, tpr, thresholds = sk.roc_curve(positive, scores, sample_weight=kept_weights, drop_intermediate=False)
    if weights is None or (weights > 0).all():
        np.testing.assert_allclose(curve.false_positive_rate, fpr, atol=1e-12)
        np.testing.assert_allclose(curve.true_positive_rate, tpr, atol=1e-12)
        np.testing.assert_allclose(curve.thresholds, thresholds)
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    np.testing.assert_allclose(area, rank_scores(codes == 0, p[:, 0], weights).auc, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_confusion_matrix_equals_scikit_learn(problem):
    codes, p, weights = problem
    n_classes, predicted = p.shape[1], p.argmax(axis=1)
    expected = sk.confusion_matrix(codes, predicted, labels=range(n_classes), sample_weight=weights)
    np.testing.assert_allclose(confusion_matrix(codes, predicted, n_classes, weights), expected, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(1, 20))
def test_calibration_error_equals_a_loop_over_bins(problem, n_bins):
    codes, p, weights = problem
    correct, confidence = top_label(codes, p)
    w = np.ones(len(codes)) if weights is None else weights
    expected = 0.0
    for b in range(n_bins):
        inside = (confidence.astype(float) * n_bins > b) & (confidence.astype(float) * n_bins <= b + 1)
        if w[inside].sum():
            expected += w[inside].sum() * abs(
                np.average(correct[inside], weights=w[inside])
                - np.average(confidence[inside], weights=w[inside])
            )
    np.testing.assert_allclose(
        calibration_error(correct, confidence, weights, n_bins=n_bins),
        expected / w.sum(),
        atol=1e-6 if p.dtype == np.float32 else 1e-12,
    )


def test_calibration_error_by_hand():
    """Ten clips at 0.8, six right, and ten at 0.3, three right: ECE = ½ · 0.2 + ½ · 0."""
    outcome = np.array([True] * 6 + [False] * 4 + [True] * 3 + [False] * 7)
    confidence = np.repeat([0.8, 0.3], 10)
    assert calibration_error(outcome, confidence) == pytest.approx(0.1)
    curve = reliability_curve(outcome, confidence, n_bins=10)
    assert curve.weight.tolist() == [0, 0, 10, 0, 0, 0, 0, 10, 0, 0]
    assert curve.frequency[[2, 7]].tolist() == pytest.approx([0.3, 0.6])


def test_the_mean_leaves_out_a_class_without_clips():
    codes, p = np.array([0, 0, 1]), np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
    table = single_label_metrics(codes, p)
    assert np.isnan(
        [table.per_class[name][2] for name in ("precision", "recall", "f1", "auc", "pr_auc")]
    ).all()
    assert table.scores["macro_auc"] == 1.0
    assert table.scores["balanced_accuracy"] == 0.75


def test_one_class_only_has_no_auc():
    table = single_label_metrics(np.zeros(5, dtype=int), np.full((5, 2), 0.5))
    assert np.isnan(table.scores["macro_auc"])
    assert table.scores["accuracy"] == 1.0


def test_a_strictly_increasing_map_keeps_the_ranking():
    rng = np.random.default_rng(1)
    positive, scores = rng.random(200) < 0.4, rng.random(200)
    assert rank_scores(positive, scores) == rank_scores(positive, scores**3)
    assert rank_scores(positive, scores).auc == pytest.approx(1 - rank_scores(~positive, scores).auc)


def test_numbers_are_labels_by_their_text():
    assert label_codes(np.array([10, 9, 10]), ("10", "9")).tolist() == [0, 1, 0]
    assert label_codes(np.array(["9", 10], dtype=object), ("10", "9")).tolist() == [1, 0]


def test_the_error_names_labels_that_are_no_class():
    with pytest.raises(DatasetError, match=r"2 clips .* polka"):
        label_codes(np.array(["rock", "polka", "polka"]), ("rock", "jazz"))
    with pytest.raises(DatasetError, match="polka"):
        tag_indicator(np.array(["rock;polka"]), ("rock", "jazz"))
    with pytest.raises(DatasetError, match=r"one column per class \(2\)"):
        tag_indicator(np.zeros((3, 3)), ("rock", "jazz"))
    with pytest.raises(DatasetError, match="one score per clip"):
        rank_scores(np.array([True]), np.array([1.0, 0.5]))
    with pytest.raises(DatasetError, match="at least one clip"):
        rank_scores(np.zeros(0, dtype=bool), np.zeros(0))


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(0, 1000))
def test_many_resamples_at_once_equal_one_after_the_other(problem, seed):
    """Blocks of resamples, ties and pairs of clip and class that share the weight of the clip."""
    codes, p, _ = problem
    weights = np.random.default_rng(seed).integers(0, 3, (7, len(codes))).astype(float)
    together = single_label_metrics(codes, p, weights)
    for row, one in enumerate(weights):
        copies = one.astype(int)
        if not copies.any():
            continue
        alone = single_label_metrics(np.repeat(codes, copies), np.repeat(p, copies, axis=0))
        for name, value in alone.scores.items():
            np.testing.assert_allclose(together.scores[name][row], value, atol=1e-10, err_msg=name)
        for name, values in alone.per_class.items():
            np.testing.assert_allclose(together.per_class[name][row], values, atol=1e-10, err_msg=name)


@pytest.mark.slow
def test_two_hundred_classes_are_scored_within_a_minute():
    rng = np.random.default_rng(0)
    for n in (1500, 20_000):  # the largest table with a bootstrap, and 100 clips of each class
        codes = np.arange(n) % 200
        p = rng.random((n, 200))
        p[np.arange(n), codes] += 1
        names = tuple(f"class {k}" for k in range(200))
        start = time.process_time()
        result = score(np.array(names)[codes], p / p.sum(axis=1, keepdims=True), names, np.arange(n) // 5)
        assert time.process_time() - start < 60
        assert result.n == n
