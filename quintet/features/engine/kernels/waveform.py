"""Kernels over samples: zero crossings and energy of frames, moments of a waveform, counts for its median."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.features.engine.kernel_cache import inline, kernel
from quintet.features.engine.kernels.lanes import LANES, Doubles, Integers, Singles
from quintet.features.engine.kernels.simd import (
    absolute,
    across,
    across_largest,
    load_run,
    maximum,
    minimum,
    select,
    splat,
)

Bits = NDArray[np.uint32]
"""float32 numbers seen as their bits."""

SIGN = np.uint32(1 << 31)
HALF = np.uint32(16)
LOWER_HALF = np.uint32(0xFFFF)


@kernel
def waveform_frames(
    samples: Singles,
    first: int,
    frame_length: int,
    crossings: Doubles,
    energy: Doubles,
    hop: int,
    zero: float,
    chunks: Doubles,
) -> None:
    """Changes of sign and sum of squares in every frame. Frame `i` begins at `first + i * hop`.

    The kernel reads every sample once. Frames are sums of chunks, which end where a frame begins or ends.

    Args:
        samples: shape `(n,)`.
        first: first sample of frame 0.
        frame_length: samples in a frame.
        crossings: result, shape `(frames,)`: changes of sign.
        energy: result, shape `(frames,)`: sums of squares.
        hop: samples between frames.
        zero: samples this close to zero count as positive.
        chunks: memory for the chunks, shape `(frames + frame_length // hop, 4)`.
    """
    frames = len(energy)
    least = np.float32(-zero)
    whole, rest = frame_length // hop, frame_length % hop
    for i in range(frames + whole):
        begin = first + i * hop
        middle = begin + rest
        chunks[i, 0], chunks[i, 1] = _chunk(samples, begin, middle, least)
        chunks[i, 2], chunks[i, 3] = _chunk(samples, middle, begin + hop, least)
    for i in range(frames):
        last = i + whole
        changes = chunks[last, 0]
        total = chunks[last, 1]
        for j in range(i, i + whole):
            changes += chunks[j, 0] + chunks[j, 2]
            total += chunks[j, 1] + chunks[j, 3]
        begin = first + i * hop
        # the change from the sample before the frame to its first sample is not in the frame
        changes_at_first, _ = _chunk(samples, begin, begin + 1, least)
        crossings[i] = changes - changes_at_first
        energy[i] = total


@inline
def _chunk(samples: Singles, first: int, last: int, zero: np.float32) -> tuple[float, float]:
    """Changes of sign and sum of squares of the samples `first` to `last - 1`. Zeros lie beyond the clip."""
    begin = max(first, 1)  # nothing comes before sample 0: no change of sign
    end = min(last, len(samples))
    whole = begin + max(end - begin, 0) // LANES * LANES
    changes = splat(0.0)
    squares = splat(0.0)
    for i in range(begin, end - LANES + 1, LANES):
        value = load_run(samples, i)
        sign = select(value < zero, splat(1.0), splat(0.0))
        sign_before = select(load_run(samples, i - 1) < zero, splat(1.0), splat(0.0))
        changes += absolute(sign - sign_before)
        squares += value * value
    total_changes = across(changes)
    total = across(squares)
    for i in range(whole, end):
        total_changes += (samples[i] < zero) != (samples[i - 1] < zero)
        total += np.float64(samples[i]) ** 2
    if first <= 0 < last:
        total += np.float64(samples[0]) ** 2
    return total_changes, total


@kernel
def sums(samples: Singles) -> tuple[float, float, float, float]:
    """Sum of the samples, sum of their absolute values, smallest and largest sample."""
    total, total_absolute = splat(0.0), splat(0.0)
    low = high = splat(np.float64(samples[0]))
    whole = len(samples) // LANES * LANES
    for i in range(0, whole, LANES):
        value = load_run(samples, i)
        total += value
        total_absolute += absolute(value)
        low = minimum(low, value)
        high = maximum(high, value)
    one = across(total)
    other = across(total_absolute)
    least = -across_largest(-low)
    largest = across_largest(high)
    for i in range(whole, len(samples)):
        value = np.float64(samples[i])
        one += value
        other += abs(value)
        least = min(least, value)
        largest = max(largest, value)
    return one, other, least, largest


@kernel
def power_sums(samples: Singles, centre: float, centre_of_absolute: float, result: Doubles) -> None:
    """Sums of the powers 2, 3 and 4 of the deviation from a centre.

    Args:
        samples: shape `(n,)`.
        centre: centre of the samples.
        centre_of_absolute: centre of their absolute values.
        result: shape `(6,)`: three sums for the samples, then three for their absolute values.
    """
    whole = len(samples) // LANES * LANES
    two, three, four = splat(0.0), splat(0.0), splat(0.0)
    two_absolute, three_absolute, four_absolute = splat(0.0), splat(0.0), splat(0.0)
    for i in range(0, whole, LANES):
        value = load_run(samples, i)
        deviation = value - centre
        square = deviation * deviation
        two += square
        three += square * deviation
        four += square * square
        deviation = absolute(value) - centre_of_absolute
        square = deviation * deviation
        two_absolute += square
        three_absolute += square * deviation
        four_absolute += square * square
    result[0] = across(two)
    result[1] = across(three)
    result[2] = across(four)
    result[3] = across(two_absolute)
    result[4] = across(three_absolute)
    result[5] = across(four_absolute)
    for i in range(whole, len(samples)):
        value = np.float64(samples[i])
        for power in range(2, 5):
            result[power - 2] += (value - centre) ** power
            result[power + 1] += (abs(value) - centre_of_absolute) ** power


@inline
def _in_order(bits: np.uint32, of_absolute: bool) -> np.uint32:
    """Bits of a float32 as a whole number, such that whole numbers are in the order of the floats.

    Positive numbers get a set sign bit and so form the upper half.
    """
    if of_absolute:
        return bits | SIGN
    return ~bits if bits >> np.uint32(31) else bits | SIGN


@kernel
def count_beginnings(bits: Bits, of_absolute: bool, counts: Integers) -> None:
    """Count the numbers by their first 16 bits.

    Args:
        bits: shape `(n,)`.
        of_absolute: whether to count the absolute values.
        counts: shape `(65536,)`, to which the counts are added.
    """
    for i in range(len(bits)):
        counts[_in_order(bits[i], of_absolute) >> HALF] += 1


@kernel
def count_endings(bits: Bits, of_absolute: bool, beginning: int, counts: Integers) -> None:
    """Count the numbers that begin with the 16 bits `beginning` by their last 16 bits.

    Args:
        bits: shape `(n,)`.
        of_absolute: whether to count the absolute values.
        beginning: first 16 bits.
        counts: shape `(65536,)`, to which the counts are added.
    """
    for i in range(len(bits)):
        ordered = _in_order(bits[i], of_absolute)
        if ordered >> HALF == beginning:
            counts[ordered & LOWER_HALF] += 1
