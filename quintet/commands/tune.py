"""Command `tune`: a search for members' settings, for a feature table or for a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.destinations import prepare_folder
from quintet.commands.terminal.options import (
    Folds,
    GroupColumn,
    GroupsFile,
    IdColumn,
    IgnoreColumn,
    Jobs,
    JoinedFiles,
    Json,
    LabelColumn,
    LabelFrom,
    ProtocolName,
    Quiet,
    Seed,
    SpectrogramStore,
    SplitFiles,
    SplitOptions,
    SplitValues,
    TableColumns,
    TestSize,
    refuse_options,
    refuse_unused,
    spectrogram_store,
)
from quintet.commands.terminal.parsing import parse_member_settings, parse_names, resolve_cores

if TYPE_CHECKING:
    from quintet.pipeline.recipe_search import RecipeSearch
    from quintet.settings import TomlTable
    from quintet.tuning.search_settings import SearchBudget
    from quintet.tuning.tune import TuningResult

EXAMPLE = (
    "Example: quintet tune bahuleyan2018 --data audioset:FOLDER -o run/ --trials 30; "
    "quintet tune features.parquet -o tuned/ -m svm"
)
TABLE_OPTIONS = (
    *("protocol", "test_size", "folds", "seed", "spectrograms"),
    *("id_column", "label_column", "group_column", "groups", "label_from", "split_file", "split_value"),
    *("join", "ignore_column"),
)
RECIPE_OPTIONS = ("data", "scale")


@dataclass(frozen=True)
class _SearchOptions:
    """Options that a search has for a table and for a recipe."""

    output: Path
    budget: SearchBudget
    overwrite: bool
    n_jobs: int
    json: bool
    quiet: bool


def tune(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            help="A recipe (a TOML file or a name), or a feature table: from `extract`, or any CSV/parquet."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the search. The same command continues the search."),
    ],
    members: Annotated[
        str | None,
        typer.Option(
            "--members", "-m", help="Members to tune. Default: those of the recipe, or the table members."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials per member; the first is the default.")] = 30,
    metric: Annotated[
        str, typer.Option(help="log_loss or macro_auc, out of fold on the training part.")
    ] = "log_loss",
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Start no new trial after this time in seconds.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Recipes: source that replaces that of the recipe.")
    ] = None,
    scale: Annotated[str, typer.Option(help="Recipes: full; or small, as in `run`.")] = "full",
    protocol: ProtocolName = "auto",
    test_size: TestSize = 0.2,
    folds: Folds = None,
    seed: Seed = 0,
    spectrograms: SpectrogramStore = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting that is fixed, not searched: vgg_small.epochs=10. Repeatable."),
    ] = None,
    pruning: Annotated[
        bool, typer.Option(help="Stop a trial early if it is worse than the median of the earlier trials.")
    ] = True,
    id_column: IdColumn = None,
    label_column: LabelColumn = None,
    group_column: GroupColumn = None,
    join: JoinedFiles = None,
    ignore_column: IgnoreColumn = None,
    groups: GroupsFile = None,
    label_from: LabelFrom = None,
    split_file: SplitFiles = None,
    split_value: SplitValues = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a search of another configuration.")
    ] = False,
    json_: Json = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Search the members' settings on the folds of the training part. The test part is not used.

    An interrupted search keeps its finished trials. --data and --scale are for recipes. The options of the
    split and of columns are for tables.
    """
    from quintet.pipeline.recipe import is_recipe
    from quintet.pipeline.recipe_search import RecipeSearch
    from quintet.tuning.search_settings import SearchBudget

    prepare_folder(output)
    fixed = parse_member_settings(setting)
    budget = SearchBudget(trials, timeout)
    options = _SearchOptions(output, budget, overwrite, resolve_cores(jobs), json_, quiet)
    if is_recipe(subject):
        refuse_options(context, TABLE_OPTIONS, f"is for tables. The recipe {subject} decides the split.")
        chosen = None if members is None else tuple(parse_names(members))
        search = RecipeSearch(chosen, fixed, metric, pruning)
        _tune_recipe(subject, search, options, data=data, scale=scale)
        return
    refuse_options(context, RECIPE_OPTIONS, f"is for recipes. {subject} is read as a feature table.")
    ignored = tuple(ignore_column or ())
    columns = TableColumns(id_column, label_column, group_column, label_from, join, ignored)
    split = SplitOptions(protocol, test_size, folds, seed, split_value)
    content: TomlTable = {"metric": metric, "pruning": pruning, **split.as_settings(), "settings": fixed}
    if members is not None:
        content["members"] = parse_names(members)
    _tune_table(
        context,
        Path(subject),
        columns,
        content,
        options,
        spectrograms=spectrograms,
        groups=groups,
        split_files=split_file,
    )


def _tune_recipe(
    name: str, search: RecipeSearch, options: _SearchOptions, *, data: str | None, scale: str
) -> None:
    """Tune the members of a recipe."""
    from quintet import workflow
    from quintet.commands.terminal.progress import TerminalReporter, TrainingDisplay
    from quintet.pipeline.recipe import find_recipe, load_recipe, scale_recipe

    recipe = scale_recipe(load_recipe(find_recipe(name), data=data), scale)
    with TrainingDisplay(quiet=options.quiet) as display:
        result = workflow.tune_recipe(
            recipe,
            options.output,
            search=search,
            budget=options.budget,
            overwrite=options.overwrite,
            reporter=TerminalReporter(display, quiet=options.quiet),
            n_jobs=options.n_jobs,
        )
    command = f"quintet run {name}"
    if data:
        command += f" --data {data}"
    if scale != "full":
        command += f" --scale {scale}"
    _print_result(result, f"{command} -o {options.output}", options)


def _tune_table(
    context: typer.Context,
    features: Path,
    columns: TableColumns,
    content: TomlTable,
    options: _SearchOptions,
    *,
    spectrograms: Path | None,
    groups: Path | None,
    split_files: list[str] | None,
) -> None:
    """Tune members on a feature table."""
    from quintet import workflow
    from quintet.commands.terminal.progress import TerminalReporter, TrainingDisplay, progress_counter
    from quintet.settings import parse_settings
    from quintet.tuning.search_settings import TuneSettings
    from quintet.tuning.tune import SearchObserver

    quiet = options.quiet
    table = columns.read(features, groups=groups, split_files=split_files)
    settings = parse_settings(TuneSettings, content, where="quintet tune")
    refuse_unused(context, table, settings.protocol, settings.members)
    with progress_counter("Spectrograms", quiet=quiet) as progress, TrainingDisplay(quiet=quiet) as display:
        reporter = TerminalReporter(display, quiet=quiet)
        result = workflow.tune(
            table,
            options.output,
            settings=settings,
            spectrograms=spectrogram_store(spectrograms, features, table),
            budget=options.budget,
            overwrite=options.overwrite,
            observer=SearchObserver(reporter.event, reporter.trial, progress),
            n_jobs=options.n_jobs,
        )
    _print_result(result, f"quintet train {features} -o model/", options)


def _print_result(result: TuningResult, command: str, options: _SearchOptions) -> None:
    """Print the result of a search, and the next command."""
    from quintet.commands.terminal.output import print_json, print_notes, print_search_end, print_tuning

    print_notes(result.notes, quiet=options.quiet)
    if options.json:
        print_json({"command": "tune", **result.to_json()})
    else:
        print_tuning(result)
    print_search_end(result, command, quiet=options.quiet)
