"""Pool on a dask cluster (extra `cluster`). Dask hands the chunks out and repeats those of lost workers."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any, Self

from quintet.audio.isolation.calls import DIED
from quintet.errors import ConfigError, MissingExtraError, QuintetError
from quintet.features.extraction.chunks import Chunk, Outcome
from quintet.features.extraction.worker import Job, describe_chunk

CONNECT_S = 10
"""Seconds that a scheduler may take to answer."""
COUNT_WORKERS_S = 10
"""Seconds after which the workers are counted again: they may come and go."""


class ClusterPool:
    """A dask cluster that already runs. Chunks are futures; dask repeats the chunks of a lost worker.

    Args:
        job: what to do with every clip.
        address: address of the scheduler, such as `tcp://host:8786`.

    Raises:
        MissingExtraError: the extra `cluster` is not installed.
        ConfigError: no scheduler answers.
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
        self._count_workers()

    def _count_workers(self) -> None:
        """Set the capacity to three chunks per thread."""
        self.capacity = max(4, 3 * sum(self._client.nthreads().values()))
        self._counted_at = time.monotonic()

    def submit(self, chunk: Chunk) -> None:
        """Accept one chunk."""
        future = self._client.submit(describe_chunk, chunk, self._job, pure=False)
        self._futures[future] = chunk

    def outcomes(self) -> list[Outcome]:
        """Wait until at least one chunk has ended.

        Raises:
            QuintetError: the scheduler is gone.
        """
        if time.monotonic() - self._counted_at > COUNT_WORKERS_S:
            self._count_workers()
        with self._client.as_current():
            done = self._distributed.wait(list(self._futures), return_when="FIRST_COMPLETED").done
        outcomes: list[Outcome] = []
        for future in done:
            chunk = self._futures.pop(future)
            try:
                outcomes.append(Outcome(chunk, future.result()))
            except self._distributed.KilledWorker:
                outcomes.append(Outcome(chunk, fault="died", reason=DIED))
            except concurrent.futures.CancelledError as error:
                raise QuintetError(
                    f"The cluster must stay reachable. It forgot a chunk ({error}): "
                    "run the same command again to go on."
                ) from error
        return outcomes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.cancel(list(self._futures))
        self._client.close()
