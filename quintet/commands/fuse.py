"""Command `fuse`: files of predictions to one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.destinations import prepare_file, require_suffix
from quintet.commands.terminal.options import Intersection, Json, Quiet

EXAMPLE = "Example: quintet fuse vgg.parquet xgboost.csv -o fused.parquet --rule geometric"


def fuse(
    predictions: Annotated[
        list[Path], typer.Argument(help="Files with clip_id, label (or labels), group, probability.<class>.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .parquet or .csv.")],
    rule: Annotated[
        str, typer.Option(help="mean, geometric, or a TOML file with a table \\[weights].")
    ] = "mean",
    intersection: Intersection = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Join files of predictions by clip id. The files may come from any program."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json, print_notes
    from quintet.ensemble.fuse_files import fuse as fuse_files

    require_suffix(output, (".parquet", ".csv"))
    prepare_file(output, inputs=[*predictions, rule])
    summary = fuse_files(predictions, output, rule=rule, intersection=intersection)
    if json_:
        print_json(summary.to_json())
        return
    print_notes(summary.notes, quiet=quiet)
    weights = ", ".join(f"{name} {weight:.3f}" for name, weight in summary.weights.items())
    print_message(f"{summary.n} clips, {summary.rule} of {weights} → {summary.output}", quiet=quiet)
    if intersection:
        print_message(f"{summary.left_out} clips left out: not in all files.", quiet=quiet)
