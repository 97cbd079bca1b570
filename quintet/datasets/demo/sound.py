"""Raw material: time, periodic waves from tables, envelopes, coloured noise.

A periodic wave is a sum of partials, `x(t) = Σ aₖ sin(2π k f t)`. Summing it for every note would be slow, so one period of each
kind of wave is summed once into a table, with as many partials as fit below half the sample rate (nothing folds back: the
wave is band-limited), and a note reads the table at its own speed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]

RATE = 22_050  # Hz, of the whole corpus: a rate that differed between styles would tell them apart without any music
TABLE_SIZE = 2_048
MOST_PARTIALS = 32

ORGAN_DRAWBARS = (0.8, 1.0, 0.7, 0.6, 0.0, 0.4, 0.0, 0.3)


def hertz(midi: float) -> float:
    """The frequency of a MIDI note number: 69 is the A of 440 Hz, 12 more is an octave.

    Example:
        >>> hertz(69), hertz(81)
        (440.0, 880.0)
    """
    return float(440.0 * 2.0 ** ((midi - 69.0) / 12.0))


def seconds(n: int) -> Wave:
    """The time of each of `n` samples."""
    return np.arange(n) / RATE


@lru_cache(maxsize=512)
def wave_table(kind: str, partials: int) -> Wave:
    """One period of a wave (and its first sample again, for interpolation), with peak 1.

    Args:
        kind: `saw` (aₖ = 1/k), `square` (odd k, 1/k), `triangle` (odd k, ±1/k²), `organ` (drawbars), `sine`.
        partials: how many to sum.
    """
    k = np.arange(1, partials + 1)
    odd = k % 2 == 1
    amplitudes = {
        "saw": 1.0 / k,
        "square": odd / k,
        "triangle": odd * (-1.0) ** (k // 2) / k**2,
        "organ": np.pad(ORGAN_DRAWBARS, (0, MOST_PARTIALS))[:partials],
        "sine": (k == 1) * 1.0,
    }[kind]
    angle = 2 * np.pi * np.arange(TABLE_SIZE + 1) / TABLE_SIZE
    period = amplitudes @ np.sin(np.outer(k, angle))
    return np.asarray(period / np.abs(period).max())


def oscillate(
    kind: str, frequency: float, n: int, *, partials: int = MOST_PARTIALS, vibrato: float = 0.0
) -> Wave:
    """`n` samples of a wave at `frequency` Hz, band-limited; `vibrato` is the depth of a 5.5 Hz wobble as a share of the frequency."""
    fitting = max(1, min(partials, int(0.45 * RATE / frequency)))
    t = seconds(n)
    cycles = frequency * t
    if vibrato:
        cycles = cycles + frequency * vibrato / (2 * np.pi * 5.5) * (1 - np.cos(2 * np.pi * 5.5 * t))
    position = (cycles % 1.0) * TABLE_SIZE
    left = position.astype(np.intp)
    table = wave_table(kind, fitting)
    return table[left] + (position - left) * (table[left + 1] - table[left])


def decay(n: int, half_life_s: float) -> Wave:
    """An envelope that halves every `half_life_s` seconds."""
    return np.asarray(0.5 ** (seconds(n) / half_life_s))


def fade(n: int, *, attack_s: float, release_s: float) -> Wave:
    """An envelope that rises in `attack_s`, stays at 1, and falls to 0 in the last `release_s` seconds.

    Example:
        >>> fade(RATE, attack_s=0.5, release_s=0.25)[[0, RATE // 4, RATE // 2, RATE - 1]].round(3).tolist()
        [0.0, 0.5, 1.0, 0.0]
    """
    t = seconds(n)
    return np.asarray(
        np.clip(np.minimum(t / max(attack_s, 1e-4), (t[-1] - t) / max(release_s, 1e-4)), 0.0, 1.0)
    )


def fast_length(n: int) -> int:
    """The next length of the form 2^a · {5, 6, 8}, which an FFT takes quickly.

    Example:
        >>> [fast_length(n) for n in (17, 1_000, 1_024, 1_025)]
        [20, 1024, 1024, 1280]
    """
    power: int = 1 << max(n - 1, 7).bit_length()
    return min(length for length in (power * 5 // 8, power * 6 // 8, power) if length >= n)


def noise_band(n: int, low_hz: float, high_hz: float, rng: np.random.Generator) -> Wave:
    """Noise between two frequencies (slopes of 12 dB per octave outside), with standard deviation 1."""
    size = fast_length(n)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    f = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1.0)
    wave = np.fft.irfft(spectrum / (1 + (low_hz / f) ** 2) / (1 + (f / high_hz) ** 2), size)[:n]
    return np.asarray(wave / wave.std())
