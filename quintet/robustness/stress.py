"""Predictions of a model for disturbed copies of recordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from quintet.audio.isolation.calls import map_isolated, start_worker
from quintet.errors import DatasetError, MissingExtraError, unknown_name
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import Progress, ProgressCallback
from quintet.files.display.file_names import name_text
from quintet.files.paths import name_list, path_list
from quintet.inference.describe import feature_parameters
from quintet.inference.known_clips import find_known
from quintet.inference.means import FileFailure, FileMeans, MeansOfFiles
from quintet.inference.predictor import Predictor, find_predictor
from quintet.robustness.disturbances import DISTURBANCES, UNCHANGED, disturbed_file, write_disturbed
from quintet.robustness.recordings import Labelled, find_recordings
from quintet.robustness.report import StressReport, make_report

Floats = NDArray[np.float64]

SECONDS = 30.0
"""Longest part of a recording that is used: its middle."""
FILES_AT_A_TIME = 8
"""Recordings whose disturbed copies are on the disk at the same time."""


@dataclass(frozen=True)
class Copies:
    """Predictions and features of the disturbed copies of n recordings.

    Args:
        probabilities: disturbance → `(n, K)`, NaN where a copy could not be described.
        features: disturbance → `(n, d)`, means over segments, NaN likewise.
        trained: positions of recordings whose sound is that of a clip of the training part.
        failed: position → why a recording could not be read.
    """

    probabilities: dict[str, Floats]
    features: dict[str, Floats]
    trained: set[int] = field(default_factory=set)
    failed: dict[int, FileFailure] = field(default_factory=dict)


def stress(
    model: str | Path,
    files: str | Path | Iterable[str | Path] | None = None,
    *,
    names: str | Iterable[str] = (),
    seconds: float = SECONDS,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> StressReport:
    """How the predictions of a model change if recordings are disturbed.

    Args:
        model: a model folder that predicts audio.
        files: audio files, folders and globs: one, or several. The folder of a file is its label if the
            model has a class of this name. Default: the held-out clips of the training, with their labels
            and groups.
        names: names of `DISTURBANCES`. Default: all.
        seconds: longest part of a recording that is used, in seconds: its middle.
        n_jobs: number of worker processes.
        progress: called after each copy.

    Raises:
        ArtefactError: the model is damaged, or predicts no audio.
        ConfigError: a disturbance is unknown.
        DatasetError: there is no recording, or none can be read.
    """
    names = name_list(names)
    unknown = [name for name in names if name not in DISTURBANCES]
    if unknown:
        raise unknown_name("disturbance", unknown[0], DISTURBANCES)
    chosen = tuple(dict.fromkeys((UNCHANGED, *(names or DISTURBANCES))))
    start_worker(kernels_available)  # before the model is loaded: networks bring threads
    predictor = find_predictor(model)
    feature_parameters(predictor.model)  # a model of other features predicts no audio, whatever is named
    recordings = find_recordings(predictor.model, [] if files is None else path_list(files))
    copies = _predict_copies(predictor, recordings, chosen, seconds, n_jobs=n_jobs, progress=progress)
    is_read = np.isfinite(copies.probabilities[UNCHANGED]).all(axis=1)
    if not is_read.any():
        raise DatasetError(
            "A stress test must have a recording that can be read. There is none among "
            f"{len(recordings.sources)}: `quintet predict` says why."
        )
    notes = list(recordings.notes)
    trained = recordings.trained | copies.trained
    if trained:
        clips = "is a clip" if len(trained) == 1 else "are clips"
        notes.append(
            f"{len(trained)} of the files {clips} of the training part: their accuracy is too high, "
            "and so is its loss."
        )
    n_unread = int((~is_read).sum())
    if n_unread:
        n_all = len(recordings.sources)
        notes.append(f"{n_unread} of {n_all} recordings could not be read: `quintet predict` says why.")
    recordings = replace(recordings, notes=tuple(notes))
    report = make_report(predictor.model, recordings, copies.probabilities, copies.features)
    failures = (
        {"file": recordings.sources[k].id, **copies.failed[k]._asdict()} for k in sorted(copies.failed)
    )
    return replace(report, failures=tuple(failures))


def _predict_copies(
    predictor: Predictor,
    recordings: Labelled,
    names: tuple[str, ...],
    seconds: float,
    *,
    n_jobs: int,
    progress: ProgressCallback | None,
) -> Copies:
    """Write the copies of some recordings at a time, describe and predict them."""
    describe = MeansOfFiles(predictor, n_jobs=n_jobs)
    n, n_classes = len(recordings.sources), len(predictor.model.class_names_)
    shape = (n, len(predictor.model.bundle_["feature_names"]))
    copies = Copies(
        {name: np.full((n, n_classes), np.nan) for name in names},
        {name: np.full(shape, np.nan) for name in names},
    )
    state = Progress(total=n * len(names))
    for begin in range(0, n, FILES_AT_A_TIME):
        some = recordings.sources[begin : begin + FILES_AT_A_TIME]
        with TemporaryDirectory(prefix="quintet-stress-") as folder:
            stems = [str(Path(folder, str(k))) for k in range(len(some))]
            calls = [(source, names, stem, seconds) for source, stem in zip(some, stems, strict=True)]
            written = list(map_isolated(write_disturbed, calls, n_workers=n_jobs))
            for k, done in enumerate(written):
                if isinstance(done, MissingExtraError):
                    raise done
                if isinstance(done, Exception):
                    copies.failed[begin + k] = FileFailure("decode", str(done))
            keys = [
                (name, k)
                for k, done in enumerate(written)
                if not isinstance(done, Exception)
                for name in names
            ]
            files = [str(disturbed_file(stems[k], name)) for name, k in keys]
            for position, found in describe(files):
                name, k = keys[position]
                if isinstance(found, FileFailure):
                    if name == UNCHANGED:
                        reason = found.reason.replace(files[position], name_text(some[k].path))
                        copies.failed[begin + k] = FileFailure(found.stage, reason)
                else:
                    copies.probabilities[name][begin + k] = found.probabilities
                    copies.features[name][begin + k] = found.features
                    if name == UNCHANGED and _is_trained(predictor, found):
                        copies.trained.add(begin + k)
        state = Progress(state.total, done=min(begin + len(some), n) * len(names))
        if progress is not None:
            progress(state)
    return copies


def _is_trained(predictor: Predictor, found: FileMeans) -> bool:
    """Whether a recording is a clip of the training part by its sound."""
    known = find_known(predictor.known_clips, found.rows, [row.digest for row in found.rows])
    return any(clip.part == "train" for clip in known.values())
