"""A clip: samples that never travel without their sample rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, NonFiniteError, SilentError


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One mono waveform with its sample rate and its name.

    Args:
        samples: shape `(n,)`, float32 (kept as it is if float64), nominally in [-1, 1].
        sample_rate: Hz, positive.
        id: the key under which everything about this clip is filed.

    Raises:
        ConfigError: if `samples` is not one-dimensional or `sample_rate` is not positive.

    Example:
        >>> import numpy as np
        >>> Clip(np.zeros(22050, np.float32), sample_rate=22050).duration_s
        1.0
    """

    samples: NDArray[np.floating]
    sample_rate: int
    id: str = ""

    def __post_init__(self) -> None:
        if self.samples.ndim != 1:
            raise ConfigError(
                f"Samples must have shape (n,). Received {self.samples.shape}: mix to mono first (audio.resample.to_mono)."
            )
        if self.sample_rate <= 0:
            raise ConfigError(f"A sample rate must be a positive number of Hz. Received {self.sample_rate}.")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def segments(self, length_s: float, hop_s: float) -> Iterator[Clip]:
        """Cuts of `length_s` every `hop_s` seconds; a clip no longer than `length_s` yields itself.

        A rest shorter than `length_s` is not yielded as such: the last segment ends where the clip ends, so that no
        sample is ignored and every segment has the same length. Segment ids are `id#t=start,end`.

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
        length, hop, n = (
            round(length_s * self.sample_rate),
            round(hop_s * self.sample_rate),
            len(self.samples),
        )
        if n <= length:
            yield self
            return
        starts = list(range(0, n - length + 1, max(hop, 1)))
        if starts[-1] + length < n:
            starts.append(n - length)
        for start in starts:
            name = f"{self.id}#t={start / self.sample_rate:.1f},{(start + length) / self.sample_rate:.1f}"
            yield Clip(self.samples[start : start + length], self.sample_rate, name)


def require_sound(samples: NDArray[np.generic], *, name: str) -> None:
    """The check that every waveform passes once: finite, and not silent.

    Args:
        samples: any shape, integer or floating.
        name: what to call it in the message.

    Raises:
        NonFiniteError: if a sample is NaN or infinite.
        SilentError: if every sample is exactly zero.

    Example:
        >>> import numpy as np
        >>> require_sound(np.zeros(4, np.float32), name="a.wav")
        Traceback (most recent call last):
        ...
        quintet.errors.SilentError: A clip must contain sound. 'a.wav' is silent: every sample is zero. Leave it out, or check how it was recorded.
    """
    bad = samples.size - int(np.count_nonzero(np.isfinite(samples))) if samples.dtype.kind == "f" else 0
    require_sound_in_blocks(bad, samples.size, sound=bool(samples.any()), name=name)


def require_sound_in_blocks(bad: int, count: int, *, sound: bool, name: str) -> None:
    """The same check where the samples were counted in blocks.

    Args:
        bad: how many are NaN or infinite.
        count: how many there are.
        sound: whether any is not zero.
        name: what to call them in the message.

    Raises:
        NonFiniteError, SilentError: as `require_sound`.
    """
    if bad:
        raise NonFiniteError(
            f"Samples must be finite numbers. '{name}' holds {bad} NaN or infinite samples of {count}. Export it again."
        )
    if not sound:
        raise SilentError(
            f"A clip must contain sound. '{name}' is silent: every sample is zero. Leave it out, or check how it was recorded."
        )
