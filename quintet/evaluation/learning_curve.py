"""A learning curve: what more data would bring. The score of models trained on n clips follows s(n) = a - b · n⁻ᶜ: a ceiling, neared as a power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import DatasetError

EXPONENTS = np.linspace(0.1, 1.5, 141)  # reported for learning curves: 0.1 to 1 (Hestness et al. 2017); 1.5 leaves room


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

    def predict(self, sizes: ArrayLike) -> NDArray[np.float64]:
        """The expected score at these sizes."""
        return np.asarray(self.ceiling - self.gap * np.asarray(sizes, dtype=np.float64) ** -self.exponent)


@dataclass(frozen=True)
class Outlook:
    """The curve, and what `factor` times the data would bring: the gain over the largest size measured, with its interval."""

    curve: LearningCurve
    factor: float
    gain: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        return {**vars(self.curve), "factor": self.factor, "gain": {"value": self.gain, "low": self.low, "high": self.high}}


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
    if n.shape != s.shape or e.shape != s.shape or len(np.unique(n)) < 3 or not (np.isfinite(s).all() and (n > 0).all() and (e > 0).all()):
        raise DatasetError(
            f"A learning curve needs three sizes or more, with finite scores and positive errors. Received {n.tolist()}, {s.tolist()}."
        )
    left, ceilings, gaps = _lines(n ** -EXPONENTS[:, None], s, e)
    best = int(np.argmin(left))
    return LearningCurve(float(ceilings[best]), float(gaps[best]), float(EXPONENTS[best]), float(n.max()))


def outlook(sizes: ArrayLike, scores: ArrayLike, errors: ArrayLike, *, factor: float = 2.0, n_resamples: int = 500, seed: int = 0) -> Outlook:
    """What `factor` times the largest size would bring, with a 95 % interval from curves refitted to scores moved by their standard errors.

    It is the uncertainty of the scores, not of the law: beyond some four times the data the law itself is a guess.
    """
    n, s, e = (np.asarray(v, dtype=np.float64) for v in (sizes, scores, errors))
    curve = fit_learning_curve(n, s, e)
    rng = np.random.default_rng(seed)
    gains = [_gain(fit_learning_curve(n, s + e * rng.standard_normal(len(s)), e), factor) for _ in range(n_resamples)]
    low, high = np.quantile(gains, [0.025, 0.975])
    return Outlook(curve, factor, _gain(curve, factor), float(low), float(high))


def _gain(curve: LearningCurve, factor: float) -> float:
    return float(curve.predict(factor * curve.largest) - curve.predict(curve.largest))


def _lines(x: NDArray[np.float64], s: NDArray[np.float64], e: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """For each row of x: weighted squares left, a and b of s = a - b · x."""
    w = e**-2 / np.sum(e**-2)
    x_off, s_off = x - (x @ w)[:, None], s - s @ w
    slope = (x_off * s_off) @ w / (x_off**2 @ w)
    return (s_off - slope[:, None] * x_off) ** 2 @ w, s @ w - slope * (x @ w), -slope
