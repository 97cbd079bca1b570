"""Native samples of a file, block by block, and the window of the file that is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, DecodeError

SHORTAGE_S = 0.05  # a shortage up to this is rounding (padding of lossy codecs, listed times)
ROUNDING_S = 0.05  # listed times are rounded, and lossy codecs pad


@dataclass(frozen=True, slots=True, eq=False)
class NativeSamples:
    """Samples as the file stores them. They can be read once.

    Args:
        blocks: arrays of shape `(n, channels)`, all int16 if that loses nothing, else all float32.
        sample_rate: Hz.
        channels: number of channels.
        expected: number of frames that the header states for this window; None if it states none.
        slack_s: seconds by which the window may be shorter without being called damaged.
    """

    blocks: Iterator[NDArray[np.generic]]
    sample_rate: int
    channels: int
    expected: int | None
    slack_s: float = SHORTAGE_S


@dataclass(frozen=True, slots=True)
class Window:
    """A time window of a recording.

    Args:
        start_s: seconds.
        end_s: seconds; None is the end of the file.

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
                "A window must begin at 0 s or later and end after it begins. "
                f"Received start {self.start_s}, end {self.end_s}."
            )

    @property
    def is_whole_file(self) -> bool:
        """Whether the window is the whole file."""
        return self.start_s == 0 and self.end_s is None

    def frames(self, sample_rate: int, total: int, source: Path) -> tuple[int, int]:
        """First frame of the window and the frame after its last, in a recording of `total` frames.

        Raises:
            DecodeError: the window ends more than 0.05 s after the recording; the message states the length.
        """
        first = round(self.start_s * sample_rate)
        last = total if self.end_s is None else round(self.end_s * sample_rate)
        begins_late = first >= total and not self.is_whole_file
        ends_late = last > total + ROUNDING_S * sample_rate
        if begins_late or ends_late:
            end = "the end" if self.end_s is None else f"{self.end_s:g} s"
            raise DecodeError(
                f"A window must lie inside the recording. '{source}' is {total / sample_rate:.3f} s long; "
                f"asked for {self.start_s:g} s to {end}. Correct start and end."
            )
        return first, min(last, total)
