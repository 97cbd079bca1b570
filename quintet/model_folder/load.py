"""Load a trained ensemble from its model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from quintet.classifiers.views import member_name
from quintet.ensemble.calibration import Calibration
from quintet.ensemble.fusion import Fusion
from quintet.errors import ArtefactError
from quintet.files.json_types import JsonObject
from quintet.files.paths import require_path
from quintet.files.untrusted.reasons import reason
from quintet.frozen.ensemble import ExplainedEnsemble
from quintet.model_folder.folder import ModelFolder, OpenFolder
from quintet.model_folder.frozen_files import (
    CONTENT_ERRORS,
    load_frozen,
    read_conformal,
    read_distance,
    read_network_members,
    read_tag_sets,
)
from quintet.model_folder.replacement import read_unchanged

if TYPE_CHECKING:
    from quintet.classifiers.member import Member
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.frozen.network_member import NetworkMember

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


def load_to_explain(path: str | Path) -> EnsembleClassifier | ExplainedEnsemble:
    """The ensemble of a model folder for explanations, from its frozen arrays where they suffice.

    If they do not, it is that of `load_model`, with networks that need no Keras where they are frozen and
    have gradients. The numbers are those of the fitted members to 1e-6, those of networks to 1e-5.

    Args:
        path: a folder made by `quintet train`.

    Raises:
        ArtefactError: as `load_model`.
    """
    path = require_path(path, "`model`")
    frozen = load_frozen(path)
    explained = None if isinstance(frozen, str) else ExplainedEnsemble.of(frozen)
    if explained is not None:
        return explained
    return read_unchanged(path, lambda: _load(ModelFolder(path), with_frozen=True))


def _load(model_folder: ModelFolder, *, with_frozen: bool = False) -> EnsembleClassifier:
    from quintet.classifiers.storage import DAMAGE_ERRORS

    folder = model_folder.open()
    folder.require_model()
    try:
        return _read_ensemble(folder, read_network_members(folder) if with_frozen else {})
    except DAMAGE_ERRORS as error:
        if isinstance(error, ArtefactError):
            raise
        raise _damaged(model_folder.path, error) from error


def _damaged(path: Path, error: BaseException) -> ArtefactError:
    return ArtefactError(
        f"A model folder must be what `quintet train` wrote. {path} is not ({reason(error)}). "
        "Copy it, or train, again."
    )


def _read_ensemble(folder: OpenFolder, frozen: Mapping[str, NetworkMember]) -> EnsembleClassifier:
    """The ensemble of a folder whose digests were checked, with members that are frozen."""
    from quintet.classifiers.storage import load_member
    from quintet.ensemble.classifier import EnsembleClassifier

    bundle = folder.bundle
    rules = folder.read_json("fusion.json")["rules"]
    trust = folder.read_json("trust.json")
    names = tuple(bundle["members"])
    ensemble = EnsembleClassifier(**read_parameters(folder))
    ensemble.classes_ = np.asarray(bundle["classes"], dtype=object)
    ensemble.members_ = {
        name: cast("Member", frozen[name]) if name in frozen else load_member(folder.member(name))
        for name in names
    }
    ensemble.fusions_ = {rule: Fusion.from_json(content) for rule, content in rules.items()}
    ensemble.rule_ = bundle["rule"]
    ensemble.calibration_ = Calibration.from_json(trust["calibration"])
    ensemble.conformal_ = read_conformal(trust)
    ensemble.tag_sets_ = read_tag_sets(trust)
    ensemble.distance_ = read_distance(folder, ensemble.conformal_)
    ensemble.bundle_ = bundle
    ensemble.files_ = folder.files
    _require_consistent(ensemble)
    return ensemble


def read_parameters(folder: OpenFolder) -> JsonObject:
    """Parameters of the estimator that a model folder holds.

    Args:
        folder: an open folder with a model.

    Raises:
        ArtefactError: the files are damaged, or not what training wrote.
    """
    try:
        train = folder.read_json("config.json")["train"]
        return {
            "members": tuple(folder.bundle["members"]),
            "rule": folder.bundle["rule"],
            "rules": tuple(folder.read_json("fusion.json")["rules"]),
            "n_splits": train["folds"] or DEFAULT_FOLDS,
            "settings": train["settings"],
            "seed": train["seed"],
            "calibrate_members": train.get("calibrate_members"),
        }
    except CONTENT_ERRORS as error:
        raise _damaged(folder.files.root, error) from error


def _require_consistent(ensemble: EnsembleClassifier) -> None:
    """Refuse members, fusion and prediction sets for other classes, columns or members than the bundle names.

    Raises:
        ValueError: if a part does not fit.
    """
    bundle = ensemble.bundle_
    classes, names = bundle["classes"], bundle["members"]
    if len(set(classes)) < len(classes) or len(set(names)) < len(names):
        raise ValueError("the bundle names a class or a member twice")
    for name, member in ensemble.members_.items():
        n_columns = getattr(member, "n_features_in_", len(bundle["feature_names"]))
        # A member of label sets numbers its tags, and the bundle names them.
        names_fit = member.multilabel_ or [str(label) for label in member.classes_] == classes
        fits = names_fit and len(member.classes_) == len(classes)
        fits = fits and member.multilabel_ == bundle["multilabel"] and member_name(member) == name
        if not fits or n_columns != len(bundle["feature_names"]):
            received = (member.member, list(member.classes_)[:5], member.multilabel_, n_columns)
            raise ValueError(f"the member {name} does not fit the bundle: {received}")
        columns = getattr(member, "feature_names_in_", None)
        if columns is not None and list(columns) != bundle["feature_names"]:
            raise ValueError(f"the member {name} was fitted on other columns than the bundle names")
    for rule, fusion in ensemble.fusions_.items():
        if list(fusion.members) != names or list(fusion.classes) != classes or fusion.rule != rule:
            raise ValueError(f"the fusion rule {rule[:60]} has other members or classes than the bundle")
    if ensemble.rule_ not in ensemble.fusions_:
        raise ValueError("the chosen fusion rule has no weights")
    calibration, conformal = ensemble.calibration_, ensemble.conformal_
    if calibration.method == "isotonic" and len(calibration.steps) != len(classes):
        raise ValueError("the calibration has other classes than the bundle")
    for sets in (conformal, ensemble.tag_sets_):
        if sets is not None and list(sets.classes) != classes:
            raise ValueError("the prediction sets have other classes than the bundle")
