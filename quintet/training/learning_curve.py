"""What more data would bring: the learning curve of a run, from members trained on parts of its training folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.registry import member_entry
from quintet.datasets.splits.protocols import nested_subsets
from quintet.datasets.splits.split import Positions
from quintet.datasets.splits.stratification import group_counts
from quintet.ensemble.crossfit import Inputs, Listener, Trainer, TrainingEvent
from quintet.ensemble.fusion import mean
from quintet.evaluation.learning_curve import curve_scores, outlook
from quintet.training.data import Material
from quintet.training.settings import LearningCurveSettings, TrainSettings

MIN_SIZES = 3  # for a ceiling, a slope and an exponent
MIN_GROUPS = 2  # of every class in every part: a member that calibrates itself needs both
FACTOR = 2.0
Parts = tuple[Positions, ...]  # what is learnt from, for each fold


class Task(NamedTuple):
    """What is learnt: n rows, their target (n,) or (n, K), units that never part, groups of the intervals, classes, and (train, judged) positions."""

    inputs: Inputs
    y: NDArray[Any]
    units: NDArray[Any]
    groups: NDArray[Any]
    classes: tuple[str, ...]
    folds: tuple[tuple[Positions, Positions], ...]

    @classmethod
    def from_material(cls, material: Material) -> Task:
        """The training part of a run on its folds; where the data bring a validation part, that part alone is judged."""
        split, rows = material.split, material.split.train
        folds = split.training_folds()
        of_data = split.protocol == "given" and len(folds) == 2
        known = (
            material.members_inputs(rows),
            material.target(rows),
            material.units[rows],
            material.groups[rows],
            tuple(material.classes),
        )
        return cls(*known, tuple(folds[:1] if of_data else folds))

    @property
    def scored_rows(self) -> Positions:
        """The rows that are judged, in order."""
        return np.sort(np.concatenate([held_out for _, held_out in self.folds]))

    def opinion(
        self, member: str, settings: TrainSettings, parts: Parts, listener: Listener
    ) -> NDArray[np.float64]:
        """(n, K) what the member says of the judged rows (NaN: of the others) after learning from these parts of the folds."""
        trainer = Trainer(member, settings.settings.get(member, {}), settings.seed)
        said = np.full((len(self.inputs), len(self.classes)), np.nan)
        for fold, (rows, (_, held_out)) in enumerate(zip(parts, self.folds, strict=True)):
            said[held_out] = trainer.predict_fold(
                self.inputs, self.y, self.units, fold, (rows, held_out), self.classes
            ).probabilities
            listener(TrainingEvent("curve", member, fold, len(self.folds)))
        return said

    def size(self, repeats: Sequence[Parts]) -> dict[str, float]:
        """How many clips and units are learnt from: means over the judged rows and the repeats."""
        shares = [len(held_out) for _, held_out in self.folds]
        clips, units = (
            [[count(rows) for rows in parts] for parts in repeats]
            for count in (len, lambda rows: len(np.unique(self.units[rows])))
        )
        return {
            name: float(np.average(np.mean(counts, axis=0), weights=shares))
            for name, counts in (("clips", clips), ("groups", units))
        }


def curve_members(settings: TrainSettings) -> tuple[str, ...]:
    """Who draws the curve: those that are named; else the table members, as a network on every part would cost hours; else all."""
    named = () if settings.learning_curve is None else settings.learning_curve.members
    return (
        named
        or tuple(name for name in settings.members if member_entry(name).input == "table")
        or settings.members
    )


def learning_curve(
    task: Task,
    settings: TrainSettings,
    *,
    known: Mapping[str, NDArray[Any]] | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """The plain mean of some members, trained on smaller and larger parts of every training fold, and judged on the whole of its other side.

    Parts are whole groups, stratified, each within the next larger one, and drawn anew in every repeat. All sizes are judged on the same clips.

    Args:
        task: the training part of a run and its folds.
        settings: members, their settings, seed, resamples, and `learning_curve`: shares, repeats.
        known: member → (n, K) out-of-fold probabilities after learning from the whole folds, where the run has them.
        listener: hears one event of kind `curve` per fit; `details["done"]` of `details["total"]` are finished.

    Returns:
        `{"members", "repeats", "n", "n_groups", "left_out", "points": [{"share", "clips", "groups", "scores": {name: {value, low, high}}}],
        "outlook": {name: Outlook json}}`. `left_out`: shares so small that a class had fewer than two groups. Where fewer than three sizes are
        left, `points` and `outlook` are empty.

    Raises:
        SplitLeakError: if a group stands on both sides of a fold.
    """
    chosen = settings.learning_curve or LearningCurveSettings()
    members, judged = curve_members(settings), task.scored_rows
    plans = [_plan(task, chosen.shares, settings.seed + repeat) for repeat in range(chosen.repeats)]
    usable = [
        k
        for k in range(len(chosen.shares))
        if all(_every_class(task, rows) for plan in plans for rows in plan[k])
    ]
    found: dict[str, Any] = {
        "members": list(members),
        "repeats": chosen.repeats,
        "n": len(judged),
        "n_groups": len(np.unique(task.groups[judged])),
        "left_out": [share for k, share in enumerate(chosen.shares) if k not in usable],
    }
    if len(usable) + 1 < MIN_SIZES:
        return {**found, "points": [], "outlook": {}}
    whole: Parts = tuple(train for train, _ in task.folds)
    sizes = [*([plan[k] for plan in plans] for k in usable), [whole]]
    missing = [name for name in members if name not in (known or {})]
    tell = _counted(
        listener,
        len(task.folds) * (len(members) * sum(len(repeats) for repeats in sizes[:-1]) + len(missing)),
    )
    opinions = [
        [mean([task.opinion(name, settings, parts, tell) for name in members])[judged] for parts in repeats]
        for repeats in sizes[:-1]
    ]
    full = {name: task.opinion(name, settings, whole, tell) for name in missing} | dict(known or {})
    opinions.append([mean([full[name] for name in members])[judged]])
    scores = curve_scores(
        task.y[judged],
        opinions,
        task.classes,
        task.groups[judged],
        n_resamples=settings.resamples,
        seed=settings.seed,
        multilabel=task.y.ndim == 2,
    )
    about = [task.size(repeats) for repeats in sizes]
    clips = [size["clips"] for size in about]
    points = [
        {
            "share": share,
            **size,
            "scores": {name: scores.estimate(k, name).to_json() for name in scores.names},
        }
        for k, (share, size) in enumerate(zip([*(chosen.shares[k] for k in usable), 1.0], about, strict=True))
    ]
    ahead = {
        name: outlook(
            clips, scores.values[:, i], scores.draws[:, :, i], factor=FACTOR, n_groups=scores.n_groups
        ).to_json()
        for i, name in enumerate(scores.names)
        if np.isfinite(scores.values[:, i]).all()
    }
    return {**found, "points": points, "outlook": ahead}


def _plan(task: Task, shares: Sequence[float], seed: int) -> list[Parts]:
    """For each share its part of every fold."""
    of_folds = []
    for fold, (train, _) in enumerate(task.folds):
        parts = nested_subsets(
            task.y[train], task.units[train].tolist(), shares=shares, seed=seed * len(task.folds) + fold
        )
        of_folds.append([train[part] for part in parts])
    return list(zip(*of_folds, strict=True))


def _every_class(task: Task, rows: Positions) -> bool:
    """Whether every class that the data have lies in two groups of this part or more."""
    if not len(rows):
        return False
    indicator = task.y if task.y.ndim == 2 else task.y[:, None] == np.unique(task.y)
    counts = group_counts(indicator[rows], task.units[rows].tolist())[0]
    return bool(((counts > 0).sum(axis=0) >= MIN_GROUPS)[indicator.any(axis=0)].all())


def _counted(listener: Listener | None, total: int) -> Listener:
    """Passes events on with how many fits are done."""
    done = 0

    def tell(event: TrainingEvent) -> None:
        nonlocal done
        done += 1
        if listener is not None:
            listener(
                TrainingEvent(
                    event.kind, event.member, event.fold, event.n_folds, {"done": done, "total": total}
                )
            )

    return tell
