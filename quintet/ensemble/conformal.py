"""Knowing when not to know: sets that hold the true class with a promised probability, possibly empty ("none of these"), and an out-of-class score.

How strange class k is for a clip is measured by a score s(p, k) (`SCORES`). A class is in the set unless it is stranger than all but a share 1 - c
of what the calibration clips showed for their true classes. Clips of one group are not independent witnesses, so every group has one vote, shared
among its clips: with G groups each clip weighs 1 / ((G + 1) · size of its group), and 1 / (G + 1) stands at infinity for the group to come. The
promise then holds for a clip of a new group: P(true class in set) ≥ c (Lee, Barber & Willett 2023, "Distribution-free inference with hierarchical
data"; Vovk et al. 2005 for the rest). It is a promise about groups drawn like those of the calibration. Of music of no known class it says nothing,
and that is what the empty set is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.errors import AlignmentError, ArtefactError, ConfigError, unknown_name
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.metrics import label_codes

SCORES = {
    "lac": "1 - p[k]: the smallest sets, and empty ones where no class is likely (Sadinle et al. 2019)",
    "aps": "the probability of the classes above k, and of k: larger sets where it is hard, seldom empty (Romano et al. 2020, not randomised)",
}


@dataclass(frozen=True)
class Conformal:
    """Calibrated strangeness.

    `strangeness` and `weights` (n,) of the calibration clips; `codes` (n,) their classes; `missing` (K,) or (1,): the weight at infinity, of each
    class (`by_class`) or of all.
    """

    score: str
    classes: tuple[str, ...]
    by_class: bool
    strangeness: NDArray[np.float64]
    weights: NDArray[np.float64]
    codes: NDArray[np.int64]
    missing: NDArray[np.float64]

    def p_values(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """(n, K) for each class, the share of calibration weight that is at least as strange: small where the class does not fit."""
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.classes):
            raise AlignmentError(f"There must be one column per class ({len(self.classes)}). Received {probabilities.shape}. Align the classes.")
        strange = _strangeness(self.score, probabilities)
        return np.stack([self._share(k, strange[:, k]) for k in range(len(self.classes))], axis=1)

    def sets(self, probabilities: NDArray[Any], confidence: float = 0.9) -> NDArray[np.bool_]:
        """(n, K) bool: which classes are in each clip's set; a row of False means "none of these".

        Raises:
            ConfigError: the confidence does not lie between 0 and 1.

        Where there are fewer than 1 / (1 - confidence) - 1 groups (of a class, with `by_class`), nothing can be excluded and every class is in.
        """
        if not 0 < confidence < 1:
            raise ConfigError(f"A confidence must lie between 0 and 1. Received {confidence}. Use 0.9, say.")
        return np.asarray(self.p_values(probabilities) > 1 - confidence + 1e-12)

    def out_of_class(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) in [0, 1): 1 - the largest p-value. The set at confidence c is empty exactly where this is at least c."""
        return np.asarray(1 - self.p_values(probabilities).max(axis=1))

    def _share(self, k: int, strange: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = self.codes == k if self.by_class else slice(None)
        values, weights = self.strangeness[rows], self.weights[rows]
        order = np.argsort(values)
        above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
        return np.asarray(above[np.searchsorted(values[order], strange - 1e-12, side="left")] + self.missing[k if self.by_class else 0])

    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs."""
        return {
            "score": self.score,
            "classes": list(self.classes),
            "by_class": self.by_class,
            "strangeness": [float(v) for v in self.strangeness],
            "weights": [float(v) for v in self.weights],
            "codes": [int(v) for v in self.codes],
            "missing": [float(v) for v in self.missing],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Conformal:
        """The calibration that `to_json` described. Raises ArtefactError where something is missing."""
        try:
            floats = [np.asarray(content[name], dtype=np.float64) for name in ("strangeness", "weights")]
            codes, missing = np.asarray(content["codes"], dtype=np.int64), np.asarray(content["missing"], dtype=np.float64)
            return cls(content["score"], tuple(content["classes"]), bool(content["by_class"]), floats[0], floats[1], codes, missing)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(f"Conformal calibration must have all of its parts. Missing or damaged: {error}. Train again.") from error


def fit_conformal(
    probabilities: NDArray[Any],
    y: NDArray[Any],
    groups: NDArray[Any] | None = None,
    *,
    classes: Sequence[str],
    score: str = "lac",
    by_class: bool = False,
) -> Conformal:
    """Prediction sets calibrated on clips that the model has not seen (a held-out part, or out-of-fold predictions).

    Args:
        probabilities: (n, K).
        y: (n,) labels, each one of `classes`.
        groups: (n,) or None: every clip is its own group.
        score: a name of `SCORES`.
        by_class: promise the coverage for every class by itself (needs more data: each class has its own threshold).

    Out-of-fold predictions come from models trained on somewhat less than the final one, which errs, if at all, on the side of larger sets.

    Example:
        >>> p = np.linspace(0.05, 0.95, 19)
        >>> found = fit_conformal(np.stack([p, 1 - p], axis=1), np.repeat("a", 19), classes=["a", "b"])
        >>> found.sets(np.array([[0.12, 0.88], [0.08, 0.92]]), confidence=0.9).tolist()  # 2 of 20 are stranger than 0.1
        [[True, True], [False, True]]
    """
    if score not in SCORES:
        raise unknown_name("conformal score", score, SCORES)
    if probabilities.shape != (len(y), len(classes)) or not len(y):
        raise AlignmentError(
            f"There must be {len(classes)} probabilities for each of {len(y)} labels. Received {probabilities.shape}. Align them first."
        )
    labels, group = label_codes(np.asarray(y), tuple(classes)), group_codes(groups, len(y))[0]
    strange = np.take_along_axis(_strangeness(score, probabilities), labels[:, None], axis=1)[:, 0]
    weights, missing = np.zeros(len(y)), np.ones(len(classes) if by_class else 1)
    for k in range(len(missing)):
        rows = np.flatnonzero(labels == k) if by_class else np.arange(len(y))
        if len(rows):
            _, inverse, size = np.unique(group[rows], return_inverse=True, return_counts=True)
            weights[rows], missing[k] = 1 / ((len(size) + 1) * size[inverse]), 1 / (len(size) + 1)
    return Conformal(score, tuple(classes), by_class, strange, weights, labels, missing)


@dataclass(frozen=True)
class Coverage:
    """How sets did on labelled clips: `coverage`, mean `size`, share `empty`; the same per class; each group counts once."""

    confidence: float
    coverage: float
    size: float
    empty: float
    per_class: dict[str, dict[str, float]]


def coverage(sets: NDArray[np.bool_], y: NDArray[Any], groups: NDArray[Any] | None = None, *, classes: Sequence[str], confidence: float) -> Coverage:
    """Coverage and size of prediction sets, each group counting once; NaN for a class without clips.

    Example:
        >>> coverage(np.array([[True, True], [False, True]]), np.array(["a", "a"]), classes=["a", "b"], confidence=0.9).coverage
        0.5
    """
    labels, group = label_codes(np.asarray(y), tuple(classes)), group_codes(groups, len(y))[0]
    hit, size = sets[np.arange(len(labels)), labels], sets.sum(axis=1)

    def means(rows: NDArray[np.bool_]) -> tuple[float, float, float]:
        if not rows.any():
            return float("nan"), float("nan"), float("nan")
        _, inverse, count = np.unique(group[rows], return_inverse=True, return_counts=True)
        weight = 1 / count[inverse]
        return tuple(float(np.average(v[rows], weights=weight)) for v in (hit, size, size == 0))  # type: ignore[return-value]

    per_class = {name: dict(zip(("coverage", "size", "empty"), means(labels == k), strict=True)) for k, name in enumerate(classes)}
    return Coverage(confidence, *means(np.ones(len(labels), dtype=bool)), per_class)


class Answered(NamedTuple):
    """Share of clips answered, the surest first, and the accuracy on these."""

    shares: NDArray[np.float64]
    accuracies: NDArray[np.float64]


def accuracy_against_coverage(y: NDArray[Any], probabilities: NDArray[Any], *, classes: Sequence[str]) -> Answered:
    """Accuracy where only the surest clips are answered: one point per distinct certainty, from few clips to all.

    Example:
        >>> shares, right = accuracy_against_coverage(np.array(["a", "b"]), np.array([[0.9, 0.1], [0.6, 0.4]]), classes=["a", "b"])
        >>> shares.tolist(), right.tolist()
        ([0.5, 1.0], [1.0, 0.5])
    """
    labels = label_codes(np.asarray(y), tuple(classes))
    certainty = probabilities.max(axis=1)
    order = np.argsort(-certainty, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(certainty[order])), len(order) - 1)
    right = np.cumsum(probabilities.argmax(axis=1)[order] == labels[order])[ends]
    return Answered((ends + 1) / len(labels), right / (ends + 1))


def _strangeness(score: str, probabilities: NDArray[Any]) -> NDArray[np.float64]:
    p = probabilities.astype(np.float64)
    if score == "lac":
        return 1 - p
    order = np.argsort(-p, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    result = np.empty_like(total)
    np.put_along_axis(result, order, total, axis=1)
    return result
