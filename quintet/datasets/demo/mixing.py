"""The desk and the room: equaliser, reverberation by convolution, tape, level.

Equaliser and room are both filters, so both are applied in one go in the frequency domain: `Y = X · E · (1 + m R)`, where `E` is
the equaliser's gain, `R` the spectrum of the room's impulse response and `m` how much of it is heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.demo.sound import RATE, Wave, fast_length, noise_band, seconds

EQ_BANDS = (60.0, 150.0, 400.0, 1_000.0, 2_500.0, 6_000.0, 10_000.0)  # Hz


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """An impulse response of unit energy, and how much of it is mixed in."""

    response: Wave
    amount: float


def draw_room(rng: np.random.Generator) -> Room:
    """A room: noise that dies away in 0.15 to 1.8 s, its treble faster, after a gap of 5 to 30 ms."""
    decay_s, gap = float(np.exp(rng.uniform(np.log(0.15), np.log(1.8)))), int(rng.uniform(0.005, 0.03) * RATE)
    n = int(decay_s * RATE)
    dull = rng.uniform(1_500, 6_000)
    bright, dark = noise_band(n, 150, 9_000, rng), noise_band(n, 150, dull, rng)
    t = seconds(n) / decay_s
    response = np.concatenate([np.zeros(gap), (bright * (1 - t) + dark * t) * 10 ** (-3 * t)])
    return Room(response / np.sqrt(np.sum(response**2)), rng.uniform(0.05, 0.6))


def filter_gain(n: int, eq_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """The equaliser's gain at the frequencies of an FFT of length `n`: straight lines in dB between the bands on a log axis."""
    f = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20.0)
    return np.asarray(10 ** (np.interp(np.log(f), np.log(EQ_BANDS), eq_db) / 20))


def apply_eq_and_room(wave: Wave, eq_db: NDArray[np.float64], room: Room) -> Wave:
    """The wave equalised and in its room; same length (the tail after the end is cut)."""
    n = fast_length(len(wave) + len(room.response))
    spectrum = (
        np.fft.rfft(wave, n) * filter_gain(n, eq_db) * (1 + room.amount * np.fft.rfft(room.response, n))
    )
    return np.asarray(np.fft.irfft(spectrum, n)[: len(wave)])


def saturate_and_quantise(
    wave: Wave, *, drive: float, hiss_db: float, rms_db: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Saturation, hiss, a level, 16 bits. Samples that would not fit are turned down with everything else."""
    loud = wave / wave.std()
    saturated = np.tanh(0.35 * drive * loud)
    music = saturated / saturated.std()
    noisy = music + 10 ** (hiss_db / 20) * rng.standard_normal(len(wave))
    scaled = noisy * min(10 ** (rms_db / 20), 0.98 / np.abs(noisy).max())
    return np.asarray(np.round(scaled * 32_767), np.int16)
