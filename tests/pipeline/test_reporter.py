"""Reporters of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quintet.ensemble.crossfit import TrainingEvent
from quintet.features.extraction.chunks import Progress
from quintet.pipeline.reporter import HookReporter, NullReporter, ProgressCallback

EVENT = TrainingEvent("start", "svm", 0, 5)


def test_the_null_reporter_accepts_everything() -> None:
    reporter = NullReporter()
    with reporter.stage("training") as progress:
        progress(Progress(total=3, done=1))
    reporter.notify("text")
    reporter.event(EVENT)


def test_hooks_receive_stages_notes_and_events() -> None:
    received: list[object] = []

    @contextmanager
    def stage(name: str) -> Iterator[ProgressCallback]:
        received.append(name)
        yield received.append

    reporter = HookReporter({"stage": stage, "tell": received.append, "listener": received.append})
    with reporter.stage("training") as progress:
        progress(Progress(total=3))
    reporter.notify("text")
    reporter.event(EVENT)
    assert received == ["training", Progress(total=3), "text", EVENT]


def test_absent_hooks_are_ignored() -> None:
    reporter = HookReporter({})
    with reporter.stage("training") as progress:
        progress(Progress(total=3))
    reporter.notify("text")
    reporter.event(EVENT)
