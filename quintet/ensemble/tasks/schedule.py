"""Order of the tasks of a run, their events, and the fits that are done ahead of an ensemble.

`fit_ahead` fills the cache of a run: each fold of each member, and each member on all rows. The ensemble then
finds everything there, whichever pool did the work. Networks are not among the tasks of a pool: a large one
takes all processors, or the graphics processor, and small ones are fitted side by side in this process
(`networks.py`). Each keeps its state after every epoch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from quintet.classifiers.sizes import MANY_ROWS
from quintet.ensemble.array_types import Folds, Groups, Labels
from quintet.ensemble.crossfit import FINAL_FIT, FoldResult, Inputs, Listener, Trainer
from quintet.ensemble.model_selection.penalties import cross_fit, penalty_trainers
from quintet.ensemble.tasks.networks import networks_at_once, run_networks
from quintet.ensemble.tasks.task import Finished, FitPool, FitTask, FittingRows
from quintet.ensemble.tasks.time_left import TimeLeft, fit_units

LONG_RUN = 5_000
"""Rows from which one process takes the folds one by one, and each member in each of them: after the first
fold, the time of every member is known."""


@dataclass(frozen=True)
class FitPlan:
    """What a run fits.

    Args:
        trainers: one per member.
        inputs: n rows.
        y: labels `(n,)`, or an indicator matrix `(n, K)`.
        groups: group of each row, `(n,)`.
        folds: folds of the run.
        classes: K names.
    """

    trainers: tuple[Trainer, ...]
    inputs: Inputs
    y: Labels
    groups: Groups
    folds: Folds
    classes: tuple[str, ...]

    def with_listener(self, listener: Listener) -> FitPlan:
        """The same plan, whose trainers report their events to `listener`."""
        trainers = tuple(replace(trainer, listener=listener) for trainer in self.trainers)
        return replace(self, trainers=trainers)

    def rows(self) -> FittingRows:
        """The rows of the members that read tables."""
        return FittingRows.from_inputs(self.inputs, self.y, self.groups, self.classes)

    def time_left(self, width: int) -> TimeLeft:
        """An estimate of the time that the fits take, before any of them is done."""
        fits: dict[tuple[str, int], list[int]] = {}
        for trainer in self.trainers:
            n_variants = len(penalty_trainers(trainer))
            for fold, (train, _) in enumerate(self.folds):
                fits[trainer.member, fold] = [len(train)] * n_variants
            fits[trainer.member, FINAL_FIT] = [len(self.y)]
        networks = {trainer.member: networks_at_once(trainer, len(self.y)) for trainer in self.networks}
        return TimeLeft(fits, width, networks, bounded=len(self.y) > MANY_ROWS)

    @property
    def networks(self) -> list[Trainer]:
        """The trainers of networks."""
        return [trainer for trainer in self.trainers if trainer.input == "spectrogram"]


def fit_ahead(plan: FitPlan, pool: FitPool) -> None:
    """Fit what members of tables need in a pool, then small networks, and keep all in their caches.

    A pool in this process does only the folds of long runs, so that the first fold tells the time of all.

    Args:
        plan: its trainers have a cache.
        pool: where the tasks run.
    """
    _fit_tables_ahead(plan, pool)
    for trainer in plan.networks:
        if networks_at_once(trainer, len(plan.y)) > 1:
            _fit_network_ahead(trainer, plan)


def _fit_network_ahead(trainer: Trainer, plan: FitPlan) -> None:
    tasks = [FitTask(trainer, fold, parts) for fold, parts in enumerate(plan.folds)]

    def fit(task: FitTask) -> None:
        if task.parts is None:
            task.trainer.fit_on_all(plan.inputs, plan.y, plan.groups)
        else:
            given = (plan.inputs, plan.y, plan.groups, task.fold, task.parts, plan.classes)
            task.trainer.predict_fold(*given)

    run_networks([FitTask(trainer), *tasks], fit, n_rows=len(plan.y))  # the longest first


def _fit_tables_ahead(plan: FitPlan, pool: FitPool) -> None:
    trainers = [trainer for trainer in plan.trainers if trainer.input == "table"]
    if not trainers or (pool.is_here and len(plan.y) < LONG_RUN):
        return
    folds = _fold_tasks(trainers, plan.folds)
    direct = [trainer for trainer in trainers if len(penalty_trainers(trainer)) == 1]
    tasks = folds if pool.is_here else folds + _final_tasks(direct, len(plan.y))
    rows = plan.rows()
    _run_unfinished(tasks, rows, pool)
    if pool.is_here:
        return
    chosen = [
        cross_fit(replace(trainer, listener=None), plan.inputs, plan.y, plan.groups, plan.folds, plan.classes)
        for trainer in trainers
        if trainer not in direct
    ]
    last = [replace(fit.trainer, listener=plan.trainers[0].listener) for fit in chosen]
    _run_unfinished(_final_tasks(last, len(plan.y)), rows, pool)


def predict_folds(
    tasks: Sequence[FitTask],
    inputs: Inputs,
    y: Labels,
    groups: Groups,
    classes: Sequence[str],
    pool: FitPool,
    report: Callable[[FitTask], None] | None = None,
) -> list[FoldResult]:
    """Results of folds whose trainers have no cache, in the order of the tasks.

    Args:
        tasks: folds.
        inputs: n rows.
        y: labels `(n,)`, or an indicator matrix `(n, K)`.
        groups: group of each row, `(n,)`.
        classes: K names.
        pool: where members that read tables are fitted. Networks are fitted in this process.
        report: called with each task that is done.
    """
    of_tables = [task for task in tasks if task.trainer.input == "table"]
    results: dict[int, FoldResult] = {}
    if of_tables:
        rows = FittingRows.from_inputs(inputs, y, groups, tuple(classes))
        for finished in _run(of_tables, rows, pool):
            assert finished.result is not None
            results[id(finished.task)] = finished.result
            if report is not None:
                report(finished.task)
    of_networks: dict[str, list[FitTask]] = {}
    for task in tasks:
        if task.trainer.input != "table":
            of_networks.setdefault(task.trainer.member, []).append(task)

    def fit(task: FitTask) -> FoldResult:
        assert task.parts is not None
        return task.trainer.predict_fold(inputs, y, groups, task.fold, task.parts, classes)

    for of_network in of_networks.values():
        for task, result in zip(of_network, run_networks(of_network, fit, n_rows=len(y)), strict=True):
            results[id(task)] = result
            if report is not None:
                report(task)
    return [results[id(task)] for task in tasks]


def _fold_tasks(trainers: Sequence[Trainer], folds: Folds) -> list[FitTask]:
    """Every fold of every member: fold by fold, in each of them the longest fit first."""
    tasks = []
    bounded = sum(len(valid) for _, valid in folds) > MANY_ROWS
    for fold, parts in enumerate(folds):
        variants = [variant for trainer in trainers for variant in penalty_trainers(trainer)]
        variants.sort(key=lambda variant: -fit_units(variant.member, len(parts[0]), bounded=bounded))
        tasks += [FitTask(variant, fold, parts) for variant in variants]
    return tasks


def _final_tasks(trainers: Sequence[Trainer], n_rows: int) -> list[FitTask]:
    longest_first = sorted(
        trainers, key=lambda trainer: -fit_units(trainer.member, n_rows, bounded=n_rows > MANY_ROWS)
    )
    return [FitTask(trainer) for trainer in longest_first]


def _run_unfinished(tasks: list[FitTask], rows: FittingRows, pool: FitPool) -> None:
    """Run the tasks that no earlier run has finished. Then the results of all are in the caches."""
    waiting = []
    for task in tasks:
        cache = task.trainer.cache
        name = task.trainer.member + task.trainer.variant
        if cache is not None and cache.is_finished(name, task.fold):
            task.trainer.notify("reused", task.fold)
        else:
            waiting.append(task)
    for _ in _run(waiting, rows, pool):
        pass


def _run(tasks: list[FitTask], rows: FittingRows, pool: FitPool) -> Iterator[Finished]:
    """Run tasks, and report the events of those that other processes run."""
    if pool.is_here:
        yield from pool.run(tasks, rows)
        return
    following = iter(tasks)
    for task in itertools.islice(following, pool.width):
        task.trainer.notify("start", task.fold)
    for finished in pool.run(tasks, rows):
        finished.task.trainer.notify("done", finished.task.fold, seconds=finished.seconds)
        for task in itertools.islice(following, 1):
            task.trainer.notify("start", task.fold)
        yield finished
