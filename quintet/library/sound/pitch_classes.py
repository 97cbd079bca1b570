"""Pitch classes of a song, from the peaks of long frames: what its key is found from.

Frames of .37 s tell the semitones of bass notes apart, which the frames of the features (.09 s) do not. The
peaks of each frame are moved by the tuning of their half minute and counted for the pitches of which they
may be a partial.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.spectrum import Spectrum, spectrum

Floats = NDArray[np.float64]

FRAME_S = 8192 / 22050
"""Length of a frame, rounded to a power of two of samples. Frames overlap by half."""
STRETCH_FRAMES = 64
"""Frames, without the overlap, whose tuning is found together: 24 s."""
LOWEST_HZ, HIGHEST_HZ = 50.0, 2200.0
"""Peaks between these count."""
LEAST = 0.001
"""Peaks below this share of the loudest of their frame are left out."""
COMPRESSION = 0.75
"""Exponent of the magnitude."""
N_PARTIALS, DECAY = 4, 0.6
"""A peak counts for the pitches of which it is partial 1 to 4, with the weights 1, .6, .36, .216."""
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
        clip = Clip(samples, self._rate, "")
        classes = frame_classes(spectrum(clip, n_fft=self._n_fft, hop_length=self._n_fft // 2))
        self._sum += classes.sum(axis=0)
        self._frames += len(classes)


def frame_classes(found: Spectrum) -> Floats:
    """Strength of the pitch classes of every frame, `(frames, 12)`; the strongest of a frame is 1.

    Args:
        found: a spectrum whose frames are long enough for bass notes.
    """
    pitch, magnitude, frame = _peaks(found)
    strength = magnitude**COMPRESSION
    classes = np.zeros((found.magnitude.shape[1], 12))
    if not len(pitch):
        return classes
    direction = np.sum(magnitude * np.exp(2j * np.pi * pitch))
    tuning = float(np.angle(direction)) / (2 * np.pi)
    for partial in range(1, N_PARTIALS + 1):
        semitones = pitch - tuning - 12 * np.log2(partial)
        nearest = np.round(semitones)
        share = DECAY ** (partial - 1) * np.cos(np.pi * (semitones - nearest)) ** 2
        np.add.at(classes, (frame, nearest.astype(np.intp) % 12), share * strength)
    largest = classes.max(axis=1, keepdims=True)
    return classes / np.where(largest > 0, largest, 1.0)


def _peaks(found: Spectrum) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """MIDI pitches (with fractions), magnitudes and frames of the interpolated peaks."""
    step = found.sample_rate / found.n_fft
    low, high = max(1, int(LOWEST_HZ / step)), int(HIGHEST_HZ / step) + 2
    magnitude = found.magnitude[low - 1 : high + 1]
    centre = magnitude[1:-1]
    loud = centre > LEAST * np.maximum(magnitude.max(axis=0), np.finfo(np.float64).tiny)
    is_peak = loud & (centre > magnitude[:-2]) & (centre >= magnitude[2:])
    bins, frames = np.nonzero(is_peak)
    levels = [np.log(magnitude[bins + k, frames] + np.finfo(np.float64).tiny) for k in (0, 1, 2)]
    slope, curvature = (levels[2] - levels[0]) / 2, levels[0] - 2 * levels[1] + levels[2]
    shift = np.divide(-slope, curvature, out=np.zeros_like(slope), where=curvature < 0)
    hertz = (bins + low + shift) * step
    return A4_MIDI + 12 * np.log2(hertz / A4_HZ), centre[bins, frames], frames
