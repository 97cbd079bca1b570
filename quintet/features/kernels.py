"""The compiled loops over frames: what is measured while eight spectra are in the cache.

Two passes over the samples, eight frames at a time, and nothing of a spectrogram's size is ever written:

1. `measure_frames`: spectrum → moments, roll-off, flatness, contrast, any number of filterbanks, and the spectral peaks from which the tuning is
estimated;
2. `chroma_frames`: spectrum again (a transform costs less than keeping its result) → chroma, once the tuning of the whole clip is known.

The definitions, with formulas and sources, are in `spectral.py`, `tonal.py` and `cepstral.py`; a kernel computes the same numbers, in bins instead
of Hz, and the tests hold it to them. A *row* is a value of eight lanes (`lanes.py`): row `k` of `power` is bin `k` of eight frames.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import AMIN
from quintet.features.compilation import inlined, kernel
from quintet.features.fourier import separate, transform
from quintet.features.lanes import (
    LANES,
    absolute,
    across,
    load,
    load_frames,
    load_run,
    mask_bits,
    maximum,
    minimum,
    select,
    splat,
    split_exponent,
    sqrt,
    store,
)
from quintet.features.temporal import ZERO
from quintet.features.tonal import PEAK_MARGIN, PEAK_SHARE

TINY = float(np.finfo(np.float64).tiny)
"""The least positive normal number: a sum below it counts as zero."""

PRODUCT = 8
"""Bins that are multiplied before one logarithm is taken: 8 powers of at most 1e38 fit into a float64."""


class Bands(NamedTuple):
    """Filterbanks as the weights that are not zero: band `m` covers the bins `first[m]` to `last[m] - 1`, its weights begin at
    `weights[offset[m]]`.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    offset: NDArray[np.int64]
    weights: NDArray[np.float64]


class Request(NamedTuple):
    """What to measure.

    Attributes:
        bands: all filterbanks, one after the other.
        contrast: shape `(bands, 3)`: first bin, last bin + 1, and how many of the loudest and of the quietest bins are averaged.
        rolloff: the share of the magnitude that lies below the roll-off, in (0, 1).
        peaks: shape `(3,)`: first bin and last bin + 1 in which peaks are looked for, in every so many-th frame.
    """

    bands: Bands
    contrast: NDArray[np.int64]
    rolloff: float
    peaks: NDArray[np.int64]


class Workspace(NamedTuple):
    """Memory for eight frames, used again for every eight: samples at the edges of the clip, complex points, power, magnitude, and what is left to
    sort.
    """

    padded: NDArray[np.float32]
    points: NDArray[np.float64]
    power: NDArray[np.float64]
    magnitude: NDArray[np.float64]
    rest: NDArray[np.float64]


class Output(NamedTuple):
    """What the first pass writes.

    Attributes:
        series: shape `(rows * groups, 8)`: row `r` of group `g` at `r * groups + g`; seen as `(rows, frames)`, one series per row.
        pitches, heights: position (in bins) and interpolated power of every spectral peak, frame by frame.
        found: shape `(1,)`: how many peaks there are.
    """

    series: NDArray[np.float64]
    pitches: NDArray[np.float64]
    heights: NDArray[np.float64]
    found: NDArray[np.int64]


# Rows of `Output.series`: moments, then `2 * len(contrast)` rows of peaks and valleys, then the bands.
CENTROID, MOMENT2, MOMENT3, MOMENT4, ROLLOFF, FLATNESS, FIRST_CONTRAST = range(7)


@inlined
def log(x: Any) -> Any:
    """The natural logarithm of positive normal lanes, to 1 unit in the last place but one.

    `x = m 2^e` with `m` near 1; `log m = 2 artanh((m - 1) / (m + 1))`, whose series in `s²` is cut where float64 ends.
    """
    m, e = split_exponent(x)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = splat(2 / 23)
    for denominator in (21, 19, 17, 15, 13, 11, 9, 7, 5, 3):
        series = series * z + 2.0 / denominator
    return (e * 1.90821492927058770002e-10 + s * z * series) + 2.0 * s + e * 6.93147180369123816490e-01


# --- one clip, eight frames at a time --------------------------------------------------------------------------------------------------------


@inlined
def _transform_group(samples: Any, first_sample: Any, hop: Any, plan: Any, work: Any) -> None:
    """The power of eight frames into `work.power`; samples before the clip and after it are zeros."""
    length = 7 * hop + plan.window.shape[0]
    inside = first_sample >= 0 and first_sample + length <= samples.shape[0]
    if not inside:
        for i in range(length):
            at = first_sample + i
            work.padded[i] = samples[at] if 0 <= at < samples.shape[0] else np.float32(0)
    transform(samples if inside else work.padded, first_sample if inside else 0, hop, plan, work.points)
    separate(work.points, plan, work.power)


@inlined
def _power_of(spectra: Any, begin: Any, stride: Any, work: Any) -> None:
    """The same from eight complex spectra that were computed elsewhere: float64 pairs, one spectrum every `stride` numbers."""
    bins = work.power.shape[0]
    for first in range(0, bins, LANES // 2):
        pairs = load_frames(spectra, begin + 2 * first, stride)
        for j in range(min(LANES // 2, bins - first)):
            store(work.power, first + j, pairs[2 * j] * pairs[2 * j] + pairs[2 * j + 1] * pairs[2 * j + 1])


@kernel
def measure_frames(samples: Any, first: Any, frames: Any, hop: Any, plan: Any, request: Any, work: Any, output: Any) -> None:
    """The first pass: `samples`, shape `(n,)`, float32, of which frame `i` begins at sample `first + i * hop`; beyond both ends lie zeros."""
    for group in range((frames + LANES - 1) // LANES):
        _transform_group(samples, first + LANES * group * hop, hop, plan, work)
        _measure(work, request, output, frames, group)


@kernel
def measure_spectra(spectra: Any, stride: Any, frames: Any, group: Any, request: Any, work: Any, output: Any) -> None:
    """The first pass over spectra that were computed elsewhere (for lengths that are no power of two).

    Args:
        spectra: float64 pairs (re, im), one spectrum every `stride` numbers, zeros at its end; a multiple of eight spectra, of which those after
        the clip are zeros. stride: numbers from one spectrum to the next, a multiple of eight.
        frames: in the whole clip.
        group: the group of eight frames with which `spectra` begins.
        request, work, output: as in `measure_frames`.
    """
    for begin in range(0, spectra.shape[0], LANES * stride):
        _power_of(spectra, begin, stride, work)
        _measure(work, request, output, frames, group)
        group += 1


@kernel
def chroma_frames(samples: Any, first: Any, frames: Any, hop: Any, plan: Any, weights: Any, work: Any, chroma: Any) -> None:
    """The second pass: chroma of every frame, each divided by its largest value; frames as in `measure_frames`.

    `weights` has shape `(bins, pitch classes)`, the latter filled up with zeros to a multiple of four; `chroma` has shape `(pitch classes *
    groups, 8)`.
    """
    groups = (frames + LANES - 1) // LANES
    for group in range(groups):
        _transform_group(samples, first + LANES * group * hop, hop, plan, work)
        _chroma(work.power, weights, chroma, groups, group)


@kernel
def chroma_spectra(spectra: Any, stride: Any, group: Any, weights: Any, work: Any, chroma: Any) -> None:
    """The second pass over spectra that were computed elsewhere; arguments as in `measure_spectra` and `chroma_frames`."""
    groups = chroma.shape[0] // 12
    for begin in range(0, spectra.shape[0], LANES * stride):
        _power_of(spectra, begin, stride, work)
        _chroma(work.power, weights, chroma, groups, group)
        group += 1


# --- what is measured ------------------------------------------------------------------------------------------------------------------------


@inlined
def _measure(work: Any, request: Any, output: Any, frames: Any, group: Any) -> None:
    """All series of the eight frames of a group, from their power; the clip has `frames`."""
    result, groups = output.series, (frames + LANES - 1) // LANES
    _moments(work, request.rolloff, result, groups, group)
    _flatness(work.power, result, groups, group)
    _contrast(work, request.contrast, result, groups, group)
    _filter(work.power, request.bands, FIRST_CONTRAST + 2 * request.contrast.shape[0], result, groups, group)
    _peaks(work.power, request.peaks, LANES * group, frames, output)


@inlined
def _moments(work: Any, share: Any, result: Any, groups: Any, group: Any) -> None:
    """Magnitude; its centroid, central absolute moments of order 2, 3, 4, and roll-off, in bins; zeros for a silent frame."""
    bins = work.power.shape[0]
    total, weighted = splat(0.0), splat(0.0)
    for k in range(bins):
        value = sqrt(load(work.power, k))
        store(work.magnitude, k, value)
        total += value
        weighted += value * k
    scale = select(total > 0.0, 1.0 / total, splat(0.0))
    centroid, threshold = weighted * scale, total * share
    moment2, moment3, moment4 = splat(0.0), splat(0.0), splat(0.0)
    sum_so_far, below = splat(0.0), splat(0.0)
    for k in range(bins):
        value = load(work.magnitude, k)
        distance = absolute(k - centroid)
        second = value * distance * distance
        moment2 += second
        moment3 += second * distance
        moment4 += second * distance * distance
        sum_so_far += value
        below += select(sum_so_far < threshold, splat(1.0), splat(0.0))
    store(result, CENTROID * groups + group, centroid)
    store(result, MOMENT2 * groups + group, moment2 * scale)
    store(result, MOMENT3 * groups + group, moment3 * scale)
    store(result, MOMENT4 * groups + group, moment4 * scale)
    store(result, ROLLOFF * groups + group, below)


@inlined
def _flatness(power: Any, result: Any, groups: Any, group: Any) -> None:
    """Logarithm of (geometric mean / arithmetic mean) of the power, floored at `AMIN`."""
    bins = power.shape[0]
    logs, total = splat(0.0), splat(0.0)
    for begin in range(0, bins, PRODUCT):
        product = splat(1.0)
        for k in range(begin, min(begin + PRODUCT, bins)):
            value = maximum(load(power, k), splat(AMIN))
            product *= value
            total += value
        logs += log(product)
    store(result, FLATNESS * groups + group, logs / bins - log(total / bins))


@inlined
def _contrast(work: Any, bands: Any, result: Any, groups: Any, group: Any) -> None:
    """Mean of the `n` loudest and of the `n` quietest bins of each band."""
    for band in range(bands.shape[0]):
        peak, valley = _extremes(work.magnitude, bands[band, 0], bands[band, 1], bands[band, 2], work.rest)
        store(result, (FIRST_CONTRAST + band) * groups + group, peak)
        store(result, (FIRST_CONTRAST + bands.shape[0] + band) * groups + group, valley)


@inlined
def _extremes(magnitude: Any, first: Any, last: Any, n: Any, rest: Any) -> Any:
    """Mean of the `n` largest and mean of the `n` smallest of the rows `first` to `last - 1`.

    A sweep over the rows keeps the three largest in registers, a > b > c, and hands on what they displace; the next sweep finds the next three
    among that. So each lane selects for itself without any branch. The smallest are the largest of the negatives.
    """
    count = last - first
    for k in range(count):
        value = load(magnitude, first + k)
        store(rest, 2 * k, value)
        store(rest, 2 * k + 1, -value)
    peak, valley = splat(0.0), splat(0.0)
    for found in range(0, n, 3):
        peak += _three_largest(rest, 0, count, n - found)
        valley -= _three_largest(rest, 1, count, n - found)
    return peak / n, valley / n


@inlined
def _three_largest(rest: Any, which: Any, count: Any, wanted: Any) -> Any:
    """Sum of the three largest (or of `wanted`, if that is less) of every second row; the others stay in the rows."""
    a, b, c = splat(-np.inf), splat(-np.inf), splat(-np.inf)
    for row in range(which, 2 * count, 2):
        value = load(rest, row)
        a, value = maximum(a, value), minimum(a, value)
        b, value = maximum(b, value), minimum(b, value)
        c, value = maximum(c, value), minimum(c, value)
        store(rest, row, value)
    total = a
    if wanted > 1:
        total += b
    if wanted > 2:
        total += c
    return total


@inlined
def _filter(power: Any, bands: Any, first_row: Any, result: Any, groups: Any, group: Any) -> None:
    """Weighted sums of power: the bands of all filterbanks."""
    for band in range(bands.first.shape[0]):
        first, last, weight = bands.first[band], bands.last[band], bands.offset[band]
        even, odd = splat(0.0), splat(0.0)  # two sums, so that one addition need not wait for the other
        for k in range(first, last - 1, 2):
            even += load(power, k) * bands.weights[weight]
            odd += load(power, k + 1) * bands.weights[weight + 1]
            weight += 2
        if (last - first) % 2:
            even += load(power, last - 1) * bands.weights[weight]
        store(result, (first_row + band) * groups + group, even + odd)


@inlined
def _peaks(power: Any, wanted: Any, first_frame: Any, frames: Any, output: Any) -> None:
    """Appends the local maxima above a share of the frame's loudest bin, refined by a parabola through three bins."""
    loudest, found = splat(0.0), output.found[0]
    for k in range(power.shape[0]):
        loudest = maximum(loudest, load(power, k))
    floor = loudest * PEAK_SHARE
    for k in range(wanted[0], wanted[1]):
        value = load(power, k)
        here = mask_bits((value > floor) & (value > load(power, k - 1) * PEAK_MARGIN) & (value * PEAK_MARGIN >= load(power, k + 1)))
        if here:
            for lane in range(min(LANES, frames - first_frame)):
                if here >> lane & 1 and (first_frame + lane) % wanted[2] == 0:
                    below, at, above = power[k - 1, lane], power[k, lane], power[k + 1, lane]
                    curve, slope = above + below - 2 * at, 0.5 * (above - below)
                    shift = 0.0 if abs(slope) >= abs(curve) else -slope / curve
                    output.pitches[found] = k + shift
                    output.heights[found] = at + 0.5 * slope * shift
                    found += 1
    output.found[0] = found


# --- sums of rows ----------------------------------------------------------------------------------------------------------------------------


@inlined
def _four_sums(rows: Any, first: Any, step: Any, weights: Any, column: Any) -> Any:
    """`weights[:, column + (0, 1, 2, 3)].T @ rows[first::step]`: four sums at a time, so that each row is read once for four."""
    a, b, c, d = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    for k in range(weights.shape[0]):
        value = load(rows, first + k * step)
        a += value * weights[k, column]
        b += value * weights[k, column + 1]
        c += value * weights[k, column + 2]
        d += value * weights[k, column + 3]
    return a, b, c, d


@inlined
def _chroma(power: Any, weights: Any, chroma: Any, groups: Any, group: Any) -> None:
    """Chroma of eight frames from their power."""
    classes = chroma.shape[0] // groups
    loudest = splat(0.0)
    for column in range(0, classes, 4):
        sums = _four_sums(power, 0, 1, weights, column)
        for j in range(min(4, classes - column)):
            store(chroma, (column + j) * groups + group, sums[j])
            loudest = maximum(loudest, sums[j])
    scale = select(loudest >= TINY, 1.0 / loudest, splat(1.0))
    for row in range(group, chroma.shape[0], groups):
        store(chroma, row, load(chroma, row) * scale)


@kernel
def decibels(power: Any, floor: Any, result: Any) -> None:
    """`10 log10(max(power, floor))` of every number of `power`, shape `(n, 8)`, into `result`, float64 or float32."""
    for row in range(power.shape[0]):
        store(result, row, log(maximum(load(power, row), splat(floor))) * (10 / np.log(10)))


@kernel
def weighted_sums(rows: Any, weights: Any, result: Any) -> None:
    """`weights.T @ rows` for series: `rows` is `(inputs * groups, 8)`, `weights` `(inputs, outputs)` filled up with zeros to a multiple of four
    columns, `result` `(outputs * groups, 8)`.
    """
    groups = rows.shape[0] // weights.shape[0]
    outputs = result.shape[0] // groups
    for group in range(groups):
        for column in range(0, outputs, 4):
            sums = _four_sums(rows, group, groups, weights, column)
            for j in range(min(4, outputs - column)):
                store(result, (column + j) * groups + group, sums[j])


@kernel
def mean_normalised_power(series: Any, windows: Any, plan: Any, work: Any, result: Any) -> None:
    """Sum over all windows of a series of their power spectrum divided by their energy, into `result`, shape `(bins, 8)`, whose lanes are to be
    added up.

    Window `i` begins at `series[i]`, float64, and is weighted by `plan.window` (which may end in zeros); its energy is that of the weighted
    window. A window without energy counts as zeros. The inverse transform of the result is a sum of normalised autocorrelations.
    """
    bins, length = work.power.shape[0], plan.window.shape[0]
    for k in range(bins):
        store(result, k, splat(0.0))
    for first in range(0, windows, LANES):
        transform(series, first, 1, plan, work.points)
        separate(work.points, plan, work.power)
        energy = load(work.power, 0) - load(work.power, bins - 1)  # Parseval: every bin but the first and the last stands for two
        for k in range(1, bins):
            energy += 2.0 * load(work.power, k)
        for lane in range(LANES):
            work.rest[0, lane] = float(length) if first + lane < windows else 0.0
        scale = select(energy > TINY * length, load(work.rest, 0) / energy, splat(0.0))
        for k in range(bins):
            store(result, k, load(result, k) + load(work.power, k) * scale)


# --- the waveform ----------------------------------------------------------------------------------------------------------------------------


@kernel
def waveform_frames(samples: Any, first: Any, frame_length: Any, crossings: Any, energy: Any, hop: Any) -> None:
    """Changes of sign and sum of squares in every frame, into `crossings` and `energy`, shape `(frames,)` each; frame `i` begins at
    `first + i * hop`.

    Every sample is looked at once: frames are sums of chunks, which end where a frame begins or ends.
    """
    frames, whole, rest = len(energy), frame_length // hop, frame_length % hop
    chunks = np.zeros((frames + whole, 4))
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
        changes_at_first, _ = _chunk(samples, begin, begin + 1)  # the change between the frame's first sample and the one before is not in it
        crossings[i] = changes - changes_at_first
        energy[i] = total


@inlined
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
    """Sum of the samples, and of their absolute values."""
    total, total_absolute = splat(0.0), splat(0.0)
    whole = len(samples) // LANES * LANES
    for i in range(0, whole, LANES):
        value = load_run(samples, i)
        total += value
        total_absolute += absolute(value)
    one, other = across(total), across(total_absolute)
    for i in range(whole, len(samples)):
        one += np.float64(samples[i])
        other += abs(np.float64(samples[i]))
    return one, other


@kernel
def power_sums(samples: Any, centre: Any, centre_of_absolute: Any) -> Any:
    """Sums of the powers 2, 3 and 4 of the deviation of the samples from a centre, then of that of their absolute values."""
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
    result = np.array([across(two), across(three), across(four), across(two_absolute), across(three_absolute), across(four_absolute)])
    for i in range(whole, len(samples)):
        value = np.float64(samples[i])
        for power in range(2, 5):
            result[power - 2] += (value - centre) ** power
            result[power + 1] += (abs(value) - centre_of_absolute) ** power
    return result
