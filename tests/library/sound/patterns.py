"""27 patterns of known tempo, in the style of public reports on half and double tempo.

Hats and bass on every eighth, kick and snare equally strong, reverberation, human timing, and a drift of the
tempo. 17 of them lie at 62-88 BPM, where an estimate that prefers 120 BPM doubles. The sounds and grooves are
made here: nothing of the demo corpus, on which the estimate was adjusted, is in them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RATE = 22050
SECONDS = 24.0

GROOVES = {
    "straight": ("x.......x.......", "....x.......x..."),
    "pushed": ("x.....x.x.......", "....x.......x..."),
    "double kick": ("x...........x.x.", "....x.......x..."),
    "ghosted": ("x.......x.x.....", "....x..o.o..x..o"),
    "late": ("x..x......x.....", "....x.......x..."),
    "floor": ("x...x...x...x...", "....x.......x..."),
}
"""Groove → sixteenths of the kick and of the snare; `o` is a soft hit."""


class Pattern(NamedTuple):
    """A pattern.

    Args:
        bpm: its tempo.
        groove: key of `GROOVES`.
        hats: sixteenths of the hats.
        swing: delay of every second eighth, as a share of an eighth.
        seed: of its sounds and its timing.
    """

    bpm: float
    groove: str
    hats: str = "x.x.x.x.x.x.x.x."
    swing: float = 0.0
    seed: int = 0


_SLOW = (62, 64, 66, 67.5, 69, 70, 72, 73, 75, 76, 78, 80, 81.5, 83, 85, 86, 88)
_OTHER = (92, 97, 103, 110, 118, 124, 128, 136, 150, 170)
_NAMES = tuple(GROOVES)
PATTERNS = tuple(
    Pattern(
        bpm,
        _NAMES[(5 * (k % 2) + k) % 6] if bpm > 90 else _NAMES[k % 5],
        hats="xoxoxoxoxoxoxoxo" if k % 7 == 3 else "x.x.x.x.x.x.x.x.",
        swing=0.2 if k % 6 == 4 else 0.0,
        seed=k,
    )
    for k, bpm in enumerate(_SLOW + _OTHER)
)


def render(pattern: Pattern) -> NDArray[np.float32]:
    """Sound of a pattern, mono, at `RATE`."""
    rng = np.random.default_rng(1000 + pattern.seed)
    n = int(SECONDS * RATE)
    wave = np.zeros(n + RATE)
    kick, snare = GROOVES[pattern.groove]
    root = 40.0 * 2 ** (rng.integers(0, 9) / 12)
    step_s = 15.0 / pattern.bpm
    time_s, step = 0.05, 0
    chord = [2 * root * ratio for ratio in (2.0, 2.4, 3.0)]
    while time_s < SECONDS - 0.3:
        place = step % 16
        late_s = pattern.swing * 2 * step_s if place % 4 == 2 else 0.0
        for line, sound in ((kick, _kick), (snare, _snare), (pattern.hats, _hat)):
            if line[place] != ".":
                level = 1.0 if line[place] == "x" else 0.4
                moment = time_s + late_s + rng.normal(0, 0.006)
                _add(wave, moment, level * rng.uniform(0.85, 1.15) * sound(rng))
        if place % 2 == 0:
            pitch = root * (1.5 if place in (6, 14) else 1.0)
            _add(wave, time_s + late_s + rng.normal(0, 0.006), 0.5 * _tone(pitch * 1.5, 2 * step_s))
        if place == 0:
            for pitch in chord:
                _add(wave, time_s, 0.12 * _tone(pitch, 15 * step_s))
        drift = 1 + 0.006 * np.sin(2 * np.pi * time_s / 17 + pattern.seed)
        time_s += step_s * drift
        step += 1
    tail = rng.normal(size=int(0.5 * RATE)) * np.exp(-np.arange(int(0.5 * RATE)) / (0.12 * RATE))
    size = 1 << (len(wave) + len(tail)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(tail, size), size)[: len(wave)]
    wave += 0.25 * wet * np.abs(wave).max() / np.abs(wet).max()
    return (0.7 * wave[:n] / np.abs(wave[:n]).max()).astype(np.float32)


def _add(wave: NDArray[np.float64], moment_s: float, sound: NDArray[np.float64]) -> None:
    start = max(0, int(moment_s * RATE))
    end = min(len(wave), start + len(sound))
    wave[start:end] += sound[: end - start]


def _times(seconds: float) -> NDArray[np.float64]:
    return np.arange(int(seconds * RATE)) / RATE


def _kick(_: np.random.Generator) -> NDArray[np.float64]:
    t = _times(0.25)
    phase = 2 * np.pi * (50 * t + 70 / 30 * (1 - np.exp(-30 * t)))
    return np.sin(phase) * np.exp(-t / 0.07)


def _snare(rng: np.random.Generator) -> NDArray[np.float64]:
    t = _times(0.22)
    return 0.5 * np.sin(2 * np.pi * 185 * t) * np.exp(-t / 0.05) + 0.5 * rng.normal(size=len(t)) * np.exp(
        -t / 0.06
    )


def _hat(rng: np.random.Generator) -> NDArray[np.float64]:
    t = _times(0.06)
    noise = np.diff(rng.normal(size=len(t) + 2), n=2)
    return 0.12 * noise * np.exp(-t / 0.015)


def _tone(pitch: float, seconds: float) -> NDArray[np.float64]:
    t = _times(seconds)
    harmonics = sum(np.sin(2 * np.pi * pitch * k * t) / k**1.5 for k in range(1, 6))
    return harmonics * np.minimum(1, t / 0.008) * np.exp(-t / (0.6 * seconds))
