"""Fusion: rules that join the predictions of several members, and the fitted rule.

`RULES` is ordered from the simplest rule to the most elaborate one. `quintet.ensemble.selection` chooses
among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.ensemble.array_types import (
    Codes,
    Float,
    Floats,
    Groups,
    Labels,
    Positions,
    Probabilities,
    Target,
)
from quintet.ensemble.fusion_weights import (
    constant_prediction,
    convex_weights,
    evidence_to_probabilities,
    greedy_weights,
    informative_members,
    log_evidence,
    log_linear_pool,
    true_probabilities,
)
from quintet.ensemble.support import ValidationPart, learnt_share
from quintet.errors import AlignmentError, ArtefactError, ConfigError, unknown_name
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.losses import clip_losses
from quintet.evaluation.metrics import encode_labels
from quintet.files.json_types import JsonObject


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
    "stacked": Rule(
        "regularised logistic regression on log-probabilities: softmax(Σ a·ln p + b)", "log", True
    ),
}


def mean(predictions: Iterable[NDArray[Float]]) -> NDArray[Float]:
    """Mean of the members' probabilities, `(n, K)`.

    Args:
        predictions: an array `(M, n, K)`, or an iterable of M arrays `(n, K)`.

    Example:
        >>> mean(np.array([[[0.8, 0.2]], [[0.4, 0.6]]])).round(3).tolist()
        [[0.6, 0.4]]
    """
    members = list(predictions)
    return weighted_mean(members, [1 / len(members)] * len(members))


def geometric_mean(predictions: Iterable[NDArray[Float]], *, multilabel: bool = False) -> NDArray[Float]:
    """Geometric mean of the members' probabilities, normalised, `(n, K)`.

    Args:
        predictions: an array `(M, n, K)`, or an iterable of M arrays `(n, K)`.
        multilabel: whether clips carry label sets. If so, the log-odds are averaged.

    Example:
        >>> stack = np.array([[[0.8, 0.2]], [[0.4, 0.6]]])
        >>> geometric_mean(stack).round(3).tolist()  # √(0.8 · 0.4) : √(0.2 · 0.6)
        [[0.62, 0.38]]
    """
    members = list(predictions)
    return log_pool(members, [1 / len(members)] * len(members), multilabel=multilabel)


def weighted_mean(predictions: Iterable[NDArray[Float]], weights: Sequence[float] | Floats) -> NDArray[Float]:
    """Weighted mean Σ_m w_m · p_m, `(n, K)`, in the dtype of the predictions.

    The arrays are read one by one. So ten large files need the memory of two.

    Args:
        predictions: an array `(M, n, K)`, or an iterable of M arrays `(n, K)`.
        weights: M numbers.

    Example:
        >>> weighted_mean(np.array([[[0.8, 0.2]], [[0.4, 0.6]]]), [0.75, 0.25]).round(3).tolist()
        [[0.7, 0.3]]
    """
    total = _weighted_sum(predictions, weights, lambda p: p)
    return np.clip(total, 0, 1, out=total)


def log_pool(
    predictions: Iterable[NDArray[Float]],
    weights: Sequence[float] | Floats,
    biases: Sequence[float] | Floats | None = None,
    *,
    multilabel: bool = False,
) -> NDArray[Float]:
    """Log-linear pool softmax(Σ_m w_m · ln p_m + b), `(n, K)`, with p at least 1e-6.

    Args:
        predictions: an array `(M, n, K)`, or an iterable of M arrays `(n, K)`.
        weights: M numbers.
        biases: b, K numbers. Default: zero.
        multilabel: whether clips carry label sets. If so, the result is the logistic function of
            Σ_m w_m · log-odds + b.
    """
    z = _weighted_sum(predictions, weights, lambda p: log_evidence(p, multilabel=multilabel))
    if biases is not None:
        z += np.asarray(biases, dtype=z.dtype)
    return evidence_to_probabilities(z, multilabel=multilabel)


@dataclass(frozen=True)
class Fusion:
    """Fitted rule: the weights of the members, and `apply`.

    Args:
        rule: a name of `RULES`.
        members: M names.
        classes: K names.
        weights: M numbers. They sum to 1, except that for `stacked` they are slopes.
        biases: K numbers, only for `stacked`.
        multilabel: whether clips carry label sets.

    Raises:
        ConfigError: the rule is unknown, or the weights or biases do not fit it.

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
        n_members, n_classes = len(self.members), len(self.classes)
        values = [*self.weights, *(self.biases or ())]
        all_finite = all(math.isfinite(value) for value in values)
        if len(self.weights) != n_members or n_members == 0 or not all_finite:
            raise ConfigError(
                f"Each of the {n_members} members must have one finite weight. Received {list(self.weights)}."
            )
        if self.biases is not None and len(self.biases) != n_classes:
            raise ConfigError(
                f"Each of the {n_classes} classes must have one bias. Received {len(self.biases)}."
            )
        if RULES[self.rule].pool == "linear":
            self._require_convex_weights()

    def _require_convex_weights(self) -> None:
        if min(self.weights) < 0 or abs(sum(self.weights) - 1) > 1e-6:
            raise ConfigError(
                f"The weights of '{self.rule}' must not be negative and must sum to 1. "
                f"Received {list(self.weights)}."
            )

    def apply(self, stack: Iterable[NDArray[Float]]) -> NDArray[Float]:
        """Fused probabilities `(n, K)`.

        Args:
            stack: probabilities `(M, n, K)`, or an iterable of M arrays `(n, K)`. Members and classes stand
                in the order of this fusion.

        Raises:
            AlignmentError: an array has another number of members or classes.
        """
        if isinstance(stack, np.ndarray):
            n_members, n_classes = len(self.members), len(self.classes)
            fits = stack.ndim == 3 and stack.shape[::2] == (n_members, n_classes)
            if not fits:
                raise _shape_error(f"({n_members}, n, {n_classes})", stack.shape)
        if RULES[self.rule].pool == "linear":
            return weighted_mean(stack, self.weights)
        return log_pool(stack, self.weights, self.biases, multilabel=self.multilabel)

    def to_json(self) -> JsonObject:
        """JSON object with the keys `rule, members, classes, multilabel, weights, biases`.

        `weights` is `{member: weight}`. `biases` is `{class: bias}` or None.
        """
        biases = None if self.biases is None else dict(zip(self.classes, self.biases, strict=True))
        return {
            "rule": self.rule,
            "members": list(self.members),
            "classes": list(self.classes),
            "multilabel": self.multilabel,
            "weights": dict(zip(self.members, self.weights, strict=True)),
            "biases": biases,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Fusion:
        """Read what `to_json` wrote.

        Raises:
            ArtefactError: a part is missing or damaged.
        """
        try:
            return cls._parse(dict(content))
        except (KeyError, TypeError) as error:
            raise ArtefactError(
                "A fusion must name rule, members, classes, weights, biases. "
                f"Missing or damaged: {error}. Train again."
            ) from error

    @classmethod
    def _parse(cls, content: JsonObject) -> Fusion:
        members, classes = content["members"], content["classes"]
        by_member, by_class = content["weights"], content["biases"]
        biases = None
        if by_class is not None:
            biases = tuple(float(by_class[name]) for name in classes)
        return cls(
            rule=content["rule"],
            members=tuple(members),
            classes=tuple(classes),
            weights=tuple(float(by_member[name]) for name in members),
            biases=biases,
            multilabel=bool(content["multilabel"]),
        )


@dataclass(frozen=True)
class LabelledPredictions:
    """Out-of-fold probabilities of the members, with labels and groups of the clips. Fusion learns from them.

    Weights must be learnt on clips that the members have not seen. Otherwise the member that overfits gets
    the largest weight.

    Args:
        stack: probabilities `(M, n, K)`.
        target: class codes `(n,)`, or an indicator matrix `(n, K)` for label sets.
        groups: group number of each clip, `(n,)`.
        members: M names.
        classes: K names.
        validation: facts of the validation part that these clips are; None for out-of-fold predictions of
            cross-validation. What is learnt from a validation part is mixed with equal weights
            (`quintet.ensemble.support`).
    """

    stack: Probabilities
    target: Target
    groups: Codes
    members: tuple[str, ...]
    classes: tuple[str, ...]
    validation: ValidationPart | None = None

    @classmethod
    def from_labels(
        cls,
        stack: Probabilities,
        y: Labels,
        groups: Groups | None = None,
        *,
        members: Sequence[str],
        classes: Sequence[str],
        multilabel: bool | None = None,
        validation: ValidationPart | None = None,
    ) -> LabelledPredictions:
        """Encode labels and groups.

        Args:
            stack: out-of-fold probabilities `(M, n, K)`.
            y: labels `(n,)`, each one of `classes`; an indicator matrix `(n, K)`; or sets that are written
                `rock;live`, with `multilabel=True`.
            groups: group of each clip, `(n,)`. Default: every clip is its own group.
            members: M names.
            classes: K names.
            multilabel: whether clips carry label sets. Default: yes if `y` is a matrix.
            validation: facts of a validation part; None in cross-validation.

        Raises:
            AlignmentError: the shape of the stack is not (members, clips, classes).
        """
        y = np.asarray(y)
        expected = (len(members), len(y), len(classes))
        if stack.shape != expected:
            raise _shape_error(str(expected), stack.shape)
        target = encode_labels(y, tuple(classes), multilabel=multilabel)
        group_numbers, _ = group_codes(groups, len(target))
        return cls(stack, target, group_numbers, tuple(members), tuple(classes), validation)

    def take(self, rows: Positions) -> LabelledPredictions:
        """Clips at `rows`. They keep their group numbers, so a number may be unused."""
        return replace(self, stack=self.stack[:, rows], target=self.target[rows], groups=self.groups[rows])

    @property
    def columns(self) -> NDArray[np.bool_]:
        """Whether each column teaches, `(K,)`. Tags that the members could not know do not."""
        if self.validation is None or self.validation.known is None:
            return np.ones(len(self.classes), dtype=np.bool_)
        return self.validation.known

    def losses(self, probabilities: Probabilities) -> Floats:
        """Log loss of each clip, `(n,)`, on the columns that teach.

        Args:
            probabilities: of these clips, `(n, K)`.
        """
        if self.columns.all() or self.target.ndim == 1:
            return clip_losses(self.target, probabilities)
        return clip_losses(self.target[:, self.columns], probabilities[:, self.columns])


def count_parameters(rule: str, n_members: int, n_classes: int) -> int:
    """Number of parameters that a rule learns: free weights, and slopes and biases of `stacked`.

    Args:
        rule: a name of `RULES`.
        n_members: M.
        n_classes: K.

    Example:
        >>> [count_parameters(rule, 4, 10) for rule in RULES]
        [0, 0, 3, 3, 14]
    """
    if not RULES[rule].learnt:
        return 0
    return n_members + n_classes if rule == "stacked" else n_members - 1


def fit_fusion(rule: str, predictions: LabelledPredictions) -> Fusion:
    """Fit a rule on out-of-fold predictions.

    `weighted` and `greedy` give no weight to a member that is not surely better than the class frequencies;
    the standard error is by group (`informative_members`). What is learnt from a validation part is mixed
    with equal weights (`quintet.ensemble.support`).

    Args:
        rule: a name of `RULES`.
        predictions: of clips that the members have not seen.

    Raises:
        ConfigError: the rule is unknown.
    """
    if rule not in RULES:
        raise unknown_name("fusion rule", rule, RULES)
    weights, biases = _fit_weights(rule, predictions)
    return Fusion(
        rule,
        predictions.members,
        predictions.classes,
        tuple(float(weight) for weight in weights),
        None if biases is None else tuple(float(bias) for bias in biases),
        predictions.target.ndim == 2,
    )


def _fit_weights(rule: str, predictions: LabelledPredictions) -> tuple[Floats, Floats | None]:
    """Weights `(M,)`, and biases `(K,)` for `stacked`; a validation part is mixed with equal weights."""
    n_members, n_clips, n_classes = predictions.stack.shape
    equal = np.full(n_members, 1 / n_members)
    if not RULES[rule].learnt:
        return equal, None
    n_parameters = count_parameters(rule, n_members, n_classes)
    share = learnt_share(n_parameters, predictions.groups, predictions.validation)
    if share == 0 or n_clips == 0:
        return equal, np.zeros(n_classes) if rule == "stacked" else None
    weights, biases = _learn_weights(rule, predictions)
    if share == 1:
        return weights, biases
    mixed = share * weights + (1 - share) * equal
    return mixed, None if biases is None else share * biases


def _learn_weights(rule: str, predictions: LabelledPredictions) -> tuple[Floats, Floats | None]:
    """Weights `(M,)`, and biases `(K,)` for `stacked`, as these predictions teach them."""
    stack, target, columns = predictions.stack, predictions.target, predictions.columns
    n_members, _, n_classes = stack.shape
    if rule == "stacked":
        biases = np.zeros(n_classes)
        if target.ndim == 2:
            slopes, biases[columns] = log_linear_pool(stack[:, :, columns], target[:, columns])
        else:
            slopes, biases = log_linear_pool(stack, target)
        return slopes, biases
    likelihood = true_probabilities(stack, target)
    constant = constant_prediction(target, n_classes)
    selected = informative_members(likelihood, constant, predictions.groups)
    weights = np.zeros(n_members)
    learn = convex_weights if rule == "weighted" else greedy_weights
    weights[selected] = learn(likelihood[selected])
    return weights, None


def _weighted_sum(
    predictions: Iterable[NDArray[Float]],
    weights: Sequence[float] | Floats,
    transform: Callable[[NDArray[Float]], NDArray[Float]],
) -> NDArray[Float]:
    """Σ_m w_m · transform(p_m), `(n, K)`. The arrays are read one by one."""
    total: NDArray[Float] | None = None
    for weight, p in zip(weights, predictions, strict=True):
        values = transform(np.asarray(p))
        part = np.asarray(values * float(weight), dtype=values.dtype)
        if total is None:
            total = part
        else:
            in_place = total if total.dtype == part.dtype else None
            total = np.add(total, part, out=in_place)
    if total is None:
        raise AlignmentError("At least one member must be given to fuse. Received none.")
    return total


def _shape_error(expected: str, received: tuple[int, ...]) -> AlignmentError:
    return AlignmentError(
        "Predictions to be fused must have the shape (members, clips, classes) = "
        f"{expected}. Received {received}."
    )
