"""Time that the fits of a run still take, from those that are done and from how costs grow with rows.

A fit takes about a · n^p seconds for n rows. The exponent p of each kind of member was measured
(`python -m benchmarks.training_growth`, docs/scaling.md). The factor a comes from the fits of the same member
that are done in this run. Before the first of them it is that of the benchmark, times the slowness of this
machine in the fits of the other members.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from quintet.classifiers.registry import member_entry
from quintet.ensemble.crossfit import Listener, TrainingEvent


@dataclass(frozen=True)
class Growth:
    """Seconds of a fit: `seconds · (rows / 1000) ** exponent`.

    Args:
        seconds: of a fit on 1,000 rows of 518 columns in 16 classes.
        exponent: how it grows with the rows.
    """

    seconds: float
    exponent: float

    def of(self, rows: int) -> float:
        """Seconds of a fit on so many rows.

        Example:
            >>> Growth(3.0, 2.0).of(1_000), Growth(3.0, 2.0).of(2_000)
            (3.0, 12.0)
        """
        return self.seconds * math.pow(rows / 1000, self.exponent)


GROWTH = {
    "logistic_regression": Growth(0.3, 1.0),
    "random_forest": Growth(9.0, 0.9),
    "xgboost": Growth(13.0, 0.7),
    "svm": Growth(11.0, 1.9),
}
"""Kind of table member → its growth."""

BOUNDED_GROWTH = {
    "logistic_regression": Growth(0.8, 0.6),
    "random_forest": Growth(63.0, 0.4),
    "xgboost": Growth(3.9, 0.9),
    "svm": Growth(22.4, 0.4),
}
"""The same where many rows bound the sizes of members: fits of 30,000 and 100,000 rows."""

NETWORK_GROWTH = Growth(150.0, 1.0)
"""Growth of a network until its first fold is done; networks differ by factors of a hundred."""

Fit = tuple[str, int]
"""Member and fold; -1 for the fit on all rows."""


@dataclass
class TimeLeft:
    """Estimate of the time that is left, which follows the events of a run.

    Args:
        n_rows: member and fold → number of rows of each fit that is to be done.
        width: number of fits of tables that run at a time.
        networks: network → number of its fits that run at a time. They begin when those of tables are done.
        bounded: whether many rows bound the sizes of members.
        clock: seconds.

    Example:
        >>> left = TimeLeft({("svm", 0): [1000], ("svm", 1): [1000]}, clock=iter([0.0, 9.0, 9.0]).__next__)
        >>> left.follow(TrainingEvent("start", "svm", 0, 2))
        >>> left.follow(TrainingEvent("done", "svm", 0, 2, {"seconds": 9.0}))
        >>> left.seconds()
        9.0
    """

    n_rows: dict[Fit, list[int]]
    width: int = 1
    networks: Mapping[str, int] = field(default_factory=dict)
    bounded: bool = False
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._running: dict[Fit, float] = {}
        self._seconds: dict[str, float] = {}  # of the fits of a member that are done
        self._units: dict[str, float] = {}  # what they should take, as the kind does
        self._done_units = 0.0

    def follow(self, event: TrainingEvent) -> None:
        """Take notice of an event of a fit."""
        fit = (event.member, event.fold)
        waiting = self.n_rows.get(fit)
        if event.kind == "start":
            self._running[fit] = self.clock()
        if event.kind not in ("done", "reused") or not waiting:
            return
        units = fit_units(event.member, waiting.pop(), bounded=self.bounded)
        self._done_units += units
        started = self._running.pop(fit, None)
        if event.kind == "done":
            seconds = event.details.get("seconds", 0.0 if started is None else self.clock() - started)
            self._seconds[event.member] = self._seconds.get(event.member, 0.0) + float(seconds)
            self._units[event.member] = self._units.get(event.member, 0.0) + units

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]."""
        left = sum(self._cost(fit, rows) for fit, counts in self.n_rows.items() for rows in counts)
        done = sum(self._seconds.values())
        return done / (done + left) if done + left > 0 else 1.0

    def seconds(self) -> float | None:
        """Seconds that are left; None before the first fit is done."""
        if not self._seconds:
            return None
        now = self.clock()
        costs: dict[str, list[float]] = {}
        for fit, counts in self.n_rows.items():
            for k, rows in enumerate(counts):
                elapsed = now - self._running[fit] if k == 0 and fit in self._running else 0.0
                member = fit[0] if fit[0] in self.networks else ""
                costs.setdefault(member, []).append(max(self._cost(fit, rows) - elapsed, 0.0))
        widths = {"": self.width, **self.networks}
        return sum(_makespan(own, widths[member]) for member, own in costs.items())

    def _cost(self, fit: Fit, rows: int) -> float:
        """Seconds that a fit should take on this machine."""
        member, _ = fit
        units = fit_units(member, rows, bounded=self.bounded)
        if self._units.get(member):
            return units * self._seconds[member] / self._units[member]
        known = sum(self._units.values())
        return units * (sum(self._seconds.values()) / known if known else 1.0)


def with_time_left(listener: Listener | None, left: TimeLeft) -> Listener:
    """A listener that adds `left_s` and `share` to the details of the events of fits, and passes them on.

    What a pool has fitted is in the cache when the ensemble looks there: it is no news that it is reused.
    """

    def listen(event: TrainingEvent) -> None:
        if event.kind == "reused" and not left.n_rows.get((event.member, event.fold)):
            return
        left.follow(event)
        if listener is None:
            return
        if event.kind in ("start", "done", "reused", "epoch"):
            details = {**event.details, "left_s": left.seconds(), "share": left.share}
            event = replace(event, details=details)
        listener(event)

    return listen


def fit_units(member: str, rows: int, *, bounded: bool = False) -> float:
    """Seconds that a fit of a member took where the growths were measured.

    Args:
        member: its name.
        rows: number of rows that it is fitted on.
        bounded: whether many rows bound the sizes of members.
    """
    kind = member.partition("@")[0]
    table = BOUNDED_GROWTH if bounded else GROWTH
    growth = table.get(kind) if member_entry(member).input == "table" else None
    return (growth or NETWORK_GROWTH).of(rows)


def _makespan(costs: Sequence[float], width: int) -> float:
    """Time in which `width` workers do tasks that begin in their order.

    Example:
        >>> _makespan([4.0, 2.0, 2.0], 2)
        4.0
    """
    ends = [0.0] * max(1, width)
    for cost in costs:
        ends[ends.index(min(ends))] += cost
    return max(ends)
