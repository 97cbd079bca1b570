"""Basic signals of the synthesis: time, periodic waves from tables, envelopes, coloured noise.

A periodic wave is a sum of partials, `x(t) = Σ aₖ sin(2π k f t)`. This sum would be slow for every note. So
one period of each kind of wave is summed once into a table, with as many partials as fit below half the
sample rate (the wave is band-limited, so nothing is aliased), and a note reads the table at its own speed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float64]

RATE = (
    22_050  # Hz, of the whole corpus: if it differed between styles, it would identify them without any music
)
TABLE_SIZE = 2_048
MOST_PARTIALS = 32
VIBRATO_HZ = 5.5

ORGAN_DRAWBARS = (0.8, 1.0, 0.7, 0.6, 0.0, 0.4, 0.0, 0.3)


def hertz(midi: float) -> float:
    """Frequency of a MIDI note number, in Hz: 69 is the A of 440 Hz, 12 more is an octave.

    Example:
        >>> hertz(69), hertz(81)
        (440.0, 880.0)
    """
    return float(440.0 * 2.0 ** ((midi - 69.0) / 12.0))


def seconds(n: int) -> Wave:
    """Time of each of `n` samples, in seconds."""
    return np.arange(n) / RATE


@lru_cache(maxsize=512)
def wave_table(kind: str, partials: int) -> Wave:
    """One period of a wave (and its first sample again, for interpolation), with peak 1.

    Args:
        kind: `saw` (aₖ = 1/k), `square` (odd k, 1/k), `triangle` (odd k, ±1/k²), `organ` (drawbars), `sine`.
        partials: number of partials to sum.

    Returns:
        Shape `(TABLE_SIZE + 1,)`.
    """
    k = np.arange(1, partials + 1)
    is_odd = k % 2 == 1
    amplitudes = {
        "saw": 1.0 / k,
        "square": is_odd / k,
        "triangle": is_odd * (-1.0) ** (k // 2) / k**2,
        "organ": np.pad(ORGAN_DRAWBARS, (0, MOST_PARTIALS))[:partials],
        "sine": (k == 1) * 1.0,
    }
    samples = np.arange(TABLE_SIZE + 1)
    angle = 2 * np.pi * samples / TABLE_SIZE
    period = amplitudes[kind] @ np.sin(np.outer(k, angle))
    return np.asarray(period / np.abs(period).max())


def oscillate(
    kind: str, frequency: float, n: int, *, partials: int = MOST_PARTIALS, vibrato: float = 0.0
) -> Wave:
    """Band-limited periodic wave.

    Args:
        kind: a kind of `wave_table`.
        frequency: Hz.
        n: number of samples.
        partials: largest number of partials. Those above 0.45 of the sample rate are left out.
        vibrato: depth of a modulation of 5.5 Hz, as a share of the frequency.

    Returns:
        Shape `(n,)`.
    """
    fitting = max(1, min(partials, int(0.45 * RATE / frequency)))
    t = seconds(n)
    cycles = frequency * t
    if vibrato:
        depth = frequency * vibrato / (2 * np.pi * VIBRATO_HZ)
        vibrato_phase = 2 * np.pi * VIBRATO_HZ * t
        cycles = cycles + depth * (1 - np.cos(vibrato_phase))
    position = (cycles % 1.0) * TABLE_SIZE
    left = position.astype(np.intp)
    table = wave_table(kind, fitting)
    slope = table[left + 1] - table[left]
    return table[left] + (position - left) * slope


def decay(n: int, half_life_s: float) -> Wave:
    """Envelope that halves every `half_life_s` seconds."""
    return np.asarray(0.5 ** (seconds(n) / half_life_s))


def fade(n: int, *, attack_s: float, release_s: float) -> Wave:
    """Envelope that rises in `attack_s`, stays at 1, and falls to 0 in the last `release_s` seconds.

    Args:
        n: number of samples.
        attack_s: seconds.
        release_s: seconds.

    Example:
        >>> fade(RATE, attack_s=0.5, release_s=0.25)[[0, RATE // 4, RATE // 2, RATE - 1]].round(3).tolist()
        [0.0, 0.5, 1.0, 0.0]
    """
    t = seconds(n)
    rise = t / max(attack_s, 1e-4)
    fall = (t[-1] - t) / max(release_s, 1e-4)
    return np.asarray(np.clip(np.minimum(rise, fall), 0.0, 1.0))


def fast_length(n: int) -> int:
    """Next length of the form 2^a · {5, 6, 8}, for which an FFT is fast.

    Example:
        >>> [fast_length(n) for n in (17, 1_000, 1_024, 1_025)]
        [20, 1024, 1024, 1280]
    """
    power: int = 1 << max(n - 1, 7).bit_length()
    lengths = (power * 5 // 8, power * 6 // 8, power)
    return min(length for length in lengths if length >= n)


def noise_band(n: int, low_hz: float, high_hz: float, rng: np.random.Generator) -> Wave:
    """Noise between two frequencies (slopes of 12 dB per octave outside), with standard deviation 1.

    Args:
        n: number of samples.
        low_hz: lower frequency.
        high_hz: upper frequency.
        rng: source of the noise.
    """
    size = fast_length(n)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    f = np.maximum(frequencies, 1.0)
    high_pass = 1 + (low_hz / f) ** 2
    low_pass = 1 + (f / high_hz) ** 2
    filtered = spectrum / high_pass / low_pass
    wave = np.fft.irfft(filtered, size)[:n]
    return np.asarray(wave / wave.std())
