"""Augmentation of waveforms: pitch shift, time stretch, noise, gain. For training parts only, and only after the split.

Whoever calls this sees to that (`features/copies.py` makes copies of training clips alone); here are the transformations.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from quintet.audio.clip import Clip

Range = tuple[float, float]


class AudioAugmentation(BaseModel):
    """What is done to each augmented copy of a training clip; what is not named is off.

    Args:
        copies: of each training clip.
        pitch_shift: ranges of semitones, one of which is drawn in proportion to its width: `[[-9, -5], [5, 9]]`.
        time_stretch: slowest and fastest rate; 2 is twice as fast.
        noise_db: lowest and highest signal-to-noise ratio of white noise, dB.
        gain_db: lowest and highest gain, dB.

    Raises:
        ValueError: a range that falls, a rate that is not positive, or nothing to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    copies: int = Field(default=1, ge=1)
    pitch_shift: tuple[Range, ...] = ()
    time_stretch: Range | None = None
    noise_db: Range | None = None
    gain_db: Range | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        ranges = {"time_stretch": self.time_stretch, "noise_db": self.noise_db, "gain_db": self.gain_db}
        given = [(name, r) for name, r in ranges.items() if r is not None] + [
            ("pitch_shift", r) for r in self.pitch_shift
        ]
        if not given:
            raise ValueError(
                "An augmentation must do something. Received none of: pitch_shift, time_stretch, noise_db, gain_db."
            )
        for name, (low, high) in given:
            if not low <= high or (name == "time_stretch" and low <= 0):
                raise ValueError(
                    f"{name} must be a range from low to high{' above 0' if name == 'time_stretch' else ''}. Received {low}, {high}."
                )
        return self


def augment_clip(clip: Clip, augmentation: AudioAugmentation, rng: np.random.Generator) -> Clip:
    """One augmented copy of a clip: shifted, stretched, with noise and gain, in this order, by amounts that `rng` draws.

    Example:
        >>> clip = Clip(np.ones(100, np.float32), sample_rate=100, id="a")
        >>> louder = augment_clip(clip, AudioAugmentation(gain_db=(20, 20)), np.random.default_rng(0))
        >>> float(louder.samples[0]), louder.sample_rate, louder.id
        (10.0, 100, 'a')
    """
    samples = np.asarray(clip.samples, dtype=np.float32)
    if augmentation.pitch_shift:
        samples = pitch_shift(samples, _drawn(augmentation.pitch_shift, rng), sample_rate=clip.sample_rate)
    if augmentation.time_stretch:
        samples = time_stretch(samples, rng.uniform(*augmentation.time_stretch))
    if augmentation.noise_db:
        samples = add_noise(samples, rng.uniform(*augmentation.noise_db), rng)
    if augmentation.gain_db:
        samples = samples * np.float32(10.0 ** (rng.uniform(*augmentation.gain_db) / 20.0))
    return Clip(samples, clip.sample_rate, clip.id)


def pitch_shift(samples: NDArray[np.float32], semitones: float, *, sample_rate: int) -> NDArray[np.float32]:
    """The same length, `semitones` higher (or lower), by librosa's phase vocoder."""
    from librosa.effects import pitch_shift

    return np.asarray(
        pitch_shift(samples, sr=sample_rate, n_steps=semitones, res_type="soxr_hq"), dtype=np.float32
    )


def time_stretch(samples: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    """The same pitch, `rate` times as fast: about `n / rate` samples, by librosa's phase vocoder."""
    from librosa.effects import time_stretch

    return np.asarray(time_stretch(samples, rate=rate), dtype=np.float32)


def add_noise(samples: NDArray[np.float32], snr_db: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """White noise `snr_db` below the power of the clip added; silence stays silent."""
    deviation = np.sqrt(np.mean(samples.astype(np.float64) ** 2)) * 10.0 ** (-snr_db / 20.0)
    return samples + rng.normal(0.0, deviation, len(samples)).astype(np.float32)


def _drawn(ranges: tuple[Range, ...], rng: np.random.Generator) -> float:
    """A number from several ranges, one as likely as the next."""
    widths = np.array([high - low for low, high in ranges]) + 1e-9
    low, high = ranges[int(rng.choice(len(ranges), p=widths / widths.sum()))]
    return float(rng.uniform(low, high))
