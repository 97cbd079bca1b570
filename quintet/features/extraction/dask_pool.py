"""Pool on a dask cluster (extra `cluster`). Dask hands the chunks out and repeats those of lost workers."""

from __future__ import annotations

from typing import Self, cast

from quintet.audio.isolation.calls import DIED
from quintet.audio.isolation.cluster import Cluster
from quintet.audio.isolation.processes import quiet_libraries
from quintet.features.extraction.chunks import Chunk, Outcome
from quintet.features.extraction.worker import Job, Row, describe_chunk


def _describe_quietly(chunk: Chunk, job: Job) -> list[Row]:
    """`describe_chunk`, without what decoders print into the log of a worker."""
    with quiet_libraries():
        return describe_chunk(chunk, job)


class ClusterPool:
    """A dask cluster that already runs, as a pool of chunks.

    Args:
        job: what to do with every clip.
        address: address of the scheduler, such as `tcp://host:8786`.

    Raises:
        MissingExtraError, ConfigError: as `Cluster`.
    """

    def __init__(self, job: Job, *, address: str) -> None:
        self._job = job
        self._cluster = Cluster(address, work="Extraction on a cluster")
        self._chunks: dict[int, Chunk] = {}

    @property
    def capacity(self) -> int:
        """Three chunks per thread of the workers."""
        return max(4, 3 * self._cluster.n_threads)

    def submit(self, chunk: Chunk) -> None:
        """Accept one chunk."""
        self._chunks[self._cluster.submit(_describe_quietly, chunk, self._job)] = chunk

    def outcomes(self) -> list[Outcome]:
        """Wait until at least one chunk has ended.

        Raises:
            QuintetError, MachineError: as `Cluster.answers`.
        """
        outcomes: list[Outcome] = []
        for answer in self._cluster.answers():
            chunk = self._chunks.pop(answer.ticket)
            if answer.died or answer.lost:
                outcomes.append(Outcome(chunk, fault="died", reason=DIED))
            else:
                outcomes.append(Outcome(chunk, cast(list[Row], answer.value)))
        return outcomes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.close()
