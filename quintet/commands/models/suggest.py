"""Command `suggest`: the unlabelled clips whose labels would teach a model most."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.destinations import hold_file, prepare_file, require_suffix
from quintet.commands.terminal.faults import EXIT_DATA
from quintet.commands.terminal.options import IdColumn, Jobs, Json, Model, Quiet
from quintet.commands.terminal.parsing import resolve_cores

EXAMPLE = (
    "Example: quintet suggest model/ unlabelled/ -o next.csv, fill in `corrected`, "
    "quintet train features.parquet -o better/ --labels next.csv"
)


def suggest(
    model: Model,
    files: Annotated[list[str] | None, typer.Argument(help="Unlabelled audio files, folders, globs.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="CSV to write: fill in its column `corrected` for `train --labels`."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Feature table in place of files; its rows without a label are the candidates."),
    ] = None,
    id_column: IdColumn = None,
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, max=4000, help="Number of clips to suggest.")
    ] = 20,
    json_: Json = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Choose the unlabelled clips whose labels would teach a model most: doubtful, typical, no two alike.

    Files that cannot be read are reported (exit code 1).
    """
    from quintet.audio.isolation.processes import use_one_thread_ahead

    use_one_thread_ahead()
    from quintet.audio.isolation.calls import start_worker
    from quintet.commands.terminal.console import out, print_message, print_plain
    from quintet.commands.terminal.output import print_failure, print_json, print_notes
    from quintet.commands.terminal.progress import progress_counter
    from quintet.features.engine.warm_up import kernels_available
    from quintet.files.atomic import write_or_keep
    from quintet.labelling.suggest import suggest as suggest_clips
    from quintet.labelling.suggest import write_suggestions

    if bool(files) == (table is not None):
        raise typer.BadParameter("give audio files, or one --table", param_hint="FILES")
    if id_column is not None and table is None:
        raise typer.BadParameter("is for the rows of a --table", param_hint="--id-column")
    if output is not None:
        require_suffix(output, (".csv",))
    prepare_file(output, inputs=[table, *(files or ())])
    hold_file(output)
    start_worker(kernels_available)  # before the progress bar, which is a thread
    with progress_counter("Predicting", quiet=quiet) as progress:
        found = suggest_clips(
            model,
            files or None,
            table=table,
            id_column=id_column,
            n=number,
            n_jobs=resolve_cores(jobs),
            progress=progress,
        )
    if output is not None:
        write_or_keep(output, partial(write_suggestions, found))
    if json_:
        print_json({"command": "suggest", **found.to_json()})
    elif output is None:
        for clip in found.frame["id"]:
            print_plain(out, str(clip))
    print_notes(found.notes, quiet=quiet)
    for failure in found.failures:
        print_failure(failure["file"], failure["reason"])
    if output is not None:
        print_message(f"{len(found.frame)} of {found.n_candidates} clips → {output}", quiet=quiet)
    if found.failures:
        raise typer.Exit(EXIT_DATA)
