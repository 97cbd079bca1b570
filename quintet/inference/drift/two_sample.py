"""Two-sample test: are new clips farther from the training clips than these are from each other?

Columns are measured in standard deviations of the training clips, and clipped at ±8. The distance of a clip
is that to the nearest training clip of another group: root of the mean squared difference over columns. One
training clip per group gives the distances that are usual, so that clips of one artist do not make them
small. The new distances are compared with these by the one-sided test of Mann and Whitney: over all columns,
and for each feature family. Holm's correction counts all of these tests. The level is a tenth of a percent:
one draw of training clips serves all new clips, which the test does not know, and on splits by group a level
of one percent called four to seven percent of new clips of the same source unlike
(benchmarks/evidence/drift.py).

Clips that are all alike (one class) are not unlike by this test, because each has near training clips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quintet.features.catalogue import column_family

Floats = NDArray[np.float64]
Item = TypeVar("Item")

LEVEL = 0.001
LEAST_NEW, LEAST_GROUPS = 10, 20
MOST_QUERIES, MOST_ROWS = 300, 3000
"""Clips whose distances are computed, and training clips among which the nearest is looked for."""
MOST_FAMILIES = 40
"""Families that are tested. Of more, as in a table whose columns have no families, none is."""
LIMIT = 8.0
ALL = "all"


@dataclass(frozen=True)
class FamilyShift:
    """The test of one feature family.

    Args:
        family: its name, or `all` for all columns.
        ratio: median distance of the new clips over that of the training clips.
        p_value: corrected p-value of the hypothesis that the new clips are no farther.
    """

    family: str
    ratio: float
    p_value: float

    @property
    def is_unlike(self) -> bool:
        """Whether the new clips are farther, beyond chance."""
        return self.p_value < LEVEL and self.ratio > 1


@dataclass(frozen=True)
class Drift:
    """Whether new clips as a whole are unlike the training clips.

    Args:
        n_new: number of new clips.
        n_groups: number of training groups that gave the usual distances.
        shifts: the tests: `all` first, then the families, the largest ratio first.
    """

    n_new: int
    n_groups: int
    shifts: tuple[FamilyShift, ...]

    @property
    def unlike(self) -> tuple[FamilyShift, ...]:
        """The tests that call the new clips unlike."""
        return tuple(shift for shift in self.shifts if shift.is_unlike)


def find_drift(
    training: Floats,
    groups: NDArray[np.generic],
    new: Floats,
    names: list[str],
    *,
    n_new: int | None = None,
    seed: int = 0,
) -> Drift | None:
    """Compare new clips with the training clips.

    Args:
        training: features `(n, d)`, float32 or float64, NaN where unknown.
        groups: group of each training clip, `(n,)`.
        new: features of the new clips, `(m, d)`.
        names: names of the d columns.
        n_new: number of new clips, if `new` was drawn from them.
        seed: draws clips where there are many.

    Returns:
        None for fewer than 10 new clips or fewer than 20 groups.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> training, groups = rng.normal(size=(60, 6)), np.arange(60)
        >>> names = ["spectral.a", "spectral.b", "spectral.c", "rhythm.a", "rhythm.b", "rhythm.c"]
        >>> moved = rng.normal(size=(30, 6)) + [4, 4, 4, 0, 0, 0]
        >>> [shift.family for shift in find_drift(training, groups, moved, names).unlike]
        ['all', 'spectral']
        >>> find_drift(training, groups, rng.normal(size=(30, 6)), names).unlike
        ()
    """
    from quintet.evaluation.comparisons import holm  # predictions of few files need none of it

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(groups))
    _, first = np.unique(groups[order], return_index=True)
    if len(new) < LEAST_NEW or len(first) < LEAST_GROUPS:
        return None
    queries = _some(order[first], MOST_QUERIES, rng)
    rows = _some(np.arange(len(training)), MOST_ROWS, rng)
    chosen = _some(np.arange(len(new)), MOST_QUERIES, rng)
    mean, deviation = _moments(training)
    near, usual_clips, new_clips = (
        _standardise(clips, mean, deviation) for clips in (training[rows], training[queries], new[chosen])
    )
    same_group = groups[queries][:, None] == groups[rows][None]
    families = np.array([_family(name) for name in names])
    tested = list(dict.fromkeys(families.tolist()))
    tests = []
    for family in (ALL, *(tested if len(tested) <= MOST_FAMILIES else ())):
        own = np.ones(len(names), bool) if family == ALL else families == family
        usual = np.where(same_group, np.inf, _distances(usual_clips[:, own], near[:, own])).min(axis=1)
        found = _distances(new_clips[:, own], near[:, own]).min(axis=1)
        usual = usual[np.isfinite(usual)]
        middle = float(np.median(usual))
        if middle > 0:
            tests.append((family, float(np.median(found)) / middle, mann_whitney(found, usual)))
    corrected = holm([p for _, _, p in tests]).tolist()
    shifts = [FamilyShift(family, ratio, p) for (family, ratio, _), p in zip(tests, corrected, strict=True)]
    shifts.sort(key=lambda shift: (shift.family != ALL, -shift.ratio))
    return Drift(len(new) if n_new is None else n_new, len(first), tuple(shifts))


def draw_new(new: Sequence[Item], *, seed: int = 0) -> list[Item]:
    """New clips whose features are compared: all, or as many as the test looks at, drawn at random."""
    rng = np.random.default_rng(seed)
    return [new[k] for k in _some(np.arange(len(new)), MOST_QUERIES, rng)]


def _family(column: str) -> str:
    """The family of a column; none is called `all`, which stands for all columns."""
    family = column_family(column)
    return f"{ALL} columns" if family == ALL else family


def mann_whitney(larger: Floats, usual: Floats) -> float:
    """P-value of the hypothesis that the first sample is no larger (normal approximation, ties, continuity).

    Args:
        larger: m values.
        usual: n values.

    Example:
        >>> round(mann_whitney(np.array([4.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0])), 4)
        0.0404
    """
    m, n = len(larger), len(usual)
    together = np.concatenate([larger, usual])
    _, inverse, counts = np.unique(together, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    wins = ranks[:m].sum() - m * (m + 1) / 2
    ties = float((counts**3 - counts).sum()) / ((m + n) * (m + n - 1))
    variance = m * n / 12 * (m + n + 1 - ties)
    if variance <= 0:
        return 1.0
    z = (wins - m * n / 2 - 0.5) / math.sqrt(variance)
    return 0.5 * math.erfc(z / math.sqrt(2))


def _some(positions: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """All positions, or as many as are wanted, drawn at random."""
    return positions if len(positions) <= most else np.sort(rng.choice(positions, most, replace=False))


def _moments(training: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the known values of each column, `(d,)`; 0 where none is known.

    One column at a time, so that a table of many clips is not copied.
    """
    moments = np.zeros((2, training.shape[1]))
    for k, column in enumerate(training.T):
        known = column[np.isfinite(column)].astype(np.float64)
        if len(known):
            moments[:, k] = known.mean(), known.std()
    return moments[0], moments[1]


def _standardise(clips: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Columns in standard deviations from the mean, in [-8, 8]; 0 where unknown or constant."""
    varies = deviation > 1e-12 * np.maximum(np.abs(mean), 1e-300)
    scaled = (clips - mean) / np.where(varies, deviation, np.inf)
    return np.where(np.isfinite(scaled), np.clip(scaled, -LIMIT, LIMIT), 0.0)


def _distances(a: Floats, b: Floats) -> Floats:
    """Root of the mean squared difference over columns, `(len(a), len(b))`."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0) / max(a.shape[1], 1)))
