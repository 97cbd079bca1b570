"""Native samples of a file, block by block, the window that is decoded, and what is known at its end."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, DecodeError, QuintetError

SHORTAGE_S = 0.05  # a shortage up to this is rounding (padding of lossy codecs, listed times)
ROUNDING_S = 0.05  # listed times are rounded, and lossy codecs pad

OBJECT = re.compile(r"<[\w.]+(?: [\w.]+)* at 0x[0-9a-fA-F]+>")
"""How Python writes an object that has no text of its own."""

READER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What decoders raise over a damaged file besides their own errors. `machine_fault` finds the machine's."""


def reason_of(error: Exception) -> str:
    """What a decoder says of a file, without the objects and numbers by which it names the file itself."""
    # soundfile and the system put the file, or a number, beside their reason
    text = str(getattr(error, "error_string", "") or getattr(error, "strerror", "") or error)
    without_objects = OBJECT.sub("the file", text)
    return " ".join(without_objects.split()).strip(" .") or type(error).__name__


@contextmanager
def damage_in_sentences(source: Path, *passed: type[Exception]) -> Iterator[None]:
    """Turn every error that a damaged file can cause into a DecodeError that names it.

    Args:
        source: the file.
        passed: errors that mean something to the caller.

    Raises:
        DecodeError: the file is damaged.
    """
    try:
        yield
    except QuintetError:
        raise
    except passed:
        raise
    except READER_ERRORS as error:
        reason = reason_of(error)
        raise DecodeError(
            f"A recording must be whole. '{source}' is damaged ({reason}). Fetch it again."
        ) from error


@dataclass(slots=True)
class Ending:
    """How a recording ended. A reader completes it when the last block was read.

    Args:
        position: frames from the start of the recording to the end of what was decoded.
        missing: frames that the file states and does not hold, within the window.
        reason: why frames are missing, in words; empty if none are.
        has_gaps: whether the missing frames are gaps in a recording that goes on behind them.
    """

    position: int = 0
    missing: int = 0
    reason: str = ""
    has_gaps: bool = False

    def update(self, other: Ending) -> None:
        """Take over what another ending says."""
        self.position, self.missing = other.position, other.missing
        self.reason, self.has_gaps = other.reason, other.has_gaps


@dataclass(frozen=True, slots=True, eq=False)
class NativeSamples:
    """Samples as the file stores them. They can be read once.

    Args:
        blocks: arrays of shape `(n, channels)`, all int16 if that loses nothing, else all float32.
        sample_rate: Hz.
        channels: number of channels.
        hint: number of frames to expect, for the allocation of memory; None if unknown. It may be wrong.
        ending: how the recording ended, complete after the last block.
    """

    blocks: Iterator[NDArray[np.generic]]
    sample_rate: int
    channels: int
    hint: int | None
    ending: Ending = field(default_factory=Ending)


@dataclass(frozen=True, slots=True)
class Window:
    """A time window of a recording.

    Args:
        start_s: seconds.
        end_s: seconds; None is the end of the file.

    Raises:
        ConfigError: if it begins before zero, or does not end after it begins.

    Example:
        >>> Window(0.5, 2.0).frames(44100)
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

    def frames(self, sample_rate: int) -> tuple[int, int | None]:
        """First frame of the window, and the frame after its last; None is the end of the file."""
        last = None if self.end_s is None else round(self.end_s * sample_rate)
        return round(self.start_s * sample_rate), last

    def require_inside(self, position: int, sample_rate: int, source: Path) -> None:
        """Require that the window lies inside a recording that ends at `position`.

        Raises:
            DecodeError: the window ends more than 0.05 s after the recording; the message states the length.
        """
        first, last = self.frames(sample_rate)
        begins_late = position <= first and not self.is_whole_file
        ends_late = last is not None and last > position + ROUNDING_S * sample_rate
        if begins_late or ends_late:
            end = "the end" if self.end_s is None else f"{self.end_s:g} s"
            raise DecodeError(
                f"A window must lie inside the recording. '{source}' is {position / sample_rate:.3f} s long; "
                f"asked for {self.start_s:g} s to {end}. Correct start and end, or leave these columns out."
            )


def close_window(
    window: Window,
    *,
    position: int,
    stated: int | None,
    sample_rate: int,
    slack_s: float,
    source: Path,
    damage: str = "",
    lost: int = 0,
) -> Ending:
    """The ending of a window whose data ended at `position`.

    Args:
        window: what was asked for.
        position: frames from the start of the recording to the end of the data.
        stated: frames of the whole recording, if the file states them reliably.
        sample_rate: Hz.
        slack_s: seconds by which the statement may be wrong.
        damage: why the decoder could not go on; empty if the data simply ended.
        source: the file, for the message.
        lost: frames in damaged places, behind which decoding went on.

    Raises:
        DecodeError: the window ends after the recording, and the file does not state more than it holds.
    """
    first, last = window.frames(sample_rate)
    wanted = stated if last is None else last if stated is None else min(last, stated)
    decoded = max(0, position - first)
    missing = 0 if wanted is None else max(0, wanted - max(position, first))
    is_short = (stated is not None or damage != "") and missing > slack_s * sample_rate
    decoded_s, wanted_s = decoded / sample_rate, (decoded + missing) / sample_rate
    if is_short:
        what = "the file states" if window.is_whole_file else "the window asks for"
        share = missing / (decoded + missing)
        reason = f"{what} {wanted_s:.2f} s, {decoded_s:.2f} s could be decoded ({share:.0%} is missing)"
        return Ending(position, max(missing, lost), f"{reason}; {damage}" if damage else reason)
    if lost:
        share = lost / (decoded + lost)
        reason = f"{lost / sample_rate:.2f} s ({share:.0%}) in it could not be decoded: {damage}"
        return Ending(position, lost, reason, has_gaps=True)
    if damage:
        return Ending(position, 0, f"it breaks off after {position / sample_rate:.2f} s: {damage}")
    window.require_inside(position, sample_rate, source)
    return Ending(position)
