"""Command line: registers the commands and turns errors into messages and exit codes.

The exit codes are those of `quintet.commands.terminal.faults`; docs/main-job.md has the rule.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from quintet import __version__
from quintet.commands.terminal.destinations import release_files
from quintet.commands.terminal.faults import (
    EXIT_CLOSED_PIPE,
    EXIT_DATA,
    EXIT_INTERRUPTED,
    TRACEBACK_VARIABLE,
    accept_all_characters,
    close_output,
    explain_error,
    ignore_useless_width,
    keep_streams_open,
)
from quintet.commands.terminal.late_commands import ADVICE, LateCommands
from quintet.errors import ArtefactError, QuintetError
from quintet.files.display.names import printable
from quintet.files.notices import silence_notices

COMMANDS = {
    "extract": "extract",
    "train": "train",
    "tune": "tune",
    "report": "report",
    "predict": "predict",
    "explain": "explain",
    "suggest": "models.suggest",
    "stress": "models.stress",
    "serve": "deployment.serve",
    "export": "deployment.export",
    "run": "run",
    "audit": "audit",
    "fuse": "fuse",
    "evaluate": "evaluate",
    "fetch": "fetch",
    "tag": "pretrained.tag",
    "weights": "pretrained.weights",
    "library": "library.app",
    "list": "list",
}
"""Command → its module in `quintet.commands`, in the order of the help."""


_GOES_ON = "Finished work is kept: the same command continues."
KEPT_WORK = {
    **dict.fromkeys(("extract", "library", "run", "tune", "fetch"), _GOES_ON),
    "train": "Finished work is kept: the same command continues with --resume.",
}
"""Command → what becomes of its work after an interrupt. The others keep the outputs that are finished."""


COLLECTED_AFTER = (50_000, 10, 5)
"""Thresholds of the garbage collector. With Python's own (700, 10, 10) the objects of each import are looked
at again and again, which takes a fifth of the time of a short command."""


class Commands(TyperGroup):
    """The commands. An interrupt (Ctrl-C) in any of them prints a message."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = LateCommands(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of the first argument. `ctx` has a class of typer that is not public."""
        if args[0] in ADVICE:
            ctx.fail(f"No such command '{args[0]}'. {ADVICE[args[0]]}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> object:
        """Run the command of the command line. `ctx` has a class of typer that is not public."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                release_files()
                silence_notices(quiet=False)
                sys.stdout.flush()  # here and not at the end of the process, where an error has no message
        except TyperException as error:  # usage, for example of a file whose name begins with --
            error.message = printable(getattr(error, "message", ""))
            raise
        except EOFError as error:  # typer takes it for an end of the input, and says nothing
            raise ArtefactError(f"A file must be whole. One ends too early ({error}).") from error
        except BrokenPipeError:
            close_output()
            raise typer.Exit(EXIT_CLOSED_PIPE) from None
        except KeyboardInterrupt as interrupt:
            from quintet.commands.terminal.console import err, print_plain

            for note in getattr(interrupt, "__notes__", []):
                print_plain(err, note)
            kept = KEPT_WORK.get(ctx.invoked_subcommand, "No unfinished output is left.")
            err.print(f"Interrupted. {kept}", soft_wrap=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    name="quintet",
    help="From audio files to explained class predictions: extract → train → report → predict.",
    epilog="Begin with: quintet extract MUSIC -o features.parquet   (a folder with a sub-folder per class)",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line. Every error is printed as a message, without traceback."""
    gc.set_threshold(*COLLECTED_AFTER)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # the allocator of Arrow keeps freed memory
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # to look for them takes as long as numpy
    ignore_useless_width()
    keep_streams_open()
    accept_all_characters()
    try:
        app()
    except Exception as error:
        is_explained = isinstance(error, (QuintetError, OSError, UnicodeError, MemoryError))
        if not is_explained and os.environ.get(TRACEBACK_VARIABLE):
            raise
        _print_error(error)
        sys.exit(EXIT_DATA)


def _print_error(error: Exception) -> None:
    """Print an error on standard error."""
    try:
        sys.stdout.flush()
    except OSError:
        close_output()
    try:
        from quintet.commands.terminal.console import err, print_plain
    except (MemoryError, ImportError):  # too little memory for a console
        sys.stderr.write(f"Error: {explain_error(error)}\n")
        return
    err.print("[bold red]Error:[/]", end=" ")
    print_plain(err, explain_error(error))


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"quintet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
