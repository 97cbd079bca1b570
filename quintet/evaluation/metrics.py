"""Metrics of class probabilities. Every function takes weights (n,), or (B, n) for B bootstrap resamples at once, and gives a number or (B,) numbers.

What a class cannot have (the AUC of a class without clips) is NaN. Averages run over the classes that have it; `scores.py` names the others.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.labels import label_set
from quintet.errors import DatasetError
from quintet.evaluation.ranking import RankScores, rank_scores, ratio

Weights = NDArray[Any] | None
N_BINS = 15
LARGE = 5_000_000  # statements from which on two threads are worth their while; sorting releases the lock
SINGLE_LABEL = (
    "accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "micro_auc", "weighted_auc", "macro_pr_auc", "log_loss", "brier", "ece",
)  # fmt: skip
MULTI_LABEL = (
    "subset_accuracy", "macro_f1", "micro_f1", "macro_auc", "micro_auc", "weighted_auc", "macro_pr_auc", "micro_pr_auc", "log_loss", "brier", "ece",
)  # fmt: skip
PER_CLASS = ("precision", "recall", "f1", "auc", "pr_auc")


class MetricTable(NamedTuple):
    """All metrics of one set of predictions: `scores` name → () or (B,); `per_class` name → (K,) or (B, K)."""

    scores: dict[str, NDArray[np.float64]]
    per_class: dict[str, NDArray[np.float64]]


class ReliabilityCurve(NamedTuple):
    """Per bin of confidence: mean confidence, observed frequency (both NaN in an empty bin) and the weight of the clips in it."""

    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    weight: NDArray[np.float64]


def label_codes(y: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """(n,) the column of each label. Raises DatasetError for labels that are no class; the message counts and names them.

    Example:
        >>> label_codes(np.array(["b", "a", "b"]), ("a", "b")).tolist()
        [1, 0, 1]
    """
    labels = np.asarray(y, dtype=object)
    codes = pd.Index(classes, dtype=object).get_indexer(pd.Index(labels, dtype=object))
    if (codes >= 0).all():
        return np.asarray(codes, dtype=np.int64)
    names, inverse = np.unique(
        labels.astype(str), return_inverse=True
    )  # numbers, perhaps, whose text is a class
    column = {name: k for k, name in enumerate(classes)}
    unknown = [i for i, name in enumerate(names) if name not in column]
    if unknown:
        count = int(np.isin(inverse, unknown).sum())
        raise DatasetError(
            f"Every label must be one of the classes {', '.join(classes[:8])}. {count} clips are of another: {', '.join(names[unknown][:5])}. "
            "Leave them out, or train with them."
        )
    return (
        np.array([column[name] for name in names], dtype=np.int64)[inverse]
        if len(names)
        else np.zeros(0, dtype=np.int64)
    )


def tag_indicator(y: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """(n, K) bool from an indicator matrix, or from (n,) sets written `rock;live`. Raises DatasetError for tags that are no class."""
    y = np.asarray(y)
    if y.ndim == 2:
        if y.shape[1] != len(classes):
            raise DatasetError(
                f"An indicator matrix must have one column per class ({len(classes)}). Received {y.shape[1]}. Name its classes."
            )
        return y.astype(bool)
    tags = [label_set(str(label)) for label in y]
    result = np.zeros((len(y), len(classes)), dtype=bool)
    rows = np.repeat(np.arange(len(y)), [len(row) for row in tags])
    flat = [tag for row in tags for tag in row]
    result[rows, label_codes(np.array(flat, dtype=object), classes)] = True
    return result


def encode_labels(
    y: NDArray[Any], classes: tuple[str, ...], *, multilabel: bool | None = None
) -> NDArray[Any]:
    """`label_codes`, or `tag_indicator` for label sets (`multilabel=None`: where y is a matrix): the `codes` or `indicator` of the others."""
    y = np.asarray(y)
    return (
        tag_indicator(y, classes)
        if (y.ndim == 2 if multilabel is None else multilabel)
        else label_codes(y, classes)
    )


def clip_losses(target: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) `log_losses` or `binary_log_losses`, as the target (`encode_labels`) is."""
    return (binary_log_losses if target.ndim == 2 else log_losses)(target, probabilities)


def confusion_matrix(
    codes: NDArray[Any], predicted: NDArray[Any], n_classes: int, weights: Weights = None
) -> NDArray[np.float64]:
    """Weight of the clips of class i (row) that were called j (column): (K, K), or (B, K, K). Source: `sklearn.metrics.confusion_matrix`.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    totals = _totals(codes * n_classes + predicted, n_classes * n_classes, weights)
    return totals.reshape(*totals.shape[:-1], n_classes, n_classes)


def log_losses(codes: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) -ln p[y] per clip, p clipped to [ε, 1 - ε] at the ε of its dtype: one sure mistake costs 36 nats in float64, 16 in float32."""
    true = np.take_along_axis(probabilities, codes[:, None], axis=1)[:, 0]
    return -np.log(_clipped(true))


def binary_log_losses(indicator: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) binary cross-entropy per clip, averaged over the tags."""
    p = _clipped(probabilities)
    return np.asarray(-np.where(indicator, np.log(p), np.log1p(-p)).mean(axis=1))


def brier_losses(codes: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) Σ_k (p_k - 1[y = k])² per clip, in [0, 2]. Source: `sklearn.metrics.brier_score_loss(scale_by_half=False)`."""
    true = np.take_along_axis(probabilities, codes[:, None], axis=1)[:, 0].astype(np.float64)
    return np.asarray(np.einsum("ij,ij->i", probabilities, probabilities).astype(np.float64) - 2 * true + 1)


def reliability_curve(
    outcome: NDArray[Any], confidence: NDArray[Any], weights: Weights = None, *, n_bins: int = N_BINS
) -> ReliabilityCurve:
    """How often what was said with confidence c came true, in `n_bins` equal bins (l, r] of c.

    Args:
        outcome: (n,) bool: what was said came true. For classes, that the most probable one was right (`top_label`).
        confidence: (n,) in [0, 1].

    Example:
        >>> curve = reliability_curve(np.array([True, False]), np.array([0.9, 0.9]), n_bins=2)
        >>> curve.confidence.tolist(), curve.frequency.tolist()
        ([nan, 0.9], [nan, 0.5])
    """
    bins = np.clip(np.ceil(np.asarray(confidence, dtype=np.float64) * n_bins).astype(int) - 1, 0, n_bins - 1)
    weight = _totals(bins, n_bins, weights)
    sums = [
        _totals(bins, n_bins, weights, np.asarray(values, dtype=np.float64))
        for values in (confidence, outcome)
    ]
    return ReliabilityCurve(ratio(sums[0], weight), ratio(sums[1], weight), weight)


def calibration_error(
    outcome: NDArray[Any], confidence: NDArray[Any], weights: Weights = None, *, n_bins: int = N_BINS
) -> NDArray[np.float64]:
    """Expected calibration error Σ_b w_b |frequency_b - confidence_b| / Σ_b w_b. Source: Guo et al. 2017, eq. 3 (15 bins).

    Example:
        >>> round(float(calibration_error(np.array([True, False]), np.array([0.9, 0.9]))), 3)
        0.4
    """
    curve = reliability_curve(outcome, confidence, weights, n_bins=n_bins)
    gap = np.where(curve.weight > 0, np.abs(curve.frequency - curve.confidence), 0.0)
    return ratio((gap * curve.weight).sum(axis=-1), curve.weight.sum(axis=-1))


def top_label(codes: NDArray[Any], probabilities: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Whether the most probable class was right (n,) bool, and its probability (n,). The first of equals is taken."""
    predicted = probabilities.argmax(axis=1)
    return predicted == codes, np.take_along_axis(probabilities, predicted[:, None], axis=1)[:, 0]


def class_rates(confusion: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F1 per class, (…, K), from (…, K, K); NaN without calls (precision), without clips (recall), without both (F1)."""
    hits, called, support = (
        np.diagonal(confusion, axis1=-2, axis2=-1),
        confusion.sum(axis=-2),
        confusion.sum(axis=-1),
    )
    return _rates(hits, called, support)


def single_label_metrics(
    codes: NDArray[Any], probabilities: NDArray[Any], weights: Weights = None
) -> MetricTable:
    """Every metric of `SINGLE_LABEL` and `PER_CLASS`.

    Args:
        codes: (n,) int in [0, K).
        probabilities: (n, K).
        weights: None, (n,) or (B, n).

    Source: equal to scikit-learn's functions of the same names; `brier` is the sum over the classes, in [0, 2].

    Example:
        >>> table = single_label_metrics(np.array([0, 1]), np.array([[0.8, 0.2], [0.6, 0.4]]))
        >>> float(table.scores["accuracy"]), float(table.scores["macro_auc"])
        (0.5, 1.0)
    """
    n_classes = probabilities.shape[1]
    correct, confidence = top_label(codes, probabilities)
    rates = class_rates(confusion_matrix(codes, probabilities.argmax(axis=1), n_classes, weights))
    indicator = codes[:, None] == np.arange(n_classes)
    averages, ranked = _ranked(indicator, probabilities, weights)
    scores = {
        "accuracy": _mean(correct, weights),
        "balanced_accuracy": defined_mean(rates["recall"]),
        "macro_f1": defined_mean(rates["f1"]),
        **averages,
        "log_loss": _mean(log_losses(codes, probabilities), weights),
        "brier": _mean(brier_losses(codes, probabilities), weights),
        "ece": calibration_error(correct, confidence, weights),
    }
    return MetricTable({name: scores[name] for name in SINGLE_LABEL}, rates | ranked)


def multi_label_metrics(
    indicator: NDArray[Any], probabilities: NDArray[Any], weights: Weights = None
) -> MetricTable:
    """Every metric of `MULTI_LABEL` and `PER_CLASS` for label sets: a tag is called where its probability is ≥ 0.5.

    `subset_accuracy` asks that the whole set is right; `log_loss`, `brier` and `ece` treat every (clip, tag) as one statement; `brier` is in [0, 1].

    Args:
        indicator: (n, K) bool.
        probabilities: (n, K).
        weights: None, (n,) or (B, n).
    """
    called = probabilities >= 0.5
    counts = [
        np.stack([_sum(column, weights) for column in table.T], axis=-1)
        for table in (indicator & called, called, indicator)
    ]
    rates, overall = _rates(*counts), _rates(*(count.sum(axis=-1) for count in counts))
    averages, ranked = _ranked(indicator, probabilities, weights)
    statements = None if weights is None else np.repeat(weights, probabilities.shape[1], axis=-1)
    scores = {
        "subset_accuracy": _mean((called == indicator).all(axis=1), weights),
        "macro_f1": defined_mean(rates["f1"]),
        "micro_f1": overall["f1"],
        **averages,
        "log_loss": _mean(binary_log_losses(indicator, probabilities), weights),
        "brier": _mean(np.square(probabilities - indicator).mean(axis=1, dtype=np.float64), weights),
        "ece": calibration_error(indicator.ravel(), probabilities.ravel(), statements),
    }
    return MetricTable({name: scores[name] for name in MULTI_LABEL}, rates | ranked)


def defined_mean(values: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """The mean over the last axis of what is defined (not NaN); NaN where nothing is."""
    known = ~np.isnan(values)
    shares = known if weights is None else known * weights
    return ratio((np.where(known, values, 0.0) * shares).sum(axis=-1), shares.sum(axis=-1))


def _ranked(
    indicator: NDArray[Any], probabilities: NDArray[Any], weights: Weights
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """The averages of the ranking metrics, and the same per class (…, K)."""
    n_classes = probabilities.shape[1]
    repeated = None if weights is None else np.repeat(weights, n_classes, axis=-1)

    def ranked(k: int) -> RankScores:
        if k < 0:
            return rank_scores(indicator.ravel(), probabilities.ravel(), repeated)
        return rank_scores(indicator[:, k], np.ascontiguousarray(probabilities[:, k]), weights)

    if indicator.size > LARGE:
        with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
            micro, *columns = pool.map(ranked, range(-1, n_classes))
    else:
        micro, *columns = map(ranked, range(-1, n_classes))
    auc, pr_auc = (np.stack(values, axis=-1) for values in zip(*columns, strict=True))
    support = np.stack([_sum(column, weights) for column in indicator.T], axis=-1)
    averages = {
        "macro_auc": defined_mean(auc),
        "micro_auc": np.asarray(micro.auc),
        "weighted_auc": defined_mean(auc, support),
        "macro_pr_auc": defined_mean(pr_auc),
        "micro_pr_auc": np.asarray(micro.average_precision),
    }
    return averages, {"auc": auc, "pr_auc": pr_auc}


def _rates(hits: NDArray[Any], called: NDArray[Any], support: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    return {
        "precision": ratio(hits, called),
        "recall": ratio(hits, support),
        "f1": ratio(2 * hits, called + support),
    }


def _totals(
    codes: NDArray[Any], n_codes: int, weights: Weights, values: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Σ w·v over the clips of each code: (n_codes,) or (B, n_codes)."""
    if weights is None or weights.ndim == 1:
        factors = weights if values is None else values if weights is None else weights * values
        return np.bincount(codes, factors, n_codes).astype(np.float64)
    factors = weights if values is None else weights * values
    return np.stack([np.bincount(codes, row, n_codes) for row in factors])


def _sum(values: NDArray[Any], weights: Weights) -> NDArray[np.float64]:
    return np.asarray(
        values.sum(dtype=np.float64) if weights is None else weights @ values.astype(np.float64)
    )


def _mean(values: NDArray[Any], weights: Weights) -> NDArray[np.float64]:
    return (
        np.asarray(values.mean(dtype=np.float64))
        if weights is None
        else ratio(_sum(values, weights), weights.sum(axis=-1))
    )


def _clipped(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    epsilon = np.finfo(probabilities.dtype).eps
    return np.asarray(np.clip(probabilities.astype(np.float64), epsilon, 1 - epsilon))
