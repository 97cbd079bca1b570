"""Pools of tasks: this process, worker processes of this machine, or a dask cluster."""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from quintet.audio.isolation.cluster import GOES_ON, Cluster
from quintet.classifiers.registry import make_member
from quintet.ensemble.tasks.task import (
    Finished,
    FitPool,
    FitTask,
    FittingRows,
    NothingKept,
    StoredRows,
    run_stored,
    run_task,
)
from quintet.errors import MachineError

MOST_DEATHS = 2
"""Workers that may die over one task that runs alone."""


class ThisProcess:
    """This process: one task after the other."""

    width = 1
    is_here = True

    def run(self, tasks: list[FitTask], rows: FittingRows) -> Iterator[Finished]:
        """Run the tasks in their order."""
        for task in tasks:
            yield run_task(task, rows)


class WorkerProcesses:
    """Worker processes of joblib. The table is in a file that all of them map into their memory.

    Args:
        n_jobs: number of processes, at least 2.
    """

    is_here = False

    def __init__(self, n_jobs: int) -> None:
        self.width = n_jobs

    def run(self, tasks: list[FitTask], rows: FittingRows) -> Iterator[Finished]:
        """Run the tasks. If a worker dies, the unfinished ones are tried again, then one by one.

        Raises:
            MachineError: workers died twice over a task that ran alone.
        """
        with tempfile.TemporaryDirectory(prefix="quintet-rows-") as folder, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="A worker stopped while")  # loky replaces it
            yield from self._run_stored(tasks, StoredRows.write(rows, Path(folder) / "table.npy"))

    def _run_stored(self, tasks: list[FitTask], stored: StoredRows) -> Iterator[Finished]:
        waiting = {number: _alone(task) for number, task in enumerate(tasks)}
        suspects: list[int] = []
        deaths: Counter[int] = Counter()
        while waiting:
            suspects = [number for number in suspects if number in waiting]
            numbers = suspects[:1] or list(waiting)
            pool = Parallel(n_jobs=self.width, return_as="generator_unordered", batch_size=1, max_nbytes=None)
            calls = [delayed(_run_numbered)(number, waiting[number], stored) for number in numbers]
            try:
                for number, finished in pool(calls):
                    yield replace(finished, task=tasks[number])
                    del waiting[number]
            except TerminatedWorkerError as error:
                if suspects:
                    deaths[suspects[0]] += 1
                else:
                    suspects = list(waiting)[: self.width]  # one of those that ran; alone, each shows it
                fatal = [number for number, count in deaths.items() if count >= MOST_DEATHS]
                if fatal:
                    raise _deadly(tasks[fatal[0]]) from error


class ClusterFits:
    """A dask cluster. Every worker gets a copy of the rows; results come back, and this process keeps them.

    Args:
        cluster: the connection.
    """

    is_here = False

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def width(self) -> int:
        """Threads of the workers."""
        return self._cluster.n_threads

    def run(self, tasks: list[FitTask], rows: FittingRows) -> Iterator[Finished]:
        """Run the tasks. Dask repeats those of a lost worker.

        Raises:
            MachineError: every worker that tried a task died, or lacks a library.
            QuintetError: the scheduler or all workers are gone.
        """
        shared = self._cluster.share(rows)
        tickets = {self._cluster.submit(run_task, _elsewhere(task), shared): task for task in tasks}
        losses: Counter[int] = Counter()
        while tickets:
            lost: list[FitTask] = []
            for answer in self._cluster.answers():
                task = tickets.pop(answer.ticket)
                losses[id(task)] += answer.lost
                if answer.died or losses[id(task)] > MOST_DEATHS:
                    raise _deadly(task)
                if answer.lost:
                    lost.append(task)
                    continue
                finished = replace(cast(Finished, answer.value), task=task)
                keep(finished)
                yield finished
            if lost:  # with the workers that had the rows
                shared = self._cluster.share(rows)
                tickets |= {self._cluster.submit(run_task, _elsewhere(task), shared): task for task in lost}


def keep(finished: Finished) -> None:
    """Keep a result that came from another machine in the cache of its task."""
    task = finished.task
    cache = task.trainer.cache
    if cache is None:
        return
    if finished.result is not None:
        cache.save(task.trainer.member + task.trainer.variant, task.fold, finished.result)
    if finished.member is not None:
        cache.save_member(task.trainer.member, finished.member)


@contextmanager
def open_fit_pool(n_jobs: int, scheduler: str | None = None) -> Iterator[FitPool]:
    """The pool that these settings ask for.

    Args:
        n_jobs: worker processes; with 0 or 1 this process works itself.
        scheduler: address of a dask scheduler; `n_jobs` is then ignored.

    Raises:
        MissingExtraError, ConfigError: the cluster cannot be used.
    """
    if scheduler is not None:
        with Cluster(scheduler, work="Training on a cluster") as cluster:
            yield ClusterFits(cluster)
    elif n_jobs > 1:
        try:
            yield WorkerProcesses(n_jobs)
        finally:
            with suppress(Exception):
                get_reusable_executor().shutdown(wait=True, kill_workers=True)
    else:
        yield ThisProcess()


def _run_numbered(number: int, task: FitTask, stored: StoredRows) -> tuple[int, Finished]:
    make_member(task.trainer.member)  # the imports of a new worker are no part of the time of its first fit
    finished = run_stored(task, stored)
    return number, replace(finished, task=FitTask(task.trainer, task.fold))


def _alone(task: FitTask) -> FitTask:
    """The task without what belongs to this process: its listener."""
    return replace(task, trainer=replace(task.trainer, listener=None))


def _elsewhere(task: FitTask) -> FitTask:
    """The task without what belongs to this machine: its listener, and the files of its cache."""
    cache = task.trainer.cache
    kept = None if cache is None else NothingKept(cache)
    return replace(task, trainer=replace(task.trainer, listener=None, cache=kept))


def _deadly(task: FitTask) -> MachineError:
    return MachineError(
        f"Workers must live until their fit is done. They died over {task.words}, again and again, "
        f"most likely because it takes more memory than there is: use fewer jobs, or fewer rows. {GOES_ON}"
    )
