"""Pitch classes of a song, from the peaks of long frames: what its key is found from.

Frames of .37 s tell the semitones of bass notes apart, which the frames of the features (.09 s) do not. The
peaks of each frame are moved by the tuning of their half minute and counted for the pitches of which they
may be a partial.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.audio.spectrum import frame_transforms

Floats = NDArray[np.float64]

FRAME_S = 8192 / 22050
"""Length of a frame, rounded to a power of two of samples. Frames overlap by half."""
STRETCH_FRAMES = 64
"""Frames, without the overlap, whose tuning is found together: 24 s."""
BLOCK_FRAMES = 16
"""Frames that are transformed at once: their spectra stay in the cache of the processor."""
LOWEST_HZ, HIGHEST_HZ = 50.0, 2200.0
"""Peaks between these count."""
LEAST = 0.001
"""Peaks below this share of the loudest of their frame are left out."""
COMPRESSION = 0.75
"""Exponent of the magnitude."""
DECAY = 0.6
"""A peak counts for the pitches of which it is partial 1 to 4, with the weights 1, .6, .36, .216."""
SHIFTS = {0.0: sum(DECAY**k for k in (0, 1, 3)), 12 * float(np.log2(3)): DECAY**2}
"""Semitones from a partial to its pitch, without octaves → weight. Partials 1, 2 and 4 are octaves apart."""
A4_MIDI, A4_HZ = 69, 440.0


class PitchClasses:
    """Listens to a recording and gives the mean strength of its pitch classes.

    Each frame has the classes `raw[c] = Σ_peaks Σ_h 0.6^(h-1) · magnitude^0.75 · cos²(π d)`, where `h` is the
    partial, `c` the class of the nearest semitone to the pitch `p - 12 log2 h - tuning`, and `d` the distance
    to it in semitones. The classes of a frame are divided by the largest, and averaged over the frames.

    Source:
        Gómez 2006, *Tonal description of polyphonic audio* (harmonic pitch class profiles), with peaks
        between 50 and 2200 Hz.

    Example:
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
        >>> listener = PitchClasses()
        >>> listener.begin(22050)
        >>> listener.add(tone)
        >>> listener.values().round(2).tolist()[9]  # A
        1.0
    """

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, sample_rate: int) -> None:
        """Begin a recording.

        Args:
            sample_rate: Hz.
        """
        self._rate = sample_rate
        self._n_fft = 1 << max(6, round(np.log2(max(FRAME_S * sample_rate, 1.0))))
        self._blocks: list[NDArray[np.float32]] = []
        self._waiting = 0
        self._sum, self._frames = np.zeros(12), 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Listen to the next samples.

        Args:
            block: mono samples, shape `(n,)`.
        """
        stretch = STRETCH_FRAMES * self._n_fft
        self._blocks.append(np.array(block, np.float32))
        self._waiting += len(block)
        if self._waiting < 2 * stretch:
            return
        samples = np.concatenate(self._blocks)
        while len(samples) >= 2 * stretch:
            self._describe(samples[:stretch])
            samples = samples[stretch:]
        self._blocks, self._waiting = [samples], len(samples)

    def values(self) -> NDArray[np.float32]:
        """Mean strength of the pitch classes C, C#, … B, shape `(12,)`, in [0, 1]; 0 if nothing has a
        pitch."""
        if self._waiting:
            self._describe(np.concatenate(self._blocks))
            self._blocks, self._waiting = [], 0
        return (self._sum / max(1, self._frames)).astype(np.float32)

    def _describe(self, samples: NDArray[np.float32]) -> None:
        if len(samples) < self._n_fft:
            samples = np.pad(samples, (0, self._n_fft - len(samples)))
        padded = np.pad(samples, self._n_fft // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, self._n_fft)[:: self._n_fft // 2]
        classes = frame_classes(frames, self._rate)
        self._sum += classes.sum(axis=0)
        self._frames += len(classes)


def frame_classes(frames: NDArray[np.float32], sample_rate: int) -> Floats:
    """Strength of the pitch classes of every frame, `(frames, 12)`; the strongest of a frame is 1.

    Args:
        frames: samples, shape `(frames, n_fft)`, long enough for bass notes.
        sample_rate: Hz.
    """
    starts = range(0, len(frames), BLOCK_FRAMES)
    parts = [_peaks(frames[start : start + BLOCK_FRAMES], sample_rate, start) for start in starts]
    pitch, magnitude, frame = map(np.concatenate, zip(*parts, strict=True))
    flat = np.zeros(12 * len(frames))
    strength = magnitude**COMPRESSION
    sine, cosine = np.sin(2 * np.pi * pitch), np.cos(2 * np.pi * pitch)
    tuning = np.arctan2(magnitude @ sine, magnitude @ cosine) / (2 * np.pi)
    for shift, weight in SHIFTS.items():
        nearest = np.rint(pitch - (tuning + shift))
        turn = 2 * np.pi * (tuning + shift)
        share = 0.5 * weight * (1 + cosine * np.cos(turn) + sine * np.sin(turn))  # cos²(π d)
        flat += np.bincount(12 * frame + nearest.astype(np.intp) % 12, share * strength, len(flat))
    classes = flat.reshape(-1, 12)
    largest = classes.max(axis=1, keepdims=True)
    return classes / np.where(largest > 0, largest, 1.0)


def _peaks(
    frames: NDArray[np.float32], sample_rate: int, first: int
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """MIDI pitches (with fractions), magnitudes and frames of the interpolated peaks of some frames.

    Args:
        frames: samples, shape `(frames, n_fft)`.
        sample_rate: Hz.
        first: number of the first frame.
    """
    n_fft = frames.shape[1]
    step = sample_rate / n_fft
    low, high = max(1, int(LOWEST_HZ / step)), int(HIGHEST_HZ / step) + 2
    magnitude = np.abs(frame_transforms(frames)[:, low - 1 : high + 1]).astype(np.float64)
    centre = magnitude[:, 1:-1]
    least = LEAST * np.maximum(magnitude.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    is_peak = (centre > least) & (centre > magnitude[:, :-2]) & (centre >= magnitude[:, 2:])
    rows, bins = np.nonzero(is_peak)
    levels = [np.log(magnitude[rows, bins + k] + np.finfo(np.float64).tiny) for k in (0, 1, 2)]
    slope, curvature = (levels[2] - levels[0]) / 2, levels[0] - 2 * levels[1] + levels[2]
    shift = np.divide(-slope, curvature, out=np.zeros_like(slope), where=curvature < 0)
    hertz = (bins + low + shift) * step
    return A4_MIDI + 12 * np.log2(hertz / A4_HZ), centre[rows, bins], rows + first
