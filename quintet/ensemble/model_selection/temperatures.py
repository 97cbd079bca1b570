"""Temperatures of members: each member is calibrated before it is joined with the others.

The probabilities of a strongly penalised member are right in their order and far too close to each other, so
a mean would hardly use them. Those of a forest are too close, too, and an overconfident member decides every
mean. The temperature of a member is learnt from its out-of-fold predictions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.ensemble.array_types import Float, Floats, Probabilities, Target
from quintet.ensemble.fusion_weights import evidence_to_probabilities, log_evidence
from quintet.evaluation.losses import clip_losses

SPREAD = 3.0
"""Standard deviation of the logarithm of a temperature that is expected before any clip is seen."""

LOG_TEMPERATURES = (-6.0, 4.0)
MOST_CLIPS = 20_000
"""Clips from which a temperature is learnt. More change it by less than a thousandth."""


def fit_temperature(probabilities: Probabilities, target: Target, n_units: float) -> float:
    """Temperature T of one member: `p^(1 / T)`, normalised, has the least log loss.

    The logarithm of T is expected to be 0 ± `SPREAD`: with few clips T stays near 1, and with many the clips
    decide. It minimises `u · loss(T) + (ln T / SPREAD)² / 2`.

    Args:
        probabilities: of clips that the member has not seen, `(n, K)`.
        target: class codes `(n,)` or an indicator matrix `(n, K)`.
        n_units: u, the number of independent units among the clips.

    Returns:
        T; 1 without clips.

    Example:
        >>> timid = np.full((40, 2), [0.55, 0.45])
        >>> target = np.repeat([0, 1], [36, 4])
        >>> [round(fit_temperature(timid, target, u), 2) for u in (1, 40)]
        [0.22, 0.09]
    """
    if not len(target):
        return 1.0
    step = -(-len(target) // MOST_CLIPS)
    target = target[::step]
    multilabel = target.ndim == 2
    evidence = log_evidence(np.asarray(probabilities[::step], dtype=np.float64), multilabel=multilabel)

    def loss(log_temperature: float) -> float:
        calibrated = evidence_to_probabilities(evidence / np.exp(log_temperature), multilabel=multilabel)
        penalty = (log_temperature / SPREAD) ** 2 / 2
        return float(n_units * clip_losses(target, calibrated).mean() + penalty)

    from scipy import optimize

    options = {"xatol": 1e-4}
    result = optimize.minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded", options=options)
    return float(np.exp(result.x))


def apply_temperature(
    probabilities: NDArray[Float], temperature: float, *, multilabel: bool
) -> NDArray[Float]:
    """Probabilities of a member at a temperature, in their dtype.

    Args:
        probabilities: `(n, K)`; they are not changed.
        temperature: T > 0. T < 1 makes them surer. 1 leaves them as they are.
        multilabel: whether clips carry label sets. If so, the log-odds are divided by T.

    Example:
        >>> apply_temperature(np.array([[0.6, 0.4]]), 0.5, multilabel=False).round(3).tolist()  # .36 : .16
        [[0.692, 0.308]]
    """
    if temperature == 1:
        return probabilities
    evidence = log_evidence(probabilities, multilabel=multilabel)
    scaled = np.asarray(evidence / temperature, dtype=evidence.dtype)
    return evidence_to_probabilities(scaled, multilabel=multilabel)


def apply_temperatures(stack: Probabilities, temperatures: Floats, *, multilabel: bool) -> Probabilities:
    """`apply_temperature` for every member of a stack `(M, n, K)`."""
    pairs = zip(stack, temperatures, strict=True)
    return np.stack([apply_temperature(p, float(t), multilabel=multilabel) for p, t in pairs])
