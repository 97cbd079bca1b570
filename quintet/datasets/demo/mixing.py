"""Mixing: equaliser, reverberation by convolution, saturation, level.

Equaliser and room are both filters, so both are applied at once in the frequency domain: `Y = X · E · (1 + m
R)`, where `E` is the gain of the equaliser, `R` the spectrum of the room's impulse response and `m` the
amount of reverberation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.datasets.demo.sound import RATE, Wave, fast_length, noise_band, seconds

EQ_BANDS = (60.0, 150.0, 400.0, 1_000.0, 2_500.0, 6_000.0, 10_000.0)  # Hz


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Reverberation of a room.

    Args:
        response: impulse response of unit energy.
        amount: share of it that is mixed in.
    """

    response: Wave
    amount: float


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a room: noise that decays in 0.15 to 1.8 s, its treble faster, after a gap of 5 to 30 ms."""
    log_decay = rng.uniform(np.log(0.15), np.log(1.8))
    decay_s = float(np.exp(log_decay))
    gap = int(rng.uniform(0.005, 0.03) * RATE)
    n = int(decay_s * RATE)
    dark_hz = rng.uniform(1_500, 6_000)
    bright = noise_band(n, 150, 9_000, rng)
    dark = noise_band(n, 150, dark_hz, rng)
    t = seconds(n) / decay_s
    noise = bright * (1 - t) + dark * t
    tail = noise * 10 ** (-3 * t)
    response = np.concatenate([np.zeros(gap), tail])
    energy = np.sum(response**2)
    return Room(response / np.sqrt(energy), rng.uniform(0.05, 0.6))


def filter_gain(n: int, eq_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain of the equaliser at the frequencies of an FFT.

    Between the bands it is linear in dB on a log frequency axis.

    Args:
        n: length of the FFT.
        eq_db: gain at `EQ_BANDS`, dB.

    Returns:
        Factors of the amplitude, shape `(n // 2 + 1,)`.
    """
    f = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20.0)
    gain_db = np.interp(np.log(f), np.log(EQ_BANDS), eq_db)
    return np.asarray(10 ** (gain_db / 20))


def apply_eq_and_room(wave: Wave, eq_db: NDArray[np.float64], room: Room) -> Wave:
    """Equalise a wave and add the reverberation of a room.

    Args:
        wave: shape `(n,)`.
        eq_db: gain at `EQ_BANDS`, dB.
        room: the room.

    Returns:
        Shape `(n,)`; the reverberation after the end is cut.
    """
    n = fast_length(len(wave) + len(room.response))
    response = np.fft.rfft(room.response, n)
    reverberation = 1 + room.amount * response
    spectrum = np.fft.rfft(wave, n)
    filtered = spectrum * filter_gain(n, eq_db) * reverberation
    whole = np.fft.irfft(filtered, n)
    return np.asarray(whole[: len(wave)])


def saturate_and_quantise(
    wave: Wave, *, drive: float, hiss_db: float, rms_db: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Add saturation and hiss, set the level, and round to 16 bits.

    Args:
        wave: shape `(n,)`.
        drive: strength of the saturation.
        hiss_db: level of the noise relative to the music, dB.
        rms_db: level of the result, dB re full scale. It is lowered if a sample would not fit.
        rng: source of the hiss.
    """
    normalised = wave / wave.std()
    saturated = np.tanh(0.35 * drive * normalised)
    music = saturated / saturated.std()
    hiss_gain = 10 ** (hiss_db / 20)
    noisy = music + hiss_gain * rng.standard_normal(len(wave))
    loudest = np.abs(noisy).max()
    gain = min(10 ** (rms_db / 20), 0.98 / loudest)
    steps = np.round(noisy * gain * 32_767)
    return np.asarray(steps, np.int16)
