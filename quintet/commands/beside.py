"""The commands beside the main job, which need no model: audit, fuse, evaluate, fetch, list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from quintet.commands.terminal.options import Jobs, Quiet, Seed, resolve_cores
from quintet.commands.terminal.output import print_json

commands = typer.Typer()


@commands.command(
    epilog="Example: quintet audit music/ --groups-to groups.csv && quintet train features.parquet -o model/ --groups groups.csv"
)
def audit(
    source: Annotated[
        str, typer.Argument(help="What `extract` takes (folder, manifest, dataset), or a feature table.")
    ],
    fingerprints: Annotated[
        bool, typer.Option(help="Listen for copies that were re-encoded, re-levelled or trimmed.")
    ] = True,
    groups_to: Annotated[
        Path | None,
        typer.Option(help="Write who must never part (duplicates joined) as a CSV for `train --groups`."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="For tables from elsewhere: the column that names the clip.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="… that holds the class.")] = None,
    group_column: Annotated[str | None, typer.Option(help="… that holds the group.")] = None,
    label_from: Annotated[
        str | None, typer.Option(help="… or a regular expression on the id whose group is the class.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object for scripts.")] = False,
    jobs: Jobs = 1,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """What is wrong with a corpus, before anything is trained: duplicates, wrong labels, balance, and shortcuts that need no music."""
    from quintet.audit import write_groups
    from quintet.audit.run import audit as audit_corpus
    from quintet.commands.terminal.progress import out, progress_counter
    from quintet.features.storage.table import read_feature_table

    subject: Any = source
    if id_column or label_from or label_column:
        subject = read_feature_table(
            source,
            id_column=id_column,
            label_column=label_column,
            group_column=group_column,
            label_from=label_from,
        )
    with progress_counter("Listening", quiet=quiet) as progress:
        found = audit_corpus(
            subject, n_jobs=resolve_cores(jobs), progress=progress, fingerprints=fingerprints, seed=seed
        )
    if groups_to is not None:
        write_groups(found, groups_to)
    if json_:
        print_json(found.to_json())
        return
    for line in found.lines():
        out.print(
            line, markup=False, soft_wrap=True, style="bold" if line and not line.startswith(" ") else None
        )


@commands.command(epilog="Example: quintet fuse vgg.parquet xgboost.csv -o fused.parquet --rule geometric")
def fuse(
    predictions: Annotated[
        list[Path], typer.Argument(help="Files with clip_id, label (or labels), group, probability.<class>.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The fused predictions: .parquet or .csv.")],
    rule: Annotated[
        str, typer.Option(help="mean, geometric, or a TOML file with a table \\[weights].")
    ] = "mean",
    intersection: Annotated[
        bool, typer.Option("--intersection", help="Leave out clips that only some files have.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object for scripts.")] = False,
) -> None:
    """Join predictions from anywhere, by clip id."""
    from quintet.commands.terminal.progress import out
    from quintet.ensemble.fuse_files import fuse_files

    summary = fuse_files(predictions, output, rule=rule, intersection=intersection)
    if json_:
        print_json(summary.to_json())
        return
    weights = ", ".join(f"{name} {weight:.3f}" for name, weight in summary.weights.items())
    out.print(
        f"{summary.n} clips, {summary.rule} of {weights} → {summary.output}", markup=False, soft_wrap=True
    )
    if intersection:
        out.print(f"{summary.left_out} clips left out: only some of the files have them.")


@commands.command(epilog="Example: quintet evaluate fused.parquet --json")
def evaluate(
    predictions: Annotated[
        list[Path],
        typer.Argument(
            help="One file of predictions, or several of the same clips (then: their mean, and each)."
        ),
    ],
    intersection: Annotated[
        bool, typer.Option("--intersection", help="Leave out clips that only some files have.")
    ] = False,
    resamples: Annotated[
        int, typer.Option(min=0, help="Bootstrap resamples by group; 0: point scores only.")
    ] = 1000,
    seed: Seed = 0,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object for scripts.")] = False,
) -> None:
    """Score predictions from anywhere, with intervals by group."""
    from quintet.commands.terminal.progress import comparison_table, evaluation_tables, out, undefined_lines
    from quintet.predictions.evaluate import evaluate_files

    found = evaluate_files(predictions, intersection=intersection, seed=seed, n_resamples=resamples)
    if json_:
        print_json(found)
        return
    groups = f"{found['n_groups']} groups" if found["grouped"] else "groups unknown: every clip is its own"
    out.print(
        f"{found['of']}: {found['n']} clips, {groups}, {len(found['classes'])} classes",
        style="bold",
        markup=False,
        soft_wrap=True,
    )
    if found["ungrouped_split"]:
        out.print(
            "[bold red]UNGROUPED SPLIT: what made these predictions may have known the groups[/]",
            soft_wrap=True,
        )
    out.print(*evaluation_tables(found), sep="\n")
    if found.get("comparisons"):
        how = "The mean against each, paired; p corrected for their number (Holm). McNemar: clips that the mean alone, the other alone has right. "
        out.print(f"{how}DeLong: classes whose area differs.", style="dim", soft_wrap=True)
        out.print(comparison_table(found))
    for what, why in (("left_out", "only some of the files have them"), ("unlabelled", "they have no label")):
        if found[what]:
            out.print(f"{found[what]} clips left out: {why}.")
    for line in undefined_lines(found["undefined"]):
        out.print(line, markup=False, soft_wrap=True)


@commands.command(epilog="Example: quintet fetch audioset /data/audioset --limit 100")
def fetch(
    dataset: Annotated[str, typer.Argument(help="audioset (or audioset@single, audioset@branches).")],
    folder: Annotated[
        Path, typer.Argument(help="Where its segments are; clips are written to audio/ below it.")
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="Ask for at most so many clips now.")] = None,
    retry_gone: Annotated[
        bool, typer.Option("--retry-gone", help="Ask again for what gone.csv calls gone.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Retrieve a dataset's clips from where they are public, through yt-dlp and ffmpeg. What is gone stands in gone.csv."""
    from quintet.commands.terminal.progress import out, progress_counter
    from quintet.datasets.builtin.audioset_download import retrieve
    from quintet.errors import unknown_name

    name, _, variant = dataset.partition("@")
    if name != "audioset":
        raise unknown_name("dataset to fetch", name, ["audioset"])
    with progress_counter("Retrieving", quiet=quiet) as progress:
        found = retrieve(
            folder, variant=variant or None, limit=limit, retry_gone=retry_gone, progress=progress
        )
    text = f"{found.n_present} of {found.n_requested} clips are here, {found.new} of them new; {found.n_unavailable} gone, {found.failed} failed"
    out.print(f"{text} ({found.ledger})" if found.ledger.exists() else text, soft_wrap=True)


@commands.command("list", epilog="Example: quintet list members")
def list_(
    what: Annotated[str, typer.Argument(help="members (or models), features, datasets, recipes or rules.")],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object for scripts.")] = False,
) -> None:
    """Show what there is to choose from, with its source and what was published of it. Into a pipe: a line each, with tabs."""
    from quintet.commands.terminal.listing import lines, listing, records
    from quintet.commands.terminal.progress import out

    if json_:
        print_json({what: records(what)})
    elif out.is_terminal:
        out.print(listing(what))
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(what))
