"""Knowing when not to know: sets that hold the true class with a promised probability, possibly empty ("none of these"), and an out-of-class score.

How strange class k is for a clip is measured by a score s(k) (`SCORES`). A class is in the set unless it is stranger than all but a share 1 - c
of what the calibration clips showed for their true classes. Clips of one group are not independent witnesses, so every group has one vote, shared
among its clips: with G groups each clip weighs 1 / ((G + 1) · size of its group), and 1 / (G + 1) stands at infinity for the group to come. The
promise then holds for a clip of a new group: P(true class in set) ≥ c (Lee, Barber & Willett 2023, "Distribution-free inference with hierarchical
data"; Vovk et al. 2005 for the rest). It is a promise about groups drawn like those of the calibration. Of music of no known class it says nothing,
and that is what the empty set is for.

With the score `novelty` a class must be likely and the clip familiar: s(k) = -ln(p[k]·κ(d)), where d is the clip's distance from all classes among
the features (`ensemble.novelty`) and κ(d) = 1 / (1 + exp(2 (d - q) / σ)); q is the distance that a tenth of the calibration clips exceed, σ their
standard deviation. Among the known κ hardly changes anything; far out it falls below any doubt, however sure the members are. It is one score
under one promise. Two tests instead (of class and of novelty, each at half the risk: the union bound) would promise the same, tell strangers less
well and need twice the groups before they exclude anything.
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
from quintet.evaluation.scores import or_nan
from quintet.files.json_types import JsonObject

Array = NDArray[np.float64]
SCORES = {
    "lac": "1 - p[k]: the smallest sets, and empty ones where no class is likely (Sadinle et al. 2019)",
    "aps": "the probability of the classes above k, and of k: larger sets where it is hard, seldom empty (Romano et al. 2020, not randomised)",
    "novelty": "-ln(p[k]·κ(distance)): empty sets also where members are sure of what lies far from everything they know",
}
EXCEEDED, SLOPE = (
    0.1,
    2.0,
)  # κ is one half at the distance that a tenth exceeds; its slope there, per standard deviation


class Familiarity(NamedTuple):
    """κ of a distance: one half at `centre`, falling with `scale`."""

    centre: float
    scale: float

    @classmethod
    def fit(cls, distances: NDArray[Any], weights: NDArray[Any]) -> Familiarity:
        """From the distances (n,) of known clips and how much each counts."""
        order = np.argsort(distances)
        centre = distances[order][
            np.searchsorted(np.cumsum(weights[order]), (1 - EXCEEDED) * weights.sum() - 1e-12)
        ]
        spread = np.sqrt(
            np.average((distances - np.average(distances, weights=weights)) ** 2, weights=weights)
        )
        return cls(float(centre), float(spread) or 1.0)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Familiarity:
        """What `_asdict` gave. Raises KeyError, TypeError or ValueError where it is no such thing."""
        centre, scale = float(content["centre"]), float(content["scale"])
        if not (np.isfinite(centre) and 0 < scale < np.inf):
            raise ValueError(f"a centre of {centre} and a scale of {scale}")
        return cls(centre, scale)

    def surprisal(self, distances: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) -ln κ: near 0 among the known, growing with the distance far out."""
        return np.asarray(np.logaddexp(0, SLOPE * (distances - self.centre) / self.scale))


@dataclass(frozen=True)
class ConformalPredictor:
    """Calibrated strangeness.

    `nonconformity` and `weights` (n,) of the calibration clips; `codes` (n,) their classes; `missing` (K,) or (1,): the weight at infinity, of each
    class (`by_class`) or of all. `familiarity`: for the score `novelty`.
    """

    score: str
    classes: tuple[str, ...]
    by_class: bool
    nonconformity: Array
    weights: Array
    codes: NDArray[np.int64]
    missing: Array
    familiarity: Familiarity | None = None

    def p_values(self, probabilities: NDArray[Any], distances: NDArray[Any] | None = None) -> Array:
        """(n, K) for each class, the share of calibration weight that is at least as strange: small where the class does not fit."""
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.classes):
            raise AlignmentError(
                f"There must be one column per class ({len(self.classes)}). Received {probabilities.shape}. Align the classes."
            )
        strange = self._strangeness(probabilities, distances)
        return np.stack([self._share(k, strange[:, k]) for k in range(len(self.classes))], axis=1)

    def sets(
        self, probabilities: NDArray[Any], confidence: float = 0.9, *, distances: NDArray[Any] | None = None
    ) -> NDArray[np.bool_]:
        """(n, K) bool: which classes are in each clip's set; a row of False means "none of these".

        Args:
            probabilities: (n, K). confidence: in (0, 1).
            distances: (n,) among the features, where the sets were calibrated with such (`familiarity`); not used otherwise.

        Raises:
            ConfigError: the confidence does not lie between 0 and 1. AlignmentError: columns or distances are missing.

        Where there are fewer than 1 / (1 - confidence) - 1 groups (of a class, with `by_class`), nothing can be excluded and every class is in.
        """
        require_confidence(confidence)
        return np.asarray(self.p_values(probabilities, distances) > 1 - confidence + 1e-12)

    def out_of_class(self, probabilities: NDArray[Any], distances: NDArray[Any] | None = None) -> Array:
        """(n,) in [0, 1): 1 - the largest p-value. The set at confidence c is empty exactly where this is at least c."""
        return np.asarray(1 - self.p_values(probabilities, distances).max(axis=1))

    def _strangeness(self, probabilities: NDArray[Any], distances: NDArray[Any] | None) -> Array:
        if self.familiarity is None:
            return _strangeness(self.score, probabilities)
        if (
            distances is None
            or np.shape(distances) != (len(probabilities),)
            or not np.isfinite(distances).all()
        ):
            raise AlignmentError(
                f"These sets look at distances among the features: one finite number for each of the {len(probabilities)} clips. "
                f"Received {None if distances is None else np.shape(distances)}. Pass those of the model (`EnsembleClassifier.distances`)."
            )
        return _strangeness("log", probabilities) + self.familiarity.surprisal(distances)[:, None]

    def _share(self, k: int, strange: Array) -> Array:
        rows = self.codes == k if self.by_class else slice(None)
        values, weights = self.nonconformity[rows], self.weights[rows]
        order = np.argsort(values)
        above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
        share = (
            above[np.searchsorted(values[order], strange - 1e-12, side="left")]
            + self.missing[k if self.by_class else 0]
        )
        return np.asarray(np.minimum(share, 1.0))  # a sum of shares may miss 1 by its last bit

    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs."""
        return {
            "score": self.score,
            "classes": list(self.classes),
            "by_class": self.by_class,
            "strangeness": [float(v) for v in self.nonconformity],
            "weights": [float(v) for v in self.weights],
            "codes": [int(v) for v in self.codes],
            "missing": [float(v) for v in self.missing],
            "familiarity": None if self.familiarity is None else self.familiarity._asdict(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ConformalPredictor:
        """The calibration that `to_json` described. Raises ArtefactError where something is missing."""
        try:
            floats = [np.asarray(content[name], dtype=np.float64) for name in ("strangeness", "weights")]
            codes, missing = (
                np.asarray(content["codes"], dtype=np.int64),
                np.asarray(content["missing"], dtype=np.float64),
            )
            kind = Familiarity.read(content["familiarity"]) if content["score"] == "novelty" else None
            return cls(
                content["score"],
                tuple(content["classes"]),
                bool(content["by_class"]),
                floats[0],
                floats[1],
                codes,
                missing,
                kind,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(
                f"Conformal calibration must have all of its parts. Missing or damaged: {error}. Train again."
            ) from error


def fit_conformal(
    probabilities: NDArray[Any],
    y: NDArray[Any],
    groups: NDArray[Any] | None = None,
    *,
    classes: Sequence[str],
    score: str = "lac",
    by_class: bool = False,
    distances: NDArray[Any] | None = None,
) -> ConformalPredictor:
    """Prediction sets calibrated on clips that the model has not seen (a held-out part, or out-of-fold predictions).

    Args:
        probabilities: (n, K).
        y: (n,) labels, each one of `classes`.
        groups: (n,) or None: every clip is its own group.
        score: a name of `SCORES`.
        by_class: promise the coverage for every class by itself (needs more data: each class has its own threshold).
        distances: (n,) among the features, from classes learnt without the clip's group (`novelty.held_out_distances`); for the score `novelty`.

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
    if (score == "novelty") != (distances is not None):
        given = "without" if distances is None else "with"
        raise ConfigError(
            f"The score 'novelty' needs distances, and no other takes them. Received '{score}' {given} distances."
        )
    labels, group = label_codes(np.asarray(y), tuple(classes)), group_codes(groups, len(y))[0]
    strange = np.take_along_axis(
        _strangeness("log" if score == "novelty" else score, probabilities), labels[:, None], axis=1
    )[:, 0]
    familiarity = (
        None
        if distances is None
        else Familiarity.fit(np.asarray(distances, dtype=np.float64), _votes(group)[0])
    )
    if familiarity is not None:
        strange = strange + familiarity.surprisal(np.asarray(distances))
    weights, missing = np.zeros(len(y)), np.ones(len(classes) if by_class else 1)
    for k in range(len(missing)):
        rows = np.flatnonzero(labels == k) if by_class else np.arange(len(y))
        if len(rows):
            weights[rows], missing[k] = _votes(group[rows])
    return ConformalPredictor(score, tuple(classes), by_class, strange, weights, labels, missing, familiarity)


def require_confidence(confidence: float) -> None:
    """Raises ConfigError unless it lies between 0 and 1."""
    if not 0 < confidence < 1:
        raise ConfigError(f"A confidence must lie between 0 and 1. Received {confidence}. Use 0.9, say.")


def _votes(group: NDArray[Any]) -> tuple[Array, float]:
    """(n,) the weight of each clip, one vote per group; and the vote of the group to come."""
    _, inverse, size = np.unique(group, return_inverse=True, return_counts=True)
    return 1 / ((len(size) + 1) * size[inverse]), 1 / (len(size) + 1)


@dataclass(frozen=True)
class Coverage:
    """How sets did on labelled clips: `coverage`, mean `size`, share `empty`; the same per class; each group counts once."""

    confidence: float
    coverage: float
    size: float
    empty: float
    per_class: dict[str, dict[str, float]]

    def to_json(self) -> JsonObject:
        """`confidence, coverage, size, empty, per_class {class: {coverage, size, empty}}`; None for NaN."""
        per_class = {name: _without_nan(row) for name, row in self.per_class.items()}
        return {**_without_nan(vars(self)), "per_class": per_class}

    @classmethod
    def from_json(cls, content: JsonObject) -> Coverage:
        """The coverage that `to_json` wrote."""
        per_class = {
            name: {measure: or_nan(value) for measure, value in row.items()}
            for name, row in content["per_class"].items()
        }
        coverage, size, empty = (or_nan(content[name]) for name in ("coverage", "size", "empty"))
        return cls(content["confidence"], coverage, size, empty, per_class)


def _without_nan(row: JsonObject) -> JsonObject:
    """The same row with None in place of NaN."""
    return {name: None if isinstance(v, float) and np.isnan(v) else v for name, v in row.items()}


def coverage(
    sets: NDArray[np.bool_],
    y: NDArray[Any],
    groups: NDArray[Any] | None = None,
    *,
    classes: Sequence[str],
    confidence: float,
) -> Coverage:
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

    per_class = {
        name: dict(zip(("coverage", "size", "empty"), means(labels == k), strict=True))
        for k, name in enumerate(classes)
    }
    return Coverage(confidence, *means(np.ones(len(labels), dtype=bool)), per_class)


class Answered(NamedTuple):
    """Share of clips answered, the surest first, and the accuracy on these."""

    shares: NDArray[np.float64]
    accuracies: NDArray[np.float64]


def accuracy_against_coverage(
    y: NDArray[Any], probabilities: NDArray[Any], *, classes: Sequence[str]
) -> Answered:
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
    if score == "log":
        return np.asarray(-np.log(np.maximum(p, np.finfo(np.float64).tiny)))
    order = np.argsort(-p, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    result = np.empty_like(total)
    np.put_along_axis(result, order, total, axis=1)
    return result
