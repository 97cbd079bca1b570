"""Small networks that are fitted side by side: the numbers of fits in turn, failures, and interruptions."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quintet.ensemble.crossfit import FINAL_FIT, FoldResult, Inputs, Trainer, TrainingEvent
from quintet.ensemble.tasks import networks, schedule
from quintet.ensemble.tasks.networks import networks_at_once, run_networks
from quintet.ensemble.tasks.pools import ThisProcess
from quintet.ensemble.tasks.schedule import FitPlan, fit_ahead
from quintet.ensemble.tasks.task import FitTask
from quintet.ensemble.tasks.time_left import TimeLeft

TINY: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "patch_frames": 32,
    "validation_share": 0.0,
    "augmentation": {"mixup": 0.3},
}


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "networks_at_once", lambda trainer, n_rows: 2)


def tasks(n: int, **options: Any) -> list[FitTask]:
    return [FitTask(Trainer("vgg_small", **options), fold) for fold in range(n)]


@pytest.mark.usefixtures("two_at_once")
def test_results_come_in_the_order_of_the_tasks_and_two_fits_run_at_a_time() -> None:
    meeting = threading.Barrier(2, timeout=30)

    def fit(task: FitTask) -> int:
        meeting.wait()
        return task.fold

    assert run_networks(tasks(4), fit, n_rows=9) == [0, 1, 2, 3]


@pytest.mark.usefixtures("two_at_once")
@pytest.mark.parametrize("failure", [ValueError("broken"), KeyboardInterrupt()])
def test_a_failure_ends_the_other_fits_at_their_next_epoch(failure: BaseException) -> None:
    epochs = []

    def fit(task: FitTask) -> None:
        if task.fold == 1:
            raise failure
        for epoch in range(10_000):
            epochs.append(task.fold)
            task.trainer.notify("epoch", task.fold, epoch=epoch)
            time.sleep(0.001)

    with pytest.raises(type(failure)):
        run_networks(tasks(3), fit, n_rows=9)
    assert 2 not in epochs  # never begun
    assert len(epochs) < 10_000


@pytest.mark.usefixtures("two_at_once")
def test_events_come_one_at_a_time() -> None:
    heard: list[tuple[int, str]] = []
    inside = threading.Lock()

    def listen(event: TrainingEvent) -> None:
        assert inside.acquire(blocking=False)
        time.sleep(0.0005)
        heard.append((event.fold, event.kind))
        inside.release()

    def fit(task: FitTask) -> None:
        for _ in range(20):
            task.trainer.notify("epoch", task.fold)

    run_networks(tasks(3, listener=listen), fit, n_rows=9)
    assert sorted(heard) == [(fold, "epoch") for fold in range(3) for _ in range(20)]


def test_large_networks_and_changed_layers_have_all_processors() -> None:
    assert networks_at_once(Trainer("vgg16_transfer"), 100) == 1
    assert networks_at_once(Trainer("vgg_small", {"settings": {"filters": 512}}), 100) == 1


def test_fewer_fits_run_at_a_time_where_there_are_many_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "job_count", lambda _: 8)
    monkeypatch.setattr("quintet.classifiers.networks.backend.backend_name", lambda: "tensorflow")
    assert [networks_at_once(Trainer("vgg_small"), n) for n in (300, 5_000, 10_000, 100_000)] == [8, 4, 2, 1]


def test_the_time_of_networks_that_run_at_once_is_divided_by_their_number() -> None:
    rows = {("svm", 0): [1000], ("vgg_small", 0): [1000], ("vgg_small", 1): [1000], ("vgg_small", 2): [1000]}
    left = TimeLeft(rows, width=4, networks={"vgg_small": 2}, clock=lambda: 0.0)
    left.follow(TrainingEvent("done", "svm", 0, 3, {"seconds": 1.0}))
    left.follow(TrainingEvent("done", "vgg_small", 0, 3, {"seconds": 10.0}))
    assert left.seconds() == pytest.approx(10.0)  # the two that are left, side by side


@pytest.mark.slow
def test_the_numbers_are_those_of_fits_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"])[np.arange(24) % 2]
    clips = [rng.normal(size=(16, 40)).astype(np.float32) + 2.0 * (label == "b") for label in y]
    groups, rows = np.arange(24).astype(str), np.arange(24)
    folds = [(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]
    found = {}
    for n_threads in (1, 3):
        for module in (networks, schedule):
            monkeypatch.setattr(module, "networks_at_once", lambda trainer, n_rows, n=n_threads: n)
        kept = Kept()
        trainer = Trainer("vgg_small", TINY, 0, kept, None, 3)
        plan = FitPlan((trainer,), Inputs(None, clips), y, groups, folds, ("a", "b"))
        fit_ahead(plan, ThisProcess())
        if n_threads == 1:
            assert not kept.results  # the ensemble fits it
            trainer.fit_on_all(plan.inputs, y, groups)
            for fold, parts in enumerate(folds):
                trainer.predict_fold(plan.inputs, y, groups, fold, parts, plan.classes)
        found[n_threads] = kept.results
    in_turn, at_once = found[1], found[3]
    assert set(at_once) == {0, 1, 2, FINAL_FIT}
    for fold in range(3):
        np.testing.assert_array_equal(at_once[fold].probabilities, in_turn[fold].probabilities)
    for one, other in zip(at_once[FINAL_FIT].weights_, in_turn[FINAL_FIT].weights_, strict=True):
        np.testing.assert_array_equal(one, other)


class Kept:
    """A cache in memory."""

    def __init__(self) -> None:
        self.results: dict[int, Any] = {}

    def load(self, member: str, fold: int) -> FoldResult | None:
        return self.results.get(fold)

    def save(self, member: str, fold: int, result: FoldResult) -> None:
        self.results[fold] = result

    def is_finished(self, member: str, fold: int) -> bool:
        return fold in self.results

    def importance(self, *_: object) -> None:
        return None

    def checkpoint(self, member: str, fold: int) -> Path | None:
        return None

    def load_member(self, member: str) -> Any:
        return self.results.get(FINAL_FIT)

    def save_member(self, member: str, estimator: Any) -> None:
        self.results[FINAL_FIT] = estimator
