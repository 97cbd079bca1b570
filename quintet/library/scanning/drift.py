"""Drift of a library: whether its songs as a whole are unlike the training clips of its model."""

from __future__ import annotations

import numpy as np

from quintet.features.extraction.chunks import ProgressCallback
from quintet.inference.drift.new_files import drift_json, drift_of, drift_sentence
from quintet.inference.drift.two_sample import Drift, draw_new
from quintet.library.scanning.predict_songs import SongModel, predict_songs, songs_with_features
from quintet.library.store import Library

NOUN = "songs that the model was not trained on"


def predict_library(
    library: Library, model: SongModel, *, n_jobs: int = 1, progress: ProgressCallback | None = None
) -> int:
    """Predict the songs that have no prediction of this model, and compare all songs with its training clips.

    The caller holds the lock.

    Args:
        library: the library.
        model: the model.
        n_jobs: worker processes; -1 is one per processor.
        progress: called from time to time.

    Returns:
        Number of songs that were predicted.
    """
    n_predicted = predict_songs(library, model, n_jobs=n_jobs, progress=progress)
    note_drift(library, model)
    return n_predicted


def note_drift(library: Library, model: SongModel) -> Drift | None:
    """Compare songs with the training clips, and keep what was found with the model of the library.

    The caller holds the lock, and has predicted the songs.

    Args:
        library: the library.
        model: its model.

    Returns:
        As `library_drift`.
    """
    drift = library_drift(library, model)
    if drift is not None and library.facts.model is not None:
        library.facts.model["drift"] = {**drift_json(drift), "sentence": drift_sentence(drift, NOUN)}
        library.write_facts()
    return drift


def library_drift(library: Library, model: SongModel) -> Drift | None:
    """Compare songs with the training clips, from the features that the library keeps.

    Songs that are clips of the training are left out, and those that the model would cut into segments: their
    features are means over more time.

    Args:
        library: the library.
        model: the model.

    Returns:
        None if fewer than ten songs can be compared, or the library lacks features that the model reads.
    """
    known = model.predictor.known_clips
    trained = set() if known is None else set(known.clips)
    digests = [digest for digest in songs_with_features(library, model) if digest not in trained]
    if not digests:
        return None
    names = list(model.predictor.model.bundle_["feature_names"])
    values = library.feature_parts.read(draw_new(sorted(digests)), names).astype(np.float64)
    return drift_of(model.predictor, list(values), n_new=len(digests))
