"""The search of one member: proposals, folds, pruning, and what is kept of each trial."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.ensemble.crossfit import Listener, Trainer
from quintet.errors import DatasetError
from quintet.evaluation.metrics import encode_labels, multi_label_metrics, single_label_metrics
from quintet.predictions.predictions import Predictions, read_predictions
from quintet.settings import merge_settings, nest_settings
from quintet.training.data import Material, TrainingPart
from quintet.tuning.spaces import Range, default_point, search_space

Floats = NDArray[np.float64]
STARTUP_TRIALS = 5  # complete ones, before any is pruned


@dataclass(frozen=True)
class Trial:
    """One trial that has ended. `state`: complete or pruned (then `value` is that of the folds it got to). `settings`: what was held and proposed."""

    member: str
    number: int
    state: str
    value: float
    settings: dict[str, Any]
    fold_values: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Problem:
    """The training part of a run, and the metric of the search.

    Args:
        part: the training part.
        metric: `log_loss` or `macro_auc`.
    """

    part: TrainingPart
    metric: str

    @classmethod
    def from_material(cls, material: Material, *, metric: str) -> Problem:
        """The training part on the folds of the run. The test part is not looked at."""
        return cls(TrainingPart.from_material(material, with_test_classes=False), metric)

    @property
    def larger_is_better(self) -> bool:
        """Of the metric."""
        return self.metric != "log_loss"

    def score(self, rows: NDArray[np.intp], probabilities: Floats) -> float:
        """The metric of these rows' `(n, k)` probabilities; NaN where it is undefined."""
        part = self.part
        target = encode_labels(part.y[rows], part.classes, multilabel=part.multilabel)
        metrics = multi_label_metrics if part.multilabel else single_label_metrics
        return float(np.asarray(metrics(target, probabilities).scores[self.metric]).item())


@dataclass(frozen=True)
class _Run:
    """What a trial's folds gave: `running[k]` is the metric of all rows predicted up to fold k, `fold_values[k]` that of fold k alone."""

    probabilities: Floats
    running: list[float]
    fold_values: list[float]
    seconds: float

    @property
    def facts(self) -> dict[str, Any]:
        """What is stored beside a trial."""
        return {"running": self.running, "fold_values": self.fold_values, "seconds": self.seconds}


@dataclass(frozen=True)
class Search:
    """The study of one member.

    `fixed`: settings that are not searched. `predictions_folder`: the folder of the predictions of the best so far and the default. `base`: the settings of the
    run that is tuned for, which a trial has where nothing is held or proposed. `decided`: names of settings that this run decides elsewhere.
    """

    member: str
    fixed: dict[str, Any]
    problem: Problem
    predictions_folder: Path
    seed: int
    pruning: bool
    storage: Any
    listener: Listener | None = None
    base: dict[str, Any] = field(default_factory=dict)
    decided: tuple[str, ...] = ()
    study: Any = field(init=False)

    def __post_init__(self) -> None:
        import optuna

        pruner = (
            optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1)
            if self.pruning
            else optuna.pruners.NopPruner()
        )
        direction = (
            optuna.study.StudyDirection.MAXIMIZE
            if self.problem.larger_is_better
            else optuna.study.StudyDirection.MINIMIZE
        )
        study = optuna.create_study(
            storage=self.storage,
            study_name=self.member,
            direction=direction,
            pruner=pruner,
            load_if_exists=True,
        )
        object.__setattr__(self, "study", study)

    @property
    def space(self) -> dict[str, Range]:
        """What is searched."""
        return search_space(self.member, {**self.fixed, **dict.fromkeys(self.decided)})

    def run(self, n_trials: int, *, ends: float | None, on_trial: Callable[[Trial], None]) -> None:
        """Trials until there are so many, or time (of `time.monotonic`) is up. Of one that is interrupted only its number stays behind."""
        self._give_up_unfinished()
        while (number := len(self.finished_trials())) < n_trials and (
            number == 0 or ends is None or time.monotonic() < ends
        ):
            if number == 0:
                self._default()
            else:
                self._next(number)
            on_trial(self.finished_trials()[-1])

    def finished_trials(self) -> list[Trial]:
        """The trials that ended, in their order."""
        from optuna.trial import TrialState

        ended = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        facts = [trial.user_attrs["facts"] for trial in ended]
        return [
            Trial(
                self.member,
                k,
                t.state.name.lower(),
                f["running"][-1],
                f["settings"],
                tuple(f["fold_values"]),
                f["seconds"],
            )
            for k, (t, f) in enumerate(zip(ended, facts, strict=True))
        ]

    def best(self, trials: list[Trial]) -> Trial:
        """The best complete trial; of equals the first, so that the default is left only for something better."""
        sign = -1.0 if self.problem.larger_is_better else 1.0
        return min((t for t in trials if t.state == "complete"), key=lambda t: sign * t.value)

    def predictions(self, trial: Trial) -> Floats:
        """The out-of-fold probabilities of a complete trial: kept, or made again."""
        file = self._file(trial.number)
        if file.is_file():
            return np.asarray(read_predictions(file).probabilities, dtype=np.float64)
        found = self._folds(trial.settings).probabilities
        self._keep(trial.number, found)
        return found

    def keep_only(self, numbers: set[int]) -> None:
        """Remove the predictions of all other trials."""
        for file in set(self.predictions_folder.glob("*.parquet")) - {
            self._file(number) for number in numbers
        }:
            file.unlink()

    def _default(self) -> None:
        """Trial 0, stored in one piece."""
        from optuna.trial import create_trial

        run = self._folds(self.fixed)
        if math.isnan(run.running[-1]):
            raise DatasetError(
                f"{self.problem.metric} must be defined on the training part. It is not: see that each class has clips in two groups."
            )
        self._keep(0, run.probabilities)
        table = self.problem.part.inputs.table
        place = default_point(
            self.member,
            self.space,
            merge_settings(self.base, self.fixed),
            n_columns=1 if table is None else table.shape[1],
        )
        steps = {k: 0.0 for k, value in enumerate(run.running) if not math.isnan(value)}
        facts = {"facts": {**run.facts, "settings": self.fixed}}
        common: dict[str, Any] = {
            "distributions": self._distributions(),
            "intermediate_values": steps,
            "user_attrs": facts,
        }
        self.study.add_trial(create_trial(params=place, value=run.running[-1], **common))

    def _next(self, number: int) -> None:
        """A trial that depends on nothing but the seed and those before it."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        self.study.sampler = TPESampler(seed=_trial_seed(self.seed, self.member, number))
        trial, state = self.study.ask(self._distributions()), TrialState.FAIL
        value: float | None = None
        try:
            settings = merge_settings(self.fixed, nest_settings(trial.params))
            before = self.finished_trials()
            run = self._folds(settings, lambda k, running: self._hopeless(trial, k, running))
            trial.set_user_attr("facts", {**run.facts, "settings": settings})
            complete = len(run.running) == len(self.problem.part.folds)
            if complete and self._beats(run.running[-1], self.best(before).value):
                self._keep(number, run.probabilities)
            state, value = (TrialState.COMPLETE, run.running[-1]) if complete else (TrialState.PRUNED, None)
        finally:
            self.study.tell(trial, value, state=state)

    def _hopeless(self, trial: Any, fold: int, running: float) -> bool:
        """Whether to stop here. What is compared is the difference to the default on the same rows, for folds differ in how hard they are."""
        trials = self.study.get_trials(deepcopy=False)
        first = next(t for t in trials if "facts" in t.user_attrs).user_attrs["facts"]["running"][fold]
        if math.isnan(running - first):
            return False
        trial.report(running - first, fold)
        return fold + 1 < len(self.problem.part.folds) and bool(trial.should_prune())

    def _folds(self, settings: dict[str, Any], hopeless: Callable[[int, float], bool] | None = None) -> _Run:
        """The member with these settings over the base, fold by fold, until the end or until there is no hope."""
        problem, part = self.problem, self.problem.part
        trainer = Trainer(
            self.member,
            merge_settings(self.base, settings),
            self.seed,
            None,
            self.listener,
            len(part.folds),
        )
        probabilities = np.full((len(part.y), len(part.classes)), np.nan)
        running, fold_values, started = [], [], time.perf_counter()
        for fold, rows in enumerate(part.folds):
            found = trainer.predict_fold(part.inputs, part.y, part.units, fold, rows, part.classes)
            probabilities[rows[1]] = found.probabilities
            done = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
            fold_values.append(problem.score(rows[1], found.probabilities))
            running.append(problem.score(done, probabilities[done]))
            if hopeless is not None and hopeless(fold, running[-1]):
                break
        return _Run(probabilities, running, fold_values, time.perf_counter() - started)

    def _beats(self, value: float, best: float) -> bool:
        return value > best if self.problem.larger_is_better else value < best

    def _distributions(self) -> dict[str, Any]:
        return {name: _distribution(limits) for name, limits in self.space.items()}

    def _give_up_unfinished(self) -> None:
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _file(self, number: int) -> Path:
        return self.predictions_folder / f"{number:04d}.parquet"

    def _keep(self, number: int, probabilities: Floats) -> None:
        p = self.problem.part
        known: dict[str, Any] = {"labels": p.labels, "groups": p.groups, "multilabel": p.multilabel}
        Predictions(clip_ids=p.ids, classes=p.classes, probabilities=probabilities, **known).write(
            self._file(number)
        )


def _trial_seed(seed: int, member: str, number: int) -> int:
    return int(
        np.random.SeedSequence([seed, zlib.crc32(member.encode()), number]).generate_state(1)[0] % (2**31 - 1)
    )


def _distribution(limits: Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    kind, *rest = limits
    if kind == "choice":
        return CategoricalDistribution(rest)
    low, high, log = rest
    return (IntDistribution if kind == "int" else FloatDistribution)(low, high, log=log)
