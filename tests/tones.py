"""Tones of two classes, `low` and `high`, and a small model of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import quintet
from quintet.training.settings import TrainSettings

RATE = 8000
PARAMETERS = quintet.FeatureParameters(feature_set="bahuleyan2018", families=("temporal", "spectral"))


def write_tone(path: Path, k: int, *, seconds: float = 0.6, rate: int = RATE) -> Path:
    """Write a tone in noise; of eight pitches, and every `k` with other noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(k).normal(size=len(t))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 90 * (k % 8)) * t) + 0.02 * noise, rate)
    return path


def train_on_tones(
    root: Path,
    members: tuple[str, ...] = ("logistic_regression",),
    settings: dict[str, dict[str, Any]] | None = None,
) -> None:
    """Write eight tones into `root/data`, and train `root/model` on them.

    Args:
        root: folder for them.
        members: names of the members.
        settings: their settings.
    """
    for k in range(8):
        write_tone(root / "data" / ("low", "high")[k % 2] / f"{k}.wav", k)
    manifest = quintet.load_source(root / "data")
    quintet.extract(manifest, root / "f.parquet", parameters=PARAMETERS, n_jobs=0)
    training = TrainSettings(
        members=members, settings=settings or {}, folds=2, rules=("mean",), rule="mean", resamples=0
    )
    quintet.train(root / "f.parquet", root / "model", settings=training)
