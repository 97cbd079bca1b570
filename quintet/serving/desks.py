"""Where requests wait and are carried out: worker processes for the sound, one thread for the model.

A recording goes through two queues. A thread per worker process takes it from the first, lets the worker
describe it, and puts the rows into the second. One thread takes all that is in the second, and predicts it
together. A worker that dies, hangs or takes too much memory costs the recording that it had.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from quintet.audio.isolation.bounds import Bounds, read_bounds
from quintet.audio.isolation.calls import fault
from quintet.audio.isolation.pool import WorkerPool
from quintet.audio.isolation.serving import IDLE_S
from quintet.errors import ArtefactError, MachineError
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.segments import FileRows, FileTask
from quintet.files.digests import file_digest
from quintet.inference.describe import Predictions, is_full
from quintet.inference.warm import WarmModel

KEEP_WARM_S = IDLE_S / 2
"""Seconds after which an idle worker gets a call that does nothing, so that it stays."""
EXPLANATION_S = 600.0
"""Longest time of one explanation, seconds."""
STOP_S = 1.0
"""Longest time to wait for a thread whose worker has been ended."""
EXPLANATION_MEMORY = 4
"""Memory of an explanation, as a multiple of that of a clip: the libraries of the members alone have more."""


@dataclass(eq=False)
class Question:
    """A recording that waits for its prediction.

    Args:
        task: the recording.
        strict: whether it counts as failed if it is cut short.
        answer: receives the predictions of its segments.
    """

    task: FileTask
    strict: bool = False
    answer: Future[Predictions] = field(default_factory=Future)


class PredictionDesk:
    """Predictions of recordings, several at a time.

    The workers start with the object: make it before this process has threads and before the model is
    loaded, so that they are forks.

    Args:
        n_workers: worker processes.
        bounds: of the work on one recording.
    """

    def __init__(self, n_workers: int, bounds: Bounds) -> None:
        self._pools = [WorkerPool(1, bounds) for _ in range(n_workers)]
        for pool in self._pools:
            pool.warm_up(kernels_available)
        self._waiting: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._described: queue.SimpleQueue[tuple[Question, FileRows] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._predictor = threading.Thread(target=self._predict_all, name="predictions", daemon=True)
        self._model: WarmModel | None = None

    def open(self, model: WarmModel) -> None:
        """Begin the work.

        Args:
            model: what predicts.
        """
        self._model = model
        for pool in self._pools:
            thread = threading.Thread(target=self._describe_all, args=(pool,), name="worker", daemon=True)
            self._threads.append(thread)
        for thread in (*self._threads, self._predictor):
            thread.start()

    def ask(self, question: Question) -> Future[Predictions]:
        """Accept a question. Its answer can be cancelled as long as no worker has it."""
        self._waiting.put(question)
        return question.answer

    def close(self) -> None:
        """Answer what was accepted, and end the workers."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        if self._predictor.is_alive():
            self._described.put(None)
            self._predictor.join()
        for pool in self._pools:
            pool.close()

    def stop(self) -> None:
        """End the workers at once. What was accepted has no answer."""
        for pool in self._pools:
            pool.end()
        for _ in self._threads:
            self._waiting.put(None)
        self._described.put(None)
        for thread in (*self._threads, self._predictor):
            if thread.is_alive():
                thread.join(STOP_S)

    def _describe_all(self, pool: WorkerPool) -> None:
        """What the thread of a worker process does."""
        while True:
            try:
                question = self._waiting.get(timeout=KEEP_WARM_S)
            except queue.Empty:
                _keep_warm(pool)
                continue
            if question is None:
                return
            if not question.answer.set_running_or_notify_cancel():
                continue
            try:
                assert self._model is not None
                rows = self._model.describe(question.task, pool, strict=question.strict)
            except Exception as error:  # noqa: BLE001  the request reports it
                pool.stop()
                question.answer.set_exception(error)
            else:
                self._described.put((question, rows))

    def _predict_all(self) -> None:
        """What the thread of the model does: everything that is described is predicted together."""
        is_open = True
        while is_open:
            block: list[tuple[Question, FileRows]] = []
            while is_open and not (block and is_full([(q.task, rows) for q, rows in block])):
                try:
                    item = self._described.get(block=not block)
                except queue.Empty:
                    break
                if item is None:
                    is_open = False
                else:
                    block.append(item)
            self._predict(block)

    def _predict(self, block: list[tuple[Question, FileRows]]) -> None:
        """Predict some recordings together, or one by one if that fails: a fault costs its own recording."""
        assert self._model is not None
        try:
            parts = self._model.predict([(question.task, rows) for question, rows in block])
        except Exception as error:  # noqa: BLE001  the request reports it
            if len(block) == 1:
                block[0][0].answer.set_exception(error)
                return
            for one in block:
                self._predict([one])
            return
        for (question, _), predictions in zip(block, parts, strict=True):
            question.answer.set_result(predictions)


class ExplanationDesk:
    """Pages about recordings, one after another, each in a worker process that stays warm for a while.

    Args:
        folder: the model folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digest = file_digest(folder / "bundle.json")
        memory_mb = EXPLANATION_MEMORY * read_bounds().memory_mb
        self._pool = WorkerPool(1, Bounds(memory_mb, EXPLANATION_S))
        self._waiting: queue.SimpleQueue[tuple[Callable[[], str], Future[str]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._explain_all, name="explanations", daemon=True)

    def open(self) -> None:
        """Begin the work."""
        self._thread.start()

    def ask(self, path: str, name: str, segment_s: float | None) -> Future[str]:
        """Accept a recording. Its page can be cancelled as long as the worker does not have it.

        Args:
            path: the file.
            name: its name on the page.
            segment_s: length of a segment, as in `predict_files`.
        """
        answer: Future[str] = Future()
        self._waiting.put((lambda: self._explain(path, name, segment_s), answer))
        return answer

    def close(self) -> None:
        """Answer what was accepted, and end the worker."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
        self._pool.close()

    def stop(self) -> None:
        """End the worker at once. What was accepted has no answer."""
        self._pool.end()
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _explain_all(self) -> None:
        """What the thread of the explanations does."""
        while (item := self._waiting.get()) is not None:
            explain, answer = item
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(explain())
            except Exception as error:  # noqa: BLE001  the request reports it
                self._pool.stop()
                answer.set_exception(error)

    def _explain(self, path: str, name: str, segment_s: float | None) -> str:
        """The page of a recording.

        Raises:
            ArtefactError: the model folder is another one than at the start.
            AudioError: the recording cannot be explained.
        """
        self._require_folder()
        self._pool.submit(explain_for_service, self._folder, path, name, segment_s)
        (event,) = self._pool.events()
        if event.kind == "done":
            return str(event.value)
        self._require_folder()  # it may have changed since
        if event.kind == "died":  # a decoder is in a process of its own, and cannot be the reason
            raise MachineError(
                "An explanation must fit into the memory of the machine. Its process died: try once more, or "
                "with less sound."
            )
        raise fault(event, self._pool)

    def _require_folder(self) -> None:
        """Refuse a model folder that is another one than at the start, or none any more.

        Raises:
            ArtefactError: it is.
        """
        try:
            digest = file_digest(self._folder / "bundle.json")
        except OSError:
            digest = ""
        if digest != self._digest:
            raise ArtefactError(
                "The model folder must be the one that the service has loaded. It was replaced or deleted "
                "meanwhile: start the service again."
            )


def explain_for_service(folder: Path, path: str, name: str, segment_s: float | None) -> str:
    """The page of a recording. A worker process calls it.

    Args:
        folder: the model folder.
        path: the file.
        name: its name on the page.
        segment_s: length of a segment, as in `predict_files`.
    """
    from quintet.pipeline.explain_track import explanation_html

    return explanation_html(folder, path, name=name, segment_s=segment_s)


def _keep_warm(pool: WorkerPool) -> None:
    """Let an idle worker do nothing, which begins its idle time anew. One that has left is started again."""
    try:
        pool.submit(os.getpid, set_up=kernels_available)
        pool.events()
    except Exception:  # noqa: BLE001  the next recording has the same fault, and reports it
        pool.stop()
