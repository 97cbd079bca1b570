"""The whole story on one page: extract → train → report → predict.

Each function is one stage; `run` tells them in order, and does again only what is stale. The command line calls these and prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.errors import DatasetError
from quintet.features.parameters import FeatureParameters

if TYPE_CHECKING:
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.ensemble.crossfit import Listener
    from quintet.features.extraction.extract import ExtractionSummary
    from quintet.features.storage.table import FeatureTable
    from quintet.inference.predict import PredictionResult
    from quintet.pipeline.recipe import Recipe
    from quintet.training.settings import TrainSettings
    from quintet.training.spectrograms import ProgressListener
    from quintet.training.train import TrainingResult
    from quintet.tuning.tune import TuningResult


def extract(
    source: str | Path | Manifest,
    output: str | Path,
    *,
    parameters: FeatureParameters | None = None,
    **options: Any,
) -> ExtractionSummary:
    """Features of every clip of a source, as one parquet table; bad clips become rows of its ledger.

    Args:
        source: folder with a sub-folder per class, manifest (.csv/.parquet), name of a built-in dataset, or a `Manifest`.
        output: the parquet file to write, also at a URL (`s3://…`). What it already holds and is not stale is kept.
        parameters: default: the set `full`.
        options: `spectrograms`, `n_jobs`, `progress`, `max_failures`, `timeout_s`, … of `quintet.features.extraction.extract.extract`.
    """
    from quintet.features.extraction.extract import extract as extract_clips

    manifest = source if isinstance(source, Manifest) else load_source(source)
    return extract_clips(manifest, output, parameters=parameters or FeatureParameters(), **options)


def write_published(table: str | Path, output: str | Path) -> None:
    """A feature table under its paper's own column names, for programs that expect those: `.csv` or `.parquet`."""
    from quintet.features.columns import published_names
    from quintet.features.storage.table import read_feature_table

    made = read_feature_table(table)
    if made.parameters is None:
        raise DatasetError(f"Published names are known for tables that quintet made. {table} was not.")
    frame = made.frame.rename(columns=published_names(made.parameters.feature_set))
    if Path(output).suffix.lower() == ".csv":
        frame.to_csv(output, index=False)
    else:
        frame.to_parquet(output, index=False)


def train(
    features: str | Path | FeatureTable,
    output: str | Path,
    *,
    settings: TrainSettings | None = None,
    spectrograms: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    published: Mapping[str, object] | None = None,
    search: str | Path | None = None,
    listener: Listener | None = None,
    progress: ProgressListener | None = None,
    n_jobs: int = 1,
) -> TrainingResult:
    """Train members and their fusion on a feature table, and score them on a split that keeps groups together.

    Args:
        features: a feature table (file or `FeatureTable`).
        output: the model folder to make.
        settings: members, rules, split and seed. Default: `TrainSettings()`.
        spectrograms: the store that `extract --spectrograms` wrote. If a network takes part and none is given, the
            store beside the table is used, and made if it does not exist.
        resume: continue an interrupted run of the same configuration.
        overwrite: replace an existing model folder.
        published: scores that a paper reports (`protocol`, `scores`, `source`), stored beside the scores of the run.
        search: the folder of the search that found the settings (`quintet tune`); its history is copied for the
            report.
        listener: receives training events.
        progress: receives the progress of spectrograms and augmented copies.
        n_jobs: number of worker processes for spectrograms and copies.

    Raises:
        ConfigError, DatasetError, SplitLeakError, AlignmentError, ArtefactError: before any training starts.
    """
    from quintet.training.train import TrainOptions
    from quintet.training.train import train as train_model

    options = TrainOptions(spectrograms, resume, overwrite, published, search)
    return train_model(
        features,
        output,
        settings=settings,
        options=options,
        listener=listener,
        progress=progress,
        n_jobs=n_jobs,
    )


def report(model: str | Path, output: str | Path, **options: Any) -> Path:
    """One self-contained HTML page about a trained model, and its numbers beside it. Returns the page's path."""
    from quintet.reports.run_page import write_report

    return write_report(Path(model), Path(output), **options)


def predict(
    model: str | Path | EnsembleClassifier, files: Sequence[str | Path], **options: Any
) -> PredictionResult:
    """Class probabilities of audio files (paths, folders, globs) from the fused ensemble.

    Takes the options of `quintet.inference.predict.predict_files`: `segment_s`, `n_jobs`, `progress`.
    """
    from quintet.inference.predict import predict_files

    return predict_files(model, files, **options)


def explain(model: str | Path, file: str | Path, output: str | Path, **options: Any) -> Path:
    """One page about one track: why it got its verdict, when, and where in the spectrum. Returns the page's path."""
    from quintet.pipeline.explain_track import explain as explain_track

    return explain_track(model, file, output, **options)


def tune(subject: str | Path | FeatureTable | Recipe, output: str | Path, **options: Any) -> TuningResult:
    """Settings of every member, searched on the grouped folds of the training part.

    Of a feature table, with the options of `quintet.tuning.tune.tune`; or of a recipe, with those of `quintet.pipeline.runner.tune_recipe`.
    """
    from quintet.pipeline.recipe import Recipe

    if isinstance(subject, Recipe):
        from quintet.pipeline.runner import tune_recipe

        return tune_recipe(subject, Path(output), **{"hooks": {}, **options})
    from quintet.tuning.tune import tune as search

    return search(subject, output, **options)


def run(
    recipe: Recipe,
    output: str | Path,
    *,
    hooks: Mapping[str, Any] | None = None,
    n_jobs: int = 1,
    search: str | Path | None = None,
) -> dict[str, Any]:
    """A whole recipe in one folder: features → model → report → predictions. Only what is stale is done again.

    Args:
        recipe: from `quintet.pipeline.recipe.load_recipe`.
        output: the run's folder.
        hooks: `progress(stage)` context managers and a `listener`, from the command line.
        search: the folder of the search that found the recipe's settings; its history is told in the report.
    """
    from quintet.pipeline.runner import run_recipe

    return run_recipe(
        recipe,
        Path(output),
        hooks=hooks or {},
        n_jobs=n_jobs,
        search=None if search is None else Path(search),
    )
