"""Kernels over frames: what is measured while eight spectra are in the cache.

There are three passes over samples, eight frames at a time:

1. `add_power`, where there is a masking floor: every fourth spectrum → the mean spectrum;
2. `measure`: spectrum → moments, roll-off, flatness, contrast, any number of filterbanks, the spectral peaks
   from which the tuning is estimated, and the power that is kept for `chroma`;
3. `find_peaks`: spectrum of other, longer frames → the powers around every peak.

`chroma` reads the power that was kept, when the tuning of the whole clip is known: to keep it costs a tenth
of a second transform.

The definitions, with formulas and sources, are in `descriptors/`. A kernel computes the same numbers, in bins
instead of Hz, and the tests compare the two.
"""

from __future__ import annotations

import numpy as np

from quintet.audio.mel import AMIN
from quintet.features.descriptors.tonal import PEAK_MARGIN, PEAK_SHARE
from quintet.features.engine.kernel_cache import inline, kernel
from quintet.features.engine.kernels.arguments import (
    CENTROID,
    FIRST_CONTRAST,
    FLATNESS,
    MOMENT2,
    MOMENT3,
    MOMENT4,
    ROLLOFF,
    Bands,
    FoundPeaks,
    Output,
    Request,
    Source,
    Workspace,
)
from quintet.features.engine.kernels.extremes import NONE, ONE, extremes
from quintet.features.engine.kernels.fourier import separate, transform
from quintet.features.engine.kernels.lanes import LANES, Doubles, Integers, Rows, Singles
from quintet.features.engine.kernels.plans import FourierPlan
from quintet.features.engine.kernels.series import TINY, four_sums, log
from quintet.features.engine.kernels.simd import (
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
    store_every_other,
    wide,
)
from quintet.features.engine.kernels.simd_types import Vector

RUN = 16
"""Bins that are summed in float32 before the sum is added to one in float64. So short a sum loses nothing
that matters, and costs half.
"""

LONG_RUN = 64
"""The same for sums of numbers that have one sign and every size."""

CLASSES = 12
"""Pitch classes."""

PRODUCT = 8
"""Bins that are multiplied before one logarithm is taken: 8 powers of at most 1e38 fit into a float64."""


# --- power of eight frames --------------------------------------------------------------------------------


@inline
def _power(source: Source, group: int, bins: int, work: Workspace) -> None:
    """Compute the power of the lowest `bins` bins, at least, of eight frames into `work.power`."""
    if source.spectra.shape[0] == 0:
        first_sample = source.first + LANES * group * source.hop
        _power_of_samples(source.samples, first_sample, source.hop, source.plan, bins, work)
    else:
        _power_of_spectra(source.spectra, LANES * group * source.stride, source.stride, work)


@inline
def _silence(power: Rows, bandwidth: int) -> None:
    """Set the power of all bins from `bandwidth` on to zero."""
    for k in range(bandwidth, power.shape[0]):
        store(power, k, splat(0.0))


@inline
def _power_of_samples(
    samples: Singles, first_sample: int, hop: int, plan: FourierPlan, bins: int, work: Workspace
) -> None:
    """Power of eight frames of samples. Zeros lie before the clip and after it."""
    length = 7 * hop + plan.window.shape[0]
    inside = first_sample >= 0 and first_sample + length <= samples.shape[0]
    if not inside:
        for i in range(length):
            at = first_sample + i
            exists = 0 <= at < samples.shape[0]
            work.padded[i] = samples[at] if exists else np.float32(0)
    start = first_sample if inside else 0
    transform(samples if inside else work.padded, start, hop, plan, work.points)
    separate(work.points, plan, bins, work.power)


@inline
def _power_of_spectra(spectra: Doubles, begin: int, stride: int, work: Workspace) -> None:
    """Power of eight complex spectra."""
    bins = work.power.shape[0]
    for first in range(0, bins, LANES // 2):
        pairs = load_frames(spectra, begin + 2 * first, stride, work.power)
        for j in range(min(LANES // 2, bins - first)):
            # written out: with names for the two parts, LLVM rounds in another order
            store(work.power, first + j, pairs[2 * j] * pairs[2 * j] + pairs[2 * j + 1] * pairs[2 * j + 1])


# --- the passes ---------------------------------------------------------------------------------------


@kernel
def measure(
    source: Source, frames: int, begin: int, request: Request, work: Workspace, output: Output
) -> None:
    """First pass: all series of the frames of `source`.

    Args:
        source: the frames.
        frames: number of frames of the stretch.
        begin: group of eight of the stretch in which `source` begins.
        request: what to measure.
        work: memory for eight frames.
        output: where the results go.
    """
    groups = (frames + LANES - 1) // LANES
    for i in range(source.groups):
        _power(source, i, work.power.shape[0], work)
        _silence(work.power, request.bandwidth)
        group = begin + i
        loudest = _moments(work, request, output.series, groups, group)
        if request.flatness:
            _flatness(work.power, request.floor, output.series, groups, group)
        _contrast(work, request.contrast, output.series, groups, group)
        _filter(work.single, request.bands, output.bands, groups, group)
        _peaks(work.power, loudest, request, LANES * group, frames, output)
        if output.kept.shape[0]:
            _keep(work.single, request.stride, LANES * group, output.kept)


@kernel
def chroma(power: Singles, weights: Singles, result: Doubles) -> None:
    """Chroma of every frame, divided by its largest value.

    Args:
        power: shape `(bins * groups, 8)`, as `Output.kept`.
        weights: shape `(bins, pitch classes)`.
        result: shape `(pitch classes * groups, 8)`.
    """
    groups = result.shape[0] // CLASSES
    for group in range(groups):
        _chroma(power, weights, result, groups, group)


@kernel
def add_power(
    source: Source, frames: int, begin: int, bandwidth: int, work: Workspace, total: Doubles
) -> None:
    """Add the power of every frame to `total`, from which the masking floor follows.

    Args:
        source: the frames.
        frames: number of frames of the stretch.
        begin: group of eight of the stretch in which `source` begins.
        bandwidth: number of bins that are looked at; those above count as silent.
        work: memory for eight frames.
        total: shape `(bins, 8)`: frame `i` is added in column `i % 8`.
    """
    for i in range(source.groups):
        _power(source, i, bandwidth, work)
        count = frames - LANES * (begin + i)
        if count >= LANES:
            for k in range(bandwidth):
                store(total, k, load(total, k) + load(work.power, k))
        else:
            for k in range(bandwidth):
                for lane in range(count):
                    total[k, lane] += work.power[k, lane]


@kernel
def find_peaks(
    source: Source, frames: int, first: int, last: int, share: float, work: Workspace, found: FoundPeaks
) -> None:
    """Peaks of every frame: bins above their lower and not below their upper neighbour.

    Args:
        source: the frames.
        frames: number of frames; those that fill the last group of eight have no peaks.
        first: first bin of the search, at least 1.
        last: last bin of the search + 1.
        share: a peak has more than this share of the largest power between its frame's bins `first - 1` and
            `last`.
        work: memory for eight frames.
        found: where the peaks go.
    """
    for i in range(source.groups):
        _power(source, i, last + 1, work)
        loudest = load(work.power, first - 1)
        for k in range(first, last + 1):
            loudest = maximum(loudest, load(work.power, k))
        _append_peaks(work.power, loudest * share, first, last, LANES * i, frames, found)


# --- what is measured -------------------------------------------------------------------------------------


@inline
def _moments(work: Workspace, request: Request, result: Doubles, groups: int, group: int) -> Vector:
    """Compute magnitude, centroid, central absolute moments of order 2, 3, 4, and roll-off, in bins.

    A silent frame gives zeros. Returns the largest power, without the masking floor.
    """
    total, weighted, loudest = _magnitude_sums(work, request.floor)
    scale = select(total > 0.0, 1.0 / total, splat(0.0))
    centroid = weighted * scale
    threshold = total * request.rolloff
    moment2, moment3, moment4, below = _central_sums(work.magnitude, centroid, threshold)
    store(result, CENTROID * groups + group, centroid)
    store(result, MOMENT2 * groups + group, moment2 * scale)
    store(result, MOMENT3 * groups + group, moment3 * scale)
    store(result, MOMENT4 * groups + group, moment4 * scale)
    store(result, ROLLOFF * groups + group, below)
    return loudest


@inline
def _magnitude_sums(work: Workspace, added: Doubles) -> tuple[Vector, Vector, Vector]:
    """Sum of the magnitude, sum of magnitude times bin, largest power. Fills `single` and `magnitude`.

    The masking floor is in all but the largest power.
    """
    bins = work.power.shape[0]
    total, weighted, loudest = splat(0.0), splat(0.0), splat(0.0)
    for begin in range(0, bins, RUN):
        part, turned, place = splat(NONE), splat(NONE), splat(NONE)
        for k in range(begin, min(begin + RUN, bins)):
            power = load(work.power, k)
            loudest = maximum(loudest, power)
            single = narrow(power + added[k])
            value = sqrt(single)
            store(work.single, k, single)
            store(work.magnitude, k, value)
            part += value
            turned += value * place
            place += ONE
        total += wide(part)
        weighted += wide(turned) + wide(part) * begin
    return total, weighted, loudest


@inline
def _central_sums(
    magnitude: Singles, centroid: Vector, threshold: Vector
) -> tuple[Vector, Vector, Vector, Vector]:
    """Sums of the magnitude times the distance from the centroid to the power of 2, 3 and 4, and the number
    of bins up to which the sum of the magnitude stays below the threshold.
    """
    bins = magnitude.shape[0]
    whole = floor(centroid)
    fraction = narrow(centroid - whole)  # apart, so that distances near the centroid keep all their digits
    moment2, moment3, moment4 = splat(0.0), splat(0.0), splat(0.0)
    sum_so_far, below = splat(0.0), splat(NONE)
    for begin in range(0, bins, RUN):
        part2, part3, part4, part = splat(NONE), splat(NONE), splat(NONE), splat(NONE)
        place = narrow(begin - whole)
        left = narrow(threshold - sum_so_far)
        for k in range(begin, min(begin + RUN, bins)):
            value = load(magnitude, k)
            distance = absolute(place - fraction)
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
    return moment2, moment3, moment4, below


@inline
def _flatness(power: Rows, added: Doubles, result: Doubles, groups: int, group: int) -> None:
    """Compute the logarithm of (geometric mean / arithmetic mean) of the power, which is at least `AMIN`."""
    bins = power.shape[0]
    logs, total = splat(0.0), splat(0.0)
    for begin in range(0, bins, PRODUCT):
        product = splat(1.0)
        for k in range(begin, min(begin + PRODUCT, bins)):
            value = maximum(load(power, k) + added[k], splat(AMIN))
            product *= value
            total += value
        logs += log(product)
    store(result, FLATNESS * groups + group, logs / bins - log(total / bins))


@inline
def _contrast(work: Workspace, bands: Integers, result: Doubles, groups: int, group: int) -> None:
    """Compute the mean of the `n` loudest and of the `n` quietest bins of each band."""
    count = bands.shape[0]
    for band in range(count):
        first = bands[band, 0]
        last = bands[band, 1]
        n = bands[band, 2]
        peak, valley = extremes(work.magnitude, first, last, n, work.rest)
        row = FIRST_CONTRAST + band
        store(result, row * groups + group, peak)
        store(result, (row + count) * groups + group, valley)


@inline
def _filter(power: Singles, bands: Bands, result: Singles, groups: int, group: int) -> None:
    """Compute weighted sums of the power: the bands of all filterbanks."""
    weights = bands.weights
    for band in range(bands.first.shape[0]):
        first = bands.first[band]
        offset = bands.offset[band]
        count = bands.last[band] - first
        a = b = c = d = splat(NONE)  # four sums, so that additions need not wait for each other
        for k in range(0, count - 3, 4):
            row = first + k
            i = offset + k
            a += load(power, row) * weights[i]
            b += load(power, row + 1) * weights[i + 1]
            c += load(power, row + 2) * weights[i + 2]
            d += load(power, row + 3) * weights[i + 3]
        for k in range(count // 4 * 4, count):
            a += load(power, first + k) * weights[offset + k]
        store(result, band * groups + group, (a + b) + (c + d))


@inline
def _peaks(
    power: Rows, loudest: Vector, request: Request, first_frame: int, frames: int, output: Output
) -> None:
    """Append the maxima above a share of the frame's loudest bin, refined by a parabola."""
    count = output.found[0]
    least = loudest * PEAK_SHARE
    for k in range(request.peaks[0], request.peaks[1]):
        value = load(power, k)
        above_below = value > load(power, k - 1) * PEAK_MARGIN
        above_next = value * PEAK_MARGIN >= load(power, k + 1)
        lanes = mask_bits((value > least) & above_below & above_next)
        if lanes:
            for lane in range(min(LANES, frames - first_frame)):
                if lanes >> lane & 1 and (first_frame + lane) % request.stride == 0:
                    below = power[k - 1, lane]
                    at = power[k, lane]
                    above = power[k + 1, lane]
                    curve = above + below - 2 * at
                    slope = 0.5 * (above - below)
                    shift = 0.0 if abs(slope) >= abs(curve) else -slope / curve
                    output.pitches[count] = k + shift
                    output.heights[count] = at + 0.5 * slope * shift
                    count += 1
    output.found[0] = count


@inline
def _keep(power: Singles, stride: int, first_frame: int, kept: Singles) -> None:
    """Keep the power of every `stride`-th frame among eight, of which the first is frame `first_frame`."""
    bins = power.shape[0]
    if stride == 2:  # the lanes 0, 2, 4 and 6
        place = first_frame // stride
        for k in range(bins):
            store_every_other(kept, place // LANES * bins + k, place % LANES, load(power, k))
        return
    for lane in range(-first_frame % stride, LANES, stride):
        place = (first_frame + lane) // stride
        begin = place // LANES * bins
        column = place % LANES
        for k in range(bins):
            kept[begin + k, column] = power[k, lane]


@inline
def _append_peaks(
    power: Rows, least: Vector, first: int, last: int, first_frame: int, frames: int, found: FoundPeaks
) -> None:
    """Append the peaks of eight frames, with the powers around them."""
    count = found.total[0]
    for k in range(first, last):
        value = load(power, k)
        is_peak = (value > least) & (value > load(power, k - 1)) & (value >= load(power, k + 1))
        lanes = mask_bits(is_peak)
        if lanes:
            for lane in range(min(LANES, frames - first_frame)):
                if lanes >> lane & 1:
                    found.frames[count] = first_frame + lane
                    found.bins[count] = k
                    for j in range(3):
                        found.powers[j, count] = power[k - 1 + j, lane]
                    count += 1
    found.total[0] = count


@inline
def _chroma(power: Singles, weights: Singles, chroma: Doubles, groups: int, group: int) -> None:
    """Compute the chroma of eight frames from their power."""
    bins = weights.shape[0]
    first = group * bins
    rows = chroma.shape[0]
    for row in range(group, rows, groups):
        store(chroma, row, splat(0.0))
    for begin in range(0, bins, LONG_RUN):
        end = min(begin + LONG_RUN, bins)
        for column in range(0, CLASSES, 4):
            sums = four_sums(power, first, 1, weights, begin, end, column, NONE)
            for j in range(4):
                row = (column + j) * groups + group
                total = load(chroma, row) + wide(sums[j])
                store(chroma, row, total)
    loudest = splat(0.0)
    for row in range(group, rows, groups):
        loudest = maximum(loudest, load(chroma, row))
    scale = select(loudest >= TINY, 1.0 / loudest, splat(1.0))
    for row in range(group, rows, groups):
        store(chroma, row, load(chroma, row) * scale)
