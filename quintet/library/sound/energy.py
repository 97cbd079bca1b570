"""Energy of a song: how loud, dense and bright it is, by a fixed formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """One part of the energy: a feature, as a share between a low and a high value.

    Args:
        name: what it measures.
        feature: the column; its values are `log10`-transformed if `is_log`.
        low: value that counts 0.
        high: value that counts 1.
        is_log: whether the values are levels (20 log10 of the feature).
        weight: share of the energy.
    """

    name: str
    feature: str
    low: float
    high: float
    is_log: bool
    weight: float


PARTS = (
    Part("loudness, dB re full scale", "temporal.rms.mean", -35.0, -8.0, True, 0.4),
    Part("onsets, mean rise of the bands in dB", "rhythm.onset.mean", 0.4, 2.2, False, 0.35),
    Part("brightness, spectral centroid in Hz", "spectral.centroid.mean", 800.0, 3500.0, False, 0.25),
)
"""Energy = Σ weight · clip((value - low) / (high - low), 0, 1)."""


class Energy(NamedTuple):
    """The energy of a song.

    Args:
        value: in [0, 1].
        confidence: in [0, 1]: 1 minus the spread of its parts.
    """

    value: float
    confidence: float


def find_energy(features: Mapping[str, float]) -> Energy | None:
    """Energy of a song; None if the features lack a part.

    The confidence is `1 - 2 σ`, at least 0, with the weighted standard deviation `σ` of the parts: a song
    that is loud, dense and bright at once is certainly energetic; if its parts disagree, the energy is a
    compromise.

    Args:
        features: feature name → value.

    Example:
        >>> loud = {"temporal.rms.mean": 0.4, "rhythm.onset.mean": 2.2, "spectral.centroid.mean": 3500.0}
        >>> find_energy(loud)
        Energy(value=1.0, confidence=1.0)
    """
    if any(part.feature not in features for part in PARTS):
        return None
    shares = np.array([_share(part, features[part.feature]) for part in PARTS])
    weights = np.array([part.weight for part in PARTS])
    value = float(weights @ shares)
    spread = float(np.sqrt(weights @ (shares - value) ** 2))
    return Energy(round(value, 4), round(max(0.0, 1.0 - 2.0 * spread), 4))


def _share(part: Part, value: float) -> float:
    level = 20 * np.log10(max(value, 1e-10)) if part.is_log else value
    return float(np.clip((level - part.low) / (part.high - part.low), 0.0, 1.0))
