"""Settings of the service: its address, its bounds, and the options of its predictions."""

from __future__ import annotations

from dataclasses import dataclass

from quintet.audio.isolation.bounds import Bounds, read_bounds
from quintet.errors import ConfigError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8000
DEFAULT_QUEUE, DEFAULT_MEGABYTES, DEFAULT_SECONDS = 64, 100.0, 60.0
LAST_PORT = 65535


@dataclass(frozen=True)
class ServeSettings:
    """Settings of the service.

    Args:
        host: address of the network interface.
        port: port; 0 takes a free one.
        host_names: names, besides localhost and numbers, under which clients reach the service.
        n_workers: worker processes that decode and describe recordings.
        queue: requests that may be under way at the same time. Further ones are refused (503).
        megabytes: size of the largest request, MB (413 beyond).
        seconds: time for one recording in its worker process, seconds.
        confidence: of the prediction set where a request states none; None gives no set.
        segment_s: length of a segment where a request states none, seconds.
        strict: whether recordings that are cut short count as failed where a request does not say it.

    Raises:
        ConfigError: a number is outside its range.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    host_names: tuple[str, ...] = ()
    n_workers: int = 1
    queue: int = DEFAULT_QUEUE
    megabytes: float = DEFAULT_MEGABYTES
    seconds: float = DEFAULT_SECONDS
    confidence: float | None = None
    segment_s: float | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        _require("port", self.port, 0, LAST_PORT)
        _require("number of workers", self.n_workers, 1, 1024)
        _require("queue", self.queue, 1, 100_000)
        _require("size of a request", self.megabytes, 0.001, 1e6)
        _require("time for a recording", self.seconds, 0.1, 1e6)

    @property
    def most_bytes(self) -> int:
        """Bytes of the largest request."""
        return int(self.megabytes * 1e6)

    @property
    def bounds(self) -> Bounds:
        """Bounds of the work on one recording: our time, which parts do not renew, and the usual memory."""
        return Bounds(read_bounds().memory_mb, self.seconds, renewed=False)


def _require(noun: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(
            f"The {noun} must be a number from {least:g} to {most:g}. Received {value:g}: choose another."
        )
