"""Predictions for new recordings: the same features as in training, or an error that names the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.audio.isolation.calls import start_worker
from quintet.datasets.labels import join_labels
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import ConformalPredictor, require_confidence
from quintet.errors import AlignmentError, ConfigError
from quintet.features.catalogue import feature_family
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.extract import ProgressCallback
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.column_roles import Roles, quote_names
from quintet.features.storage.join import Joined, join_tables, joined_families, require_same_joins
from quintet.features.storage.read import read_feature_table, read_model_rows
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable
from quintet.inference.describe import (
    Descriptions,
    describe_recordings,
    feature_parameters,
    has_networks,
    segment_length_s,
)
from quintet.inference.inputs import expand_files
from quintet.inference.known_clips import KNOWN_COLUMNS, find_known, known_note
from quintet.model_folder.load import load_model

Floats = NDArray[np.float64]

TAG_THRESHOLD = 0.5  # a tag of a label set is predicted from this probability on
MOST_DIFFERENCES = 4  # in a message

WITHOUT_DISTANCE = (
    "This model's sets look at its probabilities alone: "
    "it is older than sets that look at the features too. Train again to have such sets."
)
UNGROUPED = (
    "Ungrouped split: this model was scored on clips whose groups may be in its training part. "
    "Expect lower accuracy than its scores, and lower coverage of its sets."
)


@dataclass(frozen=True)
class PredictionResult:
    """Predictions, one row per file.

    Args:
        frame: columns `file`, `verdict` (the ensemble prediction: the most probable class; for label sets the
            tags with a probability of 0.5 or more), `confidence` (the highest probability), `segments` (their
            number), `duration_s` (seconds that were used), `missing_s` (seconds that a truncated file states
            and does not hold), `set` if a confidence was asked for (the classes that cannot be excluded,
            joined by `;`; empty for none of the known classes), `out_of_class` in [0, 1), near 1 if no known
            class fits (not for label sets), `known_id` and `known_part` (the same recording in the data of
            the training, and its part of the split: `train`, `test` or `unused`; missing if there is none),
            and `probability.<class>`.
        segments: one row per segment: `file`, `start`, `end`, `probability.<class>`, and `distance` from all
            classes in feature space if the model measures it.
        failures: `file`, `stage`, `reason`, one row per segment that could not be read.
        truncated: `file`, `reason` of each file that is cut short; its prediction is made from the sound that
            is there.
        classes: class names.
        notes: limits of these predictions, and what was left out of folders, one sentence each.
        multilabel: whether labels are sets, so that `verdict` may be the empty set.
    """

    frame: pd.DataFrame
    segments: pd.DataFrame
    failures: pd.DataFrame
    truncated: pd.DataFrame
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    multilabel: bool = False


def predict_files(
    model: str | Path | EnsembleClassifier,
    files: Sequence[str | Path],
    *,
    segment_s: float | None = None,
    confidence: float | None = None,
    strict: bool = False,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> PredictionResult:
    """Class probabilities of audio files from the ensemble.

    Args:
        model: a model folder, or the result of `load_model`.
        files: paths of files, folders (searched for audio) and globs.
        segment_s: length of a segment, seconds. Files more than 1.5 times as long are cut into segments,
            whose probabilities are averaged. Default: the typical length of the training clips. 0: no file is
            cut.
        confidence: also give the set of classes that contains the true class with this probability, in (0,
            1). It holds for clips drawn like those of the training and no longer than a segment. An empty set
            means none of the known classes.
        strict: count a file that is cut short as failed. By default it is predicted from the sound that is
            there.
        n_jobs: number of worker processes; -1 is one per processor.
        progress: called as files are described.

    Raises:
        ArtefactError: if the model is damaged, or was trained on other features than this version of quintet
            makes.
        ConfigError: if a confidence is asked for and the model has no prediction sets.
        DatasetError: if there is no file.
    """
    start_worker(kernels_available)  # before the model is loaded: networks bring threads
    ensemble = model if isinstance(model, EnsembleClassifier) else load_model(model)
    _require_sets(ensemble, confidence)
    parameters = feature_parameters(ensemble)
    found = expand_files(files)
    with describe_recordings(
        found.files,
        parameters,
        segment_s=segment_length_s(ensemble, segment_s),
        log_mel=has_networks(ensemble),
        strict=strict,
        n_jobs=n_jobs,
        progress=progress,
    ) as descriptions:
        predictions = _predict_rows(ensemble, descriptions)
    result = _average_segments(ensemble, descriptions.table, "group", predictions, confidence)
    return replace(result, notes=(*result.notes, *found.notes))


def predict_table_file(
    model: str | Path | EnsembleClassifier,
    path: str | Path,
    *,
    id_column: str | None = None,
    join: Joined = (),
    confidence: float | None = None,
) -> PredictionResult:
    """Class probabilities for the rows of a file with a feature table.

    For a model that was trained on a table of another program, columns are found by their names, in any
    order, and have the roles that they had in the training. Labels may be missing.

    Args:
        model: a model folder, or the result of `load_model`.
        path: a CSV or parquet file.
        id_column: column with the ids. Default: the column of the training, or "id".
        join: the tables that were joined in the training, for these rows: files, or name → file.
        confidence: also give prediction sets, as in `predict_files`.

    Raises:
        AlignmentError: if columns are missing, or the parameter hashes differ.
        ArtefactError: if the model is damaged, or the file cannot be read.
        ConfigError: if a confidence is asked for and the model has no prediction sets.
        DatasetError: if `id_column` is missing, or ids repeat.
    """
    ensemble = model if isinstance(model, EnsembleClassifier) else load_model(model)
    bundle = ensemble.bundle_
    if bundle["feature_parameters"] is not None:
        table = read_feature_table(path, id_column=id_column)
    else:
        joined = joined_families(bundle)
        own = [name for name in bundle["feature_names"] if feature_family(name) not in joined]
        roles = Roles.from_json(bundle.get("table_roles", {}), features=own)
        if id_column is not None:
            roles = replace(roles, id=id_column, id_required=True)
        table = read_model_rows(path, roles)
    return predict_table(ensemble, join_tables(table, join) if join else table, confidence=confidence)


def predict_table(
    model: str | Path | EnsembleClassifier,
    table: FeatureTable,
    *,
    spectrograms: SpectrogramStore | None = None,
    confidence: float | None = None,
) -> PredictionResult:
    """Class probabilities for the rows of a feature table.

    Args:
        model: a model folder, or the result of `load_model`.
        table: a table with the columns that the model was trained on. Every row is predicted for itself.
        spectrograms: the spectrograms of the rows, if the model has networks.
        confidence: also give prediction sets, as in `predict_files`.

    Raises:
        AlignmentError: if columns are missing, or the parameter hashes differ.
        ConfigError: if a confidence is asked for and the model has no prediction sets.
    """
    ensemble = model if isinstance(model, EnsembleClassifier) else load_model(model)
    _require_sets(ensemble, confidence)
    expected, given = ensemble.bundle_["feature_hash"], ensemble.bundle_["feature_parameters"]
    by_name = given is None and table.parameters is None
    is_covered = table.parameter_hash == expected
    if given is not None and table.parameters is not None and not is_covered:
        is_covered = table.parameters.covers(FeatureParameters.parse(given, where="The model"))
    if not (is_covered or by_name):
        differences = _differences(ensemble.bundle_["feature_parameters"], table.metadata.get("parameters"))
        raise AlignmentError(
            f"A table must be made with the parameters of the model ({expected}). "
            f"Received {table.parameter_hash}{differences}: extract it again."
        )
    require_same_joins(ensemble.bundle_, table.metadata)
    predictions = _predict_rows(ensemble, Descriptions(table, spectrograms))
    result = _average_segments(ensemble, table, "id", predictions, confidence)
    return replace(result, notes=(*_table_notes(ensemble, table), *result.notes))


def _table_notes(ensemble: EnsembleClassifier, table: FeatureTable) -> list[str]:
    """Notes of a table, and its columns that the model does not use."""
    used = set(ensemble.bundle_["feature_names"])
    extra = [name for name in table.feature_names if name not in used]
    notes = [str(note) for note in table.metadata.get("notes", [])]
    if extra:
        notes.append(f"Columns that the model does not use are left out: {quote_names(extra)}.")
    return notes


def _predict_rows(ensemble: EnsembleClassifier, descriptions: Descriptions) -> pd.DataFrame:
    """Predictions of the usable rows: `probability.<class>`, and `distance` if the model measures it."""
    names = ensemble.bundle_["feature_names"]
    features = descriptions.table.features
    missing = [name for name in names if name not in features.columns]
    if missing:
        raise AlignmentError(
            f"The table must have the {len(names)} columns of the training. "
            f"{len(missing)} are missing: {quote_names(missing)}."
        )
    columns = _probability_columns(ensemble)
    if not len(features):
        measured = ["distance"] if ensemble.distance_ is not None else []
        return pd.DataFrame(columns=columns + measured, dtype=np.float64)
    spectrograms = descriptions.take_spectrograms(list(features.index))
    probabilities = ensemble.predict_proba(features[names], spectrograms=spectrograms)
    predictions = pd.DataFrame(probabilities, columns=columns)
    distances = ensemble.distances(features[names])
    return predictions if distances is None else predictions.assign(distance=distances)


def _probability_columns(ensemble: EnsembleClassifier) -> list[str]:
    return [f"probability.{name}" for name in ensemble.class_names_]


def _average_segments(
    ensemble: EnsembleClassifier,
    table: FeatureTable,
    file_column: str,
    predictions: pd.DataFrame,
    confidence: float | None,
) -> PredictionResult:
    """Average the predictions of the rows of each file.

    Args:
        ensemble: the model.
        table: the feature table.
        file_column: column of the table with the file of each row.
        predictions: predictions of the usable rows.
        confidence: of the prediction sets, or None.
    """
    meta, columns = table.meta, _probability_columns(ensemble)
    files = np.asarray(meta.index if file_column == "id" else meta[file_column], dtype=str)
    segments = pd.DataFrame({"file": files, "start": meta["start"].to_numpy(), "end": meta["end"].to_numpy()})
    segments[list(predictions.columns)] = predictions.to_numpy()
    order = list(dict.fromkeys(files))
    means, counts = predictions, np.empty(0, dtype=object)
    if order:
        by_file = segments.groupby("file", sort=False)
        means = by_file[list(predictions.columns)].mean().reindex(order)
        counts = by_file.size().reindex(order).to_numpy()
    probabilities = means[columns].to_numpy(np.float64)
    seconds = _seconds_by_file(meta, files).reindex(order)
    frame = pd.DataFrame(
        {
            "file": pd.Series(order, dtype="str"),
            "verdict": _label_files(ensemble, probabilities),
            "confidence": probabilities.max(axis=1) if order else np.empty(0),
            "segments": counts,
            "duration_s": seconds["duration_s"].to_numpy(),
            "missing_s": seconds["missing_s"].to_numpy(),
        }
    )
    if ensemble.conformal_ is not None:
        distances = means["distance"].to_numpy(np.float64) if "distance" in means else None
        if confidence is not None:
            frame["set"] = _prediction_sets(
                ensemble.conformal_, probabilities, confidence, distances, ensemble.class_names_
            )
        frame["out_of_class"] = ensemble.conformal_.out_of_class(probabilities, distances)
    known = find_known(ensemble, table, file_column)
    for name in KNOWN_COLUMNS:
        frame[name] = known[name].reindex(order).astype("str").to_numpy()
    frame[columns] = probabilities
    is_truncated = (meta["status"] == "truncated").to_numpy()
    truncated = pd.DataFrame({"file": files[is_truncated], "reason": meta["reason"].to_numpy()[is_truncated]})
    return PredictionResult(
        frame=frame,
        segments=segments,
        failures=_failures(table, file_column),
        truncated=truncated.drop_duplicates("file", ignore_index=True),
        classes=ensemble.class_names_,
        multilabel=ensemble.multilabel_,
        notes=(*_notes(ensemble, confidence), *known_note(known, len(order))),
    )


def _seconds_by_file(meta: pd.DataFrame, files: NDArray[np.str_]) -> pd.DataFrame:
    """Seconds of each file that were used (segments may overlap), and seconds that are missing at its end."""
    starts = meta["start"].fillna(0.0).astype(np.float64).to_numpy()
    ends = starts + meta["duration_s"].astype(np.float64).to_numpy()
    rows = pd.DataFrame({"start": starts, "end": ends, "missing_s": meta["missing_s"].to_numpy(np.float64)})
    by_file = rows.groupby(files, sort=False)
    duration_s = by_file["end"].max() - by_file["start"].min()
    return pd.DataFrame({"duration_s": duration_s, "missing_s": by_file["missing_s"].max()})


def _prediction_sets(
    conformal: ConformalPredictor,
    probabilities: Floats,
    confidence: float,
    distances: Floats | None,
    classes: tuple[str, ...],
) -> list[str]:
    """The prediction set of each file, its classes joined by `;`."""
    memberships = conformal.sets(probabilities, confidence, distances=distances)
    names = np.asarray(classes, dtype=object)
    return [join_labels(names[is_inside]) for is_inside in memberships]


def _label_files(ensemble: EnsembleClassifier, probabilities: Floats) -> list[str]:
    """The most probable class of each file; for label sets every tag from the threshold on, joined by `;`."""
    classes = ensemble.class_names_
    if not ensemble.multilabel_:
        return [classes[row.argmax()] for row in probabilities]
    names = np.asarray(classes, dtype=object)
    return [join_labels(names[row >= TAG_THRESHOLD]) for row in probabilities]


def _failures(table: FeatureTable, file_column: str) -> pd.DataFrame:
    ledger = table.failures
    columns = {"file": ledger[file_column], "stage": ledger["stage"], "reason": ledger["reason"]}
    return pd.DataFrame(columns).reset_index(drop=True)


def _notes(ensemble: EnsembleClassifier, confidence: float | None) -> tuple[str, ...]:
    """Limits of the predictions: sets without distances, and scores of an ungrouped split."""
    split = ensemble.bundle_.get("split", {"protocol": "group", "grouped": True})
    notes = []
    if confidence is not None and ensemble.distance_ is None:
        notes.append(WITHOUT_DISTANCE)
    if split.get("protocol") == "random" or (confidence is not None and not split.get("grouped")):
        notes.append(UNGROUPED)
    return tuple(notes)


def _require_sets(ensemble: EnsembleClassifier, confidence: float | None) -> None:
    """Refuse, before any audio is read, a confidence that cannot be served."""
    if confidence is None:
        return
    if ensemble.conformal_ is None:
        raise ConfigError(
            "Prediction sets are calibrated for models with one label per clip. "
            "This model predicts label sets: leave --confidence out."
        )
    require_confidence(confidence)


def _setting_text(value: object) -> str:
    """A setting in few words; of pretrained networks their names, contracts and windows."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return "none" if value is None else str(value)
    return ", ".join(
        f"{entry.get('network')} (contract {entry.get('contract')}, windows {entry.get('windows')})"
        for entry in value
    )


def _differences(expected: object, received: object) -> str:
    """Feature parameters that differ, in brackets; empty if one side is unknown."""
    if not isinstance(expected, Mapping) or not isinstance(received, Mapping):
        return ""
    texts = []
    for name, value in expected.items():
        other = received.get(name)
        if other != value:
            texts.append(f"{name} {_setting_text(other)} instead of {_setting_text(value)}")
    shown = "; ".join(texts[:MOST_DIFFERENCES])
    return f" ({shown})" if shown else ""
