"""Predictions of a model for the songs of a library, as `quintet predict` gives them, kept with their sets.

Songs that have a prediction of the same model are left out. A song that `predict` would not cut into segments
is predicted from the features in the library, if they are those of the model; the others are read again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quintet.audio.reading.segments import LONG_FILE_SEGMENTS
from quintet.datasets.labels import label_set
from quintet.ensemble.conformal import require_confidence
from quintet.features.extraction.chunks import Progress, ProgressCallback
from quintet.features.parameters import FeatureParameters
from quintet.files.digests import file_digest
from quintet.files.display.file_names import name_text
from quintet.files.json_types import JsonObject
from quintet.inference.describe import (
    Predictions,
    feature_parameters,
    has_networks,
    predict_recordings,
    segment_length_s,
)
from quintet.inference.predict import average_rows
from quintet.inference.predictor import Predictor, find_predictor
from quintet.inference.result import PredictionResult
from quintet.inference.rows import PredictedRow, usable_rows
from quintet.library.query import column_name
from quintet.library.schema import SONGS, VERDICTS, with_rows
from quintet.library.store import Library

VERDICT = "verdict_"
"""First letters of the columns of `activations` with the probability of a class."""
BATCH = 64
"""Songs that are predicted together from audio."""
FLUSH_S = 10.0


@dataclass(frozen=True)
class SongModel:
    """A model and the confidence of its sets.

    Args:
        predictor: the model.
        folder: its folder.
        confidence: of the prediction sets; None if the model has none.
        digest: of the model, 16 hex digits: other models and other confidences give other predictions.
        score: how good it is on clips that it was not trained on, in a sentence.
    """

    predictor: Predictor
    folder: Path
    confidence: float | None
    digest: str
    score: str = ""

    def facts(self) -> JsonObject:
        """The model, for `library.json`."""
        model = self.predictor.model
        return {
            "path": str(self.folder.absolute()),
            "digest": self.digest,
            "classes": list(model.class_names_),
            "multilabel": bool(model.multilabel_),
            "confidence": self.confidence,
            "score": self.score,
        }


def open_model(model: str | Path, confidence: float) -> SongModel:
    """Load a model whose predictions a library keeps.

    Args:
        model: its folder.
        confidence: of the prediction sets, in (0, 1). A model without such sets gives none.

    Raises:
        ArtefactError: the folder is no model, or reads other features than this version makes.
        ConfigError: the confidence is not between 0 and 1.
    """
    require_confidence(confidence)
    predictor = find_predictor(model)
    feature_parameters(predictor.model)
    folder = Path(model)
    has_sets = predictor.model.conformal_ is not None
    digest = file_digest(folder / "bundle.json")[:16]
    return SongModel(predictor, folder, confidence if has_sets else None, f"{digest}@{confidence:g}")


def predict_songs(
    library: Library, model: SongModel, *, n_jobs: int = 1, progress: ProgressCallback | None = None
) -> int:
    """Predict the songs that have no prediction of this model, and keep them. The caller holds the lock.

    Args:
        library: the library.
        model: the model.
        n_jobs: worker processes; -1 is one per processor.
        progress: called from time to time.

    Returns:
        Number of songs that were predicted.
    """
    if (library.facts.model or {}).get("digest") != model.digest:
        _forget_verdicts(library)
    songs = library.present_songs()
    rows = songs.filter(pc.fill_null(pc.not_equal(songs.column("model"), model.digest), True)).to_pylist()
    library.facts.model = model.facts()
    library.write_facts()
    state = Progress(songs.num_rows, songs.num_rows - len(rows), songs.num_rows - len(rows))
    _report(progress, state)
    ready, others = _by_source(library, model, rows)
    book = _Book(library, model)
    try:
        for from_features, batch in _batches(library, ready, others):
            if from_features:
                result = _predict_features(library, model, batch)
            else:
                result = _predict_audio(library, model, batch, n_jobs)
            book.note(batch, result)
            state = Progress(state.total, state.done + len(batch), state.reused, 0)
            _report(progress, state)
            book.write_if_due()
    finally:
        book.write()
    return len(rows)


def _batches(
    library: Library, ready: list[JsonObject], others: list[JsonObject]
) -> Iterator[tuple[bool, list[JsonObject]]]:
    """Songs that are predicted together, and whether from stored features (part by part) or from audio."""
    songs_of: dict[str, list[JsonObject]] = {}
    for row in ready:
        songs_of.setdefault(row["audio_digest"], []).append(row)
    for digests in library.feature_parts.by_part(list(songs_of)):
        yield True, [row for digest in digests for row in songs_of[digest]]
    for begin in range(0, len(others), BATCH):
        yield False, others[begin : begin + BATCH]


def _report(progress: ProgressCallback | None, state: Progress) -> None:
    if progress is not None:
        progress(state)


def _by_source(
    library: Library, model: SongModel, rows: list[JsonObject]
) -> tuple[list[JsonObject], list[JsonObject]]:
    """Songs that the stored features decide, and the others."""
    facts, ensemble = library.facts, model.predictor.model
    if facts.parameters is None or has_networks(ensemble):
        return [], rows
    own = FeatureParameters.parse(facts.parameters, where=str(library.folder))
    if not own.covers(feature_parameters(ensemble)):
        return [], rows
    segment_s = segment_length_s(ensemble, None)
    described = library.feature_parts.digests()
    ready: list[JsonObject] = []
    others: list[JsonObject] = []
    for row in rows:
        is_whole = not segment_s or float(row["seconds"] or np.inf) <= LONG_FILE_SEGMENTS * segment_s
        (ready if is_whole and row["audio_digest"] in described else others).append(row)
    return ready, others


def songs_with_features(library: Library, model: SongModel) -> list[str]:
    """Digests of the present songs whose stored features the model can read as those of one clip, each once.

    Args:
        library: the library.
        model: the model.
    """
    songs = library.present_songs().select(["seconds", "audio_digest"])
    ready, _ = _by_source(library, model, songs.to_pylist())
    return list(dict.fromkeys(row["audio_digest"] for row in ready))


def _predict_features(library: Library, model: SongModel, batch: Sequence[JsonObject]) -> PredictionResult:
    """Predictions from the features in the library."""
    predictor = model.predictor
    names = list(predictor.model.bundle_["feature_names"])
    values = library.feature_parts.read([row["audio_digest"] for row in batch], names)
    rows = [
        PredictedRow(
            row["id"],
            row["path"],
            np.nan,
            np.nan,
            row["status"],
            None,
            row["reason"],
            float(row["seconds"]),
            float("nan") if row["missing_s"] is None else float(row["missing_s"]),
            row["audio_digest"],
        )
        for row in batch
    ]
    predictions = Predictions(rows, *predictor.predict(values, None))
    return average_rows(predictor, predictions, [row.digest for row in rows], model.confidence)


def _predict_audio(
    library: Library, model: SongModel, batch: Sequence[JsonObject], n_jobs: int
) -> PredictionResult:
    """Predictions from the files, named by the ids of the songs."""
    predictor = model.predictor
    files = [library.path_of(row) for row in batch]
    segment_s = segment_length_s(predictor.model, None)
    predictions = predict_recordings(predictor, files, segment_s=segment_s, n_jobs=n_jobs)
    id_of = {name_text(file.absolute()): row["id"] for file, row in zip(files, batch, strict=True)}
    named = predictions._replace(rows=[replace(row, file=id_of[row.path]) for row in predictions.rows])
    keys = [row.digest for row in usable_rows(named.rows)]
    return average_rows(predictor, named, keys, model.confidence)


def _forget_verdicts(library: Library) -> None:
    """Remove the predictions of another model."""
    library.write("verdicts", VERDICTS.empty_table())
    library.write_activations(VERDICT, library.table("activations").select(["id"]).slice(0, 0))
    songs = library.table("songs")
    for name in COLUMNS:
        place = songs.column_names.index(name)
        songs = songs.set_column(place, name, pa.nulls(songs.num_rows, SONGS.field(name).type))
    library.write("songs", songs)


COLUMNS = {
    "verdict": "verdict",
    "verdict_probability": "confidence",
    "verdict_set": "set",
    "out_of_class": "out_of_class",
}
"""Column of `songs` → column of a prediction."""


@dataclass
class _Book:
    """Predictions that are not yet in the tables.

    Args:
        library: the library.
        model: the model.
    """

    library: Library
    model: SongModel
    columns: dict[str, JsonObject] = field(default_factory=dict)
    rows: list[JsonObject] = field(default_factory=list)
    written_at: float = field(default_factory=time.monotonic)

    def note(self, batch: Sequence[JsonObject], result: PredictionResult) -> None:
        """Note the predictions of some songs. A song without one keeps none, and is not tried again."""
        for song in batch:
            self.columns[song["id"]] = {"model": self.model.digest}
        classes = result.classes
        for row in result.frame.to_dict("records"):
            id = str(row["file"])
            found = {name: row[source] for name, source in COLUMNS.items() if source in row}
            self.columns[id] |= found
            inside = label_set(str(row["set"])) if "set" in row else None
            self.rows += [
                {
                    "id": id,
                    "label": name,
                    "probability": float(row[f"probability.{name}"]),
                    "in_set": None if inside is None else name in inside,
                }
                for name in classes
            ]

    def write_if_due(self) -> None:
        """Write the tables from time to time."""
        if time.monotonic() - self.written_at > FLUSH_S:
            self.write(with_activations=False)

    def write(self, *, with_activations: bool = True) -> None:
        """Write the tables: predictions first, then the songs.

        Args:
            with_activations: whether to write the columns for conditions too.
        """
        ids = pa.array(list(self.columns), pa.string())
        before = self.library.table("verdicts")
        kept = before.filter(pc.invert(pc.is_in(before.column("id"), value_set=ids)))
        verdicts = with_rows(kept, self.rows, VERDICTS)
        self.library.write("verdicts", verdicts)
        songs = self.library.table("songs")
        song_ids = songs.column("id").to_pylist()
        for name in (*COLUMNS, "model"):
            values = songs.column(name).to_pylist()
            for k, id in enumerate(song_ids):
                if id in self.columns:
                    values[k] = self.columns[id].get(name)
            place = songs.column_names.index(name)
            songs = songs.set_column(place, name, pa.array(values, SONGS.field(name).type))
        self.library.write("songs", songs)
        if with_activations:
            self.library.write_activations(VERDICT, _wide(verdicts))
        self.columns, self.rows, self.written_at = {}, [], time.monotonic()


def _wide(verdicts: pa.Table) -> pa.Table:
    """A row per song, with one column per class."""
    frame = verdicts.to_pandas().pivot(index="id", columns="label", values="probability")
    columns = {"id": pa.array(frame.index.tolist(), pa.string())}
    for label in frame.columns:
        name, number = VERDICT + column_name(str(label)), 2
        while name in columns:
            name, number = f"{VERDICT}{column_name(str(label))}_{number}", number + 1
        columns[name] = pa.array(frame[label].to_numpy(), pa.float32())
    return pa.table(columns)
