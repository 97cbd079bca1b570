"""Output of `tag`: tables, CSV, JSON and parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quintet.embeddings.vocabulary import GROUPS, OTHER
from quintet.files.json_text import json_text, table_rows

if TYPE_CHECKING:
    import pandas as pd

    from quintet.embeddings.tagging import TagResult
    from quintet.files.json_types import JsonObject


def print_tags(result: TagResult, format_: str, output: Path | None) -> None:
    """Print the tags on standard output, or write them to a file.

    Args:
        result: tags of files.
        format_: `"table"`, `"csv"`, `"json"` or `"parquet"`.
        output: the file, or None.
    """
    from quintet.commands.terminal.prediction_rows import write_text
    from quintet.files.atomic import replace_output
    from quintet.files.display.spreadsheets import exact_csv

    if format_ == "parquet":
        assert output is not None  # choose_format refuses parquet on standard output
        with replace_output(output) as file:
            result.frame.to_parquet(file, index=False)
    elif format_ == "csv":
        write_text(exact_csv(result.frame), output)
    elif format_ == "json":
        write_text(json_text(tags_json(result)), output)
    else:
        _print_table(result, output)


def print_tag_messages(result: TagResult, *, quiet: bool) -> None:
    """Print what the numbers are, and the files that failed or are cut short, on standard error."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_failure, print_truncation

    for _, row in result.failures.iterrows():
        print_failure(row["path"], row["reason"])
    for _, row in result.truncated.iterrows():
        print_truncation(row["path"], row["reason"])
    for note in result.notes:
        print_message(note, quiet=quiet)
    for network, facts in result.networks.items():
        print_message(f"{network}: activations in [0, 1], {facts}", quiet=quiet)


def tags_json(result: TagResult) -> JsonObject:
    """JSON object with the networks, the rows of tags, the files that failed or are cut short, and notes."""
    return {
        "networks": result.networks,
        "tags": table_rows(result.frame),
        "failures": table_rows(result.failures),
        "notes": list(result.notes),
        "truncated": table_rows(result.truncated),
    }


def _print_table(result: TagResult, output: Path | None) -> None:
    """A row per file, network and window with its tags by group."""
    from rich.markup import escape

    from quintet.commands.terminal.console import table_text
    from quintet.commands.terminal.prediction_rows import write_text
    from quintet.commands.terminal.tables import new_table, print_table

    frame = result.frame
    is_over_time = frame.duplicated(["path", "network", "tag"]).any()
    groups = [group for group in (*GROUPS, OTHER) if (frame["group"] == group).any()]
    table = new_table("file", *(["seconds"] if is_over_time else []), "network", *groups)
    for (path, network, start, end), rows in frame.groupby(
        ["path", "network", "start_s", "end_s"], sort=False
    ):
        seconds = [f"{start:.1f}-{end:.1f}"] if is_over_time else []
        cells = [_group_cell(rows, group) for group in groups]
        table.add_row(escape(str(path)), *seconds, escape(str(network)), *map(escape, cells))
    if output is None:
        print_table(table)
        return
    write_text(table_text(table), output)


def _group_cell(rows: pd.DataFrame, group: str) -> str:
    chosen = rows[rows["group"] == group]
    pairs = zip(chosen["tag"], chosen["activation"], strict=True)
    return ", ".join(f"{tag} {value:.2f}" for tag, value in pairs)
