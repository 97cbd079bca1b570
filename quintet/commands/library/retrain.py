"""Command `library retrain`: the owner's genres learnt anew with the corrections, and what these changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.options import GenreMapFile, Jobs, Json, Quiet, Seed, TagLabels

if TYPE_CHECKING:
    from quintet.library.retraining.retrain import Retraining
    from quintet.library.store import Library

EXAMPLE = "Example: quintet library retrain my.library -o model/   (add --use to predict the songs with it)"


def retrain(
    library: Annotated[Path, typer.Argument(help="Library made by `quintet library scan`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to make.")],
    label_by: TagLabels = "tag:genre",
    map_: GenreMapFile = None,
    members: Annotated[
        str | None,
        typer.Option("--members", "-m", help="Members that read tables, between commas. Default: all four."),
    ] = None,
    use: Annotated[
        bool, typer.Option("--use", help="Predict the songs of the library with the new model.")
    ] = False,
    confidence: Annotated[
        float, typer.Option(help="Of the prediction sets of --use, between 0 and 1.")
    ] = 0.9,
    seed: Seed = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model folder.")] = False,
    json_: Json = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Train a model on the genres of a library and on its corrections, and say whether these helped.

    Both trainings, with the corrections and without, are judged on the same songs, by artists that neither
    knows.
    """
    from quintet.commands.library.tag_plan import FileCounts
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.destinations import prepare_folder
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.parsing import parse_names, resolve_cores
    from quintet.commands.terminal.progress import TrainingDisplay, progress_counter
    from quintet.datasets.genre_map import GenreMap
    from quintet.datasets.tag_labels import label_field
    from quintet.ensemble.conformal import require_confidence
    from quintet.library.retraining.retrain import RetrainOptions
    from quintet.library.retraining.retrain import retrain as retrain_library
    from quintet.library.store import Library

    require_confidence(confidence)
    prepare_folder(output)
    genres = GenreMap() if map_ is None else GenreMap.read(map_)
    chosen = tuple(parse_names(members))
    options = RetrainOptions(label_field(label_by), genres, chosen, seed, overwrite, resolve_cores(jobs))
    opened = Library.open(library)
    with (
        progress_counter("Judging corrections", quiet=quiet) as progress,
        TrainingDisplay(quiet=quiet) as display,
    ):
        result = retrain_library(
            opened,
            output,
            options,
            listener=display,
            progress=lambda done, total: progress(FileCounts(done, total)),
        )
    n_predicted = _use(opened, output, confidence, options.n_jobs, quiet=quiet) if use else None
    if json_:
        print_json({"command": "library retrain", **result.to_json(), "n_predicted": n_predicted})
    else:
        _print_result(result, quiet=quiet)
    following = (
        "" if use else f"   Next: add --use, or quintet library scan MUSIC -o {library} --model {output}"
    )
    print_message(f"Model → {output}{following}", quiet=quiet)


def _use(library: Library, model: Path, confidence: float, n_jobs: int, *, quiet: bool) -> int:
    """Predict the songs of a library with a model, and keep the predictions."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.progress import progress_counter
    from quintet.library.retraining.use import use_model
    from quintet.reports.front.training_words import model_score

    with progress_counter("Predicting", quiet=quiet) as progress:
        n_predicted = use_model(
            library, model, confidence, score=model_score(model), n_jobs=n_jobs, progress=progress
        )
    if library.facts.drift_words:
        print_message(library.facts.drift_words, quiet=quiet)
    return n_predicted


def _print_result(result: Retraining, *, quiet: bool) -> None:
    """Print the score of the new model, the judgement, and what was left out."""
    from quintet.commands.terminal.console import err, out, print_plain
    from quintet.reports.front.training_words import model_score

    for note in () if quiet else result.lessons.notes:
        print_plain(err, note, style="dim")
    score = model_score(result.training.folder)
    for sentence in (*([score] if score else []), *result.words):
        print_plain(out, sentence)
