"""Tag sets with a promise: the tags from a threshold on, which is calibrated on predictions of unseen clips.

The set of a clip holds the tags with p[k] ≥ λ. Two promises can be made about a clip of a new group (artist,
recording), if groups are drawn like those of the calibration. The loss of a group is the mean of its clips,
so that each of the G groups has one vote.

- *Recall*: on average at least the share c of the true tags is in the set. The loss is the share of the true
  tags that are missing (0 for a clip without tags); it falls as λ falls. λ is the largest threshold with
  G / (G + 1) · loss(λ) + 1 / (G + 1) ≤ 1 - c. Source: Angelopoulos, Bates, Fisch, Lei & Schuster 2022,
  "Conformal risk control", theorem 1.
- *Precision*: on average at least the share c of the set is right (1 for an empty set), for nine of ten
  calibrations. The loss is the share of wrong tags in the set, which does not always fall as λ rises. From
  the highest threshold downwards, each is tested (Hoeffding and Bentkus) until the first that cannot exclude
  a larger loss. Source: Angelopoulos, Bates, Candès, Jordan & Lei 2021, "Learn then test", section 2.

With few groups nothing can be promised: then the recall set holds all tags, and the precision set none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.ensemble.array_types import Floats, Groups, Probabilities
from quintet.ensemble.conformal import require_confidence
from quintet.errors import AlignmentError, ArtefactError, unknown_name
from quintet.evaluation.intervals import group_codes
from quintet.files.json_types import JsonObject

PROMISES = ("recall", "precision")
DOUBT = 0.1
"""Share of calibrations for which the promise of precision may fail."""
STEPS, WIDEST = 800, 10.0
"""Thresholds besides 0 and "none": equally spaced in logits up to ±10, and fixed before the data are seen."""
MOST_GROUPS = 10**9
EXACT_GROUPS = 5000
"""Groups up to which the tighter bound of Bentkus is computed, too."""


def thresholds() -> Floats:
    """The thresholds that are considered, `(T,)`, rising: 0 (all tags), …, 2 (no tag)."""
    logits = np.linspace(-WIDEST, WIDEST, STEPS)
    return np.concatenate([[0.0], 1 / (1 + np.exp(-logits)), [2.0]])


@dataclass(frozen=True)
class TagSets:
    """Losses by threshold, from which the sets for every promise follow.

    Args:
        classes: K tags.
        n_groups: number of calibration groups.
        recall_loss: mean share of the true tags that the set lacks, for each of `thresholds`, `(T,)`.
        precision_loss: mean share of the set that is wrong, `(T,)`.
    """

    classes: tuple[str, ...]
    n_groups: int
    recall_loss: Floats
    precision_loss: Floats

    def threshold(self, confidence: float, promise: str = "recall") -> float:
        """The probability from which on a tag is in the set; 0 for all tags, 2 for none.

        Args:
            confidence: promised recall or precision, in (0, 1).
            promise: `recall` or `precision`.

        Raises:
            ConfigError: the promise is unknown, or the confidence is not between 0 and 1.
        """
        require_confidence(confidence)
        if promise not in PROMISES:
            raise unknown_name("promise", promise, PROMISES)
        risk = 1 - confidence + 1e-12
        n, grid = self.n_groups, thresholds()
        if promise == "recall":
            bound = (n * self.recall_loss + 1) / (n + 1)
            kept = np.flatnonzero(bound <= risk)
            return float(grid[kept[-1]]) if len(kept) else 0.0
        for place in range(len(grid) - 1, -1, -1):
            if p_value(float(self.precision_loss[place]), n, risk) > DOUBT:
                return float(grid[min(place + 1, len(grid) - 1)])
        return 0.0

    def sets(
        self, probabilities: Probabilities, confidence: float = 0.9, *, promise: str = "recall"
    ) -> NDArray[np.bool_]:
        """Whether each tag is in the set of each clip, `(n, K)`.

        Args:
            probabilities: shape `(n, K)`.
            confidence: promised recall or precision, in (0, 1).
            promise: `recall` or `precision`.

        Raises:
            AlignmentError: there is not one column per tag.
            ConfigError: the promise is unknown, or the confidence is not between 0 and 1.
        """
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.classes):
            raise AlignmentError(
                f"There must be one column per tag ({len(self.classes)}). Received {probabilities.shape}. "
                "Align the tags."
            )
        return np.asarray(probabilities >= self.threshold(confidence, promise))

    def limits(self, confidence: float, promise: str) -> list[str]:
        """What this promise cannot tell with so few groups, as sentences; none if it can.

        Args:
            confidence: promised recall or precision, in (0, 1).
            promise: `recall` or `precision`.
        """
        threshold, groups = self.threshold(confidence, promise), f"{self.n_groups} calibration groups"
        if promise == "recall" and threshold == 0.0:
            return [f"A recall of {confidence:g} cannot be promised from {groups}: every set holds all tags."]
        if promise == "precision" and threshold > 1.0:
            return [f"A precision of {confidence:g} cannot be promised from {groups}: every set is empty."]
        return []

    def to_json(self) -> JsonObject:
        """JSON object with everything that `from_json` needs."""
        return {
            "classes": list(self.classes),
            "groups": self.n_groups,
            "recall_loss": [float(value) for value in self.recall_loss],
            "precision_loss": [float(value) for value in self.precision_loss],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> TagSets:
        """Read what `to_json` wrote.

        Raises:
            ArtefactError: a part is missing or damaged.
        """
        try:
            return cls._parse(dict(content))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArtefactError(
                f"Tag sets must have all of their parts. Missing or damaged: {error}. Train again."
            ) from error

    @classmethod
    def _parse(cls, content: JsonObject) -> TagSets:
        losses = [np.asarray(content[f"{name}_loss"], dtype=np.float64) for name in PROMISES]
        n_groups = int(content["groups"])
        for loss in losses:
            if loss.shape != thresholds().shape or not ((loss >= 0) & (loss <= 1)).all():
                raise ValueError("losses must be one number in [0, 1] per threshold")
        if not 1 <= n_groups <= MOST_GROUPS:
            raise ValueError(f"{n_groups} groups")
        return cls(tuple(str(name) for name in content["classes"]), n_groups, *losses)


def fit_tag_sets(
    probabilities: Probabilities,
    indicator: NDArray[np.generic],
    groups: Groups | None = None,
    *,
    classes: Sequence[str],
) -> TagSets:
    """Calibrate tag sets on clips that the classifier has not seen.

    Args:
        probabilities: shape `(n, K)`.
        indicator: whether a clip has a tag, `(n, K)`.
        groups: group of each clip, `(n,)`. Default: every clip is its own group.
        classes: K tags.

    Raises:
        AlignmentError: the shapes do not fit, or there is no clip.

    Example:
        >>> p = np.repeat([[0.9, 0.2]], 39, axis=0)
        >>> sets = fit_tag_sets(p, np.repeat([[1, 0]], 39, axis=0), classes=("live", "rock"))
        >>> sets.sets(np.array([[0.95, 0.3], [0.5, 0.1]]), 0.9).tolist()  # the first tag from .9 on
        [[True, False], [False, False]]
    """
    truth = np.asarray(indicator).astype(bool)
    if (
        probabilities.shape != truth.shape
        or truth.ndim != 2
        or truth.shape[1] != len(classes)
        or not len(truth)
    ):
        raise AlignmentError(
            f"There must be {len(classes)} probabilities for each label set. "
            f"Received {probabilities.shape} for {truth.shape}. Align them first."
        )
    weights = _votes(groups, len(truth))
    losses = [tag_losses(probabilities >= level, truth) for level in thresholds()]
    missing = np.array([weights @ loss.missing for loss in losses])
    wrong = np.array([weights @ loss.wrong for loss in losses])
    n_groups = len(np.unique(group_codes(groups, len(truth))[0]))
    return TagSets(tuple(classes), n_groups, np.clip(missing, 0, 1), np.clip(wrong, 0, 1))


class TagLosses(NamedTuple):
    """Losses of the set of each clip.

    Args:
        missing: share of the true tags that are not in the set, `(n,)`; 0 without true tags.
        wrong: share of the set that is not true, `(n,)`; 0 for an empty set.
    """

    missing: Floats
    wrong: Floats


def tag_losses(sets: NDArray[np.bool_], truth: NDArray[np.bool_]) -> TagLosses:
    """Losses of tag sets, for recall and for precision.

    Args:
        sets: whether a tag is in the set of a clip, `(n, K)`.
        truth: whether the clip has the tag, `(n, K)`.

    Example:
        >>> losses = tag_losses(np.array([[True, True, False]]), np.array([[True, False, True]]))
        >>> losses.missing.tolist(), losses.wrong.tolist()
        ([0.5], [0.5])
    """
    n_right = (sets & truth).sum(axis=1)
    n_true, n_in_set = truth.sum(axis=1), sets.sum(axis=1)
    missing = (n_true - n_right) / np.maximum(n_true, 1)
    wrong = (n_in_set - n_right) / np.maximum(n_in_set, 1)
    return TagLosses(missing, wrong)


class SetScores(NamedTuple):
    """Means of tag sets; each group counts once.

    Args:
        recall: share of the true tags in the set.
        precision: share of the set that is true; 1 for empty sets.
        size: number of tags.
        empty: share of empty sets.
    """

    recall: float
    precision: float
    size: float
    empty: float


def score_tag_sets(
    sets: NDArray[np.bool_], truth: NDArray[np.bool_], groups: Groups | None = None
) -> SetScores:
    """Recall, precision and size of tag sets on labelled clips.

    Args:
        sets: whether a tag is in the set of a clip, `(n, K)`, n ≥ 1.
        truth: whether the clip has the tag, `(n, K)`.
        groups: group of each clip, `(n,)`. Default: every clip is its own group.

    Example:
        >>> truth = np.array([[True, False], [True, True]])
        >>> score_tag_sets(np.array([[True, True], [False, False]]), truth)
        SetScores(recall=0.5, precision=0.75, size=1.0, empty=0.5)
    """
    weights, losses, sizes = _votes(groups, len(sets)), tag_losses(sets, truth), sets.sum(axis=1)
    means = (
        1 - weights @ losses.missing,
        1 - weights @ losses.wrong,
        weights @ sizes,
        weights @ (sizes == 0),
    )
    return SetScores(*map(float, means))


def p_value(loss: float, n: int, risk: float) -> float:
    """Largest probability of a mean loss this small if the expected loss is above `risk`.

    The smaller one of the bounds of Hoeffding and Bentkus.

    Args:
        loss: mean of n independent losses in [0, 1].
        n: number of losses.
        risk: in (0, 1).

    Example:
        >>> round(p_value(0.0, 22, 0.1), 3), round(p_value(0.0, 10, 0.1), 3)  # (1 - .1) to the power of n
        (0.098, 0.349)
    """
    if loss >= risk:
        return 1.0
    divergence = (1 - loss) * math.log((1 - loss) / (1 - risk))
    divergence += loss * math.log(loss / risk) if loss > 0 else 0.0
    hoeffding = math.exp(-n * divergence)
    if n > EXACT_GROUPS:
        return min(hoeffding, 1.0)
    bentkus = math.e * _binomial_cdf(math.ceil(n * loss - 1e-9), n, risk)
    return min(hoeffding, bentkus, 1.0)


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """P(at most k of n)."""
    counts = np.arange(k + 1)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in counts]
    terms = np.array(logs) + counts * math.log(p) + (n - counts) * math.log1p(-p)
    return float(min(np.exp(terms).sum(), 1.0))


def _votes(groups: Groups | None, n: int) -> Floats:
    """Weight of each clip, `(n,)`: one vote per group, which its clips share. The weights sum to 1."""
    _, inverse, sizes = np.unique(group_codes(groups, n)[0], return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(sizes) * sizes[inverse]))
