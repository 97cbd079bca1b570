"""Pitched instruments, by four kinds of synthesis.

- *Subtractive* (bass, brass, strings, lead): a wave rich in partials that becomes darker with time. The
  moving filter is a cross-fade from a table with many partials to one with few.
- *Additive* (organ): partials set by drawbars.
- *FM* (electric piano, vibraphone): `sin(2π f t + i(t) sin(2π r f t))`. The index `i` decays, so the tone
  starts bright (Chowning 1973).
- *Karplus-Strong* (guitars): a burst of noise in a delay line of one period that averages its neighbours on
  each round. The high partials decay first, as on a string (Karplus & Strong 1983).

Every instrument is a function `(frequency_hz, n, rng) -> wave` with peak near 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quintet.datasets.demo.sound import RATE, Wave, decay, fade, oscillate, seconds

Instrument = Callable[[float, int, np.random.Generator], Wave]


def _string(frequency: float, n: int, rng: np.random.Generator, *, loss: float, soften: int) -> Wave:
    """Karplus-Strong string.

    Args:
        frequency: Hz.
        n: number of samples.
        rng: source of the noise.
        loss: factor per round.
        soften: rounds of averaging before the first sample, for a softer pluck.
    """
    period = max(2, round(RATE / frequency))
    # averaging two neighbours delays by half a sample; without the correction every string is flat
    speed = frequency * (period + 0.5) / RATE
    rounds = int(np.ceil(n * speed / period)) + 1
    line = rng.uniform(-1, 1, period)
    for _ in range(soften):
        line = 0.5 * (line + np.roll(line, 1))
    line -= line.mean()
    lines = np.empty((rounds, period))
    for k in range(rounds):
        lines[k] = line
        shifted = np.concatenate((line[-1:], line[:-1]))
        line = loss * 0.5 * (line + shifted)
    wave = lines.ravel()
    tuned = np.interp(np.arange(n) * speed, np.arange(len(wave)), wave)
    return np.asarray(tuned / np.abs(wave).max())


def guitar(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A steel string."""
    return _string(frequency, n, rng, loss=0.997, soften=1) * fade(n, attack_s=0.001, release_s=0.03)


def muted_guitar(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A string that is damped with the palm of the hand."""
    return _string(frequency, n, rng, loss=0.96, soften=2) * fade(n, attack_s=0.001, release_s=0.02)


def nylon_guitar(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A soft string, plucked with the finger."""
    return _string(frequency, n, rng, loss=0.992, soften=6) * fade(n, attack_s=0.003, release_s=0.04)


def overdriven_guitar(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A string and its fifth with the distortion of an overdriven amplifier."""
    root = _string(frequency, n, rng, loss=0.999, soften=2)
    fifth = _string(frequency * 1.5, n, rng, loss=0.999, soften=2)
    strings = root + 0.6 * fifth
    distorted = np.tanh(4 * strings) * 0.8
    return np.asarray(distorted * fade(n, attack_s=0.002, release_s=0.03))


def organ(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A drawbar organ with a slow rotor."""
    return oscillate("organ", frequency, n, vibrato=0.002) * fade(n, attack_s=0.01, release_s=0.03)


def electric_piano(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """FM with a tine: ratio 1 for the body, ratio 14 for the knock."""
    t = seconds(n)
    phase = 2 * np.pi * frequency * t
    index = 1.2 * decay(n, 0.25)
    body = np.sin(phase + index * np.sin(phase))
    tine_hz = min(14 * frequency, 0.4 * RATE)
    tine_phase = 2 * np.pi * tine_hz * t
    tine = 0.15 * decay(n, 0.03) * np.sin(tine_phase)
    envelope = fade(n, attack_s=0.002, release_s=0.04)
    return np.asarray((body + tine) * decay(n, 0.5) * envelope)


def vibraphone(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """FM with an inharmonic ratio, and a tremolo."""
    t = seconds(n)
    index = 1.5 * decay(n, 0.08)
    modulator_phase = 2 * np.pi * 3.98 * frequency * t
    modulation = index * np.sin(modulator_phase)
    phase = 2 * np.pi * frequency * t
    bar = np.sin(phase + modulation)
    tremolo_phase = 2 * np.pi * 5 * t
    tremolo = 0.85 + 0.15 * np.sin(tremolo_phase)
    envelope = fade(n, attack_s=0.001, release_s=0.05)
    return np.asarray(bar * decay(n, 0.4) * tremolo * envelope)


def brass(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A brass section that becomes brighter as it swells."""
    brightness = np.clip(seconds(n) / 0.08, 0, 1)
    bright = oscillate("saw", frequency, n, vibrato=0.003)
    dark = oscillate("saw", frequency, n, partials=4, vibrato=0.003)
    mixed = brightness * bright + (1 - brightness) * dark
    return mixed * fade(n, attack_s=0.03, release_s=0.05)


def strings(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """Three saws a few cents apart, with a slow start and a slow end."""
    voices = []
    for cents in (-8, 1, 9):
        detuned = frequency * 2 ** (cents / 1200)
        voices.append(oscillate("saw", detuned, n, partials=14, vibrato=0.002))
    mean = np.mean(voices, axis=0)
    return np.asarray(mean * fade(n, attack_s=0.12, release_s=0.15))


def pad(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A soft pad: two dark waves that beat against each other."""
    lower = oscillate("triangle", frequency * 0.997, n)
    upper = oscillate("saw", frequency * 1.003, n, partials=5)
    return 0.5 * (lower + upper) * fade(n, attack_s=0.25, release_s=0.3)


def lead(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A square wave with vibrato."""
    wave = 0.8 * oscillate("square", frequency, n, partials=16, vibrato=0.005)
    return wave * fade(n, attack_s=0.01, release_s=0.04)


def flute(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """Nearly a sine, with the noise of breath."""
    breath = 0.03 * rng.standard_normal(n)
    tone = oscillate("triangle", frequency, n, partials=3, vibrato=0.006)
    return (tone + breath) * fade(n, attack_s=0.05, release_s=0.06)


def synth_bass(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A saw whose filter closes."""
    brightness = decay(n, 0.07)
    bright = oscillate("saw", frequency, n)
    dark = oscillate("saw", frequency, n, partials=3)
    mixed = brightness * bright + (1 - brightness) * dark
    return mixed * fade(n, attack_s=0.003, release_s=0.02)


def finger_bass(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A thick string with a stronger fundamental."""
    string = _string(frequency, n, rng, loss=0.99, soften=10)
    fundamental = 0.6 * oscillate("sine", frequency, n) * decay(n, 0.4)
    return (0.6 * string + fundamental) * fade(n, attack_s=0.004, release_s=0.03)


def sub_bass(frequency: float, n: int, rng: np.random.Generator) -> Wave:
    """A sine with slight distortion."""
    distorted = np.tanh(1.5 * oscillate("sine", frequency, n))
    return np.asarray(distorted * fade(n, attack_s=0.01, release_s=0.04))


INSTRUMENTS: dict[str, Instrument] = {
    "guitar": guitar,
    "muted_guitar": muted_guitar,
    "nylon_guitar": nylon_guitar,
    "overdriven_guitar": overdriven_guitar,
    "organ": organ,
    "electric_piano": electric_piano,
    "vibraphone": vibraphone,
    "brass": brass,
    "strings": strings,
    "pad": pad,
    "lead": lead,
    "flute": flute,
    "synth_bass": synth_bass,
    "finger_bass": finger_bass,
    "sub_bass": sub_bass,
}
