"""The explanation of one track as an object: shown in a notebook, saved as a page, read as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from quintet.audio.isolation.calls import start_worker
from quintet.errors import ConfigError
from quintet.explanation.track import TrackExplanation, TrackPrediction, contribution_steps, explain_track
from quintet.features.engine.warm_up import kernels_available
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock
from quintet.files.paths import require_path
from quintet.inference.track import predict_track
from quintet.model_folder.load import load_to_explain
from quintet.model_folder.replacement import read_unchanged
from quintet.model_folder.run import Run, content_used, read_run
from quintet.pipeline.explain_track import make_sound
from quintet.pipeline.track_answer import track_answer
from quintet.reports.track_page import Sound, check_folder, track_html, write_track

if TYPE_CHECKING:
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.features.extraction.chunks import ProgressCallback
    from quintet.frozen.ensemble import ExplainedEnsemble

FRAME_HEIGHT = 900
"""Height of the page in a notebook, pixels."""


@dataclass(frozen=True, eq=False)
class ExplainedTrack:
    """Why a model predicts what it predicts for one track.

    The last line of a notebook's cell shows the page. `save` writes it, with its numbers as files.

    Args:
        prediction: predictions of the members and the ensemble, segment by segment.
        explanation: values of columns and feature families, and regions of the spectrogram.
        run: content of the model folder.
        find_sound: folder of the page, or None for a page on its own → its sound.
    """

    prediction: TrackPrediction
    explanation: TrackExplanation
    run: Run
    find_sound: Callable[[Path | None], Sound]

    def save(self, folder: str | Path) -> Path:
        """Write the page, and its numbers beside it, as `quintet explain` does.

        Args:
            folder: it is made if it does not exist; an older page in it is replaced.

        Returns:
            The path of `index.html`.

        Raises:
            ArtefactError: the folder holds other files.
        """
        target = Path(require_path(folder, "`folder`"))
        check_folder(target)
        with output_lock(target):
            sound = self.find_sound(target)
            return write_track(
                self.prediction, self.explanation, self.run, target, sound, answer=self.to_json()
            )

    def html(self) -> str:
        """The page as one text, with nothing beside it."""
        return track_html(self.prediction, self.explanation, self.run, self.find_sound(None))

    def to_json(self) -> JsonObject:
        """The prediction and what decided it: the content of `answer.json` beside the page."""
        return track_answer(self.prediction, self.explanation, self.run)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per class, the most probable first: `class`, `probability`, and one column per member."""
        order, track = self.prediction.order, self.prediction
        columns = {name: values.mean(axis=0)[order] for name, values in track.members.items()}
        classes = [track.classes[k] for k in order]
        return pd.DataFrame({"class": classes, "probability": track.probabilities[order], **columns})

    @cached_property
    def families(self) -> pd.DataFrame:
        """Contribution of each feature family to the most probable class: `family, value, low, high`.

        The values add up to the probability minus the base. Without rows if the model does not keep what they
        need.
        """
        game = self.explanation.game
        if game is None:
            return pd.DataFrame(columns=["family", "value", "low", "high"])
        return contribution_steps(game, self.prediction.order[0]).rename(columns={"player": "family"})

    def __repr__(self) -> str:
        best = self.frame.iloc[0]
        return f"ExplainedTrack({self.prediction.name!r}: {best['class']} {best['probability']:.2f})"

    def _repr_html_(self) -> str:
        style = f"width:100%;height:{FRAME_HEIGHT}px;border:0"
        page = escape(self.html(), quote=True)
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{page}"></iframe>'


@dataclass(frozen=True, eq=False)
class TrackExplainer:
    """A model folder in memory, for the explanations of many tracks.

    Args:
        folder: the model folder.
        ensemble: its ensemble, with networks that need no Keras.
        run: its content.
    """

    folder: Path
    ensemble: EnsembleClassifier | ExplainedEnsemble
    run: Run

    @classmethod
    def load(cls, folder: Path) -> TrackExplainer:
        """Read a model folder.

        Args:
            folder: made by `quintet train`.

        Raises:
            ArtefactError: it is unfinished or damaged, or it was saved in Python and keeps no run.
        """
        start_worker(kernels_available)  # before the model is loaded: networks bring threads
        return read_unchanged(folder, lambda: cls(folder, load_to_explain(folder), read_run(folder)))

    def explain(
        self,
        file: str | Path,
        *,
        segment_s: float | None = None,
        n_jobs: int = 1,
        progress: ProgressCallback | None = None,
    ) -> ExplainedTrack:
        """Predict a track and explain the prediction.

        Args:
            file: one audio file.
            segment_s: length of a segment, seconds.
            n_jobs: number of worker processes.
            progress: called as segments are described.

        Raises:
            AudioError: the file cannot be read, or no part of it can be described.
            ConfigError: it is a folder, or no path.
        """
        source = Path(require_path(file, "`file`"))
        if source.is_dir():
            raise ConfigError(
                f"One explanation is of one file. '{source}' is a folder. Name a file in it; `predict` takes "
                "folders."
            )
        track = predict_track(self.ensemble, source, segment_s=segment_s, n_jobs=n_jobs, progress=progress)
        with content_used(self.folder):
            explanation = explain_track(track, self.ensemble, self.run)

        def find_sound(target: Path | None) -> Sound:
            return make_sound(source, target, track.duration_s)

        return ExplainedTrack(track, explanation, self.run, find_sound)
