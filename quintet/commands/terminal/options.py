"""Options that several commands share, with their help texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.parsing import parse_joins, parse_pairs, parse_split_files

if TYPE_CHECKING:
    from quintet.features.storage.table import FeatureTable
    from quintet.settings import TomlTable

Jobs = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Worker processes; 0 uses every core.")]
Scheduler = Annotated[str | None, typer.Option(help="Address of a dask cluster: tcp://host:8786.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse recordings that are cut short. Default: use them and say so.")
]


def _silence(quiet: bool) -> bool:
    """Silence the notices that are printed below the commands, such as that of the compilation."""
    from quintet.files.notices import silence_notices

    silence_notices(quiet=quiet)
    return quiet


Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=_silence, help="Print results and errors only, no progress."),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed of the split, the members and the intervals.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
Intersection = Annotated[
    bool, typer.Option("--intersection", help="Leave out clips that are not in all files.")
]
Model = Annotated[Path, typer.Argument(help="Model folder made by `quintet train`.")]
PageFolder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the page and the files with its numbers.")
]
PredictionFormat = Annotated[
    str | None,
    typer.Option("--format", help="table, csv, json, parquet. Default: by the suffix of --output, or table."),
]
PredictionFile = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="File to write: .csv, .json, .parquet, or .txt for a table."),
]
Segment = Annotated[
    float | None,
    typer.Option(min=0, help="Cut long files into segments of this length in seconds; 0 cuts no file."),
]

IdColumn = Annotated[str | None, typer.Option(help="Column with the clip id, in a table of another program.")]
JoinedFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--join",
        help="Table with further columns by id (an embedding that was made elsewhere): FILE, or NAME=FILE. "
        "Repeatable.",
    ),
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Column with the class label, in a table of another program.")
]
GroupColumn = Annotated[
    str | None, typer.Option(help="Column with the group (artist, album), in a table of another program.")
]
ManifestColumn = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Columns of a manifest: label=genre, group=artist, path=fold{fold}/{file}. Repeatable.",
    ),
]
ManifestRoot = Annotated[
    Path | None,
    typer.Option("--root", help="Folder that the paths in a manifest start from. Default: its own folder."),
]
TagLabels = Annotated[
    str, typer.Option("--label-by", help="Where labels are: tag:genre, tag:mood, tag:grouping.")
]
GenreMapFile = Annotated[
    Path | None,
    typer.Option("--map", help="Genre map (.toml): names that are one, white and black list."),
]
IgnoreColumn = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore-column", help="A column of a manifest or a table to leave out, such as start. Repeatable."
    ),
]
LabelFrom = Annotated[
    str | None,
    typer.Option(help="Regular expression on the clip id whose first parenthesis is the class label."),
]
GroupsFile = Annotated[
    Path | None,
    typer.Option(help="CSV with the columns id and group, for example from `audit --groups-to`."),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="CSV with the columns id and corrected, for example from `audit --labels-to`: a label that is "
        "filled in replaces that of the table.",
    ),
]
SplitFiles = Annotated[
    list[str] | None,
    typer.Option(
        help="Clip ids of each part: train=a.csv, valid=b.csv, test=c.csv. Repeatable. Or one table that has "
        "the part of each clip in a column split."
    ),
]
SplitValues = Annotated[
    list[str] | None,
    typer.Option(
        "--split-value",
        help="Part of a value of the split column that is no part's name: fault_excluded=unused leaves its "
        "clips out. Repeatable.",
    ),
]
SpectrogramStore = Annotated[
    Path | None,
    typer.Option(
        help="Spectrograms for the networks, from `extract --spectrograms`. Default: the store next to the "
        "table, which is made if it is missing."
    ),
]

ProtocolName = Annotated[
    str,
    typer.Option(
        help="How to split: group; sound (clips that sound alike stay together); random (ignores groups, "
        "scores are marked); given (split column of the data); auto: given or group where the data say it, "
        "else sound."
    ),
]
TestSize = Annotated[
    float,
    typer.Option(min=0.0, max=0.9, help="Share of the clips in the test part. 0: out-of-fold scores only."),
]
Folds = Annotated[
    int | None,
    typer.Option(min=2, help="Folds of the training part. Default: 5, or fewer if a class has fewer groups."),
]


@dataclass(frozen=True)
class TableColumns:
    """Columns of a table that quintet did not make. None means the default name.

    Args:
        id: column with the clip id.
        label: column with the class label.
        group: column with the group.
        label_from: regular expression on the clip id; its first group is the class label.
        join: `FILE` or `NAME=FILE` texts of tables to join.
        ignored: columns that are no features.
    """

    id: str | None = None
    label: str | None = None
    group: str | None = None
    label_from: str | None = None
    join: list[str] | None = None
    ignored: tuple[str, ...] = ()

    def read(
        self,
        path: str | Path,
        *,
        groups: Path | None = None,
        split_files: list[str] | None = None,
        labels: Path | None = None,
    ) -> FeatureTable:
        """Read a feature table.

        Args:
            path: the table.
            groups: CSV with other groups.
            split_files: `part=file` texts with the clip ids of each part, or one file with ids and parts.
            labels: CSV with corrected labels.

        Raises:
            QuintetError: if the table or one of the files cannot be read or does not fit.
        """
        from quintet.errors import ConfigError
        from quintet.features.storage.read import read_feature_table

        if groups is not None and self.group is not None:
            raise ConfigError(
                "Groups must come from one place. Received --groups and --group-column: give one of them."
            )
        table = read_feature_table(
            path,
            id_column=self.id,
            label_column=self.label,
            group_column=self.group,
            label_from=self.label_from,
            splits=parse_split_files(split_files),
            exclude=self.ignored,
        )
        if self.join:
            from quintet.features.storage.join import join_tables

            table = join_tables(table, parse_joins(self.join))
        if labels is not None:
            from quintet.training.corrections.labels import relabel

            table = relabel(table, labels)
        if groups is None:
            return table
        from quintet.training.corrections.groups import regroup

        return regroup(table, groups)


@dataclass(frozen=True)
class SplitOptions:
    """Options of the split.

    Args:
        protocol: `auto`, `group`, `random` or `given`.
        test_size: share of the clips in the test part.
        folds: number of folds, or None.
        seed: random seed.
        values: `value=part` texts, for values of the split column.
    """

    protocol: str
    test_size: float
    folds: int | None
    seed: int
    values: list[str] | None = None

    def as_settings(self) -> TomlTable:
        """The same as settings of `TrainSettings` or `TuneSettings`."""
        return {
            "protocol": self.protocol,
            "split_values": dict(parse_pairs(self.values, "part of a split value") or {}),
            "test_size": self.test_size,
            "folds": self.folds,
            "seed": self.seed,
        }


def spectrogram_store(given: Path | None, features: Path, table: FeatureTable) -> Path | None:
    """Folder of the spectrograms: as given, or next to a table that quintet made, else None.

    Args:
        given: the folder of the option, or None.
        features: file of the table.
        table: its content.
    """
    if given is not None or table.parameters is None:
        return given
    return features.with_suffix(".spectrograms")


def refuse_options(context: typer.Context, names: tuple[str, ...], reason: str) -> None:
    """Refuse options that have no meaning for this input.

    Args:
        context: the command with the words of the user.
        names: parameters of the command.
        reason: text after the name of the option.

    Raises:
        BadParameter: if one of the options stands on the command line (exit code 2).
    """
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"{option.opts[0]} {reason}", param_hint=option.opts[0])


def refuse_unused(context: typer.Context, table: FeatureTable, protocol: str, members: Sequence[str]) -> None:
    """Refuse options that a table, or the members that learn from it, leave without effect.

    Args:
        context: the command with the words of the user.
        table: the table.
        protocol: name of the protocol, as given.
        members: names of the members.

    Raises:
        BadParameter: if such an option stands on the command line (exit code 2).
    """
    from quintet.classifiers.registry import member_entry

    has_split = bool(table.meta["split"].notna().any())
    if has_split and protocol in ("auto", "given"):
        reason = (
            "has no meaning where the data bring their own split: choose another --protocol, or leave it out"
        )
        refuse_options(context, ("test_size",), reason)
    if protocol not in ("auto", "given"):
        refuse_options(context, ("split_file",), f"is for --protocol given. This run splits by '{protocol}'")
    if not any(member_entry(name).input == "spectrogram" for name in members):
        reason = f"is for networks. This run has none: {', '.join(members)}"
        refuse_options(context, ("spectrograms",), reason)
