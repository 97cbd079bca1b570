"""Loudness, silence, clipping and bandwidth of a sound: at once, or block by block for long recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.mel import power_to_db
from quintet.audio.reading.checks import Facts
from quintet.audio.reading.recording import Recording
from quintet.audio.resample import resample_blocks
from quintet.audio.spectrum import spectrum_from_frames
from quintet.auditing.fingerprints import BLOCK_S as MARKED_S
from quintet.auditing.fingerprints import RATE, Fingerprint, fingerprint_blocks

Samples = NDArray[np.floating]

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


def loudness_db(clip: Clip) -> float:
    """Loudness, `10 log10(mean(samples²))`, in dB re full scale, at least -100.

    Args:
        clip: clip at any rate.

    Example:
        >>> round(loudness_db(Clip(np.sin(np.arange(8000) * 0.1), 8000)), 1)
        -3.0
    """
    n = len(clip.samples)
    return _decibels([_mean_power(block) * (len(block) / n) for block in _blocks(clip)])


def silence_share(clip: Clip) -> float:
    """Share of the blocks of 50 ms that are below -60 dBFS, in [0, 1].

    Args:
        clip: clip at any rate.

    Example:
        >>> silence_share(Clip(np.append(np.zeros(4000), 0.5 * np.ones(12000)), 8000))
        0.25
    """
    length = _silence_length(clip.sample_rate)
    is_silent = [_silent_blocks(block, length) for block in _blocks(clip, multiple=length)]
    return float(np.mean(np.concatenate(is_silent)))


def clipping_share(clip: Clip) -> float:
    """Share of the samples that are at full scale, three or more in a row, in [0, 1].

    Args:
        clip: clip at any rate.

    Example:
        >>> clipping_share(Clip(np.array([0.1, 1.0, 1.0, 1.0, 0.2, 1.0, 0.3, -0.2]), 8000))
        0.375
    """
    runs = _FullScaleRuns()
    for block in _blocks(clip):
        runs.add(block)
    return float(runs.total() / len(clip.samples))


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
        >>> from quintet.audio.resample import resample
        >>> noise = np.random.default_rng(0).normal(size=44100) * 0.1
        >>> low = resample(noise, orig_sr=44100, target_sr=22050)
        >>> wide = resample(low, orig_sr=22050, target_sr=44100)
        >>> bool(10000 < cutoff_hz(Clip(wide, 44100)) < 11500), cutoff_hz(Clip(noise, 44100))
        (True, 22050.0)
    """
    nyquist = clip.sample_rate / 2
    if len(clip.samples) < BANDWIDTH_FFT:
        return nyquist
    frames = _cut_frames(iter([clip.samples]), len(clip.samples))
    return _cutoff_of_frames(frames, nyquist)


def _cutoff_of_frames(frames: NDArray[np.float64], nyquist: float) -> float:
    """The cut-off of `cutoff_hz`, from frames of `BANDWIDTH_FFT` samples."""
    spectra = spectrum_from_frames(frames, sample_rate=round(2 * nyquist), hop_length=BANDWIDTH_FFT)
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


def _cut_frames(blocks: Iterator[Samples], n: int) -> NDArray[np.float64]:
    """Centred frames for `_cutoff_of_frames`, with zeros beyond the ends: at most some 1200, evenly spread.

    Args:
        blocks: the samples in blocks of any lengths.
        n: their number.
    """
    hop = max(BANDWIDTH_FFT, n // BANDWIDTH_FRAMES)
    half = BANDWIDTH_FFT // 2
    frames = np.zeros((1 + n // hop, BANDWIDTH_FFT))
    begin = 0
    for block in blocks:
        end = begin + len(block)
        for row in range(max(0, (begin - half) // hop), min(len(frames), (end + half) // hop + 1)):
            start = row * hop - half
            low, high = max(start, begin), min(start + BANDWIDTH_FFT, end)
            if low < high:
                frames[row, low - start : high - start] = block[low - begin : high - begin]
        begin = end
    return frames


def _mean_power(samples: Samples) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def _decibels(powers: list[float]) -> float:
    """Level of the sum of powers, dB."""
    return float(power_to_db(np.array([np.sum(powers)]))[0])


def _silence_length(sample_rate: int) -> int:
    """Samples of a block that is silent or not."""
    return max(round(BLOCK_S * sample_rate), 1)


def _silent_blocks(samples: Samples, length: int) -> NDArray[np.bool_]:
    """Whether each block of some samples is silent."""
    starts = np.arange(0, len(samples), length)
    lengths = np.diff(np.append(starts, len(samples)))
    energies = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    return np.asarray(power_to_db(energies / lengths) < SILENCE_DB)


class _FullScaleRuns:
    """Counts the samples at full scale that stand in a row, in a sound that comes in blocks."""

    def __init__(self) -> None:
        self._clipped = self._run = 0

    def add(self, block: Samples) -> None:
        """Count the runs that end in a block; the last one may go on in the next block."""
        is_full = np.abs(block) >= FULL_SCALE
        if not self._run and not is_full.any():
            return
        others = np.flatnonzero(~is_full)
        if not len(others):
            self._run += len(block)
            return
        runs = np.diff(others, prepend=-1) - 1
        runs[0] += self._run
        self._clipped += int(runs[runs >= SHORTEST_RUN].sum())
        self._run = len(block) - 1 - int(others[-1])

    def total(self) -> int:
        """Number of samples in runs of `SHORTEST_RUN` or more, after the last block."""
        return self._clipped + (self._run if self._run >= SHORTEST_RUN else 0)


class RecordingLevels(NamedTuple):
    """What two sweeps give.

    Args:
        facts: facts of the file.
        cutoff_hz: frequency at which the spectrum ends, Hz.
        loudness_db: loudness, dB re full scale.
        silence_share: share of silent blocks.
        clipped_share: share of clipped samples.
        fingerprint: its marks; None if none are wanted.
    """

    facts: Facts
    cutoff_hz: float
    loudness_db: float
    silence_share: float
    clipped_share: float
    fingerprint: Fingerprint | None


def recording_levels(recording: Recording, *, fingerprints: bool) -> RecordingLevels:
    """Levels and fingerprint of a recording, from two sweeps: its samples are never in memory at once.

    The first sweep gives length, levels and marks. The second cuts the frames of the spectrum, whose distance
    follows from the length. The numbers are those of the whole recording at once, to the last bit.

    Args:
        recording: at its native rate.
        fingerprints: whether to compute its fingerprint.

    Raises:
        AudioError: as `decode.load_clip`.
    """
    blocks = recording.blocks()
    first = next(blocks, None)
    levels = _Levels(recording.sample_rate or RATE)
    watched = levels.watch(blocks if first is None else chain([first], blocks))
    marks = None
    if fingerprints:
        at_rate = resample_blocks(watched, orig_sr=recording.sample_rate, target_sr=RATE)
        marks = fingerprint_blocks(reblock(at_rate, MARKED_S * RATE))
    for _ in watched:
        pass
    levels.finish()
    n = levels.n_samples
    nyquist = recording.sample_rate / 2
    cutoff = nyquist if n < BANDWIDTH_FFT else _cutoff_of_frames(_cut_frames(recording.blocks(), n), nyquist)
    return RecordingLevels(
        recording.facts, cutoff, levels.loudness_db, levels.silence_share, levels.clipped_share, marks
    )


def reblock(blocks: Iterator[Samples], length: int) -> Iterator[Samples]:
    """Blocks of one length; the last may be shorter.

    Args:
        blocks: blocks of any lengths.
        length: samples.

    Example:
        >>> parts = reblock(iter([np.ones(2, np.float32), np.zeros(3, np.float32)]), 4)
        >>> [part.tolist() for part in parts]
        [[1.0, 1.0, 0.0, 0.0], [0.0]]
    """
    ready: list[Samples] = []
    buffer = _Buffer(length, lambda samples: ready.append(samples.copy()))
    for block in blocks:
        buffer.add(block)
        yield from ready
        ready.clear()
    buffer.finish()
    yield from ready


class _Levels:
    """Loudness, silence and clipping of a sound that comes in blocks.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.n_samples = 0
        self._silence_length = _silence_length(sample_rate)
        self._powers: list[tuple[float, int]] = []
        self._is_silent: list[NDArray[np.bool_]] = []
        self._runs = _FullScaleRuns()
        whole_blocks = max(1, BLOCK_SAMPLES // self._silence_length) * self._silence_length
        self._buffers = (
            _Buffer(BLOCK_SAMPLES, self._add_power),
            _Buffer(whole_blocks, self._add_silence),
        )

    def watch(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        """The same blocks, looked at on their way."""
        for block in blocks:
            self.n_samples += len(block)
            self._runs.add(block)
            for buffer in self._buffers:
                buffer.add(block)
            yield block

    def finish(self) -> None:
        """Look at what is left after the last block."""
        for buffer in self._buffers:
            buffer.finish()

    @property
    def loudness_db(self) -> float:
        return _decibels([power * (length / self.n_samples) for power, length in self._powers])

    @property
    def silence_share(self) -> float:
        return float(np.mean(np.concatenate(self._is_silent)))

    @property
    def clipped_share(self) -> float:
        return float(self._runs.total() / self.n_samples)

    def _add_power(self, block: Samples) -> None:
        self._powers.append((_mean_power(block), len(block)))

    def _add_silence(self, block: Samples) -> None:
        self._is_silent.append(_silent_blocks(block, self._silence_length))


class _Buffer:
    """Samples that are collected until there are enough of them.

    Args:
        length: samples.
        use: called with each block of this length, and at the end with the rest.
    """

    def __init__(self, length: int, use: Callable[[Samples], None]) -> None:
        self._memory, self._filled, self._use = np.empty(length, np.float32), 0, use

    def add(self, block: Samples) -> None:
        start = 0
        while start < len(block):
            n = min(len(self._memory) - self._filled, len(block) - start)
            self._memory[self._filled : self._filled + n] = block[start : start + n]
            self._filled, start = self._filled + n, start + n
            if self._filled == len(self._memory):
                self.finish()

    def finish(self) -> None:
        if self._filled:
            self._use(self._memory[: self._filled])
            self._filled = 0
