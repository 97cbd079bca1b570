"""Clips of the training run among new files: their right predictions prove nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quintet.audio.isolation.calls import call_isolated
from quintet.audio.reading.recording import recording_digest
from quintet.audio.reading.segments import SHORTEST_REST_SEGMENTS
from quintet.errors import AudioError
from quintet.files.display.file_names import text_path
from quintet.inference.rows import PredictedRow
from quintet.model_folder.folder import OpenFolder
from quintet.model_folder.frozen_files import KnownClips, read_known

if TYPE_CHECKING:
    import pandas as pd

    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.frozen.ensemble import FrozenEnsemble

ROUNDING_S = 0.1  # durations of segments are rounded
SHOWN = 3  # files that a note lists


class KnownClip(NamedTuple):
    """A clip of the training run: its id, and its part of the split (`train`, `test` or `unused`)."""

    id: str
    part: str


def load_known(model: FrozenEnsemble | EnsembleClassifier) -> KnownClips | None:
    """The clips of the training run of a model; None if the model has no folder.

    Args:
        model: the model.

    Raises:
        ArtefactError: the list of the clips is damaged.
    """
    if model.files_ is None:
        return None
    is_audio = model.bundle_["feature_parameters"] is not None
    known = read_known(model.files_) if is_audio else None
    if known is None:
        from quintet.model_folder.run import content_used

        with content_used(model.files_.root):
            known = _training_clips(OpenFolder(model.bundle_, model.files_))
    return known


def find_known(
    known: KnownClips | None, rows: Sequence[PredictedRow], keys: Sequence[str | None]
) -> dict[str, KnownClip]:
    """The clip of the training run that each file is.

    Audio is recognised by the digest of its samples, of the whole file or of one of its segments. A row of a
    table from elsewhere is recognised if its id and all of its features are those of a clip.

    Args:
        known: the clips of the run; None if they are not known.
        rows: usable rows.
        keys: what each row is recognised by: its digest, or `row_keys`; None if neither is known.

    Returns:
        By file, for known files only. If several clips are equal, one of the training part is named.
    """
    if known is None or not rows:
        return {}
    matches = [(row.file, key) for row, key in zip(rows, keys, strict=True) if key is not None]
    found: dict[str, list[KnownClip]] = defaultdict(list)
    for file, key in [*matches, *_whole_files(rows, known)]:
        found[file] += [KnownClip(*clip) for clip in known.clips.get(key, ())]
    return {file: _first_trained(clips) for file, clips in found.items() if clips}


def _first_trained(clips: Sequence[KnownClip]) -> KnownClip:
    """The first clip of the training part, or the first one."""
    return next((clip for clip in clips if clip.part == "train"), clips[0])


def known_note(known: Mapping[str, KnownClip], n_files: int, noun: str) -> list[str]:
    """A note if files or rows are clips of the training part.

    Args:
        known: result of `find_known`.
        n_files: number of all files.
        noun: what they are: `files` or `rows`.
    """
    trained = [file for file, clip in known.items() if clip.part == "train"]
    if not trained:
        return []
    more = ", …" if len(trained) > SHOWN else ""
    verb, them = ("is a clip", "it") if len(trained) == 1 else ("are clips", "them")
    examples = f"{', '.join(trained[:SHOWN])}{more}"
    return [
        f"{len(trained)} of {n_files} {noun} {verb} of the training part ({examples}): "
        f"a right prediction of {them} proves nothing."
    ]


def row_keys(features: pd.DataFrame) -> list[str | None]:
    """A text for the id and the features of each row of a table from elsewhere."""
    import pandas as pd

    values = np.ascontiguousarray(features.to_numpy(np.float32))
    hashes = pd.util.hash_array(values.view(f"V{values.shape[1] * 4}").ravel().astype(object))
    return [f"{id}\0{code:016x}" for id, code in zip(features.index, hashes.tolist(), strict=True)]


def _whole_files(rows: Sequence[PredictedRow], known: KnownClips) -> list[tuple[str, str]]:
    """Digests of the whole files that were cut and may be as long as a clip: (file, digest).

    Args:
        rows: usable rows.
        known: the clips of the run.
    """
    cut: dict[tuple[str, str], list[PredictedRow]] = defaultdict(list)
    for row in rows:
        if not (math.isnan(row.start) or math.isnan(row.end)):
            cut[row.file, row.path].append(row)
    found = []
    for (file, path), parts in cut.items():
        shortest = max(part.end for part in parts) - ROUNDING_S
        length = max(part.end - part.start for part in parts)
        longest = shortest + 2 * ROUNDING_S + SHORTEST_REST_SEGMENTS * length
        if ((known.durations >= shortest) & (known.durations <= longest)).any():
            try:
                found.append((file, call_isolated(recording_digest, text_path(path))))
            except AudioError:  # a damaged end: the segments can be read, the whole file cannot
                continue
    return found


def _training_clips(folder: OpenFolder) -> KnownClips:
    """Clips of the run from its tables; the keys are digests, or those of `row_keys`."""
    names = folder.bundle["feature_names"]
    is_audio = folder.bundle["feature_parameters"] is not None
    clips = folder.read_frame(
        "features.parquet", ["id", "duration_s", *(["audio_digest"] if is_audio else names)]
    )
    keys = clips["audio_digest"].tolist() if is_audio else row_keys(clips.set_index("id")[names])
    split = folder.read_frame("split.parquet", ["id", "part"])
    if split["id"].duplicated().any():
        raise ValueError("the split names a clip twice")
    part_of = dict(zip(split["id"], split["part"], strict=True))
    known: dict[str, list[tuple[str, str]]] = defaultdict(list)
    durations = []
    columns = (keys, clips["id"].tolist(), clips["duration_s"].to_numpy(np.float64).tolist())
    for key, id, duration_s in zip(*columns, strict=True):
        if isinstance(key, str) and isinstance(part_of.get(id), str):
            known[key].append((str(id), part_of[id]))
            durations.append(duration_s)
    return KnownClips(known, np.asarray(durations, dtype=np.float64))
