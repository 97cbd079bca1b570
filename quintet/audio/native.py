"""What a decoder hands over: samples as the file stores them, block by block, and the window that was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, DecodeError

SHORTAGE_S = 0.05  # the shortage that is still rounding (padding of lossy codecs, listed times)
ROUNDING_S = 0.05  # listed times are rounded, and lossy codecs pad


@dataclass(frozen=True, slots=True, eq=False)
class NativeSamples:
    """Samples as stored, which can be gone through once.

    Args:
        blocks: arrays of shape `(n, channels)`, int16 where the source holds no more, else float32; all of one dtype.
        sample_rate: Hz.
        channels: how many there are.
        expected: the frames that the header promises for this window; None where it promises nothing.
        slack_s: how much less than that is no damage, seconds.
    """

    blocks: Iterator[NDArray[np.generic]]
    sample_rate: int
    channels: int
    expected: int | None
    slack_s: float = SHORTAGE_S


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a recording, in seconds. `end_s` None is the end of the file.

    Raises:
        ConfigError: if it begins before zero, or does not end after it begins.

    Example:
        >>> Window(0.5, 2.0).frames(44100, total=88200, source=Path("a.wav"))
        (22050, 88200)
    """

    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self) -> None:
        end = math.inf if self.end_s is None else self.end_s
        if not (math.isfinite(self.start_s) and 0 <= self.start_s < end):
            raise ConfigError(
                f"A window must begin at 0 s or later and end after it begins. Received start {self.start_s}, end {self.end_s}."
            )

    @property
    def is_whole_file(self) -> bool:
        """Whether this is all of the file."""
        return self.start_s == 0 and self.end_s is None

    def frames(self, sample_rate: int, total: int, source: Path) -> tuple[int, int]:
        """First frame, and the one after the last, in a recording of `total` frames.

        Raises:
            DecodeError: if the window lies beyond the end (0.05 s are forgiven); the message states the length.
        """
        first = round(self.start_s * sample_rate)
        last = total if self.end_s is None else round(self.end_s * sample_rate)
        if (first >= total and not self.is_whole_file) or last > total + ROUNDING_S * sample_rate:
            end = "the end" if self.end_s is None else f"{self.end_s:g} s"
            raise DecodeError(
                f"A window must lie inside the recording. '{source}' is {total / sample_rate:.3f} s long; asked for {self.start_s:g} s to {end}. "
                "Correct start and end."
            )
        return first, min(last, total)
