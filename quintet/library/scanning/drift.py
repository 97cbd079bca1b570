"""Drift of a library: whether its songs as a whole are unlike the training clips of its model."""

from __future__ import annotations

import numpy as np

from quintet.inference.drift.new_files import drift_of
from quintet.inference.drift.two_sample import MOST_QUERIES, Drift
from quintet.library.scanning.predict_songs import SongModel, songs_with_features
from quintet.library.store import Library


def library_drift(library: Library, model: SongModel, *, seed: int = 0) -> Drift | None:
    """Compare songs with the training clips, from the features that the library keeps.

    Songs that are clips of the training are left out, and those that the model would cut into segments: their
    features are means over more time.

    Args:
        library: the library.
        model: the model.
        seed: draws songs, if there are more than the test looks at.

    Returns:
        None if fewer than ten songs can be compared, or the library lacks features that the model reads.
    """
    known = model.predictor.known_clips
    trained = set() if known is None else set(known.clips)
    digests = [digest for digest in songs_with_features(library, model) if digest not in trained]
    if len(digests) > MOST_QUERIES:
        digests = np.random.default_rng(seed).choice(sorted(digests), MOST_QUERIES, replace=False).tolist()
    if not digests:
        return None
    names = list(model.predictor.model.bundle_["feature_names"])
    values = library.feature_parts.read(digests, names).astype(np.float64)
    return drift_of(model.predictor, list(values))
