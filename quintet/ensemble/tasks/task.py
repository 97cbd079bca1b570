"""One fit of a member as a task, and the rows that all tasks share.

A task has its own seed, so that it gives the same numbers in any process and in any order.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from quintet.classifiers.member import Member
from quintet.ensemble.array_types import Floats, Groups, Labels, Positions
from quintet.ensemble.crossfit import FINAL_FIT, FoldCache, FoldResult, Inputs, Trainer
from quintet.files.atomic import save_array

Fold = tuple[Positions, Positions]


@dataclass(frozen=True)
class FitTask:
    """A fit of one member.

    Args:
        trainer: makes and fits the member. If it has a cache, the result is kept there.
        fold: number of the fold; -1 for the fit on all rows.
        parts: positions of the training rows and of the held-out rows; None for the fit on all rows.
    """

    trainer: Trainer
    fold: int = FINAL_FIT
    parts: Fold | None = None

    @property
    def words(self) -> str:
        """The task in messages: `fold 2 of svm`."""
        part = "the last fit" if self.fold == FINAL_FIT else f"fold {self.fold + 1}"
        return f"{part} of {self.trainer.member}"


@dataclass(frozen=True)
class FittingRows:
    """Rows of the tasks.

    Args:
        table: features `(n, d)`, float32 or float64.
        columns: names of the columns.
        ids: id of each row.
        y: labels `(n,)`, or an indicator matrix `(n, K)`.
        groups: group of each row, `(n,)`.
        classes: K names.
    """

    table: Floats
    columns: tuple[str, ...]
    ids: pd.Index
    y: Labels
    groups: Groups
    classes: tuple[str, ...]

    @classmethod
    def from_inputs(cls, inputs: Inputs, y: Labels, groups: Groups, classes: tuple[str, ...]) -> FittingRows:
        """The rows of members that read tables.

        Args:
            inputs: with a table, n rows.
            y: labels `(n,)`, or an indicator matrix `(n, K)`.
            groups: group of each row, `(n,)`.
            classes: K names.
        """
        table = inputs.view("table")
        assert isinstance(table, pd.DataFrame)
        values = table.to_numpy()
        if values.dtype not in (np.float32, np.float64):
            values = table.to_numpy(np.float64)
        return cls(values, tuple(map(str, table.columns)), table.index, y, groups, classes)

    @property
    def inputs(self) -> Inputs:
        """The table with the names of its columns. The numbers are not copied."""
        return Inputs(pd.DataFrame(self.table, index=self.ids, columns=list(self.columns), copy=False))


@dataclass(frozen=True)
class StoredRows:
    """`FittingRows` whose table is in a file, which every process of this machine maps into its memory.

    Args:
        path: the file, `.npy`.
        rest: the same rows with an empty table.
    """

    path: Path
    rest: FittingRows

    @classmethod
    def write(cls, rows: FittingRows, path: Path) -> StoredRows:
        """Write the table of `rows` to `path`."""
        save_array(path, rows.table)
        return cls(path, replace(rows, table=rows.table[:0]))


@dataclass(frozen=True)
class Finished:
    """A finished task.

    Args:
        task: the task.
        seconds: time of the fit and, for a fold, of its predictions.
        result: what a fold gives; None if the cache has it.
        member: the member that was fitted on all rows; None if the cache has it.
    """

    task: FitTask
    seconds: float
    result: FoldResult | None = None
    member: Member | None = None


@dataclass(frozen=True)
class NothingKept:
    """The cache of a task on another machine: it knows what the cache of the run asks for, and keeps nothing.

    Args:
        asks: the cache of the run.
    """

    asks: FoldCache

    def load(self, member: str, fold: int) -> None:
        """Nothing: no fold is kept."""

    def save(self, member: str, fold: int, result: FoldResult) -> None:
        """Do nothing: the result goes back to the run."""

    def importance(self, member: str, fold: int, estimator: Member, table: pd.DataFrame) -> Floats | None:
        """Importance of the columns, if the run asks for it."""
        return self.asks.importance(member, fold, estimator, table)

    def is_finished(self, member: str, fold: int) -> bool:
        """False: no fold is kept."""
        return False

    def checkpoint(self, member: str, fold: int) -> None:
        """Nothing: networks are not fitted elsewhere."""

    def load_member(self, member: str) -> None:
        """Nothing: no member is kept."""

    def save_member(self, member: str, estimator: Member) -> None:
        """Do nothing: the member goes back to the run."""


class FitPool(Protocol):
    """A place where tasks are run."""

    is_here: bool
    """Whether the tasks run in this process, so that their trainers report events themselves."""

    @property
    def width(self) -> int:
        """Number of tasks that run at a time."""
        ...

    def run(self, tasks: list[FitTask], rows: FittingRows) -> Iterator[Finished]:
        """Run the tasks on these rows; yield each when it is finished, in any order."""
        ...


def run_task(task: FitTask, rows: FittingRows) -> Finished:
    """Run one task in this process. A result that its cache keeps is not returned."""
    trainer, inputs = task.trainer, rows.inputs
    is_kept = trainer.cache is not None and not isinstance(trainer.cache, NothingKept)
    started = time.perf_counter()
    if task.parts is None:
        member = trainer.fit_on_all(inputs, rows.y, rows.groups)
        seconds = time.perf_counter() - started
        return Finished(task, seconds, member=None if is_kept else member)
    result = trainer.predict_fold(inputs, rows.y, rows.groups, task.fold, task.parts, rows.classes)
    return Finished(task, result.seconds, result=None if is_kept else result)


def run_stored(task: FitTask, stored: StoredRows) -> Finished:
    """`run_task` on rows whose table is in a file."""
    return run_task(task, replace(stored.rest, table=_map_table(stored.path)))


@functools.lru_cache(maxsize=1)
def _map_table(path: Path) -> Floats:
    table: Floats = np.load(path, mmap_mode="r")
    return table
