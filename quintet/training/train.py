"""Train an ensemble: a feature table becomes a model folder with scores.

The split is fixed before anything is fitted.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet import __version__
from quintet.classifiers.penalties import settings_without_auto
from quintet.classifiers.registry import check_member
from quintet.classifiers.sizes import size_note, sized_settings
from quintet.classifiers.views import network_group, require_views
from quintet.datasets.splits.split import Positions
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.crossfit import Listener, Trainer, embed_inputs, map_positions
from quintet.ensemble.fusion import RULES
from quintet.ensemble.tasks.pools import open_fit_pool
from quintet.ensemble.tasks.schedule import FitPlan, fit_ahead
from quintet.ensemble.tasks.task import FitPool
from quintet.ensemble.tasks.time_left import with_time_left
from quintet.errors import ArtefactError, unknown_name
from quintet.explanation.stability import FoldRanker
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable, table_digest
from quintet.files.digests import content_hash
from quintet.files.json_types import JsonObject
from quintet.files.locks import is_vacant, output_lock
from quintet.files.machine import job_count
from quintet.files.paths import require_path
from quintet.files.provenance import environment
from quintet.model_folder.fold_cache import FoldFiles
from quintet.model_folder.folder import ModelFolder, search_digests
from quintet.model_folder.replacement import finish_replacement, replace_model, successor
from quintet.model_folder.scores import PublishedScores, RunScores
from quintet.model_folder.write import TrainedModel, write_model
from quintet.settings import given_settings
from quintet.training.blocks.groups import DEFAULT_FOLDS, describe_target
from quintet.training.data import Material, gather, require_training_classes
from quintet.training.leak_gate import chance_gate, leak_gate
from quintet.training.learning_curve import curve_part, learning_curve
from quintet.training.network_size import check_network_sizes
from quintet.training.notes import run_notes
from quintet.training.pretrained import default_members, find_pretrained
from quintet.training.result import TrainingResult
from quintet.training.scoring import Part, RunScorer
from quintet.training.settings import TrainSettings
from quintet.training.spectrograms import augment_training_part, find_spectrograms
from quintet.training.validation import validation_facts, validation_note

CONFIG_KEYS = ("quintet", "train", "features", "data", "split", "search")
"""Entries of config.json that must be equal if an interrupted run is to continue."""


@dataclass(frozen=True)
class TrainOptions:
    """Files of a training run, and what happens if the model folder exists.

    Args:
        spectrograms: the store that `extract --spectrograms` wrote. If a network takes part and none is
            given, the store beside the table is used, and made if it does not exist.
        resume: continue an interrupted run of the same configuration.
        overwrite: replace an existing model folder.
        published: scores that a paper reports (`protocol`, `scores`, `source`), stored beside the scores of
            the run.
        search: the folder of the search that found the settings (`quintet tune`); its history is copied for
            the report.
    """

    spectrograms: str | Path | None = None
    resume: bool = False
    overwrite: bool = False
    published: Mapping[str, object] | None = None
    search: str | Path | None = None


def train(
    features: str | Path | FeatureTable,
    output: str | Path,
    *,
    settings: TrainSettings | None = None,
    options: TrainOptions | None = None,
    listener: Listener | None = None,
    progress: ProgressCallback | None = None,
    n_jobs: int = 1,
    scheduler: str | None = None,
) -> TrainingResult:
    """Train members and their fusion, and score them on a split that keeps groups together.

    Args:
        features: a feature table (file or `FeatureTable`).
        output: the model folder to make.
        settings: members, rules, split and seed. Default: `TrainSettings()`.
        options: files, and what happens if the folder exists. Default: `TrainOptions()`.
        listener: receives training events.
        progress: receives the progress of spectrograms and augmented copies.
        n_jobs: number of worker processes for the fits of members that read tables, for spectrograms and
            copies. It changes no number of the result.
        scheduler: address of a dask cluster (`tcp://host:8786`) for these fits.

    Raises:
        ConfigError, DatasetError, SplitLeakError, AlignmentError, ArtefactError: before any training starts.
        MachineError: workers died over a fit, again and again.
    """
    settings = given_settings(TrainSettings, settings, "settings")
    options = options or TrainOptions()
    _check_request(settings, Path(require_path(output, "`output`")))
    folder = ModelFolder(output)
    with output_lock(output), open_fit_pool(job_count(n_jobs), scheduler) as pool:
        return _train(features, folder, settings, options, listener, progress, n_jobs=n_jobs, pool=pool)


def _train(
    features: str | Path | FeatureTable,
    folder: ModelFolder,
    settings: TrainSettings,
    options: TrainOptions,
    listener: Listener | None,
    progress: ProgressCallback | None,
    *,
    n_jobs: int,
    pool: FitPool,
) -> TrainingResult:
    """Train in a model folder whose lock the caller holds."""
    table = features if isinstance(features, FeatureTable) else read_feature_table(features)
    if "members" not in settings.model_fields_set and any(map(network_group, table.feature_names)):
        settings = settings.model_copy(update={"members": default_members(table)})
    store = find_spectrograms(
        features, table, settings, options.spectrograms, n_jobs=n_jobs, progress=progress
    )
    target = None
    if settings.target is not None:
        target = describe_target(settings.target, table, n_jobs=n_jobs, progress=progress)
    material = gather(table, settings, store=store, target=target)
    require_training_classes(material)
    require_views(settings.members, material.table.feature_names)
    check_network_sizes(material, settings, listener=listener)
    config = _configuration(material, table, settings, options.search)
    place = _claim(folder, config, resume=options.resume, overwrite=options.overwrite)
    if place is None:
        results = RunScores.from_json(folder.read_json("scores.json"))
        bundle = folder.read_json("bundle.json")
        earlier_notes = tuple(bundle.get("notes", ()))
        return TrainingResult(folder.path, results, bundle["rule"], reused=True, notes=earlier_notes)
    material.split.write(place.path / "split.parquet")
    place.write_json("environment.json", environment())
    if options.search is not None:
        place.copy_search(options.search)
    if settings.augmentation is not None:
        copies = augment_training_part(material, settings, n_jobs=n_jobs, progress=progress)
        material = replace(material, copies=copies)
    published = None if options.published is None else PublishedScores.from_json(options.published)
    size = size_note(settings.members, settings.settings, len(material.split.train))
    notes = run_notes(material, settings) + ([] if size is None else [size])
    cache = FoldFiles(place, config["hash"], _ranker(material))
    result = _fit_and_score(material, settings, published, listener, notes, cache=cache, pool=pool)
    if place.path != folder.path:
        replace_model(folder)
    return replace(result, folder=folder.path)


def _ranker(material: Material) -> FoldRanker | None:
    """Ranks the columns for the member of each fold; None if the report has no use for it.

    Without a held-out part the report explains the clips of every fold, and ranks the columns itself.
    """
    split = material.split
    folds = split.training_folds()
    if len(folds) < 2 or not len(split.test):
        return None
    return FoldRanker.from_folds(material.table.features.index[split.train], folds)


def _check_request(settings: TrainSettings, output: Path) -> None:
    """Refuse unknown members, settings and rules, absent weights, and a file as output.

    It runs before the folder is begun.
    """
    for name in settings.members:
        chosen = settings_without_auto(name, settings.settings.get(name, {}))
        check_member(name, chosen, seed=settings.seed)
    unknown = [rule for rule in settings.rules if rule not in RULES]
    if unknown:
        raise unknown_name("fusion rule", unknown[0], RULES)
    if output.exists() and not output.is_dir():
        raise ArtefactError(f"A model is a folder. {output} is a file: choose another name.")


def _configuration(
    material: Material, table: FeatureTable, settings: TrainSettings, search: str | Path | None
) -> JsonObject:
    """Content of config.json: everything that decides the result, and its hash."""
    config: JsonObject = {
        "quintet": __version__,
        "train": settings.model_dump(mode="json"),
        "features": {
            "parameters": table.metadata.get("parameters"),
            "hash": table.parameter_hash,
            "columns": len(table.feature_names),
        },
        "data": {"rows": len(material.ids), "digest": table_digest(material.table)},
        "split": {"digest": material.split.digest},
    }
    if table.metadata.get("joined"):
        config["features"]["joined"] = table.metadata["joined"]
    if search is not None:
        config["search"] = search_digests(search)
    config["hash"] = content_hash(config)
    return config


def _fit_and_score(
    material: Material,
    settings: TrainSettings,
    published: PublishedScores | None,
    listener: Listener | None,
    notes: Sequence[str],
    *,
    cache: FoldFiles,
    pool: FitPool,
) -> TrainingResult:
    """Fit the ensemble on the training part, score every part, and write the model."""
    folder = cache.folder
    ensemble = _fit_ensemble(material, cache, settings, listener, pool)
    parts = _predict_parts(material, settings, ensemble)
    scorer = RunScorer(material, folder, settings, listener)
    split, facts = scorer.split_facts(), validation_facts(material, ensemble)
    if facts is not None:
        n_fitted = len(material.split.train) - facts.n
        note = validation_note(facts, ensemble.rule_, n_fitted, has_blocks=split.has_blocks)
        notes = [*notes, note]
    scores = RunScores(
        split=replace(split, validation=facts),
        parts={name: scorer.score_part(name, part) for name, part in parts.items()},
        published=published,
        ensemble=scorer.score_ensemble(ensemble, parts),
        pretrained=find_pretrained(material.table, ensemble),
    )
    settings = _with_penalties(_chosen_settings(material, settings), ensemble)
    if settings.protocols:
        gate = leak_gate(material, settings, settings.protocols, listener=listener, pool=pool)
        scores = replace(scores, leak_gate=gate)
    elif material.split.protocol == "sound":
        scores = replace(scores, leak_gate=chance_gate(material, settings, listener=listener, pool=pool))
    if settings.learning_curve is not None:
        part = curve_part(material)
        curve = learning_curve(part, settings, known=ensemble.oof_, listener=listener, pool=pool)
        scores = replace(scores, learning_curve=curve)
    _write_embeddings(material, folder, ensemble)
    model = TrainedModel(ensemble, material.table, scores, material.spectrograms, tuple(notes))
    write_model(folder, model)
    return TrainingResult(folder.path, scores, ensemble.rule_, notes=tuple(notes))


def _chosen_settings(material: Material, settings: TrainSettings) -> TrainSettings:
    """The settings with those that the number of training rows asks for."""
    n_rows = len(material.split.train)
    sized = {name: sized_settings(name, settings.settings.get(name, {}), n_rows) for name in settings.members}
    return settings.model_copy(update={"settings": sized})


def _with_penalties(settings: TrainSettings, ensemble: EnsembleClassifier) -> TrainSettings:
    """The settings with the penalties that the run chose, so that nothing chooses them again."""
    chosen = {name: dict(own) for name, own in settings.settings.items()}
    for name, penalty in ensemble.penalties_.items():
        chosen[name] = {**chosen.get(name, {}), penalty.setting: penalty.chosen}
    return settings.model_copy(update={"settings": chosen})


def _fit_ensemble(
    material: Material,
    cache: FoldFiles,
    settings: TrainSettings,
    listener: Listener | None,
    pool: FitPool,
) -> EnsembleClassifier:
    """The ensemble fitted on the training part; finished folds are read from the cache."""
    rows = material.split.train
    inputs, target, units = material.inputs(rows), material.target(rows), material.units[rows]
    folds = material.split.training_folds()
    ensemble = EnsembleClassifier(
        settings.members,
        rule=settings.rule,
        rules=settings.rules,
        n_splits=settings.folds or DEFAULT_FOLDS,
        settings=settings.settings,
        seed=settings.seed,
    )
    chosen = _chosen_settings(material, settings)
    names = material.classes if material.multilabel else np.unique(target).tolist()
    trainers = [
        Trainer(name, chosen.settings[name], settings.seed, cache, None, len(folds))
        for name in settings.members
    ]
    plan = FitPlan(tuple(trainers), inputs, target, units, folds, tuple(names))
    listener = with_time_left(listener, plan.time_left(pool.width))
    fit_ahead(plan.with_listener(listener), pool)
    return ensemble.fit(
        inputs.table,
        target,
        units,
        spectrograms=inputs.spectrograms,
        classes=material.classes,
        folds=folds,
        cache=cache,
        listener=listener,
    )


def _predict_parts(
    material: Material, settings: TrainSettings, ensemble: EnsembleClassifier
) -> dict[str, Part]:
    """Out-of-fold predictions, and predictions of the test part if there is one.

    Out of fold are all clips of the training part, or those of the validation part if the data bring one.
    """
    oof_rows = material.split.train[ensemble.plan_.rows]
    parts = {"oof": Part(oof_rows, _with_ensembles(ensemble.oof_, settings))}
    test_rows = material.split.test
    if len(test_rows):
        inputs = material.inputs(test_rows)
        members = ensemble.member_probabilities(inputs.table, inputs.spectrograms)
        rules = {rule: ensemble.fuse(members, rule) for rule in settings.rules}
        parts["test"] = Part(test_rows, _with_ensembles({**members, **rules}, settings))
    return parts


def _with_ensembles(
    probabilities: Mapping[str, NDArray[np.float64]], settings: TrainSettings
) -> dict[str, NDArray[np.float64]]:
    """The same predictions, with the plain mean of each ensemble that the settings name."""
    means = {
        name: np.mean([probabilities[member] for member in members], axis=0)
        for name, members in settings.ensembles.items()
    }
    return {**probabilities, **means}


def _write_embeddings(material: Material, folder: ModelFolder, ensemble: EnsembleClassifier) -> None:
    """Write the last layer of every network on clips that it was not fitted on.

    The final network embeds the test part. The network of the first fold embeds the clips of that fold.
    """
    split = material.split
    _, first_fold = split.folds()[0]
    for name, member in ensemble.members_.items():
        tables = []
        if len(split.test):
            values = embed_inputs(member, material.inputs(split.test))
            tables += _embedding_rows(material, "test", split.test, values)
        first_result = ensemble.folds_[name][0]
        tables += _embedding_rows(material, "oof", first_fold, first_result.embedding)
        if tables:
            folder.write_frame(f"embeddings/{name}.parquet", pd.concat(tables, ignore_index=True))


def _embedding_rows(
    material: Material, part: str, rows: Positions, values: NDArray[np.float32] | None
) -> list[pd.DataFrame]:
    """A table with the columns `0 … d - 1, id, part`; no table if the member has no layers."""
    if values is None:
        return []
    columns = [str(j) for j in range(values.shape[1])]
    frame = pd.DataFrame(values, columns=columns)
    embedded = rows[map_positions(len(rows))]
    return [frame.assign(id=material.ids[embedded], part=part)]


def _claim(folder: ModelFolder, config: JsonObject, *, resume: bool, overwrite: bool) -> ModelFolder | None:
    """Begin or continue a run.

    Returns:
        Where to train: the model folder itself, or the folder of its successor if it holds a finished model,
        which stays until the new one is whole. None if `resume` was asked for and the folder holds the
        finished model of this configuration.

    Raises:
        ArtefactError: if the folder holds something that must not be replaced.
    """
    finish_replacement(folder)
    if is_vacant(folder.path):
        folder.write_json("config.json", config)
        return folder
    earlier, following = _read_config(folder), successor(folder)
    if earlier.get("hash") == config["hash"]:
        if not folder.is_finished and (resume or not overwrite):
            return folder  # the same command goes on, with --resume or without
        if resume:
            return None
    if resume:
        if _read_config(following).get("hash") == config["hash"]:
            if not following.is_finished:
                return following
            replace_model(folder)
            return None
        raise _other_configuration(folder, earlier, config)
    _require_replaceable(folder, earlier, overwrite=overwrite)
    place = following if folder.is_finished else folder
    shutil.rmtree(following.path, ignore_errors=True)
    if place is folder:
        folder.clear()
    place.write_json("config.json", config)
    return place


def _read_config(folder: ModelFolder) -> JsonObject:
    """Content of config.json; empty if there is none."""
    return folder.read_json("config.json") if (folder.path / "config.json").is_file() else {}


def _other_configuration(folder: ModelFolder, earlier: JsonObject, config: JsonObject) -> ArtefactError:
    """The error for a run of another configuration, which cannot be continued."""
    differs = [key for key in CONFIG_KEYS if earlier.get(key) != config.get(key)]
    return ArtefactError(
        "--resume continues a run of the same configuration. "
        f"{folder.path} was begun with another ({', '.join(differs)} differ): "
        "use another folder, or --overwrite."
    )


def _require_replaceable(folder: ModelFolder, earlier: JsonObject, *, overwrite: bool) -> None:
    """Refuse to replace a folder without `overwrite`, or a folder that is not a model folder."""
    if not overwrite:
        is_unfinished = bool(earlier) and not folder.is_finished
        hint = (
            "an unfinished run: --resume continues it" if is_unfinished else "add --overwrite to replace it"
        )
        raise ArtefactError(
            f"The model folder must not exist yet. {folder.path} does ({hint}), or choose another folder."
        )
    if not earlier:
        raise ArtefactError(
            f"--overwrite replaces model folders only. {folder.path} holds something else: "
            "choose another folder."
        )
    foreign = folder.foreign_files() if folder.is_finished else []
    if foreign:
        raise ArtefactError(
            f"--overwrite replaces what `quintet train` wrote. {folder.path} also holds "
            f"{', '.join(foreign[:3])}: move that elsewhere, or choose another folder."
        )
