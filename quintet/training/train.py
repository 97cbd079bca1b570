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
from quintet.classifiers.registry import model as member_entry
from quintet.datasets.manifest import COLUMNS, Manifest, label_indicator, label_set
from quintet.datasets.splits.protocols import Split, group_name, make_split, require_disjoint
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.crossfit import FINAL_FIT, Inputs, Listener, embedded, mapped_positions
from quintet.ensemble.fusion import RULES
from quintet.errors import AlignmentError, ArtefactError, ConfigError, DatasetError, unknown_name
from quintet.features.extraction.extract import extract as extract_clips
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.augmented_spectrograms import CopiedSpectrograms, augmented_copies
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable, read_feature_table, table_digest
from quintet.files.digests import hash_of
from quintet.files.provenance import environment
from quintet.model_folder.folder import FoldFiles, ModelFolder, search_digests
from quintet.training.scoring import judge, judge_verdict
from quintet.training.settings import TrainSettings


@dataclass(frozen=True)
class TrainingResult:
    """Where the model lies, and what it scored. `scores` is the content of scores.json."""

    folder: Path
    scores: dict[str, Any]
    rule: str
    reused: bool = False


@dataclass(frozen=True)
class Copies:
    """Augmented copies of training clips: where they lie, and clip id → their ids."""

    store: SpectrogramStore
    of: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Material:
    """Everything a training run looks at, in the order of one table."""

    table: FeatureTable
    ids: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    groups: np.ndarray[Any, Any]
    split: Split
    spectrograms: SpectrogramStore | None
    copies: Copies | None = None

    def __post_init__(self) -> None:
        require_disjoint(self.units[self.split.train], self.units[self.split.test], where="the training and the test part")

    @property
    def multilabel(self) -> bool:
        """Whether labels are sets."""
        return bool(self.table.multilabel)

    @property
    def classes(self) -> list[str]:
        """All labels (for sets: all tags), sorted."""
        return sorted({tag for label in self.labels for tag in (label_set(label) if self.multilabel else [label])})

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """What never parts where members are fitted: groups, or clips under `random`, which breaks the rule on purpose and is stamped for it."""
        return self.ids if self.split.protocol == "random" else self.groups

    def target(self, positions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Labels `(n,)`, or the 0/1 indicator `(n, k)` for sets."""
        target: np.ndarray[Any, Any] = label_indicator(self.labels)[0] if self.multilabel else self.labels
        return np.asarray(target[positions])

    def inputs(self, positions: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Keyword arguments `X` and `spectrograms` for the ensemble."""
        store, ids = self.spectrograms, list(self.ids[positions])
        taken = None if store is None else store.take(ids)
        if taken is not None and self.copies is not None:
            taken = CopiedSpectrograms(taken.store, ids, copies=self.copies.store, of=self.copies.of)
        return {"X": self.table.features.iloc[positions], "spectrograms": taken}

    def members_inputs(self, positions: np.ndarray[Any, Any]) -> Inputs:
        """The same as one object, for cross-fitting."""
        given = self.inputs(positions)
        return Inputs(given["X"], given["spectrograms"])


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
    material = gather(table, settings, store=spectrograms_for(features, table, settings, spectrograms, n_jobs=n_jobs, progress=progress))
    config = {
        "quintet": importlib.metadata.version("quintet"),
        "train": settings.model_dump(mode="json"),
        "features": {"parameters": table.metadata.get("parameters"), "hash": table.parameter_hash, "columns": len(table.feature_names)},
        "data": {"rows": len(material.ids), "digest": table_digest(material.table)},
        "split": {"digest": material.split.digest},
    }
    if search is not None:
        config["search"] = search_digests(search)
    config["hash"] = hash_of(config)
    folder = ModelFolder(output)
    if _claim(folder, config, resume=resume, overwrite=overwrite):
        return TrainingResult(folder.path, folder.read_json("scores.json"), folder.read_json("bundle.json")["rule"], reused=True)
    material.split.write(folder.path / "split.parquet")
    folder.write_json("environment.json", environment())
    if search is not None:
        folder.keep_search(search)
    if settings.augmentation is not None:
        material = replace(material, copies=augmented(material, settings, n_jobs=n_jobs, progress=progress))
    return _train(material, folder, settings, listener, published)


def augmented(material: Material, settings: TrainSettings, **told: Any) -> Copies | None:
    """Augmented copies of the clips of the training part, and of no others; None where no network takes part."""
    store, parameters = material.spectrograms, material.table.parameters
    if store is None or settings.augmentation is None:
        return None
    if parameters is None:
        raise ConfigError("Augmentation of audio needs a table that quintet made: it says how. Extract the clips, or leave [augmentation] out.")
    clips = material.table.meta.loc[material.ids[material.split.train]]
    folder = store.folder.with_name(f"{store.folder.name}.copies")
    of = augmented_copies(clips, folder, parameters=parameters, augmentation=settings.augmentation, seed=settings.seed, **told)
    return Copies(SpectrogramStore(folder), of)


def _require_known(settings: TrainSettings, output: Path) -> None:
    """Refuse what would be found out after the folder was begun: unknown members, settings, rules, absent weights, and a file in its place."""
    for name in settings.members:
        require_weights(make_member(name, seed=settings.seed, **settings.settings.get(name, {})))
    if stray := [rule for rule in settings.rules if rule not in RULES]:
        raise unknown_name("fusion rule", stray[0], RULES)
    if output.exists() and not output.is_dir():
        raise ArtefactError(f"A model is a folder. {output} is a file: choose another name.")


def regrouped(table: FeatureTable, groups: str | Path) -> FeatureTable:
    """The table under other groups: those of a CSV with the columns id and group, such as `quintet audit --groups-to` writes.

    Raises:
        AlignmentError: if the file lacks a column, or a usable clip of the table.
    """
    try:
        listed = pd.read_csv(groups, dtype=str)
    except (OSError, ValueError) as error:
        raise AlignmentError(f"A file of groups must be a readable CSV. {groups} is not ({error}); `audit --groups-to` writes one.") from error
    if missing := {"id", "group"} - set(listed.columns):
        raise AlignmentError(f"A file of groups must have the columns id and group. {groups} lacks: {', '.join(sorted(missing))}.")
    found = table.frame["id"].astype(str).map(listed.drop_duplicates("id").set_index("id")["group"])
    if twice := sorted(str(id) for id, names in listed.groupby("id")["group"] if names.dropna().map(group_name).nunique() > 1):
        raise AlignmentError(f"A clip must have one group. {groups} gives two or more to {len(twice)}, for example {twice[0]}: keep one.")
    absent = table.frame.loc[found.isna() & (table.frame["status"] == "ok"), "id"].tolist()
    if absent:
        raise AlignmentError(
            f"Every usable clip must have a group. {groups} has none for {len(absent)}, for example {absent[0]}: audit this table again."
        )
    frame = table.frame.assign(group=found.map(group_name, na_action="ignore").fillna(table.frame["group"].astype(str)))
    return FeatureTable(frame, {**table.metadata, "grouped": bool(frame["group"].duplicated().any())})


def gather(table: FeatureTable, settings: TrainSettings, *, store: SpectrogramStore | None = None) -> Material:
    """The usable rows of a table, ordered by id (so that the order of rows changes nothing), and their split, checked before anything is fitted."""
    table = FeatureTable(table.frame.sort_values("id", kind="stable", ignore_index=True), table.metadata)
    meta = table.meta
    if not len(meta):
        raise DatasetError("Training must have rows that were extracted without failure. This table has none: read its `reason` column.")
    ids, labels, groups = (np.asarray(values, dtype=str) for values in (meta.index, meta["label"], meta["group"]))
    return Material(table, ids, labels, groups, split_of(meta, settings, grouped=table.grouped), store)


def split_of(clips: pd.DataFrame, settings: TrainSettings, *, grouped: bool) -> Split:
    """The split of clips (columns label, group and split, indexed by id) that training would make.

    Raises:
        ConfigError, DatasetError, SplitLeakError: if they cannot be divided so.
    """
    given = clips["split"] if clips["split"].notna().any() else None
    protocol = settings.protocol
    if protocol == "auto":
        protocol = "given" if given is not None else "group"
    if protocol == "given" and given is None:
        raise ConfigError("The protocol 'given' needs a `split` column (train, valid, test) in the data. This table has none: use 'group'.")
    return make_split(
        clips.index.astype(str).tolist(),
        clips["label"].astype(str).tolist(),
        clips["group"].astype(str).tolist(),
        protocol=protocol,
        test_size=settings.test_size,
        n_splits=settings.folds,
        seed=settings.seed,
        given=None if protocol != "given" or given is None else given.tolist(),
        grouped=grouped,
    )


def _train(
    material: Material, folder: ModelFolder, settings: TrainSettings, listener: Listener | None, published: Mapping[str, Any] | None
) -> TrainingResult:
    train_rows, test_rows = material.split.train, material.split.test
    folds = [(np.searchsorted(train_rows, rest), np.searchsorted(train_rows, held_out)) for rest, held_out in material.split.folds()]
    ensemble = EnsembleClassifier(
        settings.members, rule=settings.rule, rules=settings.rules, n_splits=settings.folds or 5, settings=settings.settings, seed=settings.seed
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
        parts["test"] = (test_rows, {**members, **{rule: ensemble.fuse(members, rule) for rule in settings.rules}})
    for _, said in parts.values():
        said |= {name: np.mean([said[member] for member in members], axis=0) for name, members in settings.ensembles.items()}
    scores = judge(material, folder, settings, parts)
    if published is not None:
        scores["published"] = dict(published)
    scores["verdict"] = judge_verdict(material, folder, settings, ensemble, parts)
    if settings.protocols:
        from quintet.training.leak_gate import leak_gate  # it builds on this module

        scores["leak_gate"] = leak_gate(material, settings, settings.protocols, listener=listener)
    if settings.learning_curve is not None:
        from quintet.training.learning_curve import Task, learning_curve

        scores["learning_curve"] = learning_curve(Task.of(material), settings, known=ensemble.oof_, listener=listener)
    _write_embeddings(material, folder, ensemble, train_rows[folds[0][1]])
    _write_model(material, folder, ensemble, scores)
    return TrainingResult(folder.path, scores, ensemble.rule_)


def _write_embeddings(material: Material, folder: ModelFolder, ensemble: EnsembleClassifier, first_fold: np.ndarray[Any, Any]) -> None:
    """The last layer of every network on clips that it never saw: the test part, and the first fold by that fold's network."""
    test_rows = material.split.test
    for name, member in ensemble.members_.items():
        of_test = embedded(member, material.members_inputs(test_rows)) if len(test_rows) else None
        tables = []
        for part, rows, values in (("test", test_rows, of_test), ("oof", first_fold, ensemble.folds_[name][0].embedding)):
            if values is not None:
                frame = pd.DataFrame(values, columns=[str(j) for j in range(values.shape[1])])
                tables.append(frame.assign(id=material.ids[rows[mapped_positions(len(rows))]], part=part))
        if tables:
            folder.write_frame(f"embeddings/{name}.parquet", pd.concat(tables, ignore_index=True))


def _write_model(material: Material, folder: ModelFolder, ensemble: EnsembleClassifier, scores: dict[str, Any]) -> None:
    for name, results in ensemble.folds_.items():
        final = list(getattr(ensemble.members_[name], "history_", []))
        epochs = [{"member": name, "fold": k, **e} for k, r in [*enumerate(r.history for r in results), (FINAL_FIT, final)] for e in r]
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
    folder.seal(
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
            "fold_seconds": {name: [round(r.seconds, 3) for r in results] for name, results in ensemble.folds_.items()},
        }
    )


def _claim(folder: ModelFolder, config: dict[str, Any], *, resume: bool, overwrite: bool) -> bool:
    """Make the folder ours; True where it already holds the finished model of this configuration and `resume` was asked."""
    if folder.path.exists() and any(folder.path.iterdir()):
        kept = folder.read_json("config.json") if (folder.path / "config.json").is_file() else {}
        same = kept.get("hash") == config["hash"]
        if resume and same:
            return folder.sealed
        if resume:
            differs = [key for key in ("quintet", "train", "features", "data", "split", "search") if kept.get(key) != config.get(key)]
            raise ArtefactError(
                f"--resume goes on with the same configuration. {folder.path} was begun with another ({', '.join(differs)} differ): "
                "use another folder, or --overwrite."
            )
        if not overwrite:
            hint = "an unfinished run: --resume goes on with it" if kept and not folder.sealed else "add --overwrite to replace it"
            raise ArtefactError(f"The model folder must not exist yet. {folder.path} does ({hint}), or choose another folder.")
        if not kept:
            raise ArtefactError(f"--overwrite replaces model folders only. {folder.path} holds something else: choose another folder.")
        folder.clear()
    folder.write_json("config.json", config)
    return False


def spectrograms_for(
    features: str | Path | FeatureTable, table: FeatureTable, settings: TrainSettings, given: str | Path | None, **options: Any
) -> SpectrogramStore | None:
    """The spectrograms that the CNNs of this run need: given, found beside the table, or made from the audio."""
    networks = [name for name in settings.members if member_entry(name).input == "spectrogram"]
    if not networks:
        return None
    if given is None and isinstance(features, FeatureTable):
        raise ConfigError(f"{', '.join(networks)} needs spectrograms: pass spectrograms=FOLDER, or leave it out.")
    folder = Path(given) if given is not None else Path(str(features)).with_suffix(".spectrograms")
    if given is None and not folder.exists() and table.parameters is None:
        raise ConfigError(
            f"{', '.join(networks)} works on spectrograms, and this table was not made by quintet, so there is no audio to make them from. "
            "Choose table members: --members logistic_regression,random_forest,xgboost,svm."
        )
    if not (folder / "store.json").exists():
        if table.parameters is None:
            raise ArtefactError(f"A spectrogram store must be a folder made by `quintet extract --spectrograms`. {folder} is not one.")
        make_spectrograms(table, table.parameters, folder, **options)
    store = SpectrogramStore(folder)
    if table.parameters is not None and store.parameter_hash != table.parameters.log_mel.hash:
        raise ArtefactError(
            f"Spectrograms and table must come from the same parameters. {folder} has {store.parameter_hash}, the table "
            f"{table.parameters.log_mel.hash}: extract again with --spectrograms."
        )
    return store


def make_spectrograms(table: FeatureTable, parameters: FeatureParameters, folder: Path, **options: Any) -> None:
    """The log-mel spectrograms of a table's clips, from the audio that its `path` column names."""
    meta = table.frame[table.frame["status"] == "ok"]
    if missing := [path for path in meta["path"] if not Path(str(path)).is_file()]:
        raise ArtefactError(
            f"A CNN needs the audio once, to make spectrograms. {len(missing)} of {len(meta)} files are gone (first: {missing[0]}): "
            "restore them, pass --spectrograms DIR, or choose table members."
        )
    frame = meta[[column for column in COLUMNS if column != "problem"]].copy()
    frame["problem"] = pd.Series(pd.NA, index=frame.index, dtype="string")
    manifest = Manifest(frame=frame.reset_index(drop=True), name="spectrograms", root=Path(), multilabel=table.multilabel, grouped=table.grouped)
    scratch = folder.with_name(f".{folder.name}.features.parquet")
    extract_clips(manifest, scratch, parameters=parameters, spectrograms=folder, **options)
    scratch.unlink(missing_ok=True)


def _typical_duration(table: FeatureTable) -> float | None:
    durations = table.meta["duration_s"].dropna()
    return None if durations.empty else round(float(durations.median()), 3)
