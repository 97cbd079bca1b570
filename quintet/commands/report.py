"""Command `report`: an HTML page about a model."""

from __future__ import annotations

from typing import Annotated

import typer

from quintet.commands.terminal.destinations import prepare_folder
from quintet.commands.terminal.options import Json, Model, PageFolder, Quiet

EXAMPLE = "Example: quintet report model/ -o report/ && open report/index.html"


def report(
    model: Model,
    output: PageFolder,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    umap: Annotated[bool, typer.Option("--umap", help="Also draw UMAP maps (needs the extra umap).")] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Unfold every section, and explain members that hardly decide, too."),
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a report on a model: one HTML page that needs no network, and its numbers as files."""
    from quintet.audio.isolation.processes import use_one_thread_ahead

    use_one_thread_ahead()
    from quintet import workflow
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.progress import progress_counter

    prepare_folder(output)
    with progress_counter("Writing the report", quiet=quiet) as progress:
        page = workflow.report(model, output, title=title, umap=umap, full=full, progress=progress)
    if json_:
        print_json({"command": "report", "page": page, "numbers": page.parent / "numbers"})
    print_message(f"Report → {page}", quiet=quiet)
