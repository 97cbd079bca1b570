"""Pitch classes of a song, from the peaks of long frames: what its key is found from.

Frames of .37 s tell the semitones of bass notes apart, which the frames of the features (.09 s) do not. The
peaks of each frame are moved by the tuning of their half minute and counted for the pitches of which they
may be a partial.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.audio.spectrum import frame_transforms
from quintet.features.engine.kernels.arguments import FoundPeaks
from quintet.features.engine.passes import find_peaks
from quintet.features.engine.stretches import Stretch, cut_frames
from quintet.features.engine.warm_up import kernels_available

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

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
DECAY = 0.6
"""A peak counts for the pitches of which it is partial 1 to 4, with the weights 1, .6, .36, .216."""
SHIFTS = {0.0: sum(DECAY**k for k in (0, 1, 3)), 12 * float(np.log2(3)): DECAY**2}
"""Semitones from a partial to its pitch, without octaves → weight. Partials 1, 2 and 4 are octaves apart."""
A4_MIDI, A4_HZ = 69, 440.0
NOTES = 9 * 12
"""MIDI notes that are counted: octaves up to above the highest peak."""
TINY = np.finfo(np.float32).tiny


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
        self._waiting: list[NDArray[np.float32]] = []
        self._n_waiting = 0
        self._sum, self._frames = np.zeros(12), 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Listen to the next samples.

        Args:
            block: mono samples, shape `(n,)`.
        """
        length = STRETCH_FRAMES * self._n_fft
        self._n_waiting += len(block)
        if self._n_waiting >= 2 * length:
            block = np.concatenate([*self._waiting, block]) if self._waiting else block
            while len(block) >= 2 * length:
                self._describe(block[:length])
                block = block[length:]
            self._waiting, self._n_waiting = [], len(block)
        self._waiting.append(np.array(block, np.float32))

    def values(self) -> NDArray[np.float32]:
        """Mean strength of the pitch classes C, C#, … B, shape `(12,)`, in [0, 1]; 0 if nothing has a
        pitch."""
        if self._n_waiting:
            self._describe(np.concatenate(self._waiting))
            self._waiting, self._n_waiting = [], 0
        return (self._sum / max(1, self._frames)).astype(np.float32)

    def _describe(self, samples: NDArray[np.float32]) -> None:
        samples = np.ascontiguousarray(samples, np.float32)
        if len(samples) < self._n_fft:
            samples = np.pad(samples, (0, self._n_fft - len(samples)))
        frames = 1 + len(samples) // (self._n_fft // 2)
        classes = frame_classes(Stretch(samples, self._rate, -(self._n_fft // 2), frames), self._n_fft)
        self._sum += classes.sum(axis=0)
        self._frames += frames


def frame_classes(stretch: Stretch, n_fft: int) -> Floats:
    """Strength of the pitch classes of every frame, `(frames, 12)`; the strongest of a frame is 1.

    Args:
        stretch: frames that overlap by half.
        n_fft: samples in a frame, enough for bass notes.
    """
    step_hz = stretch.sample_rate / n_fft
    bins = max(1, int(LOWEST_HZ / step_hz)), min(n_fft // 2, int(HIGHEST_HZ / step_hz) + 2)
    find = find_peaks if kernels_available() else peaks_by_definition
    peaks = find(stretch, n_fft=n_fft, hop_length=n_fft // 2, bins=bins, share=LEAST**2)
    below, level, above = np.log(peaks.powers + TINY)
    slope, curvature = (above - below) / 2, below - 2 * level + above
    shift = np.divide(-slope, curvature, out=np.zeros_like(slope), where=curvature < 0)
    place = (peaks.bins + shift).astype(np.float32)
    pitch = A4_MIDI + 12 * np.log2(place * np.float32(step_hz / A4_HZ))
    return _classes(pitch, level, peaks.frames, stretch.frames)


def _classes(pitch: Singles, level: Singles, frame: NDArray[np.int64], frames: int) -> Floats:
    """Strength of the pitch classes of every frame, `(frames, 12)`.

    Args:
        pitch: MIDI pitch of each peak, with fractions.
        level: logarithm of the power of each peak.
        frame: frame of each peak.
        frames: number of frames.
    """
    magnitude, strength = np.exp(level / 2), np.exp(COMPRESSION / 2 * level)
    turns = 2 * np.pi * (pitch - np.rint(pitch))
    sine, cosine = np.sin(turns), np.cos(turns)
    tuning = np.arctan2(np.sum(magnitude * sine), np.sum(magnitude * cosine)) / (2 * np.pi)
    notes = np.zeros(frames * NOTES)
    first_note = frame * NOTES
    for interval, weight in SHIFTS.items():
        note = np.rint(pitch - (tuning + interval)).astype(np.int64)
        turn = 2 * np.pi * (tuning + interval)
        share = 0.5 * weight * (1 + cosine * np.cos(turn) + sine * np.sin(turn))  # cos²(π d)
        notes += np.bincount(first_note + note, share * strength, len(notes))
    classes: Floats = notes.reshape(frames, -1, 12).sum(axis=1)
    largest = classes.max(axis=1, keepdims=True)
    classes /= np.where(largest > 0, largest, 1.0)
    return classes


def peaks_by_definition(
    stretch: Stretch, *, n_fft: int, hop_length: int, bins: tuple[int, int], share: float
) -> FoundPeaks:
    """`passes.find_peaks` without the kernels."""
    first, last = bins
    frames = cut_frames(stretch.samples, stretch.first, stretch.frames, n_fft=n_fft, hop_length=hop_length)
    power = np.abs(frame_transforms(frames)[:, first - 1 : last + 1]) ** 2
    centre = power[:, 1:-1]
    is_loud = centre > share * power.max(axis=1, keepdims=True)
    rows, columns = np.nonzero(is_loud & (centre > power[:, :-2]) & (centre >= power[:, 2:]))
    around = np.stack([power[rows, columns + k] for k in (0, 1, 2)]).astype(np.float32)
    return FoundPeaks(rows, columns + first, around, np.array([len(rows)]))
