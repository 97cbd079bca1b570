"""Selection of the fusion rule, inside the training part, by grouped cross-validation.

`compare_rules` takes the simplest rule that is not clearly worse than the best one. On a validation part it
keeps the first rule, the plain mean, unless another one is clearly better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.array_types import Codes, Floats, Folds, Target
from quintet.ensemble.fusion import RULES, LabelledPredictions, fit_fusion
from quintet.ensemble.fusion_weights import count_parameters
from quintet.ensemble.model_selection.preparation import prepare_members
from quintet.ensemble.support import UNITS_PER_PARAMETER, ValidationPart, count_units, margin_of_error
from quintet.ensemble.support import standard_error as standard_error
from quintet.errors import unknown_name
from quintet.files.json_types import JsonObject

IN_ONE_GROUP = "a class lies in a single group"


class RuleComparison(NamedTuple):
    """Result of `compare_rules`.

    Args:
        chosen: the rule to use.
        losses: rule → log loss on held-out groups; on a validation part, with each class as frequent as in
            train and valid together. Empty if nothing was compared.
        differences: rule → (loss minus that of the best rule, standard error of this difference by group).
            The best rule is one that has enough clips.
        reason: why the rule was chosen, in words.
        lacks: rules that have too few clips to be chosen, each with what it lacks, in words.
    """

    chosen: str
    losses: dict[str, float]
    differences: dict[str, tuple[float, float]]
    reason: str
    lacks: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> JsonObject:
        """JSON object with the fields."""
        return {**self._asdict(), "lacks": dict(self.lacks)}


def find_lack(rule: str, predictions: LabelledPredictions) -> str:
    """What the predictions lack for a rule to be chosen, in words; empty if they are enough.

    Convex weights stay between the members, so few clips do little harm. The slopes and biases of `stacked`
    have no such bound: each of these parameters needs `UNITS_PER_PARAMETER` independent units, and as many of
    each class, which has a bias of its own.

    Args:
        rule: a name of `RULES`.
        predictions: of clips that the members have not seen.

    Example:
        >>> y = np.repeat(["a", "b"], 30)
        >>> labelled = LabelledPredictions.from_labels(
        ...     np.full((1, 60, 2), 0.5), y, members=("svm",), classes=("a", "b")
        ... )
        >>> find_lack("mean", labelled), find_lack("stacked", labelled)
        ('', 'stacked learns 3 parameters and needs 60 independent groups: there are 15')
    """
    if rule != "stacked":
        return ""
    n_members, _, n_classes = predictions.stack.shape
    target, groups = predictions.target, predictions.groups
    n_parameters = count_parameters(rule, n_members, n_classes)
    needed, n_units = UNITS_PER_PARAMETER * n_parameters, count_units(groups)
    if n_units < needed:
        return (
            f"{rule} learns {n_parameters} parameters and needs {needed} independent groups: "
            f"there are {n_units:.0f}"
        )
    for k, name in enumerate(predictions.classes):
        has_class = target[:, k].astype(bool) if target.ndim == 2 else target == k
        n_units = count_units(groups, has_class)
        if n_units < UNITS_PER_PARAMETER:
            return (
                f"{rule} needs {UNITS_PER_PARAMETER} independent groups of each class: "
                f"{name} has {n_units:.0f}"
            )
    return ""


def compare_rules(
    predictions: LabelledPredictions,
    *,
    rules: Sequence[str] = tuple(RULES),
    folds: Folds | None = None,
    n_splits: int = 5,
    seed: int = 0,
    prepare: bool = False,
) -> RuleComparison:
    """Compare fusion rules on the training part. Each rule is fitted on some groups and scored on the others.

    A rule counts as good as the best one if its loss is larger by at most one standard error of the paired
    difference, by group. The simplest of these rules is chosen, in the order of `RULES`. On a validation part
    (`predictions.validation`) the simplest rule is chosen, unless others beat it by more than one standard
    error (two if groups are not known); then it is the one of these with the least loss. Each class counts as
    much as in train and valid together, the gain counts only for the share of clips whose class occurs, and a
    choice needs `UNITS_PER_PARAMETER` independent groups. A rule that needs more clips is never chosen
    (`find_lack`). If the groups do not allow two folds, the first rule is chosen.

    Args:
        predictions: out-of-fold predictions of the training part.
        rules: names of `RULES`.
        folds: folds to score on. Give the folds of the run: if the data bring their own validation part, or
            groups are not known, new random folds share artists and favour the rule that learns most.
            Default: new folds.
        n_splits: the number of new folds.
        seed: for new folds.
        prepare: whether members are calibrated and views chosen before (`prepare_members`), in every fold.

    Raises:
        ConfigError: a rule is unknown.
        SplitLeakError: a given fold has one group on both sides.
    """
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown:
        raise unknown_name("fusion rule", unknown[0], RULES)
    ordered = [rule for rule in RULES if rule in rules]
    target, groups = predictions.target, predictions.groups
    for train, held_out in folds or ():
        require_disjoint(groups[train], groups[held_out], where="a fold of the fusion")
    validation = predictions.validation
    n_folds = len(folds) if validation is not None and folds is not None else most_folds(target, groups)
    n_folds = min(n_splits if folds is None else len(folds), n_folds)
    obstacle = _reason_not_to_compare(len(predictions.members), len(ordered), n_folds)
    if obstacle == IN_ONE_GROUP and validation is not None:
        obstacle = "the validation part cannot be divided by group"
    if obstacle is not None:
        return RuleComparison(ordered[0], {}, {}, obstacle)
    if folds is None:
        folds = grouped_folds(target, groups.tolist(), n_splits=n_folds, seed=seed)
    losses = _held_out_losses(predictions, ordered, folds, prepare=prepare)
    if validation is not None:
        weights = validation.clip_weights(target, predictions.classes)
        losses = {rule: weights * values for rule, values in losses.items()}
    lacks = {rule: lack for rule in ordered if (lack := find_lack(rule, predictions))}
    return _choose(losses, lacks, groups, n_folds, validation)


def most_folds(target: Target, groups: Codes) -> int:
    """Largest number of folds in which every class can be present; 1 if there is no such number.

    For single labels it is the number of groups of the rarest class. For label sets it is the number of all
    groups, if every tag lies in at least two groups.

    Args:
        target: class codes `(n,)` or an indicator matrix `(n, K)`.
        groups: group number of each clip, `(n,)`.
    """
    if target.ndim == 2:
        tags = [column for column in target.T if column.any()]
        counts = [len(np.unique(groups[column])) for column in tags]
        return len(np.unique(groups)) if counts and min(counts) >= 2 else 1
    present = np.unique(target)
    if len(present) < 2:
        return 1
    return min(len(np.unique(groups[target == k])) for k in present)


def _reason_not_to_compare(n_members: int, n_rules: int, n_folds: int) -> str | None:
    if n_members < 2:
        return "there is one member only"
    if n_rules < 2:
        return "there is one rule only"
    if n_folds < 2:
        return IN_ONE_GROUP
    return None


def _held_out_losses(
    predictions: LabelledPredictions, rules: Sequence[str], folds: Folds, *, prepare: bool
) -> dict[str, Floats]:
    """Rule → log loss of each clip `(n,)`, from weights that were learnt on the other folds."""
    losses = {rule: np.zeros(len(predictions.target)) for rule in rules}
    for train, held_out in folds:
        train_part, held_out_part = predictions.take(train), predictions.take(held_out)
        preparation = prepare_members(train_part) if prepare else None
        for rule in rules:
            fused = fit_fusion(rule, train_part, preparation).apply(held_out_part.stack)
            losses[rule][held_out] = held_out_part.losses(fused)
    return losses


def _choose(
    losses: dict[str, Floats],
    lacks: Mapping[str, str],
    groups: Codes,
    n_folds: int,
    validation: ValidationPart | None,
) -> RuleComparison:
    """The choice among the rules that lack nothing. `losses` is in the order of `RULES`.

    Args:
        losses: rule → log loss of each clip, `(n,)`.
        lacks: rule → what it lacks.
        groups: group number of each clip, `(n,)`.
        n_folds: for the reason.
        validation: facts of a validation part, on which the first rule stays unless another is clearly
            better; None in cross-validation.
    """
    means = {rule: float(values.mean()) for rule, values in losses.items()}
    possible = [rule for rule in losses if rule not in lacks] or list(losses)
    best = min(possible, key=lambda rule: means[rule])
    n_groups = len(np.unique(groups))

    def gap(rule: str, other: str) -> tuple[float, float]:
        return means[rule] - means[other], standard_error(losses[rule] - losses[other], groups, n_groups)

    differences = {rule: gap(rule, best) for rule in losses}
    folds = f"{n_folds} folds"
    if validation is not None:
        chosen, reason = _choose_on_validation_part(possible, means, gap, groups, validation)
        if validation.counts is not None:
            folds += ", each class as frequent as in train and valid together"
    else:
        chosen = next(rule for rule in possible if differences[rule][0] <= differences[rule][1])
        reason = f"the simplest within one standard error of the best ({best})"
    reason = "; ".join([f"{reason}, {folds}", *lacks.values()])
    return RuleComparison(chosen, means, differences, reason, tuple(lacks.items()))


def _choose_on_validation_part(
    rules: Sequence[str],
    means: Mapping[str, float],
    gap: Callable[[str, str], tuple[float, float]],
    groups: Codes,
    validation: ValidationPart,
) -> tuple[str, str]:
    """The first rule, or the best one of those that are each clearly better than the first; and why.

    Args:
        rules: names, the simplest first.
        means: rule → log loss.
        gap: loss of a rule minus that of another, and its standard error.
        groups: group number of each clip, `(n,)`.
        validation: facts of the validation part.
    """
    first, *others = rules
    n_units = count_units(groups)
    if n_units < UNITS_PER_PARAMETER:
        return first, (
            f"the simplest, because a choice needs {UNITS_PER_PARAMETER} independent groups "
            f"in the validation part and there are {n_units:.0f}"
        )
    margin = margin_of_error(groups)
    errors = "one standard error" if margin == 1 else "two standard errors (groups are not known)"
    clearly_better = []
    for rule in others:
        gain, error = gap(first, rule)
        if validation.class_share * gain > margin * error:
            clearly_better.append(rule)
    if not clearly_better:
        return first, f"the simplest, because no other rule is better by more than {errors}"
    chosen = min(clearly_better, key=lambda rule: means[rule])
    gain, error = gap(first, chosen)
    return chosen, (
        f"it is better than {first} by more than {errors} (by {gain:.4f}, standard error {error:.4f})"
    )
