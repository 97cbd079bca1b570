"""Rules of fusion, and weights of the members that are learnt from out-of-fold predictions, without chance.

There are four: convex weights of probabilities, greedy selection, convex weights of log-probabilities, and
slopes and biases of a log-linear pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.ensemble.array_types import Codes, Float, Floats, Probabilities, Target

FLOOR = 1e-6
"""Smallest probability whose logarithm is taken. Without it, one zero of a forest rules a class out."""

CERTAINTY = 3.0
"""Standard errors by which a member must beat the class frequencies. Other members get no weight."""


class Rule(NamedTuple):
    """Row of `RULES`: how members are joined.

    Args:
        description: the formula in words, for tables and pages.
        pool: "linear" (Σ w·p) or "log" (softmax of Σ w·ln p + b).
        learnt: whether the weights w are learnt from labels.
    """

    description: str
    pool: str
    learnt: bool


RULES: dict[str, Rule] = {
    "mean": Rule("the mean of the probabilities: Σ p / M", "linear", False),
    "geometric": Rule("the normalised geometric mean: softmax(Σ ln p / M)", "log", False),
    "weighted": Rule(
        "convex weights with the least out-of-fold log loss; a member may get none", "linear", True
    ),
    "greedy": Rule(
        "forward selection with replacement by out-of-fold log loss (Caruana 2004)", "linear", True
    ),
    "weighted_geometric": Rule(
        "the weighted geometric mean: softmax(Σ w·ln p), convex weights with the least out-of-fold log loss",
        "log",
        True,
    ),
    "stacked": Rule(
        "regularised logistic regression on log-probabilities: softmax(Σ a·ln p + b)", "log", True
    ),
}


def count_parameters(rule: str, n_members: int, n_classes: int) -> int:
    """Number of parameters that a rule learns: free weights, and slopes and biases of `stacked`.

    Args:
        rule: a name of `RULES`.
        n_members: M.
        n_classes: K.

    Example:
        >>> [count_parameters(rule, 4, 10) for rule in RULES]
        [0, 0, 3, 3, 3, 14]
    """
    if not RULES[rule].learnt:
        return 0
    return n_members + n_classes if rule == "stacked" else n_members - 1


def true_probabilities(stack: Probabilities, target: Target) -> Floats:
    """Probability that each member gave to the true outcome, at least `FLOOR`.

    Args:
        stack: probabilities `(M, n, K)`.
        target: class codes `(n,)` or an indicator matrix `(n, K)`.

    Returns:
        Shape `(M, N)`. For class codes, N = n and the entries are p[y]. For an indicator, N = n·K and the
        entries are p where the tag is present and 1 - p where it is absent.
    """
    if target.ndim == 2:
        by_tag = np.where(target, stack, 1 - stack)
        probabilities = by_tag.reshape(len(stack), -1)
    else:
        rows = np.arange(len(target))
        probabilities = stack[:, rows, target]
    return np.maximum(probabilities.astype(np.float64), FLOOR)


def convex_weights(likelihood: Floats) -> Floats:
    """Weights w ≥ 0 with Σ w = 1 that minimise the log loss -mean ln(Σ_m w_m · L_m).

    The problem is convex, so the start does not matter. The loss is within 1e-6 of the minimum.

    Args:
        likelihood: L, shape `(M, N)`, from `true_probabilities`.

    Returns:
        Shape `(M,)`; the sum is 1.

    Example:
        >>> convex_weights(np.array([[0.9, 0.8, 0.9], [0.3, 0.2, 0.4]])).tolist()
        [1.0, 0.0]
    """
    if len(likelihood) == 1:
        return np.ones(1)
    return _polish(likelihood, _least_on_simplex(_mixture_loss(likelihood), len(likelihood)))


def geometric_weights(stack: Probabilities, target: Target) -> Floats:
    """Weights w ≥ 0 with Σ w = 1 that minimise the log loss of softmax(Σ_m w_m · ln p_m).

    For label sets: of the logistic function of Σ_m w_m · log-odds. The problem is convex.

    Args:
        stack: probabilities `(M, n, K)`.
        target: class codes `(n,)` or an indicator matrix `(n, K)`.

    Returns:
        Shape `(M,)`; the sum is 1.

    Example:
        >>> sure, timid = [[0.9, 0.1], [0.1, 0.9]], [[0.6, 0.4], [0.4, 0.6]]
        >>> geometric_weights(np.array([sure, timid]), np.array([0, 1])).round(3).tolist()
        [1.0, 0.0]
    """
    if len(stack) == 1:
        return np.ones(1)
    evidence, hits = _pool_inputs(stack, target)
    loss_and_slope = _logistic_loss if target.ndim == 2 else _softmax_loss

    def loss(weights: Floats) -> tuple[float, Floats]:
        value, slope = loss_and_slope(np.tensordot(weights, evidence, axes=1), hits)
        by_member = np.tensordot(evidence, slope, axes=([1, 2], [0, 1]))
        return value / len(hits), by_member / len(hits)

    return _least_on_simplex(loss, len(stack))


def _least_on_simplex(loss: Callable[[Floats], tuple[float, Floats]], n_members: int) -> Floats:
    """Weights w ≥ 0 with Σ w = 1 and the least loss; `loss` returns the gradient too."""
    from scipy import optimize

    sum_is_one = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda _: np.ones(n_members)}
    solution = optimize.minimize(
        loss,
        np.full(n_members, 1 / n_members),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * n_members,
        constraints=sum_is_one,
        options={"maxiter": 300, "ftol": 1e-12},
    ).x
    weights = np.where(solution < 1e-6, 0.0, solution)
    return np.asarray(weights / weights.sum())


def greedy_weights(likelihood: Floats, *, n_rounds: int = 50) -> Floats:
    """Weights from a forward selection with replacement.

    Each round adds the member that lowers the log loss most; a member can be added again. The selection of
    the best round is kept. The weight of a member is its share of that selection.

    Args:
        likelihood: shape `(M, N)`, from `true_probabilities`.
        n_rounds: the largest size of the selection.

    Returns:
        Shape `(M,)`; the sum is 1.

    Source: Caruana et al. 2004, "Ensemble selection from libraries of models" (log loss; started from the
        best
    single member).

    Example:
        >>> greedy_weights(np.array([[0.9, 0.1], [0.1, 0.9]])).tolist()
        [0.5, 0.5]
    """
    total = np.zeros(likelihood.shape[1])
    counts = np.zeros(len(likelihood))
    best, best_loss = counts, np.inf
    for size in range(1, n_rounds + 1):
        losses = [-np.mean(np.log((total + row) / size)) for row in likelihood]
        chosen = int(np.argmin(losses))
        total += likelihood[chosen]
        counts[chosen] += 1
        if losses[chosen] < best_loss - 1e-9:
            best, best_loss = counts / size, losses[chosen]
    return best


def informative_members(likelihood: Floats, constant: Floats, codes: Codes) -> NDArray[np.bool_]:
    """Members that predict better than the class frequencies; all members if none does.

    If members are overconfident, even noise lowers the log loss, because it spreads their probability.
    Therefore a member must improve a constant prediction c. The gain from mixing the first bit of the member
    into c is mean(L / c) - 1. It must exceed `CERTAINTY` standard errors, by group.

    Args:
        likelihood: L, shape `(M, N)`.
        constant: c, shape `(N,)`, from `constant_prediction`.
        codes: group number of each clip, shape `(n,)`; N is a multiple of n.

    Returns:
        Shape `(M,)`, bool.
    """
    n_members, n_clips = len(likelihood), len(codes)
    n_groups = int(codes.max()) + 1
    by_outcome = likelihood / constant - 1
    gain = by_outcome.reshape(n_members, n_clips, -1).mean(axis=2)
    centred = gain - gain.mean(axis=1, keepdims=True)
    group_sums = np.stack([np.bincount(codes, row, n_groups) for row in centred])
    correction = n_groups / max(n_groups - 1, 1)
    squares = np.sum(group_sums**2, axis=1)
    error = np.sqrt(correction * squares) / n_clips
    is_informative = np.asarray(gain.mean(axis=1) > CERTAINTY * error)
    if is_informative.any():
        return is_informative
    return np.ones(n_members, dtype=bool)


def constant_prediction(target: Target, n_classes: int) -> Floats:
    """Probability of each outcome by the class frequencies (plus one), in the order of `true_probabilities`.

    Args:
        target: class codes `(n,)` or an indicator matrix `(n, K)`.
        n_classes: K.

    Returns:
        Shape `(N,)`.
    """
    if target.ndim == 2:
        n_present, n_clips = target.sum(axis=0), len(target)
        share = (n_present + 1) / (n_clips + 2)
        by_tag = np.where(target, share, 1 - share)
        return np.asarray(by_tag.ravel())
    counts = np.bincount(target, minlength=n_classes) + 1.0
    share = counts / counts.sum()
    return np.asarray(share[target])


def log_linear_pool(stack: Probabilities, target: Target) -> tuple[Floats, Floats]:
    """Slopes a `(M,)` and biases b `(K,)` of softmax(Σ_m a_m · ln p_m + b).

    For label sets: of the logistic function of Σ_m a_m · log-odds + b. The method is multinomial logistic
    regression on log-probabilities with M + K parameters. It minimises log loss + (|a - 1/M|² + |b|²) / 2n,
    so without data the result is the geometric mean.

    Args:
        stack: probabilities `(M, n, K)`.
        target: class codes `(n,)` or an indicator matrix `(n, K)`.
    """
    from scipy import optimize

    evidence, hits = _pool_inputs(stack, target)
    n_members, n, n_classes = evidence.shape
    equal_slopes = np.full(n_members, 1 / n_members)
    start = np.concatenate([equal_slopes, np.zeros(n_classes)])
    loss_and_slope = _logistic_loss if target.ndim == 2 else _softmax_loss

    def loss(parameters: Floats) -> tuple[float, Floats]:
        slopes, biases = parameters[:n_members], parameters[n_members:]
        z = np.tensordot(slopes, evidence, axes=1) + biases
        value, slope = loss_and_slope(z, hits)
        by_member = np.tensordot(evidence, slope, axes=([1, 2], [0, 1]))
        by_class = slope.sum(axis=0)
        gradient = np.concatenate([by_member, by_class])
        offset = parameters - start
        penalty = offset @ offset / (2 * n)
        return value / n + penalty, (gradient + offset) / n

    options = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-8}
    solution = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return solution[:n_members], solution[n_members:]


def _pool_inputs(stack: Probabilities, target: Target) -> tuple[Floats, Floats]:
    """Log evidence of the members `(M, n, K)`, and 1 for what is present, else 0, `(n, K)`."""
    multilabel = target.ndim == 2
    evidence = log_evidence(stack.astype(np.float64), multilabel=multilabel)
    is_hit = target if multilabel else target[:, None] == np.arange(stack.shape[2])
    return evidence, is_hit.astype(np.float64)


def log_evidence(p: NDArray[Float], *, multilabel: bool) -> NDArray[Float]:
    """Logarithm of probabilities: ln p, or the log-odds ln p - ln(1 - p) for label sets.

    p is first limited to [`FLOOR`, 1 - `FLOOR`]. The shape stays.
    """
    p = np.clip(p, FLOOR, 1 - FLOOR)
    evidence = np.log(p)
    if multilabel:
        evidence = evidence - np.log1p(-p)
    return np.asarray(evidence)


def evidence_to_probabilities(z: NDArray[Float], *, multilabel: bool) -> NDArray[Float]:
    """Probabilities of log evidence `(n, K)`: softmax per row, or the logistic function for label sets.

    The softmax overwrites `z`, so that large prediction files need less memory. `scipy.special.expit` differs
    from this logistic function in the last bit.
    """
    if multilabel:
        return np.asarray(1 / (1 + np.exp(-z)))
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def _softmax_loss(z: Floats, hits: Floats) -> tuple[float, Floats]:
    """Sum of the log loss of softmax(z), and its gradient in z."""
    z = z - z.max(axis=1, keepdims=True)
    exponentials = np.exp(z)
    normal = exponentials.sum(axis=1, keepdims=True)
    surprisal = np.log(normal) - z
    loss = float(np.sum(hits * surprisal))
    probabilities = exponentials / normal
    return loss, probabilities - hits


def _logistic_loss(z: Floats, hits: Floats) -> tuple[float, Floats]:
    """Sum over clips of the mean log loss of the tags, and its gradient in z."""
    n_classes = z.shape[1]
    surprisal = np.logaddexp(0, z) - hits * z
    loss = float(np.sum(surprisal)) / n_classes
    probabilities = 1 / (1 + np.exp(-z))
    return loss, (probabilities - hits) / n_classes


def _mixture_loss(likelihood: Floats) -> Callable[[Floats], tuple[float, Floats]]:
    """Log loss of a convex mixture as a function of the weights, with its gradient."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        mixture = np.maximum(weights @ likelihood, FLOOR / 10)
        log_loss = float(-np.mean(np.log(mixture)))
        gains = likelihood @ (1 / mixture)
        return log_loss, -gains / likelihood.shape[1]

    return loss


def _polish(likelihood: Floats, weights: Floats, *, gap: float = 1e-6, n_rounds: int = 2000) -> Floats:
    """Improve the solver's weights by expectation-maximisation.

    It stops at f(w) - min f ≤ max_m mean(L_m / mixture) - 1 ≤ `gap`.
    """
    loss = _mixture_loss(likelihood)
    gains = -loss(weights)[1]
    if gains.max() - 1 <= gap:
        return weights
    weights = (weights + 1e-3 / len(weights)) / (1 + 1e-3)
    for _ in range(n_rounds):
        gains = -loss(weights)[1]
        if gains.max() - 1 <= gap:
            break
        weights = weights * gains
    weights = np.where(weights < 1e-6, 0.0, weights)
    return np.asarray(weights / weights.sum())
