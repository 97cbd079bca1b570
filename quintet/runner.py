"""A recipe from beginning to end in one folder. Each stage is done again only where what it stands on has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from quintet.classifiers.registry import make_member, require_weights
from quintet.datasets import Manifest, load_source
from quintet.datasets.folder import audio_files
from quintet.ensemble.bundle import BUNDLE, ModelFolder, digest_of
from quintet.ensemble.fusion import RULES
from quintet.errors import ArtefactError, unknown_name
from quintet.experiment import train
from quintet.features.extraction import extract
from quintet.prediction import predict_files
from quintet.recipe import Recipe, require_data


def run_recipe(recipe: Recipe, output: Path, *, hooks: Mapping[str, Any], n_jobs: int = 1) -> dict[str, Any]:
    """Run `recipe` in the folder `output`.

    Args:
        recipe: what to do.
        output: holds `recipe.json`, `features.parquet`, `spectrograms/`, `model/`, `report/` and `predictions.parquet`.
        hooks: `stage(name) -> context manager yielding a progress callable`, `tell(text)`, `listener` for training events.
        n_jobs: worker processes for extraction and augmented copies.

    Returns:
        `summary` of the extraction, `training` result, `report` path, `predictions` (or None).
    """
    stage: Callable[[str], AbstractContextManager[Any]] = hooks.get("stage", lambda name: nullcontext())
    source, parameters = require_data(recipe), recipe.parameters
    check_members(recipe)
    for name in recipe.networks:
        require_weights(make_member(name, **recipe.training.settings.get(name, {})))
    output.mkdir(parents=True, exist_ok=True)
    ModelFolder(output).write_json("recipe.json", recipe.model_dump(mode="json"))
    spectrograms = output / "spectrograms" if recipe.networks else None
    tell: Callable[[str], None] = hooks.get("tell", lambda text: None)
    with stage("listing") as _:
        manifest = load_source(source, group_by=recipe.data.group_by, columns=recipe.data.columns)
        if recipe.data.multilabel:
            manifest = replace(manifest, multilabel=True)
        if recipe.data.limit is not None:
            manifest = limited(manifest, recipe.data.limit)
            tell(f"{len(manifest)} clips: at most {recipe.data.limit} of each label")
    with stage("extracting") as progress:
        summary = extract(manifest, output / "features.parquet", parameters=parameters, spectrograms=spectrograms, n_jobs=n_jobs, progress=progress)
    fresh = f", {summary.n_reused} of them kept from before" if summary.n_reused else ""
    tell(f"{summary.n_ok} clips described{fresh}; {summary.n_failed} could not be used")
    with stage("training") as progress:
        training = train_if_stale(recipe, output, spectrograms, listener=hooks.get("listener"), progress=progress, n_jobs=n_jobs)
    if training.reused:
        tell("the model is up to date")
    with stage("reporting"):
        page = report_if_stale(output)
    predictions = None
    if files := prediction_files(recipe, output):
        with stage("predicting") as progress:
            predictions = predict_files(output / "model", files, n_jobs=n_jobs, progress=progress)
            predictions.frame.to_parquet(output / "predictions.parquet", index=False)
    return {"summary": summary, "training": training, "report": page, "predictions": predictions}


def check_members(recipe: Recipe) -> None:
    """Every member made once, unfitted, so that a setting that it does not have is refused before anything runs; rules by their names.

    Raises:
        ConfigError: for such a setting or rule, with the nearest valid one.
    """
    training = recipe.training
    for rule in training.rules:
        if rule not in RULES:
            raise unknown_name("fusion rule", rule, RULES)
    for name in training.members:
        make_member(name, **training.settings.get(name, {}))


def limited(manifest: Manifest, most: int) -> Manifest:
    """At most `most` clips of each label, taken from its groups in turn; rows that cannot be used are left out."""
    usable = manifest.usable
    turn = usable.groupby(["label", "group"]).cumcount()
    ordered = usable.assign(turn=turn).sort_values(["label", "turn", "group"], kind="stable")
    kept = ordered[ordered.groupby("label").cumcount() < most].index
    return replace(manifest, frame=usable.loc[sorted(kept)].reset_index(drop=True))


def train_if_stale(recipe: Recipe, output: Path, spectrograms: Path | None, **told: Any) -> Any:
    """The finished model if its configuration is this one; the interrupted run taken up; otherwise a new one.

    `told`: `listener`, `progress` and `n_jobs` of `quintet.experiment.train`.
    """
    here = f"{recipe.data.source}, small scale: not to be compared" if recipe.scale == "small" else recipe.data.source
    published = None if recipe.published is None else recipe.published.model_dump(mode="json") | {"source": recipe.source, "data": here}
    options: dict[str, Any] = {"settings": recipe.training, "spectrograms": spectrograms, "published": published, **told}
    features, folder = output / "features.parquet", output / "model"
    try:
        return train(features, folder, resume=True, **options)
    except ArtefactError:
        return train(features, folder, overwrite=True, **options)


def report_if_stale(output: Path) -> Path:
    """The report's page, written anew unless it tells of this very model."""
    from quintet.reports.document import write_report

    stamp, page = output / "report" / ".model", output / "report" / "index.html"
    digest = digest_of(output / "model" / BUNDLE)
    if page.is_file() and stamp.is_file() and stamp.read_text() == digest:
        return page
    page = write_report(output / "model", output / "report")
    stamp.write_text(digest)
    return page


def prediction_files(recipe: Recipe, output: Path) -> list[str]:
    """The files to predict; `held_out` stands for the demo's pieces that nobody heard in training."""
    files: list[str] = []
    for name in recipe.predict.files:
        if name == "held_out":
            from quintet.datasets.synthetic import render_held_out

            files += [str(path) for path in audio_files(render_held_out(output / "held_out").parent)]
        else:
            files.append(name)
    return files
