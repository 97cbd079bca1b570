"""Clips of the training run among new files: their right predictions prove nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quintet.audio.isolation.calls import call_isolated
from quintet.audio.reading.recording import recording_digest
from quintet.audio.reading.segments import SHORTEST_REST_SEGMENTS
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.errors import AudioError
from quintet.features.storage.table import FeatureTable
from quintet.files.display.file_names import text_path
from quintet.model_folder.folder import OpenFolder
from quintet.model_folder.run import content_used

KNOWN_COLUMNS = ("known_id", "known_part")
ROUNDING_S = 0.1  # durations of segments are rounded
SHOWN = 3  # files that a note lists


def find_known(ensemble: EnsembleClassifier, table: FeatureTable, file_column: str) -> pd.DataFrame:
    """The clip of the training run that each file is.

    Audio is recognised by the digest of its samples, of the whole file or of one of its segments. A row of a
    table from elsewhere is recognised if its id and all of its features are those of a clip.

    Args:
        ensemble: a model from `load_model`; a model without folder knows no clips.
        table: rows of the files; only usable rows are looked at.
        file_column: column of the table with the file of each row, or "id".

    Returns:
        By file, for known files only: known_id, the id of the clip, and known_part, its part of the split
        (`train`, `test` or `unused`). If several clips are equal, one of the training part is named.
    """
    empty = pd.DataFrame(columns=list(KNOWN_COLUMNS), index=pd.Index([], name="file"), dtype=object)
    if ensemble.files_ is None or not len(table.meta):
        return empty
    files = table.meta.index if file_column == "id" else table.meta[file_column]
    rows = pd.DataFrame({"file": np.asarray(files, dtype=str), "clip": _clip_keys(ensemble, table)})
    with content_used(ensemble.files_.root):
        clips = _training_clips(ensemble, OpenFolder(ensemble.bundle_, ensemble.files_))
    rows = pd.concat([rows, _whole_files(table.meta, rows["file"], clips)], ignore_index=True).dropna()
    known = clips[clips["clip"].isin(rows["clip"])]
    if known.empty:
        return empty
    found = rows.merge(known, on="clip")
    by_part = found.sort_values("known_part", key=lambda part: part != "train", kind="stable")
    return by_part.drop_duplicates("file").set_index("file")[list(KNOWN_COLUMNS)]


def known_note(known: pd.DataFrame, n_files: int) -> list[str]:
    """A note if files are clips of the training part.

    Args:
        known: result of `find_known`.
        n_files: number of all files.
    """
    trained = known.index[known["known_part"] == "train"].tolist()
    if not trained:
        return []
    more = ", …" if len(trained) > SHOWN else ""
    verb, noun = ("is a clip", "it") if len(trained) == 1 else ("are clips", "them")
    examples = f"{', '.join(trained[:SHOWN])}{more}"
    return [
        f"{len(trained)} of {n_files} files {verb} of the training part ({examples}): "
        f"a right prediction of {noun} proves nothing."
    ]


def _clip_keys(ensemble: EnsembleClassifier, table: FeatureTable) -> pd.Series:
    """What each usable row is recognised by: its digest, or its id and features; NA if neither is known."""
    if ensemble.bundle_["feature_parameters"] is not None:
        return table.meta["audio_digest"].reset_index(drop=True)
    return _row_keys(table.features[ensemble.bundle_["feature_names"]])


def _row_keys(features: pd.DataFrame) -> pd.Series:
    """A text for the id and the features of each row."""
    values = np.ascontiguousarray(features.to_numpy(np.float32))
    hashes = pd.util.hash_array(values.view(f"V{values.shape[1] * 4}").ravel().astype(object))
    return pd.Series([f"{id}\0{code:016x}" for id, code in zip(features.index, hashes.tolist(), strict=True)])


def _whole_files(segments: pd.DataFrame, files: pd.Series, clips: pd.DataFrame) -> pd.DataFrame:
    """Digests of the whole files that were cut and may be as long as a clip: file, clip.

    Args:
        segments: rows of the segments, with path, start and end.
        files: file of each segment, in the same order.
        clips: the clips of the run.
    """
    ends = segments["end"].to_numpy(np.float64)
    lengths = ends - segments["start"].to_numpy(np.float64)
    cut = pd.DataFrame(
        {"file": files.to_numpy(), "path": segments["path"].to_numpy(), "end": ends, "length": lengths}
    ).dropna()
    rows = []
    for (file, path), of_file in cut.groupby(["file", "path"], sort=False):
        shortest = float(of_file["end"].max()) - ROUNDING_S
        longest = shortest + 2 * ROUNDING_S + SHORTEST_REST_SEGMENTS * float(of_file["length"].max())
        if clips["duration_s"].between(shortest, longest).any():
            try:
                rows.append((file, call_isolated(recording_digest, text_path(str(path)))))
            except AudioError:  # a damaged end: the segments can be read, the whole file cannot
                continue
    return pd.DataFrame(rows, columns=["file", "clip"], dtype=object)


def _training_clips(ensemble: EnsembleClassifier, folder: OpenFolder) -> pd.DataFrame:
    """Clips of the run: clip (as in `_clip_keys`), known_id, known_part, duration_s."""
    names = ensemble.bundle_["feature_names"]
    is_audio = ensemble.bundle_["feature_parameters"] is not None
    columns = ["audio_digest"] if is_audio else names
    clips = folder.read_frame("features.parquet", ["id", "duration_s", *columns])
    if is_audio:
        keys = clips["audio_digest"]
    else:
        keys = _row_keys(clips.set_index("id")[names])
    parts = folder.read_frame("split.parquet", ["id", "part"]).set_index("id")["part"]
    known = pd.DataFrame(
        {
            "clip": keys.to_numpy(),
            "known_id": clips["id"].to_numpy(),
            "known_part": clips["id"].map(parts).to_numpy(),
            "duration_s": clips["duration_s"].to_numpy(np.float64),
        }
    )
    return known[known["clip"].notna() & known["known_part"].notna()]
