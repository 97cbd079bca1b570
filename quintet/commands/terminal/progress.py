"""What the terminal shows: progress on standard error, results on standard output, so that output pipes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

ENSEMBLE_NAMES = {"mean", "geometric", "weighted", "greedy", "stacked"}
SHOWN_SCORES = (
    ("accuracy", "accuracy"),
    ("macro_f1", "macro F1"),
    ("macro_auc", "macro AUC"),
    ("log_loss", "log loss"),
)


class RateColumn(ProgressColumn):
    """Items per second."""

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
def progress_counter(description: str, *, quiet: bool = False) -> Iterator[Any]:
    """A progress bar as a callable that takes a `quintet.features.extraction.extract.Progress`."""
    if quiet or not err.is_terminal:
        yield lambda progress: None
        return
    bar = _bar()  # begins with the first news and ends with the last, so that it never shares the screen with another display
    tasks: list[Any] = []

    def show(progress: Any) -> None:
        if not tasks:
            bar.start()
            tasks.append(bar.add_task(description, total=None, note=""))
        bar.update(
            tasks[0],
            completed=progress.done,
            total=progress.total,
            note=f"{progress.failed} failed" if progress.failed else "",
        )
        if progress.done >= progress.total:
            bar.stop()

    try:
        yield show
    finally:
        if tasks:
            bar.stop()


class TrainingDisplay:
    """Turns training events into lines (and, on a terminal, a live status of the running fit)."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.status = err.status("") if err.is_terminal and not quiet else None  # begins with the first event
        self._since: dict[str, float] = {}
        self._told: set[str] = set()
        self._bar: Progress | None = None

    def __enter__(self) -> TrainingDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status:
            self.status.stop()
        if self._bar:
            self._bar.stop()

    def __call__(self, event: Any) -> None:
        """Show one `quintet.ensemble.crossfit.TrainingEvent`."""
        if self.quiet:
            return
        if event.kind == "curve":
            self._count(event.details["done"], event.details["total"])
            return
        if self.status:
            self.status.start()
        part = f"fold {event.fold + 1}/{event.n_folds}" if event.fold >= 0 else "all training clips"
        self._since.setdefault(event.member, time.perf_counter())
        if event.kind == "epoch" and self.status:
            self.status.update(f"{event.member}  {part}  {_epoch(event.details)}")
        if event.kind == "start" and event.details.get("device") and event.member not in self._told:
            self._told.add(event.member)
            err.print(f"  {event.member} trains on: {event.details['device']}", soft_wrap=True)
        elif event.kind == "start" and self.status:
            self.status.update(f"{event.member}  {part}")
        elif event.fold < 0 and event.kind in {"done", "reused"}:
            seconds = time.perf_counter() - self._since[event.member]
            if self.status and event.kind == "done":
                self.status.stop()
            note = "kept from the interrupted run" if event.kind == "reused" else f"{seconds:.1f} s"
            err.print(f"  [green]✓[/] {event.member:<22} {event.n_folds} folds + final fit  [dim]{note}[/]")

    def _count(self, done: int, total: int) -> None:
        """The bar of the learning curve: it begins with the first fit that is done and ends with the last."""
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


def _epoch(details: Mapping[str, Any]) -> str:
    parts = [f"epoch {details.get('epoch', '?')}"]
    parts += [
        f"{name} {details[name]:.3f}"
        for name in ("loss", "val_loss", "val_accuracy")
        if details.get(name) is not None
    ]
    return "  ".join(parts)


AT_ONCE = 3
"""Scores with their intervals that stand side by side on 80 columns."""


def interval(score: Mapping[str, Any] | None) -> str:
    """`0.871 [0.80, 0.93]`, or a dash where a score is undefined.

    Example:
        >>> interval({"value": 0.012, "low": -0.001, "high": 0.031}), interval({"value": None})
        ('0.012 [dim]\\\\[0.00, 0.03][/]', '–')
    """
    if not score or score.get("value") is None:
        return "–"
    if score.get("low") is None:
        return f"{score['value']:z.3f}"
    return f"{score['value']:z.3f} [dim]\\[{score['low']:z.2f}, {score['high']:z.2f}][/]"


def score_heading(score: str) -> str:
    """What a score is called above a column.

    Example:
        >>> score_heading("macro_pr_auc"), score_heading("log_loss")
        ('macro PR AUC', 'log loss')
    """
    return " ".join(word.upper() if word in ("auc", "pr", "f1", "ece") else word for word in score.split("_"))


def score_table(scores: Mapping[str, Any], *, chosen: str) -> Table:
    """Members, then ensembles, with their intervals; macro F1 only where the terminal is wide enough for it."""
    sets = all("accuracy" not in judged["scores"] for judged in scores.values())
    pairs = (("macro_pr_auc", "macro PR AUC"), *SHOWN_SCORES[1:]) if sets else SHOWN_SCORES
    shown = [pair for pair in pairs if pair[0] != "macro_f1" or out.width >= 105]
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for _, heading in shown:
        table.add_column(heading, no_wrap=True)
    for name in [
        *(n for n in scores if n not in ENSEMBLE_NAMES),
        *(n for n in scores if n in ENSEMBLE_NAMES),
    ]:
        label = ("» " if name in ENSEMBLE_NAMES else "") + name + (" ←" if name == chosen else "")
        table.add_row(
            label,
            *[interval(scores[name]["scores"].get(key)) for key, _ in shown],
            style="bold" if name == chosen else "",
        )
    return table


def published_table(scores: Mapping[str, Any]) -> Table:
    """A row per member that the paper reports, a column per score: its figure, then ours."""
    published, ours = scores["published"]["scores"], scores["test" if "test" in scores else "oof"]
    keys = list(dict.fromkeys(key for row in published.values() for key in row))
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("published | ours", no_wrap=True)
    for key in keys:
        table.add_column(score_heading(key), no_wrap=True)
    for name, row in published.items():
        own = ours.get(name, {}).get("scores", {})
        table.add_row(
            name, *[f"{row[key]:.3f} | {_plain(own.get(key))}" if key in row else "–" for key in keys]
        )
    return table


def _plain(score: Mapping[str, Any] | None) -> str:
    return "–" if not score or score.get("value") is None else f"[bold]{score['value']:.3f}[/]"


def evaluation_tables(found: Mapping[str, Any]) -> list[Table]:
    """Every score of `quintet evaluate`: a column per file and one for their mean, or a row each where 80 columns do not hold them."""
    columns = {**({found["of"]: found} if "files" in found else {"": found}), **found.get("files", {})}
    scores = list(found["scores"])
    if len(columns) <= AT_ONCE:
        table = _quiet("", *map(escape, columns))
        for metric in scores:
            table.add_row(metric, *[interval(column["scores"].get(metric)) for column in columns.values()])
        return [table]
    tables = []
    for part in (scores[k : k + AT_ONCE] for k in range(0, len(scores), AT_ONCE)):
        tables.append(_quiet("", *map(score_heading, part)))
        for name, column in columns.items():
            tables[-1].add_row(escape(name), *[interval(column["scores"].get(metric)) for metric in part])
    return tables


def _quiet(*headings: str) -> Table:
    """A table without lines, whose cells are never broken."""
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def undefined_lines(undefined: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which scores of which classes could not be told, and how many classes these are, for people.

    Example:
        >>> undefined_lines([{"class": "harp", "support": 0, "metrics": ["recall", "auc"]}])
        ['1 class is undefined in some scores, and left out of their means:', '  harp (0 clips): recall, AUC']
    """
    if not undefined:
        return []
    classes = "1 class is" if len(undefined) == 1 else f"{len(undefined)} classes are"
    rows = [
        f"  {row['class']} ({row['support']} clips): {', '.join(map(score_heading, row['metrics']))}"
        for row in undefined
    ]
    return [f"{classes} undefined in some scores, and left out of their means:", *rows]


def comparison_table(found: Mapping[str, Any]) -> Table:
    """What the mean of several files gains over each of them: paired intervals, and p-values corrected for being many."""
    table = _quiet("mean less", "in", "difference", "p")
    for name in found["files"]:
        rows = [
            (score_heading(row["metric"]), _gap(row), _p(row))
            for row in found["comparisons"]
            if row["second"] == name
        ]
        rows += [
            ("McNemar", f"{row['only_first']} : {row['only_second']} clips", _p(row))
            for row in found["mcnemar"]
            if row["second"] == name
        ]
        areas = [row for row in found["delong"] if row["second"] == name]
        rows += (
            [("DeLong", f"{sum(row['p_holm'] < 0.05 for row in areas)} of {len(areas)} classes", "")]
            if areas
            else []
        )
        for k, row in enumerate(rows):
            table.add_row("" if k else escape(name), *row)
    return table


def _p(row: Mapping[str, Any]) -> str:
    return "–" if row["p_holm"] is None else f"{row['p_holm']:.2g}"


def gate_tables(gate: Mapping[str, Any]) -> list[Table]:
    """The first of the gate's scores per protocol, and its gaps to the first protocol: side by side, or apart where 80 columns do not hold both."""
    protocols, score = list(gate["protocols"]), gate["gaps"][0]["score"]
    stamped = [
        protocol + (" [bold red](ungrouped)[/]" if protocol in gate.get("ungrouped", ()) else "")
        for protocol in protocols
    ]
    gaps = [f"{protocols[0]} − {other}" for other in protocols[1:]]
    headings = [stamped + gaps] if len(protocols) == 2 else [stamped, gaps]
    tables = [
        Table("", *columns, header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for columns in headings
    ]
    for member in gate["protocols"][protocols[0]]:
        cells = [interval(gate["protocols"][protocol][member]["scores"][score]) for protocol in protocols]
        found = [_gap(gap) for gap in gate["gaps"] if gap["member"] == member and gap["score"] == score]
        for table, row in zip(tables, [cells + found] if len(tables) == 1 else [cells, found], strict=True):
            table.add_row(member, *row)
    for column in (column for table in tables for column in table.columns):
        column.no_wrap = True
    return tables


def _gap(gap: Mapping[str, Any]) -> str:
    """`+0.047 [+0.00, +0.10]`, or the value alone, or a dash."""
    if gap["value"] is None:
        return "–"
    return f"{gap['value']:+z.3f}" + (
        "" if gap["low"] is None else f" [dim]\\[{gap['low']:+z.2f}, {gap['high']:+z.2f}][/]"
    )


def curve_table(curve: Mapping[str, Any]) -> Table:
    """A learning curve: one row per size of the training data, with its scores."""
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = list(curve["points"][0]["scores"])
    for heading in ("learnt from", *map(score_heading, names)):
        table.add_column(heading, no_wrap=True)
    for point in curve["points"]:
        table.add_row(f"{point['clips']:.0f} clips", *[interval(point["scores"][name]) for name in names])
    return table


def trial_line(trial: Any, n_trials: int) -> str:
    """One `quintet.tuning.study.Trial` on a line."""
    settings = (
        "the default"
        if trial.number == 0
        else ", ".join(f"{name}={_short(value)}" for name, value in trial.settings.items())
    )
    value = "[dim]stopped early[/]" if trial.state == "pruned" else f"{trial.value:.4f}"
    return f"  {trial.member} {trial.number + 1}/{n_trials}  {value}  {escape(settings)}  [dim]{trial.seconds:.1f} s[/]"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}={_short(inner)}" for name, inner in value.items()) + "}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def tuning_table(result: Any) -> Table:
    """Every member of a `quintet.tuning.tune.TuningResult`: the default against the best, and the gain with its interval."""
    metric = score_heading(result.metric)
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", f"{metric}: default", "best", "gain", "trials"):
        table.add_column(heading, no_wrap=True)
    for name, tuned in result.members.items():
        gain = (
            f"{tuned.gain.value:+.3f} [dim]\\[{tuned.gain.low:+.3f}, {tuned.gain.high:+.3f}][/]"
            if tuned.best
            else "–"
        )
        table.add_row(
            name, f"{tuned.default_value:.3f}", f"{tuned.best_value:.3f}", gain, str(tuned.n_trials)
        )
    return table


def shortened(path: str, width: int) -> str:
    """A path that fits: its end, which tells files apart, is kept.

    Example:
        >>> shortened("music/from_material/mine/song.mp3", 14)
        '…mine/song.mp3'
    """
    return path if len(path) <= width else "…" + path[-(width - 1) :]


def printable(text: str) -> str:
    """A text on one line: what would break the line or steer the terminal stands as its escape.

    Example:
        >>> printable("new\\nline.mp3")
        'new\\\\nline.mp3'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def probability_table(rows: Sequence[Mapping[str, Any]], classes: Sequence[str], *, shown: int = 3) -> Table:
    """Files with their most probable classes."""
    from quintet.datasets.labels import label_set

    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("file", no_wrap=True)
    for place in range(min(shown, len(classes))):
        table.add_column(("verdict", "second", "third")[place] if place < 3 else str(place + 1), no_wrap=True)
    with_sets = any("set" in row for row in rows)
    if with_sets:
        table.add_column("set", overflow="fold")
    places = min(shown, len(classes))
    longest = min(
        max(map(len, classes)), max((out.width - 20 * with_sets - 24) // places - 7, 8)
    )  # of a class's name, before it is cut
    room = max(out.width - (longest + 7) * places - 20 * with_sets - 2, 16)
    for row in rows:
        ranked = sorted(classes, key=lambda c: -row["probabilities"][c])[:shown]
        held = [escape(", ".join(label_set(row["set"]))) or "[red]none of these[/]"] if with_sets else []
        verdicts = [
            f"{escape(printable(name) if len(name) <= longest else printable(name)[: longest - 1] + '…')} [dim]{row['probabilities'][name]:.2f}[/]"
            for name in ranked
        ]
        table.add_row(escape(shortened(printable(row["file"]), room)), *verdicts, *held)
    return table
