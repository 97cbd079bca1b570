"""What fusion learns from out-of-fold predictions: convex weights, a greedy selection, slopes and biases of a log-linear pool. No chance involved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

FLOOR = 1e-6  # the least probability whose logarithm is taken: a forest's plain zero is a doubt, not a veto
CERTAINTY = 3.0  # standard errors by which a member must know more than the class frequencies, to take part
Array = NDArray[np.float64]


def true_probabilities(stack: NDArray[Any], target: NDArray[Any]) -> Array:
    """(M, N) the probability each member gave to what was the case, at least `FLOOR`.

    Args:
        stack: (M, n, K).
        target: (n,) int codes: N = n, p[y]. Or (n, K) bool: N = n·K, p or 1 - p.
    """
    sets = target.ndim == 2
    said = (
        np.where(target, stack, 1 - stack).reshape(len(stack), -1)
        if sets
        else stack[:, np.arange(len(target)), target]
    )
    return np.maximum(said.astype(np.float64), FLOOR)


def convex_weights(likelihood: Array) -> Array:
    """The weights w ≥ 0, Σ w = 1 with the least log loss -mean ln(Σ_m w_m · L_m).

    Args:
        likelihood: (M, N), from `true_probabilities`.

    Returns:
        (M,), sum 1. Convex: the same wherever one starts, within 1e-6 of the least loss.

    Example:
        >>> convex_weights(np.array([[0.9, 0.8, 0.9], [0.3, 0.2, 0.4]])).tolist()
        [1.0, 0.0]
    """
    if len(likelihood) == 1:
        return np.ones(1)
    n_members = len(likelihood)
    found = optimize.minimize(
        _mixture_loss(likelihood),
        np.full(n_members, 1 / n_members),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * n_members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda _: np.ones(n_members)},
        options={"maxiter": 300, "ftol": 1e-12},
    ).x
    weights = np.where(found < 1e-6, 0.0, found)
    return _finished(likelihood, weights / weights.sum())


def greedy_weights(likelihood: Array, *, n_rounds: int = 50) -> Array:
    """The weights of a forward selection with replacement: in each round the member that lowers the log loss most joins, once more perhaps.

    The bag of the best round is kept; a member's weight is its share of it.

    Source: Caruana et al. 2004, "Ensemble selection from libraries of models" (log loss; started from the best single member).

    Example:
        >>> greedy_weights(np.array([[0.9, 0.1], [0.1, 0.9]])).tolist()
        [0.5, 0.5]
    """
    total, counts = np.zeros(likelihood.shape[1]), np.zeros(len(likelihood))
    best, best_loss = counts, np.inf
    for size in range(1, n_rounds + 1):
        losses = [-np.mean(np.log((total + row) / size)) for row in likelihood]
        chosen = int(np.argmin(losses))
        total += likelihood[chosen]
        counts[chosen] += 1
        if losses[chosen] < best_loss - 1e-9:
            best, best_loss = counts / size, losses[chosen]
    return best


def informative_members(likelihood: Array, constant: Array, codes: NDArray[Any]) -> NDArray[np.bool_]:
    """(M,) bool: who knows more than the class frequencies; everybody, where nobody does.

    Beside overconfident members even noise lowers the log loss, because it spreads their probability. A member must therefore be worth something
    beside a constant opinion c: mean(L / c) - 1, the gain of mixing the first of it into c, must exceed `CERTAINTY` standard errors, by group.

    Args:
        likelihood: (M, N).
        constant: (N,), from `constant_prediction`.
        codes: (n,) the number of each clip's group; N is a multiple of n.
    """
    gain = (likelihood / constant - 1).reshape(len(likelihood), len(codes), -1).mean(axis=2)
    n_groups = int(codes.max()) + 1
    centred = gain - gain.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(codes, row, n_groups) for row in centred])
    error = np.sqrt(n_groups / max(n_groups - 1, 1) * np.sum(sums**2, axis=1)) / len(codes)
    known = gain.mean(axis=1) > CERTAINTY * error
    return known if known.any() else np.ones(len(likelihood), dtype=bool)


def constant_prediction(target: NDArray[Any], n_classes: int) -> Array:
    """(N,) what the class frequencies (add-one) say of each outcome, in the order of `true_probabilities`."""
    if target.ndim == 2:
        share = (target.sum(axis=0) + 1) / (len(target) + 2)
        return np.asarray(np.where(target, share, 1 - share).ravel())
    counts = np.bincount(target, minlength=n_classes) + 1.0
    return np.asarray((counts / counts.sum())[target])


def log_linear_pool(stack: NDArray[Any], target: NDArray[Any]) -> tuple[Array, Array]:
    """Slopes a (M,) and biases b (K,) of softmax(Σ_m a_m · ln p_m + b), or of the logistic function of log-odds for label sets.

    Multinomial logistic regression on log-probabilities with M + K parameters; log loss + (|a - 1/M|² + |b|²) / 2n: without data, the geometric mean.

    Args:
        stack: (M, n, K).
        target: (n,) int codes or (n, K) bool.
    """
    evidence = log_evidence(stack.astype(np.float64), multilabel=target.ndim == 2)
    n_members, n, n_classes = evidence.shape
    hits = (
        target.astype(np.float64)
        if target.ndim == 2
        else (target[:, None] == np.arange(n_classes)).astype(np.float64)
    )
    start = np.concatenate([np.full(n_members, 1 / n_members), np.zeros(n_classes)])

    def loss(parameters: Array) -> tuple[float, Array]:
        z = np.tensordot(parameters[:n_members], evidence, axes=1) + parameters[n_members:]
        value, slope = (_logistic if target.ndim == 2 else _softmax)(z, hits)
        off = parameters - start
        gradient = np.concatenate([np.tensordot(evidence, slope, axes=([1, 2], [0, 1])), slope.sum(axis=0)])
        return value / n + off @ off / (2 * n), (gradient + off) / n

    found = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-8}
    ).x
    return found[:n_members], found[n_members:]


def log_evidence(p: NDArray[Any], *, multilabel: bool) -> NDArray[Any]:
    """ln p, or the log-odds ln p - ln(1 - p) for label sets, with p kept in [`FLOOR`, 1 - `FLOOR`]."""
    p = np.clip(p, FLOOR, 1 - FLOOR)
    return np.asarray(np.log(p) - np.log1p(-p) if multilabel else np.log(p))


def _softmax(z: Array, hits: Array) -> tuple[float, Array]:
    z = z - z.max(axis=1, keepdims=True)
    normal = np.exp(z).sum(axis=1, keepdims=True)
    return float(np.sum(hits * (np.log(normal) - z))), np.exp(z) / normal - hits


def _logistic(z: Array, hits: Array) -> tuple[float, Array]:
    n_classes = z.shape[1]
    return float(np.sum(np.logaddexp(0, z) - hits * z)) / n_classes, (1 / (1 + np.exp(-z)) - hits) / n_classes


def _mixture_loss(likelihood: Array) -> Callable[[Array], tuple[float, Array]]:
    def loss(weights: Array) -> tuple[float, Array]:
        mixture = np.maximum(weights @ likelihood, FLOOR / 10)
        return float(-np.mean(np.log(mixture))), -(likelihood @ (1 / mixture)) / likelihood.shape[1]

    return loss


def _finished(likelihood: Array, weights: Array, *, gap: float = 1e-6, n_rounds: int = 2000) -> Array:
    """Expectation-maximisation from where the solver stopped, until f(w) - min f ≤ max_m mean(L_m / mixture) - 1 ≤ `gap`."""
    gains = -_mixture_loss(likelihood)(weights)[1]
    if gains.max() - 1 <= gap:
        return weights
    weights = (weights + 1e-3 / len(weights)) / (1 + 1e-3)
    for _ in range(n_rounds):
        gains = -_mixture_loss(likelihood)(weights)[1]
        if gains.max() - 1 <= gap:
            break
        weights = weights * gains
    weights = np.where(weights < 1e-6, 0.0, weights)
    return np.asarray(weights / weights.sum())
