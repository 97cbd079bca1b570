"""Progress on standard error: bars, the display of a training, and the reporter of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from quintet.commands.terminal.console import err, print_plain
from quintet.commands.terminal.tables import trial_line

if TYPE_CHECKING:
    from quintet.ensemble.crossfit import TrainingEvent
    from quintet.files.json_types import JsonObject
    from quintet.pipeline.reporter import StageName
    from quintet.tuning.study import Trial

STAGE_HEADINGS = {
    "listing": "Listing the clips",
    "extracting": "Extracting",
    "training": "Training",
    "searching": "Searching",
    "reporting": "Reporting",
    "predicting": "Predicting",
}


class Counts(Protocol):
    """Counts of a progress callback."""

    @property
    def done(self) -> float:
        """Finished items, with the share of the next one where it is known."""
        ...

    @property
    def total(self) -> int:
        """All items."""
        ...

    @property
    def failed(self) -> int:
        """Items that failed."""
        ...


class RateColumn(ProgressColumn):
    """Column of a bar: items per second."""

    def render(self, task: Task) -> Text:
        """The rate so far."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="dim")


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="yellow"),
        console=err,
        transient=True,
    )


@contextmanager
def show_status(text: str, *, quiet: bool) -> Iterator[None]:
    """Show a spinner with a text while the block runs, on a terminal only.

    Args:
        text: the text, without dots.
        quiet: whether to show nothing.
    """
    if quiet or not err.is_terminal:
        yield
        return
    with err.status(text + "…"):
        yield


@contextmanager
def progress_counter(description: str, *, quiet: bool = False) -> Iterator[Callable[[Counts], None]]:
    """Show a progress bar, on a terminal only.

    The bar starts with the first call of the callback and stops with the last, because two displays cannot
    share the terminal.

    Args:
        description: text in front of the bar.
        quiet: whether to show nothing.

    Yields:
        A progress callback.
    """
    if quiet or not err.is_terminal:
        yield lambda counts: None
        return
    bar = _bar()
    tasks: list[TaskID] = []

    def show(counts: Counts) -> None:
        if not tasks:
            bar.start()
            tasks.append(bar.add_task(description, total=None, note=""))
        note = f"{counts.failed} failed" if counts.failed else getattr(counts, "name", "")
        bar.update(tasks[0], completed=counts.done, total=counts.total, note=note)
        if counts.done >= counts.total:
            bar.stop()

    try:
        yield show
    finally:
        if tasks:
            bar.stop()


class LeftColumn(ProgressColumn):
    """Column of a bar: the time until `ends_at`, seconds of the monotonic clock; None: not yet known."""

    def render(self, task: Task) -> Text:
        """The time, in the largest two units: `2 h 05 min`."""
        ends_at = task.fields["ends_at"]
        if ends_at is None:
            return Text("time left: known after the first fit", style="dim")
        return Text(f"about {duration_text(ends_at - time.monotonic())} left", style="cyan")


def duration_text(seconds: float) -> str:
    """A duration in the largest two units; a negative one is no time.

    Example:
        >>> duration_text(7500), duration_text(130), duration_text(7.4)
        ('2 h 05 min', '2 min 10 s', '7 s')
    """
    whole = max(0, round(seconds))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


class TrainingDisplay:
    """Prints a line per trained member and, on a terminal, shows the running fits and the time that is left.

    Args:
        quiet: whether to show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.status = err.status("") if err.is_terminal and not quiet else None  # starts with the first event
        self._seconds: dict[str, float] = {}
        self._running: dict[tuple[str, int], str] = {}
        self._ready: dict[str, TrainingEvent] = {}  # members whose final fit is done
        self._devices_printed: set[str] = set()
        self._bar: Progress | None = None
        self._fits: Progress | None = None

    def __enter__(self) -> TrainingDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_fits()
        if self.status:
            self.status.stop()
        if self._bar:
            self._bar.stop()

    def __call__(self, event: TrainingEvent) -> None:
        """Show one training event."""
        if self.quiet:
            return
        if event.kind == "curve":
            self._stop_fits()
            self._count(event.details["done"], event.details["total"])
            return
        if event.kind == "size":
            print_plain(err, f"  {event.details['text']}")
            return
        if event.kind == "score":
            self._stop_fits()
            if self.status:
                self.status.start()
                self.status.update(f"scoring {event.member}  {event.details['part']} part")
            return
        self._follow_fit(event)
        self._show_fits(event)

    def _follow_fit(self, event: TrainingEvent) -> None:
        """Print the device of a member once, and the line of a member when all its fits are done."""
        fit = (event.member, event.fold)
        if event.kind in ("start", "epoch"):
            part = f"fold {event.fold + 1}/{event.n_folds}" if event.fold >= 0 else "all training clips"
            epoch = f"  {_epoch(event.details)}" if event.kind == "epoch" else ""
            self._running[fit] = f"{event.member}  {part}{epoch}"
            device = event.details.get("device")
            if device and event.member not in self._devices_printed:
                self._devices_printed.add(event.member)
                err.print(f"  {event.member} trains on: {device}", soft_wrap=True)
            return
        self._running.pop(fit, None)
        seconds = float(event.details.get("seconds", 0.0))
        self._seconds[event.member] = self._seconds.get(event.member, 0.0) + seconds
        if event.fold < 0:
            self._ready[event.member] = event
        last = self._ready.get(event.member)
        if last is not None and not any(member == event.member for member, _ in self._running):
            self._print_member(self._ready.pop(event.member))

    def _print_member(self, event: TrainingEvent) -> None:
        """Print the line of a member whose fits are all done, with the sum of their times."""
        reused = event.kind == "reused"
        note = "kept from the interrupted run" if reused else f"{self._seconds[event.member]:.1f} s"
        parts = "validation part" if event.n_folds == 1 else f"{event.n_folds} folds"
        fits = f"{parts} + final fit"
        err.print(f"  [green]✓[/] {event.member:<30} {fits}  [dim]{note}[/]")

    def _show_fits(self, event: TrainingEvent) -> None:
        """Show the running fits, the share of the work that is done, and the time that is left."""
        if self.status is None or "share" not in event.details:
            return
        if self._fits is None:
            self.status.stop()
            left, bar = LeftColumn(), BarColumn()
            percent = TextColumn("{task.percentage:>3.0f} %")
            text = TextColumn("{task.description}")
            self._fits = Progress(
                SpinnerColumn(), bar, percent, TimeElapsedColumn(), left, text, console=err, transient=True
            )
            self._fits.start()
            self._fits.add_task("", total=1.0, ends_at=None)
        left_s = event.details["left_s"]
        self._fits.update(
            self._fits.task_ids[0],
            completed=event.details["share"],
            description="; ".join(self._running.values()),
            ends_at=None if left_s is None else time.monotonic() + left_s,
        )

    def _stop_fits(self) -> None:
        if self._fits is not None:
            self._fits.stop()
            self._fits = None

    def _count(self, done: int, total: int) -> None:
        """Show the bar of the learning curve. It starts with the first finished fit, ends with the last."""
        if self.status is None:
            return
        if self._bar is None:
            self.status.stop()
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task("Learning curve", total=total, note="")
        self._bar.update(self._bar.task_ids[0], completed=done)
        if done >= total:
            self._bar.stop()


def _epoch(details: JsonObject) -> str:
    """Epoch with its losses. A network that holds out no clips has none of validation.

    Example:
        >>> _epoch({"epoch": 3, "loss": 0.5, "val_loss": math.nan})
        'epoch 3  loss 0.500'
    """
    parts = [f"epoch {details.get('epoch', '?')}"]
    for name in ("loss", "val_loss", "val_accuracy"):
        value = details.get(name)
        if value is not None and math.isfinite(value):
            parts.append(f"{name} {value:.3f}")
    return "  ".join(parts)


class TerminalReporter:
    """Reporter that prints the stages, notes and trials of a run on standard error.

    Args:
        display: shows the training events.
        quiet: whether to print nothing.
    """

    def __init__(self, display: TrainingDisplay, *, quiet: bool = False) -> None:
        self.display = display
        self.quiet = quiet

    @contextmanager
    def stage(self, name: StageName) -> Iterator[Callable[[Counts], None]]:
        """Print the heading of a stage and show its progress bar."""
        if not self.quiet:
            err.print(f"[bold]{STAGE_HEADINGS[name]}[/]")
        with progress_counter("  ", quiet=self.quiet) as progress:
            yield progress

    def notify(self, text: str) -> None:
        """Print one sentence about the stage."""
        if not self.quiet:
            print_plain(err, f"  {text}")

    def event(self, event: TrainingEvent) -> None:
        """Show one training event."""
        self.display(event)

    def trial(self, trial: Trial, n_trials: int) -> None:
        """Print one line about a finished trial."""
        if not self.quiet:
            err.print(trial_line(trial, n_trials), soft_wrap=True)
