"""What of a recording survives re-encoding, gain and trimming, as a few thousand integers with their times.

Two kinds of marks, both read off the one STFT at 8 kHz:

- *constellations*: peaks of the spectrogram relative to each bin's own recent level (so that a peak means the same in a loud attack and in a
  soft tail), three at a time: three frequencies and two distances in time. This is Wang's landmark with one more star, which makes chance
  agreement a thousand times rarer;
- *decays*, in short clips only: where the strongest partial stands, how it glides and how fast it fades. A drum whose attack was cut off
  has no peaks left, but its tail still falls in its own way.
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

RATE = 8000  # Hz; telephone bandwidth is what every copy keeps
N_FFT = 1024
HOP = 128  # 16 ms: the grid of times
HOP_S = HOP / RATE
FLOOR = 1e-5 * N_FFT / 4  # magnitude of a tone at -100 dBFS: below it there is only rounding noise
NEAR_BINS, NEAR_FRAMES = 12, 8  # a peak is the largest within ±94 Hz and ±128 ms
LEVEL_FRAMES = 31  # half a second: what "recent level" means
FAN = 4  # a star looks at this many that follow it
SPAN = 63  # frames: no constellation is longer than a second
MAX_MARKS = 4000
BLOCK_S = 64  # long recordings are read in blocks, so that memory stays flat
SHORT_S = 6.0  # up to here decays are kept
GLIDE = 3  # frames on each side over which glide and fading are measured
DECAY_BINS = slice(1, 61)  # 8 to 469 Hz
FADING_DB_S = 15.0  # slower than this is a tone, not a decay
DECAY_STEPS = (0.04, 8.0, 50.0)  # log frequency, glide in % over 96 ms, fading in dB/s


class Fingerprint(NamedTuple):
    """Marks of one recording: `marks` uint32 and `frames` int32 (16 ms each), both `(n,)`, n up to about 4000."""

    marks: NDArray[np.uint32]
    frames: NDArray[np.int32]


def fingerprint(clip: Clip) -> Fingerprint:
    """The marks of a clip.

    Gain moves none of them that stands clear of -100 dBFS; trimming only removes those of the part that is gone, and shifts the others; re-encoding
    loses a share. Of a long recording only the marks below a fixed threshold are kept, so that a copy or an excerpt keeps the same ones.

    Args:
        clip: at 8000 Hz.

    Returns:
        Possibly empty: silence and steady tones have nothing to be known by.

    Raises:
        ConfigError: for another sample rate.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=16000)
        >>> a, b = fingerprint(Clip(0.1 * noise, RATE)), fingerprint(Clip(0.05 * noise, RATE))
        >>> len(a.marks) > 100, bool(np.isin(a.marks, b.marks).mean() > 0.99)
        (True, True)
    """
    if clip.sample_rate != RATE:
        raise ConfigError(
            f"A fingerprint is taken at {RATE} Hz. Received a clip at {clip.sample_rate} Hz: load it with sample_rate={RATE}."
        )
    found = [
        (marks, frames + first)
        for block, first in _blocks(clip)
        for marks, frames in _marks(block, short=clip.duration_s <= SHORT_S)
    ]
    marks, frames = (np.concatenate(column) for column in zip(*found, strict=True))
    if len(marks) > MAX_MARKS and clip.duration_s > SHORT_S:
        keep = marks < np.uint32(2**32 * (MAX_MARKS / len(marks)))
        marks, frames = marks[keep], frames[keep]
    return Fingerprint(marks, frames.astype(np.int32))


def _blocks(clip: Clip) -> Iterator[tuple[Spectrum, int]]:
    """The spectra of stretches of 64 s, each with the frame at which it begins."""
    for start in range(0, max(len(clip.samples), 1), BLOCK_S * RATE):
        samples = clip.samples[start : start + BLOCK_S * RATE]
        if len(samples) < N_FFT:
            samples = np.pad(samples, (0, N_FFT - len(samples)))
        yield spectrum(Clip(samples, RATE, clip.id), n_fft=N_FFT, hop_length=HOP), start // HOP


def _marks(block: Spectrum, *, short: bool) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.int64]]]:
    magnitude = block.magnitude.T  # a frame is contiguous
    yield _constellations(*_peaks(magnitude))
    if short:
        yield _decays(magnitude)


def _peaks(magnitude: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frames and bins of the peaks, in the order of time: largest in their surroundings once each bin is divided by its recent level."""
    relief = np.log(magnitude + FLOOR)
    relief -= uniform_filter1d(relief, LEVEL_FRAMES, axis=0, mode="nearest")
    top = maximum_filter1d(maximum_filter1d(relief, 2 * NEAR_BINS + 1, axis=1), 2 * NEAR_FRAMES + 1, axis=0)
    frames, bins = np.nonzero((relief == top) & (magnitude > 1.5 * FLOOR))
    return frames, bins


def _constellations(
    frames: NDArray[np.int64], bins: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    marks, times = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    n = len(frames)
    for second in range(1, FAN):
        for third in range(second + 1, min(FAN, n - 1) + 1):
            first, middle, last = (slice(k, n - third + k) for k in (0, second, third))
            to_middle, to_last = frames[middle] - frames[first], frames[last] - frames[first]
            near = to_last <= SPAN
            code = (
                ((bins[first] << 10 | bins[middle]) << 10 | bins[last]) << 12
                | (to_middle & 63) << 6
                | (to_last & 63)
            )
            marks.append(code[near])
            times.append(frames[first][near])
    return _mixed(np.concatenate(marks)), np.concatenate(times)


def _decays(magnitude: NDArray[np.float64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Frequency, glide and fading of the strongest low partial, each rounded on two grids half a step apart; runs of equal marks count once."""
    frequency, level = _strongest(np.log(magnitude[:, DECAY_BINS] + np.finfo(np.float64).tiny))
    if len(level) <= 2 * GLIDE:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    ahead, behind, centre = slice(2 * GLIDE, None), slice(None, -2 * GLIDE), slice(GLIDE, -GLIDE)
    glide = 100 * (frequency[ahead] - frequency[behind]) / frequency[centre]
    fading = 20 / np.log(10) * (level[ahead] - level[behind]) / (2 * GLIDE * HOP_S)
    clear = (level[centre] > np.log(3 * FLOOR)) & (np.abs(glide) < 25) & (np.abs(fading) > FADING_DB_S)
    marks, times = [], []
    for shift in (0.0, 0.5):
        pitch, bend, fall = (
            np.floor(value / step + shift).astype(np.int64)
            for value, step in zip((np.log(frequency[centre]), glide, fading), DECAY_STEPS, strict=True)
        )
        code = 1 << 60 | ((pitch & 1023) << 6 | (bend & 63)) << 9 | (fall & 255) << 1 | int(2 * shift)
        begins = np.diff(code, prepend=-1) != 0
        marks.append(code[clear & begins])
        times.append(np.flatnonzero(clear & begins) + GLIDE)
    return _mixed(np.concatenate(marks)), np.concatenate(times)


def _strongest(low: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequency (bins) and log level of the strongest bin of every frame, by a parabola through it and its neighbours."""
    rows, k = np.arange(len(low)), low[:, 1:-1].argmax(axis=1) + 1
    left, middle, right = low[rows, k - 1], low[rows, k], low[rows, k + 1]
    shift = np.clip((left - right) / (2 * (left - 2 * middle + right) - 1e-9), -1.0, 1.0)
    return k + DECAY_BINS.start + shift, middle - (left - right) * shift / 4


def _mixed(code: NDArray[np.int64]) -> NDArray[np.uint32]:
    """32 well-spread bits of each code: multiplied by a large odd number, the top half kept (Knuth's multiplicative hash)."""
    spread = code.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    spread ^= spread >> np.uint64(29)
    spread *= np.uint64(0xBF58476D1CE4E5B9)
    return (spread >> np.uint64(32)).astype(np.uint32)
