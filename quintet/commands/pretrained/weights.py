"""Command `weights`: lists, fetches, adds, checks and removes pretrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.faults import EXIT_DATA
from quintet.commands.terminal.late_commands import Command
from quintet.commands.terminal.options import Json, Quiet

if TYPE_CHECKING:
    from quintet.embeddings.library import Installed
    from quintet.files.json_types import JsonObject

app = typer.Typer(
    help="Pretrained networks: what is there, fetch or add them, check that they give their golden values.",
    no_args_is_help=True,
    epilog="Begin with: quintet weights fetch musicnn   (29 MB; then: quintet tag song.mp3)",
)
FETCHABLE = ("musicnn",)


@app.command("list", cls=Command, epilog="Example: quintet weights list --json")
def list_networks(json_: Json = False) -> None:
    """List the networks in the library, and those that `fetch` can bring."""
    from rich.markup import escape

    from quintet.commands.terminal.console import out
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.tables import new_table
    from quintet.embeddings.library import installed_networks, weights_directory
    from quintet.embeddings.musicnn import NETWORKS

    installed = installed_networks()
    rows = [_record(entry) for entry in installed.values()]
    absent = sorted(set(NETWORKS) - set(installed))
    if json_:
        print_json({"folder": str(weights_directory()), "networks": rows, "fetchable": absent})
        return
    table = new_table("network", "window", "outputs", "trained on", "licence", "published")
    for row in rows:
        outputs = ", ".join(f"{name} ({size})" for name, size in row["outputs"].items())
        cells = (row["id"], f"{row['window_s']:.1f} s", outputs, row["trained_on"], row["licence"])
        table.add_row(*(escape(str(cell)) for cell in (*cells, row["published"])))
    for name in absent:
        table.add_row(name, "", "[dim]not here: quintet weights fetch musicnn[/]", "", "", "")
    out.print(table)


@app.command(
    cls=Command, epilog="Example: quintet weights fetch musicnn --from musicnn-0.1.0-py3-none-any.whl"
)
def fetch(
    name: Annotated[str, typer.Argument(help="musicnn: four taggers of Pons and Serra (2019).")],
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="The wheel, if you bring it. Default: pip downloads it."),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch published weights, convert them to ONNX, check their golden values and keep them."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.commands.terminal.progress import show_status
    from quintet.embeddings.library import LICENCE
    from quintet.embeddings.musicnn import fetch_musicnn
    from quintet.errors import unknown_name

    if name not in FETCHABLE:
        raise unknown_name("set of weights to fetch", name, FETCHABLE)
    with show_status("Fetching and converting", quiet=quiet):
        installed = fetch_musicnn(from_)
    if json_:
        print_json({"networks": [_record(entry) for entry in installed]})
    for entry in installed:
        contract = entry.contract
        facts = f"{contract.id}: {contract.trained_on}, {contract.published}"
        print_message(f"{facts} → {entry.folder}", quiet=quiet)
    first = installed[0]
    licence = f"Licence {first.contract.licence} ({first.folder / LICENCE})"
    print_message(f"{licence}, from {first.contract.source}", quiet=quiet)


@app.command(
    cls=Command, epilog="Example: quintet weights add discogs-effnet.onnx --contract discogs-effnet.json"
)
def add(
    model: Annotated[Path, typer.Argument(help="ONNX file.")],
    contract: Annotated[
        Path,
        typer.Option(help="Its contract: our TOML or JSON (docs/pretrained.md), or Essentia's JSON."),
    ],
    name: Annotated[str | None, typer.Option(help="Name in the library. Default: the contract's id.")] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add an ONNX file with its contract. Shapes, names and the golden clip are checked first."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.embeddings.library import add_network

    entry = add_network(model, contract, name=name)
    if json_:
        print_json(_record(entry))
    print_message(f"{entry.contract.id} → {entry.folder}", quiet=quiet)
    if entry.contract.golden is None:
        print_message(
            "The contract has no golden clip, so nothing shows that rate, bands and compression are right.",
            quiet=quiet,
        )


@app.command(cls=Command, epilog="Example: quintet weights check musicnn_msd")
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Networks. Default: all in the library.")] = None,
    json_: Json = False,
) -> None:
    """Check digests, shapes and golden clips. A deviation is reported, and the exit code is 1."""
    from quintet.commands.terminal.console import out, print_plain
    from quintet.commands.terminal.output import print_json
    from quintet.embeddings.library import check_network, find_network, installed_networks
    from quintet.errors import ArtefactError

    results: list[JsonObject] = []
    for name in names or installed_networks() or [find_network("musicnn_msd").contract.id]:
        try:
            difference = check_network(name)
            results.append({"network": name, "ok": True, "largest_difference": difference, "reason": None})
        except ArtefactError as error:
            results.append({"network": name, "ok": False, "largest_difference": None, "reason": str(error)})
    if json_:
        print_json({"checks": results})
    for row in [] if json_ else results:
        print_plain(out, f"{row['network']}: {_check_text(row)}")
    if not all(row["ok"] for row in results):
        raise typer.Exit(EXIT_DATA)


@app.command(cls=Command, epilog="Example: quintet weights remove vgg_mtt")
def remove(
    name: Annotated[str, typer.Argument(help="Network in the library.")],
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Remove a network from the library."""
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_json
    from quintet.embeddings.library import remove_network

    remove_network(name)
    if json_:
        print_json({"removed": name})
    print_message(f"{name} is removed.", quiet=quiet)


def _check_text(row: JsonObject) -> str:
    if not row["ok"]:
        return f"FAILS. {row['reason']}"
    if row["largest_difference"] is None:
        return "digest and shapes are right; the contract has no golden clip"
    return f"right; the golden values differ by {row['largest_difference']:.1g} at most"


def _record(entry: Installed) -> JsonObject:
    contract = entry.contract
    return {
        "id": contract.id,
        "version": contract.version,
        "sample_rate": contract.sample_rate,
        "window_s": contract.window_s,
        "outputs": {output.name: output.dimension for output in contract.outputs},
        "trained_on": contract.trained_on,
        "published": contract.published,
        "licence": contract.licence,
        "source": contract.source,
        "hash": contract.hash,
        "sha256": contract.sha256,
        "folder": str(entry.folder),
    }
