"""Chunks of clips: their formation, the outcome of a chunk in a pool, and the retry of clips of a lost chunk.

A pool takes chunks and returns outcomes in any order. If a worker dies or hangs, the clips of its chunk are
tried again one by one, so that one bad clip costs its own row and not the rows of its neighbours.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

from quintet.features.extraction.worker import ClipTask, Row, failure, file_facts

Chunk = tuple[ClipTask, ...]
Item = TypeVar("Item")

FAULTS = {"died": "ProcessExpired", "late": "TimeoutError", "memory": "MemoryError"}
"""Fault of a worker → the column `error` of the ledger row."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of an extraction.

    Args:
        total: clips in the manifest.
        done: clips that have a row, reused ones included.
        reused: clips whose row of an earlier run is reused.
        failed: clips in the failure ledger so far.
        audio_s: seconds of audio described in this run.
    """

    total: int
    done: int = 0
    reused: int = 0
    failed: int = 0
    audio_s: float = 0.0


ProgressCallback = Callable[[Progress], object]
"""Receives the progress of work on clips."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a chunk.

    Args:
        chunk: the clips.
        rows: their rows; None if the chunk was not finished.
        fault: why it was not finished: `died` (the worker died), `late` (time-out) or `memory` (the worker
            took too much).
        reason: the fault as a sentence.
    """

    chunk: Chunk
    rows: list[Row] | None = None
    fault: str = ""
    reason: str = ""


class Pool(Protocol):
    """A place where chunks are described."""

    @property
    def capacity(self) -> int:
        """Number of chunks that may be under way."""
        ...

    def submit(self, chunk: Chunk) -> None:
        """Accept one chunk; at most `capacity` at a time."""

    def outcomes(self) -> list[Outcome]:
        """Wait until at least one chunk has ended, and return the outcomes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def split_into_chunks(
    items: Iterable[tuple[Item, float]], *, weight: float, count: int
) -> Iterator[tuple[Item, ...]]:
    """Tuples of at most `count` items, closed when their weights reach `weight`.

    Args:
        items: pairs of an item and its weight.
        weight: weight that closes a tuple.
        count: most items of a tuple.

    Example:
        >>> items = [("a", 9.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)]
        >>> list(split_into_chunks(items, weight=2.0, count=3))
        [('a',), ('b', 'c'), ('d',)]
    """
    chunk: list[Item] = []
    total = 0.0
    for item, item_weight in items:
        chunk.append(item)
        total += item_weight
        if total >= weight or len(chunk) == count:
            yield tuple(chunk)
            chunk, total = [], 0.0
    if chunk:
        yield tuple(chunk)


def describe_chunks(chunks: Iterator[Chunk], pool: Pool) -> Iterator[list[Row]]:
    """Rows of all clips, in any order. At most `pool.capacity` chunks are under way.

    The clips of a chunk that was not finished are tried again one by one. A clip is recorded as a failure if
    a worker died twice over it, the second time over this clip alone, or if it was late or took too much
    memory alone.

    Args:
        chunks: the clips.
        pool: the place where chunks are described.
    """
    retries: deque[Chunk] = deque()
    deaths: Counter[int] = Counter()
    n_under_way = 0
    while True:
        while n_under_way < pool.capacity:
            chunk = retries.popleft() if retries else next(chunks, None)
            if chunk is None:
                break
            pool.submit(chunk)
            n_under_way += 1
        if not n_under_way:
            return
        for outcome in pool.outcomes():
            n_under_way -= 1
            if outcome.rows is not None:
                yield outcome.rows
                continue
            if outcome.fault == "died":
                deaths.update(task.position for task in outcome.chunk)
            if _is_proven(outcome, deaths):
                yield [_failed_row(outcome)]
            else:
                retries.extend((task,) for task in outcome.chunk)


def _is_proven(outcome: Outcome, deaths: Counter[int]) -> bool:
    """Whether the chunk is a single clip that caused the fault."""
    if len(outcome.chunk) > 1:
        return False
    has_died_twice = outcome.fault == "died" and deaths[outcome.chunk[0].position] > 1
    return outcome.fault in ("late", "memory") or has_died_twice


def _failed_row(outcome: Outcome) -> Row:
    (task,) = outcome.chunk
    reason = failure("worker", FAULTS[outcome.fault], outcome.reason)
    return Row(task.position, facts=file_facts(task.source.path) | reason)
