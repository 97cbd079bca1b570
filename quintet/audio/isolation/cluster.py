"""Calls on a dask cluster that already runs (extra `cluster`): its connection, its workers, its faults."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from quintet import __version__
from quintet.errors import ConfigError, MachineError, MissingExtraError, QuintetError

CONNECT_S = 5
"""Seconds that a scheduler may take to answer."""
WORKERS_S = 5
"""Seconds that the workers of a scheduler may take to appear, and then to say which quintet they have."""
COUNT_WORKERS_S = 5
"""Seconds after which the workers are counted again: they may come and go."""
LOST_S = 15
"""Seconds for which a cluster may be without workers while it has work."""
CLOSE_S = 3
"""Seconds that the connection may take to close."""
GOES_ON = "Finished work is kept: run the same command again to go on."


@dataclass(frozen=True, slots=True)
class Answer:
    """End of a call.

    Args:
        ticket: number of the call.
        value: what the function returned; None if its workers died.
        died: whether every worker that tried the call died.
        lost: whether the cluster lost data that the call needs, because their worker died: submit it again.
    """

    ticket: int
    value: object = None
    died: bool = False
    lost: bool = False


class Cluster:
    """A dask cluster that already runs. Calls are futures; dask repeats the calls of a lost worker.

    Args:
        address: address of the scheduler, such as `tcp://host:8786`.
        work: what is to be done there, for the message about the extra: "Extraction on a cluster".

    Raises:
        MissingExtraError: the extra `cluster` is not installed.
        ConfigError: no scheduler answers, there are no workers, or they have no quintet or another one.
    """

    def __init__(self, address: str, *, work: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingExtraError(work, "cluster") from error
        self._distributed: Any = distributed  # it has no types
        try:
            self._client: Any = self._distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"A dask scheduler must answer. None does at {address} ({error}): "
                "start one with `dask scheduler`."
            ) from error
        self._tickets: dict[Any, int] = {}
        self._n_calls = 0
        self.n_threads = 1
        self._seen_at = time.monotonic()
        try:
            self._require_workers(address)
            self._count_workers()
        except BaseException:
            self.close()
            raise

    def _require_workers(self, address: str) -> None:
        """Refuse a cluster that would never answer: without workers, or whose workers cannot do the work."""
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_S)
        except (TimeoutError, concurrent.futures.TimeoutError):
            raise ConfigError(
                f"A cluster must have workers. The scheduler at {address} has none: start some with "
                f"`dask worker {address}`."
            ) from None
        workers = list(self._client.nthreads())
        question = f"__import__({__package__.split('.')[0]!r}).__version__"  # answered without our code
        answers = {
            worker: self._client.submit(eval, question, workers=[worker], pure=False) for worker in workers
        }
        end = time.monotonic() + WORKERS_S
        for worker, answer in answers.items():
            try:
                received = answer.result(timeout=max(end - time.monotonic(), 0.1))
            except (TimeoutError, concurrent.futures.TimeoutError):
                continue  # it is busy: it works
            except Exception as error:  # noqa: BLE001  whatever the worker raises
                raise ConfigError(
                    f"Every worker of a cluster must have quintet {__version__}. {worker} cannot import it "
                    f"({type(error).__name__}: {error}): install it there."
                ) from None
            if received != __version__:
                raise ConfigError(
                    f"Every worker of a cluster must have quintet {__version__}. {worker} has {received}: "
                    "install the same version."
                )

    def _count_workers(self) -> None:
        """Count the threads of the workers.

        Raises:
            QuintetError: there were no workers for a while.
        """
        threads = sum(self._client.nthreads().values())
        self.n_threads = max(1, threads)
        now = self._counted_at = time.monotonic()
        if threads:
            self._seen_at = now
        elif now - self._seen_at > LOST_S:
            raise QuintetError(f"A cluster must have workers. It has lost all of them. {GOES_ON}")

    def share(self, data: object) -> object:
        """Copy data to every worker once; what is returned stands for them among the arguments of calls.

        Raises:
            QuintetError: the scheduler is gone.
        """
        try:
            return self._client.scatter(data, broadcast=True, hash=False)
        except (OSError, concurrent.futures.CancelledError) as error:
            raise _lost(error) from error

    def submit(self, function: Callable[..., object], *arguments: object) -> int:
        """Begin a call; return its ticket."""
        future = self._client.submit(function, *arguments, pure=False)
        self._n_calls += 1
        self._tickets[future] = self._n_calls
        return self._n_calls

    def answers(self) -> list[Answer]:
        """Wait until at least one call has ended.

        Raises:
            QuintetError: the scheduler is gone, or there were no workers for a while.
            MachineError: a worker lacks quintet or an optional library.
        """
        done: set[Any] = set()
        while not done:
            try:
                if time.monotonic() - self._counted_at > COUNT_WORKERS_S:
                    self._count_workers()
                done = self._wait()
            except (OSError, concurrent.futures.CancelledError) as error:
                raise _lost(error) from error
        return [self._answer(future) for future in done]

    def _answer(self, future: Any) -> Answer:
        ticket = self._tickets.pop(future)
        try:
            return Answer(ticket, future.result())
        except self._distributed.KilledWorker:
            return Answer(ticket, died=True)
        except concurrent.futures.CancelledError as error:
            if self._client.status == "running":
                return Answer(ticket, lost=True)
            raise _lost(error) from error
        except MissingExtraError as error:
            raise MachineError(
                "Every worker of a cluster must have the optional libraries of the command. One does "
                f"not: {error} {GOES_ON}"
            ) from error
        except ImportError as error:
            raise MachineError(
                f"Every worker of a cluster must have quintet. One cannot import it ({error}): install "
                f"it there. {GOES_ON}"
            ) from error

    def _wait(self) -> set[Any]:
        """The futures that are done, after a while at most.

        Raises:
            OSError, CancelledError: the scheduler is gone.
        """
        if self._client.status not in ("running", "connecting"):
            raise OSError(f"the connection is {self._client.status}")
        with self._client.as_current(), suppress(TimeoutError, concurrent.futures.TimeoutError):
            futures = list(self._tickets)
            waited = self._distributed.wait(futures, timeout=COUNT_WORKERS_S, return_when="FIRST_COMPLETED")
            return set(waited.done)
        return set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the calls that are under way, and the connection, whatever state it is in."""
        with suppress(Exception):
            if self._client.status == "running":
                self._client.cancel(list(self._tickets))
        with suppress(Exception):
            self._client.close(timeout=CLOSE_S)


def _lost(error: BaseException) -> QuintetError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return QuintetError(f"A scheduler must stay reachable. It is not any more ({reason}). {GOES_ON}")
