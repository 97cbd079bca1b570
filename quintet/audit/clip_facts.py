"""What a clip tells before anybody listens to its music: length, rate, channels, bandwidth, loudness, silence, clipping, and its fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource
from quintet.audio.mel import power_to_db
from quintet.audio.resample import resample
from quintet.audio.spectrum import spectrum
from quintet.audit.fingerprints import RATE, Fingerprint, fingerprint
from quintet.errors import AudioError

SILENCE_DB = -60.0  # dBFS; a block of 50 ms below it is silence
BLOCK_S = 0.05
FULL_SCALE = 0.999
RUN = 3  # samples at full scale in a row: one alone may be a peak
BANDS = 128  # of equal width, up to half the sample rate
STEP_DB = 20.0  # no instrument and no room fall so steeply
STEP_BANDS = 4
LOWEST_CUTOFF_HZ = 3000.0  # a telephone's; below it a steep fall is music
BANDWIDTH_FFT = 2048
BANDWIDTH_FRAMES = 1200


class ClipMeasurement(NamedTuple):
    """What became of a clip: its facts and fingerprint, or the problem that it has."""

    id: str
    facts: dict[str, Any]
    fingerprint: Fingerprint | None
    problem: str | None


def loudness_db(clip: Clip) -> float:
    """`10 log10(mean(samples²))`, dB re full scale, at least -100.

    Example:
        >>> round(loudness_db(Clip(np.sin(np.arange(8000) * 0.1), 8000)), 1)
        -3.0
    """
    return float(power_to_db(np.array([np.mean(np.square(clip.samples, dtype=np.float64))]))[0])


def silence_share(clip: Clip) -> float:
    """The share of blocks of 50 ms below -60 dBFS, in [0, 1].

    Example:
        >>> silence_share(Clip(np.append(np.zeros(4000), 0.5 * np.ones(12000)), 8000))
        0.25
    """
    length = max(round(BLOCK_S * clip.sample_rate), 1)
    starts = np.arange(0, len(clip.samples), length)
    powers = np.add.reduceat(np.square(clip.samples, dtype=np.float64), starts) / np.diff(
        np.append(starts, len(clip.samples))
    )
    return float(np.mean(power_to_db(powers) < SILENCE_DB))


def clipped_share(clip: Clip) -> float:
    """The share of samples that stand at full scale, three or more in a row, in [0, 1].

    Example:
        >>> clipped_share(Clip(np.array([0.1, 1.0, 1.0, 1.0, 0.2, 1.0, 0.3, -0.2]), 8000))
        0.375
    """
    high = np.abs(clip.samples) >= FULL_SCALE
    if not high.any():
        return 0.0
    edges = np.diff(np.concatenate([[0], high.astype(np.int8), [0]]))
    runs = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return float(runs[runs >= RUN].sum() / len(high))


def cutoff_hz(clip: Clip) -> float:
    """The frequency at which the long-term spectrum breaks off, as encoders and resamplers make it do; half the sample rate where it does not.

    The power is averaged over time in 128 bands. The cut-off is the upper edge of the highest band, above 3 kHz, from which everything above lies at
    least 20 dB below the median of the four bands that end there, one band being left for the transition. A spectrum that
    fades gradually, as that of a cello does, has none: darkness is music, a wall is not.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=44100) * 0.1
        >>> wide = resample(resample(noise, orig_sr=44100, target_sr=22050), orig_sr=22050, target_sr=44100)
        >>> bool(10000 < cutoff_hz(Clip(wide, 44100)) < 11500), cutoff_hz(Clip(noise, 44100))
        (True, 22050.0)
    """
    nyquist = clip.sample_rate / 2
    if len(clip.samples) < BANDWIDTH_FFT:
        return nyquist
    hop = max(BANDWIDTH_FFT, len(clip.samples) // BANDWIDTH_FRAMES)
    power = spectrum(clip, n_fft=BANDWIDTH_FFT, hop_length=hop).power.mean(axis=1)[1:]
    levels = power_to_db(power.reshape(BANDS, -1).mean(axis=1), amin=1e-15)
    above = np.maximum.accumulate(levels[::-1])[::-1]  # the loudest band from here up
    for band in range(BANDS - 3, STEP_BANDS - 2, -1):
        edge = (band + 1) * nyquist / BANDS
        if edge < LOWEST_CUTOFF_HZ:
            break
        if np.median(levels[band - STEP_BANDS + 1 : band + 1]) - above[band + 2] >= STEP_DB:
            return float(edge)
    return nyquist


def measure_clip(source: ClipSource, *, fingerprints: bool) -> ClipMeasurement:
    """The facts of one clip, and its fingerprint if wanted. A clip that cannot be read has a problem instead: the one place where that is caught."""
    try:
        decoded = source.load(sample_rate=None)
    except AudioError as error:
        return ClipMeasurement(source.key, {}, None, str(error))
    clip = decoded.clip
    facts = {
        "duration_s": decoded.duration_s,
        "native_sample_rate": decoded.native_sample_rate,
        "native_channels": decoded.native_channels,
        "cutoff_hz": cutoff_hz(clip),
        "loudness_db": loudness_db(clip),
        "silence_share": silence_share(clip),
        "clipped_share": clipped_share(clip),
        "audio_digest": decoded.audio_digest,
    }
    marks = fingerprint(at_fingerprint_rate(clip)) if fingerprints else None
    return ClipMeasurement(source.key, facts, marks, None)


def at_fingerprint_rate(clip: Clip) -> Clip:
    """The clip at the rate of fingerprints, 8000 Hz."""
    samples: NDArray[np.floating] = resample(clip.samples, orig_sr=clip.sample_rate, target_sr=RATE)
    return Clip(samples, RATE, clip.id)


def measure_clips(
    sources: Sequence[ClipSource],
    *,
    fingerprints: bool,
    n_jobs: int = 1,
    progress: Callable[[int, int, int], object] | None = None,
) -> list[ClipMeasurement]:
    """`measure_clip` for many clips, in their order. `progress` is called with (clips in all, done, failed)."""
    found: list[ClipMeasurement] = []
    failed = 0
    for heard in _all(sources, fingerprints=fingerprints, n_jobs=n_jobs):
        found.append(heard)
        failed += heard.problem is not None
        if progress is not None:
            progress(len(sources), len(found), failed)
    return found


def _all(sources: Sequence[ClipSource], *, fingerprints: bool, n_jobs: int) -> Iterator[ClipMeasurement]:
    if n_jobs == 1:
        return (measure_clip(source, fingerprints=fingerprints) for source in sources)
    jobs: Iterator[ClipMeasurement] = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(measure_clip)(source, fingerprints=fingerprints) for source in sources
    )
    return jobs
