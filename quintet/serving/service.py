"""The service without HTTP: a model, where requests wait, and the answers to uploads."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from quintet import __version__
from quintet.errors import ArtefactError, QuintetError
from quintet.files.json_types import JsonObject
from quintet.frozen.ensemble import FrozenEnsemble
from quintet.inference.answers import predict_answer
from quintet.inference.describe import Predictions
from quintet.inference.warm import WarmModel
from quintet.serving.desks import ExplanationDesk, PredictionDesk, Question
from quintet.serving.gate import Admission
from quintet.serving.serve_settings import ServeSettings
from quintet.serving.uploads import Upload

MOST_EXPLANATIONS = 8
"""Explanations that may be under way: one is computed, the others wait."""


@dataclass(frozen=True)
class PredictOptions:
    """Options of one prediction, as those of `quintet predict`.

    Args:
        confidence: of the prediction set; None gives no set.
        segment_s: length of a segment, seconds; None takes that of the training.
        strict: whether a recording that is cut short counts as failed.
    """

    confidence: float | None = None
    segment_s: float | None = None
    strict: bool = False


class Service:
    """A model that answers. Make it before this process has threads: its workers are forks then.

    Args:
        folder: the model folder.
        settings: bounds and default options.

    Raises:
        QuintetError: the folder holds no model for audio, or the settings do not fit it.
    """

    def __init__(self, folder: Path, settings: ServeSettings) -> None:
        self.folder, self.settings = folder, settings
        self.predictions = PredictionDesk(settings.n_workers, settings.bounds)
        try:
            if not (folder / "bundle.json").is_file():
                raise ArtefactError(
                    f"A service must have a finished model. '{folder}' holds none: "
                    "train one, or name its folder."
                )
            self.model = _load(folder)
            self.model.require_sets(settings.confidence)
            self.model.segment_length_s(settings.segment_s)
            self.explanations = ExplanationDesk(folder)
        except BaseException:
            self.predictions.close()
            raise
        self.admission = Admission(settings.queue, settings.n_workers)
        self.explanation_admission = Admission(MOST_EXPLANATIONS)
        self._uploads = tempfile.TemporaryDirectory(prefix="quintet-serve-")
        self.predictions.open(self.model)
        self.explanations.open()

    @property
    def upload_folder(self) -> Path:
        """Folder of the recordings that are under way. Only this user can read it."""
        return Path(self._uploads.name)

    def options(
        self, confidence: float | None, segment_s: float | None, strict: bool | None
    ) -> PredictOptions:
        """Options of a request: those that it states, and the defaults of the service.

        Raises:
            ConfigError: the model cannot serve the confidence, or a segment is too short for it.
        """
        own = self.settings
        self.model.require_sets(confidence)
        return PredictOptions(
            own.confidence if confidence is None else confidence,
            self.segment_s(segment_s),
            own.strict if strict is None else strict,
        )

    def segment_s(self, stated: float | None) -> float | None:
        """Length of a segment of a request: that which it states, or the default of the service.

        Raises:
            ConfigError: it is too short for the model.
        """
        segment_s = self.settings.segment_s if stated is None else stated
        self.model.segment_length_s(segment_s)
        return segment_s

    def ask(self, upload: Upload, options: PredictOptions) -> Future[Predictions]:
        """Predictions of the segments of an upload, when they are there."""
        task = self.model.task(upload.name, str(upload.path), options.segment_s)
        return self.predictions.ask(Question(task, options.strict))

    def answer(self, upload: Upload, options: PredictOptions, predictions: Predictions) -> JsonObject:
        """What `quintet predict --json` prints for an upload.

        Args:
            upload: the recording.
            options: of the request.
            predictions: of its segments.
        """
        answer = predict_answer(self.model.average(predictions, options.confidence))
        for row in answer["files"]:
            row["reason"] = row["reason"] and upload.plain(row["reason"])
        return answer

    def health(self) -> JsonObject:
        """State of the service."""
        model = self.model.predictor.model
        return {
            "status": "ok",
            "quintet": __version__,
            "model": self.folder.absolute().name,
            "classes": list(self.model.classes),
            "members": list(model.members_),
            "frozen": isinstance(model, FrozenEnsemble),
            "under_way": self.admission.n_under_way,
            "queue": self.admission.most,
        }

    def close(self) -> None:
        """Answer what was accepted, end the worker processes, and delete the folder of uploads."""
        self.predictions.close()
        self.explanations.close()
        self._uploads.cleanup()

    def stop(self) -> None:
        """End the worker processes at once, and delete the folder of uploads. What waits has no answer."""
        self.predictions.stop()
        self.explanations.stop()
        self._uploads.cleanup()


def _load(folder: Path) -> WarmModel:
    """The model.

    Raises:
        QuintetError: it cannot be used.
    """
    try:
        return WarmModel.load(folder)
    except ImportError as error:
        if isinstance(error, QuintetError):
            raise
        raise ArtefactError(
            "Without the libraries that train, a model must have a frozen ensemble. This one has none, and "
            f"{error.name} is not installed: train it again, or install quintet-music with all dependencies."
        ) from error
