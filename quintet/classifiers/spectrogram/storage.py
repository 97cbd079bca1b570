"""Storage of a fitted network: weights in Keras' format, statistics as arrays, history as JSON.

The architecture is not stored: our own code builds it from the settings.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TypedDict

import numpy as np

from quintet.classifiers.array_files import StoredArray, arrays_digest, read_arrays
from quintet.classifiers.spectrogram.checkpoint import EpochRow
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.classifiers.spectrogram.pooling import Neighbours
from quintet.files.json_types import JsonObject

JsonRow = dict[str, float | None]
"""Row of the history; None stands for NaN."""


class NetworkHead(TypedDict):
    """Content that a network adds to `member.json`."""

    n_mels: int
    best_epoch: int
    weights_sha256: str
    history: list[JsonRow]


def write_network(estimator: SpectrogramClassifier, folder: Path) -> NetworkHead:
    """Write weights and statistics of a fitted network; return its part of `member.json`."""
    estimator.fitted_network().save_weights(folder / "network.weights.h5")
    arrays: dict[str, StoredArray] = {
        "mean": estimator.mean_,
        "std": estimator.std_,
        "validation": estimator.validation_,
    }
    neighbours = estimator.neighbours_
    if neighbours is not None:
        arrays["neighbour_scores"] = neighbours.scores
        arrays["neighbour_codes"] = neighbours.codes
        arrays["neighbour_k"] = np.array(neighbours.k)
    np.savez(folder / "statistics.npz", **arrays)  # type: ignore[arg-type]
    return {
        "n_mels": estimator.n_mels_,
        "best_epoch": estimator.best_epoch_,
        "weights_sha256": arrays_digest(estimator.weights_),
        "history": [_without_nan(row) for row in estimator.history_],
    }


def read_network(estimator: SpectrogramClassifier, folder: Path, head: JsonObject) -> None:
    """Read what `write_network` wrote into `estimator`, which already has its settings and classes.

    Raises:
        ValueError: if the files do not fit each other.
    """
    arrays = read_arrays(folder / "statistics.npz")
    estimator.n_mels_, estimator.best_epoch_ = int(head["n_mels"]), int(head["best_epoch"])
    estimator.mean_ = arrays["mean"].astype(np.float32)
    estimator.std_ = arrays["std"].astype(np.float32)
    estimator.validation_ = arrays["validation"].astype(np.int64)
    shape = (estimator.n_mels_, 1)
    if estimator.mean_.shape != shape or estimator.std_.shape != shape:
        raise ValueError(f"statistics.npz must hold {estimator.n_mels_} bands")
    estimator.neighbours_ = None
    if estimator.pooling == "knn":
        estimator.neighbours_ = _read_neighbours(arrays, len(estimator.classes_))
    estimator.history_ = [_with_nan(row) for row in head["history"]]
    model = estimator.new_network(pretrained=False)
    with warnings.catch_warnings():
        # If the file lacks some weights, Keras only warns and keeps the initial ones. The digest
        # detects that.
        warnings.simplefilter("ignore")
        model.load_weights(folder / "network.weights.h5")
    estimator.keep_network(model)
    if arrays_digest(estimator.weights_) != head["weights_sha256"]:
        raise ValueError("network.weights.h5 does not hold the weights that member.json names")


def _read_neighbours(arrays: dict[str, StoredArray], n_classes: int) -> Neighbours:
    scores = arrays["neighbour_scores"].astype(np.float64)
    codes = arrays["neighbour_codes"].astype(np.int64)
    k = int(arrays["neighbour_k"].astype(np.int64))
    fits = scores.shape == (len(codes), n_classes) and 1 <= k <= len(codes)
    if not fits or codes.min() < 0 or codes.max() >= n_classes:
        raise ValueError("statistics.npz must hold neighbours of these classes")
    return Neighbours(scores, codes, k)


def _without_nan(row: EpochRow) -> JsonRow:
    return {name: None if math.isnan(value) else value for name, value in row.items()}


def _with_nan(row: JsonRow) -> EpochRow:
    return {name: math.nan if value is None else value for name, value in row.items()}
