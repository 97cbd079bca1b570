"""Tests of two classifiers on the same clips.

The paired bootstrap compares every metric, DeLong's test compares areas under the ROC curve, McNemar's test
compares accuracies. Holm's correction is for several tests at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import DatasetError
from quintet.evaluation.array_types import Floats, Groups, Labels, Probabilities, Target
from quintet.evaluation.delong import DeLong, delong
from quintet.evaluation.intervals import (
    DEFAULT_RESAMPLING,
    Intervals,
    Resampling,
    block_intervals,
    bootstrap,
    group_codes,
)
from quintet.evaluation.metrics import all_metrics, encode_labels, top_label
from quintet.evaluation.scores import MAX_RESAMPLED, Difference

MAX_RANKED = 20_000_000
"""Clips · classes above which DeLong's test is left out."""


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of equal accuracy.

    Args:
        only_first: number of clips that only the first classifier predicts right.
        only_second: number of clips that only the second classifier predicts right.
        p_value: two-sided p-value.
    """

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class PairedTests:
    """Tests of two classifiers on the same clips.

    Args:
        mcnemar: test of equal accuracy; None for label sets.
        delong: class → test of equal areas, for the classes that allow it.
    """

    mcnemar: McNemar | None
    delong: dict[str, DeLong]


def metric_differences(
    y: Labels,
    first: Probabilities,
    second: Probabilities,
    classes: Sequence[str],
    groups: Groups | None = None,
    *,
    resampling: Resampling = DEFAULT_RESAMPLING,
    multilabel: bool = False,
) -> dict[str, Difference]:
    """Differences of all metrics, both classifiers on the same resamples of groups.

    Args:
        y: (n,) labels. For `multilabel`: label sets, or an indicator matrix.
        first: (n, K) probabilities of the first classifier.
        second: (n, K) probabilities of the second classifier, for the same clips.
        classes: K names.
        groups: (n,), or None: every clip is its own group.
        resampling: seed, number of resamples and level.
        multilabel: whether the labels are sets.

    Returns:
        Metric → score of `first` minus score of `second`.

    Raises:
        DatasetError: if the shapes differ.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> metric_differences(np.array(["a", "b", "a"]), p, 1 - p, ["a", "b"])["accuracy"].value
        1.0
    """
    classes = tuple(classes)
    if first.shape != second.shape or first.shape != (len(y), len(classes)):
        raise DatasetError(
            f"Both classifiers must give {len(classes)} probabilities for each of the {len(y)} clips. "
            f"Received {first.shape} and {second.shape}. Align them by clip id."
        )
    target = encode_labels(np.asarray(y), classes, multilabel=multilabel)
    names = tuple(all_metrics(target, first).scores)

    def differences_with(weights: NDArray[np.floating] | None) -> Floats:
        """Differences of all metrics, `(B, S)`; B is 1 without weights."""
        return _metric_differences(target, first, second, names, weights)

    def differences_of_rows(rows: NDArray[np.intp]) -> Floats:
        """Differences of all metrics on some clips, `(S,)`."""
        table = _metric_differences(target[rows], first[rows], second[rows], names, None)
        return np.asarray(table[0])

    n = len(y)
    values = differences_with(None)[0]
    if n * len(classes) * resampling.n_resamples > MAX_RESAMPLED:
        intervals = block_intervals(differences_of_rows, groups, values, n, resampling=resampling)
    else:
        width = len(classes) if multilabel else 1
        intervals = bootstrap(differences_with, groups, n, resampling=resampling, width=width)
    return _label_differences(names, values, intervals)


def mcnemar(first_right: NDArray[np.generic], second_right: NDArray[np.generic]) -> McNemar:
    """McNemar's exact test of equal accuracy.

    Under the hypothesis, a clip that only one classifier predicts right belongs to either with the same
    probability. Clips count as independent; with groups, use `metric_differences`.

    Args:
        first_right: (n,) bool, whether the first classifier is right.
        second_right: (n,) bool, whether the second classifier is right.

    Raises:
        DatasetError: if the lengths differ.

    Source:
        McNemar 1947, the exact binomial form; equal to `scipy.stats.binomtest(b, b + c)`.

    Example:
        >>> mcnemar(np.array([True] * 6 + [False]), np.array([False] * 6 + [True]))
        McNemar(only_first=6, only_second=1, p_value=0.125)
    """
    is_first_right = np.asarray(first_right, dtype=bool)
    is_second_right = np.asarray(second_right, dtype=bool)
    if is_first_right.shape != is_second_right.shape:
        raise DatasetError(
            "Both classifiers must be judged on the same clips. "
            f"Received {is_first_right.shape} and {is_second_right.shape}. Align them first."
        )
    only_first = int((is_first_right & ~is_second_right).sum())
    only_second = int((~is_first_right & is_second_right).sum())
    n_decisive = only_first + only_second
    from scipy import stats  # a second of imports that reports do not need

    p_value = float(stats.binomtest(only_first, n_decisive).pvalue) if n_decisive else 1.0
    return McNemar(only_first, only_second, p_value)


def difference_tests(
    y: Labels,
    first: Probabilities,
    second: Probabilities,
    classes: Sequence[str],
    groups: Groups | None = None,
    *,
    level: float = 0.95,
    multilabel: bool = False,
) -> PairedTests:
    """McNemar's test of equal accuracy, and DeLong's test of equal areas for each class against the others.

    McNemar's test takes clips as independent; DeLong's test uses the groups. A class with fewer than two
    clips or groups on either side has no DeLong test. If clips · classes exceed 20 million, no class has one,
    because its ranks would take minutes; `metric_differences` compares the areas there.

    Args:
        y: (n,) labels. For `multilabel`: label sets, or an indicator matrix.
        first: (n, K) probabilities of the first classifier.
        second: (n, K) probabilities of the second classifier, for the same clips.
        classes: K names.
        groups: (n,), or None: every clip is its own group.
        level: coverage of the intervals.
        multilabel: whether the labels are sets.

    Example:
        >>> y, p = np.array(["a", "a", "b", "b", "b"]), np.array([0.9, 0.6, 0.7, 0.2, 0.1])
        >>> tests = difference_tests(y, np.column_stack([p, 1 - p]), np.full((5, 2), 0.5), ["a", "b"])
        >>> tests.mcnemar.p_value, round(tests.delong["a"].difference.value, 3)
        (0.5, 0.333)
    """
    target = encode_labels(np.asarray(y), tuple(classes), multilabel=multilabel)
    accuracy_test = None
    if not multilabel:
        codes = target.astype(np.int64, copy=False)
        accuracy_test = mcnemar(top_label(codes, first)[0], top_label(codes, second)[0])
    indicator = target if multilabel else target[:, None] == np.arange(len(classes))
    area_tests: dict[str, DeLong] = {}
    group_of_clip = group_codes(groups, len(target))[0]
    if first.size > MAX_RANKED:
        return PairedTests(accuracy_test, area_tests)
    for k, name in enumerate(classes):
        positive = indicator[:, k].astype(bool, copy=False)
        # A class with too few clips has no test.
        with suppress(DatasetError):
            area_tests[name] = delong(positive, first[:, k], second[:, k], group_of_clip, level=level)
    return PairedTests(accuracy_test, area_tests)


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected for the number of tests (family-wise error rate).

    The i-th smallest of m p-values becomes p_(i) · (m + 1 - i), made monotone and at most 1. NaN stays NaN
    and does not count.

    Args:
        p_values: (m,).

    Source:
        Holm 1979; equal to R's `p.adjust(method = "holm")`.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    defined = np.flatnonzero(~np.isnan(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    n_remaining = np.arange(len(order), 0, -1)
    products = p[order] * n_remaining
    monotone = np.maximum.accumulate(products)
    result = p.copy()
    result[order] = np.minimum(monotone, 1.0)
    return result


def _metric_differences(
    target: Target,
    first: Probabilities,
    second: Probabilities,
    names: tuple[str, ...],
    weights: NDArray[np.floating] | None,
) -> Floats:
    """First minus second of each metric, `(B, S)`; B is 1 without weights."""
    scores_of_first = all_metrics(target, first, weights).scores
    scores_of_second = all_metrics(target, second, weights).scores
    columns = []
    for name in names:
        difference = scores_of_first[name] - scores_of_second[name]
        columns.append(np.atleast_1d(difference))
    return np.stack(columns, axis=-1)


def _label_differences(names: tuple[str, ...], values: Floats, intervals: Intervals) -> dict[str, Difference]:
    """Differences by the name of their metric."""
    columns = [values, intervals.low, intervals.high, intervals.p_zero]
    rows = np.stack(columns, axis=-1).tolist()
    differences = {}
    for name, row in zip(names, rows, strict=True):
        differences[name] = Difference(*row)
    return differences
