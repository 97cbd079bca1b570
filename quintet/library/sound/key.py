"""Key of a song: the correlation of its mean pitch classes with the profiles of the 24 keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

MAJOR = (1.0, 0.0, 0.4, 0.0, 0.7, 0.4, 0.0, 0.8, 0.0, 0.4, 0.0, 0.4)
MINOR = (1.0, 0.0, 0.4, 0.7, 0.0, 0.4, 0.0, 0.8, 0.4, 0.0, 0.4, 0.1)
"""Weights of the degrees above the tonic, in semitones: the notes of the triad, then those of the scale. The
profiles of Krumhansl and Kessler (1982), Temperley (2007), Albrecht and Shanahan (2013) and Faraldo (2016)
are right less often or as often (`benchmarks/evidence/known_answers.py`); weights that a regression learnt
were not better."""

SHARPNESS = 7.0
"""Factor of the correlations in the confidence. It gives the smallest log loss on GTZAN excerpts below 10 s
and pieces of the demo corpus together."""


class Key(NamedTuple):
    """The key of a song.

    Args:
        name: such as `A minor`.
        runner_up: the second best key.
        confidence: in [0, 1].
    """

    name: str
    runner_up: str
    confidence: float


def key_names() -> list[str]:
    """The 24 keys in the order of `key_correlations`."""
    return [f"{tonic} {mode}" for mode in ("major", "minor") for tonic in PITCH_CLASSES]


def key_correlations(chroma: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Correlation of pitch classes with the profile of every key, `(24,)`.

    Args:
        chroma: strength of the pitch classes C, C#, … B, `(12,)`.
    """
    values = np.asarray(chroma, np.float64)
    centred = values - values.mean()
    norm = float(np.linalg.norm(centred))
    if norm < 1e-12:
        return np.zeros(24)
    result = []
    for profile in (MAJOR, MINOR):
        weights = np.asarray(profile) - np.mean(profile)
        turned = np.stack([np.roll(weights, tonic) for tonic in range(12)])
        result.append(turned @ centred / (norm * np.linalg.norm(weights)))
    return np.concatenate(result)


def find_key(chroma: Sequence[float] | NDArray[np.floating]) -> Key:
    """Key with the largest correlation, and the next.

    The confidence is `exp(7 r) / Σ_k exp(7 r_k)` with the correlations `r_k` of the 24 keys, `r` the
    largest.

    Args:
        chroma: mean strength of the pitch classes C, C#, … B of a song, `(12,)`.

    Example:
        >>> find_key(np.roll(MINOR, 9)).name
        'A minor'
    """
    correlations = key_correlations(chroma)
    first, second = np.argsort(-correlations, kind="stable")[:2]
    shares = np.exp(SHARPNESS * (correlations - correlations[first]))
    confidence = float(1.0 / shares.sum())
    names = key_names()
    return Key(names[first], names[second], round(confidence, 4))
