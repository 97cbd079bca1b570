"""Command `audit`: faults of a corpus, before training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.destinations import hold_file, prepare_file, require_suffix
from quintet.commands.terminal.options import (
    GroupColumn,
    IdColumn,
    IgnoreColumn,
    Jobs,
    Json,
    LabelColumn,
    LabelFrom,
    ManifestColumn,
    ManifestRoot,
    Quiet,
    Seed,
    TableColumns,
    refuse_options,
)
from quintet.commands.terminal.parsing import parse_pairs, resolve_cores
from quintet.errors import DatasetError

if TYPE_CHECKING:
    from quintet.datasets.manifest import Manifest
    from quintet.features.storage.table import FeatureTable

EXAMPLE = (
    "Example: quintet audit music/ --groups-to groups.csv && "
    "quintet train features.parquet -o model/ --groups groups.csv; "
    "quintet audit features.parquet --model model/ --labels-to suspects.csv, fill in `corrected`, "
    "quintet train features.parquet -o better/ --labels suspects.csv"
)


def audit(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="Source as in `extract` (folder, manifest, dataset), or a feature table.")
    ],
    fingerprints: Annotated[
        bool, typer.Option(help="Fingerprint the audio, to find re-encoded, re-levelled or trimmed copies.")
    ] = True,
    groups_to: Annotated[
        Path | None,
        typer.Option(help="Write the groups (duplicates share one group) as CSV for `train --groups`."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Model folder trained on these clips: which labels does it take for wrong?"),
    ] = None,
    labels_to: Annotated[
        Path | None,
        typer.Option(
            help="Write the doubtful labels as CSV: fill in its column `corrected` for `train --labels`."
        ),
    ] = None,
    id_column: IdColumn = None,
    label_column: LabelColumn = None,
    group_column: GroupColumn = None,
    label_from: LabelFrom = None,
    column: ManifestColumn = None,
    root: ManifestRoot = None,
    ignore_column: IgnoreColumn = None,
    json_: Json = False,
    jobs: Jobs = 1,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Find faults of a corpus before training: duplicates, wrong labels, imbalance, non-musical shortcuts."""
    from quintet.audio.isolation.calls import start_worker
    from quintet.auditing import write_groups
    from quintet.auditing.corpus import is_table
    from quintet.auditing.labels.suspects import write_suspects
    from quintet.auditing.run import audit as audit_corpus
    from quintet.commands.terminal.console import out, print_plain
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.progress import progress_counter
    from quintet.datasets.source import load_source
    from quintet.files.atomic import write_or_keep

    if labels_to is not None and model is None:
        raise typer.BadParameter("needs a --model, whose predictions doubt labels", param_hint="--labels-to")
    for file, option in ((groups_to, "--groups-to"), (labels_to, "--labels-to")):
        if file is not None:
            require_suffix(file, (".csv",), option)
        prepare_file(file, option, inputs=[source])
        hold_file(file)
    subject: str | FeatureTable | Manifest = source
    columns = TableColumns(id_column, label_column, group_column, label_from)
    if model is not None and columns == TableColumns() and not (column or root):
        columns = _columns_of_training(model, Path(source))
    is_manifest = bool(column or root)
    if is_manifest and columns != TableColumns():
        raise typer.BadParameter(
            "--column and --root are for manifests, --id-column and its like for tables."
        )
    if ignore_column and not is_manifest:
        is_manifest = columns == TableColumns() and not is_table(source)
        columns = replace(columns, ignored=() if is_manifest else tuple(ignore_column))
    if is_manifest:
        subject = load_source(
            source, columns=parse_pairs(column, "column"), root=root, ignore_columns=ignore_column or ()
        )
    elif columns != TableColumns():
        subject = columns.read(source)
    if columns != TableColumns() or (not is_manifest and is_table(source)):
        refuse_options(context, ("fingerprints",), "compares recordings. A table of features has none")
    start_worker()  # before the progress bar, which is a thread
    with progress_counter("Auditing", quiet=quiet) as progress:
        result = audit_corpus(
            subject,
            n_jobs=resolve_cores(jobs),
            progress=progress,
            fingerprints=fingerprints,
            seed=seed,
            model=model,
        )
    if json_:
        print_json(result.to_json())
    else:
        for line in result.lines():
            is_heading = bool(line) and not line.startswith(" ")
            print_plain(out, line, style="bold" if is_heading else None)
    if groups_to is not None:
        write_or_keep(groups_to, partial(write_groups, result), "--groups-to")
    if labels_to is not None and result.suspects is not None:
        write_or_keep(labels_to, partial(write_suspects, result.suspects), "--labels-to")
    if not len(result.clips):
        raise DatasetError(
            "An audit must have at least one clip that can be used. "
            f"Received {len(result.problems)} that cannot: see the reasons above."
        )


def _columns_of_training(model: Path, source: Path) -> TableColumns:
    """Columns of a table of another program, as the model was trained on: their roles are kept with it."""
    from quintet.features.storage.column_roles import Roles
    from quintet.features.storage.external_table import SUFFIXES
    from quintet.features.storage.read import is_own_table
    from quintet.model_folder.folder import ModelFolder

    if source.suffix.lower() not in SUFFIXES or not source.is_file() or is_own_table(source):
        return TableColumns()
    kept = ModelFolder(model).read_json("bundle.json").get("table_roles") or {}
    usual = Roles().to_json()
    return TableColumns(**{name: column for name, column in kept.items() if usual.get(name) != column})
