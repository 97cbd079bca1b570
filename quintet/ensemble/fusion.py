"""Fusion: how the opinions of several members become one. Pure functions on (models, clips, classes), and a value object for what was learnt.

`RULES` is ordered from the simplest to the most elaborate; `compare_rules` takes the simplest that is not clearly worse than the best, judged inside
the training part by grouped cross-validation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.protocols import grouped_folds
from quintet.ensemble.fusion_weights import (
    constant_prediction,
    convex_weights,
    greedy_weights,
    informative_members,
    log_evidence,
    log_linear_pool,
    true_probabilities,
)
from quintet.errors import AlignmentError, ArtefactError, ConfigError, unknown_name
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.metrics import clip_losses, encode_labels


class Rule(NamedTuple):
    """How members are joined: `pool` is "linear" (Σ w·p) or "log" (softmax of Σ w·ln p + b); `learnt`: whether w needs labels."""

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
    "stacked": Rule(
        "regularised logistic regression on log-probabilities: softmax(Σ a·ln p + b)", "log", True
    ),
}


def mean(opinions: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """The mean over the members, (n, K); `opinions` is (M, n, K) or yields (n, K) arrays one by one.

    Example:
        >>> mean(np.array([[[0.8, 0.2]], [[0.4, 0.6]]])).round(3).tolist()
        [[0.6, 0.4]]
    """
    members = list(opinions)
    return weighted_mean(members, [1 / len(members)] * len(members))


def geometric_mean(opinions: Iterable[NDArray[Any]], *, multilabel: bool = False) -> NDArray[Any]:
    """The geometric mean over the members, normalised; for label sets, the mean of the log-odds.

    Example:
        >>> geometric_mean(np.array([[[0.8, 0.2]], [[0.4, 0.6]]])).round(3).tolist()  # √(0.8 · 0.4) : √(0.2 · 0.6)
        [[0.62, 0.38]]
    """
    members = list(opinions)
    return log_pool(members, [1 / len(members)] * len(members), multilabel=multilabel)


def weighted_mean(opinions: Iterable[NDArray[Any]], weights: Sequence[float] | NDArray[Any]) -> NDArray[Any]:
    """Σ_m w_m · p_m, in the dtype of the opinions; read one by one, so that ten large files need the memory of two.

    Example:
        >>> weighted_mean(np.array([[[0.8, 0.2]], [[0.4, 0.6]]]), [0.75, 0.25]).round(3).tolist()
        [[0.7, 0.3]]
    """
    total = _sum(opinions, weights, lambda p: p)
    return np.clip(total, 0, 1, out=total)


def log_pool(
    opinions: Iterable[NDArray[Any]],
    weights: Sequence[float] | NDArray[Any],
    biases: Sequence[float] | None = None,
    *,
    multilabel: bool = False,
) -> NDArray[Any]:
    """softmax(Σ_m w_m · ln p_m + b), p at least 1e-6; for label sets the logistic function of Σ_m w_m · log-odds + b."""
    z = _sum(opinions, weights, lambda p: log_evidence(p, multilabel=multilabel))
    if biases is not None:
        z += np.asarray(biases, dtype=z.dtype)
    if multilabel:
        return np.asarray(1 / (1 + np.exp(-z)))
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


@dataclass(frozen=True)
class Fusion:
    """A fitted rule. `weights` (M,): sum 1, or the slopes of `stacked`; `biases` (K,): of `stacked` alone.

    Example:
        >>> fusion = Fusion("weighted", ("cnn", "xgboost"), ("jazz", "rock"), (0.75, 0.25))
        >>> fusion.apply(np.array([[[0.8, 0.2]], [[0.4, 0.6]]])).round(3).tolist()
        [[0.7, 0.3]]
        >>> Fusion.from_json(fusion.to_json()) == fusion
        True
    """

    rule: str
    members: tuple[str, ...]
    classes: tuple[str, ...]
    weights: tuple[float, ...]
    biases: tuple[float, ...] | None = None
    multilabel: bool = False

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown_name("fusion rule", self.rule, RULES)
        values = [*self.weights, *(self.biases or ())]
        if (
            len(self.weights) != len(self.members)
            or not self.members
            or not all(math.isfinite(v) for v in values)
        ):
            raise ConfigError(
                f"Each of the {len(self.members)} members must have one finite weight. Received {list(self.weights)}."
            )
        if self.biases is not None and len(self.biases) != len(self.classes):
            raise ConfigError(
                f"Each of the {len(self.classes)} classes must have one bias. Received {len(self.biases)}."
            )
        if RULES[self.rule].pool == "linear" and (min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-6):
            raise ConfigError(
                f"The weights of '{self.rule}' must not be negative and must sum to 1. Received {list(self.weights)}."
            )

    def apply(self, stack: Iterable[NDArray[Any]]) -> NDArray[Any]:
        """The fused probabilities (n, K) of (M, n, K), members and classes in the order of this fusion."""
        if isinstance(stack, np.ndarray) and (
            stack.ndim != 3 or (stack.shape[0], stack.shape[2]) != (len(self.members), len(self.classes))
        ):
            expected = f"({len(self.members)}, n, {len(self.classes)})"
            raise AlignmentError(
                f"Predictions to be fused must have the shape (members, clips, classes) = {expected}. Received {stack.shape}."
            )
        if RULES[self.rule].pool == "linear":
            return weighted_mean(stack, self.weights)
        return log_pool(stack, self.weights, self.biases, multilabel=self.multilabel)

    def to_json(self) -> dict[str, Any]:
        """`{"rule", "members", "classes", "multilabel", "weights": {member: w}, "biases": {class: b} or None}`."""
        return {
            "rule": self.rule,
            "members": list(self.members),
            "classes": list(self.classes),
            "multilabel": self.multilabel,
            "weights": dict(zip(self.members, self.weights, strict=True)),
            "biases": None if self.biases is None else dict(zip(self.classes, self.biases, strict=True)),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Fusion:
        """The fusion that `to_json` described. Raises ArtefactError where something is missing."""
        try:
            members, classes, biases = tuple(content["members"]), tuple(content["classes"]), content["biases"]
            weights = tuple(float(content["weights"][name]) for name in members)
            ends = None if biases is None else tuple(float(biases[name]) for name in classes)
            return cls(content["rule"], members, classes, weights, ends, bool(content["multilabel"]))
        except (KeyError, TypeError) as error:
            raise ArtefactError(
                f"A fusion must name rule, members, classes, weights, biases. Missing or damaged: {error}. Train again."
            ) from error


def fit_fusion(
    rule: str,
    stack: NDArray[Any],
    y: NDArray[Any],
    groups: NDArray[Any] | None = None,
    *,
    members: Sequence[str],
    classes: Sequence[str],
    seed: int = 0,
    multilabel: bool | None = None,
) -> Fusion:
    """A rule with what it learns from out-of-fold predictions.

    Args:
        rule: a name of `RULES`.
        stack: (M, n, K) out-of-fold probabilities, of rows that their model has not seen. Weights learnt on others praise the member that overfits.
        y: (n,) labels, each one of `classes`; an indicator matrix (n, K), or sets `rock;live` with `multilabel=True`.
        groups: (n,) or None. `weighted_mean` and `greedy` leave out a member of which it is not certain, by group, that it knows more than the
            class frequencies.
        seed: taken for the sake of one signature; the problems solved here need no chance.
        multilabel: None: where y is a matrix.

    Raises:
        ConfigError: no such rule. AlignmentError: shapes that do not fit.
    """
    del seed
    if rule not in RULES:
        raise unknown_name("fusion rule", rule, RULES)
    target = _target(stack, y, members, classes, multilabel=multilabel)
    return _fusion(rule, stack, target, group_codes(groups, len(target))[0], members, classes)


class RuleComparison(NamedTuple):
    """`losses`: rule → log loss on held-out groups; `differences`: rule → (loss above the best, its standard error by group); `chosen`; `reason`."""

    chosen: str
    losses: dict[str, float]
    differences: dict[str, tuple[float, float]]
    reason: str


def compare_rules(
    stack: NDArray[Any],
    y: NDArray[Any],
    groups: NDArray[Any] | None = None,
    *,
    members: Sequence[str],
    classes: Sequence[str],
    rules: Sequence[str] = tuple(RULES),
    seed: int = 0,
    multilabel: bool | None = None,
    n_splits: int = 5,
    folds: Sequence[tuple[NDArray[Any], NDArray[Any]]] | None = None,
) -> RuleComparison:
    """The rules compared on the training part alone: each is fitted on some groups and judged on the others.

    The standard error is that of the paired difference, by group. A rule counts as good as the best where it loses by no more than that, and of
    those the simplest is chosen, in the order of `RULES`. Where the groups do not allow two folds, that is the first.

    `folds`: (train, held-out) positions to judge on, in the place of new ones. Give those of the run: where the data bring their own
    validation part, or groups are not known, new random folds would share artists and praise the rule that learns most.
    """
    if stray := [rule for rule in rules if rule not in RULES]:
        raise unknown_name("fusion rule", stray[0], RULES)
    target = _target(stack, y, members, classes, multilabel=multilabel)
    ordered = [rule for rule in RULES if rule in rules]
    codes, n_groups = group_codes(groups, len(target))
    for train, valid in folds or ():
        require_disjoint(codes[train], codes[valid], where="a fold of the fusion")
    n_folds = min(n_splits, most_folds(target, codes))
    if n_folds < 2 or len(ordered) < 2 or len(members) < 2:
        alone = (
            "there is one member only"
            if len(members) < 2
            else "there is one rule only"
            if len(ordered) < 2
            else "a class lies in a single group"
        )
        return RuleComparison(ordered[0], {}, {}, alone)
    losses = {rule: np.zeros(len(target)) for rule in ordered}
    divided = grouped_folds(target, codes.tolist(), n_splits=n_folds, seed=seed) if folds is None else folds
    for train, valid in divided:
        for rule in ordered:
            fusion = _fusion(rule, stack[:, train], target[train], codes[train], members, classes)
            losses[rule][valid] = clip_losses(target[valid], fusion.apply(stack[:, valid]))
    means = {rule: float(values.mean()) for rule, values in losses.items()}
    best = min(ordered, key=lambda rule: means[rule])
    differences = {
        rule: (means[rule] - means[best], standard_error(losses[rule] - losses[best], codes, n_groups))
        for rule in ordered
    }
    chosen = next(rule for rule in ordered if differences[rule][0] <= differences[rule][1])
    return RuleComparison(
        chosen,
        means,
        differences,
        f"the simplest within one standard error of the best ({best}), {n_folds} folds by group",
    )


def _fusion(
    rule: str,
    stack: NDArray[Any],
    target: NDArray[Any],
    codes: NDArray[Any],
    members: Sequence[str],
    classes: Sequence[str],
) -> Fusion:
    weights, biases = _learnt(rule, stack, target, codes)
    ends = None if biases is None else tuple(float(b) for b in biases)
    return Fusion(
        rule, tuple(members), tuple(classes), tuple(float(w) for w in weights), ends, target.ndim == 2
    )


def _learnt(
    rule: str, stack: NDArray[Any], target: NDArray[Any], codes: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if not RULES[rule].learnt:
        return np.full(len(stack), 1 / len(stack)), None
    if rule == "stacked":
        return log_linear_pool(stack, target)
    likelihood = true_probabilities(stack, target)
    takes_part = informative_members(likelihood, constant_prediction(target, stack.shape[2]), codes)
    weights = np.zeros(len(stack))
    weights[takes_part] = {"weighted": convex_weights, "greedy": greedy_weights}[rule](likelihood[takes_part])
    return weights, None


def _target(
    stack: NDArray[Any],
    y: NDArray[Any],
    members: Sequence[str],
    classes: Sequence[str],
    *,
    multilabel: bool | None,
) -> NDArray[Any]:
    y = np.asarray(y)
    if stack.shape != (len(members), len(y), len(classes)):
        expected = (len(members), len(y), len(classes))
        raise AlignmentError(
            f"Predictions to be fused must have the shape (members, clips, classes) = {expected}. Received {stack.shape}."
        )
    return encode_labels(y, tuple(classes), multilabel=multilabel)


def most_folds(target: NDArray[Any], groups: NDArray[np.int64]) -> int:
    """How many folds every class can be in: the least number of groups of a class (label sets: of all groups, where no tag lies in one alone)."""
    if target.ndim == 2:
        counts = [len(np.unique(groups[column])) for column in target.T if column.any()]
        return len(np.unique(groups)) if counts and min(counts) >= 2 else 1
    present = np.unique(target)
    return 1 if len(present) < 2 else min(len(np.unique(groups[target == k])) for k in present)


def standard_error(difference: NDArray[np.float64], codes: NDArray[np.int64], n_groups: int) -> float:
    if n_groups < 2:
        return 0.0
    sums = np.bincount(codes, difference - difference.mean(), n_groups)
    return float(np.sqrt(n_groups / (n_groups - 1) * np.sum(sums**2)) / len(difference))


def _sum(
    opinions: Iterable[NDArray[Any]], weights: Sequence[float] | NDArray[Any], transform: Any
) -> NDArray[Any]:
    total: NDArray[Any] | None = None
    for weight, p in zip(weights, opinions, strict=True):
        part = transform(np.asarray(p)) * float(weight)
        total = (
            part if total is None else np.add(total, part, out=total if total.dtype == part.dtype else None)
        )
    if total is None:
        raise AlignmentError("At least one member must be given to fuse. Received none.")
    return total
