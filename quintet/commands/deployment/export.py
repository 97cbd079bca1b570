"""Command `export`: a model as ONNX files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.destinations import prepare_folder
from quintet.commands.terminal.options import Json, Model, Quiet

EXAMPLE = "Example: quintet export model/ -o bundle/"


def export(
    model: Model,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the ONNX files and export.json. It must be new."),
    ],
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the ensemble, from features to calibrated probabilities, as ONNX, and compare the numbers."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.export.bundle import export as export_model

    prepare_folder(output)
    result = export_model(model, output)
    if json_:
        print_json(
            {
                "command": "export",
                "folder": result.folder,
                "files": list(result.files),
                "not_exported": list(result.not_exported),
                "largest_differences": dict(result.differences),
            }
        )
    for name, difference in result.differences.items():
        print_message(f"{name}: the numbers of the model to {difference:.1g} in onnxruntime", quiet=quiet)
    for sentence in result.not_exported:
        print_message(f"Not exported: {sentence}", quiet=quiet)
    print_message(f"{len(result.files)} files → {output}", quiet=quiet)
