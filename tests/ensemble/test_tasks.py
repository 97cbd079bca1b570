"""Fits as tasks: the same numbers in every pool, the time that is left, and workers that die."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import quintet
from quintet.audio.isolation.cluster import Answer
from quintet.commands.terminal.progress import TrainingDisplay
from quintet.ensemble.crossfit import FINAL_FIT, Trainer, TrainingEvent
from quintet.ensemble.tasks import pools, schedule
from quintet.ensemble.tasks.pools import ClusterFits, ThisProcess, WorkerProcesses, open_fit_pool
from quintet.ensemble.tasks.task import FitTask, FittingRows
from quintet.ensemble.tasks.time_left import GROWTH, Growth, TimeLeft, with_time_left
from quintet.errors import MachineError
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable
from quintet.files.json_types import JsonObject
from quintet.training.settings import TrainSettings

ROOT = Path(__file__).parents[2]
QUICK = TrainSettings(
    members=("logistic_regression", "random_forest"),
    settings={"random_forest": {"n_estimators": 3}},
    rules=("mean",),
    rule="mean",
    resamples=0,
    folds=2,
    test_size=0.0,
)
FULL = QUICK.model_copy(
    update={
        "members": ("logistic_regression", "random_forest", "svm", "xgboost"),
        "test_size": 0.25,
        "settings": {
            "random_forest": {"n_estimators": 3, "min_samples_leaf": "auto"},
            "xgboost": {"n_estimators": 3},
            "logistic_regression": {"C": "auto"},
        },
        "protocols": ("random", "group"),
    }
)


def small_table(n: int = 48) -> FeatureTable:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n, 4)).astype(np.float32), columns=["a.x", "a.y", "b.x", "b.y"])
    frame["id"] = [f"clip{row}" for row in range(n)]
    frame["label"] = ["x", "y"] * (n // 2)
    frame["group"] = [f"g{row // 2}" for row in range(n)]
    return foreign_table(frame, Roles(), name="small")


def numbers_of(folder: Path) -> dict[str, bytes]:
    """Every file with numbers: predictions, scores, fusion, arrays of members."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in {".parquet", ".npz", ".ubj"}]
    paths += [folder / "scores.json", folder / "fusion.json", folder / "trust.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_one_process_takes_the_folds_of_a_long_run_in_turn_and_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quintet.train(small_table(), tmp_path / "short", settings=QUICK)
    monkeypatch.setattr(schedule, "LONG_RUN", 1)
    events: list[TrainingEvent] = []
    quintet.train(small_table(), tmp_path / "long", settings=QUICK, listener=events.append)
    assert numbers_of(tmp_path / "long") == numbers_of(tmp_path / "short")
    folds = [event.fold for event in events if event.kind == "start"]
    assert folds == [*sorted(folds[:-2]), FINAL_FIT, FINAL_FIT]
    assert [event for event in events if event.kind == "reused"] == []
    assert events[0].details["left_s"] is None
    last = [event for event in events if event.kind == "done"][-1]
    assert (last.details["left_s"], last.details["share"]) == (0.0, 1.0)


@pytest.mark.slow
def test_worker_processes_give_the_same_files(tmp_path: Path) -> None:
    events: list[TrainingEvent] = []
    quintet.train(small_table(), tmp_path / "one", settings=FULL)
    quintet.train(small_table(), tmp_path / "two", settings=FULL, n_jobs=2, listener=events.append)
    assert numbers_of(tmp_path / "two") == numbers_of(tmp_path / "one")
    finals = [event.member for event in events if event.kind == "done" and event.fold == FINAL_FIT]
    assert sorted(finals) == sorted(FULL.members)
    assert [event for event in events if event.kind == "reused"] == []


def tasks_and_rows(n_tasks: int) -> tuple[list[FitTask], FittingRows]:
    table = small_table()
    features = table.features
    labels = table.meta["label"].to_numpy(str)
    rows = FittingRows(
        features.to_numpy(),
        tuple(features.columns),
        features.index,
        labels,
        table.meta["group"].to_numpy(str),
        ("x", "y"),
    )
    half = np.arange(24), np.arange(24, 48)
    return [FitTask(Trainer("logistic_regression", seed=seed), 0, half) for seed in range(n_tasks)], rows


def killing(mark: Path, times: int) -> Any:
    """A function of a worker that dies in the first `times` calls of the task with the seed 1."""

    def run(number: int, task: FitTask, stored: Any) -> Any:
        seen = len(list(mark.iterdir()))
        if task.trainer.seed == 1 and seen < times:
            (mark / str(seen)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(number, task, stored)

    real = pools._run_numbered
    return run


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("times", "survives"), [(1, True), (2, True), (9, False)])
def test_a_dead_worker_costs_no_result_and_a_deadly_task_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, survives: bool
) -> None:
    monkeypatch.setattr(pools, "_run_numbered", killing(tmp_path, times))
    tasks, rows = tasks_and_rows(5)
    expected = {task.trainer.seed: done.result for task, done in zip(tasks, ThisProcess().run(tasks, rows))}  # noqa: B905
    found = {}
    with open_fit_pool(2) as pool:
        assert isinstance(pool, WorkerProcesses)
        results = pool.run(tasks, rows)
        if not survives:
            with pytest.raises(MachineError, match=r"fold 1 of logistic_regression.*fewer jobs"):
                list(results)
            return
        for finished in results:
            found[finished.task.trainer.seed] = finished.result
    assert sorted(found) == list(range(5))
    for seed, result in found.items():
        assert result is not None
        assert np.array_equal(result.probabilities, expected[seed].probabilities)  # type: ignore[union-attr]


class ReplacingWorkers:
    """joblib, which replaces a worker that was idle or has grown, and warns of it."""

    def __init__(self, **_: object) -> None: ...

    def __call__(self, calls: list[Any]) -> Iterator[Any]:
        for function, arguments, _ in calls:
            warnings.warn("A worker stopped while some jobs were given to the executor.", stacklevel=1)
            yield function(*arguments)


def test_workers_are_replaced_without_a_word(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(pools, "Parallel", ReplacingWorkers)
    tasks, rows = tasks_and_rows(2)
    assert len(list(WorkerProcesses(2).run(tasks, rows))) == 2
    assert [str(warning.message) for warning in recwarn if "worker" in str(warning.message)] == []


class LosingCluster:
    """A cluster in this process that loses its rows some times, with all calls that wait for them."""

    n_threads = 1

    def __init__(self, n_losses: int) -> None:
        self.n_losses, self.n_shares, self.calls = n_losses, 0, {}  # type: ignore[var-annotated]

    def share(self, data: object) -> object:
        self.n_shares += 1
        return data

    def submit(self, function: Any, *arguments: object) -> int:
        ticket = len(self.calls) + 100 * self.n_shares
        self.calls[ticket] = (function, arguments)
        return ticket

    def answers(self) -> list[Answer]:
        calls, self.calls = self.calls, {}
        if self.n_shares <= self.n_losses:
            return [Answer(ticket, lost=True) for ticket in calls]
        return [Answer(ticket, function(*arguments)) for ticket, (function, arguments) in calls.items()]


def test_a_cluster_that_loses_its_rows_gets_them_once_more_for_all_fits() -> None:
    tasks, rows = tasks_and_rows(4)
    cluster = LosingCluster(n_losses=2)
    finished = list(ClusterFits(cluster).run(tasks, rows))  # type: ignore[arg-type]
    assert [done.task.trainer.seed for done in finished] == [0, 1, 2, 3]
    assert all(done.result is not None for done in finished)
    assert cluster.n_shares == 3
    with pytest.raises(MachineError, match=r"fold 1 of logistic_regression"):
        list(ClusterFits(LosingCluster(n_losses=3)).run(tasks, rows))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_files_also_if_a_worker_is_killed(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:

        def kill(event: TrainingEvent) -> None:
            if event.kind == "done" and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        address = cluster.scheduler_address
        quintet.train(small_table(), tmp_path / "there", settings=FULL, scheduler=address, listener=kill)
    quintet.train(small_table(), tmp_path / "here", settings=FULL)
    assert killed
    assert numbers_of(tmp_path / "there") == numbers_of(tmp_path / "here")


def group_lives(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_an_interrupted_training_goes_on_and_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group of processes, as a terminal sends it."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(600, 40)), columns=[f"a.{j}" for j in range(40)])
    frame.insert(0, "id", [f"clip{row}" for row in range(600)])
    frame["label"], frame["group"] = ["x", "y", "z"] * 200, [f"g{row // 3}" for row in range(600)]
    frame.to_csv(tmp_path / "table.csv", index=False)
    words = ["train", tmp_path / "table.csv", "-o", tmp_path / "model", "-j", "2", "--resamples", "0"]
    words += ["--set", "random_forest.n_estimators=1500", "--members", "logistic_regression,random_forest"]
    command = [sys.executable, "-c", "from quintet.cli import main; main()", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as running:
        kept = tmp_path / "model" / "work" / "logistic_regression" / "fold-0.npz"
        end = time.monotonic() + 120
        while not kept.is_file() and running.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in errors
    assert "--resume" in errors
    end = time.monotonic() + 10
    while group_lives(running.pid) and time.monotonic() < end:
        time.sleep(0.1)  # workers and the tracker of joblib take a moment to end
    assert not group_lives(running.pid)
    with np.load(kept) as arrays:
        seconds = round(float(arrays["seconds"]), 3)
    done = subprocess.run(
        [*command, "--resume"], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    bundle = json.loads((tmp_path / "model" / "bundle.json").read_text())
    assert bundle["fold_seconds"]["logistic_regression"][0] == seconds


class TestTimeLeft:
    def left(self, **parts: Any) -> TimeLeft:
        return TimeLeft(clock=itertools.repeat(0.0).__next__, **parts)

    def test_a_fit_of_more_rows_takes_the_power_of_its_kind(self) -> None:
        left = self.left(n_rows={("svm", 0): [1000], ("svm", FINAL_FIT): [2000]})
        left.follow(TrainingEvent("done", "svm", 0, 1, {"seconds": 10.0}))
        assert left.seconds() == pytest.approx(10 * 2 ** GROWTH["svm"].exponent)
        assert left.share == pytest.approx(1 / (1 + 2 ** GROWTH["svm"].exponent))

    def test_members_that_are_not_yet_known_are_as_much_slower_here_as_the_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(GROWTH, "svm", Growth(3.0, 2.0))
        monkeypatch.setitem(GROWTH, "xgboost", Growth(5.0, 1.0))
        left = self.left(n_rows={("svm", 0): [1000], ("xgboost", 0): [1000]})
        assert left.seconds() is None
        left.follow(TrainingEvent("done", "svm", 0, 1, {"seconds": 6.0}))  # half as fast as in the table
        assert left.seconds() == pytest.approx(10.0)

    @pytest.mark.parametrize(
        ("member", "rows", "seconds"),
        [
            *(("random_forest", 30_000, 230.9), ("random_forest", 100_000, 364.5)),
            *(("xgboost", 30_000, 92.0), ("xgboost", 100_000, 282.6)),
            *(("logistic_regression", 30_000, 6.2), ("logistic_regression", 100_000, 13.1)),
        ],
    )
    def test_members_of_many_rows_take_what_was_measured(
        self, member: str, rows: int, seconds: float
    ) -> None:
        """Fits by `benchmarks.training_growth`, where that of the SVM on 30,000 rows took 87.3 s."""
        left = self.left(n_rows={("svm", 0): [30_000], (member, 0): [rows]}, bounded=True)
        left.follow(TrainingEvent("done", "svm", 0, 1, {"seconds": 87.3}))
        assert left.seconds() == pytest.approx(seconds, rel=0.2)

    def test_workers_share_what_is_left(self) -> None:
        left = self.left(n_rows={("svm", fold): [1000] for fold in range(5)}, width=2)
        left.follow(TrainingEvent("done", "svm", 0, 5, {"seconds": 10.0}))
        assert left.seconds() == pytest.approx(20.0)

    def test_the_estimate_of_a_run_whose_costs_follow_the_powers_is_right_after_its_first_fold(self) -> None:
        """Simulated: each member has a speed of its own; after one fold of each the total is known."""
        n_rows, speeds = {}, {"svm": 3.0, "random_forest": 0.4, "xgboost": 7.0}
        sizes = {**dict.fromkeys(range(4), 800), FINAL_FIT: 1000}
        for fold, rows in sizes.items():
            n_rows |= {(member, fold): [rows] for member in speeds}
        left = self.left(n_rows=n_rows)

        def cost(member: str, fold: int) -> float:
            return speeds[member] * float(sizes[fold] / 1000) ** GROWTH[member].exponent

        remaining = sum(cost(member, fold) for member, fold in n_rows)
        for k, (member, fold) in enumerate(list(n_rows)):
            remaining -= cost(member, fold)
            left.follow(TrainingEvent("done", member, fold, 4, {"seconds": cost(member, fold)}))
            if k >= 2:
                assert left.seconds() == pytest.approx(remaining, abs=1e-9)

    def test_what_was_fitted_ahead_is_no_news(self) -> None:
        heard: list[TrainingEvent] = []
        listen = with_time_left(heard.append, self.left(n_rows={("svm", 0): [1000]}))
        listen(TrainingEvent("done", "svm", 0, 1, {"seconds": 1.0}))
        listen(TrainingEvent("reused", "svm", 0, 1))
        assert [event.kind for event in heard] == ["done"]


def test_the_line_of_a_member_waits_for_its_last_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """With several workers the fit on all clips may end before the last fold."""
    details: JsonObject = {"seconds": 1.5}
    with TrainingDisplay() as display:
        for fold in (0, FINAL_FIT):
            display(TrainingEvent("start", "svm", fold, 1))
        display(TrainingEvent("done", "svm", FINAL_FIT, 1, details))
        assert "svm" not in capsys.readouterr().err
        display(TrainingEvent("done", "svm", 0, 1, details))
    assert "3.0 s" in capsys.readouterr().err
