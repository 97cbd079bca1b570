"""Whether two recordings are one: laid over one another, they must agree in every octave that both of them have."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.mel import power_to_db

OCTAVES_HZ = (0, 125, 250, 500, 1000, 2000, 4000)
HEARD_DB = 50.0  # an octave further than this below the strongest one has no say
CLEAR_DB = 10.0  # so far above that, it has its full say
SLACK_S = 0.05  # the shift that marks tell is this exact
MIN_OVERLAP = 0.5  # of the shorter one …
ENOUGH_S = 5.0  # … or so many seconds
FADE_S = 0.01
EMPHASIS = 0.5
TRIED_PEAKS = 4


class Alignment(NamedTuple):
    """`agreement` in [-1, 1]: 1 for the same recording, about 0 for two; `shift_s`: where the second begins in the first; `overlap_s`."""

    agreement: float
    shift_s: float
    overlap_s: float


NO_ALIGNMENT = Alignment(0.0, 0.0, 0.0)


def align(first: Clip, second: Clip, *, near_s: float) -> Alignment:
    """The agreement of two clips at the best shift near the one that their marks tell.

    The shift is that of a peak of the normalised cross-correlation within ±50 ms: of the four highest, the one that agrees best. There, in each
    octave o, `r_o = Σ A_k conj(B_k) / √(Σ|A_k|² Σ|B_k|²)`
    over its bins k; the agreement is the mean of r_o over the octaves that are heard in both, that is, within 50 dB of the loudest (those within
    40 dB count fully). Before that each clip is clipped like the other, so that a copy that was driven too loud still agrees.

    Args:
        first, second: the same sample rate.
        near_s: seconds; the second begins there in the first (negative: it begins earlier).

    Returns:
        Zeros where the two do not overlap by half of the shorter one, or by five seconds.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=16000)
        >>> whole, part = Clip(noise, 8000), Clip(0.5 * noise[4000:], 8000)
        >>> found = align(whole, part, near_s=0.49)
        >>> round(found.agreement, 6), found.shift_s
        (1.0, 0.5)
    """
    rate = first.sample_rate
    a, b = first.samples.astype(np.float64), second.samples.astype(np.float64)
    least = min(MIN_OVERLAP * min(len(a), len(b)), ENOUGH_S * rate)
    lags = np.arange(round((near_s - SLACK_S) * rate), round((near_s + SLACK_S) * rate) + 1)
    lags = lags[np.minimum(len(a), len(b) + lags) - np.maximum(lags, 0) >= max(least, 2)]
    if not len(lags):
        return NO_ALIGNMENT
    correlation = _correlation(_emphasised(a), _emphasised(b), lags)
    return max(
        (
            _laid_over(a, b, int(lags[k]), delay=_summit(correlation, k), rate=rate)
            for k in _peaks(correlation)
        ),
        key=lambda found: found.agreement,
    )


def _laid_over(
    a: NDArray[np.float64], b: NDArray[np.float64], lag: int, *, delay: float, rate: int
) -> Alignment:
    """The agreement at one lag (samples) and a fraction of a sample."""
    begin, end = max(lag, 0), min(len(a), len(b) + lag)
    over_a, over_b = a[begin:end], b[begin - lag : end - lag]
    if not over_a.any() or not over_b.any():
        return NO_ALIGNMENT
    fade = _fade(end - begin, round(FADE_S * rate))
    agreement = _agreement(
        _limited(over_a, over_b) * fade, _limited(over_b, over_a) * fade, rate, delay_s=delay / rate
    )
    return Alignment(agreement, lag / rate, (end - begin) / rate)


def _emphasised(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.append(samples[:1], samples[1:] - EMPHASIS * samples[:-1])


def _correlation(
    a: NDArray[np.float64], b: NDArray[np.float64], lags: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Normalised over the overlap: `Σ a[n + lag] b[n] / √(Σ a² Σ b²)` for each lag."""
    n = scipy.fft.next_fast_len(len(a) + len(b), real=True)
    product = scipy.fft.irfft(scipy.fft.rfft(a, n) * scipy.fft.rfft(b, n).conj(), n)[lags]
    energy_a, energy_b = (np.concatenate([[0.0], np.cumsum(x**2)]) for x in (a, b))
    begin, end = np.maximum(lags, 0), np.minimum(len(a), len(b) + lags)
    energy = (energy_a[end] - energy_a[begin]) * (energy_b[end - lags] - energy_b[begin - lags])
    ratio: NDArray[np.float64] = product / np.sqrt(np.maximum(energy, np.finfo(np.float64).tiny))
    return ratio


def _peaks(values: NDArray[np.float64]) -> list[int]:
    """The highest local maxima: a steady tone has one per period, and whole samples do not tell which is the right one."""
    inside = np.pad(values, 1, constant_values=-np.inf)
    tops = np.flatnonzero((values >= inside[:-2]) & (values >= inside[2:]))
    return [int(k) for k in tops[np.argsort(-values[tops])][:TRIED_PEAKS]]


def _summit(values: NDArray[np.float64], k: int) -> float:
    """How far from `k`, within half a step, the parabola through the largest value and its neighbours is highest."""
    if not 0 < k < len(values) - 1:
        return 0.0
    left, middle, right = values[k - 1 : k + 2]
    curve = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * curve), -0.5, 0.5)) if curve < 0 else 0.0


def _limited(samples: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """The samples at the gain of the other, clipped at its peak: what driving them too loud would have made of them."""
    ceiling = np.abs(other).max()
    soft = samples * (np.abs(other) < 0.7 * ceiling)
    gain = np.sum(soft * other) / max(np.sum(soft * soft), np.finfo(np.float64).tiny)
    return np.clip(gain * samples, -ceiling, ceiling) if gain > 0 else samples


def _fade(n: int, length: int) -> NDArray[np.float64]:
    """Ones with a ramp at each end, so that what was cut elsewhere does not ring."""
    ramp = np.minimum(np.arange(n), np.arange(n)[::-1]) + 1.0
    return np.minimum(1.0, ramp / (length + 1))


def _agreement(a: NDArray[np.float64], b: NDArray[np.float64], rate: int, *, delay_s: float) -> float:
    """The weighted mean over octaves, with `b` delayed by a fraction of a sample."""
    n = scipy.fft.next_fast_len(len(a), real=True)
    frequencies = np.fft.rfftfreq(n, 1 / rate)
    fa, fb = scipy.fft.rfft(a, n), scipy.fft.rfft(b, n) * np.exp(-2j * np.pi * frequencies * delay_s)
    edges = np.searchsorted(frequencies, OCTAVES_HZ)
    bands = [
        slice(low, high) for low, high in zip(edges[:-1], [*edges[1:-1], len(fa)], strict=True) if high > low
    ]
    powers = (
        np.array([[np.vdot(f[band], f[band]).real for band in bands] for f in (fa, fb)])
        + np.finfo(np.float64).tiny
    )
    cross = np.array([np.vdot(fb[band], fa[band]).real for band in bands])
    heard = np.clip(
        HEARD_DB + power_to_db(powers / powers.max(axis=1, keepdims=True)).min(axis=0), 0.0, CLEAR_DB
    )
    return float(np.average(cross / np.sqrt(powers[0] * powers[1]), weights=heard)) if heard.any() else 0.0
