"""Command `evaluate`: scores of files of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.options import Intersection, Json, Quiet, Seed

EXAMPLE = "Example: quintet evaluate fused.parquet --json"


def evaluate(
    predictions: Annotated[
        list[Path],
        typer.Argument(
            help="One file of predictions, or several with the same clips, whose mean is also scored."
        ),
    ],
    intersection: Intersection = False,
    resamples: Annotated[
        int, typer.Option(min=0, help="Bootstrap resamples by group; 0: scores without intervals.")
    ] = 1000,
    seed: Seed = 0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score files of predictions, with intervals by group. The files may come from any program."""
    from quintet.commands.terminal.output import print_evaluation, print_json
    from quintet.commands.terminal.progress import progress_counter
    from quintet.predictions.evaluate import evaluate as evaluate_files

    with progress_counter("Scoring", quiet=quiet) as progress:
        evaluation = evaluate_files(
            predictions, intersection=intersection, seed=seed, n_resamples=resamples, progress=progress
        )
    if json_:
        print_json(evaluation)
    else:
        print_evaluation(evaluation)
