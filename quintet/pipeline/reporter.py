"""Reporter of a run: receives its stages, its notes and the events of its members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol, cast

from quintet.ensemble.crossfit import TrainingEvent
from quintet.features.extraction.chunks import Progress, ProgressCallback
from quintet.tuning.study import Trial

StageName = Literal["listing", "extracting", "training", "searching", "reporting", "predicting"]


class Reporter(Protocol):
    """Receives the stages, notes and events of a run or of a search."""

    def stage(self, name: StageName) -> AbstractContextManager[ProgressCallback]:
        """Context of one stage. It gives the callback for the progress within the stage."""
        ...

    def notify(self, text: str) -> None:
        """Receive one sentence about the stage."""
        ...

    def event(self, event: TrainingEvent) -> None:
        """Receive the start, an epoch or the end of one fit."""
        ...

    def trial(self, trial: Trial, n_trials: int) -> None:
        """Receive one finished trial of a search with `n_trials` trials per member."""
        ...


class NullReporter:
    """Reporter that ignores everything."""

    def stage(self, name: StageName) -> AbstractContextManager[ProgressCallback]:
        """A context whose callback does nothing."""
        return nullcontext(_ignore_progress)

    def notify(self, text: str) -> None:
        """Ignore the sentence."""

    def event(self, event: TrainingEvent) -> None:
        """Ignore the event."""

    def trial(self, trial: Trial, n_trials: int) -> None:
        """Ignore the trial."""


def _ignore_progress(progress: Progress) -> None:
    pass


class HookReporter(NullReporter):
    """Reporter that passes everything on to a mapping of functions. All functions are optional.

    Args:
        hooks: `stage(name)`, a context manager that gives the progress callback; `tell(text)`;
            `listener(event)`; `on_trial(trial, n_trials)`.
    """

    def __init__(self, hooks: Mapping[str, object]) -> None:
        self.hooks = hooks

    def stage(self, name: StageName) -> AbstractContextManager[ProgressCallback]:
        """The context that the function `stage` gives."""
        function = self.hooks.get("stage")
        if function is None:
            return super().stage(name)
        return cast("Callable[[str], AbstractContextManager[ProgressCallback]]", function)(name)

    def notify(self, text: str) -> None:
        """Call the function `tell`."""
        self._call("tell", text)

    def event(self, event: TrainingEvent) -> None:
        """Call the function `listener`."""
        self._call("listener", event)

    def trial(self, trial: Trial, n_trials: int) -> None:
        """Call the function `on_trial`."""
        self._call("on_trial", trial, n_trials)

    def _call(self, name: str, *arguments: object) -> None:
        function = self.hooks.get(name)
        if function is not None:
            cast("Callable[..., object]", function)(*arguments)
