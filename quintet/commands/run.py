"""Command `run`: a whole recipe in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.destinations import prepare_folder
from quintet.commands.terminal.faults import EXIT_DATA
from quintet.commands.terminal.options import Jobs, Json, Quiet
from quintet.commands.terminal.parsing import find_search, read_member_settings, resolve_cores

if TYPE_CHECKING:
    from quintet.pipeline.runner import RunResult

EXAMPLE = "Example: quintet run recipes/demo.toml -o demo-run"


def run(
    recipe: Annotated[
        str, typer.Argument(help="TOML file, or the name of a recipe that comes with quintet.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all files of the run.")],
    data: Annotated[str | None, typer.Option(help="Source that replaces that of the recipe.")] = None,
    scale: Annotated[
        str,
        typer.Option(
            help="full; or small: the same run with few clips, trees and epochs, and narrow networks."
        ),
    ] = "full",
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            help="TOML file with settings that replace those of the recipe: best.toml of `quintet tune`.",
        ),
    ] = None,
    json_: Json = False,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Run a whole recipe: data → features → training → report → predictions. Only outdated stages run."""
    from quintet import workflow
    from quintet.commands.terminal.progress import TerminalReporter, TrainingDisplay
    from quintet.pipeline.recipe import find_recipe, load_recipe, override_settings, scale_recipe

    prepare_folder(output)
    loaded = scale_recipe(load_recipe(find_recipe(recipe), data=data), scale)
    if settings_file is not None:
        loaded = override_settings(loaded, read_member_settings(settings_file, None, loaded.train.members))
    with TrainingDisplay(quiet=quiet) as display:
        result = workflow.run(
            loaded,
            output,
            reporter=TerminalReporter(display, quiet=quiet),
            n_jobs=resolve_cores(jobs),
            search=find_search(settings_file),
        )
    _print_run(result, is_json=json_, quiet=quiet)
    predictions = result["predictions"]
    if predictions is not None and len(predictions.failures):
        raise typer.Exit(EXIT_DATA)


def _print_run(result: RunResult, *, is_json: bool, quiet: bool) -> None:
    """Print the results of all stages: as one JSON object, or as tables."""
    from quintet.commands.terminal.console import out, print_message
    from quintet.commands.terminal.output import (
        print_classes,
        print_failures,
        print_json,
        print_notes,
        print_prediction_messages,
        print_predictions,
        print_published,
        print_training,
    )
    from quintet.inference.answers import predictions_json

    predictions, training = result["predictions"], result["training"]
    if not quiet:
        print_failures(result["summary"])
        print_classes(result["summary"])
    if is_json:
        print_json(
            {
                "command": "run",
                "extraction": result["summary"].to_json(),
                "training": training.to_json(),
                "report": result["report"],
                "predictions": None if predictions is None else predictions_json(predictions),
            }
        )
    if predictions is not None:
        if not is_json:
            print_predictions(predictions, "table", None)
            out.print()
        print_prediction_messages(predictions, quiet=quiet)
    print_notes(training.notes, quiet=quiet)
    if not is_json:
        print_training(training)
        print_published(training.results)
    print_message(f"Report → {result['report'].absolute().as_uri()}", quiet=quiet)
