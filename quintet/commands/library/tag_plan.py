"""Command `library tags`: a plan of tags, its execution, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.faults import EXIT_DATA
from quintet.commands.terminal.options import Jobs, Json, Quiet
from quintet.commands.terminal.parsing import parse_names, resolve_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from quintet.commands.terminal.progress import Counts
    from quintet.library.tags.plan import Plan
    from quintet.library.tags.plan_file import Refusal
    from quintet.library.tags.writing import WritingResult

EXAMPLE = "Example: quintet library tags --plan plan.csv my.library; quintet library tags --apply plan.csv"
DEFAULT_CONFIDENCE = 0.5
SHOWN_ROWS = 10
"""Proposals that the command prints. The file has all of them."""


@dataclass(frozen=True, slots=True)
class FileCounts:
    """Files that are finished, of all, for a progress bar."""

    done: int
    total: int
    failed: int = 0


def tags(
    library: Annotated[
        Path | None,
        typer.Argument(
            help="Library made by `quintet library scan`, for --plan; with --apply, to follow songs."
        ),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="CSV file for the proposals. No song is changed.")
    ] = None,
    apply: Annotated[
        Path | None, typer.Option("--apply", help="Plan to carry out; rows may have been removed or edited.")
    ] = None,
    undo: Annotated[
        Path | None, typer.Option("--undo", help="Journal of --apply (or of --undo) to take back.")
    ] = None,
    fields: Annotated[
        str, typer.Option("--fields", help="Fields to propose, with commas: genre, mood, bpm, key.")
    ] = "genre",
    fill: Annotated[
        bool, typer.Option("--fill", help="Propose for empty fields only (the default).")
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="Add the proposed values to those of now.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Propose other values in place of those of now.")
    ] = False,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", min=0, max=1, help="The smallest confidence of a proposal.")
    ] = DEFAULT_CONFIDENCE,
    separator: Annotated[
        str | None,
        typer.Option(
            help="Write several values as one text with this between, for players that read only the first."
        ),
    ] = None,
    keep_times: Annotated[
        bool,
        typer.Option("--keep-times", help="Keep the times of the files."),
    ] = False,
    json_: Json = False,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Propose genres for the tags of songs (--plan), write them (--apply), or take them back (--undo).

    Nothing is written without a plan. A song is copied, its copy gets the tags, and takes its place only if
    the sound is equal to the bit. The journal of --apply has the old tags. What was left as it is has a
    reason (exit code 1).
    """
    mode = _mode(fill=fill, append=append, replace=replace)
    if [plan, apply, undo].count(None) != 2:
        raise typer.BadParameter("give one of them: --plan, --apply or --undo", param_hint="--plan")
    n_jobs = resolve_cores(jobs)
    if plan is not None:
        if library is None:
            raise typer.BadParameter("--plan needs a library", param_hint="LIBRARY")
        _plan(
            library,
            plan,
            (tuple(parse_names(fields)), mode, min_confidence, n_jobs),
            json_=json_,
            quiet=quiet,
        )
        return
    if library is not None:
        if apply is None:
            raise typer.BadParameter("a journal says which files it is about", param_hint="LIBRARY")
        _follow(library, apply, quiet=quiet)
    _write(apply, undo, (separator, keep_times, n_jobs), json_=json_, quiet=quiet)


def _mode(*, fill: bool, append: bool, replace: bool) -> str:
    if fill + append + replace > 1:
        raise typer.BadParameter("give one of --fill, --append and --replace", param_hint="--fill")
    return "append" if append else "replace" if replace else "fill"


def _plan(
    library: Path,
    plan: Path,
    settings: tuple[tuple[str, ...], str, float, int],
    *,
    json_: bool,
    quiet: bool,
) -> None:
    """Write a plan and print what it holds."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.destinations import hold_file, prepare_file, require_suffix
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.progress import progress_counter
    from quintet.library.store import Library
    from quintet.library.tags.plan import PlanOptions, make_plan
    from quintet.library.tags.plan_file import write_plan
    from quintet.library.tags.plan_growth import NewPlan

    require_suffix(plan, (".csv",), "--plan")
    prepare_file(plan, "--plan")
    hold_file(plan)
    opened = Library.open(library)
    if opened.facts.model is not None:
        print_message(f"Model: {opened.facts.model.get('score') or 'no scores are known'}", quiet=quiet)
        if opened.facts.drift_words:
            print_message(opened.facts.drift_words, quiet=quiet)
    options = PlanOptions(*settings)
    new = NewPlan(opened, plan, options)
    with progress_counter("Reading tags", quiet=quiet) as progress:
        result = make_plan(opened, options, progress=_counter(progress))
    write_plan(result.rows, plan)
    new.note(result.rows)
    if json_:
        print_json({"command": "library tags", "plan": plan, **result.to_json()})
    elif not quiet:
        _print_rows(result)
    _print_refusals(result.refusals)
    for field, reasons in result.left_out.items():
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        if counts:
            print_message(f"{field}: songs without a proposal: {counts}", quiet=quiet)
    if result.advice:
        print_message(result.advice, quiet=quiet)
    n_files = len({row.file for row in result.rows})
    print_message(
        f"{len(result.rows)} proposals for {n_files} of {result.n_songs} songs → {plan}   "
        f"Next: look at it, then quintet library tags --apply {plan}",
        quiet=quiet,
    )


def _follow(library: Path, plan: Path, *, quiet: bool) -> None:
    """Let a plan name the files of songs that were moved, as the last scan has found them."""
    from quintet.commands.terminal.console import print_message
    from quintet.library.tags.plan_growth import follow_songs

    n_rows = follow_songs(library, plan)
    if n_rows:
        print_message(f"{n_rows} rows of the plan follow songs that were moved", quiet=quiet)


def _write(
    apply: Path | None, undo: Path | None, settings: tuple[str | None, bool, int], *, json_: bool, quiet: bool
) -> None:
    """Carry out a plan or take back a journal, and print what was done."""
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.progress import progress_counter
    from quintet.library.tags.writing import WritingOptions, apply_plan
    from quintet.library.tags.writing import undo as undo_journal

    options = WritingOptions(*settings)
    with progress_counter("Writing tags", quiet=quiet) as progress:
        if apply is not None:
            result = apply_plan(apply, options, progress=_counter(progress))
        else:
            assert undo is not None  # tags refuses the rest
            result = undo_journal(undo, options, progress=_counter(progress))
    if json_:
        print_json({"command": "library tags", **result.to_json()})
    _print_refusals(result.refusals)
    _print_result(result, "written" if apply is not None else "taken back", quiet=quiet)
    if result.refusals:
        raise typer.Exit(EXIT_DATA)


def _counter(progress: Callable[[Counts], object]) -> Callable[[int, int], object]:
    return lambda done, total: progress(FileCounts(done, total))


def _print_rows(result: Plan) -> None:
    """Print the first proposals on standard output."""
    from rich.markup import escape

    from quintet.commands.terminal.console import out
    from quintet.commands.terminal.tables import new_table
    from quintet.files.display.file_names import name_text

    if not result.rows:
        return
    table = new_table("file", "field", "now", "proposed", "confidence")
    for row in result.rows[:SHOWN_ROWS]:
        cells = (name_text(row.file), row.field, row.now, row.proposed)
        table.add_row(*map(escape, cells), "" if row.confidence is None else f"{row.confidence:.2f}")
    out.print(table)


def _print_refusals(refusals: tuple[Refusal, ...]) -> None:
    from quintet.commands.terminal.output import print_failure

    for refusal in refusals:
        print_failure(refusal.file, f"{', '.join(refusal.fields)}: {refusal.reason}")


def _print_result(result: WritingResult, done: str, *, quiet: bool) -> None:
    from quintet.commands.terminal.console import print_message

    if result.n_copies:
        print_message(f"Copies of a run that was killed: {result.n_copies}, now removed.", quiet=quiet)
    equal = f"; {result.n_equal} fields held the values already" if result.n_equal else ""
    left = f"; {len(result.refusals)} left as they are" if result.refusals else ""
    print_message(f"{result.n_fields} fields of {result.n_files} songs {done}{equal}{left}", quiet=quiet)
    if result.journal is not None:
        print_message(
            f"Journal → {result.journal}   Way back: quintet library tags --undo {result.journal}",
            quiet=quiet,
        )
