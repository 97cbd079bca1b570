"""Learning curve: score by amount of training data, with the gain that more data would bring.

The score of members trained on n clips follows s(n) = a - b · n⁻ᶜ: it approaches a ceiling as a power of n.
The scores at several n come from the same clips, so they are not independent. A resample therefore draws
groups once for all sizes, and the curve is fitted again to each resample. So the interval of the gain shows
the uncertainty of the difference between sizes, not of the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

from quintet.errors import DatasetError
from quintet.evaluation.array_types import Floats, Groups, Labels, Probabilities, Target
from quintet.evaluation.intervals import group_codes, group_draws
from quintet.evaluation.metrics import all_metrics, encode_labels
from quintet.evaluation.scores import Estimate, or_nan, or_none
from quintet.files.json_types import JsonObject

EXPONENTS = np.linspace(0.1, 1.5, 141)
"""Exponents that are tried. Learning curves have exponents from 0.1 to 1 (Hestness et al. 2017)."""

SINGLE_LABEL = ("accuracy", "macro_auc", "log_loss")
MULTI_LABEL = ("macro_pr_auc", "macro_auc", "log_loss")
MAX_RESAMPLED = 300_000_000
"""Clips · classes · fits · resamples. Above it there are fewer resamples, but at least `MIN_RESAMPLES`."""

MIN_RESAMPLES = 100
BLOCK_ELEMENTS = 4_000_000
PATH_POINTS = 24
LEAST_SIZES = 3

SizePredictions = Sequence[Sequence[Probabilities]]
"""For each size its repeats, each probabilities `(n, K)`."""


@dataclass(frozen=True)
class LearningCurve:
    """Learning curve s(n) = a - b · n⁻ᶜ.

    Args:
        ceiling: a, the score with endless data.
        gap: b; negative if the score falls, as log loss does.
        exponent: c.
        largest: the largest amount of data that was measured.

    Example:
        >>> round(float(LearningCurve(0.9, 0.8, 0.5, 100).predict(400)), 3)  # 0.9 - 0.8 / 20
        0.86
    """

    ceiling: float
    gap: float
    exponent: float
    largest: float

    def predict(self, sizes: ArrayLike) -> Floats:
        """Expected scores with these amounts of data."""
        n = np.asarray(sizes, dtype=np.float64)
        powers = n**-self.exponent
        return np.asarray(self.ceiling - self.gap * powers)


class PathPoint(NamedTuple):
    """Point of a learning curve, with its interval.

    Args:
        size: amount of data.
        value: expected score.
        low: low end of the interval.
        high: high end of the interval.
    """

    size: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outlook:
    """Learning curve, and the gain that `factor` times the data would bring.

    Args:
        curve: the curve.
        factor: factor on the largest amount of data that was measured.
        gain: expected score with that amount, minus expected score with the largest measured amount.
        low: low end of the interval of the gain; NaN without interval.
        high: high end of that interval.
        path: points of the curve from the smallest size to `factor` times the largest.
    """

    curve: LearningCurve
    factor: float
    gain: float
    low: float
    high: float
    path: tuple[PathPoint, ...] = ()

    def to_json(self) -> JsonObject:
        """JSON object of the outlook; None stands for NaN.

        Returns:
            `ceiling, gap, exponent, largest, factor, gain {value, low, high}`, and
            `path [{size, value, low, high}]`.
        """
        gain = Estimate(self.gain, self.low, self.high)
        return {
            **vars(self.curve),
            "factor": self.factor,
            "gain": gain.to_json(),
            "path": [_point_to_json(point) for point in self.path],
        }

    @classmethod
    def from_json(cls, content: JsonObject) -> Outlook:
        """Read the result of `to_json`."""
        curve = LearningCurve(
            ceiling=content["ceiling"],
            gap=content["gap"],
            exponent=content["exponent"],
            largest=content["largest"],
        )
        gain = Estimate.from_json(content["gain"])
        path = tuple(_point_from_json(point) for point in content["path"])
        return cls(curve, content["factor"], gain.value, gain.low, gain.high, path)


class CurveScores(NamedTuple):
    """Scores of predictions from members with growing amounts of training data.

    Args:
        names: names of the scores.
        values: `(sizes, scores)`.
        draws: `(resamples, sizes, scores)`; a resample draws groups and repeats.
        n_groups: number of groups.
    """

    names: tuple[str, ...]
    values: Floats
    draws: Floats
    n_groups: int

    def estimate(self, size: int, name: str) -> Estimate:
        """One score at one size, with its 95 % interval.

        Args:
            size: position of the size.
            name: name of the score.
        """
        column = self.names.index(name)
        value = self.values[size, column]
        draws = self.draws[:, size, column]
        low, high = _interval_ends(draws, self.n_groups)
        return Estimate(float(value), float(low), float(high))


class _Coefficients(NamedTuple):
    """Ceilings, gaps and exponents of fitted curves, each `(B,)`."""

    ceiling: Floats
    gap: Floats
    exponent: Floats

    def predict(self, sizes: Floats) -> Floats:
        """Score of each curve at each size, `(B, sizes)`."""
        exponents = -self.exponent[:, None]
        distances = self.gap[:, None] * sizes**exponents
        return self.ceiling[:, None] - distances


def fit_learning_curve(sizes: ArrayLike, scores: ArrayLike, errors: ArrayLike | None = None) -> LearningCurve:
    """Fit a learning curve by weighted least squares.

    For each exponent of a grid, the best ceiling and gap have a closed form. The exponent with the smallest
    error is taken.

    Args:
        sizes: (m,) amounts of training data, > 0, at least three different ones.
        scores: (m,).
        errors: (m,) standard errors, > 0. None: all equal.

    Raises:
        DatasetError: if there are fewer than three sizes, or if a number is not positive and finite.

    Source:
        The inverse power law of Figueroa et al. 2012.

    Example:
        >>> n = np.array([50, 100, 200, 400])
        >>> curve = fit_learning_curve(n, 0.9 - 0.8 * n ** -0.5)
        >>> round(curve.ceiling, 3), round(curve.gap, 3), round(curve.exponent, 3)
        (0.9, 0.8, 0.5)
    """
    n = np.asarray(sizes, dtype=np.float64)
    s = np.asarray(scores, dtype=np.float64)
    e = np.ones(len(n)) if errors is None else np.asarray(errors, dtype=np.float64)
    if not _is_enough_to_fit(n, s, e):
        raise DatasetError(
            "A learning curve needs three sizes or more, with finite scores and positive errors. "
            f"Received {n.tolist()}, {s.tolist()}."
        )
    fit = _fit_curves(n, s[None], e)
    return LearningCurve(
        ceiling=float(fit.ceiling[0]),
        gap=float(fit.gap[0]),
        exponent=float(fit.exponent[0]),
        largest=float(n.max()),
    )


def outlook(
    sizes: ArrayLike, scores: ArrayLike, draws: ArrayLike, *, factor: float = 2.0, n_groups: int | None = None
) -> Outlook:
    """Gain that `factor` times the largest size would bring, with a 95 % interval.

    The interval comes from curves that are fitted to every resample. It shows the uncertainty of the scores,
    not of the law: beyond about four times the data, the law itself is a guess.

    Args:
        sizes: (m,) amounts of training data, > 0, at least three different ones.
        scores: (m,).
        draws: (B, m) the scores in B resamples. B = 0: no interval.
        factor: factor on the largest size.
        n_groups: number of groups that were resampled. Few groups widen the interval, as Student's t does.
            None: many groups.

    Raises:
        DatasetError: as in `fit_learning_curve`.

    Example:
        >>> n, rng = np.array([50, 100, 200, 400]), np.random.default_rng(0)
        >>> s = 0.9 - 0.8 * n ** -0.5
        >>> result = outlook(n, s, s + 0.003 * rng.normal(size=(500, 4)))
        >>> round(result.gain, 3), result.low < result.gain < result.high
        (0.012, True)
    """
    n = np.asarray(sizes, dtype=np.float64)
    resampled = np.asarray(draws, dtype=np.float64)
    is_finite = np.isfinite(resampled).all(axis=1)
    resampled = resampled[is_finite]
    errors = _errors_of_sizes(resampled)
    curve = fit_learning_curve(n, scores, errors)
    largest = n.max()
    target = factor * largest
    path_sizes = np.geomspace(n.min(), target, PATH_POINTS)
    all_sizes = np.append(path_sizes, [largest, target])
    fits = _fit_curves(n, resampled, errors)
    predictions = fits.predict(all_sizes)
    at_largest = predictions[:, -2]
    at_target = predictions[:, -1]
    low, high = _interval_ends(predictions[:, :-2], n_groups)
    values = curve.predict(path_sizes)
    points = np.stack([path_sizes, values, low, high], axis=-1)
    gain = curve.predict(factor * curve.largest) - curve.predict(curve.largest)
    gain_low, gain_high = _interval_ends(at_target - at_largest, n_groups)
    return Outlook(
        curve=curve,
        factor=factor,
        gain=float(gain),
        low=float(gain_low),
        high=float(gain_high),
        path=tuple(PathPoint(*point) for point in points.tolist()),
    )


def curve_scores(
    y: Labels,
    predictions: SizePredictions,
    classes: Sequence[str],
    groups: Groups | None = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    multilabel: bool = False,
) -> CurveScores:
    """Scores of predictions from members with growing amounts of training data, also in resamples.

    All predictions are of the same clips. A resample draws groups, once for all sizes, and repeats. A repeat
    is one draw of the training data, in which smaller sizes are parts of larger ones. Repeats that are drawn
    from R repeats vary less than new repeats would. So their part of a deviation is multiplied by
    √(R / (R - 1)).

    Args:
        y: (n,) labels, or an indicator matrix (n, K).
        predictions: for each size its repeats, each (n, K) probabilities. All sizes have R repeats, or one.
        classes: K names.
        groups: (n,), or None: every clip is its own group.
        n_resamples: number of resamples; 0 for none.
        seed: seed of the draws.
        multilabel: whether the labels are sets.

    Raises:
        DatasetError: if the shapes differ.
    """
    target = encode_labels(np.asarray(y), tuple(classes), multilabel=multilabel)
    _require_shape(predictions, (len(target), len(classes)))
    names = MULTI_LABEL if target.ndim == 2 else SINGLE_LABEL
    scores_of_sizes = _score_repeats(target, predictions, names, None)
    values = np.array([scores.mean(axis=0) for scores in scores_of_sizes])
    codes, n_groups = group_codes(groups, len(target))
    n_fits = sum(len(repeats) for repeats in predictions)
    n_elements = len(target) * len(classes)
    affordable = MAX_RESAMPLED // (n_elements * n_fits)
    n_resamples = min(n_resamples, max(MIN_RESAMPLES, affordable))
    if n_groups < 2 or not n_resamples:
        return CurveScores(names, values, np.zeros((0, *values.shape)), n_groups)
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK_ELEMENTS // n_elements)
    blocks = []
    for weights in group_draws(codes, n_groups, n_resamples, rng, rows):
        block = _score_repeats(target, predictions, names, weights)
        blocks.append(block)
    resampled = [np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True)]
    draws_of_sizes = _draw_repeats(resampled, rng)
    draws = np.stack(draws_of_sizes, axis=1)
    return CurveScores(names, values, draws, n_groups)


def _point_to_json(point: PathPoint) -> dict[str, float | None]:
    return {name: or_none(number) for name, number in point._asdict().items()}


def _point_from_json(content: JsonObject) -> PathPoint:
    return PathPoint(*(or_nan(content[name]) for name in PathPoint._fields))


def _is_enough_to_fit(sizes: Floats, scores: Floats, errors: Floats) -> bool:
    """Whether there are three different positive sizes, with finite scores and positive errors."""
    if sizes.shape != scores.shape or errors.shape != scores.shape:
        return False
    if len(np.unique(sizes)) < LEAST_SIZES:
        return False
    is_positive = (sizes > 0).all() and (errors > 0).all()
    is_finite = np.isfinite(scores).all()
    return bool(is_positive and is_finite)


def _require_shape(predictions: SizePredictions, shape: tuple[int, int]) -> None:
    """Raise DatasetError if one of the predictions has another shape."""
    for repeats in predictions:
        for probabilities in repeats:
            if probabilities.shape != shape:
                raise DatasetError(
                    f"Every prediction must have one row per clip and one column per class {shape}. "
                    f"Received {probabilities.shape}."
                )


def _score_repeats(
    target: Target,
    predictions: SizePredictions,
    names: tuple[str, ...],
    weights: NDArray[np.floating] | None,
) -> list[Floats]:
    """Scores of each size, `(repeats, scores)`; with weights `(B, n)` they are `(repeats, B, scores)`."""

    def score_repeat(probabilities: Probabilities) -> Floats:
        table = all_metrics(target, probabilities, weights).scores
        return np.stack([table[name] for name in names], axis=-1)

    return [np.array([score_repeat(repeat) for repeat in repeats]) for repeats in predictions]


def _draw_repeats(scores_of_sizes: Sequence[Floats], rng: np.random.Generator) -> list[Floats]:
    """Mean scores of each size over drawn repeats, `(B, scores)`, from scores `(repeats, B, scores)`.

    All sizes use the same draws of repeats.
    """
    n_repeats = max(len(scores) for scores in scores_of_sizes)
    n_resamples = scores_of_sizes[0].shape[1]
    drawn = rng.integers(n_repeats, size=(n_repeats, n_resamples))
    stretch = np.sqrt(n_repeats / (n_repeats - 1)) if n_repeats > 1 else 0.0
    means = []
    for scores in scores_of_sizes:
        mean = scores.mean(axis=0)
        if len(scores) > 1:
            mean_of_drawn = scores[drawn, np.arange(n_resamples)].mean(axis=0)
            mean = mean + stretch * (mean_of_drawn - mean)
        means.append(mean)
    return means


def _fit_curves(sizes: Floats, scores: Floats, errors: Floats) -> _Coefficients:
    """Coefficients of the best curve for each row of scores `(B, m)`: least squares over the exponents."""
    precisions = errors**-2
    weights = precisions / np.sum(precisions)
    powers = sizes ** -EXPONENTS[:, None]
    mean_powers = powers @ weights
    mean_scores = scores @ weights
    x = powers - mean_powers[:, None]
    s = scores - mean_scores[:, None]
    variance_of_x = x**2 @ weights
    variance_of_s = s**2 @ weights
    covariances = (s * weights) @ x.T
    slopes = covariances / variance_of_x  # (B, exponents)
    explained = slopes**2 * variance_of_x
    residuals = variance_of_s[:, None] - explained
    best = residuals.argmin(axis=1)
    slope = slopes[np.arange(len(scores)), best]
    return _Coefficients(
        ceiling=mean_scores - slope * mean_powers[best],
        gap=-slope,
        exponent=EXPONENTS[best],
    )


def _errors_of_sizes(draws: Floats) -> Floats:
    """Standard error of each size that the other sizes do not share, `(m,)`.

    An error that all sizes share moves the level of the curve, but not its slope. The errors follow from
    `var(d_j - d_k) = e_j² + e_k²` for every pair of sizes, whose least-squares solution has a closed form. No
    error is smaller than a tenth of the largest.
    """
    m = draws.shape[1]
    if len(draws) < 2 or m < LEAST_SIZES:
        return np.ones(m)
    covariance = np.cov(draws.T)
    variances = np.diag(covariance)
    variance_of_differences = variances[:, None] + variances - 2 * covariance
    rows = variance_of_differences.sum(axis=1)
    shared = rows.sum() / (2 * (m - 1))
    squares = (rows - shared) / (m - 2)
    least_square = max(0.01 * squares.max(), 0.0)
    errors = np.sqrt(np.maximum(squares, least_square))
    return np.asarray(np.maximum(errors, 1e-9))


def _interval_ends(draws: Floats, n_groups: int | None) -> Floats:
    """Low and high ends of 95 % intervals over the first axis, `(2, …)`, with the tails of Student's t.

    Args:
        draws: `(B, …)`.
        n_groups: number of groups; the degrees of freedom are one less. None: the normal distribution.
    """
    if not len(draws):
        return np.full((2, *draws.shape[1:]), np.nan)
    if n_groups is None:
        tail = ndtri(0.975)
    else:
        expansion = np.sqrt(n_groups / (n_groups - 1))
        tail = stdtrit(n_groups - 1, 0.975) * expansion
    shares = ndtr([-tail, tail])
    return np.asarray(np.quantile(draws, shares, axis=0))
