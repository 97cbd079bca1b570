"""Features and spectrograms of new recordings, made as those of the training, and their predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.registry import member_entry
from quintet.errors import AlignmentError, ArtefactError, ConfigError
from quintet.features.catalogue import feature_family
from quintet.features.columns import feature_names
from quintet.features.extraction.chunks import Progress, ProgressCallback
from quintet.features.extraction.segments import FileRows, FileTask, describe_files
from quintet.features.extraction.worker import Job, Row
from quintet.features.parameters import FeatureParameters
from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject
from quintet.inference.inputs import SegmentRow, segment_row
from quintet.inference.predictor import Predictor
from quintet.inference.rows import PredictedRow, file_row

if TYPE_CHECKING:
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.frozen.ensemble import ExplainedEnsemble, FrozenEnsemble
    from quintet.inference.drift.new_files import FileFeatures

    AnyEnsemble = FrozenEnsemble | ExplainedEnsemble | EnsembleClassifier

FILES_AT_A_TIME, SEGMENTS_AT_A_TIME, ROWS_AT_A_TIME = 32, 64, 256
"""Files, or segments, whose descriptions are in memory before they are predicted, and rows that are predicted
together. Which files are predicted together depends on their order only, not on the workers."""

Spectrogram = NDArray[np.float32]
Floats = NDArray[np.float64]


class Predictions(NamedTuple):
    """Predictions of rows.

    Args:
        rows: the rows, failed ones included.
        probabilities: of the usable rows, `(n, K)`.
        distances: of the usable rows, `(n,)`; None if the model does not measure them.
    """

    rows: list[PredictedRow]
    probabilities: Floats
    distances: Floats | None


def predict_recordings(
    predictor: Predictor,
    files: Sequence[Path],
    *,
    segment_s: float | None,
    strict: bool = False,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
    features: FileFeatures | None = None,
) -> Predictions:
    """Describe the segments of files and predict them, some files at a time.

    Worker processes read the files: a crash, a hang or too much memory costs one file. The segments are cut
    while a file is decoded.

    Args:
        predictor: the model.
        files: the files.
        segment_s: length of a segment, seconds; files much longer are cut. 0 or None: no file is cut.
        strict: whether a recording that is cut short counts as failed.
        n_jobs: number of worker processes; -1 is one per processor.
        progress: called as files are described.
        features: collects the mean features of each file.

    Raises:
        ArtefactError: if the model was trained on other features than this version of quintet makes.
        AlignmentError: if the model reads a column that the features do not have.
    """
    model = predictor.model
    parameters = feature_parameters(model)
    columns = column_positions(model.bundle_["feature_names"], feature_names(parameters))
    job = make_job(parameters, log_mel=has_networks(model), strict=strict)
    tasks = [FileTask(name_text(file), str(file.absolute()), segment_s) for file in files]
    found: dict[int, FileRows] = {}
    block: list[tuple[FileTask, FileRows]] = []
    parts: list[Predictions] = []
    n_taken = 0
    state = Progress(total=len(tasks))
    if progress is not None:
        progress(state)
    for position, of_file in describe_files(tasks, job, n_workers=n_jobs):
        found[position] = of_file
        state = file_state(state, of_file)
        if progress is not None:
            progress(state)
        while n_taken in found:
            block.append((tasks[n_taken], found.pop(n_taken)))
            n_taken += 1
            if is_full(block) or n_taken == len(files):
                parts.append(predict_block(predictor, block, columns))
                if features is not None:
                    features.add(block)
                block = []
    return join_predictions(predictor, parts)


def is_full(block: Sequence[tuple[FileTask, FileRows]]) -> bool:
    """Whether the files of a block are predicted before more are added."""
    n_segments = sum(len(of_file.rows) for _, of_file in block)
    return len(block) >= FILES_AT_A_TIME or n_segments >= SEGMENTS_AT_A_TIME


def predict_block(
    predictor: Predictor, described: Sequence[tuple[FileTask, FileRows]], columns: NDArray[np.intp]
) -> Predictions:
    """Predictions of the segments of some files, which are described.

    Args:
        predictor: the model.
        described: the files, and the rows of their segments.
        columns: positions of the columns of the model among the features.
    """
    rows: list[PredictedRow] = []
    usable: list[Row] = []
    for task, of_file in described:
        for window, row in zip(of_file.windows, of_file.rows, strict=True):
            rows.append(file_row(task, window, row))
            if not row.failed:
                usable.append(row)
    parts = []
    for begin in range(0, len(usable), ROWS_AT_A_TIME):
        some = usable[begin : begin + ROWS_AT_A_TIME]
        features = np.stack([row.values for row in some if row.values is not None])[:, columns]
        pictures = [row.log_mel.T.astype(np.float32) for row in some if row.log_mel is not None]
        parts.append(Predictions([], *predictor.predict(features, pictures or None)))
    joined = join_predictions(predictor, parts)
    return joined._replace(rows=rows)


def join_predictions(predictor: Predictor, parts: Sequence[Predictions]) -> Predictions:
    """Several predictions of one model as one."""
    rows = [row for part in parts for row in part.rows]
    n_classes = len(predictor.model.class_names_)
    nothing = np.empty((0, n_classes))
    probabilities = np.concatenate([nothing, *(part.probabilities for part in parts)])
    distances = None
    if predictor.model.distance_ is not None:
        measured = [part.distances for part in parts if part.distances is not None]
        distances = np.concatenate([np.empty(0), *measured])
    return Predictions(rows, probabilities, distances)


def column_positions(wanted: Sequence[str], present: Sequence[str]) -> NDArray[np.intp]:
    """Positions of the columns of a model among those of a table.

    Args:
        wanted: columns of the model.
        present: columns of the table.

    Raises:
        AlignmentError: columns are missing.
    """
    place = {name: position for position, name in enumerate(present)}
    missing = [name for name in wanted if name not in place]
    if missing:
        from quintet.features.storage.column_roles import quote_names

        raise AlignmentError(
            f"The table must have the {len(wanted)} columns of the training. "
            f"{len(missing)} {'is' if len(missing) == 1 else 'are'} missing: {quote_names(missing)}."
        )
    return np.array([place[name] for name in wanted], dtype=np.intp)


def number_rows(files: Iterable[tuple[Path, FileRows]]) -> tuple[list[SegmentRow], list[Row]]:
    """Rows of the segments of files in order, for a manifest, and their rows of features.

    Args:
        files: pairs of a file and its rows.
    """
    segments: list[SegmentRow] = []
    rows: list[Row] = []
    for file, found in files:
        for window, row in zip(found.windows, found.rows, strict=True):
            rows.append(replace(row, position=len(segments)))
            segments.append(segment_row(file, window))
    return segments, rows


def file_state(state: Progress, found: FileRows) -> Progress:
    """The progress after one more file."""
    durations = [float(row.facts.get("duration_s") or 0.0) for row in found.rows]
    failed = any(row.failed for row in found.rows)
    return replace(
        state, done=state.done + 1, failed=state.failed + failed, audio_s=state.audio_s + sum(durations)
    )


def has_networks(ensemble: AnyEnsemble) -> bool:
    """Whether a member of the ensemble reads spectrograms."""
    return any(member_entry(name).input == "spectrogram" for name in ensemble.members_)


def segment_length_s(ensemble: AnyEnsemble, segment_s: float | None) -> float | None:
    """The given length of a segment; by default the typical length of the training clips, None if unknown.

    Raises:
        ConfigError: the given length is shorter than an analysis frame of the model, and not 0.
    """
    if segment_s is None:
        length: float | None = ensemble.bundle_["clip_seconds"]
        return length
    if segment_s != 0:
        parameters = feature_parameters(ensemble)
        frame_s = parameters.n_fft / parameters.sample_rate
        if not segment_s >= frame_s:  # nor NaN
            raise ConfigError(
                f"A segment must be as long as an analysis frame of the model ({frame_s:.3f} s) or longer. "
                f"Received {segment_s:g} s: choose a longer one, or 0, which cuts no file."
            )
    return segment_s


def make_job(parameters: FeatureParameters, *, log_mel: bool, strict: bool = False) -> Job:
    """What to do with every segment, with the pretrained networks of the parameters.

    Args:
        parameters: feature parameters of a model.
        log_mel: whether spectrograms are computed too.
        strict: whether a recording that is cut short counts as failed.

    Raises:
        ConfigError: the library lacks a network.
        ArtefactError: the library has another network of this name.
    """
    if not parameters.embeddings:
        return Job(parameters, log_mel=log_mel, strict=strict)
    from quintet.embeddings.columns.networks import find_embedder

    return Job(parameters, log_mel=log_mel, strict=strict, embedder=find_embedder(parameters))


def feature_parameters(ensemble: AnyEnsemble) -> FeatureParameters:
    """The feature parameters of a model, checked against the features of this version of quintet.

    Raises:
        ArtefactError: if the model was trained on a table that quintet did not make or on a joined one, or
            the hashes differ.
    """
    bundle = ensemble.bundle_
    if bundle["feature_parameters"] is None:
        raise ArtefactError(
            "To predict audio, a model must be trained on features that quintet made. "
            "This one was trained on a table from elsewhere: give rows of such a table to "
            "`quintet predict --table`."
        )
    if bundle.get("joined"):
        _refuse_joined(bundle)
    parameters = FeatureParameters.parse(bundle["feature_parameters"], where="The model")
    if parameters.hash != bundle["feature_hash"]:
        raise ArtefactError(
            "Features must be those of the training. "
            f"This model's have the hash {bundle['feature_hash']}, made by quintet {bundle.get('quintet')}; "
            f"this version's have {parameters.hash} for the same settings: "
            "use that version, or extract and train again."
        )
    return parameters


def _refuse_joined(bundle: JsonObject) -> None:
    """Refuse audio for a model that reads columns of a joined table.

    Raises:
        ArtefactError: always, with the tables.
    """
    from quintet.features.storage.join import joined_families

    joined = joined_families(bundle)
    n_columns = sum(feature_family(name) in joined for name in bundle["feature_names"])
    files = ", ".join(dict.fromkeys(str(record["file"]) for record in joined.values()))
    raise ArtefactError(
        f"To predict audio, a model must read only columns that quintet makes. {n_columns} of this model "
        f"are from a joined table ({files}): give rows to `quintet predict --table` with `--join`."
    )
