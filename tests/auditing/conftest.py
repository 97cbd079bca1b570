"""Small sounds made with numpy: melodies of random tones, noise bursts, drums."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

RATE = 44100


def melody(seed: int, *, seconds: float = 4.0, rate: int = RATE) -> NDArray[np.float64]:
    """Random tones with harmonics, eight a second, over faint noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    out = 0.002 * rng.normal(size=len(t))
    for start in np.arange(0, seconds, 0.125) + rng.uniform(0, 0.03, int(np.ceil(seconds / 0.125))):
        pitch = 220 * 2 ** (rng.integers(0, 36) / 12 + rng.normal(0, 0.01))
        note = slice(round(start * rate), round((start + 1.5) * rate))
        gate = np.exp(-(t[note] - start) * rng.uniform(4, 12))
        out[note] += (
            rng.uniform(0.05, 0.15)
            * gate
            * sum(np.sin(2 * np.pi * h * pitch * t[note]) / h for h in (1, 2, 3))
        )
    return 0.3 * out / np.abs(out).max()


def bursts(seed: int, *, seconds: float = 2.0, rate: int = RATE) -> NDArray[np.float64]:
    """Noise that decays after each of a few random strokes."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    out = np.zeros(len(t))
    for start in np.sort(rng.uniform(0, 0.8 * seconds, 5)):
        out += rng.normal(size=len(t)) * (t >= start) * np.exp(-np.maximum(t - start, 0) * rng.uniform(5, 20))
    return 0.3 * out / np.abs(out).max()


def kick(seed: int, *, seconds: float = 1.0, rate: int = RATE) -> NDArray[np.float64]:
    """A sine that glides down and dies away, after a click."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    low, glide, fall = rng.uniform(40, 70), rng.uniform(60, 150), rng.uniform(6, 14)
    phase = 2 * np.pi * (low * t + glide * (1 - np.exp(-t * 18)) / 18)
    click = rng.normal(size=len(t)) * np.exp(-t * 300)
    return 0.4 * np.sin(phase) * np.exp(-t * fall) + 0.1 * click + 1e-5 * rng.normal(size=len(t))


@pytest.fixture(scope="session")
def sounds() -> dict[str, NDArray[np.float64]]:
    """Fourteen different short recordings at 44.1 kHz."""
    return {
        **{f"melody{k}": melody(k) for k in range(6)},
        **{f"bursts{k}": bursts(k) for k in range(4)},
        **{f"kick{k}": kick(k) for k in range(4)},
    }
