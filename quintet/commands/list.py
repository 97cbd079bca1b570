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

    In a pipe the output has one line per entry, with tabs between the columns.
    """
    from quintet.commands.terminal.console import out, write_data
    from quintet.commands.terminal.listing import lines, listing, records
    from quintet.commands.terminal.output import print_json

    if json_:
        print_json({what: records(what)})
    elif out.is_terminal:
        out.print(listing(what))
    else:
        write_data("".join(f"{line}\n" for line in lines(what)))
