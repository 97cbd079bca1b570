"""Search for the settings of a recipe's members, on the folds of its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quintet.errors import unknown_name
from quintet.files.locks import output_lock
from quintet.files.paths import name_list
from quintet.pipeline.preflight import check_recipe
from quintet.pipeline.recipe import Recipe, override_settings, require_data
from quintet.pipeline.reporter import NullReporter, Reporter
from quintet.pipeline.runner import describe_clips
from quintet.settings import TomlTable, parse_settings
from quintet.training.settings import SPLIT_SETTINGS
from quintet.tuning.search_settings import SearchBudget, TuneSettings, check_search
from quintet.tuning.tune import SearchObserver, TuningResult, tune


@dataclass(frozen=True)
class RecipeSearch:
    """What is searched in a recipe.

    Args:
        members: some of the recipe's members. None means all.
        fixed: member → settings that are not searched.
        metric: as in `TuneSettings`.
        pruning: as in `TuneSettings`.
    """

    members: tuple[str, ...] | None = None
    fixed: Mapping[str, TomlTable] = field(default_factory=dict)
    metric: str = "log_loss"
    pruning: bool = True


def tune_recipe(
    recipe: Recipe,
    output: Path,
    *,
    search: RecipeSearch | None = None,
    budget: SearchBudget | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
    n_jobs: int = 1,
) -> TuningResult:
    """Search the settings of a recipe's members, on the folds of its run, starting from its settings.

    Args:
        recipe: the recipe that is to be run with the result.
        output: folder, for example that of the run. The search is in `tuning/` below it. Search and run
            share the extracted features.
        search: members, fixed settings and metric. Default: `RecipeSearch()`.
        budget: number of trials, and time. Default: `SearchBudget()`.
        overwrite: replace a search of another configuration, which stays until the new one is whole.
        reporter: receives stages, notes, training events and trials. Default: none.
        n_jobs: worker processes for extraction and augmented copies.

    Raises:
        ConfigError: before anything runs, for settings that cannot be searched.
        ArtefactError: before anything runs, for pretrained weights that cannot be had.
    """
    search = search or RecipeSearch()
    budget = budget or SearchBudget()
    reporter = reporter or NullReporter()
    require_data(recipe)
    members = _members(recipe, search)
    settings = _search_settings(recipe, members, search)
    if not (output / "tuning").exists():
        first = override_settings(recipe, search.fixed)
        train = first.train.model_copy(update={"members": members})
        check_recipe(first.model_copy(update={"train": train}))
    check_search(settings, budget.n_trials)

    has_network = bool(set(members) & set(recipe.networks))
    spectrograms = output / "spectrograms" if has_network else None
    with output_lock(output):
        describe_clips(recipe, output, spectrograms, reporter=reporter, n_jobs=n_jobs)
    with reporter.stage("searching") as progress:
        return tune(
            output / "features.parquet",
            output / "tuning",
            settings=settings,
            spectrograms=spectrograms,
            budget=budget,
            overwrite=overwrite,
            observer=SearchObserver(reporter.event, reporter.trial, progress),
            n_jobs=n_jobs,
        )


def _members(recipe: Recipe, search: RecipeSearch) -> tuple[str, ...]:
    """Names of the members that are tuned."""
    if search.members is None:
        return recipe.train.members
    members = name_list(search.members)
    for name in members:
        if name not in recipe.train.members:
            raise unknown_name(f"member of the recipe '{recipe.name}'", name, recipe.train.members)
    return members


def _search_settings(recipe: Recipe, members: tuple[str, ...], search: RecipeSearch) -> TuneSettings:
    """Settings of the search, with the split and the settings of the recipe."""
    training = recipe.training
    shared = {"augmentation", "resamples", *SPLIT_SETTINGS}
    content: TomlTable = {
        "metric": search.metric,
        "pruning": search.pruning,
        "members": members,
        "settings": dict(search.fixed),
        "base": {name: training.settings.get(name, {}) for name in members},
        "decided": (),
        **training.model_dump(include=shared),
    }
    if recipe.segments is not None:
        content["decided"] = tuple(recipe.segments.frames(recipe.parameters.log_mel))
    return parse_settings(TuneSettings, content, where="quintet tune")
