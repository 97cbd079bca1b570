"""Hyper-parameter search by grouped cross-validation: on the folds that `train` would make, and never on its test part.

Every member is a study of its own in one sqlite file. Trial 0 is the default, so that a search is always compared with no search.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from quintet.audio.augment import AudioAugmentation
from quintet.classifiers.registry import make_member, require_weights
from quintet.ensemble.classifier import TABLE_MEMBERS
from quintet.ensemble.crossfit import Listener
from quintet.errors import ArtefactError, ConfigError, MissingExtraError, unknown_name
from quintet.evaluation.comparisons import Difference, paired_differences
from quintet.features.storage.table import FeatureTable, read_feature_table, table_digest
from quintet.files.digests import content_hash
from quintet.files.provenance import environment
from quintet.model_folder.folder import ModelFolder
from quintet.settings import Stage, merge_settings, parse_settings
from quintet.training.data import Material, gather
from quintet.training.settings import Protocol, TrainSettings
from quintet.training.spectrograms import augment_training_part, find_spectrograms
from quintet.tuning.spaces import Range, search_space
from quintet.tuning.study import Problem, Search, Trial

OUR_FILES = ("study.sqlite", "trials.parquet", "best.toml", "tuning.json", "config.json", "environment.json")
Mapped = Mapping[str, Any]


class TuneSettings(Stage):
    """Who is tuned, and on which rows: the options of `TrainSettings`, which must be those of the training that follows.

    `settings`: member → settings that are held, not searched. `metric`: log_loss (the smaller the better) or macro_auc, of the
    out-of-fold predictions of the training part. `pruning`: a trial that is worse than the median of those before it stops early.
    Of a recipe: `base`, member → its settings, from which the search begins; `decided`, names of settings that are not the search's to find.
    """

    members: tuple[str, ...] = TABLE_MEMBERS
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    base: dict[str, dict[str, Any]] = Field(default_factory=dict)
    decided: tuple[str, ...] = ()
    augmentation: AudioAugmentation | None = None
    metric: Literal["log_loss", "macro_auc"] = "log_loss"
    pruning: bool = True
    protocol: Protocol = "auto"
    test_size: float = Field(default=0.2, ge=0.0, lt=1.0)
    folds: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)
    resamples: int = Field(default=1000, ge=0)

    @property
    def training(self) -> TrainSettings:
        """The training whose split this is; it checks what the two share."""
        shared = self.model_dump(
            include={"members", "protocol", "test_size", "folds", "seed", "resamples", "augmentation"}
        )
        return parse_settings(
            TrainSettings,
            {**shared, "settings": {name: self.base_settings(name) for name in self.members}},
            where="quintet tune",
        )

    def base_settings(self, member: str) -> dict[str, Any]:
        """The settings that a member has where nothing is searched."""
        return merge_settings(self.base.get(member, {}), self.settings.get(member, {}))

    def space(self, member: str) -> dict[str, Range]:
        """What is searched of a member."""
        return search_space(member, {**self.settings.get(member, {}), **dict.fromkeys(self.decided)})


@dataclass(frozen=True)
class Tuned:
    """What came of one member.

    Attributes:
        best: the number of its best trial; 0 is the default (of a recipe: its own settings). settings: of that trial, for `train` or `run`.
        default_value, best_value: the metric of these two, out of fold on the training part.
        gain: how much better the best is than the default (positive is better, whatever the metric), paired by clip, resampled by group.
        n_trials, n_pruned: how many there were, and how many of them stopped early.
    """

    member: str
    best: int
    settings: dict[str, Any]
    default_value: float
    best_value: float
    gain: Difference
    n_trials: int
    n_pruned: int

    @property
    def clear(self) -> bool:
        """Whether the interval of the gain lies above zero."""
        return self.gain.low > 0

    @property
    def gain_text(self) -> str:
        """The gain in words, honest about luck."""
        if self.best == 0:
            return "nothing better than the default was found"
        return (
            "better than the default on these folds"
            if self.clear
            else "no clear gain: its interval includes zero"
        )


@dataclass(frozen=True)
class TuningResult:
    """Where the search lies and what it found, on folds of which `protocol`. `trials` has a row per trial; `reused`: nothing was left to try."""

    folder: Path
    metric: str
    members: dict[str, Tuned]
    trials: pd.DataFrame
    reused: bool
    protocol: str


def tune(
    table: str | Path | FeatureTable,
    output: str | Path,
    *,
    settings: TuneSettings | None = None,
    spectrograms: str | Path | None = None,
    n_trials: int = 30,
    timeout_s: float | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    on_trial: Callable[[Trial, int], None] | None = None,
    progress: Callable[..., None] | None = None,
    n_jobs: int = 1,
) -> TuningResult:
    """Settings of every member, searched on the grouped folds of the training part; the test part is never looked at.

    A tree-structured Parzen estimator proposes from `SPACES`; a trial runs fold by fold and stops early when it is worse than the median.
    Each proposal depends on nothing but the seed and the finished trials, so that a search that was interrupted goes on to the same end.

    Args:
        table: a feature table (file or `FeatureTable`).
        output: a folder: study.sqlite, trials.parquet (every trial), best.toml (for `train --settings`), tuning.json, predictions/.
        settings: members, metric, split and seed; default `TuneSettings()`.
        spectrograms: as in `experiment.train`, for networks.
        n_trials: per member, the default among them; more than before goes on.
        timeout_s: no new trial begins after so many seconds, dealt evenly over the members; the default always runs.
        overwrite: begin again in a folder of another configuration.
        listener: hears every fit. on_trial: called with each trial that ends, and `n_trials`.

    Raises:
        MissingExtraError: without optuna. ConfigError, DatasetError: before anything is fitted.
        ArtefactError: `output` holds something else, or a search of another configuration.

    Source: Bergstra et al. 2011 (TPE), as in optuna.
    """
    settings = settings or TuneSettings()
    check_search(settings, n_trials)
    table_ = table if isinstance(table, FeatureTable) else read_feature_table(table)
    training = settings.training
    store = find_spectrograms(table, table_, training, spectrograms, n_jobs=n_jobs, progress=progress)
    material = gather(table_, training, store=store)
    if training.augmentation is not None:
        material = replace(
            material, copies=augment_training_part(material, training, n_jobs=n_jobs, progress=progress)
        )
    problem = Problem.from_material(material, metric=settings.metric)
    folder = ModelFolder(output)
    _claim(folder, _configuration(settings, table_, material), overwrite=overwrite)
    n_new = 0

    def count(trial: Trial) -> None:
        nonlocal n_new
        n_new += 1
        if on_trial is not None:
            on_trial(trial, n_trials)

    with _storage(folder.path / "study.sqlite") as storage:
        common: dict[str, Any] = {
            "seed": settings.seed,
            "pruning": settings.pruning,
            "storage": storage,
            "listener": listener,
        }
        common |= {"decided": settings.decided}
        searches = [
            Search(
                name,
                settings.settings.get(name, {}),
                problem,
                folder.path / "predictions" / name,
                base=settings.base.get(name, {}),
                **common,
            )
            for name in settings.members
        ]
        ends = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            for k, search in enumerate(searches):
                search.run(n_trials, ends=_share(ends, len(searches) - k), on_trial=count)
        finally:
            trials = _write_trials(folder, searches)
        found = {search.member: _judged(search, problem, settings) for search in searches}
    _write_result(folder, settings, found, material)
    return TuningResult(folder.path, settings.metric, found, trials, n_new == 0, material.split.protocol)


def read_settings(path: str | Path) -> dict[str, dict[str, Any]]:
    """Member → settings, from the sections [train.settings.MEMBER] of a TOML file: the best.toml of a search, or a recipe.

    Raises:
        ConfigError: no such file, not TOML, no such section, or a member or setting that there is not.
    """
    file = Path(path)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            f"Settings must be in a TOML file, such as the best.toml of `quintet tune`. There is no file {file}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"Settings must be in a TOML file. {file} is not one: {error}.") from None
    train = content.get("train")
    found = train.get("settings") if isinstance(train, dict) else None
    if not isinstance(found, dict) or not all(isinstance(chosen, dict) for chosen in found.values()):
        raise ConfigError(
            f"A file of settings must have sections such as [train.settings.svm]. {file} has: {', '.join(content) or 'nothing'}."
        )
    for name, chosen in found.items():
        make_member(name, **chosen)
    return found


def check_search(settings: TuneSettings, n_trials: int) -> None:
    """Refuse, before anything runs, a search that cannot be.

    Raises:
        MissingExtraError: without optuna. ConfigError: no trials, no members, unknown settings, nothing left to search.
        ArtefactError: pretrained weights that cannot be had.
    """
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("A search for settings", "tune")
    if n_trials < 1:
        raise ConfigError(f"A search has at least one trial, the default. Received {n_trials}.")
    if not settings.members:
        raise ConfigError("A search must have at least one member. Received none.")
    for name in settings.members:
        settings.space(name)
        require_weights(make_member(name, **settings.base_settings(name)))
    if strange := sorted(set(settings.settings) - set(settings.members)):
        raise unknown_name("member whose settings are held", strange[0], settings.members)


def _configuration(settings: TuneSettings, table: FeatureTable, material: Material) -> dict[str, Any]:
    """What must be the same for a search to go on: how many trials there are to be is no part of it."""
    return {
        "quintet": importlib.metadata.version("quintet"),
        "tune": settings.model_dump(mode="json"),
        "spaces": content_hash({name: settings.space(name) for name in settings.members}),
        "features": {"hash": table.parameter_hash, "columns": len(table.feature_names)},
        "data": {"rows": len(material.ids), "digest": table_digest(table)},
        "split": {"digest": material.split.digest},
        "spectrograms": None if material.spectrograms is None else material.spectrograms.parameter_hash,
    }


def _claim(folder: ModelFolder, config: dict[str, Any], *, overwrite: bool) -> None:
    """Make the folder ours, or see that it holds this very search."""
    if folder.path.exists() and any(folder.path.iterdir()):
        kept = folder.read_json("config.json") if (folder.path / "config.json").is_file() else {}
        if "tune" not in kept:
            raise ArtefactError(
                f"A search needs a folder of its own. {folder.path} holds something else: choose another folder."
            )
        if kept == json.loads(json.dumps(config)):
            return
        if not overwrite:
            raise ArtefactError(
                f"A search goes on with the same configuration. {folder.path} was begun with another ({'; '.join(_differences(kept, config))}): "
                "use another folder, or --overwrite."
            )
        _clear(folder.path)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_json("config.json", config)
    folder.write_json("environment.json", {**environment(), "optuna": importlib.metadata.version("optuna")})


def _clear(folder: Path) -> None:
    for name in OUR_FILES:
        (folder / name).unlink(missing_ok=True)
    for file in (folder / "predictions").glob("*/*.parquet"):
        file.unlink()


def _differences(kept: Mapped, wanted: Mapped, place: str = "") -> list[str]:
    """`tune.metric: log_loss, now macro_auc` for everything that is not the same."""
    found: list[str] = []
    for key in dict.fromkeys([*kept, *wanted]):
        before, now = kept.get(key), json.loads(json.dumps(wanted.get(key)))
        if isinstance(before, dict) and isinstance(now, dict):
            found += _differences(before, now, f"{place}{key}.")
        elif before != now:
            found.append(f"{place}{key}: {before}, now {now}")
    return found


@contextmanager
def _storage(path: Path) -> Iterator[Any]:
    """The studies' file, with optuna's own messages off while it is open."""
    import optuna
    from sqlalchemy import URL

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(
        URL.create("sqlite", database=os.fspath(path.absolute())).render_as_string()
    )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()
        optuna.logging.set_verbosity(level)


def _share(ends: float | None, members: int) -> float | None:
    """When the next of so many members must have begun its last trial."""
    now = time.monotonic()
    return None if ends is None else now + max(ends - now, 0.0) / members


def _write_trials(folder: ModelFolder, searches: list[Search]) -> pd.DataFrame:
    rows = []
    for search in searches:
        trials = search.finished_trials()
        best = search.best(trials) if trials else None
        rows += [
            {
                **asdict(t),
                "settings": json.dumps(t.settings),
                "fold_values": list(t.fold_values),
                "best": t is best,
            }
            for t in trials
        ]
    columns = ["member", "number", "state", "value", "settings", "fold_values", "seconds", "best"]
    trials_ = pd.DataFrame(rows, columns=columns).astype(
        {"value": "float64", "seconds": "float64", "best": "bool"}
    )
    folder.write_frame("trials.parquet", trials_)
    return trials_


def _judged(search: Search, problem: Problem, settings: TuneSettings) -> Tuned:
    """The best trial of a member against its default, on the same clips."""
    trials = search.finished_trials()
    default, best = trials[0], search.best(trials)
    first, second = search.predictions(default), search.predictions(best)
    options: dict[str, Any] = {
        "seed": settings.seed,
        "n_resamples": settings.resamples,
        "multilabel": problem.part.multilabel,
    }
    pair = (second, first) if problem.larger_is_better else (first, second)
    part = problem.part
    gain = paired_differences(part.y, *pair, part.classes, part.groups, **options)[settings.metric]
    search.keep_only({default.number, best.number})
    n_pruned = sum(t.state == "pruned" for t in trials)
    return Tuned(
        search.member,
        best.number,
        best.settings,
        float(default.value),
        float(best.value),
        gain,
        len(trials),
        n_pruned,
    )


def _write_result(
    folder: ModelFolder, settings: TuneSettings, found: Mapping[str, Tuned], material: Material
) -> None:
    shown = {
        name: {**asdict(tuned), "gain": tuned.gain.to_json(), "verdict": tuned.gain_text}
        for name, tuned in found.items()
    }
    split = material.split
    on = {
        "n": len(split.train),
        "n_groups": len(set(material.groups[split.train])),
        "n_folds": len(split.folds()),
        "split": split.digest,
    }
    folder.write_json("tuning.json", {"metric": settings.metric, **on, "members": shown})
    heading = f"# quintet tune: {settings.metric} out of fold on the training part, seed {settings.seed}"
    lines = [f"{heading}. For `quintet {'run' if settings.base else 'train'} … --settings FILE`"]
    for name, t in found.items():
        lines += ["", f"[train.settings.{name}]"]
        lines.append(
            f"# default {t.default_value:.4f}, best of {t.n_trials} trials {t.best_value:.4f}: {t.gain_text}"
        )
        lines += [f"{key} = {_toml(value)}" for key, value in t.settings.items()]
    temporary = folder.path / ".best.toml.tmp"
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(temporary, folder.path / "best.toml")


def _toml(value: Any) -> str:
    """A setting as TOML writes it.

    Example:
        >>> _toml({"mixup": 0.25, "names": ["a", True]})
        '{mixup = 0.25, names = ["a", true]}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(np.asarray(value).item())
