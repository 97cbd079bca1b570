"""A fitted network as files: weights by Keras, statistics as arrays, history as JSON; the architecture is our own code."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.classifiers.spectrogram.pooling import Neighbours


def write_network(estimator: SpectrogramClassifier, folder: Path) -> dict[str, Any]:
    """The weights, statistics and history of a fitted network into `folder`; what `member.json` must add."""
    estimator.fitted_network().save_weights(folder / "network.weights.h5")
    near = estimator.neighbours_
    arrays: dict[str, Any] = {
        "mean": estimator.mean_,
        "std": estimator.std_,
        "validation": estimator.validation_,
    }
    if near is not None:
        arrays |= {
            "neighbour_scores": near.scores,
            "neighbour_codes": near.codes,
            "neighbour_k": np.array(near.k),
        }
    np.savez(folder / "statistics.npz", **arrays)
    history = [
        {name: None if math.isnan(value) else value for name, value in row.items()}
        for row in estimator.history_
    ]
    return {
        "n_mels": estimator.n_mels_,
        "best_epoch": estimator.best_epoch_,
        "weights_sha256": _digest(estimator.weights_),
        "history": history,
    }


def read_network(estimator: SpectrogramClassifier, folder: Path, head: dict[str, Any]) -> None:
    """What `write_network` wrote, put into `estimator`, whose settings and classes are already in place."""
    arrays = _arrays(folder / "statistics.npz")
    estimator.n_mels_, estimator.best_epoch_ = int(head["n_mels"]), int(head["best_epoch"])
    estimator.mean_, estimator.std_, estimator.validation_ = (
        arrays["mean"],
        arrays["std"],
        arrays["validation"],
    )
    if estimator.mean_.shape != (estimator.n_mels_, 1) or estimator.std_.shape != (estimator.n_mels_, 1):
        raise ValueError(f"statistics.npz must hold {estimator.n_mels_} bands")
    estimator.neighbours_ = None
    if estimator.pooling == "knn":
        estimator.neighbours_ = _neighbours(arrays, len(estimator.classes_))
    estimator.history_ = [
        {name: math.nan if value is None else value for name, value in row.items()} for row in head["history"]
    ]
    model = estimator.new_network(pretrained=False)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # Keras only warns of weights that it does not find, and keeps fresh ones: the digest says so
        model.load_weights(folder / "network.weights.h5")
    estimator.weights_, estimator._model = model.get_weights(), model
    if _digest(estimator.weights_) != head["weights_sha256"]:
        raise ValueError("network.weights.h5 does not hold the weights that member.json names")


def _neighbours(arrays: dict[str, NDArray[Any]], n_classes: int) -> Neighbours:
    scores, codes, k = arrays["neighbour_scores"], arrays["neighbour_codes"], int(arrays["neighbour_k"])
    if (
        scores.shape != (len(codes), n_classes)
        or not 1 <= k <= len(codes)
        or codes.min() < 0
        or codes.max() >= n_classes
    ):
        raise ValueError("statistics.npz must hold neighbours of these classes")
    return Neighbours(scores, codes, k)


def _digest(arrays: Sequence[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
