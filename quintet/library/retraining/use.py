"""Predictions of a new model for the songs of a library, in place of those of the old one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quintet.features.extraction.chunks import ProgressCallback
from quintet.library.scanning.drift import predict_library
from quintet.library.scanning.finish import finish_scan
from quintet.library.scanning.predict_songs import open_model
from quintet.library.store import Library


def use_model(
    library: Library,
    model: Path,
    confidence: float,
    *,
    score: str = "",
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> int:
    """Predict the songs with a model, and keep the predictions. It holds the lock of the library.

    Args:
        library: a scanned library.
        model: the model folder.
        confidence: of the prediction sets, in (0, 1).
        score: how good the model is on clips that it was not trained on, in a sentence.
        n_jobs: worker processes for songs that are read again.
        progress: called from time to time.

    Returns:
        Number of songs that were predicted.

    Raises:
        ArtefactError: the folder is no model, or another command writes the library.
    """
    song_model = replace(open_model(model, confidence), score=score)
    with library.writing():
        n_predicted = predict_library(library, song_model, n_jobs=n_jobs, progress=progress)
        finish_scan(library, changed=bool(n_predicted))
    return n_predicted
