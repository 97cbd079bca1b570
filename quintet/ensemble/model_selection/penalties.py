"""Choice of the penalty of a member, on the folds of the run.

A member is fitted with every penalty of its ladder on every fold. The penalty with the least log loss is
chosen, after each got its temperature, because strong penalties give probabilities that are too close to each
other. In cross-validation the penalty of a fold is chosen without the fold, and that of the final member on
all folds. On a validation part of the data it is chosen on that part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quintet.classifiers.penalties import find_ladder
from quintet.ensemble.array_types import Floats, Folds, Groups, Labels
from quintet.ensemble.crossfit import FoldResult, Inputs, Trainer
from quintet.ensemble.fusion import LabelledPredictions
from quintet.ensemble.model_selection.temperatures import apply_temperature, fit_temperature
from quintet.ensemble.support import count_units, plan_learning
from quintet.files.json_types import JsonObject


@dataclass(frozen=True)
class PenaltyChoice:
    """The penalty that was chosen for a member.

    Args:
        setting: name of the setting.
        losses: value → log loss on clips that the member had not seen, after calibration. From the strongest
            penalty to the weakest.
        chosen: value of the final member.
        by_fold: value of the member of each fold, chosen without the fold.
    """

    setting: str
    losses: dict[float, float]
    chosen: float
    by_fold: tuple[float, ...]

    def to_json(self) -> JsonObject:
        """JSON object with the fields; `losses` is a list of pairs."""
        return {
            "setting": self.setting,
            "losses": [[value, loss] for value, loss in self.losses.items()],
            "chosen": self.chosen,
            "by_fold": list(self.by_fold),
        }


@dataclass(frozen=True)
class CrossFit:
    """Out-of-fold predictions of a member.

    Args:
        trainer: makes and fits the final member.
        probabilities: `(n, K)`; NaN for rows that no fold holds out.
        results: one result per fold.
        penalty: the choice of the penalty; None if it was decided.
    """

    trainer: Trainer
    probabilities: Floats
    results: list[FoldResult]
    penalty: PenaltyChoice | None = None


def cross_fit(
    trainer: Trainer,
    inputs: Inputs,
    y: Labels,
    groups: Groups,
    folds: Folds,
    classes: Sequence[str],
) -> CrossFit:
    """Predict every held-out row with a member that was fitted without it; choose its penalty, if it has one.

    Args:
        trainer: makes and fits the member.
        inputs: n rows.
        y: labels `(n,)`, or an indicator matrix `(n, K)`.
        groups: group of each row, `(n,)`.
        folds: several folds that hold out each row once, or one fold: a validation part.
        classes: K names.

    Raises:
        SplitLeakError: a group is on both sides of a fold.
    """
    ladder = find_ladder(trainer.member, trainer.settings)
    if ladder is None:
        return CrossFit(trainer, *trainer.out_of_fold(inputs, y, groups, folds, classes))
    trainers = penalty_trainers(trainer)
    tried = [one.out_of_fold(inputs, y, groups, folds, classes) for one in trainers]
    plan = plan_learning(y, groups, folds, seed=trainer.seed)
    rows = plan.rows
    labelled = LabelledPredictions.from_labels(
        np.stack([probabilities[rows] for probabilities, _ in tried]),
        y[rows],
        groups[rows],
        members=[str(value) for value in ladder.values],
        classes=classes,
        validation=plan.validation,
    )
    losses = losses_after_calibration(labelled.take(plan.taught))
    final = int(np.argmin(losses))
    by_fold = [final]
    if len(folds) > 1:
        by_fold = [int(np.argmin(losses_after_calibration(labelled.take(train)))) for train, _ in folds]
    probabilities = np.full_like(tried[0][0], np.nan)
    for fold, (_, held_out) in enumerate(folds):
        probabilities[held_out] = tried[by_fold[fold]][0][held_out]
    choice = PenaltyChoice(
        ladder.setting,
        dict(zip(ladder.values, losses, strict=True)),
        ladder.values[final],
        tuple(ladder.values[k] for k in by_fold),
    )
    results = [tried[k][1][fold] for fold, k in enumerate(by_fold)]
    return CrossFit(trainers[final], probabilities, results, choice)


def penalty_trainers(trainer: Trainer) -> list[Trainer]:
    """The trainers of all penalties that are tried for a member; itself if its penalty is decided.

    Args:
        trainer: makes and fits the member.
    """
    ladder = find_ladder(trainer.member, trainer.settings)
    if ladder is None:
        return [trainer]
    return [_with_penalty(trainer, ladder.setting, value) for value in ladder.values]


def _with_penalty(trainer: Trainer, setting: str, value: float) -> Trainer:
    """The same trainer for the member with another penalty."""
    settings = {**trainer.settings, setting: value}
    return replace(trainer, settings=settings, variant=f"~{setting}={value:g}")


def losses_after_calibration(predictions: LabelledPredictions) -> list[float]:
    """Log loss of each member after it got its temperature on the same clips; M numbers.

    Args:
        predictions: of clips that the members have not seen.
    """
    n_units = count_units(predictions.groups)
    multilabel = predictions.target.ndim == 2
    losses = []
    for probabilities in predictions.stack:
        temperature = fit_temperature(probabilities, predictions.target, n_units)
        calibrated = apply_temperature(probabilities, temperature, multilabel=multilabel)
        losses.append(float(predictions.losses(calibrated).mean()))
    return losses
