"""The compiled loops over frames: what is measured while eight spectra are in the cache.

Two passes over the samples, eight frames at a time, and nothing of a spectrogram's size is ever written:

1. `measure`: spectrum → moments, roll-off, flatness, contrast, any number of filterbanks, and the spectral peaks from which the tuning is
estimated;
2. `chroma`: spectrum again (a transform costs less than keeping its result) → chroma, once the tuning of the whole clip is known.

The definitions, with formulas and sources, are in `spectral.py`, `tonal.py` and `cepstral.py`; a kernel computes the same numbers, in bins instead
of Hz, and the tests hold it to them. A *row* is a value of eight lanes (`lanes.py`): row `k` of `power` is bin `k` of eight frames.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.audio.mel import AMIN
from quintet.features.descriptors.tonal import PEAK_MARGIN, PEAK_SHARE
from quintet.features.engine.kernel_cache import inline, kernel
from quintet.features.engine.kernels.extremes import NONE, ONE, extremes
from quintet.features.engine.kernels.fourier import FourierPlan, separate, transform
from quintet.features.engine.kernels.series import TINY, four_sums, log
from quintet.features.engine.kernels.simd import (
    LANES,
    absolute,
    floor,
    load,
    load_frames,
    mask_bits,
    maximum,
    narrow,
    select,
    splat,
    sqrt,
    store,
    wide,
)

RUN = 16
"""Bins whose sum is formed in float32 before it is added to one in float64: so short a sum loses nothing that matters, and costs half."""

LONG_RUN = 64
"""The same where the sum is over numbers of one sign and of every size."""

CLASSES = 12
"""Pitch classes."""

PRODUCT = 8
"""Bins that are multiplied before one logarithm is taken: 8 powers of at most 1e38 fit into a float64."""


class Bands(NamedTuple):
    """Filterbanks as the weights that are not zero: band `m` covers the bins `first[m]` to `last[m] - 1`, its weights begin at
    `weights[offset[m]]`.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    offset: NDArray[np.int64]
    weights: NDArray[np.float32]


class Source(NamedTuple):
    """Where eight frames come from, and the next eight: from samples that are transformed here, or from spectra that were computed elsewhere.

    Attributes:
        samples: shape `(n,)`, float32; frame `i` begins at sample `first + i * hop`, beyond both ends lie zeros.
        first, hop: samples.
        plan: of the transform.
        spectra: float64 pairs (re, im), one spectrum every `stride` numbers, zeros at its end; for lengths that are no power of two. Empty where
            `samples` are to be transformed.
        stride: numbers from one spectrum to the next, a multiple of eight.
        groups: how many groups of eight there are, those of the last filled up with frames of zeros.
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
        contrast: shape `(bands, 3)`: first bin, last bin + 1, and how many of the loudest and of the quietest bins are averaged.
        rolloff: the share of the magnitude that lies below the roll-off, in (0, 1).
        peaks: shape `(3,)`: first bin and last bin + 1 in which peaks are looked for, in every so many-th frame.
        flatness: whether it is wanted.
    """

    bands: Bands
    contrast: NDArray[np.int64]
    rolloff: float
    peaks: NDArray[np.int64]
    flatness: bool


class Workspace(NamedTuple):
    """Memory for eight frames, used again for every eight.

    The transform is in float64: what a tone leaves in the bins far from it is found by subtracting large numbers. Its power, once known, is rounded
    to float32 for whoever adds it up.

    Attributes:
        padded: samples at the edges of the clip.
        points: complex points.
        power, single: power, and the same in float32.
        magnitude: its root.
        rest: for sorting.
    """

    padded: NDArray[np.float32]
    points: NDArray[np.float64]
    power: NDArray[np.float64]
    single: NDArray[np.float32]
    magnitude: NDArray[np.float32]
    rest: NDArray[np.float32]


class Output(NamedTuple):
    """What the first pass writes.

    Attributes:
        series: shape `(rows * groups, 8)`: row `r` of group `g` at `r * groups + g`; seen as `(rows, frames)`, one series per row.
        bands: the same for the filterbanks, float32.
        pitches, heights: position (in bins) and interpolated power of every spectral peak, frame by frame.
        found: shape `(1,)`: how many peaks there are.
    """

    series: NDArray[np.float64]
    bands: NDArray[np.float32]
    pitches: NDArray[np.float64]
    heights: NDArray[np.float64]
    found: NDArray[np.int64]


# Rows of `Output.series`: moments, then `2 * len(contrast)` rows of peaks and valleys.
CENTROID, MOMENT2, MOMENT3, MOMENT4, ROLLOFF, FLATNESS, FIRST_CONTRAST = range(7)


# --- one clip, eight frames at a time --------------------------------------------------------------------------------------------------------


@inline
def _power(source: Any, group: Any, work: Any) -> None:
    """The power of eight frames into `work.power`."""
    if source.spectra.shape[0] == 0:
        _transform(source.samples, source.first + LANES * group * source.hop, source.hop, source.plan, work)
    else:
        _power_of(source.spectra, LANES * group * source.stride, source.stride, work)


@inline
def _transform(samples: Any, first_sample: Any, hop: Any, plan: Any, work: Any) -> None:
    """That of eight frames of samples; before the clip and after it are zeros."""
    length = 7 * hop + plan.window.shape[0]
    inside = first_sample >= 0 and first_sample + length <= samples.shape[0]
    if not inside:
        for i in range(length):
            at = first_sample + i
            work.padded[i] = samples[at] if 0 <= at < samples.shape[0] else np.float32(0)
    transform(samples if inside else work.padded, first_sample if inside else 0, hop, plan, work.points)
    separate(work.points, plan, work.power)


@inline
def _power_of(spectra: Any, begin: Any, stride: Any, work: Any) -> None:
    """That of eight complex spectra."""
    bins = work.power.shape[0]
    for first in range(0, bins, LANES // 2):
        pairs = load_frames(spectra, begin + 2 * first, stride)
        for j in range(min(LANES // 2, bins - first)):
            store(work.power, first + j, pairs[2 * j] * pairs[2 * j] + pairs[2 * j + 1] * pairs[2 * j + 1])


@kernel
def measure(source: Any, frames: Any, begin: Any, request: Any, work: Any, output: Any) -> None:
    """The first pass: all series of the frames of `source`, the first of which is number `8 * begin` of `frames`."""
    groups = (frames + LANES - 1) // LANES
    for i in range(source.groups):
        _power(source, i, work)
        group = begin + i
        loudest = _moments(work, request.rolloff, output.series, groups, group)
        if request.flatness:
            _flatness(work.power, output.series, groups, group)
        _contrast(work, request.contrast, output.series, groups, group)
        _filter(work.single, request.bands, output.bands, groups, group)
        _peaks(work.power, loudest, request.peaks, LANES * group, frames, output)


@kernel
def chroma(source: Any, begin: Any, weights: Any, work: Any, result: Any) -> None:
    """The second pass: chroma of every frame, each divided by its largest value; frames as in `measure`.

    `weights` has shape `(bins, pitch classes)`, the latter filled up with zeros to a multiple of four; `result` has shape `(pitch classes *
    groups, 8)`.
    """
    for i in range(source.groups):
        _power(source, i, work)
        _chroma(work, weights, result, result.shape[0] // CLASSES, begin + i)


# --- what is measured ------------------------------------------------------------------------------------------------------------------------


@inline
def _moments(work: Any, share: Any, result: Any, groups: Any, group: Any) -> Any:
    """Magnitude; its centroid, central absolute moments of order 2, 3, 4, and roll-off, in bins; zeros for a silent frame. Returns the largest
    power.
    """
    bins = work.power.shape[0]
    total, weighted, loudest = splat(0.0), splat(0.0), splat(0.0)
    for begin in range(0, bins, RUN):
        part, turned, place = splat(NONE), splat(NONE), splat(NONE)
        for k in range(begin, min(begin + RUN, bins)):
            power = load(work.power, k)
            loudest = maximum(loudest, power)
            single = narrow(power)
            value = sqrt(single)
            store(work.single, k, single)
            store(work.magnitude, k, value)
            part += value
            turned += value * place
            place += ONE
        total += wide(part)
        weighted += wide(turned) + wide(part) * begin
    scale = select(total > 0.0, 1.0 / total, splat(0.0))
    centroid, threshold = weighted * scale, total * share
    whole = floor(centroid)
    fraction = narrow(
        centroid - whole
    )  # apart, so that the distances near the centroid keep all their digits
    moment2, moment3, moment4 = splat(0.0), splat(0.0), splat(0.0)
    sum_so_far, below = splat(0.0), splat(NONE)
    for begin in range(0, bins, RUN):
        part2, part3, part4, part = splat(NONE), splat(NONE), splat(NONE), splat(NONE)
        place, left = narrow(begin - whole), narrow(threshold - sum_so_far)
        for k in range(begin, min(begin + RUN, bins)):
            value, distance = load(work.magnitude, k), absolute(place - fraction)
            second = value * distance * distance
            third = second * distance
            part2 += second
            part3 += third
            part4 += third * distance
            part += value
            below += select(part < left, splat(ONE), splat(NONE))
            place += ONE
        moment2 += wide(part2)
        moment3 += wide(part3)
        moment4 += wide(part4)
        sum_so_far += wide(part)
    store(result, CENTROID * groups + group, centroid)
    store(result, MOMENT2 * groups + group, moment2 * scale)
    store(result, MOMENT3 * groups + group, moment3 * scale)
    store(result, MOMENT4 * groups + group, moment4 * scale)
    store(result, ROLLOFF * groups + group, below)
    return loudest


@inline
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


@inline
def _contrast(work: Any, bands: Any, result: Any, groups: Any, group: Any) -> None:
    """Mean of the `n` loudest and of the `n` quietest bins of each band."""
    for band in range(bands.shape[0]):
        peak, valley = extremes(work.magnitude, bands[band, 0], bands[band, 1], bands[band, 2], work.rest)
        store(result, (FIRST_CONTRAST + band) * groups + group, peak)
        store(result, (FIRST_CONTRAST + bands.shape[0] + band) * groups + group, valley)


@inline
def _filter(power: Any, bands: Any, result: Any, groups: Any, group: Any) -> None:
    """Weighted sums of power: the bands of all filterbanks."""
    for band in range(bands.first.shape[0]):
        first, count, offset = bands.first[band], bands.last[band] - bands.first[band], bands.offset[band]
        a = b = c = d = splat(NONE)  # four sums, so that one addition need not wait for the other
        for k in range(0, count - 3, 4):
            a += load(power, first + k) * bands.weights[offset + k]
            b += load(power, first + k + 1) * bands.weights[offset + k + 1]
            c += load(power, first + k + 2) * bands.weights[offset + k + 2]
            d += load(power, first + k + 3) * bands.weights[offset + k + 3]
        for k in range(count // 4 * 4, count):
            a += load(power, first + k) * bands.weights[offset + k]
        store(result, band * groups + group, (a + b) + (c + d))


@inline
def _peaks(power: Any, loudest: Any, wanted: Any, first_frame: Any, frames: Any, output: Any) -> None:
    """Appends the local maxima above a share of the frame's loudest bin, refined by a parabola through three bins."""
    found, least = output.found[0], loudest * PEAK_SHARE
    for k in range(wanted[0], wanted[1]):
        value = load(power, k)
        here = mask_bits(
            (value > least)
            & (value > load(power, k - 1) * PEAK_MARGIN)
            & (value * PEAK_MARGIN >= load(power, k + 1))
        )
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


@inline
def _chroma(work: Any, weights: Any, chroma: Any, groups: Any, group: Any) -> None:
    """Chroma of eight frames from their power."""
    bins = weights.shape[0]
    for row in range(group, chroma.shape[0], groups):
        store(chroma, row, splat(0.0))
    for begin in range(0, bins, LONG_RUN):
        end = min(begin + LONG_RUN, bins)
        for k in range(begin, end):
            store(work.single, k, narrow(load(work.power, k)))
        for column in range(0, CLASSES, 4):
            sums = four_sums(work.single, 0, 1, weights, begin, end, column, NONE)
            for j in range(4):
                row = (column + j) * groups + group
                store(chroma, row, load(chroma, row) + wide(sums[j]))
    loudest = splat(0.0)
    for row in range(group, chroma.shape[0], groups):
        loudest = maximum(loudest, load(chroma, row))
    scale = select(loudest >= TINY, 1.0 / loudest, splat(1.0))
    for row in range(group, chroma.shape[0], groups):
        store(chroma, row, load(chroma, row) * scale)
