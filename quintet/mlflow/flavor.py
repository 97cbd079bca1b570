"""The flavour `quintet` of MLflow: a model folder among the artefacts of a run, without pickles.

MLflow refuses `mlflow.sklearn.log_model` for an ensemble, because its types are not on the list of those that
may be unpickled. A model folder needs no such list.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd

from quintet import __version__
from quintet.errors import DISTRIBUTION, ConfigError, MissingExtraError
from quintet.features.parameters import FeatureParameters
from quintet.files.atomic import write_bytes
from quintet.files.json_types import JsonObject
from quintet.files.paths import require_path
from quintet.model.estimator import EnsembleClassifier
from quintet.model.loaded import Model
from quintet.model.loaded import load_model as load_folder
from quintet.model.saving import copy_model

if TYPE_CHECKING:
    from mlflow.models import Model as StoredModel
    from mlflow.models.model import ModelInfo
    from mlflow.models.signature import ModelSignature

FLAVOR_NAME = "quintet"
DATA = "model"
"""Folder of the artefact that holds the model folder."""
FILE_COLUMNS = ("file", "path")
"""Columns of a table by which a `pyfunc` recognises recordings."""

ModelLike = str | os.PathLike[str] | EnsembleClassifier


def save_model(
    model: ModelLike,
    path: str | Path,
    mlflow_model: StoredModel | None = None,
    *,
    parameters: FeatureParameters | None = None,
    signature: ModelSignature | None = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """Save a model as a folder of MLflow.

    Args:
        model: a model folder, what `quintet.load_model` returns, or a fitted `EnsembleClassifier`.
        path: a new folder.
        mlflow_model: the description to complete. MLflow gives it.
        parameters: for a fitted ensemble, how its features were extracted (as in `EnsembleClassifier.save`).
        signature: of MLflow, for the input and the output.
        pip_requirements: what a server must install. Default: this version of Quintet.
        metadata: further entries of the description.

    Raises:
        MissingExtraError: MLflow is not installed.
        ConfigError: `model` is something else, or `parameters` are given for a model folder.
        ArtefactError: the model folder is damaged.
    """
    mlflow = _import_mlflow()
    place = Path(path)
    place.mkdir(parents=True)
    _write_folder(model, place / DATA, parameters)
    described = mlflow_model or _module("mlflow.models").Model()
    if signature is not None:
        described.signature = signature
    if metadata is not None:
        described.metadata = dict(metadata)
    requirements = list(pip_requirements or [f"{DISTRIBUTION}=={__version__}"])
    write_bytes(place / "requirements.txt", "".join(f"{line}\n" for line in requirements).encode())
    python = ".".join(map(str, sys.version_info[:3]))
    environment = f"python: {python}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n"
    write_bytes(place / "python_env.yaml", environment.encode())
    mlflow.pyfunc.add_to_model(
        described, loader_module="quintet.mlflow", data=DATA, python_env="python_env.yaml"
    )
    described.add_flavor(FLAVOR_NAME, quintet_version=__version__, data=DATA)
    described.save(str(place / "MLmodel"))


def log_model(
    model: ModelLike,
    name: str = "model",
    *,
    parameters: FeatureParameters | None = None,
    signature: ModelSignature | None = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, object] | None = None,
    registered_model_name: str | None = None,
) -> ModelInfo:
    """Log a model in the active run of MLflow, or in a new one.

    Args:
        model: a model folder, what `quintet.load_model` returns, or a fitted `EnsembleClassifier`.
        name: of the artefact.
        parameters: for a fitted ensemble, how its features were extracted (as in `EnsembleClassifier.save`).
        signature: of MLflow, for the input and the output.
        pip_requirements: what a server must install. Default: this version of Quintet.
        metadata: further entries of the description.
        registered_model_name: registers the model under this name too.

    Returns:
        What MLflow knows of the model: `model_uri` is for `load_model` and `mlflow.pyfunc.load_model`.

    Raises:
        MissingExtraError, ConfigError, ArtefactError: as `save_model`.
    """
    _import_mlflow()
    info: ModelInfo = _module("mlflow.models").Model.log(
        artifact_path=None,
        name=name,
        flavor=_module("quintet.mlflow"),
        registered_model_name=registered_model_name,
        metadata=None if metadata is None else dict(metadata),
        model=model,
        parameters=parameters,
        signature=signature,
        pip_requirements=pip_requirements,
    )
    return info


def load_model(model_uri: str, dst_path: str | None = None) -> Model:
    """The model of an artefact, as `quintet.load_model` gives it.

    Args:
        model_uri: `runs:/…`, `models:/…`, or a folder.
        dst_path: folder for the download. Default: a temporary one.

    Raises:
        MissingExtraError: MLflow is not installed.
        ArtefactError: the model is damaged.
    """
    _import_mlflow()
    local = _module("mlflow.artifacts").download_artifacts(artifact_uri=model_uri, dst_path=dst_path)
    return load_folder(Path(local) / DATA)


class PyfuncModel:
    """A model as `mlflow.pyfunc` uses it.

    Args:
        model: a loaded model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, data: pd.DataFrame | Sequence[str], params: JsonObject | None = None) -> pd.DataFrame:
        """Predictions of recordings or of rows of features.

        Args:
            data: paths of recordings, a table with a column `file` or `path`, or a table of features.
            params: for recordings `confidence`, `segment_s` and `n_jobs`, as in `Model.predict`.

        Returns:
            The `frame` of a `PredictionResult` for recordings. For features: `verdict`, `confidence` and
            `probability.<class>`, with the index of the table.
        """
        if not isinstance(data, pd.DataFrame):
            return self._recordings(list(data), params)
        for name in FILE_COLUMNS:
            if name in data.columns:
                return self._recordings(data[name].tolist(), params)
        probabilities = self.model.predict_proba(data)
        classes = list(self.model.class_names_)
        frame = pd.DataFrame(
            probabilities, index=data.index, columns=[f"probability.{name}" for name in classes]
        )
        frame.insert(0, "verdict", [classes[k] for k in probabilities.argmax(axis=1)])
        frame.insert(1, "confidence", probabilities.max(axis=1))
        return frame

    def _recordings(self, files: list[str], params: JsonObject | None) -> pd.DataFrame:
        return self.model.predict(files, **(params or {})).frame


def _load_pyfunc(path: str) -> PyfuncModel:
    """What `mlflow.pyfunc` calls to load the model folder of an artefact."""
    return PyfuncModel(load_folder(path))


def _write_folder(model: ModelLike, place: Path, parameters: FeatureParameters | None) -> None:
    """Write the model folder of a model."""
    if isinstance(model, EnsembleClassifier):
        model.save(place, parameters=parameters)
        return
    source = Path(require_path(model, "`model`"))
    if parameters is not None:
        raise ConfigError("A model folder keeps its own parameters. Leave `parameters` out.")
    copy_model(source, place)


def _import_mlflow() -> ModuleType:
    """MLflow with its `pyfunc`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        importlib.import_module("mlflow.pyfunc")
        return importlib.import_module("mlflow")
    except ImportError as error:
        raise MissingExtraError("A model in MLflow", "mlflow") from error


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)
