"""Harmonic and percussive parts: sound that holds its pitch, and sound that fills all pitches at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import power_to_db
from quintet.features.catalogue import WIDE_BANDS

Floats = NDArray[np.float64]

STRIDE = 4
"""Every fourth frame is looked at."""
FRAMES, BANDS = 7, 9
"""Frames (.65 s with the default hop) and mel bands of the two medians."""
BLOCK = 4096
"""Frames that are divided at a time, so that a long recording needs little memory."""

# Exchanges after which one place holds the median of as many values (Devillard 1998, after Paeth 1990).
EXCHANGES: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {
    7: (3, ((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3),
            (3, 4))),
    9: (4, ((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3), (5, 8), (4, 7),
            (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2))),
}  # fmt: skip
"""Number of values → place of the median, and exchanges: the smaller value goes to the first place."""


def harmonic_share(levels: Floats) -> Floats:
    """Share of the power of each mel band in each frame that belongs to the harmonic part, in (0, 1).

    `share = H² / (H² + P²)`, where `H` is the median power of 7 frames of the band and `P` that of 9
    neighbouring bands in the frame. Beyond the ends, the first and the last value are repeated.

    Args:
        levels: every fourth frame of the mel bands, shape `(bands, frames)`, dB.

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
    harmonic = _running_median(levels, FRAMES)
    percussive = _running_median(levels.T, BANDS).T
    return np.asarray(1 / (1 + 10 ** ((percussive - harmonic) / 5)))


def parts(levels: Floats, *, top_db: float | None) -> tuple[Floats, Floats, Floats]:
    """Levels of the harmonic and of the percussive part in wide bands, and the share of the harmonic one.

    A wide band is one of 16 groups of neighbouring mel bands, which are equally large, as far as their number
    allows. The powers of its bands are added.

    Args:
        levels: every fourth frame of the mel bands, shape `(bands, frames)`, dB, at least 16 bands.
        top_db: largest distance of a level from the loudest one of both parts, dB; None if there is no limit.

    Returns:
        `harmonic, percussive, share`, each `(16, frames)`; levels in dB, shares in (0, 1).

    Example:
        >>> harmonic, percussive, share = parts(np.zeros((32, 10)), top_db=80.0)
        >>> harmonic.shape, float(share[0, 0]), round(float(harmonic[0, 0]), 3)  # half of two bands of 0 dB
        ((16, 10), 0.5, 0.0)
    """
    starts = np.arange(WIDE_BANDS) * len(levels) // WIDE_BANDS
    frames, margin = levels.shape[1], FRAMES // 2
    held, whole = np.empty((2, WIDE_BANDS, frames))
    for first in range(0, frames, BLOCK):
        last = min(first + BLOCK, frames)
        begin = max(first - margin, 0)
        near = levels[:, begin : last + margin]
        inside = slice(first - begin, last - begin)
        share, power = harmonic_share(near)[:, inside], 10 ** (near[:, inside] / 10)
        whole[:, first:last] = np.add.reduceat(power, starts)
        held[:, first:last] = np.add.reduceat(power * share, starts)
    both = power_to_db(np.stack([held, np.maximum(whole - held, 0)]), top_db=top_db)
    return both[0], both[1], held / whole


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
