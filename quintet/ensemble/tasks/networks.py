"""Fits of small networks side by side, in threads of this process.

A step of a small network takes milliseconds, and within it TensorFlow can seldom use all processors. So on a
CPU the folds of a small network are fitted at the same time. The numbers are those of fits one after the
other: each has its own network and its own seed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TypeVar

from quintet.classifiers.registry import member_entry
from quintet.ensemble.crossfit import Trainer, TrainingEvent
from quintet.ensemble.tasks.task import FitTask
from quintet.files.machine import job_count

T = TypeVar("T")

MOST_ROWS = 20_000
"""Clips of all fits that run at a time: the patches of those that are held out for early stopping take up to
59 kB per clip of a fit.
"""


class _StoppedError(Exception):
    """Another fit failed, or the user ends the run."""


def networks_at_once(trainer: Trainer, n_rows: int) -> int:
    """Number of fits of a network that run at a time: one per processor, if it is small and runs on a CPU.

    A network whose layers are not the default ones may be large, so it has all processors for itself.

    Args:
        trainer: of a member that reads spectrograms.
        n_rows: number of clips. With many, fewer fits run at a time.
    """
    from quintet.classifiers.networks.backend import backend_name, device
    from quintet.classifiers.networks.reuse import MOST_WEIGHTS

    is_small = (member_entry(trainer.member).parameters or MOST_WEIGHTS) < MOST_WEIGHTS
    if not is_small or trainer.settings.get("settings") or backend_name() != "tensorflow":
        return 1
    return 1 if device().is_gpu else max(1, min(job_count(-1), MOST_ROWS // max(n_rows, 1)))


def run_networks(tasks: Sequence[FitTask], fit: Callable[[FitTask], T], *, n_rows: int) -> list[T]:
    """The results of fits of networks, in the order of the tasks.

    If one of them fails, or the user ends the run, the others end after their epoch, which is kept.

    Args:
        tasks: fits of one network.
        fit: does one of them. It is called in several threads.
        n_rows: number of clips.
    """
    n_threads = min(len(tasks), networks_at_once(tasks[0].trainer, n_rows)) if tasks else 1
    if n_threads < 2:
        return [fit(task) for task in tasks]
    stop, lock = threading.Event(), threading.Lock()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="quintet-network") as threads:
        futures = [threads.submit(fit, _stoppable(task, stop, lock)) for task in tasks]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            failures = [future.exception() for future in futures if future.done()]
            for failure in failures:
                if failure is not None:
                    raise failure
        finally:
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
        return [future.result() for future in futures]


def _stoppable(task: FitTask, stop: threading.Event, lock: threading.Lock) -> FitTask:
    """The task, whose events come one at a time, and whose fit ends at its next event after `stop`."""
    listener = task.trainer.listener

    def listen(event: TrainingEvent) -> None:
        with lock:
            if stop.is_set():
                raise _StoppedError
            if listener is not None:
                listener(event)

    return replace(task, trainer=replace(task.trainer, listener=listen))
