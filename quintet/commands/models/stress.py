"""Command `stress`: predictions of a model for disturbed copies of recordings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.destinations import hold_file, prepare_file, require_suffix
from quintet.commands.terminal.faults import EXIT_DATA
from quintet.commands.terminal.options import Jobs, Json, Model, Quiet
from quintet.commands.terminal.parsing import parse_names, resolve_cores

if TYPE_CHECKING:
    from quintet.robustness.report import StressReport

EXAMPLE = (
    "Example: quintet stress model/; "
    "quintet stress model/ held_out/ --disturbances mp3,noise,pitch_up -o stress.csv"
)


def stress(
    model: Model,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Audio files, folders, globs; a folder with the name of a class is the label. Default: the "
            "held-out clips of the training."
        ),
    ] = None,
    disturbances: Annotated[
        str | None,
        typer.Option(
            help="Between commas: mp3, gain_up, gain_down, noise, narrow, mono, pitch_down, pitch_up, "
            "slower, faster, trimmed. Default: all."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1.0, max=600.0, help="Longest part of a recording to use: its middle.")
    ] = 30.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the table to this CSV file.")
    ] = None,
    json_: Json = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Disturb recordings (mp3, gain, noise, pitch, tempo, …): accuracy, calibration and changed answers.

    Recordings that cannot be read are reported (exit code 1).
    """
    from quintet.audio.isolation.processes import use_one_thread_ahead

    use_one_thread_ahead()
    from quintet.audio.isolation.calls import start_worker
    from quintet.commands.terminal.output import print_failure, print_json, print_notes
    from quintet.commands.terminal.progress import progress_counter
    from quintet.features.engine.warm_up import kernels_available
    from quintet.files.atomic import write_or_keep
    from quintet.robustness.report import write_stress
    from quintet.robustness.stress import stress as stress_model

    if output is not None:
        require_suffix(output, (".csv",))
    prepare_file(output, inputs=files or ())
    hold_file(output)
    start_worker(kernels_available)  # before the progress bar, which is a thread
    with progress_counter("Disturbing", quiet=quiet) as progress:
        report = stress_model(
            model,
            files or None,
            names=parse_names(disturbances),
            seconds=seconds,
            n_jobs=resolve_cores(jobs),
            progress=progress,
        )
    if output is not None:
        write_or_keep(output, partial(write_stress, report))
    if json_:
        print_json({"command": "stress", **report.to_json()})
    else:
        _print(report)
    print_notes(report.notes, quiet=quiet)
    for failure in report.failures:
        print_failure(failure["file"], failure["reason"])
    if report.failures:
        raise typer.Exit(EXIT_DATA)


def _print(report: StressReport) -> None:
    """Print the table."""
    from rich.table import Table

    from quintet.commands.terminal.console import out

    table = Table(box=None, pad_edge=False)
    for name in (
        "",
        "other answer",
        "accuracy",
        "lost",
        "calibration error",
        "families that move (deviations)",
    ):
        table.add_column(name, justify="left")
    for row in report.frame.to_dict("records"):
        moved = [f"{family} {size:.1f}" for family, size in list(row["families"].items())[:3]]
        cells = [_cell(row, name) for name in ("flips", "accuracy", "loss")]
        error = (
            "" if row["calibration_error"] != row["calibration_error"] else f"{row['calibration_error']:.3f}"
        )
        table.add_row(str(row["disturbance"]), *cells, error, ", ".join(moved))
    out.print(table)


def _cell(row: Mapping[Hashable, float], name: str) -> str:
    """A number with its interval; empty for NaN."""
    value = row[name]
    if value != value:
        return ""
    return f"{value:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
