"""The group of commands `library`."""

from __future__ import annotations

import typer

from quintet.commands.library import scan, tag_plan

app = typer.Typer(
    help="The music that you own: scanned, and genres for its tags, with a plan first and a way back.",
    no_args_is_help=True,
    epilog="Begin with: quintet library scan MUSIC -o my.library",
)
app.command("scan", epilog=scan.EXAMPLE)(scan.scan)
app.command("tags", epilog=tag_plan.EXAMPLE)(tag_plan.tags)
