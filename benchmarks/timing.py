"""Time ratios that hold on a busy machine: contenders run in turn, in one process, compared by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Timings:
    """CPU seconds of every contender in every round.

    Args:
        seconds: name → shape `(rounds,)`.
    """

    seconds: Mapping[str, NDArray[np.float64]]

    def median(self, name: str) -> float:
        """Median over the rounds, seconds."""
        return float(np.median(self.seconds[name]))

    def ratio(self, name: str, reference: str) -> tuple[float, float, float]:
        """Time over the time of the reference in the same round: median, lower and upper quartile."""
        ratios = self.seconds[name] / self.seconds[reference]
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        return float(middle), float(low), float(high)


def interleaved(contenders: Mapping[str, Callable[[], object]], *, rounds: int) -> Timings:
    """CPU time of every contender in every round, in an order that rotates, after one unmeasured run each.

    It is the CPU time of this process. Use one thread.
    """
    names = list(contenders)
    for name in names:
        contenders[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            begin = time.process_time()
            contenders[name]()
            seconds[name].append(time.process_time() - begin)
    return Timings({name: np.array(values) for name, values in seconds.items()})
