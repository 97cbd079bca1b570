"""The command line: parse, call one function, print. Nothing heavy is imported before a command needs it.

Exit codes: 0 fine; 1 data, configuration, or clips that could not be used where every one was asked for; 2 usage; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from quintet import __version__
from quintet.commands import beside as cli_beside
from quintet.commands.terminal.options import (
    Jobs,
    Quiet,
    Seed,
    all_members,
    all_settings,
    find_search,
    member_settings,
    parse_limit,
    parse_names,
    parse_pairs,
    parse_parameters,
    refuse_options,
    resolve_cores,
    table_members,
)
from quintet.commands.terminal.output import (
    print_ignored,
    print_leak_gate,
    print_learning_curve,
    print_ledger,
    print_predictions,
    print_published,
    print_scores,
    print_tuning,
    show_status,
    stage_hooks,
)
from quintet.errors import ConfigError, QuintetError


class Commands(TyperGroup):
    """The commands; Ctrl-C in any of them says what is kept (typer itself would end without a word)."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            from quintet.commands.terminal.progress import err

            err.print(
                "Interrupted. What was finished is kept: the same command goes on from there (`train`: with --resume).",
                soft_wrap=True,
            )
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    name="quintet",
    help="Turn a pile of music into an explained, honest verdict: extract → train → report → predict.",
    epilog="Begin with: quintet extract MUSIC -o features.parquet   (a folder with a sub-folder per class)",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

TABLE_OPTIONS = (  # of `tune`: what a recipe says itself
    *("protocol", "test_size", "folds", "seed", "spectrograms"),
    *("id_column", "label_column", "group_column", "groups", "label_from", "split_file"),
)


def main() -> None:
    """The console script: every error of ours is a message and an exit code, never a traceback."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow's own allocator keeps what was freed
    try:
        app()
    except QuintetError as error:
        from quintet.commands.terminal.progress import err

        err.print("[bold red]Error:[/]", end=" ")
        err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _version(shown: bool) -> None:
    if shown:
        print(f"quintet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# ------------------------------------------------------------------------------------------------------------ the main job


@app.command(
    epilog="Example: quintet extract music/ -o features.parquet --jobs 4 --spectrograms spectrograms/"
)
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
            help="The parquet file to write (or s3://…); what it holds and is not stale is kept.",
        ),
    ],
    features: Annotated[
        str, typer.Option("--features", "-f", help="The named feature set: full, bahuleyan2018.")
    ] = "full",
    families: Annotated[
        str | None, typer.Option(help="Only these families of the set: cepstral,spectral,…")
    ] = None,
    spectrograms: Annotated[
        Path | None, typer.Option(help="Also store log-mel spectrograms here, for the CNNs.")
    ] = None,
    jobs: Jobs = 1,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter: n_fft=4096, sample_rate=44100. Repeatable."),
    ] = None,
    group_by: Annotated[
        str | None, typer.Option(help="Groups from the path (a regular expression) or from tags: tag:artist.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Columns of a manifest: label=genre, group=artist. Repeatable.")
    ] = None,
    max_failures: Annotated[
        str | None, typer.Option(help="Stop when more clips than this fail: a number, or a share: 5%.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that one clip may take.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the failed clips of an earlier run again.")
    ] = False,
    published_names: Annotated[
        Path | None,
        typer.Option(
            "--published-names",
            help="Also write the table with the paper's own column names here (.csv, .parquet).",
        ),
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="Work on a dask cluster: tcp://host:8786.")] = None,
    quiet: Quiet = False,
) -> None:
    """Describe every clip: hand-made features to parquet, bad clips to its ledger.

    Ctrl-C loses nothing: the same command goes on where it stopped.
    """
    from quintet import workflow
    from quintet.commands.terminal.progress import err, out, progress_counter
    from quintet.datasets.source import load_source
    from quintet.features.columns import feature_names
    from quintet.features.columns import published_names as paper_names

    stem, suffix = os.path.splitext(output)  # of a path or a URL
    if suffix.lower() not in (".parquet", ".pq"):
        raise ConfigError(
            f"The table of features is written as parquet. Received '{output}': name it {stem}.parquet."
        )
    if timeout is not None and not timeout > 0:
        raise ConfigError(f"--timeout must be more than 0 seconds. Received {timeout:g}.")
    parameters = parse_parameters(features, families, set_)
    if published_names is not None:
        paper_names(features)  # refused before the work where the set has none
    manifest = load_source(source, group_by=group_by, columns=parse_pairs(column, "column"))
    if not quiet:
        print_ignored(manifest.ignored, err)
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
            scheduler=scheduler,
        )
    if published_names is not None:
        workflow.write_published(output, published_names)
    if not quiet:
        print_ledger(summary, err)
        columns = len(feature_names(parameters))
        out.print(
            f"{summary.n_ok} clips × {columns} features → {output}   ({summary.seconds:.1f} s)",
            markup=False,
            soft_wrap=True,
        )
    if not summary.n_ok:
        raise QuintetError(
            f"At least one clip must be usable. All {summary.n_failed} failed: the reasons stand in {output}."
        )


@app.command(
    epilog="Example: quintet train features.parquet -o model/ --members logistic_regression,xgboost --seed 7"
)
def train(
    features: Annotated[
        Path, typer.Argument(help="A feature table: ours, or any CSV/parquet with one row per clip.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to make.")],
    members: Annotated[
        str | None,
        typer.Option("--members", "-m", help="Which players, separated by commas (`quintet list members`)."),
    ] = None,
    rules: Annotated[str | None, typer.Option(help="Fusion rules to fit: mean,geometric,weighted,…")] = None,
    rule: Annotated[
        str, typer.Option(help="The rule that answers; auto chooses on the training part.")
    ] = "auto",
    protocol: Annotated[
        str, typer.Option(help="group, random (stamped as such), given (the data's split column), auto.")
    ] = "auto",
    protocols: Annotated[
        str | None, typer.Option(help="Leak gate: the same members under several splits: random,group.")
    ] = None,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also say what more data would bring.")
    ] = False,
    test_size: Annotated[
        float,
        typer.Option(min=0.0, max=0.9, help="Share of the clips held out for the test; 0: out of fold only."),
    ] = 0.2,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Folds for out-of-fold predictions; 5, or as many as the groups allow."),
    ] = None,
    seed: Seed = 0,
    spectrograms: Annotated[
        Path | None, typer.Option(help="Store of `extract --spectrograms`; made beside the table if needed.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A member's setting: xgboost.max_depth=3. Repeatable.")
    ] = None,
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", help="Members' settings from a TOML file: best.toml of `quintet tune`."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="For tables from elsewhere: the column that names the clip.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="… that holds the class.")] = None,
    group_column: Annotated[str | None, typer.Option(help="… that holds the group (artist).")] = None,
    groups: Annotated[
        Path | None,
        typer.Option(help="Groups from a CSV with id and group, such as `audit --groups-to` writes."),
    ] = None,
    label_from: Annotated[
        str | None, typer.Option(help="… or a regular expression on the id whose group is the class.")
    ] = None,
    split_file: Annotated[
        list[str] | None, typer.Option(help="Who is where: train=a.csv, valid=b.csv, test=c.csv. Repeatable.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples for the intervals.")] = 1000,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model folder.")] = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Train the players, join them, and judge them on groups they never heard."""
    from quintet import workflow
    from quintet.commands.terminal.progress import TrainingDisplay, err, out, progress_counter, score_table
    from quintet.features.storage.table import read_feature_table
    from quintet.settings import parse_settings
    from quintet.training.settings import TrainSettings

    table = read_feature_table(
        features,
        id_column=id_column,
        label_column=label_column,
        group_column=group_column,
        label_from=label_from,
        splits=parse_pairs(split_file, "split file"),
    )
    if groups is not None:
        from quintet.training.data import regroup

        table = regroup(table, groups)
    content: dict[str, Any] = {
        "protocol": protocol,
        "test_size": test_size,
        "folds": folds,
        "seed": seed,
        "rule": rule,
        "resamples": resamples,
    }
    content["members"] = parse_names(members) or (
        all_members() if table.parameters is not None else table_members(err, quiet)
    )
    content["settings"] = all_settings(settings_file, setting, content["members"], err)
    content["protocols"] = parse_names(protocols)
    content["learning_curve"] = learning_curve
    if rules is not None:
        content["rules"] = parse_names(rules)
    elif rule != "auto":
        content["rules"] = list(dict.fromkeys(["mean", rule]))
    settings = parse_settings(TrainSettings, content, where="quintet train")
    store = (
        spectrograms
        if spectrograms is not None or table.parameters is None
        else features.with_suffix(".spectrograms")
    )
    with progress_counter("Spectrograms", quiet=quiet) as progress, TrainingDisplay(quiet=quiet) as display:
        result = workflow.train(
            table,
            output,
            settings=settings,
            spectrograms=store,
            resume=resume,
            overwrite=overwrite,
            listener=display,
            progress=progress,
            n_jobs=resolve_cores(jobs),
            search=find_search(settings_file),
        )
    print_scores(result, out, score_table)
    print_leak_gate(result.scores.get("leak_gate"), out)
    print_learning_curve(result.scores, out)
    out.print(
        f"Model → {result.folder}/   Next: quintet report {result.folder} -o report",
        markup=False,
        soft_wrap=True,
    )


@app.command(
    epilog="Example: quintet tune bahuleyan2018 --data audioset:FOLDER -o run/ --trials 30; quintet tune features.parquet -o tuned/ -m svm"
)
def tune(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            help="A recipe (a TOML file or a name), or a feature table: ours, or any CSV/parquet."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The folder for the search; the same command goes on with it."),
    ],
    members: Annotated[
        str | None,
        typer.Option("--members", "-m", help="Whom to tune; default: the recipe's, or the table members."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Per member; the first is always the default.")] = 30,
    metric: Annotated[
        str, typer.Option(help="log_loss or macro_auc, out of fold on the training part.")
    ] = "log_loss",
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Begin no new trial after so many seconds.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Recipes: another source than the recipe's.")] = None,
    scale: Annotated[str, typer.Option(help="Recipes: full; or small, as in `run`.")] = "full",
    protocol: Annotated[
        str,
        typer.Option(
            help="Tables: as in `train`, like all that decides the split: group, random, given, auto."
        ),
    ] = "auto",
    test_size: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.9, help="Tables: share of the clips held out for the test, not looked at here."
        ),
    ] = 0.2,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Tables: folds of each trial; 5, or as many as the groups allow."),
    ] = None,
    seed: Seed = 0,
    spectrograms: Annotated[
        Path | None, typer.Option(help="Tables: store of `extract --spectrograms`, for networks.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting that is held, not searched: vgg_small.epochs=10. Repeatable."),
    ] = None,
    pruning: Annotated[
        bool, typer.Option(help="Stop a trial early that is worse than the median of those before.")
    ] = True,
    id_column: Annotated[
        str | None, typer.Option(help="For tables from elsewhere: the column that names the clip.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="… that holds the class.")] = None,
    group_column: Annotated[str | None, typer.Option(help="… that holds the group (artist).")] = None,
    groups: Annotated[
        Path | None,
        typer.Option(help="Groups from a CSV with id and group, such as `audit --groups-to` writes."),
    ] = None,
    label_from: Annotated[
        str | None, typer.Option(help="… or a regular expression on the id whose group is the class.")
    ] = None,
    split_file: Annotated[
        list[str] | None, typer.Option(help="Who is where: train=a.csv, valid=b.csv, test=c.csv. Repeatable.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin again in a folder of another search.")
    ] = False,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Search the members' settings on the folds of the training part. The test part is never looked at; Ctrl-C keeps finished trials."""
    from quintet import workflow
    from quintet.commands.terminal.progress import TrainingDisplay, err, progress_counter, trial_line
    from quintet.features.storage.table import read_feature_table
    from quintet.pipeline.recipe import find_recipe, is_recipe, load_recipe, scale_recipe
    from quintet.settings import parse_settings
    from quintet.training.data import regroup
    from quintet.tuning.tune import TuneSettings

    held, searched = (
        member_settings(setting),
        {"n_trials": trials, "timeout_s": timeout, "overwrite": overwrite},
    )

    def tell(trial: Any, n_trials: int) -> None:
        if not quiet:
            err.print(trial_line(trial, n_trials), soft_wrap=True)

    if is_recipe(subject):
        refuse_options(
            context, TABLE_OPTIONS, f"is for tables. The recipe {subject} says who is in which part."
        )
        recipe = scale_recipe(load_recipe(find_recipe(subject), data=data), scale)
        chosen = {
            "members": None if members is None else parse_names(members),
            "held": held,
            "options": {"metric": metric, "pruning": pruning},
        }
        with TrainingDisplay(quiet=quiet) as display:
            hooks = {**stage_hooks(display, quiet=quiet), "on_trial": tell}
            result = workflow.tune(
                recipe, output, hooks=hooks, **chosen, **searched, n_jobs=resolve_cores(jobs)
            )
        again = "".join(
            f" --{name} {value}"
            for name, value in (("data", data), ("scale", scale if scale != "full" else None))
            if value
        )
        print_tuning(result, f"quintet run {subject}{again} -o {output}", quiet=quiet)
        return
    refuse_options(context, ("data", "scale"), f"is for recipes. {subject} is read as a table of features.")
    features = Path(subject)
    columns: dict[str, Any] = {
        "id_column": id_column,
        "label_column": label_column,
        "group_column": group_column,
        "label_from": label_from,
    }
    table = read_feature_table(features, **columns, splits=parse_pairs(split_file, "split file"))
    table = table if groups is None else regroup(table, groups)
    content: dict[str, Any] = {
        "metric": metric,
        "pruning": pruning,
        "protocol": protocol,
        "test_size": test_size,
        "folds": folds,
        "seed": seed,
    }
    content["settings"] = held
    if members is not None:
        content["members"] = parse_names(members)
    settings = parse_settings(TuneSettings, content, where="quintet tune")
    store = (
        spectrograms
        if spectrograms is not None or table.parameters is None
        else features.with_suffix(".spectrograms")
    )
    with progress_counter("Spectrograms", quiet=quiet) as progress, TrainingDisplay(quiet=quiet) as display:
        told: dict[str, Any] = {
            "listener": display,
            "on_trial": tell,
            "progress": progress,
            "n_jobs": resolve_cores(jobs),
        }
        result = workflow.tune(table, output, settings=settings, spectrograms=store, **searched, **told)
    print_tuning(result, f"quintet train {features} -o model/", quiet=quiet)


@app.command(epilog="Example: quintet report model/ -o report/ && open report/index.html")
def report(
    model: Annotated[Path, typer.Argument(help="A folder made by `quintet train`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the page and its numbers.")],
    title: Annotated[str | None, typer.Option(help="A heading of your own.")] = None,
    umap: Annotated[bool, typer.Option("--umap", help="Draw UMAP maps, too (needs the extra umap).")] = False,
    quiet: Quiet = False,
) -> None:
    """Tell the story of a model: one HTML page that needs no network, and its numbers as files."""
    from quintet import workflow
    from quintet.commands.terminal.progress import err, out

    with show_status("Writing the report", err, quiet=quiet):
        page = workflow.report(model, output, title=title, umap=umap)
    out.print(f"Report → {page}", markup=False, soft_wrap=True)


@app.command(epilog="Example: quintet predict model/ new/*.mp3 --format csv > verdicts.csv")
def predict(
    model: Annotated[Path, typer.Argument(help="A folder made by `quintet train`.")],
    files: Annotated[list[str] | None, typer.Argument(help="Audio files, folders, globs.")] = None,
    table: Annotated[
        Path | None, typer.Option(help="Predict the rows of a feature table instead of audio.")
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="The id column of a table from elsewhere.")] = None,
    format_: Annotated[str, typer.Option("--format", help="table, csv, json, parquet.")] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of standard output.")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(help="Answer with the set of classes that holds the true one so surely: 0.9; or none."),
    ] = None,
    segment: Annotated[
        float | None, typer.Option(min=0, help="Cut long files into segments of this many seconds; 0: never.")
    ] = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Ask the ensemble about new music. A file that cannot be read is reported, the others are predicted (exit code 1)."""
    from quintet.commands.terminal.progress import err, progress_counter
    from quintet.inference.predict import predict_files, predict_table

    if format_ not in {"table", "csv", "json", "parquet"}:
        raise typer.BadParameter("must be table, csv, json or parquet", param_hint="--format")
    if format_ == "parquet" and output is None:
        raise typer.BadParameter("parquet is binary: name a file with --output", param_hint="--format")
    if bool(files) == (table is not None):
        raise typer.BadParameter("give audio files, or one --table", param_hint="FILES")
    if table is not None:
        from quintet.features.storage.table import read_feature_table

        result = predict_table(model, read_feature_table(table, id_column=id_column), confidence=confidence)
    else:
        with progress_counter("Listening", quiet=quiet) as progress:
            result = predict_files(
                model,
                files or [],
                segment_s=segment,
                confidence=confidence,
                n_jobs=resolve_cores(jobs),
                progress=progress,
            )
    print_predictions(result, format_, output)
    for note in result.notes:
        err.print(note, style="dim", markup=False, soft_wrap=True)
    for row in result.failures.itertuples():
        err.print("[red]✗[/]", end=" ")
        err.print(f"{row.file}: {row.reason}", markup=False, soft_wrap=True)
    if len(result.failures):
        raise typer.Exit(1)


@app.command(epilog="Example: quintet explain model/ song.mp3 -o explanation/ && open explanation/index.html")
def explain(
    model: Annotated[Path, typer.Argument(help="A folder made by `quintet train`.")],
    file: Annotated[Path, typer.Argument(help="One audio file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the page and its numbers.")],
    segment: Annotated[
        float | None,
        typer.Option(min=0, help="Cut a long file into segments of this many seconds; 0: never."),
    ] = None,
    jobs: Jobs = 1,
    quiet: Quiet = False,
) -> None:
    """Say why one track got its verdict: over time, by column and family, on the spectrogram, and what it resembles."""
    from quintet.commands.terminal.progress import err, out
    from quintet.pipeline.explain_track import explain as explain_track

    with show_status("Listening and looking for reasons", err, quiet=quiet):
        page = explain_track(model, file, output, segment_s=segment, n_jobs=resolve_cores(jobs))
    out.print(f"Explanation → {page}", markup=False, soft_wrap=True)


@app.command(epilog="Example: quintet run recipes/demo.toml -o demo-run")
def run(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a recipe that comes along.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder for everything that the run makes.")
    ],
    data: Annotated[str | None, typer.Option(help="Another source than the recipe's.")] = None,
    scale: Annotated[
        str,
        typer.Option(
            help="full; or small: the same run with few clips, trees and epochs, and narrow networks."
        ),
    ] = "full",
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", help="Settings over the recipe's own: best.toml of `quintet tune`."),
    ] = None,
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Run a whole recipe: data → features → training → report → predictions. Run again, it redoes only what is stale."""
    from quintet import workflow
    from quintet.commands.terminal.progress import TrainingDisplay, err, out, score_table
    from quintet.pipeline.recipe import find_recipe, load_recipe, override_settings, scale_recipe

    loaded = scale_recipe(load_recipe(find_recipe(recipe), data=data), scale)
    if settings_file is not None:
        loaded = override_settings(loaded, all_settings(settings_file, None, loaded.train.members, err))
    with TrainingDisplay(quiet=quiet) as display:
        hooks = stage_hooks(display, quiet=quiet)
        result = workflow.run(
            loaded, output, hooks=hooks, n_jobs=resolve_cores(jobs), search=find_search(settings_file)
        )
    if not quiet:
        print_ledger(result["summary"], err)
    if result["predictions"] is not None:
        print_predictions(result["predictions"], "table", None)
        out.print()
    print_scores(result["training"], out, score_table)
    print_leak_gate(result["training"].scores.get("leak_gate"), out)
    print_learning_curve(result["training"].scores, out)
    print_published(result["training"].scores, out)
    out.print(f"Report → {result['report'].absolute().as_uri()}", soft_wrap=True)


app.registered_commands += cli_beside.commands.registered_commands
