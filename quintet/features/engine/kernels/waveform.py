"""The compiled loops over samples: zero crossings and energy of frames, moments of a waveform."""

from __future__ import annotations

from typing import Any

import numpy as np

from quintet.features.descriptors.temporal import ZERO
from quintet.features.engine.kernel_cache import inline, kernel
from quintet.features.engine.kernels.simd import (
    LANES,
    absolute,
    across,
    across_largest,
    load_run,
    maximum,
    minimum,
    select,
    splat,
)


@kernel
def waveform_frames(
    samples: Any, first: Any, frame_length: Any, crossings: Any, energy: Any, hop: Any, chunks: Any
) -> None:
    """Changes of sign and sum of squares in every frame, into `crossings` and `energy`, shape `(frames,)` each; frame `i` begins at
    `first + i * hop`.

    Every sample is looked at once: frames are sums of chunks, which end where a frame begins or ends. `chunks` is memory for them, shape
    `(frames + frame_length // hop, 4)`.
    """
    frames, whole, rest = len(energy), frame_length // hop, frame_length % hop
    for i in range(frames + whole):
        begin = first + i * hop
        chunks[i, 0], chunks[i, 1] = _chunk(samples, begin, begin + rest)
        chunks[i, 2], chunks[i, 3] = _chunk(samples, begin + rest, begin + hop)
    for i in range(frames):
        changes, total = chunks[i + whole, 0], chunks[i + whole, 1]
        for j in range(i, i + whole):
            changes += chunks[j, 0] + chunks[j, 2]
            total += chunks[j, 1] + chunks[j, 3]
        begin = first + i * hop
        changes_at_first, _ = _chunk(
            samples, begin, begin + 1
        )  # the change between the frame's first sample and the one before is not in it
        crossings[i] = changes - changes_at_first
        energy[i] = total


@inline
def _chunk(samples: Any, first: Any, last: Any) -> Any:
    """Changes of sign into the samples `first` to `last - 1`, and the sum of their squares; nothing lies beyond the clip."""
    zero = np.float32(-ZERO)
    begin, end = max(first, 1), min(last, len(samples))  # nothing comes before sample 0: no change of sign
    changes, squares = splat(0.0), splat(0.0)
    for i in range(begin, end - LANES + 1, LANES):
        value = load_run(samples, i)
        sign = select(value < zero, splat(1.0), splat(0.0))
        sign_before = select(load_run(samples, i - 1) < zero, splat(1.0), splat(0.0))
        changes += absolute(sign - sign_before)
        squares += value * value
    total_changes, total = across(changes), across(squares)
    for i in range(begin + max(end - begin, 0) // LANES * LANES, end):
        total_changes += (samples[i] < zero) != (samples[i - 1] < zero)
        total += np.float64(samples[i]) ** 2
    if first <= 0 < last:
        total += np.float64(samples[0]) ** 2
    return total_changes, total


@kernel
def sums(samples: Any) -> Any:
    """Sum of the samples, sum of their absolute values, the least and the largest of them."""
    total, total_absolute = splat(0.0), splat(0.0)
    low = high = splat(np.float64(samples[0]))
    whole = len(samples) // LANES * LANES
    for i in range(0, whole, LANES):
        value = load_run(samples, i)
        total += value
        total_absolute += absolute(value)
        low, high = minimum(low, value), maximum(high, value)
    one, other, least, largest = (
        across(total),
        across(total_absolute),
        -across_largest(-low),
        across_largest(high),
    )
    for i in range(whole, len(samples)):
        value = np.float64(samples[i])
        one += value
        other += abs(value)
        least, largest = min(least, value), max(largest, value)
    return one, other, least, largest


@kernel
def power_sums(samples: Any, centre: Any, centre_of_absolute: Any, result: Any) -> None:
    """Sums of the powers 2, 3 and 4 of the deviation of the samples from a centre, then of that of their absolute values, into `result`, `(6,)`."""
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
    result[0], result[1], result[2] = across(two), across(three), across(four)
    result[3], result[4], result[5] = across(two_absolute), across(three_absolute), across(four_absolute)
    for i in range(whole, len(samples)):
        value = np.float64(samples[i])
        for power in range(2, 5):
            result[power - 2] += (value - centre) ** power
            result[power + 1] += (abs(value) - centre_of_absolute) ** power


@inline
def _ordered(bits: Any, of_absolute: Any) -> Any:
    """The bits of a float32 as a whole number; all of them are in the order of the floats: a set sign bit becomes the lower half."""
    if of_absolute:
        return bits | np.uint32(1 << 31)
    return ~bits if bits >> np.uint32(31) else bits | np.uint32(1 << 31)


@kernel
def count_beginnings(bits: Any, of_absolute: Any, counts: Any) -> None:
    """Adds to `counts`, shape `(65536,)`, how many numbers (or absolute values) begin with which 16 bits; `bits` are float32 seen as uint32."""
    for i in range(len(bits)):
        counts[_ordered(bits[i], of_absolute) >> np.uint32(16)] += 1


@kernel
def count_endings(bits: Any, of_absolute: Any, beginning: Any, counts: Any) -> None:
    """Adds to `counts`, shape `(65536,)`, how those end that begin with the 16 bits `beginning`."""
    for i in range(len(bits)):
        ordered = _ordered(bits[i], of_absolute)
        if ordered >> np.uint32(16) == beginning:
            counts[ordered & np.uint32(0xFFFF)] += 1
