"""Ranking metrics: the ROC curve, the area under it, and average precision.

A bootstrap resample is a weight per clip (how often the clip was drawn). So one sort serves all resamples:
`weights` may be `(n,)` or `(B, n)`, and a result is a number or an array `(B,)`. Without weights, scores and
labels are sorted together as integers; this ranks a million clips in a tenth of a second.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import DatasetError
from quintet.evaluation.array_types import Floats, Indicator, Weights

CHUNK = 4_000_000
"""Keys whose labels are read at once, which bounds the memory."""


class RankScores(NamedTuple):
    """Area under the ROC curve and average precision, as numbers or as arrays `(B,)`.

    Args:
        auc: area under the ROC curve; NaN without positives or without negatives.
        average_precision: average precision; NaN without positives.
    """

    auc: float | Floats
    average_precision: float | Floats


class RocCurve(NamedTuple):
    """Points of a ROC curve, from (0, 0) to (1, 1).

    Args:
        false_positive_rate: `(t,)`; NaN if there are no negatives.
        true_positive_rate: `(t,)`; NaN if there are no positives.
        thresholds: `(t,)`, falling; the first one is infinity.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


class _CumulativeCounts(NamedTuple):
    """Weight of the clips at or above each of t distinct scores, from the largest score to the smallest.

    Args:
        true: `(B, t)`, weight of the positives.
        false: `(B, t)`, weight of the negatives.
        thresholds: `(t,)`, the distinct scores.
    """

    true: Floats
    false: Floats
    thresholds: NDArray[np.floating]


def rank_scores(
    positive: Indicator, scores: NDArray[np.floating], weights: Weights = None, *, repeats: int = 1
) -> RankScores:
    """Area under the ROC curve and average precision.

    AUC = P(s⁺ > s⁻) + ½ P(s⁺ = s⁻); AP = Σ_t (R_t - R_{t-1}) · P_t over the distinct thresholds t, from high
    to low.

    Args:
        positive: (n,) bool.
        scores: (n,) finite numbers, higher if a positive is more likely. Ties count half.
        weights: None, (n,) or (B, n), ≥ 0. With `repeats`: (n / repeats,) or (B, n / repeats).
        repeats: number of scores in a row that share a weight, for example those of one clip.

    Returns:
        Numbers, or arrays (B,). NaN if undefined (scikit-learn gives 0 for such an average precision).

    Raises:
        DatasetError: if there are no clips, or not one score per clip.

    Source:
        Equal to `sklearn.metrics.roc_auc_score` and `average_precision_score` within 1e-12.

    Example:
        >>> rank_scores(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.4, 0.1]))
        RankScores(auc=0.75, average_precision=0.8333333333333333)
    """
    positive, scores = np.asarray(positive, dtype=bool), np.asarray(scores)
    if positive.shape != scores.shape or positive.ndim != 1:
        raise DatasetError(
            f"There must be one score per clip. Received {positive.shape} labels and {scores.shape} scores. "
            "Join them by clip id."
        )
    if not len(scores):
        raise DatasetError(
            "A ranking needs at least one clip. Received none. Check which clips are left out."
        )
    is_packable = scores.dtype in (np.float32, np.float64) and scores.min() >= 0
    if weights is None and is_packable:
        return _rank_without_weights(positive, scores)
    table = _weight_table(weights, len(scores) // repeats)
    areas, precisions = _rank_resamples(positive, scores, table, repeats=repeats)
    if weights is not None and np.ndim(weights) == 2:
        return RankScores(areas, precisions)
    return RankScores(float(areas[0]), float(precisions[0]))


def roc_curve(positive: Indicator, scores: NDArray[np.floating], weights: Weights = None) -> RocCurve:
    """ROC curve with one point per distinct score, from the highest threshold to the lowest.

    Args:
        positive: (n,) bool.
        scores: (n,) finite numbers, higher if a positive is more likely.
        weights: None or (n,), ≥ 0.

    Source:
        Equal to `sklearn.metrics.roc_curve(drop_intermediate=False)`.

    Example:
        >>> roc_curve(np.array([True, False]), np.array([0.9, 0.1])).true_positive_rate.tolist()
        [0.0, 1.0, 1.0]
    """
    positive, scores = np.asarray(positive, dtype=bool), np.asarray(scores)
    counts = _count_above(positive, scores, _weight_table(weights, len(scores)))
    return RocCurve(
        _rates_from_zero(counts.false[0]),
        _rates_from_zero(counts.true[0]),
        np.concatenate([[np.inf], counts.thresholds.astype(np.float64)]),
    )


def ratio(numerator: ArrayLike, denominator: ArrayLike, empty: float = np.nan) -> Floats:
    """`numerator / denominator` in float64, `empty` where the denominator is not above 0.

    Args:
        numerator: numbers.
        denominator: numbers of a shape that fits.
        empty: value where nothing can be divided.
    """
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    top, bottom = np.broadcast_arrays(top, bottom)
    result = np.full(top.shape, empty)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def _weight_table(weights: Weights, n: int) -> Floats:
    """Weights `(B, n)`, where B is 1 for one vector of weights or none."""
    if weights is None:
        return np.ones((1, n))
    return np.atleast_2d(np.asarray(weights, dtype=np.float64))


def _rates_from_zero(counts: Floats) -> Floats:
    """Cumulative counts as shares of the last one, with a 0 in front."""
    rates = ratio(counts, counts[-1])
    return np.concatenate([[0.0], rates])


def _rank_resamples(
    positive: Indicator, scores: NDArray[np.floating], weights: Floats, *, repeats: int = 1
) -> tuple[Floats, Floats]:
    """AUC and average precision of each row of weights, each `(B,)`.

    Both need the weights above and at the scores of positives only. So the weights are added between these
    scores, a block of rows at a time: for a class of few clips that is most of them in one step.
    """
    n_rows, n_scores = len(weights), len(scores)
    if not positive.any():
        return np.full(n_rows, np.nan), np.full(n_rows, np.nan)
    order = np.argsort(-scores, kind="stable")
    columns = order // repeats
    tied = _tied_positives(positive[order], scores[order])
    areas, precisions = np.empty(n_rows), np.empty(n_rows)
    size = max(1, CHUNK // n_scores)
    for start in range(0, n_rows, size):
        rows = slice(start, start + size)
        areas[rows], precisions[rows] = _rank_block(tied, weights[rows][:, columns])
    return areas, precisions


class _TiedPositives(NamedTuple):
    """Distinct scores of positives, from high to low, as places among the sorted scores.

    Args:
        positions: `(p,)`, places of the positives.
        first: `(t,)`, for each distinct score its first positive among the positives.
        bounds: places where sums begin: 0, and the first and the next place of each distinct score.
        begin: `(t,)`, number of the sum that begins at the first place of each distinct score.
        end: `(t,)`, number of the sum that begins behind it.
    """

    positions: NDArray[np.intp]
    first: NDArray[np.intp]
    bounds: NDArray[np.intp]
    begin: NDArray[np.intp]
    end: NDArray[np.intp]


def _tied_positives(positive: Indicator, scores: NDArray[np.floating]) -> _TiedPositives:
    """Places of the distinct scores of positives. Labels and scores are sorted from high to low."""
    starts = np.flatnonzero(np.append(True, np.diff(scores) != 0))
    stops = np.append(starts[1:], len(scores))
    positions = np.flatnonzero(positive)
    score_of_positive = np.searchsorted(starts, positions, side="right") - 1
    with_positives, first = np.unique(score_of_positive, return_index=True)
    begins, ends = starts[with_positives], stops[with_positives]
    bounds = np.unique(np.concatenate([[0], begins, ends]))
    return _TiedPositives(
        positions,
        first,
        bounds[bounds < len(scores)],
        np.searchsorted(bounds, begins),
        np.searchsorted(bounds, ends),
    )


def _rank_block(tied: _TiedPositives, weights: Floats) -> tuple[Floats, Floats]:
    """AUC and average precision of some rows of weights, whose columns are sorted by score."""
    sums = np.add.reduceat(weights, tied.bounds, axis=1)
    upto = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(sums, axis=1)], axis=1)
    true = np.add.reduceat(weights[:, tied.positions], tied.first, axis=1)
    true_upto = np.cumsum(true, axis=1)
    n_true = true_upto[:, -1]
    n_false = upto[:, -1] - n_true
    false_above = upto[:, tied.begin] - (true_upto - true)
    false_upto = upto[:, tied.end] - true_upto
    false_below = n_false[:, None] - (false_above + false_upto) / 2  # ties count half
    area = np.einsum("bi,bi->b", true, false_below)
    precision = ratio(true_upto, upto[:, tied.end], empty=0.0)
    sum_of_precisions = np.einsum("bi,bi->b", true, precision)
    return ratio(area, n_true * n_false), ratio(sum_of_precisions, n_true)


def _count_above(positive: Indicator, scores: NDArray[np.floating], weights: Floats) -> _CumulativeCounts:
    """Weight of the positives and of the negatives at or above each distinct score."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    sorted_positive = positive[order]
    changes = np.flatnonzero(np.diff(sorted_scores))
    ends = np.append(changes, len(order) - 1)
    sorted_weights = weights[:, order]
    true = np.cumsum(sorted_weights * sorted_positive, axis=1)
    false = np.cumsum(sorted_weights * ~sorted_positive, axis=1)
    return _CumulativeCounts(
        true=true[:, ends],
        false=false[:, ends],
        thresholds=sorted_scores[ends],
    )


def _rank_without_weights(positive: Indicator, scores: NDArray[np.floating]) -> RankScores:
    """AUC and average precision of non-negative float scores without weights.

    Non-negative floats have the same order as their bits, and their sign bit is free. So the score and the
    label of a clip are sorted as one unsigned integer, with the label in the last bit. AUC and average
    precision only need the number of positives and negatives below, at and above each distinct score of a
    positive.
    """
    unsigned = np.uint32 if scores.dtype == np.float32 else np.uint64
    keys = _pack(positive, scores, unsigned)
    n = len(keys)
    positions = _positions_of_positives(keys, unsigned)
    n_true = len(positions)
    n_false = n - n_true
    if not n_true:
        return RankScores(float("nan"), float("nan"))
    values = keys[positions]
    changes = np.diff(values, prepend=values[0] ^ unsigned(2))
    first = np.flatnonzero(changes)  # the first positive of each distinct score
    true = np.diff(first, append=n_true)
    keys_of_negatives = values[first] & ~unsigned(1)
    below = np.searchsorted(keys, keys_of_negatives)
    tied = positions[first] - below  # negatives with the same score come first: their last bit is 0
    negatives_below = below - first + tied / 2
    area = float(np.dot(true.astype(np.float64), negatives_below))
    precisions = (n_true - first) / (n - below)
    precision = float(np.dot(true, precisions))
    auc = area / (n_true * n_false) if n_false else float("nan")
    return RankScores(auc, precision / n_true)


def _pack(
    positive: Indicator, scores: NDArray[np.floating], unsigned: type[np.uint32] | type[np.uint64]
) -> NDArray[np.uint64]:
    """Sorted keys `(n,)`, uint32 or uint64: the bits of a score, then its label."""
    copy = scores + scores.dtype.type(0)  # -0.0 becomes 0.0
    keys: NDArray[np.uint64] = copy.view(unsigned)
    keys <<= unsigned(1)
    keys |= positive
    keys.sort()
    return keys


def _positions_of_positives(
    keys: NDArray[np.uint64], unsigned: type[np.uint32] | type[np.uint64]
) -> NDArray[np.intp]:
    """Positions of the keys whose last bit is 1, found in chunks."""
    positions = []
    for start in range(0, len(keys), CHUNK):
        is_positive = keys[start : start + CHUNK] & unsigned(1)
        positions.append(start + np.flatnonzero(is_positive))
    return np.concatenate(positions)
