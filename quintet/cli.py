"""Command line: registers the commands and turns errors into messages and exit codes.

The exit codes are those of `quintet.commands.terminal.faults`; docs/main-job.md has the rule.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from quintet import __version__
from quintet.commands import (
    audit,
    evaluate,
    explain,
    extract,
    fetch,
    fuse,
    predict,
    report,
    run,
    train,
    tune,
)
from quintet.commands import list as list_command
from quintet.commands.pretrained import tag, weights
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
from quintet.errors import ArtefactError, QuintetError
from quintet.files.display.names import printable
from quintet.files.notices import silence_notices


class Commands(TyperGroup):
    """The commands. An interrupt (Ctrl-C) in any of them prints a message."""

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
            err.print(
                "Interrupted. Finished work is kept: the same command continues (`train`: with --resume).",
                soft_wrap=True,
            )
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

app.command(epilog=extract.EXAMPLE)(extract.extract)
app.command(epilog=train.EXAMPLE)(train.train)
app.command(epilog=tune.EXAMPLE)(tune.tune)
app.command(epilog=report.EXAMPLE)(report.report)
app.command(epilog=predict.EXAMPLE)(predict.predict)
app.command(epilog=explain.EXAMPLE)(explain.explain)
app.command(epilog=run.EXAMPLE)(run.run)
app.command(epilog=audit.EXAMPLE)(audit.audit)
app.command(epilog=fuse.EXAMPLE)(fuse.fuse)
app.command(epilog=evaluate.EXAMPLE)(evaluate.evaluate)
app.command(epilog=fetch.EXAMPLE)(fetch.fetch)
app.command(epilog=tag.EXAMPLE)(tag.tag)
app.add_typer(weights.app, name="weights")
app.command("list", epilog=list_command.EXAMPLE)(list_command.list_)


def main() -> None:
    """Run the command line. Every error is printed as a message, without traceback."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # the allocator of Arrow keeps freed memory
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
    from quintet.commands.terminal.console import err, print_plain

    try:
        sys.stdout.flush()
    except OSError:
        close_output()
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
