"""Harmonic and percussive parts: sound that holds its pitch, and sound that fills all pitches at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import power_to_db
from quintet.features.catalogue import WIDE_BANDS

Floats = NDArray[np.float64]
Gaps = Callable[[Floats], Floats]
"""Computes `median_gaps`."""

STRIDE = 4
"""Every fourth frame is looked at."""
FRAMES, BANDS = 7, 9
"""Frames (.65 s with the default hop) and mel bands of the two medians."""
LOG_PER_DB = float(np.log(10)) / 10
"""Logarithm of the power per dB: `exp(LOG_PER_DB * x)` is `10 ** (x / 10)`, in a sixth of the time."""
BLOCK = 1024
"""Frames that are divided at a time, so that a long recording needs little memory."""

# Exchanges after which one place holds the median of as many values (Devillard 1998, after Paeth 1990).
EXCHANGES: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {
    7: (3, ((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3),
            (3, 4))),
    9: (4, ((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3), (5, 8), (4, 7),
            (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2))),
}  # fmt: skip
"""Number of values → place of the median, and exchanges: the smaller value goes to the first place."""


def median_gaps(levels: Floats) -> Floats:
    """Median of 9 neighbouring bands less median of 7 neighbouring frames, dB.

    Beyond the ends, the first and the last value are repeated.

    Args:
        levels: shape `(bands, frames)`, dB.

    Returns:
        Shape `(bands, frames)`.
    """
    return _running_median(levels.T, BANDS).T - _running_median(levels, FRAMES)


def harmonic_share(levels: Floats, gaps_of: Gaps = median_gaps) -> Floats:
    """Share of the power of each mel band in each frame that belongs to the harmonic part, in (0, 1).

    `share = H² / (H² + P²)`, where `H` is the median power of 7 frames of the band and `P` that of 9
    neighbouring bands in the frame. Beyond the ends, the first and the last value are repeated.

    Args:
        levels: every fourth frame of the mel bands, shape `(bands, frames)`, dB.
        gaps_of: computes `median_gaps`.

    Source:
        Fitzgerald 2010, with Wiener masks, on mel bands in place of the bins of the transform.

    Example:
        >>> tone = np.zeros((20, 30))
        >>> tone[10] = 40.0  # one band that sounds all the time
        >>> click = np.zeros((20, 30))
        >>> click[:, 15] = 40.0  # all bands in one frame
        >>> round(float(harmonic_share(tone)[10, 15]), 3), round(float(harmonic_share(click)[10, 15]), 3)
        (1.0, 0.0)
    """
    return np.asarray(1 / (1 + np.exp(gaps_of(levels) * (2 * LOG_PER_DB))))


def parts(
    levels: Floats, *, top_db: float | None, gaps_of: Gaps = median_gaps
) -> tuple[Floats, Floats, Floats]:
    """Levels of the harmonic and of the percussive part in wide bands, and the share of the harmonic one.

    A wide band is one of 16 groups of neighbouring mel bands, which are equally large, as far as their number
    allows. The powers of its bands are added.

    Args:
        levels: every fourth frame of the mel bands, shape `(bands, frames)`, dB, at least 16 bands.
        top_db: largest distance of a level from the loudest one of both parts, dB; None if there is no limit.
        gaps_of: computes `median_gaps`.

    Returns:
        `harmonic, percussive, share`, each `(16, frames)`; levels in dB, shares in (0, 1).

    Example:
        >>> harmonic, percussive, share = parts(np.zeros((32, 10)), top_db=80.0)
        >>> harmonic.shape, float(share[0, 0]), round(float(harmonic[0, 0]), 3)  # half of two bands of 0 dB
        ((16, 10), 0.5, 0.0)
    """
    divider = Divider(gaps_of)
    blocks = [divider.add(levels[:, first : first + BLOCK]) for first in range(0, levels.shape[1], BLOCK)]
    return part_levels(np.concatenate([*blocks, divider.end()], axis=1), top_db=top_db)


class Divider:
    """Powers of the harmonic part and of both parts in wide bands, for levels that come block by block.

    A median needs three frames more than a block has, so the last frames of a block wait for the next one.

    Args:
        gaps_of: computes `median_gaps`.
    """

    def __init__(self, gaps_of: Gaps = median_gaps) -> None:
        self.gaps_of = gaps_of
        self.waiting: Floats | None = None
        self.n_done = 0  # waiting frames that are divided already

    def add(self, levels: Floats) -> Floats:
        """Powers of the ready frames, `(32, frames)`: harmonic, both. `levels` has `(bands, frames)`."""
        self.waiting = levels if self.waiting is None else np.concatenate([self.waiting, levels], axis=1)
        return self._divide(max(self.waiting.shape[1] - FRAMES // 2, self.n_done))

    def end(self) -> Floats:
        """Powers of the frames that still wait."""
        if self.waiting is None:
            return np.zeros((2 * WIDE_BANDS, 0))
        return self._divide(self.waiting.shape[1])

    def _divide(self, end: int) -> Floats:
        """Divide the waiting frames up to `end`, and keep those that later medians need."""
        near = self.waiting
        assert near is not None
        inside, starts = slice(self.n_done, end), np.arange(WIDE_BANDS) * len(near) // WIDE_BANDS
        power = np.exp(near[:, inside] * LOG_PER_DB)
        whole = np.add.reduceat(power, starts)
        power *= harmonic_share(near, self.gaps_of)[:, inside]
        kept = max(end - FRAMES // 2, 0)
        self.waiting, self.n_done = near[:, kept:].copy(), end - kept
        return np.concatenate([np.add.reduceat(power, starts), whole])


def part_levels(powers: Floats, *, top_db: float | None) -> tuple[Floats, Floats, Floats]:
    """Levels of both parts and the harmonic share, as `parts` says, from the powers of a `Divider`.

    Args:
        powers: `(32, frames)`: the harmonic part, then both parts. They are overwritten.
        top_db: as in `parts`.
    """
    harmonic, percussive = powers[:WIDE_BANDS], powers[WIDE_BANDS:]
    share = harmonic / percussive
    np.maximum(np.subtract(percussive, harmonic, out=percussive), 0, out=percussive)
    for row in powers:  # row by row, so that a long recording needs little memory
        row[:] = power_to_db(row)
    if top_db is not None:
        np.maximum(powers, powers.max() - top_db, out=powers)
    return harmonic, percussive, share


def _running_median(rows: Floats, width: int) -> Floats:
    """Median of `width` values around each value of each row, `(count, n)`."""
    padded = np.pad(rows, ((0, 0), (width // 2, width // 2)), mode="edge")
    n = rows.shape[1]
    return median_of([padded[:, k : k + n] for k in range(width)])


def median_of(values: Sequence[Floats]) -> Floats:
    """Median of 7 or 9 arrays of one shape, element by element.

    Example:
        >>> median_of([np.array([k, -k]) for k in (3.0, 9.0, 1.0, 7.0, 5.0, 2.0, 8.0)]).tolist()
        [5.0, -5.0]
    """
    place, exchanges = EXCHANGES[len(values)]
    sorted_so_far = list(values)
    for a, b in exchanges:
        first, second = sorted_so_far[a], sorted_so_far[b]
        sorted_so_far[a], sorted_so_far[b] = np.minimum(first, second), np.maximum(first, second)
    return sorted_so_far[place]
