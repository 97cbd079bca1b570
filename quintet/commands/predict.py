"""Command `predict`: predictions of a model for audio files or a feature table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.options import IdColumn, Jobs, Model, Quiet, Segment, Strict
from quintet.commands.terminal.parsing import resolve_cores

EXAMPLE = "Example: quintet predict model/ new/*.mp3 --format csv > predictions.csv"
FORMATS = ("table", "csv", "json", "parquet")


def predict(
    model: Model,
    files: Annotated[list[str] | None, typer.Argument(help="Audio files, folders, globs.")] = None,
    table: Annotated[
        Path | None, typer.Option(help="Feature table whose rows to predict instead of audio files.")
    ] = None,
    id_column: IdColumn = None,
    format_: Annotated[str, typer.Option("--format", help="table, csv, json, parquet.")] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write instead of standard output.")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Also predict the set of classes that contains the true class with this probability, for "
            "example 0.9. The set may be empty."
        ),
    ] = None,
    segment: Segment = None,
    strict: Strict = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Predict the classes of new music. Files that cannot be read are reported (exit code 1)."""
    from quintet.commands.terminal.console import err, print_plain
    from quintet.commands.terminal.output import print_failure, print_predictions, print_truncation
    from quintet.commands.terminal.progress import progress_counter
    from quintet.inference.predict import predict_files, predict_table_file

    _check_usage(files, table, format_, output)
    if table is not None:
        result = predict_table_file(model, table, id_column=id_column, confidence=confidence)
    else:
        with progress_counter("Predicting", quiet=quiet) as progress:
            result = predict_files(
                model,
                files or [],
                segment_s=segment,
                confidence=confidence,
                strict=strict,
                n_jobs=resolve_cores(jobs),
                progress=progress,
            )
    print_predictions(result, format_, output)
    for note in result.notes:
        print_plain(err, note, style="dim")
    for file, reason in zip(result.truncated["file"], result.truncated["reason"], strict=True):
        print_truncation(file, reason)
    failures = result.failures
    for file, reason in zip(failures["file"], failures["reason"], strict=True):
        print_failure(file, reason)
    if len(failures):
        raise typer.Exit(1)


def _check_usage(files: list[str] | None, table: Path | None, format_: str, output: Path | None) -> None:
    """Refuse options that contradict each other.

    Raises:
        BadParameter: exit code 2.
    """
    if format_ not in FORMATS:
        raise typer.BadParameter("must be table, csv, json or parquet", param_hint="--format")
    if format_ == "parquet" and output is None:
        raise typer.BadParameter("parquet is binary: name a file with --output", param_hint="--format")
    if bool(files) == (table is not None):
        raise typer.BadParameter("give audio files, or one --table", param_hint="FILES")
