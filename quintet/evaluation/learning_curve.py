"""A learning curve: what more data would bring. The score of models trained on n clips follows s(n) = a - b · n⁻ᶜ: a ceiling, neared as a power.

Scores at several n are judged on the same clips, so they stand and fall together: a resample draws groups once for all sizes, and the curve is
refitted to it. What is uncertain in the gain is thus the difference between sizes, not the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from quintet.errors import DatasetError
from quintet.evaluation.intervals import group_codes, group_draws
from quintet.evaluation.metrics import encode_labels, multi_label_metrics, single_label_metrics
from quintet.evaluation.scores import Estimate, or_nan
from quintet.files.json_types import JsonObject

Array = NDArray[np.float64]
EXPONENTS = np.linspace(
    0.1, 1.5, 141
)  # reported for learning curves: 0.1 to 1 (Hestness et al. 2017); 1.5 leaves room
SINGLE_LABEL = ("accuracy", "macro_auc", "log_loss")
MULTI_LABEL = ("macro_pr_auc", "macro_auc", "log_loss")
MAX_RESAMPLED = (
    300_000_000  # clips · classes · fits · resamples; above it fewer resamples are drawn, but at least:
)
MIN_RESAMPLES = 100
BLOCK_ELEMENTS = 4_000_000
PATH_POINTS = 24


@dataclass(frozen=True)
class LearningCurve:
    """`ceiling` a, `gap` b (negative where the score falls, as log loss does), `exponent` c, and `largest`: the most data that was measured.

    Example:
        >>> round(float(LearningCurve(0.9, 0.8, 0.5, 100).predict(400)), 3)  # 0.9 - 0.8 / 20
        0.86
    """

    ceiling: float
    gap: float
    exponent: float
    largest: float

    def predict(self, sizes: ArrayLike) -> Array:
        """The expected score at these sizes."""
        return np.asarray(self.ceiling - self.gap * np.asarray(sizes, dtype=np.float64) ** -self.exponent)


class PathPoint(NamedTuple):
    """The curve at one size, with its interval."""

    size: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outlook:
    """The curve, and what `factor` times the data would bring: the gain over the largest size measured, with its interval (NaN: none).

    `path`: the curve from the smallest size to `factor` times the largest.
    """

    curve: LearningCurve
    factor: float
    gain: float
    low: float
    high: float
    path: tuple[PathPoint, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """`ceiling, gap, exponent, largest, factor, gain {value, low, high}, path [{size, value, low, high}]`; None where there is no number."""
        path = [{name: _number(value) for name, value in point._asdict().items()} for point in self.path]
        gain = {"value": self.gain, "low": _number(self.low), "high": _number(self.high)}
        return {**vars(self.curve), "factor": self.factor, "gain": gain, "path": path}

    @classmethod
    def from_json(cls, content: JsonObject) -> Outlook:
        """The outlook that `to_json` wrote."""
        curve = LearningCurve(*(content[name] for name in ("ceiling", "gap", "exponent", "largest")))
        gain = Estimate.from_json(content["gain"])
        path = tuple(
            PathPoint(*(or_nan(point[name]) for name in PathPoint._fields)) for point in content["path"]
        )
        return cls(curve, content["factor"], gain.value, gain.low, gain.high, path)


class CurveScores(NamedTuple):
    """`values` (sizes, scores); `draws` (resamples, sizes, scores), one row per resample of groups and of repeats; `names` of the scores."""

    names: tuple[str, ...]
    values: Array
    draws: Array
    n_groups: int

    def estimate(self, size: int, name: str) -> Estimate:
        """One score at one size, with its 95 % interval."""
        column = self.names.index(name)
        low, high = _ends(self.draws[:, size, column], self.n_groups)
        return Estimate(float(self.values[size, column]), float(low), float(high))


def fit_learning_curve(sizes: ArrayLike, scores: ArrayLike, errors: ArrayLike | None = None) -> LearningCurve:
    """The weighted least-squares curve: for each exponent of a grid the best a and b in closed form, and the best of these.

    Args:
        sizes: (m,) amounts of training data, m ≥ 3 distinct, > 0.
        scores: (m,).
        errors: (m,) standard errors, > 0; None: all alike.

    Raises:
        DatasetError: fewer than three sizes, or what is not positive and finite.

    Source: the inverse power law of Figueroa et al. 2012.

    Example:
        >>> n = np.array([50, 100, 200, 400])
        >>> curve = fit_learning_curve(n, 0.9 - 0.8 * n ** -0.5)
        >>> round(curve.ceiling, 3), round(curve.gap, 3), round(curve.exponent, 3)
        (0.9, 0.8, 0.5)
    """
    n, s = np.asarray(sizes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    e = np.ones(len(n)) if errors is None else np.asarray(errors, dtype=np.float64)
    if (
        n.shape != s.shape
        or e.shape != s.shape
        or len(np.unique(n)) < 3
        or not (np.isfinite(s).all() and (n > 0).all() and (e > 0).all())
    ):
        raise DatasetError(
            f"A learning curve needs three sizes or more, with finite scores and positive errors. Received {n.tolist()}, {s.tolist()}."
        )
    ceiling, gap, exponent = _fitted(n, s[None], e)
    return LearningCurve(float(ceiling[0]), float(gap[0]), float(exponent[0]), float(n.max()))


def outlook(
    sizes: ArrayLike, scores: ArrayLike, draws: ArrayLike, *, factor: float = 2.0, n_groups: int | None = None
) -> Outlook:
    """What `factor` times the largest size would bring, with a 95 % interval from curves refitted to every resample.

    It is the uncertainty of the scores, not of the law: beyond some four times the data the law itself is a guess.

    Args:
        sizes: (m,) amounts of training data, m ≥ 3 distinct, > 0.
        scores: (m,).
        draws: (B, m) the scores in B resamples; B = 0: no interval.
        n_groups: how many groups were resampled: few widen the interval, as Student's t does; None: many.

    Raises:
        DatasetError: as `fit_learning_curve`.

    Example:
        >>> n, rng = np.array([50, 100, 200, 400]), np.random.default_rng(0)
        >>> s = 0.9 - 0.8 * n ** -0.5
        >>> found = outlook(n, s, s + 0.003 * rng.normal(size=(500, 4)))
        >>> round(found.gain, 3), found.low < found.gain < found.high
        (0.012, True)
    """
    n, s, drawn = (np.asarray(v, dtype=np.float64) for v in (sizes, scores, draws))
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    errors = _own_errors(drawn)
    curve = fit_learning_curve(n, s, errors)
    grid = np.geomspace(n.min(), factor * n.max(), PATH_POINTS)
    ahead = np.append(grid, [n.max(), factor * n.max()])
    ceiling, gap, exponent = _fitted(n, drawn, errors)
    moved = ceiling[:, None] - gap[:, None] * ahead ** -exponent[:, None]
    low, high = _ends(moved[:, :-2], n_groups)
    path = tuple(
        PathPoint(*map(float, point)) for point in zip(grid, curve.predict(grid), low, high, strict=True)
    )
    gain = float(curve.predict(factor * curve.largest) - curve.predict(curve.largest))
    gain_low, gain_high = _ends(moved[:, -1] - moved[:, -2], n_groups)
    return Outlook(curve, factor, gain, float(gain_low), float(gain_high), path)


def curve_scores(
    y: NDArray[Any],
    opinions: Sequence[Sequence[NDArray[Any]]],
    classes: Sequence[str],
    groups: NDArray[Any] | None = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    multilabel: bool = False,
) -> CurveScores:
    """The scores of models trained on more and more data, all judged on the same clips, and the same in resamples.

    A resample draws groups, once for all sizes, and repeats: each repeat is one draw of the training data, smaller sizes within larger ones. As R
    repeats of R vary less than R new ones would, their part of a deviation is stretched by √(R / (R - 1)).

    Args:
        y: (n,) labels, or an indicator matrix (n, K).
        opinions: for each size its repeats, each (n, K) probabilities; all sizes have R repeats, or one.
        classes: K names.
        groups: (n,) or None.
        n_resamples: 0 for none.

    Raises:
        DatasetError: shapes that differ.
    """
    target = encode_labels(np.asarray(y), tuple(classes), multilabel=multilabel)
    expected = (len(target), len(classes))
    if stray := [p.shape for size in opinions for p in size if p.shape != expected]:
        raise DatasetError(
            f"Every opinion must have one row per clip and one column per class {expected}. Received {stray[0]}."
        )
    names, metrics = (
        (MULTI_LABEL, multi_label_metrics) if target.ndim == 2 else (SINGLE_LABEL, single_label_metrics)
    )

    def judged(weights: Array | None) -> list[Array]:
        """For each size (repeats, scores), or (repeats, B, scores)."""
        tables = [[metrics(target, p, weights).scores for p in size] for size in opinions]
        return [
            np.array([np.stack([table[name] for name in names], axis=-1) for table in size])
            for size in tables
        ]

    values = np.array([size.mean(axis=0) for size in judged(None)])
    codes, n_groups = group_codes(groups, len(target))
    fits = sum(len(size) for size in opinions)
    n_resamples = min(n_resamples, max(MIN_RESAMPLES, MAX_RESAMPLED // (len(target) * len(classes) * fits)))
    if n_groups < 2 or not n_resamples:
        return CurveScores(names, values, np.zeros((0, *values.shape)), n_groups)
    rng, rows = np.random.default_rng(seed), max(1, BLOCK_ELEMENTS // (len(target) * len(classes)))
    blocks = [judged(weights) for weights in group_draws(codes, n_groups, n_resamples, rng, rows)]
    by_size = [np.concatenate([block[k] for block in blocks], axis=1) for k in range(len(opinions))]
    return CurveScores(names, values, np.stack(_with_repeats(by_size, rng), axis=1), n_groups)


def _with_repeats(by_size: Sequence[Array], rng: np.random.Generator) -> list[Array]:
    """(repeats, B, scores) of each size → (B, scores): the mean over repeats that were drawn, the same ones for all sizes."""
    repeats, n = max(len(size) for size in by_size), by_size[0].shape[1]
    drawn = rng.integers(repeats, size=(repeats, n))
    stretch = np.sqrt(repeats / (repeats - 1)) if repeats > 1 else 0.0
    means = [size.mean(axis=0) for size in by_size]
    return [
        mean if len(size) == 1 else mean + stretch * (size[drawn, np.arange(n)].mean(axis=0) - mean)
        for size, mean in zip(by_size, means, strict=True)
    ]


def _fitted(n: Array, scores: Array, errors: Array) -> tuple[Array, Array, Array]:
    """Ceiling, gap and exponent (B,) of each row of scores (B, m): the exponent of the grid that leaves least."""
    w = errors**-2 / np.sum(errors**-2)
    x = n ** -EXPONENTS[:, None]
    x_off, s_off = x - (x @ w)[:, None], scores - (scores @ w)[:, None]
    slope = (s_off * w) @ x_off.T / (x_off**2 @ w)  # (B, exponents)
    left = (s_off**2 @ w)[:, None] - slope**2 * (x_off**2 @ w)
    rows, best = np.arange(len(scores)), left.argmin(axis=1)
    b = slope[rows, best]
    return scores @ w - b * (x @ w)[best], -b, EXPONENTS[best]


def _own_errors(draws: Array) -> Array:
    """(m,) the standard error of each size that the others do not share: what moves all of them moves the level and tells nothing of the slope.

    `var(d_j - d_k) = e_j² + e_k²` for every pair; its least-squares solution is closed. None is taken for less than a tenth of the largest.
    """
    m = draws.shape[1]
    if len(draws) < 2 or m < 3:
        return np.ones(m)
    covariance = np.cov(draws.T)
    rows = (np.diag(covariance)[:, None] + np.diag(covariance) - 2 * covariance).sum(axis=1)
    squares = (rows - rows.sum() / (2 * (m - 1))) / (m - 2)
    errors = np.sqrt(np.maximum(squares, max(0.01 * squares.max(), 0.0)))
    return np.asarray(np.maximum(errors, 1e-9))


def _ends(draws: Array, n_groups: int | None) -> NDArray[np.float64]:
    """(2, …) the 2.5 % and 97.5 % quantiles over the first axis, at the tails of Student's t with n_groups - 1 degrees of freedom."""
    if not len(draws):
        return np.full((2, *draws.shape[1:]), np.nan)
    tail = (
        stats.norm.ppf(0.975)
        if n_groups is None
        else stats.t.ppf(0.975, n_groups - 1) * np.sqrt(n_groups / (n_groups - 1))
    )
    return np.asarray(np.quantile(draws, stats.norm.cdf([-tail, tail]), axis=0))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
