"""Selection of the fusion rule, inside the training part, by grouped cross-validation.

`compare_rules` takes the simplest rule that is not clearly worse than the best one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.array_types import Codes, Floats, Folds, Target
from quintet.ensemble.fusion import RULES, LabelledPredictions, fit_fusion
from quintet.errors import unknown_name
from quintet.evaluation.losses import clip_losses


class RuleComparison(NamedTuple):
    """Result of `compare_rules`.

    Args:
        chosen: the rule to use.
        losses: rule → log loss on held-out groups. Empty if nothing was compared.
        differences: rule → (loss minus that of the best rule, standard error of this difference by group).
        reason: why the rule was chosen, in words.
    """

    chosen: str
    losses: dict[str, float]
    differences: dict[str, tuple[float, float]]
    reason: str


def compare_rules(
    predictions: LabelledPredictions,
    *,
    rules: Sequence[str] = tuple(RULES),
    folds: Folds | None = None,
    n_splits: int = 5,
    seed: int = 0,
) -> RuleComparison:
    """Compare fusion rules on the training part. Each rule is fitted on some groups and scored on the others.

    A rule counts as good as the best one if its loss is larger by at most one standard error of the paired
    difference, by group. The simplest of these rules is chosen, in the order of `RULES`. If the groups do not
    allow two folds, the first rule is chosen.

    Args:
        predictions: out-of-fold predictions of the training part.
        rules: names of `RULES`.
        folds: folds to score on. Give the folds of the run: if the data bring their own validation part, or
            groups are not known, new random folds share artists and favour the rule that learns most.
            Default: new folds.
        n_splits: the number of new folds.
        seed: for new folds.

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
    n_folds = min(n_splits if folds is None else len(folds), most_folds(target, groups))
    obstacle = _reason_not_to_compare(len(predictions.members), len(ordered), n_folds)
    if obstacle is not None:
        return RuleComparison(ordered[0], {}, {}, obstacle)
    if folds is None:
        folds = grouped_folds(target, groups.tolist(), n_splits=n_folds, seed=seed)
    return _choose(_held_out_losses(predictions, ordered, folds), groups, n_folds)


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


def standard_error(difference: Floats, groups: Codes, n_groups: int) -> float:
    """Standard error of the mean of `difference` `(n,)`, by group; 0 for fewer than two groups.

    Args:
        difference: one number per clip, `(n,)`.
        groups: group number of each clip, `(n,)`.
        n_groups: the number of groups.
    """
    if n_groups < 2:
        return 0.0
    centred = difference - difference.mean()
    group_sums = np.bincount(groups, centred, n_groups)
    correction = n_groups / (n_groups - 1)
    error_of_sum = np.sqrt(correction * np.sum(group_sums**2))
    return float(error_of_sum / len(difference))


def _reason_not_to_compare(n_members: int, n_rules: int, n_folds: int) -> str | None:
    if n_members < 2:
        return "there is one member only"
    if n_rules < 2:
        return "there is one rule only"
    if n_folds < 2:
        return "a class lies in a single group"
    return None


def _held_out_losses(
    predictions: LabelledPredictions, rules: Sequence[str], folds: Folds
) -> dict[str, Floats]:
    """Rule → log loss of each clip `(n,)`, from weights that were learnt on the other folds."""
    losses = {rule: np.zeros(len(predictions.target)) for rule in rules}
    for train, held_out in folds:
        train_part, held_out_part = predictions.take(train), predictions.take(held_out)
        for rule in rules:
            fused = fit_fusion(rule, train_part).apply(held_out_part.stack)
            losses[rule][held_out] = clip_losses(held_out_part.target, fused)
    return losses


def _choose(losses: dict[str, Floats], groups: Codes, n_folds: int) -> RuleComparison:
    """The simplest rule within one standard error of the best. `losses` is in the order of `RULES`."""
    means = {rule: float(values.mean()) for rule, values in losses.items()}
    best = min(means, key=lambda rule: means[rule])
    n_groups = len(np.unique(groups))
    differences: dict[str, tuple[float, float]] = {}
    good_rules: list[str] = []
    for rule, values in losses.items():
        gap = means[rule] - means[best]
        error = standard_error(values - losses[best], groups, n_groups)
        differences[rule] = (gap, error)
        if gap <= error:
            good_rules.append(rule)
    chosen = good_rules[0]
    reason = f"the simplest within one standard error of the best ({best}), {n_folds} folds by group"
    return RuleComparison(chosen, means, differences, reason)
