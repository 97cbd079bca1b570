"""Load a trained ensemble from its model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quintet.classifiers.array_files import read_arrays
from quintet.classifiers.storage import DAMAGE_ERRORS, load_member
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import ConformalPredictor
from quintet.ensemble.fusion import Fusion
from quintet.ensemble.novelty import Distance
from quintet.errors import ArtefactError
from quintet.files.json_types import JsonObject
from quintet.files.paths import require_path
from quintet.model_folder.folder import BUNDLE, DISTANCE, ModelFolder
from quintet.model_folder.replacement import read_unchanged

DEFAULT_FOLDS = 5


def load_model(path: str | Path) -> EnsembleClassifier:
    """The trained ensemble of a model folder, ready to predict.

    Args:
        path: a folder made by `quintet train`.

    Returns:
        A fitted `EnsembleClassifier`. Its `bundle_` is the content of `bundle.json` (feature parameters,
        hashes, classes).

    Raises:
        ArtefactError: if the folder is unfinished, damaged, or of another version.
    """
    path = require_path(path, "`model`")
    return read_unchanged(path, lambda: _load(ModelFolder(path)))


def _load(folder: ModelFolder) -> EnsembleClassifier:
    bundle = folder.verify()
    try:
        return _read_ensemble(folder, bundle)
    except DAMAGE_ERRORS as error:
        if isinstance(error, ArtefactError):
            raise
        raise ArtefactError(
            f"A model folder must be what `quintet train` wrote. {folder.path} is not "
            f"({type(error).__name__}: {error}). Copy it, or train, again."
        ) from error


def _read_ensemble(folder: ModelFolder, bundle: JsonObject) -> EnsembleClassifier:
    """The ensemble of a folder whose digests were checked."""
    settings = folder.read_json("config.json")["train"]
    rules = folder.read_json("fusion.json")["rules"]
    trust = folder.read_json("trust.json")
    names = tuple(bundle["members"])
    ensemble = EnsembleClassifier(
        members=names,
        rule=bundle["rule"],
        rules=tuple(rules),
        n_splits=settings["folds"] or DEFAULT_FOLDS,
        settings=settings["settings"],
        seed=settings["seed"],
    )
    ensemble.classes_ = np.asarray(bundle["classes"], dtype=object)
    ensemble.members_ = {name: load_member(folder.path / "members" / name) for name in names}
    ensemble.fusions_ = {rule: Fusion.from_json(content) for rule, content in rules.items()}
    ensemble.rule_ = bundle["rule"]
    ensemble.calibration_ = Calibration.from_json(trust["calibration"])
    ensemble.conformal_ = _read_conformal(trust)
    ensemble.distance_ = _read_distance(folder, bundle, ensemble.conformal_)
    ensemble.bundle_ = bundle
    ensemble.folder_ = folder.path
    return ensemble


def _read_conformal(trust: JsonObject) -> ConformalPredictor | None:
    content = trust["conformal"]
    return None if content is None else ConformalPredictor.from_json(content)


def _read_distance(
    folder: ModelFolder, bundle: JsonObject, conformal: ConformalPredictor | None
) -> Distance | None:
    """The distance measure, if the prediction sets use it."""
    if conformal is None or not conformal.familiarity:
        return None
    if DISTANCE not in bundle["files"]:
        raise ArtefactError(
            f"Prediction sets that use the features need {DISTANCE}. "
            f"{folder.path / BUNDLE} does not list it: train again."
        )
    arrays = read_arrays(folder.path / DISTANCE)
    return Distance.restore(arrays, n_features=len(bundle["feature_names"]))
