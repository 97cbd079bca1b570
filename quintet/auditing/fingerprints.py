"""Fingerprint of a recording: marks that survive re-encoding, gain and trimming.

A mark is an integer with a time; a recording has up to a few thousand. There are two kinds, both from the one
STFT at 8 kHz:

- *Constellations* are peaks of the spectrogram, three at a time: three frequencies and two distances in time.
  A peak is relative to the recent level of its bin, so that it means the same in a loud attack and in a soft
  tail. This is Wang's landmark with a third peak, which makes chance agreement a thousand times rarer.
- *Decays*, in short clips only, describe the strongest partial: where it is, how it glides and how fast it
  fades. A drum without its attack has no peaks, but its tail still fades in its own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from quintet.audio.clip import Clip
from quintet.audio.spectrum import Spectrum, spectrum
from quintet.errors import ConfigError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RATE = 8000  # Hz; every copy keeps the bandwidth of a telephone
N_FFT = 1024
HOP = 128  # 16 ms: the grid of times
HOP_S = HOP / RATE
FLOOR = 1e-5 * N_FFT / 4  # magnitude of a tone at -100 dBFS: below it there is only rounding noise
NEAR_BINS, NEAR_FRAMES = 12, 8  # a peak is the largest value within ±94 Hz and ±128 ms
LEVEL_FRAMES = 31  # half a second: the recent level of a bin
FAN = 4  # a peak is combined with this many peaks that follow it
SPAN = 63  # frames; no constellation is longer than a second
MAX_MARKS = 4000
BLOCK_S = 64  # long recordings are read in blocks, so that memory stays constant
SHORT_S = 6.0  # up to this length a clip has decays
GLIDE = 3  # frames on each side over which glide and fading are measured
DECAY_BINS = slice(1, 61)  # 8 to 469 Hz
FADING_DB_S = 15.0  # a slower fading is a tone, not a decay
MAX_GLIDE = 25  # % over 96 ms
PITCH_STEP, GLIDE_STEP, FADING_STEP = 0.04, 8.0, 50.0  # log frequency, % over 96 ms, dB/s
DECIBELS_PER_LOG = 20 / np.log(10)
TINY = np.finfo(np.float64).tiny


class Fingerprint(NamedTuple):
    """Marks of one recording, up to about 4000.

    Args:
        marks: uint32, `(n,)`.
        frames: int32, `(n,)`; frame of each mark, 16 ms each.
    """

    marks: NDArray[np.uint32]
    frames: NDArray[np.int32]


class _Marks(NamedTuple):
    """Marks of one kind in one block, with their frames."""

    marks: NDArray[np.uint32]
    frames: Integers


NO_MARKS = _Marks(np.zeros(0, np.uint32), np.zeros(0, np.int64))


def fingerprint(clip: Clip) -> Fingerprint:
    """Marks of a clip.

    Gain changes no mark that is clearly above -100 dBFS. Trimming removes the marks of the removed part and
    shifts the others. Re-encoding loses a share of them. If a long recording has too many marks, only the
    marks below a fixed threshold remain, so that a copy or an excerpt keeps the same ones.

    Args:
        clip: clip at 8000 Hz.

    Returns:
        The marks; none for silence and for steady tones, which have nothing that identifies them.

    Raises:
        ConfigError: if the clip has another sample rate.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=16000)
        >>> a, b = fingerprint(Clip(0.1 * noise, RATE)), fingerprint(Clip(0.05 * noise, RATE))
        >>> len(a.marks) > 100, bool(np.isin(a.marks, b.marks).mean() > 0.99)
        (True, True)
    """
    if clip.sample_rate != RATE:
        raise ConfigError(
            f"A fingerprint needs a clip at {RATE} Hz. Received a clip at {clip.sample_rate} Hz: "
            f"load it with sample_rate={RATE}."
        )
    length = BLOCK_S * RATE
    starts = range(0, max(len(clip.samples), 1), length)
    blocks = (clip.samples[start : start + length] for start in starts)
    return fingerprint_blocks(blocks, is_short=clip.duration_s <= SHORT_S)


def fingerprint_blocks(blocks: Iterator[NDArray[np.floating]], *, is_short: bool = False) -> Fingerprint:
    """Marks of a recording that comes in blocks of 64 s, as `fingerprint` gives them.

    Args:
        blocks: samples at 8000 Hz, 64 s each; the last block may be shorter.
        is_short: whether the recording has at most six seconds.
    """
    parts = []
    for block, first_frame in _block_spectra(blocks):
        for part in _block_marks(block, with_decays=is_short):
            frames = part.frames + first_frame
            parts.append(_Marks(part.marks, frames))
    marks, frames = _join(parts)
    if len(marks) > MAX_MARKS and not is_short:
        threshold = 2**32 * (MAX_MARKS / len(marks))
        is_below = marks < np.uint32(threshold)
        marks, frames = marks[is_below], frames[is_below]
    return Fingerprint(marks, frames.astype(np.int32))


def _block_spectra(blocks: Iterator[NDArray[np.floating]]) -> Iterator[tuple[Spectrum, int]]:
    """Spectrum of each block of 64 s, with the frame at which it begins."""
    for k, samples in enumerate(blocks):
        n_missing = N_FFT - len(samples)
        if n_missing > 0:
            samples = np.pad(samples, (0, n_missing))
        yield spectrum(Clip(samples, RATE, ""), n_fft=N_FFT, hop_length=HOP), k * BLOCK_S * RATE // HOP


def _block_marks(block: Spectrum, *, with_decays: bool) -> Iterator[_Marks]:
    """Constellations of one block, then its decays."""
    magnitude = block.magnitude.T  # a frame is contiguous
    frames, bins = _find_peaks(magnitude)
    yield _constellations(frames, bins)
    if with_decays:
        yield _decays(magnitude)


def _find_peaks(magnitude: Floats) -> tuple[Integers, Integers]:
    """Frames and bins of the peaks, in the order of time.

    A peak is the largest value around it, after each bin is divided by its recent level.
    """
    relief = np.log(magnitude + FLOOR)
    relief -= uniform_filter1d(relief, LEVEL_FRAMES, axis=0, mode="nearest")
    n_bins, n_frames = 2 * NEAR_BINS + 1, 2 * NEAR_FRAMES + 1
    largest_in_frame = maximum_filter1d(relief, n_bins, axis=1)
    largest_around = maximum_filter1d(largest_in_frame, n_frames, axis=0)
    is_largest = relief == largest_around
    is_loud = magnitude > 1.5 * FLOOR
    frames, bins = np.nonzero(is_largest & is_loud)
    return frames, bins


def _constellations(frames: Integers, bins: Integers) -> _Marks:
    """Marks of three peaks: 10 bits per frequency, 6 bits per distance in time."""
    parts = [NO_MARKS]
    n = len(frames)
    for second in range(1, FAN):
        for third in range(second + 1, min(FAN, n - 1) + 1):
            n_marks = n - third
            middle = slice(second, second + n_marks)
            first_frames, first_bins = frames[:n_marks], bins[:n_marks]
            to_second = frames[middle] - first_frames
            to_third = frames[third:] - first_frames
            two_pitches = first_bins << 10 | bins[middle]
            pitches = two_pitches << 10 | bins[third:]
            distances = (to_second & 63) << 6 | (to_third & 63)
            code = pitches << 12 | distances
            is_near = to_third <= SPAN
            marks = _hash(code[is_near])
            parts.append(_Marks(marks, first_frames[is_near]))
    return _join(parts)


def _decays(magnitude: Floats) -> _Marks:
    """Marks of the strongest low partial: its frequency, its glide and its fading.

    Each is rounded on two grids that are half a step apart. A run of equal marks counts once.
    """
    low_bins = magnitude[:, DECAY_BINS]
    levels = np.log(low_bins + TINY)
    frequency, level = _strongest_partial(levels)
    if len(level) <= 2 * GLIDE:
        return NO_MARKS
    centre_frequency = frequency[GLIDE:-GLIDE]
    centre_level = level[GLIDE:-GLIDE]
    percent = 100 * _change(frequency)
    glide = percent / centre_frequency
    decibels = DECIBELS_PER_LOG * _change(level)
    fading = decibels / (2 * GLIDE * HOP_S)
    is_loud = centre_level > np.log(3 * FLOOR)
    is_steady = np.abs(glide) < MAX_GLIDE
    is_fading = np.abs(fading) > FADING_DB_S
    is_clear = is_loud & is_steady & is_fading & np.isfinite(fading)
    pitch = np.log(centre_frequency)
    parts = []
    for grid, offset in enumerate((0.0, 0.5)):
        pitch_code = _round_down(pitch, PITCH_STEP, offset) & 1023
        glide_code = _round_down(glide, GLIDE_STEP, offset) & 63
        fading_code = _round_down(fading, FADING_STEP, offset) & 255
        tone = pitch_code << 6 | glide_code
        code = 1 << 60 | tone << 9 | fading_code << 1 | grid
        is_first_of_run = np.diff(code, prepend=-1) != 0
        is_mark = is_clear & is_first_of_run
        frames = np.flatnonzero(is_mark) + GLIDE
        marks = _hash(code[is_mark])
        parts.append(_Marks(marks, frames))
    return _join(parts)


def _join(parts: list[_Marks]) -> _Marks:
    """All marks, one part after the other."""
    marks = [part.marks for part in parts]
    frames = [part.frames for part in parts]
    return _Marks(np.concatenate(marks), np.concatenate(frames))


def _change(values: Floats) -> Floats:
    """Change from `GLIDE` frames before each frame to `GLIDE` frames after it."""
    return values[2 * GLIDE :] - values[: -2 * GLIDE]


def _round_down(values: Floats, step: float, offset: float) -> Integers:
    """Number of the step of each value, where the grid is moved by `offset` steps; any for a NaN."""
    steps = values / step + offset
    with np.errstate(invalid="ignore"):  # such frames have no marks
        return np.floor(steps).astype(np.int64)


def _strongest_partial(levels: Floats) -> tuple[Floats, Floats]:
    """Frequency (in bins) and log level of the strongest bin of every frame.

    They are those of the parabola through the bin and its neighbours.
    """
    rows = np.arange(len(levels))
    k = levels[:, 1:-1].argmax(axis=1) + 1
    left = levels[rows, k - 1]
    middle = levels[rows, k]
    right = levels[rows, k + 1]
    slope = left - right
    curvature = left - 2 * middle + right
    offset = slope / (2 * curvature - 1e-9)
    offset = np.clip(offset, -1.0, 1.0)
    frequency = k + DECAY_BINS.start + offset
    level = middle - slope * offset / 4
    return frequency, level


def _hash(codes: Integers) -> NDArray[np.uint32]:
    """32 evenly distributed bits of each code: the upper half of products with large odd numbers.

    Source:
        Knuth's multiplicative hash.
    """
    spread = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    spread ^= spread >> np.uint64(29)
    spread *= np.uint64(0xBF58476D1CE4E5B9)
    return (spread >> np.uint64(32)).astype(np.uint32)
