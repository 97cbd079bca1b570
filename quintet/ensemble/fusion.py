"""Fusion: rules that join the predictions of several members, and the fitted rule.

`RULES` is ordered from the simplest rule to the most elaborate one. `quintet.ensemble.selection` chooses
among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

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
from quintet.ensemble.fusion_weights import RULES as RULES
from quintet.ensemble.fusion_weights import (
    constant_prediction,
    convex_weights,
    count_parameters,
    evidence_to_probabilities,
    geometric_weights,
    greedy_weights,
    informative_members,
    log_evidence,
    log_linear_pool,
    true_probabilities,
)
from quintet.ensemble.model_selection.temperatures import apply_temperature, apply_temperatures
from quintet.ensemble.support import ValidationPart, learnt_share
from quintet.errors import AlignmentError, ArtefactError, ConfigError, unknown_name
from quintet.evaluation.intervals import group_codes
from quintet.evaluation.losses import clip_losses
from quintet.evaluation.metrics import encode_labels
from quintet.files.json_types import JsonObject


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
        temperatures: M numbers; each member is calibrated with its own before members are joined. None for
            members that are joined as they are.

    Raises:
        ConfigError: the rule is unknown, or the weights, biases or temperatures do not fit it.

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
    temperatures: tuple[float, ...] | None = None

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
        temperatures = self.temperatures
        if temperatures is not None and (
            len(temperatures) != n_members or not all(0 < value < math.inf for value in temperatures)
        ):
            raise ConfigError(
                f"Each of the {n_members} members must have one temperature above 0. "
                f"Received {list(temperatures)}."
            )
        if self.rule != "stacked":
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
        if self.temperatures is not None:
            pairs = zip(stack, self.temperatures, strict=True)
            stack = (apply_temperature(p, t, multilabel=self.multilabel) for p, t in pairs)
        if RULES[self.rule].pool == "linear":
            return weighted_mean(stack, self.weights)
        return log_pool(stack, self.weights, self.biases, multilabel=self.multilabel)

    def to_json(self) -> JsonObject:
        """JSON object with the keys `rule, members, classes, multilabel, weights, biases, temperatures`.

        `weights` is `{member: weight}`, `temperatures` the same or None, `biases` `{class: bias}` or None.
        """
        temperatures = self.temperatures
        biases = None if self.biases is None else dict(zip(self.classes, self.biases, strict=True))
        return {
            "rule": self.rule,
            "members": list(self.members),
            "classes": list(self.classes),
            "multilabel": self.multilabel,
            "weights": dict(zip(self.members, self.weights, strict=True)),
            "biases": biases,
            "temperatures": temperatures and dict(zip(self.members, temperatures, strict=True)),
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
        temperatures = content.get("temperatures")  # models of early versions have none
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
            temperatures=None if temperatures is None else tuple(float(temperatures[m]) for m in members),
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


@dataclass(frozen=True)
class Preparation:
    """What is done to members before they are joined, see `quintet.ensemble.model_selection`.

    Args:
        temperatures: temperature of each member, `(M,)`.
        chosen: whether a member takes part, `(M,)`. The others get no weight.
    """

    temperatures: Floats
    chosen: NDArray[np.bool_]


def fit_fusion(rule: str, predictions: LabelledPredictions, preparation: Preparation | None = None) -> Fusion:
    """Fit a rule on out-of-fold predictions.

    `weighted`, `greedy` and `weighted_geometric` give no weight to a member that is not surely better than
    the class frequencies; the standard error is by group (`informative_members`). What is learnt from a
    validation part is mixed with equal weights (`quintet.ensemble.support`).

    Args:
        rule: a name of `RULES`.
        predictions: of clips that the members have not seen.
        preparation: learnt from the same predictions. Default: all members are joined as they are.

    Raises:
        ConfigError: the rule is unknown.
    """
    if rule not in RULES:
        raise unknown_name("fusion rule", rule, RULES)
    weights = np.zeros(len(predictions.members))
    multilabel = predictions.target.ndim == 2
    if preparation is None:
        weights, biases = _fit_weights(rule, predictions)
    else:
        chosen, temperatures = preparation.chosen, preparation.temperatures
        stack = apply_temperatures(predictions.stack[chosen], temperatures[chosen], multilabel=multilabel)
        names = tuple(str(name) for name in np.array(predictions.members)[chosen])
        weights[chosen], biases = _fit_weights(rule, replace(predictions, stack=stack, members=names))
    return Fusion(
        rule,
        predictions.members,
        predictions.classes,
        tuple(float(weight) for weight in weights),
        None if biases is None else tuple(float(bias) for bias in biases),
        multilabel,
        None if preparation is None else tuple(float(t) for t in preparation.temperatures),
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
    is_taught = columns if target.ndim == 2 else np.ones(n_classes, dtype=bool)
    known, present = stack[:, :, is_taught], target[:, is_taught] if target.ndim == 2 else target
    if rule == "stacked":
        biases = np.zeros(n_classes)
        slopes, biases[is_taught] = log_linear_pool(known, present)
        return slopes, biases
    likelihood = true_probabilities(stack, target)
    constant = constant_prediction(target, n_classes)
    selected = informative_members(likelihood, constant, predictions.groups)
    weights = np.zeros(n_members)
    if rule == "weighted_geometric":
        weights[selected] = geometric_weights(known[selected], present)
    else:
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
