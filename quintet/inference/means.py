"""Mean prediction and mean features of each of some files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.features.columns import feature_names
from quintet.features.extraction.segments import FileTask, describe_files
from quintet.inference.describe import (
    column_positions,
    feature_parameters,
    has_networks,
    make_job,
    predict_block,
    segment_length_s,
)
from quintet.inference.predictor import Predictor
from quintet.inference.rows import PredictedRow, usable_rows

Floats = NDArray[np.float64]


class FileMeans(NamedTuple):
    """Means over the segments of a file.

    Args:
        probabilities: of the classes, `(K,)`.
        features: the columns of the model, `(d,)`.
        rows: its usable segments.
    """

    probabilities: Floats
    features: Floats
    rows: list[PredictedRow]


class FileFailure(NamedTuple):
    """Why a file cannot be described: the stage and the reason, of its first segment."""

    stage: str
    reason: str


class MeansOfFiles:
    """Describes files in worker processes and predicts them, one by one.

    Args:
        predictor: the model, which predicts audio.
        n_jobs: number of worker processes.

    Raises:
        ArtefactError, AlignmentError: the model was trained on other features than this version makes.
    """

    def __init__(self, predictor: Predictor, *, n_jobs: int = 1) -> None:
        model = predictor.model
        parameters = feature_parameters(model)
        self.predictor, self.n_jobs = predictor, n_jobs
        self.columns = column_positions(model.bundle_["feature_names"], feature_names(parameters))
        self.job = make_job(parameters, log_mel=has_networks(model))
        self.segment_s = segment_length_s(model, None)

    def __call__(self, files: Sequence[str]) -> Iterator[tuple[int, FileMeans | FileFailure]]:
        """Position and means of each file, in any order, or why it cannot be described."""
        tasks = [FileTask(file, file, self.segment_s) for file in files]
        for position, found in describe_files(tasks, self.job, n_workers=self.n_jobs):
            predictions = predict_block(self.predictor, [(tasks[position], found)], self.columns)
            rows = usable_rows(predictions.rows)
            if not rows:
                failed = predictions.rows[0]
                yield position, FileFailure(str(failed.stage), str(failed.reason))
                continue
            values = [row.values for row in found.rows if row.values is not None]
            features = np.stack(values)[:, self.columns].astype(np.float64)
            yield position, FileMeans(predictions.probabilities.mean(axis=0), features.mean(axis=0), rows)
