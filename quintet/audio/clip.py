"""A clip: mono samples together with their sample rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, NonFiniteError, SilentError

LOUDEST = 1e31
"""Largest sample. Full scale is 1; with larger ones the sums of a filter leave float32."""

_KINDS = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One mono waveform with its sample rate and its name.

    Args:
        samples: shape `(n,)`, float32 (kept as it is if float64), nominally in [-1, 1]. Integers, whose full
            scale is not 1, are refused.
        sample_rate: Hz, positive.
        id: the clip's key in tables, stores and predictions.

    Raises:
        ConfigError: if `samples` is not one-dimensional or holds no floating numbers, or `sample_rate` is not
            positive.

    Example:
        >>> import numpy as np
        >>> Clip(np.zeros(22050, np.float32), sample_rate=22050).duration_s
        1.0
    """

    samples: NDArray[np.floating]
    sample_rate: int
    id: str = ""

    def __post_init__(self) -> None:
        samples = np.asarray(self.samples)
        if samples.ndim != 1:
            raise ConfigError(
                f"Samples must have shape (n,). Received {samples.shape}: "
                "mix to mono first (audio.resample.to_mono)."
            )
        if samples.dtype.kind != "f":
            raise ConfigError(
                f"Samples must be floating numbers, full scale from -1 to 1. Received {samples.dtype}: "
                "divide integers by their full scale (int16 by 32768), or give the path of the file."
            )
        if samples.dtype not in _KINDS:
            samples = samples.astype(np.float32)
        if samples is not self.samples:
            object.__setattr__(self, "samples", samples)
        rate: object = self.sample_rate
        is_number = isinstance(rate, Real) and not isinstance(rate, bool)
        if not is_number or not 0 < self.sample_rate < np.inf:
            raise ConfigError(f"A sample rate must be a positive number of Hz. Received {rate!r}.")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def segments(self, length_s: float, hop_s: float) -> Iterator[Clip]:
        """Segments of `length_s` every `hop_s` seconds; a clip no longer than `length_s` yields itself.

        All segments have the same length and every sample is in one of them: the last segment ends at the end
            of the
        clip and may overlap the one before. Segment ids are `id#t=start,end`.

        Example:
            >>> import numpy as np
            >>> clip = Clip(np.zeros(25, np.float32), sample_rate=10, id="a")
            >>> [s.id for s in clip.segments(1.0, 1.0)]
            ['a#t=0.0,1.0', 'a#t=1.0,2.0', 'a#t=1.5,2.5']
        """
        if length_s <= 0 or hop_s <= 0:
            raise ConfigError(
                f"Segment length and hop must be positive seconds. Received {length_s} and {hop_s}."
            )
        length = round(length_s * self.sample_rate)
        hop = round(hop_s * self.sample_rate)
        n = len(self.samples)
        if n <= length:
            yield self
            return
        starts = list(range(0, n - length + 1, max(hop, 1)))
        if starts[-1] + length < n:
            starts.append(n - length)
        for start in starts:
            end = start + length
            name = f"{self.id}#t={start / self.sample_rate:.1f},{end / self.sample_rate:.1f}"
            yield Clip(self.samples[start:end], self.sample_rate, name)


def require_sound(samples: NDArray[np.generic], *, name: str) -> None:
    """Require that a waveform is finite and not silent.

    Args:
        samples: any shape, integer or floating.
        name: the name of the waveform in the message.

    Raises:
        NonFiniteError: if a sample is NaN or infinite.
        SilentError: if every sample is exactly zero.

    Example:
        >>> import numpy as np
        >>> require_sound(np.zeros(4, np.float32), name="a.wav")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        quintet.errors.SilentError: A clip must contain sound. 'a.wav' is silent: every sample is zero. ...
    """
    n_bad = n_loud = 0
    if samples.dtype.kind == "f":
        n_bad, n_loud = count_impossible(samples)
    require_sound_in_blocks(n_bad, samples.size, n_loud=n_loud, sound=bool(samples.any()), name=name)


def count_impossible(samples: NDArray[np.generic]) -> tuple[int, int]:
    """Numbers of samples that are NaN or infinite, and of finite ones beyond `LOUDEST`.

    Example:
        >>> count_impossible(np.array([0.5, np.nan, -1e38]))
        (1, 1)
    """
    is_finite = np.isfinite(samples)
    with np.errstate(invalid="ignore"):  # of NaNs that signal
        is_near = np.less_equal(samples, LOUDEST) & np.greater_equal(samples, -LOUDEST)
    n_finite, n_near = int(np.count_nonzero(is_finite)), int(np.count_nonzero(is_near))
    return samples.size - n_finite, n_finite - n_near


def require_sound_in_blocks(n_bad: int, n_samples: int, *, n_loud: int = 0, sound: bool, name: str) -> None:
    """Require the same as `require_sound` of samples that were counted block by block.

    Args:
        n_bad: number of samples that are NaN or infinite.
        n_samples: number of all samples.
        n_loud: number of finite samples beyond `LOUDEST`.
        sound: whether any sample is not zero.
        name: the name of the waveform in the message.

    Raises:
        NonFiniteError, SilentError: as `require_sound`.
    """
    if n_bad:
        raise NonFiniteError(
            f"Samples must be finite numbers. '{name}' holds {n_bad} NaN or infinite samples of {n_samples}, "
            "read as numbers of 32 bits. Export it again."
        )
    if n_loud:
        raise NonFiniteError(
            f"Samples must lie near full scale, from -1 to 1. '{name}' holds {n_loud} samples of {n_samples} "
            f"beyond {LOUDEST:g}, with which nothing can be computed. Export it again."
        )
    if not sound:
        raise SilentError(
            f"A clip must contain sound. '{name}' is silent: every sample is zero. "
            "Leave it out, or check how it was recorded."
        )
