"""The frozen ensemble: members as arrays, with fusion, calibration, prediction sets and distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.conformal import ConformalPredictor
from quintet.ensemble.fusion import Fusion
from quintet.ensemble.novelty import Distance
from quintet.files.json_types import JsonObject
from quintet.files.untrusted.listed_files import ListedFiles
from quintet.frozen.members import FrozenMember

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FrozenEnsemble:
    """Ensemble of a model folder that predicts with NumPy alone. Names are those of `EnsembleClassifier`.

    Args:
        bundle_: content of `bundle.json`.
        members_: name of a member → the member.
        fusion_: the chosen fusion rule with its weights.
        calibration_: calibration of the fused probabilities.
        conformal_: prediction sets; None for label sets.
        distance_: distance of features from all classes; None if the sets do not use it.
        files_: the listed files of the folder.
    """

    bundle_: JsonObject
    members_: Mapping[str, FrozenMember]
    fusion_: Fusion
    calibration_: Calibration
    conformal_: ConformalPredictor | None
    distance_: Distance | None
    files_: ListedFiles

    @property
    def class_names_(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns."""
        return tuple(self.bundle_["classes"])

    @property
    def multilabel_(self) -> bool:
        """Whether clips carry label sets."""
        return bool(self.bundle_["multilabel"])

    def member_probabilities(
        self, features: Floats, spectrograms: SpectrogramInput | None = None
    ) -> dict[str, Floats]:
        """Member name → probabilities `(n, K)`.

        Args:
            features: rows `(n, d)` with the columns of the model, NaN where unknown.
            spectrograms: n log-mel spectrograms, for networks.
        """
        return {name: member.probabilities(features, spectrograms) for name, member in self.members_.items()}

    def fuse_and_calibrate(self, members: Mapping[str, Floats]) -> Floats:
        """Ensemble predictions `(n, K)` from probabilities of the members."""
        stack = np.stack([members[name] for name in self.members_])
        return np.asarray(self.calibration_.apply(self.fusion_.apply(stack)))

    def predict_proba(self, features: Floats, spectrograms: SpectrogramInput | None = None) -> Floats:
        """Ensemble predictions `(n, K)`: fused and calibrated, see `member_probabilities`."""
        return self.fuse_and_calibrate(self.member_probabilities(features, spectrograms))

    def distances(self, features: Floats) -> Floats | None:
        """Distance of each row from all classes, `(n,)`; None if the sets do not use it."""
        return None if self.distance_ is None else self.distance_(features)
