"""A draw of the sources of clips that stand in an order, of which each source has a run.

The model of `common_sources`, with another prior in place of the restaurant process: a run ends after each
clip with one chance, the hazard. Given the variances, all divisions into runs are summed up forwards, and
one is drawn backwards with its probability, exactly.

Source: Barry and Hartigan, "Product partition models for change point problems", 1992; the recursions as in
Fearnhead, "Exact and efficient Bayesian inference for multiple changepoint problems", 2006.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.splits.split import Positions
from quintet.training.blocks import compiled
from quintet.training.blocks.source_moves import Clips

Floats = NDArray[np.float64]
FIRST_HAZARD = 0.3
SMALLEST_HAZARD = 1e-4


def draw_runs(clips: Clips, order: Positions, hazard: float, rng: np.random.Generator) -> Positions:
    """Number of the source of each clip, `(n,)`, drawn from all divisions of the order into runs.

    Args:
        clips: the clips of a piece.
        order: positions of the clips within the piece, in their order, `(n,)`.
        hazard: chance that a run ends after a clip, in (0, 1).
        rng: source of the draw.
    """
    n = len(order)
    densities = _run_densities(clips, order)
    ends, goes_on = np.log(hazard), np.log1p(-hazard)
    begins = np.arange(n)
    sums = np.full(n + 1, -np.inf)
    sums[0] = 0.0
    steps = []
    for last in range(n):
        starts = begins[: last + 1]
        logs = sums[starts] + densities[starts, last] + (last - starts) * goes_on + ends
        largest = logs.max()
        shares = np.exp(logs - largest)
        sums[last + 1] = largest + np.log(shares.sum())
        steps.append(shares / shares.sum())
    source, end, number = np.empty(n, np.intp), n, 0
    while end:
        first = int(rng.choice(end, p=steps[end - 1]))
        source[order[first:end]] = number
        end, number = first, number + 1
    return source


def draw_hazard(n: int, n_runs: int, rng: np.random.Generator) -> float:
    """Draw the hazard from the number of runs of n clips; before, all values are equally likely."""
    drawn = float(rng.beta(n_runs, 1 + n - n_runs))
    return min(max(drawn, SMALLEST_HAZARD), 1 - SMALLEST_HAZARD)


def _run_densities(clips: Clips, order: Positions) -> Floats:
    """Log density of the clips from the i-th to the j-th in the order, `(n, n)`; -inf for j < i."""
    densities = np.full((len(order), len(order)), -np.inf)
    room = np.empty(len(clips.ratios))
    compiled.fill_run_densities(clips.arrays, order.astype(np.int64), room, densities)
    return densities
