"""Ranking metrics: ROC curve and its area, average precision; for one sample, or for a thousand resamples at once.

A bootstrap resample is a weight per clip (how often it was drawn), so that one sort serves all resamples: `weights` may be (n,) or (B, n), and the
result is a number or (B,) numbers. Without weights, values and labels are sorted together as integers: a million rows in a tenth of a second.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DatasetError

CHUNK = 4_000_000


class RankScores(NamedTuple):
    """Area under the ROC curve and average precision; NaN where undefined: AUC without positives or negatives, AP without positives."""

    auc: Any
    average_precision: Any


class RocCurve(NamedTuple):
    """Points of the ROC curve from (0, 0) to (1, 1); `thresholds[0]` is infinity. Rates are NaN where there are no positives or no negatives."""

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    thresholds: NDArray[np.float64]


def rank_scores(
    positive: NDArray[Any], scores: NDArray[Any], weights: NDArray[Any] | None = None
) -> RankScores:
    """Area under the ROC curve and average precision.

    AUC = P(s⁺ > s⁻) + ½ P(s⁺ = s⁻); AP = Σ_t (R_t - R_{t-1}) · P_t over the distinct thresholds t, from high to low.

    Args:
        positive: (n,) bool.
        scores: (n,) float, finite, higher where a positive is more likely; ties count half.
        weights: None, (n,) or (B, n) float ≥ 0.

    Returns:
        RankScores: floats, or (B,) arrays. NaN where undefined, never an invented number (scikit-learn's AP says 0 there).

    Source: equal to `sklearn.metrics.roc_auc_score` and `average_precision_score` within 1e-12.

    Example:
        >>> rank_scores(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.4, 0.1]))
        RankScores(auc=0.75, average_precision=0.8333333333333333)
    """
    positive, scores = np.asarray(positive, dtype=bool), np.asarray(scores)
    if positive.shape != scores.shape or positive.ndim != 1:
        raise DatasetError(
            f"There must be one score per clip. Received {positive.shape} labels and {scores.shape} scores. Join them by clip id."
        )
    if not len(scores):
        raise DatasetError("At least one clip must be given to rank. Received none. Check what was left out.")
    if weights is None and scores.dtype in (np.float32, np.float64) and scores.min() >= 0:
        return _packed(positive, scores)
    table = np.atleast_2d(np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64))
    auc, precision = _batched(positive, scores, table)
    return (
        RankScores(auc, precision)
        if weights is not None and np.ndim(weights) == 2
        else RankScores(float(auc[0]), float(precision[0]))
    )


def roc_curve(positive: NDArray[Any], scores: NDArray[Any], weights: NDArray[Any] | None = None) -> RocCurve:
    """The ROC curve: one point per distinct score, from the strictest threshold to the most generous.

    Source: equal to `sklearn.metrics.roc_curve(drop_intermediate=False)`.

    Example:
        >>> roc_curve(np.array([True, False]), np.array([0.9, 0.1])).true_positive_rate.tolist()
        [0.0, 1.0, 1.0]
    """
    positive, scores = np.asarray(positive, dtype=bool), np.asarray(scores)
    table = (
        np.ones((1, len(scores))) if weights is None else np.atleast_2d(np.asarray(weights, dtype=np.float64))
    )
    true, false, ends, order = _cumulative(positive, scores, table)
    rates = [np.concatenate([[0.0], ratio(curve[0], curve[0, -1])]) for curve in (false, true)]
    return RocCurve(rates[0], rates[1], np.concatenate([[np.inf], scores[order][ends].astype(np.float64)]))


def _batched(
    positive: NDArray[Any], scores: NDArray[Any], weights: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    true, false, _, _ = _cumulative(positive, scores, weights)
    steps_true, steps_false = np.diff(true, prepend=0.0, axis=1), np.diff(false, prepend=0.0, axis=1)
    area = np.einsum("bi,bi->b", steps_false, true) - np.einsum("bi,bi->b", steps_false, steps_true) / 2
    precision = np.einsum("bi,bi->b", steps_true, ratio(true, true + false, empty=0.0))
    return ratio(area, true[:, -1] * false[:, -1]), ratio(precision, true[:, -1])


def _cumulative(
    positive: NDArray[Any], scores: NDArray[Any], weights: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Weight of the positives and of the negatives at or above each distinct score (B, thresholds), where these end, and the order."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    sorted_weights, marked = weights[:, order], positive[order]
    true = np.cumsum(sorted_weights * marked, axis=1)[:, ends]
    false = np.cumsum(sorted_weights * ~marked, axis=1)[:, ends]
    return true, false, ends, order


def _packed(positive: NDArray[Any], scores: NDArray[Any]) -> RankScores:
    """Non-negative floats order like their bits, and two exponent bits are free: value and label are sorted as one unsigned integer."""
    unsigned = np.uint32 if scores.dtype == np.float32 else np.uint64
    keys = (scores + scores.dtype.type(0)).view(
        unsigned
    )  # -0.0 becomes 0.0; a copy, so that what follows is in place
    keys <<= unsigned(1)
    keys |= positive
    keys.sort()
    positions = np.concatenate(
        [
            start + np.flatnonzero(keys[start : start + CHUNK] & unsigned(1))
            for start in range(0, len(keys), CHUNK)
        ]
    )
    n_true, n_false = len(positions), len(keys) - len(positions)
    if not n_true:
        return RankScores(float("nan"), float("nan"))
    # all that counts happens at the distinct scores of positives: how many of either kind stand below, at and above each
    values = keys[positions]
    first = np.flatnonzero(
        np.diff(values, prepend=values[0] ^ unsigned(2))
    )  # of the positives with one score
    true = np.diff(first, append=n_true)
    below = np.searchsorted(keys, values[first] & ~unsigned(1))
    tied = positions[first] - below  # the negatives among them come first: their last bit is 0
    area = float(np.dot(true.astype(np.float64), below - first + tied / 2))
    precision = float(np.dot(true, (n_true - first) / (len(keys) - below)))
    return RankScores(area / (n_true * n_false) if n_false else float("nan"), precision / n_true)


def ratio(numerator: Any, denominator: Any, empty: float = np.nan) -> NDArray[np.float64]:
    """`numerator / denominator` in float64, `empty` where the denominator is not above 0."""
    top, bottom = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom > 0))
