"""Run of a whole recipe in one folder. A stage is repeated only if its inputs have changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from quintet.datasets.folder import audio_files
from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.embeddings.columns.networks import find_embedder
from quintet.ensemble.crossfit import Listener
from quintet.errors import ArtefactError
from quintet.export.bundle import DESCRIPTION
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.extraction.extract import ExtractionSummary, Options, extract
from quintet.features.extraction.worker import Job
from quintet.files.atomic import write_text
from quintet.files.digests import file_digest
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock
from quintet.inference.predict import PredictionResult, predict_files
from quintet.library.facts import FACTS_FILE
from quintet.model_folder.folder import BUNDLE, ModelFolder
from quintet.pipeline.preflight import HELD_OUT, check_members, check_recipe, described_parameters
from quintet.pipeline.recipe import Recipe, require_data
from quintet.pipeline.reporter import NullReporter, Reporter
from quintet.training.data import find_protocol, make_training_split
from quintet.training.result import TrainingResult
from quintet.training.train import TrainOptions, train

FOREIGN_MARKS = (BUNDLE, "config.json", DESCRIPTION, FACTS_FILE, "index.html")
"""Files at the top of the output of another command: a model, a search, an export, a library, a page."""


class RunResult(TypedDict):
    """Results of the stages of a run.

    Args:
        summary: counts and failures of the extraction.
        training: model folder and scores.
        report: path of the page.
        predictions: predictions of the recipe's files; None if the recipe names no files.
    """

    summary: ExtractionSummary
    training: TrainingResult
    report: Path
    predictions: PredictionResult | None


def run_recipe(
    recipe: Recipe,
    output: Path,
    *,
    reporter: Reporter | None = None,
    n_jobs: int = 1,
    search: Path | None = None,
) -> RunResult:
    """Run all stages of a recipe.

    Args:
        recipe: the stages and their settings.
        output: folder of the run. It receives `recipe.json`, `features.parquet`, `spectrograms/`, `model/`,
            `report/` and `predictions.parquet`.
        reporter: receives stages, notes and training events. Default: none.
        n_jobs: worker processes for extraction and augmented copies.
        search: folder of the search that found the settings, for the report.

    Returns:
        The results of the stages.

    Raises:
        ConfigError: before anything runs, for a recipe without data or with a setting that cannot work.
        ArtefactError: before anything runs, for pretrained weights that cannot be had, or if the folder is
            the output of another command.
    """
    reporter = reporter or NullReporter()
    require_data(recipe)
    check_members(recipe)
    if not ModelFolder(output / "model").is_finished:
        check_recipe(recipe)

    with output_lock(output):
        return _run_stages(recipe, output, reporter, search, n_jobs=n_jobs)


def _require_own_folder(output: Path) -> None:
    """Refuse a folder that is the output of another command: two outputs would mix in it."""
    marks = [name for name in FOREIGN_MARKS if (output / name).exists()]
    if marks:
        raise ArtefactError(
            f"A run needs a folder of its own. '{output}' holds {marks[0]}, which another command wrote. "
            "Name another folder."
        )


def _run_stages(
    recipe: Recipe, output: Path, reporter: Reporter, search: Path | None, *, n_jobs: int
) -> RunResult:
    """Run all stages in a folder whose lock the caller holds."""
    spectrograms = output / "spectrograms" if recipe.networks else None
    summary = describe_clips(recipe, output, spectrograms, reporter=reporter, n_jobs=n_jobs)
    with reporter.stage("training") as progress:
        training = train_if_stale(
            recipe,
            output,
            spectrograms,
            search=search,
            listener=reporter.event,
            progress=progress,
            n_jobs=n_jobs,
        )
    if training.reused:
        reporter.notify("the model is up to date")
    with reporter.stage("reporting"):
        page = report_if_stale(output)
    predictions = None
    files = prediction_files(recipe, output)
    if files:
        with reporter.stage("predicting") as progress:
            predictions = predict_files(output / "model", files, n_jobs=n_jobs, progress=progress)
            ModelFolder(output).write_frame("predictions.parquet", predictions.frame)
    return {"summary": summary, "training": training, "report": page, "predictions": predictions}


def describe_clips(
    recipe: Recipe, output: Path, spectrograms: Path | None, *, reporter: Reporter, n_jobs: int
) -> ExtractionSummary:
    """List the clips of a recipe and extract their features.

    Args:
        recipe: its data and its features.
        output: folder of the run. `features.parquet` in it keeps the rows that are still valid.
        spectrograms: folder of the spectrogram store to fill too, or None.
        reporter: receives the stages `listing` and `extracting`.
        n_jobs: worker processes.

    Raises:
        QuintetError: if the folder is the output of another command, or if the clips cannot be listed, or
            cannot be split as the recipe wants.
    """
    _require_own_folder(output)
    with reporter.stage("listing"):
        manifest = list_clips(recipe)
        if recipe.data.limit is not None:
            reporter.notify(f"{len(manifest)} clips: at most {recipe.data.limit} of each label")
        usable = manifest.usable
        if len(usable):  # clips that cannot be split are refused before their features are extracted
            protocol = find_protocol(usable, recipe.train, grouped=manifest.grouped)
            make_training_split(usable.set_index("id"), recipe.train, protocol, grouped=manifest.grouped)
    output.mkdir(parents=True, exist_ok=True)
    ModelFolder(output).write_json("recipe.json", recipe.model_dump(mode="json"))
    with reporter.stage("extracting") as progress:
        parameters = described_parameters(recipe)
        job = Job(parameters, log_mel=spectrograms is not None, embedder=find_embedder(parameters))
        options = Options(job, spectrograms, n_jobs, progress)
        summary = extract(manifest, output / "features.parquet", options)
    reused = f", {summary.n_reused} of them from an earlier run" if summary.n_reused else ""
    reporter.notify(f"{summary.n_ok} clips described{reused}; {summary.n_failed} could not be used")
    return summary


def list_clips(recipe: Recipe) -> Manifest:
    """Clips of the recipe's source, at most `recipe.data.limit` of each label."""
    data = recipe.data
    manifest = load_source(
        require_data(recipe),
        group_by=data.group_by,
        columns=data.columns,
        root=data.root,
        ignore_columns=data.ignore_columns,
    )
    if data.multilabel:
        manifest = replace(manifest, multilabel=True)
    if data.limit is not None:
        manifest = limit_clips(manifest, data.limit)
    return manifest


def limit_clips(manifest: Manifest, most: int) -> Manifest:
    """At most `most` clips of each label, taken from the groups of the label in turn.

    Rows that cannot be used are left out.
    """
    usable = manifest.usable
    turn = usable.groupby(["label", "group"]).cumcount()
    ordered = usable.assign(turn=turn).sort_values(["label", "turn", "group"], kind="stable")
    rank = ordered.groupby("label").cumcount()
    rows = ordered[rank < most].index
    return replace(manifest, frame=usable.loc[sorted(rows)].reset_index(drop=True))


def train_if_stale(
    recipe: Recipe,
    output: Path,
    spectrograms: Path | None,
    *,
    search: Path | None = None,
    listener: Listener | None = None,
    progress: ProgressCallback | None = None,
    n_jobs: int = 1,
) -> TrainingResult:
    """Train the model of a recipe, or reuse it if its configuration is the same.

    An interrupted training of the same configuration is resumed.

    Args:
        recipe: members and their settings.
        output: folder of the run, with `features.parquet`. The model is in `model/`.
        spectrograms: spectrogram store for networks, or None.
        search: folder of the search that found the settings, for the report.
        listener: receives the training events.
        progress: receives the progress of spectrograms and augmented copies.
        n_jobs: worker processes.
    """

    def train_model(options: TrainOptions) -> TrainingResult:
        return train(
            output / "features.parquet",
            output / "model",
            settings=recipe.training,
            options=options,
            listener=listener,
            progress=progress,
            n_jobs=n_jobs,
        )

    published = published_scores(recipe)
    options = TrainOptions(spectrograms, resume=True, published=published, search=search)
    try:
        return train_model(options)
    except ArtefactError:
        return train_model(replace(options, resume=False, overwrite=True))


def published_scores(recipe: Recipe) -> JsonObject | None:
    """Published scores with the paper and the data of this run; None if the recipe has none."""
    if recipe.published is None:
        return None
    data = recipe.data.source
    if recipe.scale == "small":
        data = f"{data}, small scale: not to be compared"
    return recipe.published.model_dump(mode="json") | {"source": recipe.source, "data": data}


def report_if_stale(output: Path) -> Path:
    """Path of the report's page. The page is written only if it does not belong to the present model."""
    from quintet.reports.run_page import write_report

    stamp, page = output / "report" / ".model", output / "report" / "index.html"
    digest = file_digest(output / "model" / BUNDLE)
    if page.is_file() and stamp.is_file() and stamp.read_text() == digest:
        return page
    page = write_report(output / "model", output / "report")
    write_text(stamp, digest)
    return page


def prediction_files(recipe: Recipe, output: Path) -> list[str]:
    """Files to predict. `held_out` stands for the pieces of the demo corpus outside the training data."""
    files: list[str] = []
    for name in recipe.predict.files:
        if name == HELD_OUT:
            from quintet.datasets.demo.corpus import render_held_out

            files += [str(path) for path in audio_files(render_held_out(output / "held_out").parent)]
        else:
            files.append(name)
    return files
