"""Command `library genres`: the genres that songs carry, and a training table of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quintet.commands.terminal.options import GenreMapFile, Json, Quiet, TagLabels

EXAMPLE = (
    "Example: quintet library genres my.library --map genres.toml -o genres.parquet   (then: quintet train "
    "genres.parquet -o model)"
)


def genres(
    library: Annotated[Path, typer.Argument(help="Library made by `quintet library scan`.")],
    label_by: TagLabels = "tag:genre",
    map_: GenreMapFile = None,
    write_map: Annotated[
        Path | None, typer.Option(help="Write a genre map to edit, with the genres that were found.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Feature table (.parquet) of the songs with a genre."),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """The genres that the songs carry in their tags, and a table to learn them from.

    Several genres of a song are a set. Groups, which no split divides, are album artists.
    """
    from quintet.commands.terminal.console import err, print_message, print_plain
    from quintet.commands.terminal.destinations import OUTPUT_OPTION, hold_file, prepare_file, require_suffix
    from quintet.commands.terminal.output import print_json
    from quintet.datasets.genre_map import GenreMap, write_template
    from quintet.datasets.tag_labels import label_field
    from quintet.library.store import Library
    from quintet.library.training_table import tagged_songs, write_training_table

    field = label_field(label_by)
    genre_map = GenreMap() if map_ is None else GenreMap.read(map_)
    outputs = ((output, (".parquet", ".pq"), OUTPUT_OPTION), (write_map, (".toml",), "--write-map"))
    for file, suffixes, option in outputs:
        if file is not None:
            require_suffix(file, suffixes, option)
            prepare_file(file, option, inputs=[map_])
            hold_file(file)
    opened = Library.open(library)
    tagged = tagged_songs(opened, field, genre_map)
    counts = tagged.counts()
    if write_map is not None:
        every = tagged_songs(opened, field, GenreMap(least=1)).counts()
        write_template(write_map, {name: n_songs for name, (n_songs, _) in every.items()})
        print_message(f"{len(every)} genres → {write_map}", quiet=quiet)
    n_written = None if output is None else write_training_table(opened, tagged, output)
    if json_:
        rows = [
            {"genre": name, "songs": songs, "artists": artists} for name, (songs, artists) in counts.items()
        ]
        print_json(
            {"command": "library genres", "genres": rows, "notes": tagged.notes, "n_written": n_written}
        )
    else:
        _print_counts(field, counts)
    for note in () if quiet else tagged.notes:
        print_plain(err, note, style="dim")
    if n_written is not None:
        print_message(f"{n_written} songs → {output}   (next: quintet train {output} -o model)", quiet=quiet)


def _print_counts(field: str, counts: dict[str, tuple[int, int]]) -> None:
    """Print a table of labels with their songs and artists."""
    from rich.markup import escape

    from quintet.commands.terminal.tables import new_table, print_table
    from quintet.files.display.names import printable

    table = new_table(field, "songs", "artists")
    for name, (n_songs, n_artists) in counts.items():
        table.add_row(escape(printable(name)), str(n_songs), str(n_artists))
    print_table(table)
