"""Command `library watch`: a library that stays up to date."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.options import Jobs, Json, Quiet
from quintet.commands.terminal.parsing import parse_names, resolve_cores

if TYPE_CHECKING:
    from quintet.library.scanning.watching import Round

EXAMPLE = "Example: quintet library watch my.library --plan plan.csv   (Ctrl-C ends it)"
SHARE = 0.05
"""Largest share of the time that looking takes: in large libraries the looks are further apart."""


def watch(
    library: Annotated[Path, typer.Argument(help="Library made by `quintet library scan`.")],
    plan: Annotated[
        Path | None,
        typer.Option(help="Plan (.csv) to which the proposals that it lacks are added. No song is changed."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Model folder for all songs. Default: the model of the library, if it has one."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Of the prediction sets of --model, between 0 and 1.")
    ] = 0.9,
    fields: Annotated[
        str, typer.Option("--fields", help="Fields to propose, with commas: genre, mood, bpm, key.")
    ] = "genre",
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", min=0, max=1, help="The smallest confidence of a proposal.")
    ] = 0.5,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks at the folders.")] = 30.0,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds for which a file must stay the same before it is read.")
    ] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end, for timers such as cron.")] = False,
    jobs: Jobs = 1,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep a library up to date: new, changed and gone files are found and scanned until Ctrl-C.

    The folders are listed from time to time, so that drives in a network work too. New songs get the
    prediction of the model of the library. The plan gets the proposals that it lacks, never again those that
    you have removed. Files of music are never changed.
    """
    from quintet.commands.library.scan import open_song_model
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.destinations import prepare_file, require_suffix
    from quintet.commands.terminal.progress import progress_counter
    from quintet.files.locks import HeldOutputError
    from quintet.library.query import import_duckdb
    from quintet.library.scanning.watching import Round, Watcher, WatchSettings
    from quintet.library.tags.plan import PlanOptions

    import_duckdb()
    if plan is not None:
        require_suffix(plan, (".csv",), "--plan")
        prepare_file(plan, "--plan")
    n_jobs = resolve_cores(jobs)
    proposals = PlanOptions(tuple(parse_names(fields)), min_confidence=min_confidence, n_jobs=n_jobs)
    song_model = None if model is None else open_song_model(model, confidence, quiet=quiet)
    watcher = Watcher(library, WatchSettings(settle, n_jobs, plan, proposals, song_model))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service that is stopped loses nothing
    print_message(f"Watching the folders of {library}. Ctrl-C ends it.", quiet=quiet or once)
    said: list[str] = []
    while True:
        try:
            with progress_counter("Scanning", quiet=quiet) as progress:
                found = watcher.look(progress)
        except HeldOutputError as error:
            if once:
                raise
            found = Round(notes=[f"{error} The next look tries again."])
        _show(found, said, json_=json_, quiet=quiet)
        if once:
            return
        said = found.notes
        time.sleep(max(every, found.seconds / SHARE))


def _show(found: Round, said: list[str], *, json_: bool, quiet: bool) -> None:
    """Print what a look has done, if it has done something, and notes that the look before did not have."""
    import sys

    from quintet.commands.terminal.console import err, print_message, print_plain
    from quintet.commands.terminal.output import print_json

    for note in found.notes:
        if note not in said:
            print_plain(err, note)
    if not found.is_news:
        return
    if json_:
        print_json({"command": "library watch", **found.to_json()})
        sys.stdout.flush()
    for root, summary in found.summaries.items():
        print_message(f"{time.strftime('%H:%M:%S')}  {root}: {summary.sentence()}", quiet=quiet)
    if found.n_predicted:
        print_message(f"{found.n_predicted} songs were predicted", quiet=quiet)
    if found.n_followed:
        print_message(f"{found.n_followed} rows of the plan follow songs that were moved", quiet=quiet)
    if found.n_proposals:
        print_message(f"{found.n_proposals} proposals were added to the plan", quiet=quiet)
