"""Write a trained ensemble into its model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from quintet import __version__
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.crossfit import FINAL_FIT
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable
from quintet.files.json_types import JsonObject
from quintet.model_folder.folder import DISTANCE, IMPORTANCE, ModelFolder
from quintet.model_folder.frozen_files import write_frozen
from quintet.model_folder.scores import RunScores


@dataclass(frozen=True)
class TrainedModel:
    """A trained ensemble, its data and its scores.

    Args:
        ensemble: the fitted ensemble.
        table: the feature table of the run; its usable rows were used.
        scores: all scores of the run.
        spectrograms: the spectrogram store of the run, if it had one.
        notes: what was done with the data before training, and which rows were left out.
    """

    ensemble: EnsembleClassifier
    table: FeatureTable
    scores: RunScores
    spectrograms: SpectrogramStore | None = None
    notes: tuple[str, ...] = ()


def write_model(folder: ModelFolder, model: TrainedModel) -> None:
    """Write everything except members, predictions and embeddings, which training wrote before, and finalise.

    Args:
        folder: the model folder of the run.
        model: the trained ensemble.
    """
    _write_histories(folder, model.ensemble)
    _write_table(folder, model.table)
    _write_importance(folder, model.ensemble, model.table.feature_names)
    write_joining(folder, model.ensemble)
    folder.write_json("scores.json", model.scores.to_json())
    frozen = write_frozen(folder, model.ensemble, model.table, model.spectrograms)
    folder.finalise({**_bundle_content(model), **frozen})


def write_joining(folder: ModelFolder, ensemble: EnsembleClassifier) -> None:
    """Write how the members are joined: fusion, calibration, prediction sets and distances.

    Args:
        folder: the model folder.
        ensemble: a fitted ensemble.
    """
    folder.write_json("fusion.json", _fusion_content(ensemble))
    folder.write_json("trust.json", _trust_content(ensemble))
    if ensemble.distance_ is not None:
        folder.write_arrays(DISTANCE, ensemble.distance_.arrays())


def _write_histories(folder: ModelFolder, ensemble: EnsembleClassifier) -> None:
    """Write the epochs of every network: those of each fold, then those of the final fit."""
    for name, results in ensemble.folds_.items():
        epochs = {fold: result.history for fold, result in enumerate(results)}
        epochs[FINAL_FIT] = getattr(ensemble.members_[name], "history_", [])
        rows = []
        for fold, history in epochs.items():
            rows += [{"member": name, "fold": fold, **epoch} for epoch in history]
        if rows:
            folder.write_frame(f"history/{name}.parquet", pd.DataFrame(rows))


def _write_table(folder: ModelFolder, table: FeatureTable) -> None:
    """Write the usable rows and the failure ledger."""
    usable_ids = set(table.meta.index.astype(str))
    is_usable = table.frame["id"].astype(str).isin(usable_ids)
    folder.write_frame("features.parquet", table.frame[is_usable])
    folder.write_frame("failures.parquet", table.failures.reset_index(drop=True))


def _write_importance(folder: ModelFolder, ensemble: EnsembleClassifier, columns: Sequence[str]) -> None:
    """Write the importance of the columns for the member of each fold, if every fold of the member has it."""
    tables = []
    for name, results in ensemble.folds_.items():
        by_fold = {f"fold {k}": result.importance for k, result in enumerate(results)}
        if all(values is not None for values in by_fold.values()):
            tables.append(pd.DataFrame({"member": name, "column": list(columns), **by_fold}))
    if tables:
        folder.write_frame(IMPORTANCE, pd.concat(tables, ignore_index=True))


def _fusion_content(ensemble: EnsembleClassifier) -> JsonObject:
    return {
        "chosen": ensemble.rule_,
        "comparison": ensemble.comparison_.to_json(),
        "rules": {rule: fusion.to_json() for rule, fusion in ensemble.fusions_.items()},
    }


def _trust_content(ensemble: EnsembleClassifier) -> JsonObject:
    conformal, tag_sets = ensemble.conformal_, ensemble.tag_sets_
    return {
        "calibration": ensemble.calibration_.to_json(),
        "conformal": None if conformal is None else conformal.to_json(),
        **({} if tag_sets is None else {"tag_sets": tag_sets.to_json()}),
    }


def _bundle_content(model: TrainedModel) -> JsonObject:
    """Entries of `bundle.json` that describe the model."""
    ensemble, table, store, split = model.ensemble, model.table, model.spectrograms, model.scores.split
    penalties = {name: choice.to_json() for name, choice in ensemble.penalties_.items()}
    optional: JsonObject = {
        "penalties": penalties,
        "table_roles": table.metadata.get("table_roles"),
        "joined": table.metadata.get("joined"),
        "notes": list(model.notes),
    }
    return {
        "quintet": __version__,
        "members": list(ensemble.members_),
        "rule": ensemble.rule_,
        "classes": [str(name) for name in ensemble.classes_],
        "multilabel": bool(table.multilabel),
        "split": {"protocol": split.protocol, "grouped": split.grouped},
        "feature_names": list(table.feature_names),
        "feature_parameters": table.metadata.get("parameters"),
        "feature_hash": table.parameter_hash,
        "log_mel_hash": None if store is None else store.parameter_hash,
        "spectrograms": None if store is None else str(store.folder),
        "clip_seconds": _typical_duration_s(table),
        "fold_seconds": {
            name: [round(result.seconds, 3) for result in results]
            for name, results in ensemble.folds_.items()
        },
        **{key: value for key, value in optional.items() if value},
    }


def _typical_duration_s(table: FeatureTable) -> float | None:
    """Median duration of the usable clips, in seconds; None if no duration is known."""
    durations = table.meta["duration_s"].dropna()
    return None if durations.empty else round(float(durations.median()), 3)
