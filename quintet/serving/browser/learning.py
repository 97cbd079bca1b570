"""Trainings that the page starts: one at a time, in a process of its own, with progress and outcome."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.audio.isolation.processes import start_process, use_one_thread
from quintet.errors import ConfigError
from quintet.files.json_types import JsonObject
from quintet.library.store import Library
from quintet.serving.faults import LIBRARY_PLACES, refusal

if TYPE_CHECKING:
    from quintet.ensemble.crossfit import TrainingEvent

MODELS_FOLDER = "models"
MAP_FILE = "genres.toml"
"""The genre map of a library, if it has one."""
CONFIDENCE = 0.9
"""Of the prediction sets, if the library has no model that says another."""
LOST = "The training must fit into the memory of the machine. Its process ended: try again with less running."

Send = Callable[[JsonObject], object]


class LearningDesk:
    """Trainings on the corrections of a library, and the use of what they make.

    Args:
        folder: the library.
        changed: called in a thread when the songs have new predictions.
    """

    def __init__(self, folder: Path, changed: Callable[[], object]) -> None:
        self._folder, self._changed = folder, changed
        self._lock = threading.Lock()
        self._state: JsonObject = {"phase": "none"}
        self._process: BaseProcess | None = None
        self._model: Path | None = None
        self._is_stopped = False

    def state(self) -> JsonObject:
        """`phase` (`none`, `running`, `done`, `used`, `failed`, `stopped`), and what belongs to it.

        While something runs: progress, and whether it `can_stop`. Later: the result of a training.
        """
        return dict(self._state)

    def begin(self) -> JsonObject:
        """Start a training.

        Raises:
            ConfigError: one is under way.
        """
        with self._lock:
            self._require_rest()
            self._model = self._new_model()
            self._start(retrain_for_page, str(self._folder), str(self._model), done="done")
        return self.state()

    def use(self) -> JsonObject:
        """Predict the songs with the model that was trained last.

        Raises:
            ConfigError: there is none, or something is under way.
        """
        with self._lock:
            self._require_rest()
            if self._state["phase"] != "done" or self._model is None:
                raise ConfigError("A model must be trained before it is used. There is none yet: train one.")
            self._start(use_for_page, str(self._folder), str(self._model), done="used")
        return self.state()

    def stop(self) -> JsonObject:
        """End the training that runs. Its unfinished model is removed when its process has ended.

        Raises:
            ConfigError: none runs, or songs are being predicted, whose tables must be whole.
        """
        with self._lock:
            if self._state["phase"] != "running" or self._process is None:
                raise ConfigError("A training must run to be stopped. None does: it has ended.")
            if not self._state["can_stop"]:
                raise ConfigError(
                    "The songs of a library must have predictions of one model. They are being predicted: "
                    "wait until all are."
                )
            self._is_stopped = True
            self._process.kill()
        return self.state()

    def close(self) -> None:
        """End what is under way. The next training removes an unfinished model."""
        if self._process is not None:
            self._process.kill()

    def _require_rest(self) -> None:
        if self._state["phase"] == "running":
            raise ConfigError("One training may run at a time. One does: wait for it.")

    def _new_model(self) -> Path:
        """A new folder for a model. Those of earlier trainings that the library does not use are removed."""
        place = self._folder / MODELS_FOLDER
        place.mkdir(exist_ok=True)
        used = (Library.open(self._folder).facts.model or {}).get("path")
        taken = list(place.glob("model-*"))
        for path in taken:
            if str(path.absolute()) != used and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
        numbers = [int(path.name[6:]) for path in taken if path.name[6:].isdecimal()]
        return place.absolute() / f"model-{max(numbers, default=0) + 1}"

    def _start(self, work: Callable[..., None], *arguments: str, done: str) -> None:
        ours, theirs = Pipe(duplex=False)
        with theirs:
            try:
                self._process = start_process(work, theirs, *arguments)
            except BaseException:  # the state stays as it is: nothing runs
                ours.close()
                raise
        before = {name: value for name, value in self._state.items() if name == "result"}
        progress = {"step": "Reading the library", "done": 0, "total": 0, "can_stop": done == "done"}
        self._state = {"phase": "running", **progress, **before}
        self._is_stopped = False
        follow = partial(self._follow, ours, self._process, done)
        threading.Thread(target=follow, name="learning", daemon=True).start()

    def _follow(self, connection: Connection, process: BaseProcess, done: str) -> None:
        """Note what the process sends, until it ends."""
        failed: JsonObject = {"phase": "failed", "reason": LOST}
        result = self._state.get("result")
        try:
            while True:
                message = connection.recv()
                if "reason" in message:
                    failed = {"phase": "failed", **message}
                elif "result" in message:
                    result, failed = message["result"] or result, {}
                else:
                    self._state = {**self._state, **message}
        except (EOFError, OSError):
            process.join()
        if not failed and done == "used":
            self._changed()
        with self._lock:
            if failed and self._is_stopped:
                self._remove_model()
                failed = {"phase": "stopped"}
            self._state = failed or {"phase": done, "result": result}

    def _remove_model(self) -> None:
        """Remove the model that a stopped training has begun, and what it wrote beside it."""
        if self._model is not None:
            for path in (self._model, *self._model.parent.glob(f".{self._model.name}.*")):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            self._model = None


def retrain_for_page(connection: Connection, folder: str, model: str) -> None:
    """Train, judge, and send progress and outcome. A process of its own calls it."""

    def work(send: Send) -> JsonObject:
        from quintet.datasets.genre_map import GenreMap
        from quintet.library.retraining.retrain import RetrainOptions, retrain
        from quintet.reports.front.training_words import model_score

        library = Library.open(folder)
        map_file = library.folder / MAP_FILE
        options = RetrainOptions(genres=GenreMap.read(map_file) if map_file.is_file() else GenreMap())
        fits = 0

        def show_training(event: TrainingEvent) -> None:
            nonlocal fits
            fits += event.kind in ("done", "reused")
            send({"step": f"Training: {event.member}", "done": fits, "total": 0})

        result = retrain(
            library,
            Path(model),
            options,
            listener=show_training,
            progress=lambda done, total: send(
                {"step": "Judging the corrections", "done": done, "total": total}
            ),
        )
        return {**result.to_json(), "score": model_score(Path(model))}

    _send_outcome(connection, work)


def use_for_page(connection: Connection, folder: str, model: str) -> None:
    """Predict the songs of a library, and send progress and outcome. A process of its own calls it."""

    def work(send: Send) -> None:
        from quintet.library.retraining.use import use_model
        from quintet.reports.front.training_words import model_score

        library = Library.open(folder)
        confidence = (library.facts.model or {}).get("confidence") or CONFIDENCE
        use_model(
            library,
            Path(model),
            float(confidence),
            score=model_score(Path(model)),
            progress=lambda state: send({"step": "Predicting", "done": state.done, "total": state.total}),
        )

    _send_outcome(connection, work)


def _send_outcome(connection: Connection, work: Callable[[Send], JsonObject | None]) -> None:
    """Carry out work, and send what it returns, or why it failed."""
    use_one_thread()
    try:
        connection.send({"result": work(connection.send)})
    except (BrokenPipeError, ConnectionError):
        pass  # the page was closed
    except Exception as error:  # noqa: BLE001  the page shows it
        connection.send({"reason": refusal(error, writes_to=LIBRARY_PLACES).reason})
    finally:
        connection.close()
