"""Command `fetch`: downloads the clips of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.destinations import prepare_folder
from quintet.commands.terminal.faults import EXIT_DATA
from quintet.commands.terminal.options import Json, Quiet

EXAMPLE = "Example: quintet fetch audioset /data/audioset --limit 100"


def fetch(
    dataset: Annotated[str, typer.Argument(help="audioset (or audioset@single, audioset@branches).")],
    folder: Annotated[
        Path, typer.Argument(help="Folder with the segments. The clips are written to audio/ in it.")
    ],
    limit: Annotated[
        int | None, typer.Option(min=1, help="The largest number of clips to request now.")
    ] = None,
    retry_gone: Annotated[
        bool, typer.Option("--retry-gone", help="Request the clips again that gone.csv lists.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download the clips of a dataset with yt-dlp and ffmpeg. The file gone.csv lists unavailable clips."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.progress import progress_counter
    from quintet.datasets.builtin.audioset_download import retrieve
    from quintet.errors import unknown_name

    name, _, variant = dataset.partition("@")
    if name != "audioset":
        raise unknown_name("dataset to fetch", name, ["audioset"])
    prepare_folder(folder, "FOLDER")
    with progress_counter("Retrieving", quiet=quiet) as progress:
        result = retrieve(
            folder, variant=variant or None, limit=limit, retry_gone=retry_gone, progress=progress
        )
    if json_:
        print_json({"command": "fetch", "folder": folder, **result.to_json()})
    clips = f"{result.n_present} of {result.n_requested} clips are here, {result.new} of them new"
    text = f"{clips}; {result.n_unavailable} gone, {result.failed} failed"
    if result.ledger.exists():
        text += f" ({result.ledger})"
    print_message(text, quiet=quiet)
    if result.failed:
        raise typer.Exit(EXIT_DATA)
