"""Moments of series and of waveforms that are in memory, by the kernels."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quintet.features.engine import native
from quintet.features.engine.streamed_moments import in_memory_median
from quintet.features.statistics import Moments

Floats = NDArray[np.float64]


class RowMoments(Moments):
    """Moments of series, computed in one pass.

    Args:
        rows: shape `(count, n)` or `(n,)`, float64.
    """

    def __init__(self, rows: Floats) -> None:
        super().__init__(np.ascontiguousarray(rows, np.float64))
        count, n = self.rows.shape
        self.table = np.empty((count, 6))
        native.row_moments(self.rows.reshape(-1), n, self.table)

    @cached_property
    def mean(self) -> Floats:
        """Mean."""
        return self.table[:, 0]

    @cached_property
    def smallest(self) -> Floats:
        """Smallest value."""
        return self.table[:, 1]

    @cached_property
    def largest(self) -> Floats:
        """Largest value."""
        return self.table[:, 2]

    def moment(self, order: int) -> Floats:
        """Central moment of order 2, 3 or 4."""
        return self.table[:, order + 1]


class SampleMoments(Moments):
    """Moments of a waveform, without a copy of it in float64.

    Args:
        samples: shape `(n,)`, float32.
        central: mean, m2, m3, m4.
        ends: smallest and largest sample.
    """

    def __init__(self, samples: NDArray[np.float32], central: Floats, ends: tuple[float, float]) -> None:
        self.samples = samples
        self.central = central
        self.ends = ends

    @cached_property
    def rows(self) -> Floats:  # type: ignore[override]
        """The samples as one row of float64."""
        return self.samples[None].astype(np.float64)

    @cached_property
    def mean(self) -> Floats:
        """Mean."""
        return self.central[:1]

    @cached_property
    def smallest(self) -> Floats:
        """Smallest sample."""
        return np.array([self.ends[0]])

    @cached_property
    def largest(self) -> Floats:
        """Largest sample."""
        return np.array([self.ends[1]])

    @cached_property
    def median(self) -> Floats:
        """Median."""
        return np.array([in_memory_median(self.samples)])

    def moment(self, order: int) -> Floats:
        """Central moment of order 2, 3 or 4."""
        return self.central[order - 1 : order]


class AbsoluteMoments(SampleMoments):
    """Moments of the absolute values of a waveform. The values are formed only if they are needed one by one.

    Args:
        signal: moments of the waveform itself.
        central: mean, m2, m3, m4 of the absolute values.
    """

    def __init__(self, signal: SampleMoments, central: Floats) -> None:
        self.signal = signal
        self.central = central

    @cached_property
    def samples(self) -> NDArray[np.float32]:  # type: ignore[override]
        """Absolute values of the samples."""
        return np.abs(self.signal.samples)

    @cached_property
    def median(self) -> Floats:
        """Median."""
        return np.array([in_memory_median(self.signal.samples, of_absolute=True)])

    @cached_property
    def smallest(self) -> Floats:
        """Smallest absolute value."""
        return np.array([self.samples.min()], np.float64)

    @cached_property
    def largest(self) -> Floats:
        """Largest absolute value."""
        return self.signal.magnitude

    @cached_property
    def magnitude(self) -> Floats:
        """Largest absolute value."""
        return self.signal.magnitude


def sample_moments(samples: NDArray[np.float32]) -> tuple[SampleMoments, AbsoluteMoments]:
    """Moments of the samples, and moments of their absolute values."""
    n = len(samples)
    total, total_of_absolute, least, largest = native.sums(samples)
    mean = total / n
    mean_of_absolute = total_of_absolute / n
    powers = np.empty(6)
    native.power_sums(samples, mean, mean_of_absolute, powers)
    powers /= n
    central = np.array([mean, *powers[:3]])
    central_of_absolute = np.array([mean_of_absolute, *powers[3:]])
    signal = SampleMoments(samples, central, (least, largest))
    return signal, AbsoluteMoments(signal, central_of_absolute)
