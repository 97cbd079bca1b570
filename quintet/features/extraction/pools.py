"""Choice of a pool: this process, worker processes, or a dask cluster."""

from __future__ import annotations

from quintet.errors import ConfigError
from quintet.features.extraction.chunks import Pool
from quintet.features.extraction.process_pool import InProcessPool, ProcessPool
from quintet.features.extraction.worker import Job
from quintet.files.machine import job_count


def open_pool(job: Job, *, n_jobs: int, timeout_s: float | None, scheduler: str | None) -> Pool:
    """The pool that these settings ask for.

    Args:
        job: what to do with every clip.
        n_jobs: worker processes; 0 is this process.
        timeout_s: the longest time of a clip, seconds; None allows any time.
        scheduler: the address of a dask scheduler; None works on this machine.

    Raises:
        ConfigError: a time-out is asked for where nothing can keep it.
    """
    if timeout_s is not None and timeout_s <= 0:
        raise ConfigError(f"A time-out must be a positive number of seconds. Received {timeout_s}.")
    if timeout_s is not None and (scheduler is not None or n_jobs == 0):
        where = "a cluster" if scheduler is not None else "this process (n_jobs=0)"
        raise ConfigError(
            "A time-out is kept by worker processes on this machine. "
            f"Received timeout_s={timeout_s} with {where}: leave it out."
        )
    if scheduler is not None:
        from quintet.features.extraction.dask_pool import ClusterPool

        return ClusterPool(job, address=scheduler)
    count = job_count(n_jobs)
    return ProcessPool(job, n_jobs=count, timeout_s=timeout_s) if count else InProcessPool(job)
