"""Command `library songs`: songs that meet a condition."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.library.shown import PlaylistFile, show_songs
from quintet.commands.terminal.options import Json, Quiet

EXAMPLE = "Example: quintet library songs my.library --where 'out_of_class > .95' --order-by=-out_of_class"


def songs(
    library: Annotated[Path, typer.Argument(help="Library made by `quintet library scan`.")],
    where: Annotated[
        str | None, typer.Option(help="Condition in SQL over the columns of the songs (docs/library.md).")
    ] = None,
    order_by: Annotated[
        str | None, typer.Option(help="Column that decides the order; -energy begins with the largest.")
    ] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="At most so many songs.")] = 50,
    output: PlaylistFile = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Absolute paths in an .m3u8.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Songs that meet a condition, in the order of a column."""
    from quintet.commands.terminal.console import print_message
    from quintet.library.store import Library

    found = Library.open(library).query.select(where, order_by=order_by)
    rows = found.slice(0, number).to_pylist()
    show_songs(rows, output=output, absolute=absolute, json_=json_, quiet=quiet)
    if found.num_rows > number:
        print_message(f"{number} of {found.num_rows} songs: ask for more with --number.", quiet=quiet)
