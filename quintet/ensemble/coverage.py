"""Coverage of prediction sets on labelled clips, and accuracy if only the surest clips are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.ensemble.array_types import Codes, Floats, Groups, Labels, Probabilities
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.metrics import label_codes
from quintet.evaluation.scores import or_nan
from quintet.files.json_types import JsonObject


@dataclass(frozen=True)
class Coverage:
    """Coverage and size of prediction sets on labelled clips. Each group counts once.

    Args:
        confidence: the confidence of the sets.
        coverage: share of clips whose set contains the true class.
        size: mean number of classes in a set.
        empty: share of empty sets.
        per_class: class → the same three numbers for its clips, by name.
    """

    confidence: float
    coverage: float
    size: float
    empty: float
    per_class: dict[str, dict[str, float]]

    def to_json(self) -> JsonObject:
        """JSON object with the fields; None for NaN."""
        content = _without_nan(vars(self))
        content["per_class"] = {name: _without_nan(row) for name, row in self.per_class.items()}
        return content

    @classmethod
    def from_json(cls, content: JsonObject) -> Coverage:
        """Read what `to_json` wrote."""
        per_class: dict[str, dict[str, float]] = {}
        for name, row in content["per_class"].items():
            per_class[name] = {measure: or_nan(value) for measure, value in row.items()}
        coverage, size, empty = (or_nan(content[name]) for name in ("coverage", "size", "empty"))
        return cls(content["confidence"], coverage, size, empty, per_class)


class _SetMeans(NamedTuple):
    coverage: float
    size: float
    empty: float


def coverage(
    sets: NDArray[np.bool_],
    y: Labels,
    groups: Groups | None = None,
    *,
    classes: Sequence[str],
    confidence: float,
) -> Coverage:
    """Coverage and size of prediction sets; each group counts once. NaN for a class without clips.

    Args:
        sets: from `ConformalPredictor.sets`, `(n, K)`.
        y: labels `(n,)`, each one of `classes`.
        groups: group of each clip, `(n,)`. Default: every clip is its own group.
        classes: K names.
        confidence: the confidence of the sets.

    Example:
        >>> sets = np.array([[True, True], [False, True]])
        >>> coverage(sets, np.array(["a", "a"]), classes=["a", "b"], confidence=0.9).coverage
        0.5
    """
    codes = label_codes(np.asarray(y), tuple(classes))
    group_numbers = group_codes(groups, len(y))[0]
    per_class: dict[str, dict[str, float]] = {}
    for k, name in enumerate(classes):
        rows = codes == k
        per_class[name] = _set_means(sets[rows], codes[rows], group_numbers[rows])._asdict()
    means = _set_means(sets, codes, group_numbers)
    return Coverage(confidence, means.coverage, means.size, means.empty, per_class)


class SelectiveAccuracy(NamedTuple):
    """Accuracy if only the surest clips are answered, one point per number of clips.

    Args:
        shares: share of clips that are answered, ascending.
        accuracies: accuracy on these clips.
    """

    shares: Floats
    accuracies: Floats


def accuracy_against_coverage(
    y: Labels, probabilities: Probabilities, *, classes: Sequence[str]
) -> SelectiveAccuracy:
    """Accuracy if only the surest clips are answered: one point per distinct largest probability.

    Args:
        y: labels `(n,)`, each one of `classes`.
        probabilities: shape `(n, K)`.
        classes: K names.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.6, 0.4]])
        >>> shares, accuracies = accuracy_against_coverage(np.array(["a", "b"]), p, classes=["a", "b"])
        >>> shares.tolist(), accuracies.tolist()
        ([0.5, 1.0], [1.0, 0.5])
    """
    codes = label_codes(np.asarray(y), tuple(classes))
    certainty = probabilities.max(axis=1)
    order = np.argsort(-certainty, kind="stable")
    last_of_equals = np.append(np.flatnonzero(np.diff(certainty[order])), len(order) - 1)
    is_right = probabilities.argmax(axis=1)[order] == codes[order]
    n_right = np.cumsum(is_right)[last_of_equals]
    n_answered = last_of_equals + 1
    return SelectiveAccuracy(n_answered / len(codes), n_right / n_answered)


def _without_nan(row: Mapping[str, object]) -> JsonObject:
    """The same row with None in place of NaN."""
    content: JsonObject = {}
    for name, value in row.items():
        is_nan = isinstance(value, float) and np.isnan(value)
        content[name] = None if is_nan else value
    return content


def _set_means(sets: NDArray[np.bool_], codes: Codes, groups: Codes) -> _SetMeans:
    """Means of hits, sizes and empty sets, each group counting once; NaN without clips."""
    if not len(codes):
        return _SetMeans(float("nan"), float("nan"), float("nan"))
    rows = np.arange(len(codes))
    hit = sets[rows, codes]
    size = sets.sum(axis=1)
    _, inverse, count = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1 / count[inverse]

    def mean(values: ArrayLike) -> float:
        return float(np.average(np.asarray(values), weights=weight))

    return _SetMeans(coverage=mean(hit), size=mean(size), empty=mean(size == 0))
