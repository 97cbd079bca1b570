"""Chunks of clips on a dask cluster (extra `cluster`): dask hands out, repeats and gives up; nothing of that is ours."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any, Self

from quintet.errors import ConfigError, MissingExtraError, QuintetError
from quintet.features.extraction.pools import Chunk, Outcome
from quintet.features.extraction.worker import Job, describe_chunk


class ClusterPool:
    """A dask cluster that is there already: the same chunks, as futures. What a lost worker had is done again by dask.

    Args:
        job: what to do with every clip.
        address: of the scheduler, as `tcp://host:8786`.

    Raises:
        MissingExtraError: without the extra `cluster`.
        ConfigError: if no scheduler answers.
    """

    def __init__(self, job: Job, *, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingExtraError("Extraction on a cluster", "cluster") from error
        self._cluster: Any = distributed
        try:
            self._client: Any = self._cluster.Client(address, timeout=10, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"A dask scheduler must answer. None does at {address} ({error}): start one with `dask scheduler`."
            ) from error
        self._job = job
        self._futures: dict[Any, Chunk] = {}
        self._count_workers()

    def _count_workers(self) -> None:
        """Keep three chunks per thread under way; workers may come and go."""
        self.capacity = max(4, 3 * sum(self._client.nthreads().values()))
        self._counted_at = time.monotonic()

    def submit(self, chunk: Chunk) -> None:
        """Take on one chunk."""
        self._futures[self._client.submit(describe_chunk, chunk, self._job, pure=False)] = chunk

    def outcomes(self) -> list[Outcome]:
        """Wait for the first chunk to come to an end.

        Raises:
            QuintetError: if the scheduler is gone.
        """
        if time.monotonic() - self._counted_at > 10:
            self._count_workers()
        found = []
        with self._client.as_current():
            done = self._cluster.wait(list(self._futures), return_when="FIRST_COMPLETED").done
        for future in done:
            chunk = self._futures.pop(future)
            try:
                found.append(Outcome(chunk, future.result()))
            except self._cluster.KilledWorker:
                found.append(Outcome(chunk, fault="died"))
            except concurrent.futures.CancelledError as error:
                raise QuintetError(
                    f"The cluster must stay reachable. It forgot a chunk ({error}): run the same command again to go on."
                ) from error
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.cancel(list(self._futures))
        self._client.close()
