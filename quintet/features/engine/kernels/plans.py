"""Tables of the Fourier transform of the kernels (`fourier.py`), made with NumPy."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.features.engine.kernels.lanes import Rows

SMALLEST = 64
"""Shortest frame that this transform can do. The others are powers of two above it."""


class FourierPlan(NamedTuple):
    """Tables of one transform length, in the precision of the transform. `half` is `n_fft / 2`.

    Attributes:
        window: shape `(n_fft,)`, the periodic Hann window.
        roots: shape `(passes, 6)`: re and im of `w, w², w³` for each butterfly of each pass, in the order of
            use.
        order: shape `(half,)`: the point at which frequency `k` comes out.
        turns: shape `(half + 1, 2)`: re and im of `exp(-i π k / half)`.
    """

    window: Rows
    roots: Rows
    order: NDArray[np.int64]
    turns: Rows


def can_transform(n_fft: int) -> bool:
    """Whether `transform` can do this length: a power of two, at least 64."""
    return n_fft >= SMALLEST and n_fft & (n_fft - 1) == 0


@lru_cache(maxsize=16)
def fourier_plan(n_fft: int) -> FourierPlan:
    """Tables for frames of `n_fft` samples, a power of two ≥ 64."""
    half = n_fft // 2
    roots = []
    length = half
    while length > 16:  # a pass of butterflies; a leaf of 16 or 8 points ends the transform
        steps = np.outer(np.arange(length // 4), [1, 1, 2, 2, 3, 3])
        angle = -2 * np.pi / length * steps
        roots.append(np.where([True, False] * 3, np.cos(angle), np.sin(angle)))
        length //= 4
    circle = np.arange(half + 1) * (np.pi / half)
    turn = 2 * np.pi * np.arange(n_fft) / n_fft
    return FourierPlan(
        window=0.5 - 0.5 * np.cos(turn),
        roots=np.concatenate(roots),
        order=_places(np.arange(half), half),
        turns=np.stack([np.cos(circle), -np.sin(circle)], axis=1),
    )


def _places(frequency: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Position of each frequency in a block of `length` points.

    It is quarter `frequency % 4`, and inside that quarter the position of `frequency // 4`.
    """
    if length == 8:  # the leaf of eight: halves, then quarters
        return (frequency % 2) * 4 + frequency // 2
    if length == 4:
        return frequency
    quarter = length // 4
    return (frequency % 4) * quarter + _places(frequency // 4, quarter)
