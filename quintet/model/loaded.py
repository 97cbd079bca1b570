"""A trained model in memory: predictions of recordings and tables, SHAP values, explanations."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from quintet.classifiers.spectrogram.sequences import SpectrogramInput
from quintet.ensemble import classifier
from quintet.ensemble.array_types import Floats
from quintet.errors import ArtefactError, ConfigError
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.parameters import FeatureParameters
from quintet.files.json_types import JsonObject
from quintet.files.paths import require_path
from quintet.inference.clips import Recording, is_table
from quintet.inference.predict import predict_files
from quintet.inference.predictor import Predictor, find_predictor
from quintet.inference.result import PredictionResult
from quintet.model.background import Background
from quintet.model.estimator import EnsembleClassifier
from quintet.model.explained_track import ExplainedTrack, TrackExplainer
from quintet.model.saving import class_labels, copy_model
from quintet.model_folder.folder import OpenFolder
from quintet.model_folder.load import load_model as load_fitted
from quintet.model_folder.load import read_parameters
from quintet.model_folder.replacement import read_unchanged

OWN = ("classes_", "bundle_", "files_", "folder_")
"""Attributes of a loaded model that it does not take from the fitted ensemble."""
FITTED = ("members_", "fusions_", "rule_", "calibration_", "conformal_", "tag_sets_", "distance_")
"""Attributes that are read from the folder when something asks for them."""


class Model(EnsembleClassifier):
    """A trained model from its folder: predictions of recordings, SHAP values, explanations.

    `quintet.load_model` returns it. It answers for recordings from the frozen ensemble, which needs neither
    scikit-learn nor TensorFlow and stays in memory. The fitted members are read when something asks for them:
    `predict_proba` of a table, `shap_values`, `members_`. `fit` fits anew, with the settings of the model:
    it then has no folder until it is saved.

    Attributes:
        folder_: the model folder.
        bundle_: content of `bundle.json` (feature parameters, hashes, classes).
        classes_: class names, `(K,)`; tag names for label sets.

    The other attributes are those of a fitted `EnsembleClassifier`, except those of the fit itself (`oof_`,
    `folds_`, `plan_`, …), which the folder keeps as files.
    """

    folder_: Path
    bundle_: JsonObject

    @classmethod
    def of_folder(cls, folder: str | Path) -> Model:
        """The model of a folder.

        Args:
            folder: made by `quintet train` or `EnsembleClassifier.save`.

        Raises:
            ArtefactError: it is unfinished, damaged, or of another version.
        """
        path = Path(require_path(folder, "`model`"))
        return read_unchanged(path, lambda: cls._read(path))

    @classmethod
    def _read(cls, path: Path) -> Model:
        predictor = find_predictor(path)
        answering = predictor.model
        bundle, files = answering.bundle_, answering.files_
        assert files is not None
        model = cls(**read_parameters(OpenFolder(bundle, files)))
        model.folder_, model.bundle_, model.files_ = path, bundle, files
        model.classes_ = class_labels(bundle)
        model._predictor = predictor
        if isinstance(answering, classifier.EnsembleClassifier):
            model._take(answering)
        return model

    def _take(self, fitted: classifier.EnsembleClassifier) -> None:
        """Take the fitted parts of an ensemble that was read from the folder."""
        names = [name for name in vars(fitted) if name.endswith("_") and name not in OWN]
        self.__dict__.update({name: vars(fitted)[name] for name in names})

    def __getattr__(self, name: str) -> object:
        known = vars(self)
        if name not in FITTED or name in known or "folder_" not in known or "members_" in known:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        fitted = load_fitted(self.folder_)
        if fitted.bundle_ != self.bundle_:
            raise ArtefactError(
                f"A model folder must stay as it is while its model is in memory. {self.folder_} was "
                "replaced: load it again."
            )
        self._take(fitted)
        return vars(self)[name]

    def __getstate__(self) -> dict[str, object]:
        if "folder_" in vars(self):
            _ = self.members_  # a copy elsewhere may not have the folder
        state: dict[str, object] = dict(super().__getstate__())
        state.pop("_predictor", None)
        state.pop("_explainer", None)
        return state

    def member_probabilities(
        self, X: pd.DataFrame | ArrayLike | None = None, spectrograms: SpectrogramInput | None = None
    ) -> dict[str, Floats]:
        """Member name → probabilities `(n, K)`.

        Args:
            X: feature table `(n, d)`, for table members. Columns of an array are those of the training.
            spectrograms: n log-mel spectrograms, for spectrogram members.
        """
        table = None if X is None else self._columns_of_fit(X)
        return super().member_probabilities(table, spectrograms)

    @overload  # type: ignore[override]
    def predict(
        self,
        X: Recording | Iterable[Recording],
        *,
        segment_s: float | None = None,
        confidence: float | None = None,
        strict: bool = False,
        n_jobs: int = 1,
        progress: ProgressCallback | None = None,
    ) -> PredictionResult: ...

    @overload
    def predict(
        self,
        X: pd.DataFrame | NDArray[np.generic] | None = None,
        spectrograms: SpectrogramInput | None = None,
    ) -> NDArray[np.generic]: ...

    def predict(
        self,
        X: Recording | Iterable[Recording] | pd.DataFrame | NDArray[np.generic] | None = None,
        spectrograms: SpectrogramInput | None = None,
        *,
        segment_s: float | None = None,
        confidence: float | None = None,
        strict: bool = False,
        n_jobs: int = 1,
        progress: ProgressCallback | None = None,
    ) -> PredictionResult | NDArray[np.generic]:
        """Predictions of recordings, or the most probable classes of the rows of a feature table.

        Args:
            X: files, folders, globs and `Clip`s, one or several; or a feature table `(n, d)`.
            spectrograms: n log-mel spectrograms, for the rows of a table if there are networks.
            segment_s: length of the segments into which long recordings are cut, seconds. Default: the
                typical length of the training clips. 0 cuts none.
            confidence: probability with which the prediction set must contain the true class. Default: no
                sets.
            strict: whether a file that is cut short counts as failed. Default: it is predicted and marked.
            n_jobs: worker processes.
            progress: called with the progress of the extraction.

        Returns:
            For recordings a `PredictionResult`; its `frame` has one row per recording. For a table the
            classes, `(n,)`, or a 0/1 matrix `(n, K)` of tags.

        Raises:
            ConfigError: it is neither recordings nor a table, or the model predicts tables only.
            ArtefactError: the model was trained on features that this version does not make.
            DatasetError: there is no file.
        """
        if X is None or is_table(X):
            return super().predict(X, spectrograms)  # type: ignore[arg-type]  # `is_table` has decided
        return predict_files(
            self._answering(),
            X,  # type: ignore[arg-type]
            segment_s=segment_s,
            confidence=confidence,
            strict=strict,
            n_jobs=n_jobs,
            progress=progress,
        )

    def explain(
        self,
        file: str | Path,
        *,
        segment_s: float | None = None,
        n_jobs: int = 1,
        progress: ProgressCallback | None = None,
    ) -> ExplainedTrack:
        """Why the model predicts what it predicts for one track.

        The first call reads the model for explanations; the next ones are quicker.

        Args:
            file: one audio file.
            segment_s: length of the segments into which a long file is cut, seconds, as in `predict`.
            n_jobs: worker processes.
            progress: called with the progress of the extraction.

        Returns:
            An object that a notebook shows as a page. `save(folder)` writes the page; `frame` and `families`
            are tables.

        Raises:
            AudioError: the file cannot be read or described.
            ArtefactError: the model was saved in Python and keeps no run to explain.
            ConfigError: `file` is a folder, or is no path.
        """
        require_path(file, "`file`")
        explainer = getattr(self, "_explainer", None) or TrackExplainer.load(self._folder())
        self._explainer = explainer
        return explainer.explain(file, segment_s=segment_s, n_jobs=n_jobs, progress=progress)

    def save(
        self, folder: str | Path, *, parameters: FeatureParameters | None = None, overwrite: bool = False
    ) -> Path:
        """Copy the model folder, with scores and everything else.

        Args:
            folder: a new folder, or an empty one.
            parameters: only for a model that was fitted anew.
            overwrite: replace a model in the folder.

        Raises:
            ArtefactError: the folder holds a model, or other files.
            ConfigError: parameters are given for a model that has its own.
        """
        if "folder_" not in vars(self):
            return super().save(folder, parameters=parameters, overwrite=overwrite)
        if parameters is not None:
            raise ConfigError("A model that was loaded keeps its own parameters. Leave `parameters` out.")
        return copy_model(self.folder_, folder, overwrite=overwrite)

    def _keep_rows(self, table: pd.DataFrame | None) -> None:
        for name in ("folder_", "bundle_", "files_", "_predictor", "_explainer", "_rows"):
            self.__dict__.pop(name, None)
        super()._keep_rows(table)

    def _folder(self) -> Path:
        folder: Path | None = vars(self).get("folder_")
        if folder is None:
            raise ConfigError(
                "Recordings need a model folder, which knows how features are made. This model was fitted "
                "here: save it with `parameters`, and load it."
            )
        return folder

    def _answering(self) -> Predictor:
        """What answers for recordings; read again in a copy."""
        predictor: Predictor | None = vars(self).get("_predictor")
        if predictor is None:
            predictor = find_predictor(self._folder())
            self._predictor = predictor
        return predictor

    def _background(self) -> Background | None:
        if "folder_" not in vars(self):
            return self.background_
        rows: Background | None = vars(self).get("_rows")
        if rows is None:
            assert self.files_ is not None
            rows = self._rows = Background.of_folder(OpenFolder(self.bundle_, self.files_))
        return rows

    def _column_names(self) -> list[str] | None:
        if "folder_" not in vars(self):
            return super()._column_names()
        return list(self.bundle_["feature_names"])


def load_model(path: str | Path) -> Model:
    """The trained model of a model folder, ready to predict recordings and tables.

    Args:
        path: a folder made by `quintet train`, or by `EnsembleClassifier.save`.

    Returns:
        A fitted `EnsembleClassifier` that also takes recordings: `model.predict(files)`,
        `model.explain(file)`.

    Raises:
        ArtefactError: the folder is unfinished, damaged, or of another version.
    """
    return Model.of_folder(path)
