"""Drum kits of eight short waves: swept sines for drum heads, bands of noise for metal and wires."""

from __future__ import annotations

import numpy as np

from quintet.datasets.demo.sound import RATE, Wave, decay, noise_band, seconds

Kit = dict[str, Wave]


def skin(low_hz: float, sweep: float, half_life_s: float) -> Wave:
    """A drum head: a decaying sine that falls from `sweep * low_hz` to `low_hz`.

    Args:
        low_hz: final frequency.
        sweep: initial frequency divided by the final one.
        half_life_s: half-life of the decay, seconds.
    """
    n = int(6 * half_life_s * RATE)
    excess = (sweep - 1) * decay(n, 0.015)
    frequency = low_hz * (1 + excess)
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return np.asarray(np.sin(phase) * decay(n, half_life_s))


def wires(low_hz: float, high_hz: float, half_life_s: float, rng: np.random.Generator) -> Wave:
    """A decaying burst of noise between two frequencies.

    Args:
        low_hz: lower frequency.
        high_hz: upper frequency.
        half_life_s: half-life of the decay, seconds.
        rng: source of the noise.
    """
    n = int(6 * half_life_s * RATE)
    return 0.35 * noise_band(n, low_hz, high_hz, rng) * decay(n, half_life_s)


def mix(*waves: Wave) -> Wave:
    """Sum of waves of different length."""
    out = np.zeros(max(map(len, waves)))
    for wave in waves:
        out[: len(wave)] += wave
    return out


def clap(tone_hz: float, rng: np.random.Generator) -> Wave:
    """Four bursts at slightly different times, like four people who clap.

    Args:
        tone_hz: centre of the noise band.
        rng: source of the noise.
    """
    out = np.zeros(int(0.2 * RATE))
    for start_s in (0.0, 0.011, 0.021, 0.032):
        half_life_s = 0.02 if start_s > 0.03 else 0.004
        burst = wires(0.6 * tone_hz, 1.8 * tone_hz, half_life_s, rng)
        start = int(start_s * RATE)
        length = min(len(burst), len(out) - start)
        out[start : start + length] += burst[:length]
    return out


def drum_kit(rng: np.random.Generator) -> Kit:
    """Draw the drum kit of an artist: every size, tension and thickness once, in a fixed order."""
    shell_hz = rng.uniform(150, 240)
    metal_hz = rng.uniform(4_500, 8_000)
    snare_head = 0.5 * skin(shell_hz, 1.3, rng.uniform(0.03, 0.07))
    snare_wires = wires(rng.uniform(900, 2_500), 9_000, rng.uniform(0.03, 0.09), rng)
    shaker = wires(metal_hz * 0.8, 10_000, 0.02, rng)
    shaker_attack = np.clip(seconds(len(shaker)) / 0.02, 0, 1)
    kick = skin(rng.uniform(42, 65), rng.uniform(2.5, 6), rng.uniform(0.05, 0.14))
    rim = mix(0.6 * skin(rng.uniform(380, 600), 1.2, 0.012), wires(1_500, 6_000, 0.008, rng))
    return {
        "kick": kick,
        "snare": mix(snare_head, snare_wires),
        "rim": rim,
        "clap": clap(rng.uniform(1_000, 1_800), rng),
        "hat": 0.6 * wires(metal_hz, 10_500, rng.uniform(0.012, 0.03), rng),
        "open": 0.5 * wires(metal_hz * 0.9, 10_500, rng.uniform(0.08, 0.16), rng),
        "shaker": 0.6 * shaker * shaker_attack,
        "tom": skin(rng.uniform(85, 130), 1.6, 0.1),
    }
