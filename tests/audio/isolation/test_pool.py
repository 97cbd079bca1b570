"""Worker processes: results, errors, deaths, hangs, memory, noise, and processes that need no main guard."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quintet.audio.isolation import calls, processes
from quintet.audio.isolation.bounds import MEMORY_VARIABLE, SECONDS_VARIABLE, Bounds, read_bounds
from quintet.audio.isolation.calls import LostWorkerError, call_isolated, map_isolated, worker_pool
from quintet.audio.isolation.pool import Event, WorkerPool
from quintet.errors import ConfigError, QuintetError


def die(code: int = 3) -> None:
    os._exit(code)


def die_at(k: int) -> int:
    if k == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return k


def allocate(megabytes: int) -> None:
    HELD.append(np.ones(megabytes << 17))


HELD: list[np.ndarray] = []
"""What a worker keeps."""


def count_to(n: int) -> Iterator[int]:
    for k in range(n):
        if k == 3:
            die()
        yield k


def count_slowly(n: int) -> Iterator[int]:
    for k in range(n):
        time.sleep(0.1)
        yield k


def chatter() -> int:
    os.write(1, b"decoder: \x1b[2J\n")
    os.write(2, b"decoder: warning\n")
    return 7


def own_pid() -> int:
    return os.getpid()


def is_daemon_fine() -> int:
    return call_isolated(own_pid)


@pytest.fixture(params=["fork", pytest.param("server", marks=pytest.mark.slow)])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with forked workers, and with workers of the server process."""
    if request.param == "fork" and sys.platform != "linux":
        pytest.skip("workers are forked on Linux only")
    calls.stop_worker()
    monkeypatch.setattr(processes, "may_fork", lambda: request.param == "fork")
    return str(request.param)


def test_results_and_errors_come_back(method: str) -> None:
    assert call_isolated(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        call_isolated(divmod, 7, 0)
    assert call_isolated(own_pid) == call_isolated(own_pid) != os.getpid()  # warm


def test_a_death_costs_its_call_only(method: str) -> None:
    results = list(map_isolated(die_at, ((k,) for k in range(5)), n_workers=2))
    assert [type(result) for result in results] == [int, int, LostWorkerError, int, int]
    assert [result for result in results if isinstance(result, int)] == [0, 1, 3, 4]


@pytest.mark.parametrize("n_workers", [0, -1])
def test_no_number_of_workers_loses_a_call(n_workers: int) -> None:
    """0 yielded nothing: `audit(…, n_jobs=0)` found no clip, and `predict_files` ended in a KeyError."""
    assert list(map_isolated(die_at, ((k,) for k in (0, 1)), n_workers=n_workers)) == [0, 1]


def test_far_too_many_workers_are_refused() -> None:
    with pytest.raises(ConfigError, match="1000000"):
        list(map_isolated(die_at, [(0,)], n_workers=1_000_000))


def test_a_worker_that_leaves_without_an_error_is_a_death() -> None:
    with pytest.raises(LostWorkerError, match="died") as caught:
        call_isolated(die, 0)
    assert (caught.value.kind, caught.value.stage) == ("died", "worker")


def test_items_before_a_death_arrive() -> None:
    with WorkerPool(1) as pool:
        ticket = pool.submit(count_to, 9)
        events: list[Event] = []
        while not events or events[-1].kind == "item":
            events += pool.events()
    assert events == [*(Event(ticket, "item", k) for k in range(3)), Event(ticket, "died")]


def test_a_hang_ends_in_time_and_the_queue_goes_on() -> None:
    with WorkerPool(1, Bounds(seconds=0.5)) as pool:
        late, fine = pool.submit(time.sleep, 60), pool.submit(divmod, 7, 2)
        began = time.monotonic()
        assert pool.events() == [Event(late, "late")]
        assert pool.events() == [Event(fine, "done", (3, 1))]
        assert time.monotonic() - began < 30


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the system is kept on Linux")
def test_memory_beyond_the_bound_is_refused_and_below_it_is_given() -> None:
    with WorkerPool(1, Bounds(memory_mb=100)) as pool:
        pool.submit(allocate, 60)
        pool.submit(allocate, 60)  # the memory of the call before does not count
        pool.submit(allocate, 200)
        kinds = [event.kind for _ in range(3) for event in pool.events()]
    assert kinds == ["done", "done", "error"]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of the system is kept on Linux")
def test_too_much_memory_is_the_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "100")
    with pytest.raises(LostWorkerError, match="more memory than 100 MB") as caught:
        call_isolated(allocate, 200)
    assert caught.value.kind == "memory"


def test_what_a_call_prints_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    calls.stop_worker()
    assert call_isolated(chatter) == 7
    assert capfd.readouterr() == ("", "")


def test_workers_that_cannot_start_end_the_run() -> None:
    with WorkerPool(1) as pool:
        pool.submit(divmod, 7, 2, set_up=die)
        with pytest.raises(QuintetError, match="must start"):
            pool.events()


def test_a_set_up_that_fails_is_raised() -> None:
    with WorkerPool(1) as pool:
        pool.submit(divmod, 7, 2, set_up=_fail)
        with pytest.raises(ValueError, match="invalid literal"):
            pool.events()


def _fail() -> None:
    int("x")


def test_two_threads_do_not_share_a_worker() -> None:
    with worker_pool() as pool:
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.append(call_isolated(divmod, 7, 2)))
        thread.start()
        thread.join(60)
        assert found == [(3, 1)]
        assert pool.n_under_way == 0


@pytest.mark.slow
def test_a_daemon_may_call(method: str) -> None:
    """A worker of a `multiprocessing.Pool` is a daemon, which may not start processes elsewhere."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(os.getpid) != os.getpid()
        assert pool.apply(is_daemon_fine) > 0


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom quintet.audio.isolation.calls import call_isolated\n"
        "print(call_isolated(os.getpid), flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_bounds_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_bounds() == Bounds()
    monkeypatch.setenv(SECONDS_VARIABLE, "7.5")
    assert read_bounds() == Bounds(seconds=7.5)
    for text in ("-1", "soon", "nan", "inf"):
        monkeypatch.setenv(SECONDS_VARIABLE, text)
        with pytest.raises(ConfigError, match=SECONDS_VARIABLE):
            read_bounds()


def test_a_relative_path_means_the_callers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm worker has been started in another folder."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert call_isolated(os.getcwd) == str(tmp_path / name)


@pytest.mark.parametrize(("renewed", "end"), [(True, "done"), (False, "late")])
def test_the_parts_of_a_call_renew_its_time_or_do_not(renewed: bool, end: str) -> None:
    with WorkerPool(1, Bounds(seconds=0.35, renewed=renewed)) as pool:
        pool.submit(count_slowly, 6)
        kinds = []
        while pool.n_under_way:
            kinds += [event.kind for event in pool.events()]
    assert kinds[-1] == end
    assert (len(kinds) == 7) == renewed


def test_threads_start_processes_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start changes the main module for a moment: two at once would leave the wrong one there."""
    inside, most = [0], [0]

    def start(*_: object) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        inside[0] -= 1

    monkeypatch.setattr(processes, "_start_by", start)
    monkeypatch.setattr(processes, "may_fork", lambda: False)
    threads = [threading.Thread(target=processes.start_process, args=(die,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_pool_that_another_thread_ends_starts_no_worker_again() -> None:
    with WorkerPool(1) as pool:
        pool.submit(time.sleep, 60)
        threading.Timer(0.3, pool.end).start()
        (event,) = pool.events()
        assert event.kind == "died"
        with pytest.raises(QuintetError, match="were, by request"):
            pool.submit(time.sleep, 0)
