"""The frozen ensemble: members as arrays, with fusion, calibration, prediction sets and distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.conformal import ConformalPredictor
from quintet.ensemble.fusion import Fusion
from quintet.ensemble.label_sets.risk_control import TagSets
from quintet.ensemble.novelty import Distance
from quintet.errors import ArtefactError
from quintet.files.json_types import JsonObject
from quintet.files.untrusted.listed_files import ListedFiles
from quintet.frozen.members import FrozenMember, FrozenNetwork, FrozenTable
from quintet.frozen.network_member import NetworkMember
from quintet.frozen.table_member import ArrayMember

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
ExplainedMember = ArrayMember | NetworkMember
"""A frozen member with the names of a fitted one."""


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
        tag_sets_: sets of tags; None for classes, and in folders of early versions.
    """

    bundle_: JsonObject
    members_: Mapping[str, FrozenMember]
    fusion_: Fusion
    calibration_: Calibration
    conformal_: ConformalPredictor | None
    distance_: Distance | None
    files_: ListedFiles
    tag_sets_: TagSets | None = None

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

        Raises:
            ArtefactError: a probability is not finite: the model is damaged.
        """
        found = {}
        for name, member in self.members_.items():
            with quiet_arithmetic():
                probabilities = member.probabilities(features, spectrograms)
            found[name] = require_finite(probabilities, f"The probabilities of the member '{name}'")
        return found

    def fuse_and_calibrate(self, members: Mapping[str, Floats]) -> Floats:
        """Ensemble predictions `(n, K)` from probabilities of the members."""
        stack = np.stack([members[name] for name in self.members_])
        with quiet_arithmetic():
            probabilities = np.asarray(self.calibration_.apply(self.fusion_.apply(stack)))
        return require_finite(probabilities, "The probabilities of the ensemble")

    def predict_proba(self, features: Floats, spectrograms: SpectrogramInput | None = None) -> Floats:
        """Ensemble predictions `(n, K)`: fused and calibrated, see `member_probabilities`."""
        return self.fuse_and_calibrate(self.member_probabilities(features, spectrograms))

    def distances(self, features: Floats) -> Floats | None:
        """Distance of each row from all classes, `(n,)`; None if the sets do not use it."""
        if self.distance_ is None:
            return None
        with quiet_arithmetic():
            distances = self.distance_(features)
        return require_finite(distances, "The distances of the features")


@dataclass(frozen=True, eq=False)
class ExplainedEnsemble:
    """A frozen ensemble for explanations. Names are those of `EnsembleClassifier`.

    Args:
        frozen: the ensemble.
        members_: name of a member → the member with the names of a fitted one.
    """

    frozen: FrozenEnsemble
    members_: Mapping[str, ExplainedMember]

    @classmethod
    def of(cls, frozen: FrozenEnsemble) -> Self | None:
        """The ensemble, or None if a member cannot be explained from its arrays."""
        classes = np.asarray(frozen.class_names_, dtype=object)
        columns = tuple(frozen.bundle_["feature_names"])
        members: dict[str, ExplainedMember] = {}
        for name, member in frozen.members_.items():
            explained = explained_member(name, member, classes, columns)
            if explained is None:
                return None
            members[name] = explained
        return cls(frozen, members)

    @property
    def bundle_(self) -> JsonObject:
        """Content of `bundle.json`."""
        return self.frozen.bundle_

    @property
    def files_(self) -> ListedFiles:
        """The listed files of the folder."""
        return self.frozen.files_

    @property
    def class_names_(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns."""
        return self.frozen.class_names_

    @property
    def multilabel_(self) -> bool:
        """Whether clips carry label sets."""
        return self.frozen.multilabel_

    @property
    def tag_sets_(self) -> TagSets | None:
        """Sets of tags; None for classes."""
        return self.frozen.tag_sets_

    @property
    def conformal_(self) -> ConformalPredictor | None:
        """Prediction sets; None for label sets."""
        return self.frozen.conformal_

    def member_probabilities(
        self, X: pd.DataFrame, spectrograms: SpectrogramInput | None = None
    ) -> dict[str, Floats]:
        """Member name → probabilities `(n, K)` of the rows of a table with the columns of the model."""
        return self.frozen.member_probabilities(X.to_numpy(np.float64), spectrograms)

    def fuse_and_calibrate(self, members: Mapping[str, Floats]) -> Floats:
        """Ensemble predictions `(n, K)` from probabilities of the members."""
        return self.frozen.fuse_and_calibrate(members)

    def distances(self, X: pd.DataFrame) -> Floats | None:
        """Distance of each row from all classes, `(n,)`; None if the sets do not use it."""
        return self.frozen.distances(X.to_numpy(np.float64))


def explained_member(
    name: str, member: FrozenMember, classes: NDArray[np.object_], columns: tuple[str, ...]
) -> ExplainedMember | None:
    """A frozen member for explanations, or None if it cannot be explained from its arrays.

    Args:
        name: of the member in the model.
        member: the frozen member.
        classes: names of the classes or tags, `(K,)`.
        columns: the columns of the model.
    """
    if isinstance(member, FrozenNetwork):
        return NetworkMember.of(name, classes, member)
    assert isinstance(member, FrozenTable)
    table = ArrayMember(member.kind, classes, columns, member)
    return table if table.is_complete else None


def quiet_arithmetic() -> np.errstate:
    """A context in which NumPy does not warn of overflows; `require_finite` looks at what comes out."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def require_finite(values: Floats, whose: str) -> Floats:
    """The same values, if all are finite.

    Args:
        values: what a model answered.
        whose: the beginning of a sentence, such as `Its distances`.

    Raises:
        ArtefactError: a value is NaN or infinite.

    Example:
        >>> require_finite(np.array([0.5, 0.5]), "Its probabilities").tolist()
        [0.5, 0.5]
    """
    if np.isfinite(values).all():
        return values
    raise ArtefactError(
        f"What a model answers must be finite numbers. {whose} are not: the model is damaged. "
        "Copy its folder, or train, again."
    )
