"""Command `tag`: genre, mood, instrument and voice tags of pretrained networks."""

from __future__ import annotations

from typing import Annotated

import typer

from quintet.commands.terminal.destinations import (
    PREDICTION_FORMATS,
    choose_format,
    hold_file,
    prepare_file,
    refuse_two_results,
)
from quintet.commands.terminal.faults import EXIT_DATA
from quintet.commands.terminal.options import Json, PredictionFile, PredictionFormat, Quiet
from quintet.commands.terminal.parsing import parse_names, parse_windows

EXAMPLE = "Example: quintet tag music/*.mp3 --top 5 -o tags.csv"


def tag(
    files: Annotated[list[str], typer.Argument(help="Audio files, folders, globs.")],
    networks: Annotated[
        str | None,
        typer.Option(
            "--networks",
            help="Names from `quintet weights list`, with commas. Default: musicnn_msd,musicnn_mtt.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Tags per network; 0 keeps all.")] = 5,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="The smallest activation to keep.")] = 0.0,
    windows: Annotated[
        str, typer.Option(help="Windows of a file, spread evenly over it: a number, or all.")
    ] = "10",
    over_time: Annotated[bool, typer.Option("--over-time", help="A row per window, not per file.")] = False,
    format_: PredictionFormat = None,
    output: PredictionFile = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tag music with pretrained networks, without training: genre, mood, instruments, voice, era.

    The numbers are activations of networks that were trained elsewhere, not probabilities of your own labels.
    Files that cannot be read are reported (exit code 1).
    """
    from quintet.commands.pretrained.tag_output import print_tag_messages, print_tags, tags_json
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.progress import progress_counter
    from quintet.embeddings.tagging import TagChoice
    from quintet.workflow import tag as tag_files

    if json_:
        refuse_two_results(format_, output)
    chosen_format = choose_format(output, format_, PREDICTION_FORMATS)
    prepare_file(output, inputs=files)
    hold_file(output)
    choice = TagChoice(top or None, threshold, parse_windows(windows), over_time)
    with progress_counter("Tagging", quiet=quiet) as progress:
        result = tag_files(files, parse_names(networks) or None, choice=choice, progress=progress)
    if output is not None or not json_:
        print_tags(result, chosen_format, output)
    if json_:
        place = None if output is None else str(output)
        print_json({"command": "tag", "output": place, **tags_json(result)})
    print_tag_messages(result, quiet=quiet)
    if output is not None:
        n_files = result.frame["path"].nunique()
        print_message(f"Tags of {n_files} files → {output}", quiet=quiet)
    if len(result.failures):
        raise typer.Exit(EXIT_DATA)
