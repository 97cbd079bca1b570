"""A recipe from beginning to end in one folder. Each stage is done again only where what it stands on has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from quintet.classifiers.registry import model as member_entry
from quintet.datasets import load_source
from quintet.datasets.folder import audio_files
from quintet.ensemble.bundle import BUNDLE, ModelFolder, digest_of
from quintet.errors import ArtefactError
from quintet.experiment import train
from quintet.features.extraction import extract
from quintet.features.parameters import FeatureParameters
from quintet.prediction import predict_files
from quintet.recipe import Recipe


def run_recipe(recipe: Recipe, output: Path, *, hooks: Mapping[str, Any], n_jobs: int = 1) -> dict[str, Any]:
    """Run `recipe` in the folder `output`.

    Args:
        recipe: what to do.
        output: holds `recipe.json`, `features.parquet`, `spectrograms/`, `model/`, `report/` and `predictions.parquet`.
        hooks: `stage(name) -> context manager yielding a progress callable`, `tell(text)`, `listener` for training events.
        n_jobs: worker processes for extraction.

    Returns:
        `summary` of the extraction, `training` result, `report` path, `predictions` (or None).
    """
    stage: Callable[[str], AbstractContextManager[Any]] = hooks.get("stage", lambda name: nullcontext())
    output.mkdir(parents=True, exist_ok=True)
    ModelFolder(output).write_json("recipe.json", recipe.model_dump(mode="json"))
    parameters = feature_parameters_of(recipe)
    networks = any(member_entry(name).input == "spectrogram" for name in recipe.train.members)
    spectrograms = output / "spectrograms" if networks else None
    tell: Callable[[str], None] = hooks.get("tell", lambda text: None)
    with stage("listing") as _:
        manifest = load_source(recipe.data.source, group_by=recipe.data.group_by, columns=recipe.data.columns)
    with stage("extracting") as progress:
        summary = extract(manifest, output / "features.parquet", parameters=parameters, spectrograms=spectrograms, n_jobs=n_jobs, progress=progress)
    fresh = f", {summary.n_reused} of them kept from before" if summary.n_reused else ""
    tell(f"{summary.n_ok} clips described{fresh}; {summary.n_failed} could not be used")
    with stage("training"):
        training = train_if_stale(recipe, output, spectrograms, hooks.get("listener"))
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


def feature_parameters_of(recipe: Recipe) -> FeatureParameters:
    """The recipe's feature section as complete parameters."""
    return FeatureParameters(feature_set=recipe.features.set, families=recipe.features.families, **recipe.features.overrides)


def train_if_stale(recipe: Recipe, output: Path, spectrograms: Path | None, listener: Any) -> Any:
    """The finished model if its configuration is this one; the interrupted run taken up; otherwise a new one."""
    options: dict[str, Any] = {"settings": recipe.train, "spectrograms": spectrograms, "listener": listener}
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
