"""A recipe from beginning to end in one folder. Each stage is done again only where what it stands on has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from quintet.datasets.folder import audio_files
from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.errors import ArtefactError, unknown_name
from quintet.features.extraction.extract import ExtractionSummary, extract
from quintet.files.digests import file_digest
from quintet.inference.predict import predict_files
from quintet.model_folder.folder import BUNDLE, ModelFolder
from quintet.pipeline.preflight import HELD_OUT, check_members, check_recipe
from quintet.pipeline.recipe import Recipe, override_settings, require_data
from quintet.settings import parse_settings
from quintet.training.data import make_training_split
from quintet.training.train import TrainingResult, TrainOptions, train
from quintet.tuning.tune import TuneSettings, TuningResult, check_search, tune


def run_recipe(
    recipe: Recipe, output: Path, *, hooks: Mapping[str, Any], n_jobs: int = 1, search: Path | None = None
) -> dict[str, Any]:
    """Run `recipe` in the folder `output`.

    Args:
        recipe: what to do.
        output: holds `recipe.json`, `features.parquet`, `spectrograms/`, `model/`, `report/` and `predictions.parquet`.
        hooks: `stage(name) -> context manager yielding a progress callable`, `tell(text)`, `listener` for training events.
        n_jobs: worker processes for extraction and augmented copies.
        search: the folder of the search that found the settings, for the report.

    Returns:
        `summary` of the extraction, `training` result, `report` path, `predictions` (or None).
    """
    require_data(recipe)
    check_members(recipe)
    if not ModelFolder(output / "model").is_finished:
        check_recipe(recipe)
    spectrograms = output / "spectrograms" if recipe.networks else None
    summary = describe_clips(recipe, output, spectrograms, hooks=hooks, n_jobs=n_jobs)
    stage = _stages(hooks)
    with stage("training") as progress:
        told: dict[str, Any] = {"listener": hooks.get("listener"), "progress": progress, "n_jobs": n_jobs}
        training = train_if_stale(recipe, output, spectrograms, search=search, **told)
    if training.reused:
        _teller(hooks)("the model is up to date")
    with stage("reporting"):
        page = report_if_stale(output)
    predictions = None
    if files := prediction_files(recipe, output):
        with stage("predicting") as progress:
            predictions = predict_files(output / "model", files, n_jobs=n_jobs, progress=progress)
            predictions.frame.to_parquet(output / "predictions.parquet", index=False)
    return {"summary": summary, "training": training, "report": page, "predictions": predictions}


def tune_recipe(
    recipe: Recipe,
    output: Path,
    *,
    hooks: Mapping[str, Any],
    members: Sequence[str] | None = None,
    held: Mapping[str, dict[str, Any]] | None = None,
    options: Mapping[str, Any] | None = None,
    n_jobs: int = 1,
    **search: Any,
) -> TuningResult:
    """Search the settings of a recipe's members, on the folds that its run would make, beginning with what the recipe says.

    Args:
        recipe: what is to be run.
        output: may be the folder of the run: the search lies in `tuning/` below it, and the clips are described once for both.
        hooks: as in `run_recipe`, and `on_trial`. members: some of the recipe's; default all. held: member → settings that are not searched.
        options: `metric` and `pruning` of `TuneSettings`. search: `n_trials`, `timeout_s` and `overwrite` of `quintet.tuning.tune.tune`.

    Raises:
        ConfigError: before anything runs, for what cannot be searched.
    """
    require_data(recipe)
    training, chosen = recipe.training, tuple(recipe.train.members if members is None else members)
    for name in chosen:
        if name not in recipe.train.members:
            raise unknown_name(f"member of the recipe '{recipe.name}'", name, recipe.train.members)
    content: dict[str, Any] = {
        **(options or {}),
        "members": chosen,
        "settings": dict(held or {}),
        "base": {name: training.settings.get(name, {}) for name in chosen},
        "decided": ()
        if recipe.segments is None
        else tuple(recipe.segments.frames(recipe.parameters.log_mel)),
        **training.model_dump(
            include={"augmentation", "protocol", "test_size", "folds", "seed", "resamples"}
        ),
    }
    settings = parse_settings(TuneSettings, content, where="quintet tune")
    if not (output / "tuning").exists():
        first = override_settings(recipe, held or {})
        check_recipe(first.model_copy(update={"train": first.train.model_copy(update={"members": chosen})}))
    check_search(settings, search.get("n_trials", 1))
    spectrograms = output / "spectrograms" if set(chosen) & set(recipe.networks) else None
    describe_clips(recipe, output, spectrograms, hooks=hooks, n_jobs=n_jobs)
    with _stages(hooks)("searching") as progress:
        told: dict[str, Any] = {
            "listener": hooks.get("listener"),
            "on_trial": hooks.get("on_trial"),
            "progress": progress,
            "n_jobs": n_jobs,
        }
        return tune(
            output / "features.parquet",
            output / "tuning",
            settings=settings,
            spectrograms=spectrograms,
            **told,
            **search,
        )


def describe_clips(
    recipe: Recipe, output: Path, spectrograms: Path | None, *, hooks: Mapping[str, Any], n_jobs: int
) -> ExtractionSummary:
    """The recipe's clips, listed and described in `features.parquet` of the folder `output`; what is there already is kept."""
    source, parameters = require_data(recipe), recipe.parameters
    stage, tell = _stages(hooks), _teller(hooks)
    with stage("listing") as _:
        manifest = load_source(source, group_by=recipe.data.group_by, columns=recipe.data.columns)
        if recipe.data.multilabel:
            manifest = replace(manifest, multilabel=True)
        if recipe.data.limit is not None:
            manifest = limit_clips(manifest, recipe.data.limit)
            tell(f"{len(manifest)} clips: at most {recipe.data.limit} of each label")
        if len(manifest.usable):
            make_training_split(
                manifest.usable.set_index("id"), recipe.train, grouped=manifest.grouped
            )  # what cannot be divided is refused here
    output.mkdir(parents=True, exist_ok=True)
    ModelFolder(output).write_json("recipe.json", recipe.model_dump(mode="json"))
    with stage("extracting") as progress:
        summary = extract(
            manifest,
            output / "features.parquet",
            parameters=parameters,
            spectrograms=spectrograms,
            n_jobs=n_jobs,
            progress=progress,
        )
    fresh = f", {summary.n_reused} of them kept from before" if summary.n_reused else ""
    tell(f"{summary.n_ok} clips described{fresh}; {summary.n_failed} could not be used")
    return summary


def _stages(hooks: Mapping[str, Any]) -> Callable[[str], AbstractContextManager[Any]]:
    stage: Callable[[str], AbstractContextManager[Any]] = hooks.get("stage", lambda name: nullcontext())
    return stage


def _teller(hooks: Mapping[str, Any]) -> Callable[[str], None]:
    tell: Callable[[str], None] = hooks.get("tell", lambda text: None)
    return tell


def limit_clips(manifest: Manifest, most: int) -> Manifest:
    """At most `most` clips of each label, taken from its groups in turn; rows that cannot be used are left out."""
    usable = manifest.usable
    turn = usable.groupby(["label", "group"]).cumcount()
    ordered = usable.assign(turn=turn).sort_values(["label", "turn", "group"], kind="stable")
    kept = ordered[ordered.groupby("label").cumcount() < most].index
    return replace(manifest, frame=usable.loc[sorted(kept)].reset_index(drop=True))


def train_if_stale(
    recipe: Recipe, output: Path, spectrograms: Path | None, *, search: Path | None = None, **told: Any
) -> TrainingResult:
    """The finished model if its configuration is this one; the interrupted run taken up; otherwise a new one.

    `told`: `listener`, `progress` and `n_jobs` of `quintet.training.train.train`.
    """
    here = (
        f"{recipe.data.source}, small scale: not to be compared"
        if recipe.scale == "small"
        else recipe.data.source
    )
    published = (
        None
        if recipe.published is None
        else recipe.published.model_dump(mode="json") | {"source": recipe.source, "data": here}
    )
    options = TrainOptions(spectrograms, resume=True, published=published, search=search)
    features, folder = output / "features.parquet", output / "model"
    try:
        return train(features, folder, settings=recipe.training, options=options, **told)
    except ArtefactError:
        options = replace(options, resume=False, overwrite=True)
        return train(features, folder, settings=recipe.training, options=options, **told)


def report_if_stale(output: Path) -> Path:
    """The report's page, written anew unless it tells of this very model."""
    from quintet.reports.run_page import write_report

    stamp, page = output / "report" / ".model", output / "report" / "index.html"
    digest = file_digest(output / "model" / BUNDLE)
    if page.is_file() and stamp.is_file() and stamp.read_text() == digest:
        return page
    page = write_report(output / "model", output / "report")
    stamp.write_text(digest)
    return page


def prediction_files(recipe: Recipe, output: Path) -> list[str]:
    """The files to predict; `held_out` stands for the demo's pieces that nobody heard in training."""
    files: list[str] = []
    for name in recipe.predict.files:
        if name == HELD_OUT:
            from quintet.datasets.demo.corpus import render_held_out

            files += [str(path) for path in audio_files(render_held_out(output / "held_out").parent)]
        else:
            files.append(name)
    return files
