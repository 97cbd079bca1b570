"""Suggestions: of unlabelled recordings or rows, those whose labels would teach a model most."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.audio.isolation.calls import start_worker
from quintet.errors import ConfigError, DatasetError
from quintet.explanation.neighbours import standardise
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import Progress, ProgressCallback
from quintet.features.storage.table import FeatureTable, is_usable
from quintet.files.atomic import replace_output
from quintet.files.display.file_names import name_text
from quintet.files.display.notebook import notebook_html
from quintet.files.display.spreadsheets import columns_csv
from quintet.files.json_types import JsonObject
from quintet.files.paths import path_list
from quintet.inference.inputs import expand_files
from quintet.inference.known_clips import find_known
from quintet.inference.means import FileFailure, MeansOfFiles
from quintet.inference.predict import predict_table, read_rows, table_notes
from quintet.inference.predictor import Predictor, find_predictor
from quintet.labelling.choice import choose, doubts
from quintet.model_folder.folder import OpenFolder

Floats = NDArray[np.float64]

COLUMNS = ["id", "path", "guess", "p_guess", "doubt"]
MARK = "\ufeff"
"""Byte order mark at the start of the CSV file, by which spreadsheets know UTF-8."""


@dataclass(frozen=True, eq=False)
class Suggestions:
    """Clips to label next, the one that teaches most first.

    Args:
        frame: columns `id`, `path` (empty for rows of a table without files), `guess` (the most probable
            class; for label sets the most probable tag), `p_guess` (its probability), `doubt` in [0, 1].
        n_candidates: number of clips among which was chosen.
        notes: what was left out, one sentence each.
        failures: `file`, `stage`, `reason` of each file that could not be read.
    """

    frame: pd.DataFrame
    n_candidates: int
    notes: tuple[str, ...] = ()
    failures: tuple[JsonObject, ...] = ()

    def _repr_html_(self) -> str:
        return notebook_html(f"{len(self.frame)} of {self.n_candidates} clips", self.frame, notes=self.notes)

    def to_json(self) -> JsonObject:
        """Counts, and the clips as objects."""
        rows = self.frame.to_dict("records")
        return {
            "n_candidates": self.n_candidates,
            "clips": rows,
            "n_failed": len(self.failures),
            "failures": list(self.failures),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Candidates:
    """Unlabelled clips.

    Args:
        ids: their ids, m.
        paths: their files; empty where there is none.
        probabilities: of the ensemble, `(m, K)`.
        features: columns of the model, `(m, d)`.
        notes: what was left out.
        failures: files that could not be read.
    """

    ids: list[str]
    paths: list[str]
    probabilities: Floats
    features: Floats
    notes: tuple[str, ...]
    failures: tuple[JsonObject, ...] = ()


def suggest(
    model: str | Path,
    files: str | Path | Iterable[str | Path] | None = None,
    *,
    table: str | Path | FeatureTable | None = None,
    id_column: str | None = None,
    n: int = 20,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> Suggestions:
    """The clips whose labels would teach a model most.

    Args:
        model: a model folder.
        files: unlabelled audio files, folders and globs: one, or several. Clips of the training are left out.
        table: a feature table (file or `FeatureTable`) in place of files. Its rows without a label that are
            no clips of the training are the candidates. A table of another program has the columns of the
            training, with their roles.
        id_column: column of such a file with the ids.
        n: number of clips to choose.
        n_jobs: number of worker processes that read files.
        progress: called after each file.

    Raises:
        AlignmentError: the table lacks columns of the model, or was made with other parameters.
        ConfigError: not one of files and table is given.
        DatasetError: there is no candidate, or `id_column` is missing.
    """
    given = [] if files is None else path_list(files)
    if bool(given) == (table is not None):
        raise ConfigError(
            "Suggestions need audio files or a feature table. Received both, or none: give one."
        )
    start_worker(kernels_available)  # before the model is loaded: networks bring threads
    predictor = find_predictor(model)
    if isinstance(table, str | os.PathLike):
        table = read_rows(predictor, Path(table), id_column=id_column)
    found = (
        _from_files(predictor, given, n_jobs=n_jobs, progress=progress)
        if table is None
        else _from_table(predictor, table)
    )
    if not found.ids:
        raise DatasetError(" ".join(["There must be an unlabelled clip to suggest.", *found.notes]))
    labelled = _training_rows(predictor)
    names = list(predictor.model.bundle_["feature_names"])
    candidates = pd.DataFrame(found.features, columns=names)
    reference = labelled if len(labelled) else candidates
    doubt = doubts(found.probabilities, multilabel=predictor.model.multilabel_)
    known = standardise(labelled, reference) if len(labelled) else np.empty((0, 0))
    positions = choose(standardise(candidates, reference), doubt, known, n)
    best = found.probabilities.argmax(axis=1)
    rows = [
        (
            found.ids[k],
            found.paths[k],
            predictor.model.class_names_[best[k]],
            round(float(found.probabilities[k, best[k]]), 4),
            round(float(doubt[k]), 4),
        )
        for k in positions
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return Suggestions(frame, len(found.ids), found.notes, found.failures)


def write_suggestions(suggestions: Suggestions, path: str | os.PathLike[str]) -> None:
    """Write the clips as a CSV file with an empty column `corrected`, for `train --labels`.

    No cell of it is a formula.

    Args:
        suggestions: what was chosen.
        path: the CSV file. Its folder is made if it is missing.
    """
    frame = suggestions.frame
    columns = {name: frame[name].tolist() for name in COLUMNS}
    cells = {"id": columns["id"], "corrected": [""] * len(frame), **columns}
    text = MARK + columns_csv(cells, for_spreadsheets=True)
    with replace_output(Path(path)) as file:
        file.write_text(text, encoding="utf-8", newline="")


def _from_files(
    predictor: Predictor,
    files: Sequence[str | Path],
    *,
    n_jobs: int,
    progress: ProgressCallback | None,
) -> _Candidates:
    """Files that can be described and are no clips of the training."""
    means_of = MeansOfFiles(predictor, n_jobs=n_jobs)
    listing = expand_files(files)
    paths = [str(file.absolute()) for file in listing.files]
    kept: dict[int, tuple[Floats, Floats]] = {}
    failed: dict[int, FileFailure] = {}
    state, n_known = Progress(total=len(paths)), 0
    for done, (position, means) in enumerate(means_of(paths), start=1):
        if isinstance(means, FileFailure):
            failed[position] = means
        elif find_known(predictor.known_clips, means.rows, [row.digest for row in means.rows]):
            n_known += 1
        else:
            kept[position] = (means.probabilities, means.features)
        state = Progress(state.total, done=done, failed=len(failed))
        if progress is not None:
            progress(state)
    order = sorted(kept)
    notes = list(listing.notes)
    if n_known:
        notes.append(_left_out(n_known, "file"))
    if failed:
        noun = "file" if len(failed) == 1 else "files"
        notes.append(f"{len(failed)} {noun} could not be read: `quintet predict` says why.")
    names = [name_text(paths[k]) for k in order]
    n_classes, n_columns = len(predictor.model.class_names_), len(predictor.model.bundle_["feature_names"])
    return _Candidates(
        ids=names,
        paths=names,
        probabilities=np.array([kept[k][0] for k in order]).reshape(-1, n_classes),
        features=np.array([kept[k][1] for k in order]).reshape(-1, n_columns),
        notes=tuple(notes),
        failures=tuple({"file": name_text(paths[k]), **failed[k]._asdict()} for k in sorted(failed)),
    )


def _from_table(predictor: Predictor, table: FeatureTable) -> _Candidates:
    """Rows without a label."""
    model = predictor.model
    unlabelled = table.frame["label"].isna() & is_usable(table.frame)
    n_columns, n_failed = len(model.bundle_["feature_names"]), len(table.failures)
    notes = table_notes(predictor, table)
    if n_failed:
        noun = "row" if n_failed == 1 else "rows"
        notes.append(f"{n_failed} {noun} cannot be used: `quintet predict --table` says why.")
    if not unlabelled.any():
        if len(table.meta):
            notes.append(f"All {len(table.meta)} usable rows of the table have a label.")
        nothing = np.empty((0, len(model.class_names_))), np.empty((0, n_columns))
        return _Candidates([], [], *nothing, tuple(notes))
    predicted = predict_table(predictor, FeatureTable(table.frame[unlabelled], table.metadata))
    frame = predicted.frame.set_index("file")
    is_known = frame["known_id"].notna()
    if is_known.any():
        notes.append(_left_out(int(is_known.sum()), "row"))
    rows = FeatureTable(table.frame[unlabelled][~is_known.to_numpy()], table.metadata)
    frame = frame[~is_known]
    names = [f"probability.{name}" for name in predicted.classes]
    paths = [str(path) if isinstance(path, str) else "" for path in rows.meta["path"]]
    features = rows.features[list(model.bundle_["feature_names"])].to_numpy(np.float64)
    ids = rows.meta.index.astype(str).tolist()
    return _Candidates(ids, paths, frame[names].to_numpy(np.float64), features, tuple(notes))


def _left_out(number: int, noun: str) -> str:
    """The note about files or rows that are clips of the training, and no candidates."""
    clips = f"{number} {noun} is a clip" if number == 1 else f"{number} {noun}s are clips"
    return f"Left out: {clips} of the training."


def _training_rows(predictor: Predictor) -> pd.DataFrame:
    """Features of the labelled clips of the run; no rows if the model has no folder."""
    model = predictor.model
    names = list(model.bundle_["feature_names"])
    if model.files_ is None:
        return pd.DataFrame(columns=names)
    return OpenFolder(model.bundle_, model.files_).read_frame("features.parquet", names)
