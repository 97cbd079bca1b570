"""Command `explain`: an HTML page about one track."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.destinations import prepare_folder
from quintet.commands.terminal.options import Jobs, Json, Model, PageFolder, Quiet, Segment
from quintet.commands.terminal.parsing import resolve_cores

EXAMPLE = "Example: quintet explain model/ song.mp3 -o explanation/ && open explanation/index.html"


def explain(
    model: Model,
    file: Annotated[Path, typer.Argument(help="One audio file.")],
    output: PageFolder,
    segment: Segment = None,
    full: Annotated[
        bool, typer.Option("--full", help="Explain members that hardly decide by themselves, too.")
    ] = False,
    json_: Json = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Explain the prediction for one track: over time, by feature, on the spectrogram, and by neighbours."""
    from quintet.audio.isolation.processes import use_one_thread_ahead

    use_one_thread_ahead()
    from quintet import workflow
    from quintet.audio.isolation.calls import start_worker
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.progress import show_status
    from quintet.features.engine.warm_up import kernels_available

    prepare_folder(output)
    start_worker(kernels_available)  # before the progress display, which is a thread
    with show_status("Predicting and explaining", quiet=quiet):
        page = workflow.explain(model, file, output, segment_s=segment, n_jobs=resolve_cores(jobs), full=full)
    if json_:
        numbers = page.parent / "numbers"
        answer = json.loads((numbers / "answer.json").read_text(encoding="utf-8"))
        print_json({"command": "explain", "file": file, "page": page, "numbers": numbers, **answer})
    print_message(f"Explanation → {page}", quiet=quiet)
