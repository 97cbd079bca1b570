"""Predictions for new recordings: the same features as in training, or an error that names the difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.audio.isolation.calls import start_worker
from quintet.datasets.labels import join_labels
from quintet.ensemble.conformal import ConformalPredictor, require_confidence
from quintet.ensemble.label_sets.risk_control import PROMISES
from quintet.errors import AlignmentError, ConfigError, DatasetError, unknown_name
from quintet.features.catalogue import feature_family
from quintet.features.columns import feature_names
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.parameters import FeatureParameters
from quintet.files.display.file_names import name_text
from quintet.inference.clips import Recording, as_files, rename
from quintet.inference.describe import (
    ROWS_AT_A_TIME,
    Predictions,
    column_positions,
    feature_parameters,
    join_predictions,
    predict_recordings,
    segment_length_s,
)
from quintet.inference.drift.new_files import FileFeatures, with_drift
from quintet.inference.inputs import WITHOUT_PARAMETERS, expand_files, refuse_columns
from quintet.inference.known_clips import find_known, known_note, row_keys
from quintet.inference.predictor import Predictor, find_predictor
from quintet.inference.result import Columns, PredictionResult
from quintet.inference.rows import PredictedRow, first_of_each, table_rows, usable_rows

if TYPE_CHECKING:
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.features.storage.join import Joined
    from quintet.features.storage.spectrograms import SpectrogramStore
    from quintet.features.storage.table import FeatureTable
    from quintet.frozen.ensemble import FrozenEnsemble

__all__ = ["PredictionResult", "predict_files", "predict_table", "predict_table_file"]

Floats = NDArray[np.float64]

TAG_THRESHOLD = 0.5  # a tag of a label set is predicted from this probability on

WITHOUT_DISTANCE = (
    "This model's sets look at its probabilities alone: "
    "it is older than sets that look at the features too. Train again to have such sets."
)
UNGROUPED = (
    "Ungrouped split: this model was scored on clips whose groups may be in its training part. "
    "Expect lower accuracy than its scores, and lower coverage of its sets."
)


def predict_files(
    model: str | Path | EnsembleClassifier | Predictor,
    files: Recording | Iterable[Recording],
    *,
    segment_s: float | None = None,
    confidence: float | None = None,
    promise: str = "recall",
    strict: bool = False,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> PredictionResult:
    """Class probabilities of audio files and clips from the ensemble.

    Args:
        model: a model folder, a fitted ensemble, or what answers for one.
        files: paths of files, folders (searched for audio) and globs, and `Clip`s: one, or several.
        segment_s: length of a segment, seconds. Files more than 1.5 times as long are cut into segments,
            whose probabilities are averaged. Default: the typical length of the training clips. 0: no file is
            cut.
        confidence: also give the set of classes that contains the true class with this probability, in (0,
            1). It holds for clips drawn like those of the training and no longer than a segment. An empty set
            means none of the known classes. For label sets: the tags of which this share of the true ones is
            found, or is true.
        promise: for label sets, what the confidence is about: `recall` or `precision`.
        strict: count a file that is cut short as failed. By default it is predicted from the sound that is
            there.
        n_jobs: number of worker processes; -1 is one per processor.
        progress: called as files are described.

    Raises:
        ArtefactError: if the model is damaged, or was trained on other features than this version of quintet
            makes.
        ConfigError: if something else than paths and clips is given, if two clips have one id, if a
            segment is shorter than an analysis frame, or if a confidence is asked for and the model has no
            prediction sets.
        DatasetError: if there is no file.
    """
    with as_files(files) as recordings:
        start_worker(kernels_available)  # before the model is loaded: networks bring threads
        predictor = find_predictor(model)
        require_sets(predictor, confidence, promise)
        length_s = segment_length_s(predictor.model, segment_s)
        parameters = feature_parameters(predictor.model)
        found = expand_files(recordings.paths)
        columns = column_positions(predictor.model.bundle_["feature_names"], feature_names(parameters))
        features = FileFeatures(columns)
        predictions = predict_recordings(
            predictor,
            found.files,
            segment_s=length_s,
            strict=strict,
            n_jobs=n_jobs,
            progress=progress,
            features=features,
        )
        keys = [row.digest for row in usable_rows(predictions.rows)]
        result = average_rows(
            predictor, predictions, keys, confidence, promise=promise, notes_after=found.notes
        )
        result = with_drift(result, predictor, lambda files: [features.by_file[file] for file in files])
    return rename(result, recordings.names)


def predict_table_file(
    model: str | Path | EnsembleClassifier,
    path: str | Path,
    *,
    id_column: str | None = None,
    join: Joined = (),
    confidence: float | None = None,
    promise: str = "recall",
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
        promise: for label sets, as there.

    Raises:
        AlignmentError: if columns are missing, or the parameter hashes differ.
        ArtefactError: if the model is damaged, or the file cannot be read.
        ConfigError: if a confidence is asked for and the model has no prediction sets.
        DatasetError: if `id_column` is missing, ids repeat, or there is no row.
    """
    predictor = find_predictor(model)
    table = read_rows(predictor, path, id_column=id_column, join=join)
    return _predict_table(predictor, table, None, confidence, promise)


def read_rows(
    predictor: Predictor, path: str | Path, *, id_column: str | None = None, join: Joined = ()
) -> FeatureTable:
    """New rows for a model, as `predict_table_file` reads them.

    Args:
        predictor: the model.
        path: a CSV or parquet file.
        id_column: column with the ids.
        join: the tables that were joined in the training, for these rows.

    Raises:
        AlignmentError: columns are missing.
        ArtefactError: the file cannot be read.
        DatasetError: `id_column` is missing, ids repeat, or there is no row.
    """
    from quintet.features.storage.column_roles import Roles
    from quintet.features.storage.join import join_tables, joined_families
    from quintet.features.storage.read import read_feature_table, read_model_rows, stored_metadata

    bundle = predictor.model.bundle_
    if bundle["feature_parameters"] is not None:
        if Path(path).is_file() and stored_metadata(Path(path)) is None:
            raise AlignmentError(WITHOUT_PARAMETERS)
        table = read_feature_table(path, id_column=id_column)
    else:
        joined = joined_families(bundle)
        own = [name for name in bundle["feature_names"] if feature_family(name) not in joined]
        roles = Roles.from_json(bundle.get("table_roles", {}), features=own)
        if id_column is not None:
            roles = replace(roles, id=id_column, id_required=True)
        table = read_model_rows(path, roles)
    if not len(table.frame):
        raise DatasetError(
            f"A table must have a row at least. '{name_text(path)}' has no row below its names."
        )
    return join_tables(table, join) if join else table


def predict_table(
    model: str | Path | EnsembleClassifier | Predictor,
    table: FeatureTable,
    *,
    spectrograms: SpectrogramStore | None = None,
    confidence: float | None = None,
    promise: str = "recall",
) -> PredictionResult:
    """Class probabilities for the rows of a feature table.

    Args:
        model: a model folder, or the result of `load_model`.
        table: a table with the columns that the model was trained on. Every row is predicted for itself.
        spectrograms: the spectrograms of the rows, if the model has networks.
        confidence: also give prediction sets, as in `predict_files`.
        promise: for label sets, as there.

    Raises:
        AlignmentError: if columns are missing, or the parameter hashes differ.
        ConfigError: if a confidence is asked for and the model has no prediction sets.
    """
    return _predict_table(find_predictor(model), table, spectrograms, confidence, promise)


def _predict_table(
    predictor: Predictor,
    table: FeatureTable,
    spectrograms: SpectrogramStore | None,
    confidence: float | None,
    promise: str,
) -> PredictionResult:
    from quintet.features.storage.join import require_same_joins

    model = predictor.model
    require_sets(predictor, confidence, promise)
    expected, given = model.bundle_["feature_hash"], model.bundle_["feature_parameters"]
    by_name = given is None and table.parameters is None
    is_covered = table.parameter_hash == expected
    if given is not None and table.parameters is not None and not is_covered:
        is_covered = table.parameters.covers(FeatureParameters.parse(given, where="The model"))
    if not (is_covered or by_name):
        refuse_columns(model.bundle_, table)
    require_same_joins(model.bundle_, table.metadata)
    columns = column_positions(model.bundle_["feature_names"], table.feature_names)
    parts = []
    for begin in range(0, len(table.features), ROWS_AT_A_TIME):
        some = table.features.iloc[begin : begin + ROWS_AT_A_TIME]
        pictures = None if spectrograms is None else spectrograms.take(list(some.index))
        values = some.to_numpy(np.float32)[:, columns]
        parts.append(Predictions([], *predictor.predict(values, pictures)))
    predictions = join_predictions(predictor, parts)._replace(rows=table_rows(table))
    is_audio = model.bundle_["feature_parameters"] is not None
    usable = usable_rows(predictions.rows)
    keys = (
        [row.digest for row in usable]
        if is_audio
        else row_keys(table.features[model.bundle_["feature_names"]])
    )
    notes = table_notes(predictor, table)
    result = average_rows(
        predictor, predictions, keys, confidence, promise=promise, notes_before=notes, noun="rows"
    )

    def read(ids: list[str]) -> list[Floats]:
        place = {row.file: k for k, row in enumerate(usable)}
        some = table.features.iloc[[place[id] for id in ids]]
        return list(some.to_numpy(np.float64)[:, columns])

    return with_drift(result, predictor, read, noun="rows")


def table_notes(predictor: Predictor, table: FeatureTable) -> list[str]:
    """Notes of a table, and its columns that the model does not use."""
    from quintet.features.storage.column_roles import quote_names

    used = set(predictor.model.bundle_["feature_names"])
    extra = [name for name in table.feature_names if name not in used]
    notes = [str(note) for note in table.metadata.get("notes", [])]
    if extra:
        notes.append(f"Columns that the model does not use are left out: {quote_names(extra)}.")
    return notes


def average_rows(
    predictor: Predictor,
    predictions: Predictions,
    keys: Sequence[str | None],
    confidence: float | None,
    *,
    promise: str = "recall",
    notes_before: Sequence[str] = (),
    notes_after: Sequence[str] = (),
    noun: str = "files",
) -> PredictionResult:
    """Average the predictions of the rows of each file.

    Args:
        predictor: the model.
        predictions: of the rows.
        keys: what each usable row is recognised by among the clips of the training.
        confidence: of the prediction sets, or None.
        promise: for label sets, what the confidence is about.
        notes_before: sentences before those about the predictions.
        notes_after: sentences after them.
        noun: what is predicted: `files` or `rows`.
    """
    model = predictor.model
    rows = usable_rows(predictions.rows)
    names = [f"probability.{name}" for name in model.class_names_]
    files = list(dict.fromkeys(row.file for row in rows))
    place = {file: k for k, file in enumerate(files)}
    owners = np.array([place[row.file] for row in rows], dtype=np.intp)
    counts = np.bincount(owners, minlength=len(files))
    probabilities = _means(predictions.probabilities, owners, counts)
    distances = predictions.distances
    columns = Columns(
        file=files,
        verdict=_label_files(model, probabilities),
        confidence=probabilities.max(axis=1).tolist() if files else [],
        segments=counts.tolist(),
        **_seconds(rows, owners, len(files)),
    )
    if model.conformal_ is not None:
        means = None if distances is None else _means(distances[:, None], owners, counts)[:, 0]
        if confidence is not None:
            columns["set"] = _prediction_sets(
                model.conformal_, probabilities, confidence, means, model.class_names_
            )
        columns["out_of_class"] = model.conformal_.out_of_class(probabilities, means).tolist()
    elif model.tag_sets_ is not None and confidence is not None:
        inside = model.tag_sets_.sets(probabilities, confidence, promise=promise)
        columns["set"] = _set_names(inside, model.class_names_)
    known = find_known(predictor.known_clips if rows else None, rows, keys)
    columns["known_id"] = [known[file].id if file in known else None for file in files]
    columns["known_part"] = [known[file].part if file in known else None for file in files]
    columns |= _matrix(names, probabilities)
    segments = _facts(rows, "file", "start", "end") | _matrix(names, predictions.probabilities)
    if distances is not None:
        segments["distance"] = distances.tolist()
    failed = [row for row in predictions.rows if not row.usable]
    truncated = first_of_each(row for row in rows if row.status == "truncated")
    return PredictionResult(
        frame=columns,
        segments=Columns(segments),
        failures=_facts(failed, "file", "stage", "reason"),
        truncated=_facts(truncated, "file", "reason"),
        classes=model.class_names_,
        multilabel=model.multilabel_,
        notes=(
            *notes_before,
            *_notes(predictor, confidence, promise),
            *known_note(known, len(files), noun),
            *notes_after,
        ),
    )


def _facts(rows: Sequence[PredictedRow], *names: str) -> Columns:
    """Facts of rows as columns."""
    return Columns((name, [getattr(row, name) for row in rows]) for name in names)


def _matrix(names: Sequence[str], values: Floats) -> Columns:
    """The columns of a matrix with their names."""
    return Columns(zip(names, values.T.tolist(), strict=True))


def _means(values: Floats, owners: NDArray[np.intp], counts: NDArray[np.intp]) -> Floats:
    """Mean of the rows of each file, `(files, k)`."""
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, owners, values)
    return np.asarray(sums / counts[:, None])


def _seconds(rows: Sequence[PredictedRow], owners: NDArray[np.intp], n_files: int) -> dict[str, list[float]]:
    """Seconds of each file that were used (segments may overlap), and seconds that are missing at its end."""
    starts = np.nan_to_num(np.array([row.start for row in rows], dtype=np.float64))
    ends = starts + np.array([row.duration_s for row in rows], dtype=np.float64)
    first, last = np.full(n_files, np.inf), np.full(n_files, -np.inf)
    missing = np.full(n_files, np.nan)
    np.fmin.at(first, owners, np.where(np.isnan(ends), np.nan, starts))
    np.fmax.at(last, owners, ends)
    np.fmax.at(missing, owners, np.array([row.missing_s for row in rows], dtype=np.float64))
    duration_s = np.where(np.isfinite(last), last - first, np.nan)
    return {"duration_s": duration_s.tolist(), "missing_s": missing.tolist()}


def _prediction_sets(
    conformal: ConformalPredictor,
    probabilities: Floats,
    confidence: float,
    distances: Floats | None,
    classes: tuple[str, ...],
) -> list[str]:
    """The prediction set of each file, its classes joined by `;`."""
    return _set_names(conformal.sets(probabilities, confidence, distances=distances), classes)


def _set_names(memberships: NDArray[np.bool_], classes: tuple[str, ...]) -> list[str]:
    """The names in each set, joined by `;`."""
    names = np.asarray(classes, dtype=object)
    return [join_labels(names[is_inside]) for is_inside in memberships]


def _label_files(model: FrozenEnsemble | EnsembleClassifier, probabilities: Floats) -> list[str]:
    """The most probable class of each file; for label sets every tag from the threshold on, joined by `;`."""
    classes = model.class_names_
    if not model.multilabel_:
        return [classes[row.argmax()] for row in probabilities]
    names = np.asarray(classes, dtype=object)
    return [join_labels(names[row >= TAG_THRESHOLD]) for row in probabilities]


def _notes(predictor: Predictor, confidence: float | None, promise: str) -> tuple[str, ...]:
    """Limits of the predictions: what sets cannot promise, and scores of an ungrouped split."""
    split = predictor.model.bundle_.get("split", {"protocol": "group", "grouped": True})
    notes = []
    sets = predictor.model.tag_sets_
    if confidence is not None and sets is not None:
        notes += sets.limits(confidence, promise)
    elif confidence is not None and predictor.model.distance_ is None:
        notes.append(WITHOUT_DISTANCE)
    if split.get("protocol") == "random" or (confidence is not None and not split.get("grouped")):
        notes.append(UNGROUPED)
    return (*predictor.notes, *notes)


def require_sets(predictor: Predictor, confidence: float | None, promise: str = "recall") -> None:
    """Refuse, before any audio is read, a confidence or a promise that cannot be served."""
    tag_sets, is_of_tags = predictor.model.tag_sets_, predictor.model.multilabel_
    if promise not in PROMISES:
        raise unknown_name("promise", promise, PROMISES)
    if promise != PROMISES[0] and not is_of_tags:
        raise ConfigError(
            f"A promise of {promise} is for label sets. This model predicts one class per clip, whose set "
            "contains the true class with the confidence: leave the promise out."
        )
    if confidence is None:
        return
    if is_of_tags and tag_sets is None:
        raise ConfigError(
            "Tag sets need a calibration, which training writes. "
            "This model of label sets is of an earlier version: train it again, or leave the confidence out."
        )
    if not is_of_tags and predictor.model.conformal_ is None:
        raise ConfigError(
            "Prediction sets need a calibration, which training writes. "
            "This model has none: train it again, or leave the confidence out."
        )
    require_confidence(confidence)
