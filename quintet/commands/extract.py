"""Command `extract`: features of clips to a parquet table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quintet.commands.terminal.destinations import hold_file, prepare_file, prepare_folder, require_suffix
from quintet.commands.terminal.options import (
    IgnoreColumn,
    Jobs,
    Json,
    ManifestColumn,
    ManifestRoot,
    Quiet,
    Scheduler,
    Strict,
)
from quintet.commands.terminal.parsing import (
    parse_limit,
    parse_names,
    parse_pairs,
    parse_parameters,
    parse_windows,
    resolve_cores,
)
from quintet.errors import ConfigError, QuintetError

if TYPE_CHECKING:
    from quintet.datasets.manifest import Manifest

PARQUET_SUFFIXES = (".parquet", ".pq")
EXAMPLE = "Example: quintet extract music/ -o features.parquet --jobs 4 --spectrograms spectrograms/"


def extract(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder with a sub-folder per class, manifest (.csv, .parquet), or a dataset: demo."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Parquet file to write (or s3://…). Rows in it that are still valid are reused.",
        ),
    ],
    features: Annotated[
        str, typer.Option("--features", "-f", help="Feature set: selected, wide, full, bahuleyan2018.")
    ] = "selected",
    families: Annotated[
        str | None, typer.Option(help="Only these feature families of the set: cepstral,spectral,…")
    ] = None,
    spectrograms: Annotated[
        Path | None, typer.Option(help="Also store log-mel spectrograms in this folder, for networks.")
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(help="Also add the columns of these pretrained networks: musicnn_msd,musicnn_mtt,…"),
    ] = None,
    windows: Annotated[
        str | None,
        typer.Option(
            help="Windows of a clip for --embeddings, spread over it: a number, or all. Default: 10."
        ),
    ] = None,
    jobs: Jobs = 1,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter: n_fft=4096, sample_rate=44100. Repeatable."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(help="Groups from the path (a regular expression) or from tags (tag:artist)."),
    ] = None,
    label_by: Annotated[
        str | None,
        typer.Option(help="Labels from the tags of songs in folders of any kind: tag:genre, tag:mood."),
    ] = None,
    genres: Annotated[
        Path | None,
        typer.Option(help="Genre map (.toml) for --label-by: names that are one, white and black list."),
    ] = None,
    column: ManifestColumn = None,
    root: ManifestRoot = None,
    ignore_column: IgnoreColumn = None,
    max_failures: Annotated[
        str | None, typer.Option(help="Stop if more clips than this fail: a number, or a share such as 5%.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Longest time for one clip, in seconds.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the failed clips of an earlier run again.")
    ] = False,
    strict: Strict = False,
    published_names: Annotated[
        Path | None,
        typer.Option(
            "--published-names",
            help="Also write the table with the column names of the paper to this file (.csv, .parquet).",
        ),
    ] = None,
    scheduler: Scheduler = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Extract features of each clip to a parquet table. Clips that fail get a row with the reason.

    An interrupted run continues with the same command.
    """
    from quintet import workflow
    from quintet.commands.terminal.console import print_message
    from quintet.commands.terminal.output import print_classes, print_failures, print_ignored, print_json
    from quintet.commands.terminal.progress import progress_counter
    from quintet.datasets.source import load_source
    from quintet.embeddings.columns.networks import with_embeddings
    from quintet.features.columns import feature_names
    from quintet.features.columns import published_names as paper_names
    from quintet.features.storage.published import write_published

    require_suffix(output, PARQUET_SUFFIXES)
    if published_names is not None:
        require_suffix(published_names, (".csv", *PARQUET_SUFFIXES), "--published-names")
    if timeout is not None and not timeout > 0:
        raise ConfigError(f"--timeout must be more than 0 seconds. Received {timeout:g}.")
    parameters = with_embeddings(
        parse_parameters(features, families, set_),
        parse_names(embeddings),
        None if windows is None else parse_windows(windows),
    )
    if published_names is not None:
        paper_names(features)  # a set without such names is refused before the work
    prepare_file(output, inputs=[source])
    prepare_file(published_names, "--published-names", inputs=[source])
    hold_file(published_names)
    prepare_folder(spectrograms, "--spectrograms")
    manifest = load_source(
        _tagged_source(source, label_by, genres, jobs),
        group_by=group_by,
        columns=parse_pairs(column, "column"),
        root=root,
        ignore_columns=ignore_column or (),
    )
    if not quiet:
        print_ignored(manifest.ignored)
    with progress_counter("Extracting", quiet=quiet) as progress:
        summary = workflow.extract(
            manifest,
            output,
            parameters=parameters,
            spectrograms=spectrograms,
            n_jobs=resolve_cores(jobs),
            progress=progress,
            max_failures=parse_limit(max_failures),
            timeout_s=timeout,
            retry_failed=retry_failed,
            strict=strict,
            scheduler=scheduler,
        )
    if published_names is not None:
        write_published(output, published_names)
    if json_:
        place = None if spectrograms is None else str(spectrograms)
        paper_table = None if published_names is None else str(published_names)
        print_json(
            {
                "command": "extract",
                **summary.to_json(),
                "n_features": len(feature_names(parameters)),
                "ignored": manifest.ignored,
                "spectrograms": place,
                "published_names": paper_table,
            }
        )
    if not quiet:
        print_failures(summary)
        print_classes(summary)
        n_columns = len(feature_names(parameters))
        size = f"{summary.n_ok} clips × {n_columns} features"
        print_message(f"{size} → {output}   ({summary.seconds:.1f} s)", quiet=quiet)
    if not summary.n_ok:
        raise QuintetError(
            f"At least one clip must be usable. All {summary.n_failed} failed: see the reasons in {output}."
        )


def _tagged_source(source: str, label_by: str | None, genres: Path | None, jobs: int) -> str | Manifest:
    """The source, or the songs of a folder with labels from their tags."""
    if label_by is None:
        if genres is not None:
            raise ConfigError("A genre map is for labels from tags. Received --genres alone: add --label-by.")
        return source
    from quintet.datasets.genre_map import GenreMap
    from quintet.datasets.tag_labels import read_tagged_folder

    genre_map = None if genres is None else GenreMap.read(genres)
    return read_tagged_folder(source, label_by, genre_map, n_jobs=resolve_cores(jobs))
