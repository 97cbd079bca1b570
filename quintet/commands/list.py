"""Command `list`: members, features, columns, datasets, recipes and rules."""

from __future__ import annotations

from typing import Annotated

import typer

from quintet.commands.terminal.options import Json

EXAMPLE = "Example: quintet list members"


def list_(
    what: Annotated[
        str, typer.Argument(help="members (or models), features, columns, datasets, recipes or rules.")
    ],
    json_: Json = False,
) -> None:
    """List members, features and their columns, datasets, recipes or rules.

    In a pipe the output has one line per entry, with tabs between the columns. `features` lists the sets and
    then the columns, with an empty line between them.
    """
    from quintet.commands.terminal.console import out, write_data
    from quintet.commands.terminal.listing import lines, listing, records, together
    from quintet.commands.terminal.output import print_json

    names = together(what)
    if json_:
        print_json({name: records(name) for name in names})
    elif out.is_terminal:
        for name in names:
            out.print(listing(name))
    else:
        tables = ["".join(f"{line}\n" for line in lines(name)) for name in names]
        write_data("\n".join(tables))
