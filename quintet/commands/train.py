"""Command `train`: a feature table to a model folder."""

from __future__ import annotations

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
    LabelsFile,
    ProtocolName,
    Quiet,
    Scheduler,
    Seed,
    SpectrogramStore,
    SplitFiles,
    SplitOptions,
    SplitValues,
    TableColumns,
    TestSize,
    refuse_unused,
    spectrogram_store,
)
from quintet.commands.terminal.parsing import (
    find_search,
    parse_names,
    read_member_settings,
    resolve_cores,
)

if TYPE_CHECKING:
    from quintet.features.storage.table import FeatureTable
    from quintet.settings import TomlTable

EXAMPLE = (
    "Example: quintet train features.parquet -o model/ --members logistic_regression,xgboost --seed 7; "
    "quintet train table.csv -o model/ --protocol given --split-value fault_excluded=unused"
)


def train(
    context: typer.Context,
    features: Annotated[
        Path, typer.Argument(help="Feature table: from `extract`, or any CSV/parquet with one row per clip.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model folder to make.")],
    members: Annotated[
        str | None,
        typer.Option(
            "--members",
            "-m",
            help="Members to train, between commas (`quintet list members`); svm@tags: svm on that view.",
        ),
    ] = None,
    rules: Annotated[str | None, typer.Option(help="Fusion rules to fit: mean,geometric,weighted,…")] = None,
    rule: Annotated[
        str, typer.Option(help="Fusion rule for predictions; auto chooses on the training part.")
    ] = "auto",
    protocol: ProtocolName = "auto",
    target: Annotated[
        Path | None,
        typer.Option(
            help="Folder of songs (or feature table) that the model shall serve: folds become as far from "
            "their training part as these songs are (protocol sound)."
        ),
    ] = None,
    protocols: Annotated[
        str | None,
        typer.Option(help="Leak gate: compare the same members under several splits: random,group."),
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also estimate the benefit of more data.")
    ] = False,
    test_size: TestSize = 0.2,
    folds: Folds = None,
    seed: Seed = 0,
    spectrograms: SpectrogramStore = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A member's setting: xgboost.max_depth=3. Repeatable.")
    ] = None,
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", help="TOML file with members' settings: best.toml of `quintet tune`."),
    ] = None,
    id_column: IdColumn = None,
    label_column: LabelColumn = None,
    group_column: GroupColumn = None,
    join: JoinedFiles = None,
    ignore_column: IgnoreColumn = None,
    groups: GroupsFile = None,
    labels: LabelsFile = None,
    label_from: LabelFrom = None,
    split_file: SplitFiles = None,
    split_value: SplitValues = None,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples for the intervals.")] = 1000,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model folder.")] = False,
    json_: Json = False,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
) -> None:
    """Train the members and their ensemble, and score them on groups that are not in the training data."""
    from quintet import workflow
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json, print_notes, print_training
    from quintet.commands.terminal.progress import TrainingDisplay, progress_counter
    from quintet.settings import parse_settings
    from quintet.training.settings import TrainSettings

    prepare_folder(output)
    ignored = tuple(ignore_column or ())
    columns = TableColumns(id_column, label_column, group_column, label_from, join, ignored)
    split = SplitOptions(protocol, test_size, folds, seed, split_value)
    table = columns.read(features, groups=groups, split_files=split_file, labels=labels)
    chosen = parse_names(members) or _default_members(table, quiet=quiet)
    refuse_unused(context, table, protocol, chosen)
    content: TomlTable = {
        **split.as_settings(),
        "rule": rule,
        "resamples": resamples,
        "members": chosen,
        "settings": read_member_settings(settings_file, setting, chosen),
        "target": None if target is None else str(target),
        "protocols": parse_names(protocols),
        "learning_curve": learning_curve,
    }
    if rules is not None:
        content["rules"] = parse_names(rules)
    elif rule != "auto":
        content["rules"] = list(dict.fromkeys(["mean", rule]))
    settings = parse_settings(TrainSettings, content, where="quintet train")
    with progress_counter("Recordings", quiet=quiet) as progress, TrainingDisplay(quiet=quiet) as display:
        result = workflow.train(
            table,
            output,
            settings=settings,
            spectrograms=spectrogram_store(spectrograms, features, table),
            resume=resume,
            overwrite=overwrite,
            listener=display,
            progress=progress,
            n_jobs=resolve_cores(jobs),
            scheduler=scheduler,
            search=find_search(settings_file),
        )
    print_notes(result.notes, quiet=quiet)
    if json_:
        print_json({"command": "train", **result.to_json()})
    else:
        print_training(result)
    next_command = f"quintet report {result.folder} -o report"
    print_message(f"Model → {result.folder}/   Next: {next_command}", quiet=quiet)


def _default_members(table: FeatureTable, *, quiet: bool) -> list[str]:
    """All default members; for a table that quintet did not make, those that need no audio."""
    from quintet.commands.terminal.console import err
    from quintet.training.pretrained import default_members

    members = default_members(table)
    if table.parameters is None and not quiet:
        noun = "four" if len(members) == 4 else str(len(members))
        err.print(
            "Quintet did not make this table, so it has no audio for networks: "
            f"training {noun} table members."
        )
    return list(members)
