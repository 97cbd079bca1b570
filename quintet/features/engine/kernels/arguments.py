"""Arguments of the kernels: named tuples of arrays, which numba compiles as one value each.

A *row* is a value of eight lanes (`simd.py`): row `k` of `power` is bin `k` of eight frames.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.features.engine.kernels.lanes import Rows
from quintet.features.engine.kernels.plans import FourierPlan


class Bands(NamedTuple):
    """Filterbanks without their zeros.

    Attributes:
        first: first bin of each band.
        last: last bin + 1 of each band.
        offset: position in `weights` of the first weight of each band.
        weights: the weights of all bands, one band after the other.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    offset: NDArray[np.int64]
    weights: NDArray[np.float32]


class Source(NamedTuple):
    """Frames, eight at a time: from samples that the kernel transforms, or from spectra that were computed
    elsewhere.

    Attributes:
        samples: shape `(n,)`, float32. Frame `i` begins at sample `first + i * hop`; zeros lie beyond both
            ends.
        first: first sample of frame 0.
        hop: samples between frames.
        plan: tables of the transform.
        spectra: float64 pairs (re, im), one spectrum every `stride` numbers, with zeros at its end, for
            lengths that are no power of two. Empty if the kernel transforms `samples`.
        stride: numbers from one spectrum to the next, a multiple of eight.
        groups: number of groups of eight frames. Frames of zeros fill the last group.
    """

    samples: NDArray[np.float32]
    first: int
    hop: int
    plan: FourierPlan
    spectra: NDArray[np.float64]
    stride: int
    groups: int


class Request(NamedTuple):
    """What to measure.

    Attributes:
        bands: all filterbanks, one after the other.
        contrast: shape `(bands, 3)`: first bin, last bin + 1, and number of the loudest and of the quietest
            bins whose mean is taken.
        rolloff: share of the magnitude that lies below the roll-off, in (0, 1).
        peaks: shape `(2,)`: first bin and last bin + 1 of the search for peaks.
        stride: distance of the frames that are used for what is tonal: peaks, and the power that is kept.
        flatness: whether to measure it.
        bandwidth: number of bins that are looked at; those above count as silent.
        floor: power of the masking floor that is added in each bin, shape `(bins,)`.
    """

    bands: Bands
    contrast: NDArray[np.int64]
    rolloff: float
    peaks: NDArray[np.int64]
    stride: int
    flatness: bool
    bandwidth: int
    floor: NDArray[np.float64]


class Workspace(NamedTuple):
    """Memory for eight frames, used again for every eight.

    For the features, the transform is in float64, because the bins far from a tone are differences of large
    numbers, and the power is then rounded to float32 for the sums. Where only peaks are looked for, points
    and power are float32.

    Attributes:
        padded: samples at the edges of the clip.
        points: complex points.
        power: power.
        single: power, float32.
        magnitude: root of the power.
        rest: memory for sorting.
    """

    padded: NDArray[np.float32]
    points: Rows
    power: Rows
    single: NDArray[np.float32]
    magnitude: NDArray[np.float32]
    rest: NDArray[np.float32]


class Output(NamedTuple):
    """Results of the first pass.

    Attributes:
        series: shape `(rows * groups, 8)`: row `r` of group `g` at `r * groups + g`. Seen as
            `(rows, frames)`, it has one series per row.
        bands: the same for the filterbanks, float32.
        pitches: position of every spectral peak, in bins, frame by frame.
        heights: interpolated power of every spectral peak.
        found: shape `(1,)`: number of peaks.
        kept: shape `(bins * groups of kept frames, 8)`, float32: the power of every `stride`-th frame, with
            the masking floor; bin `k` of group `g` at `g * bins + k`. Empty if nothing is kept.
    """

    series: NDArray[np.float64]
    bands: NDArray[np.float32]
    pitches: NDArray[np.float64]
    heights: NDArray[np.float64]
    found: NDArray[np.int64]
    kept: NDArray[np.float32]


class FoundPeaks(NamedTuple):
    """Peaks of the power, in the order in which they are found.

    Attributes:
        frames: frame of each peak.
        bins: bin of each peak.
        powers: shape `(3, room)`: power of the bin below, of the peak, and of the bin above.
        total: shape `(1,)`: number of peaks.
    """

    frames: NDArray[np.int64]
    bins: NDArray[np.int64]
    powers: NDArray[np.float32]
    total: NDArray[np.int64]


# Rows of `Output.series`: moments, then `2 * len(contrast)` rows of peaks and valleys.
CENTROID, MOMENT2, MOMENT3, MOMENT4, ROLLOFF, FLATNESS, FIRST_CONTRAST = range(7)
