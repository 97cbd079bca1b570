"""Songs as commands show them: a table, JSON, or a playlist file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quintet.files.json_types import JsonObject

PlaylistFile = Annotated[
    Path | None, typer.Option("--output", "-o", help="Playlist to write: .m3u8, .nsp (Navidrome), .json.")
]


def show_songs(
    rows: Sequence[JsonObject], *, output: Path | None, absolute: bool, json_: bool, quiet: bool
) -> None:
    """Print songs, or write them as a playlist.

    Args:
        rows: rows of `songs`.
        output: the playlist, or None.
        absolute: whether an M3U8 has absolute paths.
        json_: whether to print JSON.
        quiet: whether to print no messages.
    """
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.destinations import hold_file, prepare_file, require_suffix
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.tables import new_table, print_table
    from quintet.files.display.names import printable
    from quintet.library.playlists.write import FACTS, SUFFIXES, write_playlist

    if output is not None:
        require_suffix(output, SUFFIXES)
        prepare_file(output)
        hold_file(output)
        left_out = write_playlist(output, rows, absolute=absolute)
        for path in left_out:
            print_message(f"Left out, since it has a line break in its name: {printable(path)}", quiet=quiet)
        print_message(f"{len(rows) - len(left_out)} songs → {output}", quiet=quiet)
    last = ["similarity"] if rows and "similarity" in rows[0] else []
    if json_:
        names = [*FACTS, *last]
        print_json({"songs": [{name: row[name] for name in names} for row in rows]})
    elif output is None:
        from rich.markup import escape

        table = new_table("song", "genre", "tempo", "key", "energy", *last)
        for row in rows:
            numbers = (row["tempo"], row["energy"], *(row[name] for name in last))
            tempo, *others = ("" if number is None else f"{number:.2f}" for number in numbers)
            genre = row["genre"] or row["verdict"] or ""
            cells = (row["path"], genre, tempo, row["key"] or "", *others)
            table.add_row(*(escape(printable(str(cell))) for cell in cells))
        print_table(table)
        if not rows:
            print_message("No song fits.", quiet=quiet)
