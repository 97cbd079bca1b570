"""The workflow on one page: extract → train → report → predict. Each function is one stage.

`run` calls all stages of a recipe and repeats only those whose inputs have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.errors import ConfigError
from quintet.features.parameters import FeatureParameters
from quintet.files.internet.remote import is_remote
from quintet.files.paths import name_list, path_list, require_path
from quintet.settings import given_settings

if TYPE_CHECKING:
    from quintet.embeddings.front_end import Windows
    from quintet.embeddings.tagging import TagChoice, TagProgress, TagResult
    from quintet.ensemble.classifier import EnsembleClassifier
    from quintet.ensemble.crossfit import Listener
    from quintet.features.extraction.chunks import ProgressCallback
    from quintet.features.extraction.extract import ExtractionSummary
    from quintet.features.storage.join import Joined
    from quintet.features.storage.table import FeatureTable
    from quintet.inference.clips import Recording
    from quintet.inference.predict import PredictionResult
    from quintet.pipeline.recipe import Recipe
    from quintet.pipeline.recipe_search import RecipeSearch
    from quintet.pipeline.reporter import Reporter
    from quintet.pipeline.runner import RunResult
    from quintet.reports.run_page import StepCallback
    from quintet.training.result import TrainingResult
    from quintet.training.settings import TrainSettings
    from quintet.tuning.search_settings import SearchBudget, TuneSettings
    from quintet.tuning.tune import SearchObserver, TuningResult

DEFAULT_TAGGERS = ("musicnn_msd", "musicnn_mtt")
"""Networks that `tag` uses by default."""


def extract(
    source: str | Path | Manifest,
    output: str | Path,
    *,
    parameters: FeatureParameters | None = None,
    spectrograms: str | Path | None = None,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
    max_failures: int | float | None = None,
    timeout_s: float | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    strict: bool = False,
    embeddings: str | Iterable[str] = (),
    windows: Windows | None = None,
) -> ExtractionSummary:
    """Extract features of all clips of a source to one parquet table.

    Clips that fail get a row with the reason.

    Args:
        source: folder with a sub-folder per class, manifest (.csv or .parquet), name of a built-in dataset,
            or a `Manifest`.
        output: parquet file to write, also at a URL (`s3://…`). Rows in it that are still valid are reused.
        parameters: features and their parameters. Default: the set `selected`.
        spectrograms: folder for log-mel spectrograms. Default: none are stored.
        n_jobs: worker processes; -1 uses one per core, 0 works in this process.
        progress: called with the progress of the extraction.
        max_failures: more failed clips than this stop the run: a number (int), or a share of all clips (float
            between 0 and 1).
        timeout_s: longest time for one clip, seconds.
        scheduler: address of a dask cluster (`tcp://host:8786`). `n_jobs` is then ignored.
        retry_failed: whether to try clips again that failed in an earlier run.
        strict: whether a recording that is cut short counts as failed. Default: it is described and marked.
        embeddings: names of pretrained networks whose columns are added (`quintet weights list`).
        windows: windows of a clip that the networks read, spread evenly over it, or `"all"`. Default: 10.

    Raises:
        QuintetError: for a source that is no path or cannot be listed, or too many failures.
    """
    from quintet.embeddings.columns.networks import find_embedder, with_embeddings
    from quintet.features.extraction.extract import Options
    from quintet.features.extraction.extract import extract as extract_clips
    from quintet.features.extraction.worker import Job

    if not isinstance(source, Manifest):
        source = load_source(source)
    if spectrograms is not None and is_remote(spectrograms):
        raise ConfigError(
            "A spectrogram store is mapped into memory and must be a local folder. "
            f"Received {spectrograms}: write it here and copy it."
        )
    store = None if spectrograms is None else Path(spectrograms)
    chosen = given_settings(FeatureParameters, parameters, "parameters")
    names = name_list(embeddings)
    if names or windows is not None:
        chosen = with_embeddings(chosen, names, windows)
    job = Job(chosen, log_mel=store is not None, strict=strict, embedder=find_embedder(chosen))
    options = Options(job, store, n_jobs, progress, max_failures, timeout_s, scheduler, retry_failed)
    return extract_clips(source, require_path(output, "`output`"), options)


def tag(
    files: str | Path | Iterable[str | Path],
    networks: str | Iterable[str] | None = None,
    *,
    choice: TagChoice | None = None,
    progress: Callable[[TagProgress], object] | None = None,
) -> TagResult:
    """Tags of audio files by pretrained networks, without training.

    Args:
        files: audio files, folders, globs.
        networks: names of networks in the library (`quintet weights list`). Default: `musicnn_msd` and
            `musicnn_mtt`.
        choice: number of tags, smallest activation, windows. Default: the ten strongest tags per network.
        progress: called after each file.

    Returns:
        `frame` with one row per file, network and tag, and the files that could not be read.

    Raises:
        ConfigError: the library has no such network, or a network has no tags.
        DatasetError: there is no file.
    """
    from quintet.embeddings.library import open_network
    from quintet.embeddings.tagging import tag_files
    from quintet.inference.inputs import expand_files

    names = [networks] if isinstance(networks, str) else list(networks or DEFAULT_TAGGERS)
    opened = [open_network(name) for name in names]
    found = expand_files(path_list(files))
    result = tag_files(found.files, opened, choice, progress=progress)
    return replace(result, notes=found.notes)


def train(
    features: str | Path | FeatureTable,
    output: str | Path,
    *,
    settings: TrainSettings | None = None,
    spectrograms: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
    progress: ProgressCallback | None = None,
    n_jobs: int = 1,
    published: Mapping[str, object] | None = None,
    search: str | Path | None = None,
    members: str | Iterable[str] | None = None,
    join: Joined = (),
    scheduler: str | None = None,
) -> TrainingResult:
    """Train the members and their ensemble, and score them on a split that keeps groups together.

    Args:
        features: a feature table (file or `FeatureTable`).
        output: model folder to make.
        settings: members, rules, split and seed. Default: `TrainSettings()`.
        spectrograms: spectrogram store for networks. Default: the store next to the table, which is made if
            it is missing.
        resume: continue an interrupted run of the same configuration.
        overwrite: replace an existing model folder.
        listener: called with each training event.
        progress: called with the progress of spectrograms and augmented copies.
        n_jobs: worker processes for the fits of members that read tables, for spectrograms and augmented
            copies. It changes no number of the result.
        published: published scores (`protocol`, `scores`, `source`), stored next to ours.
        search: folder of the search that found the settings, for the report.
        members: one member or several, as a short form of `TrainSettings(members=…)`.
        join: tables with further columns by id, such as an embedding that was made elsewhere: one CSV or
            parquet file or several, or name → file. The name is the stem of the file by default.
        scheduler: address of a dask cluster (`tcp://host:8786`) for the fits of members that read tables.

    Raises:
        QuintetError: before anything is trained, for data or settings that cannot be used.
    """
    from quintet.features.storage.table import FeatureTable
    from quintet.training.settings import TrainSettings
    from quintet.training.train import TrainOptions
    from quintet.training.train import train as train_model

    if members is not None:
        if settings is not None:
            raise ConfigError("Members must be given in one place. Received `members` and `settings`.")
        settings = TrainSettings(members=name_list(members))
    if not isinstance(features, FeatureTable):
        features = require_path(features, "`features`")
    if join:
        from quintet.features.storage.join import join_tables
        from quintet.features.storage.read import read_feature_table

        table = features if isinstance(features, FeatureTable) else read_feature_table(features)
        if spectrograms is None and table.parameters is not None and not isinstance(features, FeatureTable):
            spectrograms = Path(features).with_suffix(".spectrograms")
        features = join_tables(table, join)
    return train_model(
        features,
        output,
        settings=settings,
        options=TrainOptions(spectrograms, resume, overwrite, published, search),
        listener=listener,
        progress=progress,
        n_jobs=n_jobs,
        scheduler=scheduler,
    )


def report(
    model: str | Path,
    output: str | Path,
    *,
    title: str | None = None,
    umap: bool = False,
    full: bool = False,
    progress: StepCallback | None = None,
) -> Path:
    """Write one self-contained HTML page about a trained model, and its numbers as files.

    Args:
        model: model folder made by `train`.
        output: folder for the page. An older report in it is replaced.
        title: title of the page. Default: from the name of the model folder.
        umap: whether to draw UMAP maps too (needs the extra `umap`).
        full: whether to write the long form: nothing is folded, and members that hardly decide are explained.
        progress: called with each step before it begins, and once at the end.

    Returns:
        The path of the page.

    Raises:
        ArtefactError: if the model is not finished, or `output` holds other files.
        MissingExtraError: if UMAP is wanted and not installed.
    """
    from quintet.reports.run_page import write_report

    return write_report(
        require_path(model, "`model`"), output, title=title, umap=umap, full=full, progress=progress
    )


def predict(
    model: str | Path | EnsembleClassifier,
    files: Recording | Iterable[Recording],
    *,
    segment_s: float | None = None,
    confidence: float | None = None,
    promise: str = "recall",
    strict: bool = False,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> PredictionResult:
    """Class probabilities of audio files from the ensemble.

    Args:
        model: model folder, or the result of `load_model`.
        files: one audio file, folder, glob or `Clip`, or several.
        segment_s: length of the segments into which long files are cut, seconds. Default: the typical length
            of the training clips. 0 cuts no file.
        confidence: probability with which the prediction set must contain the true class; for label sets,
            the promised recall or precision. Default: no sets.
        promise: for label sets: `recall` or `precision`.
        strict: whether a file that is cut short counts as failed. Default: it is predicted and marked.
        n_jobs: worker processes.
        progress: called with the progress of the extraction.

    Raises:
        ArtefactError: if the model is damaged, or was trained on features that this version does not make.
        ConfigError: if something else than paths and clips is given, for example an array of samples.
        DatasetError: if there is no file.
    """
    from quintet.inference.predict import predict_files

    return predict_files(
        model,
        files,
        segment_s=segment_s,
        confidence=confidence,
        promise=promise,
        strict=strict,
        n_jobs=n_jobs,
        progress=progress,
    )


def explain(
    model: str | Path,
    file: str | Path,
    output: str | Path,
    *,
    segment_s: float | None = None,
    n_jobs: int = 1,
    full: bool = False,
    progress: ProgressCallback | None = None,
) -> Path:
    """Write one HTML page that explains the prediction for one track.

    Args:
        model: model folder made by `train`.
        file: one audio file.
        output: folder for the page. An older page in it is replaced.
        segment_s: length of the segments into which a long file is cut, seconds, as in `predict`.
        n_jobs: worker processes.
        full: whether to explain members with a small weight by themselves, too.
        progress: called with the progress of the extraction.

    Returns:
        The path of the page.

    Raises:
        AudioError: if the file cannot be read or described.
        ArtefactError: if the model cannot be used, or `output` holds other files.
        ConfigError: if `file` is a folder, or is no path.
    """
    from quintet.pipeline.explain_track import explain as explain_track

    return explain_track(
        model,
        require_path(file, "`file`"),
        output,
        segment_s=segment_s,
        n_jobs=n_jobs,
        full=full,
        progress=progress,
    )


def tune(
    table: str | Path | FeatureTable,
    output: str | Path,
    *,
    settings: TuneSettings | None = None,
    spectrograms: str | Path | None = None,
    budget: SearchBudget | None = None,
    overwrite: bool = False,
    observer: SearchObserver | None = None,
    n_jobs: int = 1,
) -> TuningResult:
    """Search the settings of each member on the grouped folds of the training part of a feature table.

    Args:
        table: a feature table (file or `FeatureTable`).
        output: folder for the search. The same call continues an interrupted search.
        settings: members, metric, split and seed. Default: `TuneSettings()`.
        spectrograms: spectrogram store for networks, as in `train`.
        budget: number of trials, and time. Default: `SearchBudget()`.
        overwrite: replace a search of another configuration, which stays until the new one is whole.
        observer: receives fits, trials and progress.
        n_jobs: worker processes for spectrograms and augmented copies.

    Raises:
        QuintetError: before anything is fitted, for a search that cannot work.
    """
    from quintet.tuning.tune import tune as tune_members

    return tune_members(
        table,
        output,
        settings=settings,
        spectrograms=spectrograms,
        budget=budget,
        overwrite=overwrite,
        observer=observer,
        n_jobs=n_jobs,
    )


def tune_recipe(
    recipe: Recipe,
    output: str | Path,
    *,
    search: RecipeSearch | None = None,
    budget: SearchBudget | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    n_jobs: int = 1,
) -> TuningResult:
    """Search the settings of a recipe's members, on the folds of its run.

    Args:
        recipe: from `load_recipe`.
        output: folder, for example that of the run. The search is in `tuning/` below it.
        search: members, fixed settings and metric. Default: `RecipeSearch()`.
        budget: number of trials, and time. Default: `SearchBudget()`.
        overwrite: replace a search of another configuration, which stays until the new one is whole.
        reporter: receives stages, notes, training events and trials.
        n_jobs: worker processes for extraction and augmented copies.

    Raises:
        QuintetError: before anything is fitted, for a search that cannot work.
    """
    from quintet.pipeline.recipe_search import tune_recipe as tune_members

    return tune_members(
        recipe,
        Path(output),
        search=search,
        budget=budget,
        overwrite=overwrite,
        reporter=reporter,
        n_jobs=n_jobs,
    )


def run(
    recipe: Recipe | str | Path,
    output: str | Path,
    *,
    reporter: Reporter | None = None,
    hooks: Mapping[str, object] | None = None,
    n_jobs: int = 1,
    search: str | Path | None = None,
) -> RunResult:
    """Run a whole recipe in one folder: features → model → report → predictions.

    A stage is repeated only if its inputs have changed.

    Args:
        recipe: from `load_recipe`; or a TOML file, or the name of a recipe that comes with quintet.
        output: folder of the run.
        reporter: receives stages, notes and training events.
        hooks: older form of `reporter`: functions called `stage`, `tell` and `listener`.
        n_jobs: worker processes for extraction and augmented copies.
        search: folder of the search that found the settings of the recipe, for the report.

    Returns:
        `summary` of the extraction, `training` result, path of the `report`, and `predictions` or None.

    Raises:
        QuintetError: for data or settings that cannot be used.
    """
    from quintet.pipeline.recipe import Recipe, find_recipe, load_recipe
    from quintet.pipeline.reporter import HookReporter
    from quintet.pipeline.runner import run_recipe

    if not isinstance(recipe, Recipe):
        recipe = load_recipe(find_recipe(require_path(recipe, "`recipe`")))
    if reporter is None and hooks:
        reporter = HookReporter(hooks)
    search_folder = None if search is None else Path(search)
    return run_recipe(recipe, Path(output), reporter=reporter, n_jobs=n_jobs, search=search_folder)
