"""Prediction of one track over time: every segment, and short windows of a short track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.audio.isolation.calls import start_worker
from quintet.audio.reading.segments import Whole, Window
from quintet.errors import AudioError
from quintet.explanation.track import TrackPrediction
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import Progress, ProgressCallback
from quintet.features.extraction.in_memory import collect_rows, describe_clips
from quintet.features.extraction.segments import FileTask, describe_files
from quintet.features.storage.table import FeatureTable, is_usable
from quintet.files.display.file_names import name_text
from quintet.inference.describe import (
    feature_parameters,
    file_state,
    make_job,
    number_rows,
    segment_length_s,
)
from quintet.inference.inputs import SegmentRow, segment_manifest, segment_row

Floats = NDArray[np.float64]

N_WINDOWS, SHORTEST_WINDOW_S = 6, 1.0
"""Windows of a short track: about six, each overlaps the next by half, none is shorter than a second. They
show how the prediction changes over time. They are not part of the prediction."""

if TYPE_CHECKING:
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.frozen.ensemble import ExplainedEnsemble


def predict_track(
    ensemble: EnsembleClassifier | ExplainedEnsemble,
    file: Path,
    *,
    segment_s: float | None = None,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> TrackPrediction:
    """Predictions of the members and the ensemble for every segment of a file.

    The mean of `ensemble_predictions` is the prediction of `predict_files`.

    Args:
        ensemble: a model that `load_model` returned.
        file: the audio file.
        segment_s: length of a segment, as in `predict_files`.
        n_jobs: number of worker processes; -1 is one per processor.
        progress: called as segments are described.

    Raises:
        AudioError: if no segment can be described.
        ArtefactError: if the model was trained on other features than this version of quintet makes.
    """
    start_worker(kernels_available)
    parameters = feature_parameters(ensemble)
    job = make_job(parameters, log_mel=True)
    task = FileTask(
        name_text(file), str(file.absolute()), segment_length_s(ensemble, segment_s), with_digest=True
    )
    ((_, found),) = describe_files([task], job)
    if progress is not None:
        progress(file_state(Progress(total=1), found))
    segments, rows = number_rows([(file, found)])
    has_short_windows = len(rows) == 1 and not rows[0].failed
    if has_short_windows:
        duration_s = float(rows[0].facts["duration_s"] or 0.0)
        windows = segment_manifest(_short_windows(file, duration_s))
        for row in describe_clips(windows, job, n_jobs=n_jobs):
            rows.append(replace(row, position=row.position + 1))
        segments += [
            SegmentRow(*row) for row in windows.frame[list(SegmentRow._fields)].itertuples(index=False)
        ]
    manifest = replace(segment_manifest(segments), name="explanation")
    clips = collect_rows(manifest, parameters, rows)
    table = clips.table
    usable = list(table.meta.index)
    segment_ids = [
        segment_row(file, window).id
        for window, row in zip(found.windows, found.rows, strict=True)
        if not row.failed
    ]
    if not segment_ids:
        raise AudioError(_reason(table, manifest.frame["id"].iloc[0]))
    members = ensemble.member_probabilities(
        table.features.loc[usable, ensemble.bundle_["feature_names"]],
        spectrograms=[clips.spectrograms[id] for id in usable],
    )
    pictures = tuple(np.asarray(clips.spectrograms[id]) for id in segment_ids)
    return _track_prediction(ensemble, file, table, segment_ids, members, pictures, found.whole)


def _short_windows(file: Path, duration_s: float) -> list[SegmentRow]:
    """Overlapping windows of a short file, if it is long enough for two."""
    length_s = max(SHORTEST_WINDOW_S, 2 * duration_s / (N_WINDOWS + 1))
    if duration_s < 1.5 * length_s:
        return []
    last_start_s = duration_s - length_s
    n = round(last_start_s / (length_s / 2)) + 1
    starts = np.linspace(0, last_start_s, max(n, 2))
    return [_short_window(file, float(start), length_s, duration_s) for start in starts]


def _short_window(file: Path, start_s: float, length_s: float, duration_s: float) -> SegmentRow:
    end_s = round(start_s + length_s, 3)
    row = segment_row(file, Window(round(start_s, 3), end_s))
    return row._replace(end=min(end_s, duration_s))  # rounding may lead past the end of the file


def _reason(table: FeatureTable, id: str) -> str:
    """The reason why a segment failed."""
    reasons = table.failures.set_index("id")["reason"]
    return str(reasons.get(id, "nothing in it can be described"))


def _track_prediction(
    ensemble: EnsembleClassifier | ExplainedEnsemble,
    file: Path,
    table: FeatureTable,
    segment_ids: list[str],
    members: Mapping[str, Floats],
    pictures: tuple[NDArray[np.float32], ...],
    whole: Whole | None,
) -> TrackPrediction:
    """Gather the predictions of a track.

    Args:
        ensemble: the model.
        file: the audio file.
        table: features of the segments and of the short windows.
        segment_ids: ids of the usable segments, whose mean is the prediction.
        members: member → probabilities of the usable rows of the table.
        pictures: spectrograms of the segments.
        whole: facts of the file; None if it could not be read to its end.
    """
    meta = table.meta
    segments = meta.loc[segment_ids]
    positions = meta.index.get_indexer(pd.Index(segment_ids))
    probabilities = ensemble.fuse_and_calibrate(members)
    features = table.features.loc[segment_ids, ensemble.bundle_["feature_names"]]
    distances = ensemble.distances(features)
    starts, ends = _segment_times(segments)
    short_windows = [id for id in meta.index if id not in segment_ids]
    first = segments.iloc[0]
    return TrackPrediction(
        name=name_text(file.name),
        duration_s=max(*ends, 0.0 if whole is None else whole.duration_s) if len(ends) > 1 else ends[0],
        native_sample_rate=int(first["native_sample_rate"]),
        native_channels=int(first["native_channels"]),
        digests=_digests(segments, whole),
        classes=ensemble.class_names_,
        multilabel=ensemble.multilabel_,
        starts=starts,
        ends=ends,
        features=features,
        pictures=pictures,
        log_mel=feature_parameters(ensemble).log_mel,
        members={name: values[positions] for name, values in members.items()},
        ensemble_predictions=probabilities[positions],
        curve=_curve(meta, short_windows or segment_ids, probabilities, ensemble.class_names_),
        has_short_windows=bool(short_windows),
        conformal=ensemble.conformal_,
        distance=None if distances is None else float(distances.mean()),
        unusable_windows=_unusable_windows(table, segments),
    )


def _unusable_windows(table: FeatureTable, segments: pd.DataFrame) -> pd.DataFrame:
    """Parts of the recording without a prediction: `start, end, reason`; also the end of a truncated file."""
    failed = table.frame.loc[~is_usable(table.frame), ["start", "end", "reason"]]
    cut = segments[segments["status"] == "truncated"]
    ends = cut["start"].fillna(0.0).astype(float) + cut["duration_s"].astype(float)
    missing = pd.DataFrame(
        {"start": ends, "end": ends + cut["missing_s"].astype(float), "reason": cut["reason"]}
    )
    return pd.concat([failed, missing], ignore_index=True)


def _segment_times(segments: pd.DataFrame) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Starts and ends of the segments, seconds."""
    starts = [float(start) for start in segments["start"]]
    is_whole_file = len(starts) == 1 and not np.isfinite(starts[0])
    if is_whole_file:
        starts = [0.0]
    durations = segments["duration_s"]
    ends = [float(start + duration) for start, duration in zip(starts, durations, strict=True)]
    return tuple(starts), tuple(ends)


def _curve(
    meta: pd.DataFrame, ids: list[str], probabilities: Floats, classes: tuple[str, ...]
) -> pd.DataFrame:
    """The ensemble prediction over time: `start, end` and one column per class, sorted by start."""
    positions = meta.index.get_indexer(pd.Index(ids))
    curve = pd.DataFrame(probabilities[positions], columns=list(classes))
    rows = meta.loc[ids]
    starts = rows["start"].fillna(0.0).astype(float).to_numpy()
    durations = rows["duration_s"].astype(float).to_numpy()
    curve.insert(0, "start", starts)
    curve.insert(1, "end", starts + durations)
    by_start = curve.sort_values("start", kind="stable")
    return by_start.reset_index(drop=True)


def _digests(segments: pd.DataFrame, whole: Whole | None) -> tuple[str, ...]:
    """Digests of the segments. If the file was cut, the digest of the whole file comes first.

    A file with a damaged end has none: its segments can be read, the whole of it cannot.
    """
    digests = tuple(str(digest) for digest in segments["audio_digest"])
    if len(digests) == 1 or whole is None or not whole.audio_digest:
        return digests
    return (whole.audio_digest, *digests)
