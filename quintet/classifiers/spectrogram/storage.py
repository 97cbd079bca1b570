"""Storage of a fitted network: weights in Keras' format, statistics as arrays, history as JSON.

The architecture is not stored: our own code builds it from the settings.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np

from quintet.classifiers.array_files import StoredArray, arrays_digest
from quintet.classifiers.networks.budget import largest_output_bytes, weight_budget
from quintet.classifiers.networks.keras_types import KerasModel
from quintet.classifiers.spectrogram.checkpoint import EpochRow
from quintet.classifiers.spectrogram.classifier import SpectrogramClassifier
from quintet.classifiers.spectrogram.pooling import Neighbours
from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import ArrayRule, read_npz
from quintet.files.untrusted.hdf5 import is_version_0, read_weights
from quintet.files.untrusted.listed_files import FileSource

WEIGHTS = "network.weights.h5"
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")

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
    _write_weights(estimator.fitted_network(), folder / WEIGHTS)
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


def read_network(estimator: SpectrogramClassifier, files: FileSource, head: JsonObject) -> None:
    """Read what `write_network` wrote into `estimator`, which already has its settings and classes.

    Weights are counted before the network is built, and the network may not need more. Keras gets a new file
    with the arrays that were read here.

    Raises:
        ValueError, ConfigError: if the files do not fit each other.
    """
    estimator.check_parameters()
    _require_sizes(estimator, head)
    n_classes = len(estimator.classes_)
    arrays = read_npz(files.read("statistics.npz"), _statistics_rules(head["n_mels"], n_classes))
    estimator.n_mels_, estimator.best_epoch_ = head["n_mels"], int(head["best_epoch"])
    with np.errstate(over="ignore"):  # what is beyond float32 is refused below
        estimator.mean_ = arrays["mean"].astype(np.float32)
        estimator.std_ = arrays["std"].astype(np.float32)
    estimator.validation_ = arrays["validation"].astype(np.int64)
    if not (estimator.std_ > 0).all() or not np.isfinite([estimator.mean_, estimator.std_]).all():
        raise ValueError("statistics.npz must hold finite means, and standard deviations above 0")
    estimator.neighbours_ = None
    if estimator.pooling == "knn":
        estimator.neighbours_ = _read_neighbours(arrays, n_classes)
    estimator.history_ = [_with_nan(row) for row in head["history"]]
    weights = read_weights(files.read(WEIGHTS))
    n_weights = sum(values.size for values in weights.values())
    if n_weights > limits.WEIGHTS:
        raise ValueError(f"{WEIGHTS} must hold at most {limits.WEIGHTS} weights, it holds {n_weights}")
    with weight_budget(n_weights):
        model = estimator.new_network(pretrained=False)
    largest = largest_output_bytes(model)
    if largest > limits.ACTIVATION_BYTES or largest * estimator.batch_size > limits.STEP_BYTES:
        raise ValueError(f"the largest layer of the network needs {largest} bytes per patch")
    _load_weights(model, weights)
    estimator.keep_network(model)
    if arrays_digest(estimator.weights_) != head["weights_sha256"]:
        raise ValueError(f"{WEIGHTS} does not hold the weights that member.json names")


def _require_sizes(estimator: SpectrogramClassifier, head: JsonObject) -> None:
    """Refuse settings of a size that no network of ours has."""
    n_patches = estimator.max_patches
    sizes = {
        "n_mels": (head["n_mels"], limits.BANDS),
        "batch_size": (estimator.batch_size, limits.BATCH_PATCHES),
        "max_patches": (n_patches, limits.CLIP_PATCHES),
        "patch_frames": (estimator.patch_frames, limits.FRAMES),
        "best_epoch": (head["best_epoch"], limits.EPOCHS),
    }
    for name, (value, most) in sizes.items():
        if type(value) is not int or not 0 <= value <= most:
            raise ValueError(f"{name} must be a number up to {most}, it is {str(value)[:30]}")
    for number in _numbers(dict(estimator.settings or {})):
        if not -limits.NETWORK_SETTING <= number <= limits.NETWORK_SETTING:
            raise ValueError(f"a setting of the network must be at most {limits.NETWORK_SETTING}")
    if estimator.precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}")


def _numbers(settings: object) -> Iterator[float]:
    """All numbers among the settings of a network."""
    if isinstance(settings, dict):
        settings = list(settings.values())
    if isinstance(settings, list):
        for value in settings:
            yield from _numbers(value)
    elif isinstance(settings, int | float):
        yield settings


def _statistics_rules(n_mels: int, n_classes: int) -> dict[str, ArrayRule]:
    bands = ArrayRule("f", (n_mels, 1))
    return {
        "mean": bands,
        "std": bands,
        "validation": ArrayRule("iu", (None,)),
        "neighbour_scores": ArrayRule("f", (None, n_classes)),
        "neighbour_codes": ArrayRule("iu", (None,)),
        "neighbour_k": ArrayRule("iu", ()),
    }


def _write_weights(model: KerasModel, path: Path) -> None:
    """Write the weights in Keras' layout and in the version of HDF5 that `read_weights` knows."""
    model.save_weights(path)
    with path.open("rb") as file:
        is_known = is_version_0(file.read(16))
    if is_known:
        return
    import h5py

    arrays: dict[str, StoredArray] = {}
    with h5py.File(path, "r") as content:
        content.visititems(
            lambda name, item: arrays.update({name: item[()]}) if hasattr(item, "dtype") else None
        )
    _write_arrays(path, arrays)


def _write_arrays(path: Path, arrays: dict[str, StoredArray]) -> None:
    import h5py

    with h5py.File(path, "w", libver=("earliest", "v108")) as content:
        for name, values in arrays.items():
            content[name] = values


def _load_weights(model: KerasModel, weights: dict[str, StoredArray]) -> None:
    """Give a network its weights through a file that we wrote: no C library reads a stranger's file."""
    with tempfile.TemporaryDirectory(prefix="quintet-") as folder, warnings.catch_warnings():
        path = Path(folder) / WEIGHTS
        _write_arrays(path, weights)
        # If the file lacks some weights, Keras only warns and keeps the initial ones. The digest
        # detects that.
        warnings.simplefilter("ignore")
        model.load_weights(path)


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
