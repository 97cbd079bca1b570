"""Augmentation of waveforms: pitch shift, time stretch, noise and gain.

This module only transforms clips. Its caller must augment training clips only, and only after the split
(`features/storage/augmented_spectrograms.py` does so).
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from quintet.audio.clip import Clip

Range = tuple[float, float]

MOST_COPIES = 100
LIMITS = {"pitch_shift": 48.0, "time_stretch": 10.0, "noise_db": 200.0, "gain_db": 200.0}
"""Transformation → largest size of its amount: four octaves, ten times as fast, 200 dB."""


class AudioAugmentation(BaseModel):
    """Settings of the augmented copies of a training clip. A transformation without a setting is off.

    Args:
        copies: number of copies of each training clip.
        pitch_shift: ranges of semitones, such as `[[-9, -5], [5, 9]]`. One range is drawn in proportion to
            its width.
        time_stretch: slowest and fastest rate; 2 is twice as fast.
        noise_db: lowest and highest signal-to-noise ratio of white noise, dB.
        gain_db: lowest and highest gain, dB.

    Raises:
        ValueError: a range that falls, a rate that is not positive, or nothing to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    copies: int = Field(default=1, ge=1, le=MOST_COPIES)
    pitch_shift: tuple[Range, ...] = ()
    time_stretch: Range | None = None
    noise_db: Range | None = None
    gain_db: Range | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        ranges = {"time_stretch": self.time_stretch, "noise_db": self.noise_db, "gain_db": self.gain_db}
        given = [(name, limits) for name, limits in ranges.items() if limits is not None]
        given += [("pitch_shift", limits) for limits in self.pitch_shift]
        if not given:
            names = "pitch_shift, time_stretch, noise_db, gain_db"
            raise ValueError(f"An augmentation must do something. Received none of: {names}.")
        for name, (low, high) in given:
            must_be_positive = name == "time_stretch"
            if not low <= high or (must_be_positive and low <= 0):
                kind = "a range from low to high above 0" if must_be_positive else "a range from low to high"
                raise ValueError(f"{name} must be {kind}. Received {low}, {high}.")
            if max(abs(low), abs(high)) > LIMITS[name]:
                raise ValueError(f"{name} must lie within ±{LIMITS[name]:g}. Received {low}, {high}.")
        return self


def augment_clip(clip: Clip, augmentation: AudioAugmentation, rng: np.random.Generator) -> Clip:
    """One augmented copy of a clip: pitch shift, time stretch, noise, gain, in this order.

    `rng` draws the amounts.

    Example:
        >>> clip = Clip(np.ones(100, np.float32), sample_rate=100, id="a")
        >>> louder = augment_clip(clip, AudioAugmentation(gain_db=(20, 20)), np.random.default_rng(0))
        >>> float(louder.samples[0]), louder.sample_rate, louder.id
        (10.0, 100, 'a')
    """
    samples = np.asarray(clip.samples, dtype=np.float32)
    if augmentation.pitch_shift:
        samples = pitch_shift(
            samples, _draw_number(augmentation.pitch_shift, rng), sample_rate=clip.sample_rate
        )
    if augmentation.time_stretch:
        samples = time_stretch(samples, rng.uniform(*augmentation.time_stretch))
    if augmentation.noise_db:
        samples = add_noise(samples, rng.uniform(*augmentation.noise_db), rng)
    if augmentation.gain_db:
        samples = samples * np.float32(10.0 ** (rng.uniform(*augmentation.gain_db) / 20.0))
    return Clip(samples, clip.sample_rate, clip.id)


def pitch_shift(samples: NDArray[np.float32], semitones: float, *, sample_rate: int) -> NDArray[np.float32]:
    """Samples shifted in pitch by `semitones` at the same length (librosa's phase vocoder)."""
    from librosa.effects import pitch_shift

    shifted = pitch_shift(samples, sr=sample_rate, n_steps=semitones, res_type="soxr_hq")
    return np.asarray(shifted, dtype=np.float32)


def time_stretch(samples: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    """Samples played `rate` times as fast at the same pitch: about `n / rate` (librosa's phase vocoder)."""
    from librosa.effects import time_stretch

    return np.asarray(time_stretch(samples, rate=rate), dtype=np.float32)


def add_noise(samples: NDArray[np.float32], snr_db: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Samples with white noise whose power lies `snr_db` below theirs. Silence stays silent."""
    rms = np.sqrt(np.mean(samples.astype(np.float64) ** 2))
    deviation = rms * 10.0 ** (-snr_db / 20.0)
    noise = rng.normal(0.0, deviation, len(samples))
    return samples + noise.astype(np.float32)


def _draw_number(ranges: tuple[Range, ...], rng: np.random.Generator) -> float:
    """A number from several ranges; every number is equally likely."""
    widths = np.array([high - low for low, high in ranges]) + 1e-9
    chosen = int(rng.choice(len(ranges), p=widths / widths.sum()))
    low, high = ranges[chosen]
    return float(rng.uniform(low, high))
