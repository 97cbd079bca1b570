"""Feature tables with the column names of the paper that published the features."""

from __future__ import annotations

from pathlib import Path

from quintet.errors import DatasetError
from quintet.features.columns import published_names
from quintet.features.storage.read import read_feature_table
from quintet.files.atomic import replace_output
from quintet.files.display.spreadsheets import exact_csv


def write_published(table: str | Path, output: str | Path) -> None:
    """Write a feature table with the column names of the paper.

    Args:
        table: feature table made by `extract`.
        output: file to write, `.csv` or `.parquet`.

    Raises:
        DatasetError: if quintet did not make the table.
        ConfigError: if the feature set has no published names.
    """
    features = read_feature_table(table)
    if features.parameters is None:
        raise DatasetError(f"Published names are known for tables that quintet made. {table} was not.")
    names = published_names(features.parameters.feature_set)
    frame = features.frame.rename(columns=names)
    with replace_output(Path(output)) as file:
        if Path(output).suffix.lower() == ".csv":
            file.write_text(exact_csv(frame), encoding="utf-8", newline="")
        else:
            frame.to_parquet(file, index=False)
