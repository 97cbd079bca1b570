"""Conformal prediction sets. Each set contains the true class with at least the requested probability.

An empty set means "none of the known classes". The same calibration gives an out-of-class score.

A score s(k) (`SCORES`) says how badly class k fits a clip: its nonconformity. A class is in the set unless
its nonconformity is larger than that of all but a share 1 - c of the calibration clips for their true
classes. Clips of one group are not independent. Therefore every group has one vote, which its clips share:
with G groups, each clip weighs 1 / ((G + 1) · size of its group), and 1 / (G + 1) stands at infinity for the
next group. For a clip of a new group, P(true class in set) ≥ c then holds (Lee, Barber & Willett 2023,
"Distribution-free inference with hierarchical data"; Vovk et al. 2005 for the rest). This guarantee is for
groups that are drawn like the calibration groups. There is no guarantee for music of an unknown class; the
empty set is meant for it.

With the score `novelty`, a class is in the set only if it is likely and the clip is familiar: s(k) =
-ln(p[k]·κ(d)). Here d is the distance of the clip's features from all classes (`ensemble.novelty`), and
κ(d) = 1 / (1 + exp(2 (d - q) / σ)). q is the distance that a tenth of the calibration clips exceed, and σ
is their standard deviation. For known classes, κ changes almost nothing. Far away, κ·p becomes small even
if the members are sure. This is one score with one guarantee. The alternative is two tests, one of the
class and one of novelty, each at half the risk (union bound). It would have the same guarantee, but it
detects unknown classes less well, and it needs twice as many groups before it can exclude a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.ensemble.array_types import Codes, Floats, Groups, Labels, Probabilities
from quintet.errors import AlignmentError, ArtefactError, ConfigError, unknown_name
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.metrics import label_codes
from quintet.files.json_types import JsonObject

SCORES = {
    "lac": "1 - p[k]: the smallest sets, and empty ones where no class is likely (Sadinle et al. 2019)",
    "novelty": "-ln(p[k]·κ(distance)): also empty sets for clips that are far from all known classes",
}

EXCEEDED = 0.1
"""Share of calibration clips whose distance is larger than the one where κ is one half."""

SLOPE = 2.0
"""Slope of κ's logit at that distance, per standard deviation."""


class Familiarity(NamedTuple):
    """κ as a function of the distance from all classes, in (0, 1).

    Args:
        centre: the distance where κ is one half.
        scale: the standard deviation of the distances, > 0. κ falls more slowly if it is large.
    """

    centre: float
    scale: float

    @classmethod
    def fit(cls, distances: Floats, weights: Floats) -> Familiarity:
        """Fit κ to the distances of clips of known classes.

        Args:
            distances: shape `(n,)`.
            weights: weight of each clip, `(n,)`.
        """
        order = np.argsort(distances)
        cumulative = np.cumsum(weights[order])
        target = (1 - EXCEEDED) * weights.sum() - 1e-12
        centre = distances[order][np.searchsorted(cumulative, target)]
        mean = np.average(distances, weights=weights)
        deviation = np.sqrt(np.average((distances - mean) ** 2, weights=weights))
        return cls(float(centre), float(deviation) or 1.0)

    @classmethod
    def from_json(cls, content: Mapping[str, float]) -> Familiarity:
        """Read what `_asdict` gave.

        Raises:
            KeyError, TypeError, ValueError: a part is missing or is not a possible number.
        """
        centre, scale = float(content["centre"]), float(content["scale"])
        if not (np.isfinite(centre) and 0 < scale < np.inf):
            raise ValueError(f"a centre of {centre} and a scale of {scale}")
        return cls(centre, scale)

    def surprisal(self, distances: Floats) -> Floats:
        """-ln κ of each distance, `(n,)`: near 0 for known classes, growing with the distance."""
        with np.errstate(over="ignore"):  # a tiny scale: surely known, or surely not
            logit = SLOPE * (distances - self.centre) / self.scale
        return np.asarray(np.logaddexp(0, logit))


@dataclass(frozen=True)
class ConformalPredictor:
    """Calibrated nonconformity, from which sets and p-values are computed.

    Args:
        score: a name of `SCORES`.
        classes: K names.
        nonconformity: s(true class) of each calibration clip, `(n,)`.
        weights: weight of each calibration clip, `(n,)`.
        codes: class code of each calibration clip, `(n,)`.
        missing: the weight at infinity.
        familiarity: κ, for the score `novelty`.
    """

    score: str
    classes: tuple[str, ...]
    nonconformity: Floats
    weights: Floats
    codes: Codes
    missing: float
    familiarity: Familiarity | None = None

    def p_values(self, probabilities: Probabilities, distances: Floats | None = None) -> Floats:
        """P-value of each class, `(n, K)`: the weight of calibration clips with at least this nonconformity.

        A small p-value means that the class does not fit.

        Args:
            probabilities: shape `(n, K)`.
            distances: distances of the features, `(n,)`; only for the score `novelty`.

        Raises:
            AlignmentError: columns or distances are missing.
        """
        if probabilities.ndim != 2 or probabilities.shape[1] != len(self.classes):
            raise AlignmentError(
                f"There must be one column per class ({len(self.classes)}). Received {probabilities.shape}. "
                "Align the classes."
            )
        order = np.argsort(self.nonconformity)
        thresholds = self.nonconformity[order]
        weight_above = np.append(np.cumsum(self.weights[order][::-1])[::-1], 0.0)
        columns = []
        for column in self._nonconformity(probabilities, distances).T:
            position = np.searchsorted(thresholds, column - 1e-12, side="left")
            share = weight_above[position] + self.missing
            columns.append(np.minimum(share, 1.0))  # a sum of shares can exceed 1 by its last bit
        return np.stack(columns, axis=1)

    def sets(
        self, probabilities: Probabilities, confidence: float = 0.9, *, distances: Floats | None = None
    ) -> NDArray[np.bool_]:
        """Prediction sets: whether each class is in the set of each clip, `(n, K)`.

        A row of False means "none of these". If there are fewer than 1 / (1 - confidence) - 1 calibration
        groups, nothing can be excluded, and every class is in every set.

        Args:
            probabilities: shape `(n, K)`.
            confidence: in (0, 1).
            distances: distances of the features, `(n,)`; only for the score `novelty`.

        Raises:
            ConfigError: the confidence is not between 0 and 1.
            AlignmentError: columns or distances are missing.
        """
        require_confidence(confidence)
        return np.asarray(self.p_values(probabilities, distances) > 1 - confidence + 1e-12)

    def out_of_class(self, probabilities: Probabilities, distances: Floats | None = None) -> Floats:
        """Out-of-class score, `(n,)`, in [0, 1): 1 - the largest p-value.

        The set at confidence c is empty exactly if the score is at least c.

        Args:
            probabilities: shape `(n, K)`.
            distances: distances of the features, `(n,)`; only for the score `novelty`.
        """
        return np.asarray(1 - self.p_values(probabilities, distances).max(axis=1))

    def _nonconformity(self, probabilities: Probabilities, distances: Floats | None) -> Floats:
        """s(k) of each clip and class, `(n, K)`."""
        by_class = _class_nonconformity(self.score, probabilities)
        if self.familiarity is None:
            return by_class
        n_clips, received = len(probabilities), None if distances is None else np.shape(distances)
        if distances is None or received != (n_clips,) or not np.isfinite(distances).all():
            raise AlignmentError(
                "These sets need the distances of the features: one finite number for each of the "
                f"{n_clips} clips. Received {received}. Pass those of the model "
                "(`EnsembleClassifier.distances`)."
            )
        return by_class + self.familiarity.surprisal(distances)[:, None]

    def to_json(self) -> JsonObject:
        """JSON object with everything that `from_json` needs. `by_class` is always false."""
        return {
            "score": self.score,
            "classes": list(self.classes),
            "by_class": False,
            "strangeness": [float(value) for value in self.nonconformity],
            "weights": [float(value) for value in self.weights],
            "codes": [int(value) for value in self.codes],
            "missing": [self.missing],
            "familiarity": None if self.familiarity is None else self.familiarity._asdict(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> ConformalPredictor:
        """Read what `to_json` wrote.

        Raises:
            ArtefactError: a part is missing or damaged, or the sets are of a kind that this version does not
                have.
        """
        try:
            return cls._parse(dict(content))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArtefactError(
                f"Conformal calibration must have all of its parts. Missing or damaged: {error}. Train again."
            ) from error

    @classmethod
    def _parse(cls, content: JsonObject) -> ConformalPredictor:
        score = content["score"]
        if score not in SCORES:
            raise ValueError(f"the score {score!r}")
        (missing,) = map(float, content["missing"])
        classes = tuple(str(name) for name in content["classes"])
        nonconformity = np.asarray(content["strangeness"], dtype=np.float64)
        weights = np.asarray(content["weights"], dtype=np.float64)
        codes = np.asarray(content["codes"], dtype=np.int64)
        same_length = nonconformity.shape == weights.shape == codes.shape == (len(codes),)
        if not same_length or not np.isfinite([*nonconformity, *weights, missing]).all():
            raise ValueError("calibration clips without one finite number and weight each")
        if (weights < 0).any() or missing < 0 or not ((codes >= 0) & (codes < len(classes))).all():
            raise ValueError("a weight below 0, or a code without a class")
        return cls(
            score,
            classes,
            nonconformity,
            weights,
            codes,
            missing,
            Familiarity.from_json(content["familiarity"]) if score == "novelty" else None,
        )


def fit_conformal(
    probabilities: Probabilities,
    y: Labels,
    groups: Groups | None = None,
    *,
    classes: Sequence[str],
    score: str = "lac",
    distances: Floats | None = None,
) -> ConformalPredictor:
    """Calibrate prediction sets on clips that the classifier has not seen.

    These are held-out clips, or clips that were predicted out of fold. Out-of-fold predictions come from
    members that were trained on somewhat fewer clips than the final ones. So the sets are rather too large
    than too small.

    Args:
        probabilities: shape `(n, K)`.
        y: labels `(n,)`, each one of `classes`.
        groups: group of each clip, `(n,)`. Default: every clip is its own group.
        classes: K names.
        score: a name of `SCORES`.
        distances: distances of the features, `(n,)`, from classes that were learnt without the clip's group
            (`novelty.held_out_distances`); for the score `novelty` only.

    Raises:
        ConfigError: the score is unknown, or it and the distances do not go together.
        AlignmentError: there is not one row of probabilities per label, or not one column per class.

    Example:
        >>> p = np.linspace(0.05, 0.95, 19)
        >>> table = np.stack([p, 1 - p], axis=1)
        >>> conformal = fit_conformal(table, np.repeat("a", 19), classes=["a", "b"])
        >>> new = np.array([[0.12, 0.88], [0.08, 0.92]])
        >>> conformal.sets(new, confidence=0.9).tolist()  # 2 of 20 have a nonconformity above 0.9
        [[True, True], [False, True]]
    """
    if score not in SCORES:
        raise unknown_name("conformal score", score, SCORES)
    n_clips = len(y)
    if probabilities.shape != (n_clips, len(classes)) or n_clips == 0:
        raise AlignmentError(
            f"There must be {len(classes)} probabilities for each of {n_clips} labels. "
            f"Received {probabilities.shape}. Align them first."
        )
    if (score == "novelty") != (distances is not None):
        with_or_without = "without" if distances is None else "with"
        raise ConfigError(
            "The score 'novelty' needs distances, and no other score takes them. "
            f"Received '{score}' {with_or_without} distances."
        )
    codes = label_codes(np.asarray(y), tuple(classes))
    weights, missing = _vote_weights(group_codes(groups, n_clips)[0])
    by_class = _class_nonconformity(score, probabilities)
    nonconformity = np.take_along_axis(by_class, codes[:, None], axis=1)[:, 0]
    familiarity = None
    if distances is not None:
        values = np.asarray(distances, dtype=np.float64)
        familiarity = Familiarity.fit(values, weights)
        nonconformity = nonconformity + familiarity.surprisal(values)
    return ConformalPredictor(score, tuple(classes), nonconformity, weights, codes, missing, familiarity)


def require_confidence(confidence: float) -> None:
    """Refuse a confidence that is not between 0 and 1.

    Raises:
        ConfigError: it is not.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"A confidence must lie between 0 and 1. Received {confidence}. Use 0.9, say.")


def _vote_weights(groups: Codes) -> tuple[Floats, float]:
    """Weight of each clip, `(n,)`, with one vote per group; and the vote of the next group."""
    _, inverse, size = np.unique(groups, return_inverse=True, return_counts=True)
    n_votes = len(size) + 1
    return 1 / (n_votes * size[inverse]), 1 / n_votes


def _class_nonconformity(score: str, probabilities: Probabilities) -> Floats:
    """Part of s(k) that comes from the probabilities, `(n, K)`."""
    p = probabilities.astype(np.float64)
    if score == "lac":
        return 1 - p
    return np.asarray(-np.log(np.maximum(p, np.finfo(np.float64).tiny)))
