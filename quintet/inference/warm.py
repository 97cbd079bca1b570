"""A model that stays in memory and answers file by file: `quintet serve` uses it.

The steps are those of `predict_files`: describe a recording, predict the rows of some recordings together,
and average the rows of each. The caller decides which thread does which step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quintet.audio.isolation.pool import WorkerPool
from quintet.features.columns import feature_names
from quintet.features.extraction.segments import FileRows, FileTask, describe_files
from quintet.features.extraction.worker import Job
from quintet.inference.describe import (
    Predictions,
    column_positions,
    feature_parameters,
    has_networks,
    make_job,
    predict_block,
    segment_length_s,
)
from quintet.inference.predict import average_rows, require_sets
from quintet.inference.predictor import Predictor, find_predictor
from quintet.inference.result import PredictionResult
from quintet.inference.rows import usable_rows

Described = tuple[FileTask, FileRows]


@dataclass(frozen=True)
class WarmModel:
    """A loaded model, and what is the same for every recording.

    Args:
        predictor: the model.
        columns: positions of its columns among the features.
        jobs: what to do with every segment, for `strict` False and True.
    """

    predictor: Predictor
    columns: NDArray[np.intp]
    jobs: tuple[Job, Job]

    @classmethod
    def load(cls, model: str | Path) -> WarmModel:
        """Load a model folder, with the list of the clips of its training.

        Args:
            model: the folder.

        Raises:
            ArtefactError: it is damaged, or was trained on other features than this version of quintet makes.
            AlignmentError: it reads a column that the features do not have.
        """
        predictor = find_predictor(model)
        parameters = feature_parameters(predictor.model)
        columns = column_positions(predictor.model.bundle_["feature_names"], feature_names(parameters))
        log_mel = has_networks(predictor.model)
        jobs = (make_job(parameters, log_mel=log_mel), make_job(parameters, log_mel=log_mel, strict=True))
        _ = predictor.known_clips  # now, not with the first recording
        return cls(predictor, columns, jobs)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.predictor.model.class_names_

    def task(self, name: str, path: str, segment_s: float | None = None) -> FileTask:
        """A recording to describe.

        Args:
            name: its name in the answer.
            path: the file.
            segment_s: length of a segment, seconds, as in `predict_files`.
        """
        return FileTask(name, path, self.segment_length_s(segment_s))

    def segment_length_s(self, segment_s: float | None) -> float | None:
        """The given length of a segment, seconds; by default that of the training.

        Raises:
            ConfigError: the given one is shorter than an analysis frame of the model, and not 0.
        """
        return segment_length_s(self.predictor.model, segment_s)

    def require_sets(self, confidence: float | None) -> None:
        """Refuse a confidence that this model cannot serve.

        Raises:
            ConfigError: the model has no prediction sets, or the number is not between 0 and 1.
        """
        require_sets(self.predictor, confidence)

    def describe(self, task: FileTask, pool: WorkerPool, *, strict: bool = False) -> FileRows:
        """Rows of the segments of a recording, made in a worker process.

        Args:
            task: the recording.
            pool: one worker process, which nothing else uses meanwhile.
            strict: whether a recording that is cut short counts as failed.

        Raises:
            QuintetError: the machine cannot do the work. No recording caused it.
        """
        ((_, rows),) = describe_files([task], self.jobs[strict], pool=pool)
        return rows

    def predict(self, described: Sequence[Described]) -> list[Predictions]:
        """Predictions of some recordings together, one result for each.

        Args:
            described: the recordings, and the rows of their segments.
        """
        together = predict_block(self.predictor, described, self.columns)
        parts = []
        n_rows = n_usable = 0
        for _, found in described:
            rows = together.rows[n_rows : n_rows + len(found.rows)]
            usable = slice(n_usable, n_usable + len(usable_rows(rows)))
            distances = None if together.distances is None else together.distances[usable]
            parts.append(Predictions(rows, together.probabilities[usable], distances))
            n_rows, n_usable = n_rows + len(found.rows), usable.stop
        return parts

    def average(self, predictions: Predictions, confidence: float | None) -> PredictionResult:
        """The result of a recording.

        Args:
            predictions: of its segments.
            confidence: of the prediction set; None gives no set.
        """
        keys = [row.digest for row in usable_rows(predictions.rows)]
        return average_rows(self.predictor, predictions, keys, confidence)
