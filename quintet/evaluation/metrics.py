"""Metrics of class probabilities.

Every function takes weights: None, `(n,)`, or `(B, n)` for B bootstrap resamples at once. It returns a
number, or B numbers. A metric that a class cannot have is NaN, for example the AUC of a class without clips.
Averages run over the classes that have the metric; `scores.py` lists the other classes.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.labels import label_set
from quintet.errors import DatasetError
from quintet.evaluation.array_types import Codes, Floats, Indicator, Labels, Probabilities, Target, Weights
from quintet.evaluation.losses import at_columns, binary_log_losses, brier_losses, log_losses
from quintet.evaluation.ranking import RankScores, rank_scores, ratio

N_BINS = 15
LARGE = 5_000_000
"""Number of probabilities from which on two threads are faster than one. Sorting releases the lock."""

SINGLE_LABEL = (
    "accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "micro_auc", "weighted_auc", "macro_pr_auc",
    "log_loss", "brier", "ece",
)  # fmt: skip
MULTI_LABEL = (
    "subset_accuracy", "macro_f1", "micro_f1", "macro_auc", "micro_auc", "weighted_auc", "macro_pr_auc",
    "micro_pr_auc", "log_loss", "brier", "ece",
)  # fmt: skip
PER_CLASS = ("precision", "recall", "f1", "auc", "pr_auc")


class MetricTable(NamedTuple):
    """All metrics of one set of predictions.

    Args:
        scores: name → `()` or `(B,)`.
        per_class: name → `(K,)` or `(B, K)`.
    """

    scores: dict[str, Floats]
    per_class: dict[str, Floats]


class ReliabilityCurve(NamedTuple):
    """Confidence and frequency in bins of confidence.

    Args:
        confidence: mean confidence of each bin; NaN in an empty bin.
        frequency: share of the clips of each bin that are right; NaN in an empty bin.
        weight: weight of the clips of each bin.
    """

    confidence: Floats
    frequency: Floats
    weight: Floats


def label_codes(y: Labels, classes: tuple[str, ...]) -> Codes:
    """Column of each label, `(n,)`.

    Args:
        y: (n,) labels.
        classes: K names.

    Raises:
        DatasetError: if labels are not classes; the message counts and names them.

    Example:
        >>> label_codes(np.array(["b", "a", "b"]), ("a", "b")).tolist()
        [1, 0, 1]
    """
    labels = np.asarray(y, dtype=object)
    import pandas as pd

    codes = pd.Index(classes, dtype=object).get_indexer(pd.Index(labels, dtype=object))
    if (codes >= 0).all():
        return np.asarray(codes, dtype=np.int64)
    # The labels may be numbers whose text is a class.
    names, name_of_label = np.unique(labels.astype(str), return_inverse=True)
    column = {name: k for k, name in enumerate(classes)}
    unknown = [i for i, name in enumerate(names) if name not in column]
    if unknown:
        count = int(np.isin(name_of_label, unknown).sum())
        raise DatasetError(
            f"Every label must be one of the classes {', '.join(classes[:8])}. "
            f"{count} clips have another one: {', '.join(names[unknown][:5])}. "
            "Leave them out, or train with them."
        )
    columns = np.array([column[name] for name in names], dtype=np.int64)
    return columns[name_of_label]


def tag_indicator(y: Labels, classes: tuple[str, ...]) -> Indicator:
    """Indicator matrix `(n, K)` of label sets.

    Args:
        y: an indicator matrix, or (n,) sets written `rock;live`.
        classes: K names.

    Raises:
        DatasetError: if tags are not classes, or the matrix does not have K columns.
    """
    y = np.asarray(y)
    if y.ndim == 2:
        if y.shape[1] != len(classes):
            raise DatasetError(
                f"An indicator matrix must have one column per class ({len(classes)}). "
                f"Received {y.shape[1]}. Name its classes."
            )
        return y.astype(bool)
    tags_of_clips = [label_set(str(label)) for label in y]
    result = np.zeros((len(y), len(classes)), dtype=bool)
    sizes = [len(tags) for tags in tags_of_clips]
    rows = np.repeat(np.arange(len(y)), sizes)
    all_tags = [tag for tags in tags_of_clips for tag in tags]
    columns = label_codes(np.array(all_tags, dtype=object), classes)
    result[rows, columns] = True
    return result


def encode_labels(y: Labels, classes: tuple[str, ...], *, multilabel: bool | None = None) -> Target:
    """`label_codes` of single labels, or `tag_indicator` of label sets.

    Args:
        y: labels, label sets or an indicator matrix.
        classes: K names.
        multilabel: whether y holds label sets. None: it does if it is a matrix.
    """
    y = np.asarray(y)
    if multilabel is None:
        multilabel = y.ndim == 2
    return tag_indicator(y, classes) if multilabel else label_codes(y, classes)


def confusion_matrix(
    codes: NDArray[np.integer], predicted: NDArray[np.integer], n_classes: int, weights: Weights = None
) -> Floats:
    """Weight of the clips of class i (row) that are predicted as class j (column), `(K, K)` or `(B, K, K)`.

    Args:
        codes: (n,) column of the class of each clip.
        predicted: (n,) column of the predicted class.
        n_classes: K.
        weights: None, (n,) or (B, n).

    Source:
        Equal to `sklearn.metrics.confusion_matrix`.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    cells = codes * n_classes + predicted
    totals = _totals(cells, n_classes * n_classes, weights)
    batch = totals.shape[:-1]
    return totals.reshape(*batch, n_classes, n_classes)


def reliability_curve(
    outcome: Indicator, confidence: Probabilities, weights: Weights = None, *, n_bins: int = N_BINS
) -> ReliabilityCurve:
    """Frequency of right predictions by confidence, in `n_bins` equal bins (l, r].

    Args:
        outcome: (n,) bool, whether the prediction is right. For classes: whether the most probable class is
            the class of the clip (`top_label`).
        confidence: (n,) in [0, 1].
        weights: None, (n,) or (B, n).
        n_bins: number of bins.

    Example:
        >>> curve = reliability_curve(np.array([True, False]), np.array([0.9, 0.9]), n_bins=2)
        >>> curve.confidence.tolist(), curve.frequency.tolist()
        ([nan, 0.9], [nan, 0.5])
    """
    confidences = np.asarray(confidence, dtype=np.float64)
    outcomes = np.asarray(outcome, dtype=np.float64)
    upper_edges = np.ceil(confidences * n_bins).astype(int)
    bins = np.clip(upper_edges - 1, 0, n_bins - 1)
    weight = _totals(bins, n_bins, weights)
    sum_of_confidences = _totals(bins, n_bins, weights, confidences)
    sum_of_outcomes = _totals(bins, n_bins, weights, outcomes)
    return ReliabilityCurve(
        confidence=ratio(sum_of_confidences, weight),
        frequency=ratio(sum_of_outcomes, weight),
        weight=weight,
    )


def calibration_error(
    outcome: Indicator, confidence: Probabilities, weights: Weights = None, *, n_bins: int = N_BINS
) -> Floats:
    """Expected calibration error, Σ_b w_b |frequency_b - confidence_b| / Σ_b w_b.

    Args:
        outcome: (n,) bool, whether the prediction is right.
        confidence: (n,) in [0, 1].
        weights: None, (n,) or (B, n).
        n_bins: number of bins.

    Source:
        Guo et al. 2017, eq. 3 (15 bins).

    Example:
        >>> round(float(calibration_error(np.array([True, False]), np.array([0.9, 0.9]))), 3)
        0.4
    """
    curve = reliability_curve(outcome, confidence, weights, n_bins=n_bins)
    difference = np.abs(curve.frequency - curve.confidence)
    gap = np.where(curve.weight > 0, difference, 0.0)
    total = (gap * curve.weight).sum(axis=-1)
    total_weight = curve.weight.sum(axis=-1)
    return ratio(total, total_weight)


def top_label(codes: Codes, probabilities: Probabilities) -> tuple[Indicator, Probabilities]:
    """Whether the most probable class is right, `(n,)` bool, and its probability, `(n,)`.

    Args:
        codes: (n,) column of the class of each clip.
        probabilities: (n, K). If two classes have the largest probability, the first one counts.
    """
    predicted = probabilities.argmax(axis=1)
    return predicted == codes, at_columns(probabilities, predicted)


def all_metrics(target: Target, probabilities: Probabilities, weights: Weights = None) -> MetricTable:
    """`multi_label_metrics` for an indicator matrix, `single_label_metrics` for class codes.

    Args:
        target: result of `encode_labels`.
        probabilities: (n, K).
        weights: None, (n,) or (B, n).
    """
    if target.ndim == 2:
        indicator = target.astype(bool, copy=False)
        return multi_label_metrics(indicator, probabilities, weights)
    codes = target.astype(np.int64, copy=False)
    return single_label_metrics(codes, probabilities, weights)


def single_label_metrics(codes: Codes, probabilities: Probabilities, weights: Weights = None) -> MetricTable:
    """Every metric of `SINGLE_LABEL` and `PER_CLASS`.

    Args:
        codes: (n,) int in [0, K).
        probabilities: (n, K).
        weights: None, (n,) or (B, n).

    Source:
        Equal to scikit-learn's functions of the same names; `brier` is the sum over the classes, in [0, 2].

    Example:
        >>> table = single_label_metrics(np.array([0, 1]), np.array([[0.8, 0.2], [0.6, 0.4]]))
        >>> float(table.scores["accuracy"]), float(table.scores["macro_auc"])
        (0.5, 1.0)
    """
    n_classes = probabilities.shape[1]
    is_correct, confidence = top_label(codes, probabilities)
    rates = _rates(
        hits=_totals(codes, n_classes, weights, is_correct.astype(np.float64)),
        predicted=_totals(probabilities.argmax(axis=1), n_classes, weights),
        support=_totals(codes, n_classes, weights),
    )
    indicator = codes[:, None] == np.arange(n_classes)
    averages, by_class = _ranking_metrics(indicator, probabilities, weights)
    scores = {
        "accuracy": _mean(is_correct, weights),
        "balanced_accuracy": mean_without_nan(rates["recall"]),
        "macro_f1": mean_without_nan(rates["f1"]),
        **averages,
        "log_loss": _mean(log_losses(codes, probabilities), weights),
        "brier": _mean(brier_losses(codes, probabilities), weights),
        "ece": calibration_error(is_correct, confidence, weights),
    }
    return MetricTable({name: scores[name] for name in SINGLE_LABEL}, rates | by_class)


def multi_label_metrics(
    indicator: Indicator, probabilities: Probabilities, weights: Weights = None
) -> MetricTable:
    """Every metric of `MULTI_LABEL` and `PER_CLASS`, for label sets.

    A tag is predicted if its probability is ≥ 0.5. `subset_accuracy` requires that the whole set is right.
    `log_loss`, `brier` and `ece` count every pair of clip and tag as one prediction; `brier` is in [0, 1].

    Args:
        indicator: (n, K) bool.
        probabilities: (n, K).
        weights: None, (n,) or (B, n).
    """
    n_tags = probabilities.shape[1]
    predicted = probabilities >= 0.5
    hits = _column_sums(indicator & predicted, weights)
    predictions = _column_sums(predicted, weights)
    support = _column_sums(indicator, weights)
    rates = _rates(hits, predictions, support)
    overall = _rates(hits.sum(axis=-1), predictions.sum(axis=-1), support.sum(axis=-1))
    averages, by_class = _ranking_metrics(indicator, probabilities, weights)
    squares = np.square(probabilities - indicator).mean(axis=1, dtype=np.float64)
    pair_weights = None if weights is None else np.repeat(weights, n_tags, axis=-1)
    scores = {
        "subset_accuracy": _mean((predicted == indicator).all(axis=1), weights),
        "macro_f1": mean_without_nan(rates["f1"]),
        "micro_f1": overall["f1"],
        **averages,
        "log_loss": _mean(binary_log_losses(indicator, probabilities), weights),
        "brier": _mean(squares, weights),
        "ece": calibration_error(indicator.ravel(), probabilities.ravel(), pair_weights),
    }
    return MetricTable({name: scores[name] for name in MULTI_LABEL}, rates | by_class)


def mean_without_nan(values: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> Floats:
    """Mean over the last axis of the values that are not NaN; NaN if there are none.

    Args:
        values: `(…, K)`.
        weights: `(…, K)`, or None: all 1.
    """
    is_defined = ~np.isnan(values)
    shares = is_defined if weights is None else is_defined * weights
    filled = np.where(is_defined, values, 0.0)
    total = (filled * shares).sum(axis=-1)
    return ratio(total, shares.sum(axis=-1))


def _ranking_metrics(
    indicator: Indicator, probabilities: Probabilities, weights: Weights
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Averages of the ranking metrics, and the ranking metrics per class, `(…, K)`."""
    micro, *columns = _rank_columns(indicator, probabilities, weights)
    auc = np.stack([column.auc for column in columns], axis=-1)
    pr_auc = np.stack([column.average_precision for column in columns], axis=-1)
    support = _column_sums(indicator, weights)
    averages = {
        "macro_auc": mean_without_nan(auc),
        "micro_auc": np.asarray(micro.auc),
        "weighted_auc": mean_without_nan(auc, support),
        "macro_pr_auc": mean_without_nan(pr_auc),
        "micro_pr_auc": np.asarray(micro.average_precision),
    }
    return averages, {"auc": auc, "pr_auc": pr_auc}


def _rank_columns(indicator: Indicator, probabilities: Probabilities, weights: Weights) -> list[RankScores]:
    """Ranking metrics of all pairs of clip and class together, then of each class."""
    n_classes = probabilities.shape[1]

    def rank(column: int | None) -> RankScores:
        if column is None:
            return rank_scores(indicator.ravel(), probabilities.ravel(), weights, repeats=n_classes)
        contiguous = np.ascontiguousarray(probabilities[:, column])
        return rank_scores(indicator[:, column], contiguous, weights)

    columns = [None, *range(n_classes)]
    if indicator.size <= LARGE:
        return [rank(column) for column in columns]
    n_threads = min(2, os.cpu_count() or 1)
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(rank, columns))


def _rates(
    hits: NDArray[np.number], predicted: NDArray[np.number], support: NDArray[np.number]
) -> dict[str, Floats]:
    """Precision, recall and F1 per class, `(…, K)`.

    Precision is NaN if the class is never predicted, recall if it has no clips, F1 if both hold.

    Args:
        hits: weight of the clips of the class that are predicted as it.
        predicted: weight of the clips that are predicted as the class.
        support: weight of the clips of the class.
    """
    return {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, support),
        "f1": ratio(2 * hits, predicted + support),
    }


def _totals(
    codes: NDArray[np.integer], n_codes: int, weights: Weights, values: Floats | None = None
) -> Floats:
    """Sum of weight times value over the clips of each code, `(n_codes,)` or `(B, n_codes)`."""
    if weights is None:
        factors: NDArray[np.floating] | None = values
    else:
        factors = weights if values is None else weights * values
    if factors is None or factors.ndim == 1:
        return np.bincount(codes, factors, n_codes).astype(np.float64)
    return np.stack([np.bincount(codes, row, n_codes) for row in factors])


def _column_sums(table: Indicator, weights: Weights) -> Floats:
    """Weight of the clips that are marked in each column, `(K,)` or `(B, K)`."""
    sums = [_sum(column, weights) for column in table.T]
    return np.stack(sums, axis=-1)


def _sum(values: NDArray[np.generic], weights: Weights) -> Floats:
    if weights is None:
        return np.asarray(values.sum(dtype=np.float64))
    return np.asarray(weights @ values.astype(np.float64))


def _mean(values: NDArray[np.generic], weights: Weights) -> Floats:
    if weights is None:
        return np.asarray(values.mean(dtype=np.float64))
    return ratio(_sum(values, weights), weights.sum(axis=-1))
