"""Verdicts on new audio: the same features as in training, or a refusal that says what differs."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quintet.audio.reading.probe import probe_duration_s
from quintet.classifiers.registry import member_entry
from quintet.datasets.folder import audio_files
from quintet.datasets.labels import join_labels
from quintet.datasets.manifest import COLUMNS, Manifest
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import require_confidence
from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError
from quintet.features.extraction.extract import extract
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable, read_feature_table
from quintet.model_folder.load import load_model

FEW_CLIPS = 4  # so many clips are described in this process: a worker's start would cost more than it saves
LONG = 1.5  # a file longer than this many training clips is cut into segments
WITHOUT_DISTANCE = "This model's sets look at its probabilities alone: it is older than sets that look at the features too. Train again to have such."
UNGROUPED = "Ungrouped split: this model was judged on clips whose groups it may have known. Expect less than it scored, of its sets too."


@dataclass(frozen=True)
class PredictionResult:
    """One row per file.

    Attributes:
        frame: columns `file`, `fuse_and_calibrate` (for label sets: the tags at 0.5 or more), `confidence` (the highest probability), `segments`, then
            `out_of_class` in [0, 1), near 1 where no known class fits (not for label sets), and `probability.<class>`. Where a confidence was
            asked for also `set`: the classes that cannot be excluded, joined by `;`; empty, none of these, where `out_of_class` reaches it.
        segments: one row per segment: `file`, `start`, `end`, `probability.<class>`, and `distance` from every class among the features where
            the model measures it.
        failures: `file`, `stage`, `reason` of the files that could not be read.
        classes: the class names.
        notes: what the answers lack, in sentences.
    """

    frame: pd.DataFrame
    segments: pd.DataFrame
    failures: pd.DataFrame
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def predict_files(
    model: str | Path | EnsembleClassifier,
    files: Sequence[str | Path],
    *,
    segment_s: float | None = None,
    confidence: float | None = None,
    n_jobs: int = 1,
    progress: Callable[..., None] | None = None,
) -> PredictionResult:
    """Class probabilities of audio files from the fused ensemble.

    Args:
        model: a model folder, or what `load_model` returned.
        files: paths of files, folders (searched for audio) and globs.
        segment_s: files more than 1.5 times this long are cut into segments of this many seconds, whose probabilities
            are averaged. Default: the typical length of the training clips; 0 takes every file whole.
        confidence: answer also with the set of classes that holds the true one with this probability, for clips drawn like those of the
            training and no longer than a segment; possibly empty: none of these.
        n_jobs: worker processes.
        progress: called as extraction proceeds.

    Raises:
        ArtefactError: if the model is damaged, or was trained on other features than this version of quintet makes.
        DatasetError: if no file is found.
    """
    ensemble = model if isinstance(model, EnsembleClassifier) else load_model(model)
    _require_sets(ensemble, confidence)
    parameters = feature_parameters(ensemble)
    manifest = list_segments(
        expand(files), ensemble.bundle_["clip_seconds"] if segment_s is None else segment_s
    )
    networks = any(member_entry(name).input == "spectrogram" for name in ensemble.members_)
    with tempfile.TemporaryDirectory(prefix="quintet-") as scratch:
        spectrograms = Path(scratch) / "spectrograms" if networks else None
        target = Path(scratch) / "features.parquet"
        extract(
            manifest,
            target,
            parameters=parameters,
            spectrograms=spectrograms,
            n_jobs=0 if len(manifest) <= FEW_CLIPS else n_jobs,
            progress=progress,
        )
        table = read_feature_table(target)
        store = SpectrogramStore(spectrograms) if spectrograms is not None and len(table.meta) else None
        return _pooled(ensemble, table, _opinions(ensemble, table, store), confidence)


def predict_table(
    model: str | Path | EnsembleClassifier,
    table: FeatureTable,
    *,
    spectrograms: SpectrogramStore | None = None,
    confidence: float | None = None,
) -> PredictionResult:
    """Class probabilities for the rows of a feature table, which must have the columns that the model was trained on.

    Raises:
        AlignmentError: if columns are missing, or the parameter hashes differ.
    """
    ensemble = model if isinstance(model, EnsembleClassifier) else load_model(model)
    _require_sets(ensemble, confidence)
    wanted = ensemble.bundle_["feature_hash"]
    if table.parameter_hash != wanted:
        raise AlignmentError(
            f"A table must be made with the parameters of the model ({wanted}). Received {table.parameter_hash}"
            f"{_differences(ensemble, table.metadata.get('parameters'))}: extract it again."
        )
    return _pooled(ensemble, table, _opinions(ensemble, table, spectrograms), confidence, by_file=False)


def feature_parameters(ensemble: EnsembleClassifier) -> FeatureParameters:
    """The feature parameters of a model, checked against what this version of quintet would compute.

    Raises:
        ArtefactError: if the model was trained on a table that quintet did not make, or the hashes differ.
    """
    bundle = ensemble.bundle_
    if bundle["feature_parameters"] is None:
        raise ArtefactError(
            "To predict audio, a model must be trained on features that quintet made. This one was trained on a table from elsewhere: "
            "give it rows of such a table with `--table`."
        )
    parameters = FeatureParameters.parse(bundle["feature_parameters"], where="The model")
    if parameters.hash != bundle["feature_hash"]:
        raise ArtefactError(
            f"Features must be those of the training. This model's have the hash {bundle['feature_hash']}, made by quintet {bundle['quintet']}; "
            f"this version's have {parameters.hash} for the same settings: use that version, or extract and train again."
        )
    return parameters


def expand(files: Sequence[str | Path]) -> list[Path]:
    """Files, folders and globs as a list of files, each once, in the order given (folders and globs sorted).

    A path that does not exist, or a glob that nothing matches, stays in the list: it becomes a reported failure.
    Folders contribute their audio files.

    Raises:
        DatasetError: if nothing is left.
    """
    found: dict[Path, None] = {}
    for name in map(str, files):
        path = Path(name)
        if path.is_dir():
            found.update(dict.fromkeys(audio_files(path)))
        elif not path.exists() and glob.has_magic(name):
            matches = [
                Path(match) for match in sorted(glob.glob(name, recursive=True)) if Path(match).is_file()
            ]
            found.update(dict.fromkeys(matches or [path]))
        else:
            found[path] = None
    if not found:
        raise DatasetError(
            f"There must be at least one audio file. Found none in: {', '.join(map(str, files))}."
        )
    return list(found)


def list_segments(files: Sequence[Path], segment_s: float | None) -> Manifest:
    """A manifest with one row per file, or one per segment of a long file."""
    rows: list[dict[str, Any]] = []
    for file in files:
        windows = _windows(file, segment_s)
        for start, end in windows:
            name = str(file) if len(windows) == 1 else f"{file}#t={start:g},{end:g}"
            window = (np.nan, np.nan) if len(windows) == 1 else (start, end)
            rows.append(
                {
                    "id": name,
                    "path": str(file.absolute()),
                    "group": str(file),
                    "start": window[0],
                    "end": window[1],
                }
            )
    frame = pd.DataFrame(rows)
    for column in ("label", "split", "problem"):
        frame[column] = pd.Series(pd.NA, index=frame.index, dtype="string")
    frame = frame[list(COLUMNS)]
    return Manifest(frame=frame, name="prediction", root=Path(), multilabel=False, grouped=True)


def _windows(file: Path, segment_s: float | None) -> list[tuple[float, float]]:
    whole = [(0.0, float("nan"))]
    if not segment_s:
        return whole
    duration = probe_duration_s(file)  # None: extraction says why
    if duration is None or duration <= LONG * segment_s:
        return whole
    starts = [k * segment_s for k in range(int(duration // segment_s))]
    if duration - (starts[-1] + segment_s) > 0.25 * segment_s:
        starts.append(duration - segment_s)  # the end is heard too; the last segment overlaps its neighbour
    return [(round(start, 3), round(start + segment_s, 3)) for start in starts]


def _opinions(
    ensemble: EnsembleClassifier, table: FeatureTable, store: SpectrogramStore | None
) -> pd.DataFrame:
    """What is said of every usable row: `probability.<class>`, and `distance` where the model measures it."""
    names = ensemble.bundle_["feature_names"]
    features = table.features
    if missing := [name for name in names if name not in features.columns]:
        raise AlignmentError(
            f"The table must have the {len(names)} columns of the training. {len(missing)} are missing, first: {missing[0]}."
        )
    columns = [f"probability.{c}" for c in ensemble.class_names_]
    if not len(features):
        return pd.DataFrame(
            columns=columns + ["distance"] * (ensemble.distance_ is not None), dtype=np.float64
        )
    spectrograms = None if store is None else store.take(list(features.index))
    said = pd.DataFrame(ensemble.predict_proba(features[names], spectrograms=spectrograms), columns=columns)
    distances = ensemble.distances(features[names])
    return said if distances is None else said.assign(distance=distances)


def _pooled(
    ensemble: EnsembleClassifier,
    table: FeatureTable,
    opinions: pd.DataFrame,
    confidence: float | None,
    *,
    by_file: bool = True,
) -> PredictionResult:
    """Average over the segments of each file; without `by_file` every row answers for itself."""
    classes = ensemble.class_names_
    columns = [f"probability.{c}" for c in classes]
    meta = table.meta
    file = np.asarray(meta["group"] if by_file else meta.index, dtype=str)
    segments = pd.DataFrame({"file": file, "start": meta["start"].to_numpy(), "end": meta["end"].to_numpy()})
    segments[list(opinions.columns)] = opinions.to_numpy()
    order = list(dict.fromkeys(file))
    pooled = (
        segments.groupby("file", sort=False)[list(opinions.columns)].mean().reindex(order)
        if order
        else opinions
    )
    values = pooled[columns].to_numpy(np.float64)
    highest = values.max(axis=1) if len(values) else np.empty(0)
    frame = pd.DataFrame(
        {"file": order, "verdict": _verdicts(ensemble, classes, values), "confidence": highest}
    )
    frame["segments"] = segments.groupby("file", sort=False).size().reindex(order).to_numpy() if order else []
    if ensemble.conformal_ is not None:
        distances = pooled["distance"].to_numpy(np.float64) if "distance" in pooled else None
        if confidence is not None:
            inside = ensemble.conformal_.sets(values, confidence, distances=distances)
            frame["set"] = [
                join_labels(c for c, held in zip(classes, row, strict=True) if held) for row in inside
            ]
        frame["out_of_class"] = ensemble.conformal_.out_of_class(values, distances)
    frame[columns] = values
    failures = table.failures
    lost = pd.DataFrame(
        {"file": failures["id"], "stage": failures["stage"], "reason": failures["reason"]}
    ).reset_index(drop=True)
    return PredictionResult(frame, segments, lost, classes, _notes(ensemble, confidence))


def _notes(ensemble: EnsembleClassifier, confidence: float | None) -> tuple[str, ...]:
    split = ensemble.bundle_.get("split", {"protocol": "group", "grouped": True})
    notes = [WITHOUT_DISTANCE] if confidence is not None and ensemble.distance_ is None else []
    if split["protocol"] == "random" or (confidence is not None and not split["grouped"]):
        notes.append(UNGROUPED)
    return tuple(notes)


def _verdicts(
    ensemble: EnsembleClassifier, classes: tuple[str, ...], probabilities: np.ndarray[Any, Any]
) -> list[str]:
    """The most probable class; for label sets every tag at 0.5 or more, joined by `;`."""
    if ensemble.multilabel_:
        return [
            join_labels(c for c, p in zip(classes, row, strict=True) if p >= 0.5) for row in probabilities
        ]
    return [classes[row.argmax()] for row in probabilities]


def _require_sets(ensemble: EnsembleClassifier, confidence: float | None) -> None:
    """Refuses before anything is listened to what cannot be answered in the end."""
    if confidence is not None and ensemble.conformal_ is None:
        raise ConfigError(
            "Prediction sets are calibrated for models with one label per clip. This model predicts label sets: leave --confidence out."
        )
    if confidence is not None:
        require_confidence(confidence)


def _differences(ensemble: EnsembleClassifier, received: Any) -> str:
    wanted = ensemble.bundle_["feature_parameters"]
    if not isinstance(wanted, dict) or not isinstance(received, dict):
        return ""
    differs = [
        f"{key} {received.get(key)} instead of {wanted.get(key)}"
        for key in wanted
        if received.get(key) != wanted.get(key)
    ]
    return f" ({'; '.join(differs[:4])})" if differs else ""
