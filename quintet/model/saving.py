"""Model folders of ensembles that were fitted in Python, without `quintet train` and without audio."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from quintet import __version__
from quintet.classifiers.registry import reads_table
from quintet.classifiers.storage import save_member
from quintet.datasets.splits.split import Split
from quintet.ensemble.array_types import Labels
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.errors import ArtefactError, ConfigError
from quintet.features.columns import feature_names
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.column_roles import Roles
from quintet.features.storage.table import META_COLUMNS, META_TYPES, FeatureTable, names_hash
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock
from quintet.files.paths import require_path
from quintet.files.provenance import environment
from quintet.model.background import Background
from quintet.model_folder.folder import BUNDLE, ModelFolder
from quintet.model_folder.frozen_files import write_frozen
from quintet.model_folder.replacement import replace_model, successor
from quintet.model_folder.write import write_joining
from quintet.predictions.predictions import Predictions

LABEL_KINDS = {"i": "int", "u": "int", "f": "float", "b": "bool"}
"""Kind of a NumPy type → what the labels of a folder are turned into when it is loaded; text stays text."""


def save_ensemble(
    ensemble: EnsembleClassifier,
    path: str | Path,
    background: Background,
    *,
    parameters: FeatureParameters | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a fitted ensemble as a model folder.

    Args:
        ensemble: the fitted ensemble.
        path: the folder.
        background: training rows, stored for explanations.
        parameters: how the features were extracted, so that the model can predict recordings.
        overwrite: whether to replace a model in the folder.

    Returns:
        The folder.

    Raises:
        ArtefactError: the folder holds a model, or other files.
        ConfigError: the parameters are those of other columns, or a column has the name of a fact of a clip.
    """
    path = Path(require_path(path, "`folder`"))
    if parameters is not None:
        _require_columns(background.rows, parameters)
    with output_lock(path):
        folder = ModelFolder(path)
        place = _claim(folder, overwrite=overwrite)
        _write(place, ensemble, background, parameters)
        if place.path != folder.path:
            replace_model(folder)
    return path


def _claim(folder: ModelFolder, *, overwrite: bool) -> ModelFolder:
    """Where to write: the folder, or the place of its successor.

    Raises:
        ArtefactError: the folder holds a model that may not be replaced, or files that are no model.
    """
    if not folder.path.exists() or not any(folder.path.iterdir()):
        return folder
    if not folder.is_finished:
        raise ArtefactError(
            f"A model needs a new or an empty folder. {folder.path} holds other files: choose another name."
        )
    if not overwrite:
        raise ArtefactError(
            f"The model folder must not exist yet. {folder.path} does: choose another name, or pass "
            "overwrite=True."
        )
    place = successor(folder)
    shutil.rmtree(place.path, ignore_errors=True)
    return place


def _require_columns(rows: pd.DataFrame, parameters: FeatureParameters) -> None:
    """Refuse parameters that describe other columns than those of the fit."""
    described = set(feature_names(parameters))
    others = [str(name) for name in rows.columns if name not in described]
    if others:
        raise ConfigError(
            f"The parameters must be those of the columns of the fit. {len(others)} of {rows.shape[1]} "
            f"columns are no features of the set '{parameters.feature_set}', for example '{others[0]}': "
            "leave `parameters` out, and predict tables."
        )


def _write(
    folder: ModelFolder,
    ensemble: EnsembleClassifier,
    background: Background,
    parameters: FeatureParameters | None,
) -> None:
    """Write all files, `bundle.json` last."""
    for name, member in ensemble.members_.items():
        save_member(member, folder.path / "members" / name)
    table = _background_table(background.rows, parameters)
    settings = {name: dict(given) for name, given in (ensemble.settings or {}).items()}
    train = {
        "members": list(ensemble.members),
        "settings": settings,
        "folds": ensemble.n_splits,
        "seed": ensemble.seed,
        "calibrate_members": ensemble.calibrate_members,
    }
    folder.write_json("config.json", {"quintet": __version__, "train": train})
    folder.write_json("environment.json", environment())
    ids = table.meta.index.astype(str)
    split = pd.DataFrame({"id": ids, "label": "", "group": ids, "part": "train", "fold": background.folds})
    Split(split, "random", ensemble.seed).write(folder.path / "split.parquet")
    folder.write_frame("features.parquet", table.frame)
    write_joining(folder, ensemble)
    for name, values in background.networks.items():
        stored = Predictions(ids.to_numpy(), ensemble.class_names_, values, multilabel=ensemble.multilabel_)
        (folder.path / "predictions/oof").mkdir(parents=True, exist_ok=True)
        stored.write(folder.path / f"predictions/oof/{name}.parquet")
    frozen: JsonObject = {"not_frozen": "it has networks, and was saved without spectrograms"}
    if all(map(reads_table, ensemble.members_)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="X has feature names")  # an array was fitted
            frozen = write_frozen(folder, ensemble, table, None)
    folder.finalise({**_bundle(ensemble, table), **frozen})


def _bundle(ensemble: EnsembleClassifier, table: FeatureTable) -> JsonObject:
    """Entries of `bundle.json` that describe the model."""
    return {
        "quintet": __version__,
        "members": list(ensemble.members_),
        "rule": ensemble.rule_,
        "classes": list(ensemble.class_names_),
        "class_kind": _label_kind(ensemble.classes_),
        "multilabel": bool(ensemble.multilabel_),
        "split": {},
        "feature_names": list(table.feature_names),
        "feature_parameters": table.metadata.get("parameters"),
        "feature_hash": table.parameter_hash,
        "log_mel_hash": None,
        "spectrograms": None,
        "clip_seconds": None,
        "table_roles": Roles().to_json(),
        "notes": ["It was fitted and saved in Python, so it has no scores and no report."],
    }


def _background_table(rows: pd.DataFrame, parameters: FeatureParameters | None) -> FeatureTable:
    """The rows as a feature table, whose ids are their numbers.

    Raises:
        ConfigError: a column has the name of a fact of a clip.
    """
    names = [str(name) for name in rows.columns]
    taken = sorted(set(names) & set(META_COLUMNS))
    if taken:
        raise ConfigError(
            f"Columns of features must not have the names of facts of a clip. Received {', '.join(taken)}: "
            "fit on columns with other names."
        )
    ids = pd.Series([f"row {k}" for k in range(len(rows))], dtype="str")
    empty = {name: pd.Series(pd.NA, ids.index, _dtype(kind)) for name, kind in META_TYPES.items()}
    digest = names_hash(names) if parameters is None else parameters.hash
    meta = pd.DataFrame({**empty, "id": ids, "status": "ok", "parameter_hash": digest})
    features = rows.set_axis(names, axis=1).reset_index(drop=True).astype(np.float32)
    described = None if parameters is None else parameters.model_dump(mode="json")
    metadata: JsonObject = {
        "parameters": described,
        "parameter_hash": digest,
        "dataset": "fit",
        "versions": {},
    }
    return FeatureTable(pd.concat([meta[list(META_COLUMNS)], features], axis=1), metadata)


def _dtype(kind: pa.DataType) -> str:
    """Type of pandas for a fact of a clip; every type has missing values."""
    if pa.types.is_string(kind):
        return "str"
    return "Int64" if pa.types.is_integer(kind) else "Float64"


def _label_kind(classes: Labels) -> str:
    """What the class names are, beside texts."""
    kinds = {LABEL_KINDS.get(np.asarray(label).dtype.kind, "str") for label in classes.tolist()}
    return kinds.pop() if len(kinds) == 1 else "str"


def class_labels(bundle: JsonObject) -> Labels:
    """Class names of a model folder, as numbers if the ensemble was fitted on numbers.

    Args:
        bundle: content of `bundle.json`.

    Raises:
        ArtefactError: the names are not of the kind that the bundle says.

    Example:
        >>> class_labels({"classes": ["1", "2"], "class_kind": "int"}).tolist()
        [1, 2]
    """
    names = list(bundle["classes"])
    kinds: dict[str, Callable[[str], object]] = {"int": int, "float": float, "bool": "True".__eq__}
    convert = kinds.get(bundle.get("class_kind", ""))
    if convert is None:
        return np.asarray(names, dtype=object)
    try:
        return np.asarray([convert(name) for name in names])
    except ValueError as error:
        raise ArtefactError(
            f"The classes of a model folder must be of the kind '{bundle['class_kind']}' that it names. "
            f"Received {', '.join(names[:5])}. Copy the folder again."
        ) from error


def copy_model(source: Path, path: str | Path, *, overwrite: bool = False) -> Path:
    """Copy the listed files of a model folder.

    Args:
        source: the model folder.
        path: the copy.
        overwrite: whether to replace a model there.

    Raises:
        ArtefactError: the source is damaged, or the place holds a model or other files.
    """
    target = Path(require_path(path, "`folder`"))
    with output_lock(target):
        folder = ModelFolder(target)
        place = _claim(folder, overwrite=overwrite)
        opened = ModelFolder(source).open()
        for name in (*opened.bundle["files"], BUNDLE):
            copy = place.path / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, copy)
        if place.path != folder.path:
            replace_model(folder)
    return target
