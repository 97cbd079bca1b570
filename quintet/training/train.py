"""One training run: a feature table becomes a model folder, judged on a split that was fixed before anything was fitted."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quintet.classifiers.registry import make_member, require_weights
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.crossfit import FINAL_FIT, Listener, embed_inputs, map_positions
from quintet.ensemble.fusion import RULES
from quintet.errors import ArtefactError, unknown_name
from quintet.features.storage.table import FeatureTable, read_feature_table, table_digest
from quintet.files.digests import content_hash
from quintet.files.provenance import environment
from quintet.model_folder.folder import FoldFiles, ModelFolder, search_digests
from quintet.training.data import Material, gather
from quintet.training.leak_gate import leak_gate
from quintet.training.learning_curve import Task, learning_curve
from quintet.training.scoring import score_ensemble, score_parts
from quintet.training.settings import TrainSettings
from quintet.training.spectrograms import augment_training_part, find_spectrograms


@dataclass(frozen=True)
class TrainingResult:
    """Where the model lies, and what it scored. `scores` is the content of scores.json."""

    folder: Path
    scores: dict[str, Any]
    rule: str
    reused: bool = False


def train(
    features: str | Path | FeatureTable,
    output: str | Path,
    *,
    settings: TrainSettings | None = None,
    spectrograms: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
    progress: Callable[..., None] | None = None,
    n_jobs: int = 1,
    published: Mapping[str, Any] | None = None,
    search: str | Path | None = None,
) -> TrainingResult:
    """Members and their fusion, trained and judged on a split that keeps groups together.

    Args:
        features: a feature table (file or `FeatureTable`).
        output: the model folder to make.
        settings: members, rules, split, seed; default `TrainSettings()`.
        spectrograms: the store that `extract --spectrograms` wrote. Where a CNN takes part and none is given, the store
            beside the table is used, and made if it is not there.
        resume: go on where an interrupted run of the same configuration stopped.
        overwrite: replace a model folder that exists.
        listener, progress: called as training and extraction proceed.
        published: what the paper reports (`protocol`, `scores`, `source`), kept beside our scores for whoever compares them.
        search: the folder of the search that found the settings (`quintet tune`); its history is kept for the report.

    Raises:
        ConfigError, DatasetError, SplitLeakError, AlignmentError, ArtefactError: before any training starts.
    """
    settings = settings or TrainSettings()
    _require_known(settings, Path(output))
    table = features if isinstance(features, FeatureTable) else read_feature_table(features)
    material = gather(
        table,
        settings,
        store=find_spectrograms(features, table, settings, spectrograms, n_jobs=n_jobs, progress=progress),
    )
    config = {
        "quintet": importlib.metadata.version("quintet"),
        "train": settings.model_dump(mode="json"),
        "features": {
            "parameters": table.metadata.get("parameters"),
            "hash": table.parameter_hash,
            "columns": len(table.feature_names),
        },
        "data": {"rows": len(material.ids), "digest": table_digest(material.table)},
        "split": {"digest": material.split.digest},
    }
    if search is not None:
        config["search"] = search_digests(search)
    config["hash"] = content_hash(config)
    folder = ModelFolder(output)
    if _claim(folder, config, resume=resume, overwrite=overwrite):
        return TrainingResult(
            folder.path, folder.read_json("scores.json"), folder.read_json("bundle.json")["rule"], reused=True
        )
    material.split.write(folder.path / "split.parquet")
    folder.write_json("environment.json", environment())
    if search is not None:
        folder.keep_search(search)
    if settings.augmentation is not None:
        material = replace(
            material, copies=augment_training_part(material, settings, n_jobs=n_jobs, progress=progress)
        )
    return _train(material, folder, settings, listener, published)


def _require_known(settings: TrainSettings, output: Path) -> None:
    """Refuse what would be found out after the folder was begun: unknown members, settings, rules, absent weights, and a file in its place."""
    for name in settings.members:
        require_weights(make_member(name, seed=settings.seed, **settings.settings.get(name, {})))
    if stray := [rule for rule in settings.rules if rule not in RULES]:
        raise unknown_name("fusion rule", stray[0], RULES)
    if output.exists() and not output.is_dir():
        raise ArtefactError(f"A model is a folder. {output} is a file: choose another name.")


def _train(
    material: Material,
    folder: ModelFolder,
    settings: TrainSettings,
    listener: Listener | None,
    published: Mapping[str, Any] | None,
) -> TrainingResult:
    train_rows, test_rows = material.split.train, material.split.test
    folds = material.split.training_folds()
    ensemble = EnsembleClassifier(
        settings.members,
        rule=settings.rule,
        rules=settings.rules,
        n_splits=settings.folds or 5,
        settings=settings.settings,
        seed=settings.seed,
    )
    inputs = material.inputs(train_rows)
    ensemble.fit(
        inputs["X"],
        material.target(train_rows),
        material.units[train_rows],
        spectrograms=inputs["spectrograms"],
        classes=material.classes,
        folds=folds,
        cache=FoldFiles(folder),
        listener=listener,
    )
    parts: dict[str, tuple[Any, Any]] = {"oof": (train_rows, dict(ensemble.oof_))}
    if len(test_rows):
        members = ensemble.member_probabilities(**material.inputs(test_rows))
        parts["test"] = (
            test_rows,
            {**members, **{rule: ensemble.fuse(members, rule) for rule in settings.rules}},
        )
    for _, said in parts.values():
        said |= {
            name: np.mean([said[member] for member in members], axis=0)
            for name, members in settings.ensembles.items()
        }
    scores = score_parts(material, folder, settings, parts)
    if published is not None:
        scores["published"] = dict(published)
    scores["verdict"] = score_ensemble(material, folder, settings, ensemble, parts)
    if settings.protocols:
        scores["leak_gate"] = leak_gate(material, settings, settings.protocols, listener=listener)
    if settings.learning_curve is not None:
        scores["learning_curve"] = learning_curve(
            Task.from_material(material), settings, known=ensemble.oof_, listener=listener
        )
    _write_embeddings(material, folder, ensemble, train_rows[folds[0][1]])
    _write_model(material, folder, ensemble, scores)
    return TrainingResult(folder.path, scores, ensemble.rule_)


def _write_embeddings(
    material: Material, folder: ModelFolder, ensemble: EnsembleClassifier, first_fold: np.ndarray[Any, Any]
) -> None:
    """The last layer of every network on clips that it never saw: the test part, and the first fold by that fold's network."""
    test_rows = material.split.test
    for name, member in ensemble.members_.items():
        of_test = embed_inputs(member, material.members_inputs(test_rows)) if len(test_rows) else None
        tables = []
        for part, rows, values in (
            ("test", test_rows, of_test),
            ("oof", first_fold, ensemble.folds_[name][0].embedding),
        ):
            if values is not None:
                frame = pd.DataFrame(values, columns=[str(j) for j in range(values.shape[1])])
                tables.append(frame.assign(id=material.ids[rows[map_positions(len(rows))]], part=part))
        if tables:
            folder.write_frame(f"embeddings/{name}.parquet", pd.concat(tables, ignore_index=True))


def _write_model(
    material: Material, folder: ModelFolder, ensemble: EnsembleClassifier, scores: dict[str, Any]
) -> None:
    for name, results in ensemble.folds_.items():
        final = list(getattr(ensemble.members_[name], "history_", []))
        epochs = [
            {"member": name, "fold": k, **e}
            for k, r in [*enumerate(r.history for r in results), (FINAL_FIT, final)]
            for e in r
        ]
        if epochs:
            folder.write_frame(f"history/{name}.parquet", pd.DataFrame(epochs))
    table = material.table
    used = table.frame[table.frame["id"].astype(str).isin(set(material.ids))]
    folder.write_frame("features.parquet", used)
    folder.write_frame("failures.parquet", table.failures.reset_index(drop=True))
    folder.write_json(
        "fusion.json",
        {
            "chosen": ensemble.rule_,
            "comparison": ensemble.comparison_._asdict(),
            "rules": {rule: fusion.to_json() for rule, fusion in ensemble.fusions_.items()},
        },
    )
    sets = None if ensemble.conformal_ is None else ensemble.conformal_.to_json()
    folder.write_json("trust.json", {"calibration": ensemble.calibration_.to_json(), "conformal": sets})
    if ensemble.distance_ is not None:
        folder.write_arrays("distance.npz", ensemble.distance_.arrays())
    folder.write_json("scores.json", scores)
    store = material.spectrograms
    folder.finalise(
        {
            "quintet": importlib.metadata.version("quintet"),
            "members": list(ensemble.members_),
            "rule": ensemble.rule_,
            "classes": [str(c) for c in ensemble.classes_],
            "multilabel": material.multilabel,
            "split": {"protocol": material.split.protocol, "grouped": bool(material.split.grouped)},
            "feature_names": list(table.feature_names),
            "feature_parameters": table.metadata.get("parameters"),
            "feature_hash": table.parameter_hash,
            "log_mel_hash": None if store is None else store.parameter_hash,
            "spectrograms": None if store is None else str(store.folder),
            "clip_seconds": _typical_duration(table),
            "fold_seconds": {
                name: [round(r.seconds, 3) for r in results] for name, results in ensemble.folds_.items()
            },
        }
    )


def _claim(folder: ModelFolder, config: dict[str, Any], *, resume: bool, overwrite: bool) -> bool:
    """Make the folder ours; True where it already holds the finished model of this configuration and `resume` was asked."""
    if folder.path.exists() and any(folder.path.iterdir()):
        kept = folder.read_json("config.json") if (folder.path / "config.json").is_file() else {}
        same = kept.get("hash") == config["hash"]
        if resume and same:
            return folder.is_finished
        if resume:
            differs = [
                key
                for key in ("quintet", "train", "features", "data", "split", "search")
                if kept.get(key) != config.get(key)
            ]
            raise ArtefactError(
                f"--resume goes on with the same configuration. {folder.path} was begun with another ({', '.join(differs)} differ): "
                "use another folder, or --overwrite."
            )
        if not overwrite:
            hint = (
                "an unfinished run: --resume goes on with it"
                if kept and not folder.is_finished
                else "add --overwrite to replace it"
            )
            raise ArtefactError(
                f"The model folder must not exist yet. {folder.path} does ({hint}), or choose another folder."
            )
        if not kept:
            raise ArtefactError(
                f"--overwrite replaces model folders only. {folder.path} holds something else: choose another folder."
            )
        folder.clear()
    folder.write_json("config.json", config)
    return False


def _typical_duration(table: FeatureTable) -> float | None:
    durations = table.meta["duration_s"].dropna()
    return None if durations.empty else round(float(durations.median()), 3)
