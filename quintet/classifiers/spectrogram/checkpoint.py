"""Progress of a fit, and the checkpoint file that holds it after each epoch."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.backend import backend_name, load_keras
from quintet.classifiers.networks.keras_types import Arrays, KerasModel, KerasVariable
from quintet.classifiers.spectrogram.sequences import SpectrogramSequence
from quintet.classifiers.spectrogram.settings import FitSettings
from quintet.classifiers.spectrogram.targets import Codes
from quintet.errors import ArtefactError
from quintet.files.atomic import atomic_replace

EpochRow = dict[str, float]
"""Row of the history: epoch, loss, accuracy, val_loss, val_accuracy, seconds."""

StoredArrays = Mapping[str, NDArray[np.generic]]
READ_ERRORS = (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile)


@dataclass
class Progress:
    """State of a fit between two epochs.

    Args:
        epoch: number of finished epochs.
        best_epoch: the best of them, from 1.
        best_loss: validation loss of the best epoch; infinite without validation.
        best_weights: weights of the network after the best epoch.
        history: one row per epoch.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: Arrays = field(default_factory=list)
    history: list[EpochRow] = field(default_factory=list)

    def is_finished(self, settings: FitSettings) -> bool:
        """Whether all epochs are finished, or the loss has not improved for `patience` epochs."""
        if self.epoch >= settings.epochs:
            return True
        return self.best_loss < math.inf and self.epoch - self.best_epoch >= settings.patience

    def add_epoch(self, row: EpochRow, model: KerasModel, *, is_validated: bool) -> None:
        """Append an epoch. Its weights become the best if its loss is the lowest.

        Without held-out clips the weights of the latest epoch are the best.
        """
        self.epoch += 1
        self.history.append(row)
        if not is_validated or row["val_loss"] < self.best_loss or self.epoch == 1:
            self.best_epoch = self.epoch
            self.best_weights = model.get_weights()
            self.best_loss = row["val_loss"] if is_validated else math.inf


class Checkpoint:
    """The state of a fit in one file of a folder, replaced after each epoch.

    Args:
        folder: created if it does not exist.
        fingerprint: text that identifies the fit, see `fit_fingerprint`; the file of another fit is refused.

    Raises:
        ArtefactError: if the file is damaged or belongs to another fit.
    """

    def __init__(self, folder: str | Path, fingerprint: str) -> None:
        self.path = Path(folder) / "checkpoint.npz"
        self.fingerprint = fingerprint

    def write(self, model: KerasModel, progress: Progress) -> None:
        """Write the variables of network and optimiser, the best weights and the counters.

        The file is never partial.
        """
        head = {
            "fingerprint": self.fingerprint,
            "epoch": progress.epoch,
            "best_epoch": progress.best_epoch,
            "history": progress.history,
        }
        arrays = {
            "head": np.array(json.dumps(head)),
            "best_loss": np.array(progress.best_loss),
            **_named_values("variable", model.variables),
            **_named_values("optimizer", model.optimizer.variables),
            **{f"best_{i}": weights for i, weights in enumerate(progress.best_weights)},
        }
        with atomic_replace(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def read(self, model: KerasModel) -> Progress:
        """Restore the state of the compiled `model`; without a file, return a new `Progress`."""
        if not self.path.is_file():
            return Progress()
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return self._restore(model, dict(arrays))
        except READ_ERRORS as error:
            if isinstance(error, ArtefactError):
                raise
            raise ArtefactError(
                f"A checkpoint must be whole. {self.path}: {error}. Delete it to begin again."
            ) from error

    def _restore(self, model: KerasModel, arrays: StoredArrays) -> Progress:
        head = json.loads(str(arrays["head"]))
        if head["fingerprint"] != self.fingerprint:
            raise ArtefactError(
                "A checkpoint can only be resumed with the same data, settings, seed and backend. "
                f"{self.path} belongs to another fit. Delete it, or choose another folder."
            )
        _assign_values("variable", model.variables, arrays)
        _assign_values("optimizer", model.optimizer.variables, arrays)
        return Progress(
            epoch=int(head["epoch"]),
            best_epoch=int(head["best_epoch"]),
            best_loss=float(arrays["best_loss"]),
            best_weights=[arrays[f"best_{i}"] for i in range(len(model.weights))],  # type: ignore[misc]
            history=head["history"],
        )


def fit_fingerprint(
    parameters: Mapping[str, object],
    clips: SpectrogramSequence,
    targets: Codes,
    groups: NDArray[np.str_],
) -> str:
    """Digest that identifies a fit.

    It depends on parameters, backend, targets, groups, shapes of the clips, and the first and last clip.

    Args:
        parameters: constructor parameters of the classifier.
        clips: spectrograms, with augmented copies.
        targets: codes of the clips.
        groups: groups of the clips.
    """
    # An optimiser's state can be read by the same backend only.
    content = {**parameters, "backend": backend_name()}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
    shapes = np.array(clips.shapes)
    for array in (targets, groups, shapes, np.asarray(clips[0]), np.asarray(clips[len(clips) - 1])):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _named_values(prefix: str, variables: Sequence[KerasVariable]) -> dict[str, NDArray[np.generic]]:
    convert = load_keras().ops.convert_to_numpy
    return {f"{prefix}_{i}": convert(variable) for i, variable in enumerate(variables)}


def _assign_values(prefix: str, variables: Sequence[KerasVariable], arrays: StoredArrays) -> None:
    for i, variable in enumerate(variables):
        variable.assign(arrays[f"{prefix}_{i}"])
