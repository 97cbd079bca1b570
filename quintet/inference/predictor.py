"""The model that answers: the frozen ensemble of a folder, or the fitted ensemble if there is none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.files.paths import require_path
from quintet.frozen.ensemble import FrozenEnsemble, quiet_arithmetic, require_finite
from quintet.inference.known_clips import load_known
from quintet.model_folder.frozen_files import KnownClips, load_frozen

if TYPE_CHECKING:
    from quintet.ensemble.classifier import EnsembleClassifier

Floats = NDArray[np.float64]
Features = NDArray[np.float32]

SLOW = (
    "This model has no frozen ensemble ({reason}), so that every prediction loads the libraries that trained "
    "it: the numbers are the same, and the start takes some seconds longer. Train again to have one."
)


@dataclass(frozen=True)
class Predictor:
    """A model and what it lacks.

    Args:
        model: the frozen ensemble, or a fitted one.
        notes: why it is not frozen, if a frozen one was looked for.
    """

    model: FrozenEnsemble | EnsembleClassifier
    notes: tuple[str, ...] = ()

    @cached_property
    def known_clips(self) -> KnownClips | None:
        """The clips of the training run, read once; None if the model has no folder."""
        return load_known(self.model)

    def predict(
        self, features: Features, spectrograms: SpectrogramInput | None
    ) -> tuple[Floats, Floats | None]:
        """Ensemble predictions `(n, K)`, and distances `(n,)` if the model measures them.

        Args:
            features: rows with the columns of the model, `(n, d)`.
            spectrograms: spectrograms of the rows, if the model has networks.

        Raises:
            ArtefactError: an answer is not finite: the model is damaged.
        """
        if isinstance(self.model, FrozenEnsemble):
            rows = features.astype(np.float64)
            return self.model.predict_proba(rows, spectrograms), self.model.distances(rows)
        import pandas as pd

        table = pd.DataFrame(features, columns=self.model.bundle_["feature_names"])
        with quiet_arithmetic():
            probabilities = self.model.predict_proba(table, spectrograms)
            distances = self.model.distances(table)
        require_finite(probabilities, "The probabilities of the ensemble")
        if distances is not None:
            require_finite(distances, "The distances of the features")
        return probabilities, distances


def find_predictor(model: str | Path | EnsembleClassifier | Predictor) -> Predictor:
    """What answers for a model.

    Args:
        model: a model folder, a fitted ensemble, or what answers already.

    Raises:
        ArtefactError: the folder is damaged.
        ConfigError: it is no path and no model.
    """
    if isinstance(model, Predictor):
        return model
    if not isinstance(model, str | os.PathLike) and hasattr(model, "predict_proba"):
        return Predictor(model)
    folder = require_path(model, "`model`")
    frozen = load_frozen(folder)
    if isinstance(frozen, FrozenEnsemble):
        return Predictor(frozen)
    from quintet.model_folder.load import load_model

    return Predictor(load_model(folder), (SLOW.format(reason=frozen),))
