"""Search for the settings of members by grouped cross-validation on the training part. Entry point: `tune`.

The split and the folds are those that `train` makes with the same settings; the test part is never used. Each
member has its own search, which optuna calls a *study*: a sequence of *trials*, each with other settings. All
studies are in one sqlite file. Trial 0 has the default settings, so the result always says what the search
gained over them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from quintet import __version__
from quintet.ensemble.crossfit import Listener
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.intervals import Resampling
from quintet.evaluation.scores import Difference
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable, table_digest
from quintet.files.atomic import write_bytes
from quintet.files.digests import content_hash
from quintet.files.display.notebook import notebook_html
from quintet.files.json_types import JsonObject
from quintet.files.locks import output_lock
from quintet.files.paths import require_path
from quintet.model_folder.folder import ModelFolder
from quintet.settings import TomlTable, given_settings
from quintet.training.data import Material, gather
from quintet.training.network_size import check_network_sizes
from quintet.training.notes import run_notes
from quintet.training.spectrograms import augment_training_part, find_spectrograms
from quintet.tuning.search_folder import STUDY_FILE, claim_folder, open_studies, replace_search, write_trials
from quintet.tuning.search_settings import SearchBudget, TuneSettings, check_search
from quintet.tuning.settings_file import settings_section
from quintet.tuning.study import Problem, Search, Trial


@dataclass(frozen=True)
class SearchObserver:
    """Functions that receive what happens in a search.

    Args:
        listener: called with each training event.
        on_trial: called with each finished trial and the number of trials per member.
        progress: called with the progress of spectrograms and augmented copies.
    """

    listener: Listener | None = None
    on_trial: Callable[[Trial, int], None] | None = None
    progress: ProgressCallback | None = None


@dataclass(frozen=True)
class Tuned:
    """Result of the search for one member.

    Args:
        member: name of the member.
        best: number of the best trial. Trial 0 is the default: the default settings of the member or, if a
            recipe is tuned, the settings of the recipe.
        settings: settings of the best trial, for `train` or `run`.
        default_value: metric of the default, on out-of-fold predictions of the training part.
        best_value: metric of the best trial, on the same clips.
        gain: improvement of the best trial over the default, with its interval. Positive is better for each
            metric. Both predict the same clips, and the interval comes from resampling groups.
        n_trials: number of trials.
        n_pruned: number of trials that stopped early.
    """

    member: str
    best: int
    settings: TomlTable
    default_value: float
    best_value: float
    gain: Difference
    n_trials: int
    n_pruned: int

    @property
    def clear(self) -> bool:
        """Whether the interval of the gain is above zero."""
        return self.gain.low > 0

    @property
    def gain_text(self) -> str:
        """The gain in words. A gain whose interval includes zero may be chance."""
        if self.best == 0:
            return "nothing better than the default was found"
        if self.clear:
            return "better than the default on these folds"
        return "no clear gain: its interval includes zero"


@dataclass(frozen=True)
class TuningResult:
    """Result of a search for several members.

    Args:
        folder: the folder of the search.
        metric: `log_loss` or `macro_auc`.
        members: name of a member → its result.
        trials: one row per trial, earlier calls included.
        reused: whether all trials are from earlier calls, so that this call fitted no trial.
        protocol: name of the rule by which the clips were split, for example `group`.
        notes: what was done with the data, and which rows were left out.
    """

    folder: Path
    metric: str
    members: dict[str, Tuned]
    trials: pd.DataFrame
    reused: bool
    protocol: str
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        facts = f"Settings by {self.metric}, {len(self.trials)} trials: {self.best_file}"
        return notebook_html(facts, self.frame, notes=self.notes)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per trial: member, number, state, value and settings, earlier calls included."""
        return self.trials

    @property
    def best_file(self) -> Path:
        """The file with the best settings, for `train --settings` and `run --settings`."""
        return self.folder / "best.toml"

    def to_json(self) -> JsonObject:
        """JSON object: the folder and its files, the metric, and the result of each member."""
        return {
            "folder": str(self.folder),
            "best": str(self.best_file),
            "metric": self.metric,
            "protocol": self.protocol,
            "reused": self.reused,
            "n_trials": len(self.trials),
            "members": _member_rows(self.members),
            "notes": list(self.notes),
        }


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
    """Search for better settings of each member, on the grouped folds of the training part.

    The test part is not used. A tree-structured Parzen estimator proposes settings within the ranges of
    `quintet.tuning.spaces.SPACES`. A trial runs fold by fold. It stops early ("pruned") if it is worse than
    the median of the earlier trials at the same fold. Each proposal depends only on the seed and the finished
    trials. So a search that was interrupted can be called again, and it gives the same result. An interrupt
    (Ctrl-C) writes the best settings so far before it leaves.

    Args:
        table: a feature table (file or `FeatureTable`).
        output: folder of the search. It receives study.sqlite, trials.parquet (all trials), best.toml (for
            `train --settings`), tuning.json and predictions/. If it holds the same search, that continues.
        settings: members, metric, split and seed. Default: `TuneSettings()`.
        spectrograms: spectrogram store for networks, as in `quintet.training.train.train`.
        budget: number of trials, and time. Default: `SearchBudget()`.
        overwrite: replace a search of another configuration, which stays until the new one is whole.
        observer: functions that receive training events, trials and progress.
        n_jobs: worker processes for spectrograms and augmented copies.

    Raises:
        MissingExtraError: optuna is not installed.
        ConfigError: before anything is fitted, for settings that cannot be searched.
        DatasetError: before anything is fitted, for rows that cannot be used.
        ArtefactError: `output` holds something else, or a search of another configuration.

    Source: Bergstra et al. 2011 (TPE), as in optuna.
    """
    output = require_path(output, "`output`")
    settings = given_settings(TuneSettings, settings, "settings")
    budget = budget or SearchBudget()
    observer = observer or SearchObserver()
    check_search(settings, budget.n_trials)
    with output_lock(output):
        return _tune(table, ModelFolder(output), settings, spectrograms, budget, observer, overwrite, n_jobs)


def _tune(
    table: str | Path | FeatureTable,
    folder: ModelFolder,
    settings: TuneSettings,
    spectrograms: str | Path | None,
    budget: SearchBudget,
    observer: SearchObserver,
    overwrite: bool,
    n_jobs: int,
) -> TuningResult:
    """Search in a folder whose lock the caller holds."""
    features = table if isinstance(table, FeatureTable) else read_feature_table(table)
    material = _gather(table, features, settings, spectrograms, observer, n_jobs=n_jobs)
    problem = Problem.from_material(material, metric=settings.metric)
    place = claim_folder(folder, _configuration(settings, features, material), overwrite=overwrite)

    predictions = place.path / "predictions"
    n_new = 0

    def count(trial: Trial) -> None:
        nonlocal n_new
        n_new += 1
        if observer.on_trial is not None:
            observer.on_trial(trial, budget.n_trials)

    with open_studies(place.path / STUDY_FILE) as storage:
        searches = [
            Search(name, settings, problem, predictions / name, storage, observer.listener)
            for name in settings.members
        ]
        try:
            _run_searches(searches, budget, on_trial=count)
        except KeyboardInterrupt as interrupt:
            _keep_best(place, searches, problem, settings, material, interrupt)
            raise
        finally:
            trials = write_trials(place, _trial_rows(searches))
        members = {search.member: _compare(search, problem, settings) for search in searches}
    _write_result(place, settings, members, material)
    if place.path != folder.path:
        replace_search(folder)
    protocol = material.split.protocol
    notes = tuple(run_notes(material, settings.training))
    return TuningResult(folder.path, settings.metric, members, trials, n_new == 0, protocol, notes)


def _gather(
    table: str | Path | FeatureTable,
    features: FeatureTable,
    settings: TuneSettings,
    spectrograms: str | Path | None,
    observer: SearchObserver,
    *,
    n_jobs: int,
) -> Material:
    """Data that `train` would use with the same settings: rows, split, spectrograms, augmented copies."""
    training, progress = settings.training, observer.progress
    store = find_spectrograms(table, features, training, spectrograms, n_jobs=n_jobs, progress=progress)
    material = gather(features, training, store=store)
    check_network_sizes(material, training, listener=observer.listener)
    if training.augmentation is None:
        return material
    copies = augment_training_part(material, training, n_jobs=n_jobs, progress=progress)
    return replace(material, copies=copies)


def _configuration(settings: TuneSettings, table: FeatureTable, material: Material) -> JsonObject:
    """Everything that must stay equal if a search is to continue. The number of trials may differ."""
    spectrograms = material.spectrograms
    return {
        "quintet": __version__,
        "tune": settings.model_dump(mode="json"),
        "spaces": content_hash({name: settings.space(name) for name in settings.members}),
        "features": {"hash": table.parameter_hash, "columns": len(table.feature_names)},
        "data": {"rows": len(material.ids), "digest": table_digest(table)},
        "split": {"digest": material.split.digest},
        "spectrograms": None if spectrograms is None else spectrograms.parameter_hash,
    }


def _run_searches(searches: list[Search], budget: SearchBudget, *, on_trial: Callable[[Trial], None]) -> None:
    """Run one search after the other. Each gets an equal share of the time that is left at its start."""
    end = None if budget.timeout_s is None else time.monotonic() + budget.timeout_s
    for k, search in enumerate(searches):
        n_left = len(searches) - k
        search_end = None if end is None else _search_end(end, n_searches=n_left)
        search.run(budget.n_trials, end=search_end, on_trial=on_trial)


def _search_end(end: float, *, n_searches: int) -> float:
    """Latest time at which the next search may start a trial.

    Args:
        end: time at which all searches must end.
        n_searches: number of searches that are left, the next one included.
    """
    now = time.monotonic()
    return now + max(end - now, 0.0) / n_searches


def _trial_rows(searches: list[Search]) -> list[JsonObject]:
    """One row of trials.parquet per finished trial."""
    rows: list[JsonObject] = []
    for search in searches:
        trials = search.finished_trials()
        best = search.best(trials) if trials else None
        for trial in trials:
            row = asdict(trial)
            row["settings"] = json.dumps(trial.settings)
            row["fold_values"] = list(trial.fold_values)
            row["best"] = trial is best
            rows.append(row)
    return rows


def _compare(search: Search, problem: Problem, settings: TuneSettings) -> Tuned:
    """Compare the best trial of a member with its default, on the same clips.

    The predictions of these two trials stay in the folder; those of all others are deleted.
    """
    part, trials = problem.part, search.finished_trials()
    rows = part.evaluation_rows
    default, best = trials[0], search.best(trials)
    default_predictions, best_predictions = search.predictions(default), search.predictions(best)
    # The difference is the first minus the second: this order makes it positive if the best trial is better.
    pair = (
        (best_predictions, default_predictions)
        if problem.larger_is_better
        else (default_predictions, best_predictions)
    )
    gains = metric_differences(
        part.y[rows],
        *pair,
        part.classes,
        part.groups[rows],
        resampling=Resampling(settings.seed, settings.resamples),
        multilabel=part.multilabel,
    )
    search.keep_predictions({default.number, best.number})
    return Tuned(
        search.member,
        best.number,
        best.settings,
        float(default.value),
        float(best.value),
        gains[settings.metric],
        len(trials),
        sum(trial.state == "pruned" for trial in trials),
    )


def _keep_best(
    folder: ModelFolder,
    searches: list[Search],
    problem: Problem,
    settings: TuneSettings,
    material: Material,
    interrupt: KeyboardInterrupt,
) -> None:
    """Write the best settings of the trials that were finished before an interrupt, and note where."""
    begun = [search for search in searches if search.finished_trials()]
    if not begun:
        return
    members = {search.member: _compare(search, problem, settings) for search in begun}
    _write_result(folder, settings, members, material, interrupted=True)
    n_trials = sum(tuned.n_trials for tuned in members.values())
    interrupt.add_note(f"The best settings of {n_trials} finished trials are in {folder.path / 'best.toml'}.")


def _member_rows(members: Mapping[str, Tuned]) -> JsonObject:
    """Member → its result as a JSON object."""
    return {
        name: {**asdict(tuned), "gain": tuned.gain.to_json(), "verdict": tuned.gain_text}
        for name, tuned in members.items()
    }


def _write_result(
    folder: ModelFolder,
    settings: TuneSettings,
    members: Mapping[str, Tuned],
    material: Material,
    *,
    interrupted: bool = False,
) -> None:
    """Write tuning.json (for the report) and best.toml (for `train --settings` and `run --settings`)."""
    rows = _member_rows(members)
    split = material.split
    scored = split.valid if split.has_validation_part else split.train
    content = {
        "metric": settings.metric,
        "n": len(scored),
        "n_groups": len(set(material.groups[scored])),
        "n_folds": len(split.folds()),
        "split": split.digest,
        "members": rows,
    }
    if interrupted:
        content["interrupted"] = True
    folder.write_json("tuning.json", content)
    lines = _best_settings(settings, members)
    if interrupted:
        lines.insert(1, "# The search was interrupted: these are the best settings of the trials so far.")
    text = "\n".join(lines) + "\n"
    write_bytes(folder.path / "best.toml", text.encode("utf-8"))


def _best_settings(settings: TuneSettings, members: Mapping[str, Tuned]) -> list[str]:
    """Lines of best.toml."""
    command = "run" if settings.base else "train"  # base settings: a recipe was tuned
    lines = [
        f"# quintet tune: {settings.metric} out of fold on the training part, seed {settings.seed}. "
        f"For `quintet {command} … --settings FILE`"
    ]
    for name, tuned in members.items():
        values = f"default {tuned.default_value:.4f}, best of {tuned.n_trials} trials {tuned.best_value:.4f}"
        section = settings_section(name, tuned.settings, comment=f"{values}: {tuned.gain_text}")
        lines += ["", *section]
    return lines
