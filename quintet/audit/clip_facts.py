"""Facts of clips that do not depend on the music, and fingerprints.

The facts are length, sample rate, channels, bandwidth, loudness, silence and clipping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource, DecodedClip
from quintet.audio.isolation.calls import LostWorkerError, map_isolated
from quintet.audio.mel import power_to_db
from quintet.audio.resample import resample
from quintet.audio.spectrum import spectrum_from_frames
from quintet.audit.fingerprints import RATE, Fingerprint, fingerprint
from quintet.features.extraction.worker import CLIP_ERRORS, error_reason
from quintet.files.machine import machine_fault

SILENCE_DB = -60.0  # dBFS; a block of 50 ms below it is silence
BLOCK_S = 0.05
FULL_SCALE = 0.999
SHORTEST_RUN = 3  # samples at full scale in a row; a single one may be a peak
BANDS = 128  # of equal width, up to half the sample rate
STEP_DB = 20.0  # the spectrum of an instrument or a room is not so steep
STEP_BANDS = 4
LOWEST_CUTOFF_HZ = 3000.0  # that of a telephone; below it a steep fall is music
BANDWIDTH_FFT = 2048
BANDWIDTH_FRAMES = 1200
BLOCK_SAMPLES = 1 << 22  # samples that are looked at in double precision at a time

CountProgress = Callable[[int, int, int], object]
"""Called with the number of clips, of clips that are done, and of failed clips."""


class ClipFacts(TypedDict):
    """Facts of one clip.

    Args:
        duration_s: length in seconds.
        native_sample_rate: sample rate of the file, Hz.
        native_channels: number of channels of the file.
        cutoff_hz: frequency at which the spectrum ends (`cutoff_hz`).
        loudness_db: loudness in dB re full scale (`loudness_db`).
        silence_share: share of silent blocks (`silence_share`).
        clipped_share: share of clipped samples (`clipping_share`).
        audio_digest: digest of the native samples.
    """

    duration_s: float
    native_sample_rate: int
    native_channels: int
    cutoff_hz: float
    loudness_db: float
    silence_share: float
    clipped_share: float
    audio_digest: str


class ClipMeasurement(NamedTuple):
    """Facts and fingerprint of one clip, or its problem.

    Args:
        id: id of the clip.
        facts: its facts; None if it cannot be read.
        fingerprint: its fingerprint; None if it cannot be read, or if no fingerprints are wanted.
        problem: why it cannot be read; None if it can.
    """

    id: str
    facts: ClipFacts | None
    fingerprint: Fingerprint | None
    problem: str | None


def loudness_db(clip: Clip) -> float:
    """Loudness, `10 log10(mean(samples²))`, in dB re full scale, at least -100.

    Args:
        clip: clip at any rate.

    Example:
        >>> round(loudness_db(Clip(np.sin(np.arange(8000) * 0.1), 8000)), 1)
        -3.0
    """
    n = len(clip.samples)
    sums = [np.mean(np.square(block, dtype=np.float64)) * (len(block) / n) for block in _blocks(clip)]
    power = np.array([np.sum(sums)])
    level = power_to_db(power)
    return float(level[0])


def silence_share(clip: Clip) -> float:
    """Share of the blocks of 50 ms that are below -60 dBFS, in [0, 1].

    Args:
        clip: clip at any rate.

    Example:
        >>> silence_share(Clip(np.append(np.zeros(4000), 0.5 * np.ones(12000)), 8000))
        0.25
    """
    length = max(round(BLOCK_S * clip.sample_rate), 1)
    is_silent = []
    for block in _blocks(clip, multiple=length):
        starts = np.arange(0, len(block), length)
        lengths = np.diff(np.append(starts, len(block)))
        energies = np.add.reduceat(np.square(block, dtype=np.float64), starts)
        is_silent.append(power_to_db(energies / lengths) < SILENCE_DB)
    return float(np.mean(np.concatenate(is_silent)))


def clipping_share(clip: Clip) -> float:
    """Share of the samples that are at full scale, three or more in a row, in [0, 1].

    Args:
        clip: clip at any rate.

    Example:
        >>> clipping_share(Clip(np.array([0.1, 1.0, 1.0, 1.0, 0.2, 1.0, 0.3, -0.2]), 8000))
        0.375
    """
    is_full = np.concatenate([np.abs(block) >= FULL_SCALE for block in _blocks(clip)])
    if not is_full.any():
        return 0.0
    padded = np.concatenate([[0], is_full.astype(np.int8), [0]])
    edges = np.diff(padded)
    begins = np.flatnonzero(edges == 1)
    ends = np.flatnonzero(edges == -1)
    runs = ends - begins
    long_runs = runs[runs >= SHORTEST_RUN]
    return float(long_runs.sum() / len(is_full))


def cutoff_hz(clip: Clip) -> float:
    """Frequency at which the long-term spectrum ends suddenly, as after an encoder or a resampler, in Hz.

    The power is averaged over time in 128 bands. The cut-off is the upper edge of the highest band, above
    3 kHz, from which all higher bands are at least 20 dB below the median of the four bands that end there.
    One band in between is left for the transition. A spectrum that fades gradually, as that of a cello, has
    no cut-off.

    Args:
        clip: clip at its native rate.

    Returns:
        The cut-off, or half the sample rate if there is none.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=44100) * 0.1
        >>> low = resample(noise, orig_sr=44100, target_sr=22050)
        >>> wide = resample(low, orig_sr=22050, target_sr=44100)
        >>> bool(10000 < cutoff_hz(Clip(wide, 44100)) < 11500), cutoff_hz(Clip(noise, 44100))
        (True, 22050.0)
    """
    nyquist = clip.sample_rate / 2
    if len(clip.samples) < BANDWIDTH_FFT:
        return nyquist
    hop = max(BANDWIDTH_FFT, len(clip.samples) // BANDWIDTH_FRAMES)
    spectra = spectrum_from_frames(_frames(clip, hop), sample_rate=clip.sample_rate, hop_length=hop)
    power = spectra.power.mean(axis=1)[1:]
    band_powers = power.reshape(BANDS, -1).mean(axis=1)
    levels = power_to_db(band_powers, amin=1e-15)
    loudest_from_here = np.maximum.accumulate(levels[::-1])[::-1]
    for band in range(BANDS - 3, STEP_BANDS - 2, -1):
        edge = (band + 1) * nyquist / BANDS
        if edge < LOWEST_CUTOFF_HZ:
            break
        bands_below = levels[band - STEP_BANDS + 1 : band + 1]
        level_below = np.median(bands_below)
        step = level_below - loudest_from_here[band + 2]
        if step >= STEP_DB:
            return float(edge)
    return nyquist


def _blocks(clip: Clip, *, multiple: int = 1) -> Iterator[NDArray[np.floating]]:
    """The samples in blocks, so that copies in double precision stay small.

    Args:
        clip: any clip.
        multiple: every block but the last is a multiple of so many samples.
    """
    length = max(1, BLOCK_SAMPLES // multiple) * multiple
    for start in range(0, len(clip.samples), length):
        yield clip.samples[start : start + length]


def _frames(clip: Clip, hop: int) -> NDArray[np.float64]:
    """Centred frames of a clip with zeros beyond its ends, as those of `audio.spectrum.spectrum`."""
    n = len(clip.samples)
    frames = np.zeros((1 + n // hop, BANDWIDTH_FFT))
    for row, centre in enumerate(range(0, n + 1, hop)):
        first, last = centre - BANDWIDTH_FFT // 2, centre + BANDWIDTH_FFT // 2
        samples = clip.samples[max(0, first) : last]
        frames[row, max(0, -first) : max(0, -first) + len(samples)] = samples
    return frames


def measure_clip(source: ClipSource, *, fingerprints: bool) -> ClipMeasurement:
    """Measure one clip. If it cannot be read, the result has a problem; no error is raised.

    Args:
        source: file and window of the clip.
        fingerprints: whether to compute its fingerprint.
    """
    try:
        decoded = source.load(sample_rate=None)
        marks = fingerprint(at_fingerprint_rate(decoded.clip)) if fingerprints else None
        return ClipMeasurement(source.key, _facts(decoded), marks, None)
    except CLIP_ERRORS as error:
        fault = machine_fault(error)
        if fault is not None:
            raise fault from error
        return ClipMeasurement(source.key, None, None, error_reason(error))


def at_fingerprint_rate(clip: Clip) -> Clip:
    """The clip at the sample rate of fingerprints, 8000 Hz.

    Args:
        clip: clip at any rate.
    """
    samples = resample(clip.samples, orig_sr=clip.sample_rate, target_sr=RATE)
    return Clip(samples, RATE, clip.id)


def measure_clips(
    sources: Sequence[ClipSource],
    *,
    fingerprints: bool,
    n_jobs: int = 1,
    progress: CountProgress | None = None,
) -> list[ClipMeasurement]:
    """Measure many clips; the results have the order of the clips.

    Args:
        sources: files and windows of the clips.
        fingerprints: whether to compute fingerprints.
        n_jobs: number of processes.
        progress: called after each clip.
    """
    measurements: list[ClipMeasurement] = []
    n_failed = 0
    for measurement in _measure_in_order(sources, fingerprints=fingerprints, n_jobs=n_jobs):
        measurements.append(measurement)
        n_failed += measurement.problem is not None
        if progress is not None:
            progress(len(sources), len(measurements), n_failed)
    return measurements


def _facts(decoded: DecodedClip) -> ClipFacts:
    clip = decoded.clip
    return {
        "duration_s": decoded.duration_s,
        "native_sample_rate": decoded.native_sample_rate,
        "native_channels": decoded.native_channels,
        "cutoff_hz": cutoff_hz(clip),
        "loudness_db": loudness_db(clip),
        "silence_share": silence_share(clip),
        "clipped_share": clipping_share(clip),
        "audio_digest": decoded.audio_digest,
    }


def _measure_in_order(
    sources: Sequence[ClipSource], *, fingerprints: bool, n_jobs: int
) -> Iterator[ClipMeasurement]:
    """Measurements one after the other, from `n_jobs` worker processes."""
    measure = partial(measure_clip, fingerprints=fingerprints)
    results = map_isolated(measure, ((source,) for source in sources), n_workers=n_jobs)
    for source, result in zip(sources, results, strict=True):
        if isinstance(result, LostWorkerError):
            yield ClipMeasurement(source.key, None, None, str(result))
        elif isinstance(result, Exception):
            raise result
        else:
            yield result
