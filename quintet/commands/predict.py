"""Command `predict`: predictions of a model for audio files or a feature table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.console import print_message
from quintet.commands.terminal.destinations import (
    PREDICTION_FORMATS,
    choose_format,
    hold_file,
    prepare_file,
    refuse_two_results,
)
from quintet.commands.terminal.faults import EXIT_DATA
from quintet.commands.terminal.options import (
    IdColumn,
    Jobs,
    JoinedFiles,
    Json,
    Model,
    PredictionFile,
    PredictionFormat,
    Quiet,
    Segment,
    Strict,
)
from quintet.commands.terminal.parsing import parse_joins, read_file_names, resolve_cores

EXAMPLE = "Example: quintet predict model/ new/*.mp3 -o predictions.csv"


def predict(
    model: Model,
    files: Annotated[
        list[str] | None, typer.Argument(help="Audio files, folders, globs; - reads names, one a line.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Feature table whose rows to predict instead of audio files.")
    ] = None,
    id_column: IdColumn = None,
    join: JoinedFiles = None,
    format_: PredictionFormat = None,
    output: PredictionFile = None,
    for_spreadsheets: Annotated[
        bool,
        typer.Option(
            "--for-spreadsheets",
            help="CSV: put an apostrophe in front of names that a spreadsheet would run (= + - @). Default: "
            "names stay as they are.",
        ),
    ] = False,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Also predict the set of classes that contains the true class with this probability, for "
            "example 0.9. The set may be empty. For label sets: the promised recall or precision."
        ),
    ] = None,
    promise: Annotated[
        str | None,
        typer.Option(
            help="For label sets, what --confidence is about: recall (share of the true tags in the set) or "
            "precision (share of the set that is true). Default: recall."
        ),
    ] = None,
    segment: Segment = None,
    strict: Strict = False,
    json_: Json = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Predict the classes of new music. Files that cannot be read are reported (exit code 1)."""
    from quintet.audio.isolation.processes import use_one_thread_ahead

    use_one_thread_ahead()
    from quintet.audio.isolation.calls import start_worker
    from quintet.commands.terminal.output import (
        print_formulas,
        print_json,
        print_prediction_messages,
        print_predictions,
    )
    from quintet.commands.terminal.progress import progress_counter
    from quintet.features.engine.warm_up import kernels_available
    from quintet.files.atomic import write_or_keep
    from quintet.inference.answers import predict_answer
    from quintet.inference.predict import predict_files, predict_table_file

    if bool(files) == (table is not None):
        raise typer.BadParameter(_what_to_give(model, files), param_hint="FILES")
    for option, value in (("--join", join), ("--id-column", id_column)):
        if value and table is None:
            raise typer.BadParameter("is for the rows of a --table", param_hint=option)
    for option, is_given in (("--segment", segment is not None), ("--strict", strict)):
        if is_given and table is not None:
            raise typer.BadParameter("is for audio files, not for a --table", param_hint=option)
    if promise is not None and confidence is None:
        raise typer.BadParameter("is about --confidence: give that, too", param_hint="--promise")
    if json_:
        refuse_two_results(format_, output)
    chosen_format = choose_format(output, format_, PREDICTION_FORMATS)
    if for_spreadsheets and chosen_format != "csv":
        raise typer.BadParameter("is for CSV: add --format csv", param_hint="--for-spreadsheets")
    joins = parse_joins(join)
    prepare_file(output, inputs=[table, *joins.values(), *(files or ())])
    hold_file(output)
    if table is not None:
        result = predict_table_file(
            model,
            table,
            id_column=id_column,
            join=joins,
            confidence=confidence,
            promise=promise or "recall",
        )
    else:
        start_worker(kernels_available)  # before the progress bar, which is a thread
        with progress_counter("Predicting", quiet=quiet) as progress:
            result = predict_files(
                model,
                read_file_names(files),
                segment_s=segment,
                confidence=confidence,
                promise=promise or "recall",
                strict=strict,
                n_jobs=resolve_cores(jobs),
                progress=progress,
            )
    show = partial(print_predictions, result, chosen_format, for_spreadsheets=for_spreadsheets)
    if output is not None:
        write_or_keep(output, show)
    elif not json_:
        show(None)
    if json_:
        place = None if output is None else str(output)
        print_json(predict_answer(result, place))
    print_prediction_messages(result, quiet=quiet)
    if chosen_format == "csv" and not (for_spreadsheets or quiet):
        print_formulas(result)
    if output is not None:
        n_files = len(result.columns("frame")["file"])
        noun = "file" if table is None else "row"
        print_message(f"{n_files} {noun}{'s' * (n_files != 1)} predicted → {output}", quiet=quiet)
    if result.columns("failures")["file"]:
        raise typer.Exit(EXIT_DATA)


def _what_to_give(model: Path, files: list[str] | None) -> str:
    """The words that help who gave both files and a table, or neither."""
    from quintet.files.display.names import printable
    from quintet.model_folder.folder import BUNDLE

    if files or not model.exists() or (model / BUNDLE).exists():
        return "give audio files, or one --table"
    return (
        f"a model comes first, then the music: quintet predict MODEL {printable(str(model))}. `quintet train`"
        " makes a model of music that is sorted; `quintet tag` says genre and mood without one"
    )
