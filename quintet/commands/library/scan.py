"""Command `library scan`: a folder of music into a library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.options import Jobs, Json, Quiet

if TYPE_CHECKING:
    from quintet.files.json_types import JsonObject
    from quintet.library.scanning.predict_songs import SongModel
    from quintet.library.scanning.scan import ScanOptions
    from quintet.library.scanning.summary import ScanSummary
    from quintet.library.store import Library

SAME = ("unchanged", "failed")
"""Kinds of files that change no song."""
MOST_FAILURES = 10
NO_NETWORKS = "none"

EXAMPLE = (
    "Example: quintet library scan ~/Music -o my.library --jobs 0   (again at any time: only what has "
    "changed is read)"
)


def scan(
    folders: Annotated[list[Path], typer.Argument(help="Folders of music, at any depth.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the library, such as my.library.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="Model folder: its prediction of every song is kept.")
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Of the prediction sets of --model, between 0 and 1.")
    ] = 0.9,
    embeddings: Annotated[
        str | None,
        typer.Option(
            help="Pretrained networks whose columns are kept: musicnn_msd,… or none. Default: those whose "
            "weights are here at the first scan."
        ),
    ] = None,
    jobs: Jobs = 1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the files of the failure ledger again.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Scan music into a library: tags, features, tempo, key, energy, and the prediction of a model.

    Only new and changed files are read. Files are never changed. An interrupted scan continues with the same
    command.
    """
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.destinations import prepare_folder
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.parsing import parse_names, resolve_cores
    from quintet.commands.terminal.progress import progress_counter
    from quintet.errors import QuintetError
    from quintet.library.query import import_duckdb
    from quintet.library.scanning.drift import predict_library
    from quintet.library.scanning.finish import finish_scan
    from quintet.library.scanning.scan import ScanOptions
    from quintet.library.scanning.summary import KINDS
    from quintet.library.store import Library

    import_duckdb()
    song_model = None if model is None else open_song_model(model, confidence, quiet=quiet)
    prepare_folder(output)
    names = () if embeddings == NO_NETWORKS else parse_names(embeddings)
    n_jobs = resolve_cores(jobs)
    library = Library.open_or_create(output)
    answer: JsonObject = {
        "command": "library scan",
        "library": str(output),
        "n_predicted": None,
        "drift": None,
    }
    options = ScanOptions(None if embeddings is None else tuple(names), n_jobs, retry_failed)
    with library.writing():
        answer["folders"] = [_scan_folder(library, folder, options, quiet=quiet) for folder in folders]
        if song_model is not None:
            with progress_counter("Predicting", quiet=quiet) as progress:
                answer["n_predicted"] = predict_library(library, song_model, n_jobs=n_jobs, progress=progress)
            answer["drift"] = library.facts.drift
            if library.facts.drift_words:
                print_message(library.facts.drift_words, quiet=quiet)
        kinds = [name for name in KINDS if name not in SAME]
        is_changed = any(folder[name] for folder in answer["folders"] for name in kinds)
        finish_scan(library, changed=is_changed or bool(answer["n_predicted"]))
    if json_:
        print_json(answer)
    n_songs = library.present_songs().num_rows
    print_message(f"{n_songs} songs → {output}", quiet=quiet)
    if not n_songs:
        raise QuintetError(
            f"At least one file must be usable. None of {', '.join(map(str, folders))} is: "
            f"see the reasons in {output / 'failures.parquet'}."
        )


def open_song_model(model: Path, confidence: float, *, quiet: bool) -> SongModel:
    """Load a model whose predictions a library keeps, and print how good it is.

    Args:
        model: its folder.
        confidence: of the prediction sets, in (0, 1).
        quiet: whether to print nothing.

    Raises:
        ArtefactError: the folder is no model, or reads other features than this version makes.
        ConfigError: the confidence is not between 0 and 1.
    """
    from quintet.commands.terminal.console import print_message
    from quintet.library.scanning.predict_songs import open_model
    from quintet.reports.front.training_words import model_score

    opened = replace(open_model(model, confidence), score=model_score(model))
    print_message(f"Model: {opened.score or 'no scores are known'}", quiet=quiet)
    return opened


def _scan_folder(library: Library, folder: Path, options: ScanOptions, *, quiet: bool) -> JsonObject:
    """Scan one folder and print what became of its files."""
    from quintet.commands.terminal.progress import progress_counter
    from quintet.library.scanning.scan import scan as scan_into

    with progress_counter("Scanning", quiet=quiet) as progress:
        summary = scan_into(library, folder, replace(options, progress=progress))
    if not quiet:
        _print_summary(folder, summary, library.folder)
    return {"folder": str(folder), **summary.to_json()}


def _print_summary(folder: Path, summary: ScanSummary, output: Path) -> None:
    """Print what became of the files of a folder."""
    from quintet.commands.terminal.console import err, print_plain
    from quintet.commands.terminal.output import print_failure

    for note in summary.notes:
        print_plain(err, note, style="dim")
    print_plain(err, f"{folder}: {summary.sentence()}   ({summary.seconds:.1f} s)")
    for failure in summary.failures[:MOST_FAILURES]:
        print_failure(failure["path"], failure["reason"], indent="  ")
    if len(summary.failures) > MOST_FAILURES:
        more = len(summary.failures) - MOST_FAILURES
        print_plain(err, f"  … and {more} more: see {output / 'failures.parquet'}")
