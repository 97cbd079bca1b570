"""Search for one member: proposes settings, fits them fold by fold, stops bad trials early, stores results.

optuna calls such a search a *study*. A *trial* is one proposal of settings with its result.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.sizes import sized_settings
from quintet.ensemble.crossfit import Listener, Trainer
from quintet.errors import DatasetError
from quintet.evaluation.metrics import all_metrics, encode_labels
from quintet.predictions.predictions import Predictions, read_predictions
from quintet.settings import TomlTable, merge_settings, nest_settings
from quintet.training.data import Material, TrainingPart
from quintet.tuning.search_settings import TuneSettings
from quintet.tuning.spaces import Range, default_point

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
StopRule = Callable[[int, float], bool]
"""Fold, metric of all rows predicted so far → whether to stop."""
STARTUP_TRIALS = 5  # complete trials before a trial may be stopped early


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Args:
        member: name of the member.
        number: number of the trial; 0 is the default.
        state: `complete`, or `pruned` if it stopped early.
        value: metric of all rows that were predicted.
        settings: fixed and proposed settings.
        fold_values: metric of each fold.
        seconds: duration.
    """

    member: str
    number: int
    state: str
    value: float
    settings: TomlTable
    fold_values: tuple[float, ...]
    seconds: float


class TrialFacts(TypedDict):
    """Facts that the database stores with a trial.

    Args:
        running: for each fold, metric of all rows predicted up to this fold.
        fold_values: metric of each fold.
        seconds: duration.
        settings: fixed and proposed settings.
    """

    running: list[float]
    fold_values: list[float]
    seconds: float
    settings: TomlTable


@dataclass(frozen=True)
class Problem:
    """Training part of a run, and the metric that the search improves.

    Args:
        part: the training part.
        metric: `log_loss` or `macro_auc`.
    """

    part: TrainingPart
    metric: str

    @classmethod
    def from_material(cls, material: Material, *, metric: str) -> Problem:
        """The training part of a run on the folds of the run. The test part is not used.

        Args:
            material: data of the run.
            metric: `log_loss` or `macro_auc`.
        """
        return cls(TrainingPart.from_material(material, with_test_classes=False), metric)

    @property
    def larger_is_better(self) -> bool:
        """Whether a larger value of the metric is better."""
        return self.metric != "log_loss"

    def score(self, rows: Positions, probabilities: Floats) -> float:
        """Metric of some rows; NaN if it is undefined.

        Args:
            rows: positions in the training part, `(n,)`.
            probabilities: probabilities of these rows, `(n, K)`.
        """
        part = self.part
        target = encode_labels(part.y[rows], part.classes, multilabel=part.multilabel)
        scores = all_metrics(target, probabilities).scores
        return float(np.asarray(scores[self.metric]).item())


@dataclass(frozen=True)
class _FoldResults:
    """Probabilities and values of a trial's folds, up to the fold where it stopped."""

    probabilities: Floats
    running: list[float]
    fold_values: list[float]
    seconds: float

    def facts(self, settings: TomlTable) -> TrialFacts:
        """Facts that are stored with the trial."""
        return {
            "running": self.running,
            "fold_values": self.fold_values,
            "seconds": self.seconds,
            "settings": settings,
        }


class Search:
    """Search for the settings of one member, stored as a study of optuna.

    Args:
        member: name of the member.
        settings: settings of the whole search, with the fixed settings and the base settings of the member.
        problem: training part and metric.
        predictions_folder: folder for the predictions of the default and of the best trials.
        storage: database of the studies.
        listener: receives the training events.
    """

    def __init__(
        self,
        member: str,
        settings: TuneSettings,
        problem: Problem,
        predictions_folder: Path,
        storage: BaseStorage,
        listener: Listener | None = None,
    ) -> None:
        self.member = member
        self.settings = settings
        self.problem = problem
        self.predictions_folder = predictions_folder
        self.listener = listener
        self.fixed = settings.settings.get(member, {})
        self.study = self._open_study(storage)

    def _open_study(self, storage: BaseStorage) -> optuna.Study:
        import optuna
        from optuna.pruners import MedianPruner, NopPruner
        from optuna.study import StudyDirection

        median = MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1)
        larger = self.problem.larger_is_better
        return optuna.create_study(
            storage=storage,
            study_name=self.member,
            direction=StudyDirection.MAXIMIZE if larger else StudyDirection.MINIMIZE,
            pruner=median if self.settings.pruning else NopPruner(),
            load_if_exists=True,
        )

    def run(self, n_trials: int, *, end: float | None, on_trial: Callable[[Trial], None]) -> None:
        """Run trials until there are enough, or until the time is up. The default always runs.

        The database keeps only the number of a trial that is interrupted.

        Args:
            n_trials: number of trials, finished ones included.
            end: time of `time.monotonic` after which no trial starts. None: no limit.
            on_trial: called with each finished trial.
        """
        self._give_up_running_trials()
        number = len(self.finished_trials())
        while number < n_trials and (number == 0 or end is None or time.monotonic() < end):
            if number == 0:
                self._run_default()
            else:
                self._run_proposal(number)
            trials = self.finished_trials()
            on_trial(trials[-1])
            number = len(trials)

    def finished_trials(self) -> list[Trial]:
        """Complete and pruned trials, in their order."""
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.PRUNED)
        trials = []
        for number, stored in enumerate(self.study.get_trials(deepcopy=False, states=states)):
            facts: TrialFacts = stored.user_attrs["facts"]
            trial = Trial(
                member=self.member,
                number=number,
                state=stored.state.name.lower(),
                value=facts["running"][-1],
                settings=facts["settings"],
                fold_values=tuple(facts["fold_values"]),
                seconds=facts["seconds"],
            )
            trials.append(trial)
        return trials

    def best(self, trials: list[Trial]) -> Trial:
        """The best complete trial. If several are equal, it is the first one, so the default wins a tie."""
        sign = -1.0 if self.problem.larger_is_better else 1.0
        complete = [trial for trial in trials if trial.state == "complete"]
        return min(complete, key=lambda trial: sign * trial.value)

    def predictions(self, trial: Trial) -> Floats:
        """Out-of-fold probabilities `(scored, K)` of a complete trial: from its file, or from new fits.

        They are of the clips that the folds hold out (`TrainingPart.evaluation_rows`).
        """
        file = self._predictions_file(trial.number)
        if file.is_file():
            return np.asarray(read_predictions(file).probabilities, dtype=np.float64)
        probabilities = self._run_folds(trial.settings).probabilities
        self._write_predictions(trial.number, probabilities)
        return probabilities[self.problem.part.evaluation_rows]

    def keep_predictions(self, numbers: set[int]) -> None:
        """Delete the predictions of all trials except those with these numbers."""
        files = set(self.predictions_folder.glob("*.parquet"))
        for file in files - {self._predictions_file(number) for number in numbers}:
            file.unlink()

    def _run_default(self) -> None:
        """Run trial 0 and store it in one step, so that an interruption leaves no unfinished trial 0."""
        from optuna.trial import create_trial

        folds = self._run_folds(self.fixed)
        value = folds.running[-1]
        if math.isnan(value):
            raise DatasetError(
                f"{self.problem.metric} must be defined on the training part. It is not: give each class "
                "clips in two groups."
            )
        self._write_predictions(0, folds.probabilities)
        table = self.problem.part.inputs.table
        point = default_point(
            self.member,
            self.settings.space(self.member),
            self.settings.base_settings(self.member),
            n_columns=1 if table is None else table.shape[1],
        )
        defined = [fold for fold, running in enumerate(folds.running) if not math.isnan(running)]
        trial = create_trial(
            params=point,
            value=value,
            distributions=self._distributions(),
            intermediate_values=dict.fromkeys(defined, 0.0),
            user_attrs={"facts": folds.facts(self.fixed)},
        )
        self.study.add_trial(trial)

    def _run_proposal(self, number: int) -> None:
        """Run a trial whose settings depend only on the seed and the earlier trials."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        self.study.sampler = TPESampler(seed=_trial_seed(self.settings.seed, self.member, number))
        trial = self.study.ask(self._distributions())
        state, value = TrialState.FAIL, None
        try:
            settings = merge_settings(self.fixed, nest_settings(trial.params))
            earlier = self.finished_trials()
            folds = self._run_folds(settings, lambda fold, running: self._should_stop(trial, fold, running))
            trial.set_user_attr("facts", folds.facts(settings))
            if len(folds.running) < len(self.problem.part.folds):
                state = TrialState.PRUNED
            else:
                last = folds.running[-1]
                if self._is_better(last, self.best(earlier).value):
                    self._write_predictions(number, folds.probabilities)
                state, value = TrialState.COMPLETE, last
        finally:
            self.study.tell(trial, value, state=state)

    def _should_stop(self, trial: optuna.Trial, fold: int, running: float) -> bool:
        """Whether a trial should stop, because it is worse than the median of earlier trials at this fold.

        Some folds are harder than others. So the value that is compared is the difference from the default on
        the same rows.
        """
        stored = self.study.get_trials(deepcopy=False)
        default = next(other for other in stored if "facts" in other.user_attrs)
        facts: TrialFacts = default.user_attrs["facts"]
        difference = running - facts["running"][fold]
        if math.isnan(difference):
            return False
        trial.report(difference, fold)
        is_last = fold + 1 >= len(self.problem.part.folds)
        return not is_last and bool(trial.should_prune())

    def _run_folds(self, settings: TomlTable, should_stop: StopRule | None = None) -> _FoldResults:
        """Fit and predict each fold with these settings over the base settings, until a stop or the end."""
        problem, part = self.problem, self.problem.part
        trainer = Trainer(
            self.member,
            sized_settings(
                self.member,
                merge_settings(self.settings.base.get(self.member, {}), settings),
                len(part.y),
            ),
            seed=self.settings.seed,
            listener=self.listener,
            n_folds=len(part.folds),
        )
        probabilities = np.full((len(part.y), len(part.classes)), np.nan)
        running: list[float] = []
        fold_values: list[float] = []
        start = time.perf_counter()
        for fold, rows in enumerate(part.folds):
            result = trainer.predict_fold(part.inputs, part.y, part.units, fold, rows, part.classes)
            _, valid = rows
            probabilities[valid] = result.probabilities
            done = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
            fold_values.append(problem.score(valid, result.probabilities))
            running.append(problem.score(done, probabilities[done]))
            if should_stop is not None and should_stop(fold, running[-1]):
                break
        return _FoldResults(probabilities, running, fold_values, time.perf_counter() - start)

    def _is_better(self, value: float, best: float) -> bool:
        return value > best if self.problem.larger_is_better else value < best

    def _distributions(self) -> dict[str, BaseDistribution]:
        space = self.settings.space(self.member)
        return {name: _distribution(limits) for name, limits in space.items()}

    def _give_up_running_trials(self) -> None:
        """Mark trials that a killed process left unfinished as failed."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _predictions_file(self, number: int) -> Path:
        return self.predictions_folder / f"{number:04d}.parquet"

    def _write_predictions(self, number: int, probabilities: Floats) -> None:
        part = self.problem.part
        rows = part.evaluation_rows
        predictions = Predictions(
            clip_ids=part.ids[rows],
            classes=part.classes,
            probabilities=probabilities[rows],
            labels=part.labels[rows],
            groups=part.groups[rows],
            multilabel=part.multilabel,
        )
        predictions.write(self._predictions_file(number))


def _trial_seed(seed: int, member: str, number: int) -> int:
    """Seed of the sampler for one trial, in 31 bits."""
    member_code = zlib.crc32(member.encode())
    sequence = np.random.SeedSequence([seed, member_code, number])
    word = sequence.generate_state(1)[0]
    return int(word % (2**31 - 1))


def _distribution(limits: Range) -> BaseDistribution:
    """A range as optuna describes it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if limits[0] == "choice":
        return CategoricalDistribution(limits[1:])
    if limits[0] == "int":
        _, lowest, highest, log = limits
        return IntDistribution(lowest, highest, log=log)
    _, low, high, log = limits
    return FloatDistribution(low, high, log=log)
