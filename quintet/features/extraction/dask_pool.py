"""Pool on a dask cluster (extra `cluster`). Dask hands the chunks out and repeats those of lost workers."""

from __future__ import annotations

import concurrent.futures
import time
from contextlib import suppress
from typing import Any, Self

from quintet import __version__
from quintet.audio.isolation.calls import DIED
from quintet.audio.isolation.processes import quiet_libraries
from quintet.errors import ConfigError, MachineError, MissingExtraError, QuintetError
from quintet.features.extraction.chunks import Chunk, Outcome
from quintet.features.extraction.worker import Job, Row, describe_chunk

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


def _describe_quietly(chunk: Chunk, job: Job) -> list[Row]:
    """`describe_chunk`, without what decoders print into the log of a worker."""
    with quiet_libraries():
        return describe_chunk(chunk, job)


class ClusterPool:
    """A dask cluster that already runs. Chunks are futures; dask repeats the chunks of a lost worker.

    Args:
        job: what to do with every clip.
        address: address of the scheduler, such as `tcp://host:8786`.

    Raises:
        MissingExtraError: the extra `cluster` is not installed.
        ConfigError: no scheduler answers, there are no workers, or they have no quintet or another one.
    """

    def __init__(self, job: Job, *, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingExtraError("Extraction on a cluster", "cluster") from error
        self._distributed: Any = distributed  # it has no types
        try:
            self._client: Any = self._distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"A dask scheduler must answer. None does at {address} ({error}): "
                "start one with `dask scheduler`."
            ) from error
        self._job = job
        self._futures: dict[Any, Chunk] = {}
        self.capacity = 4
        self._seen_at = time.monotonic()
        try:
            self._require_workers(address)
            self._count_workers()
        except BaseException:
            self._close()
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
        """Set the capacity to three chunks per thread.

        Raises:
            QuintetError: there were no workers for a while.
        """
        threads = sum(self._client.nthreads().values())
        self.capacity = max(4, 3 * threads)
        now = self._counted_at = time.monotonic()
        if threads:
            self._seen_at = now
        elif now - self._seen_at > LOST_S:
            raise QuintetError(f"A cluster must have workers. It has lost all of them. {GOES_ON}")

    def submit(self, chunk: Chunk) -> None:
        """Accept one chunk."""
        future = self._client.submit(_describe_quietly, chunk, self._job, pure=False)
        self._futures[future] = chunk

    def outcomes(self) -> list[Outcome]:
        """Wait until at least one chunk has ended.

        Raises:
            QuintetError: the scheduler is gone.
        """
        done: set[Any] = set()
        while not done:
            try:
                if time.monotonic() - self._counted_at > COUNT_WORKERS_S:
                    self._count_workers()
                done = self._wait()
            except (OSError, concurrent.futures.CancelledError) as error:
                raise _lost(error) from error
        outcomes: list[Outcome] = []
        for future in done:
            chunk = self._futures.pop(future)
            try:
                outcomes.append(Outcome(chunk, future.result()))
            except self._distributed.KilledWorker:
                outcomes.append(Outcome(chunk, fault="died", reason=DIED))
            except concurrent.futures.CancelledError as error:
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
        return outcomes

    def _wait(self) -> set[Any]:
        """The futures that are done, after a while at most.

        Raises:
            OSError, CancelledError: the scheduler is gone.
        """
        if self._client.status not in ("running", "connecting"):
            raise OSError(f"the connection is {self._client.status}")
        with self._client.as_current(), suppress(TimeoutError, concurrent.futures.TimeoutError):
            futures = list(self._futures)
            waited = self._distributed.wait(futures, timeout=COUNT_WORKERS_S, return_when="FIRST_COMPLETED")
            return set(waited.done)
        return set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        """Give up the chunks that are under way, and the connection, whatever state it is in."""
        with suppress(Exception):
            if self._client.status == "running":
                self._client.cancel(list(self._futures))
        with suppress(Exception):
            self._client.close(timeout=CLOSE_S)


def _lost(error: BaseException) -> QuintetError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return QuintetError(f"A scheduler must stay reachable. It is not any more ({reason}). {GOES_ON}")
