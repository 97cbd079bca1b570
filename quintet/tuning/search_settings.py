"""Settings of a search: members, metric, split and number of trials, with the checks before it starts."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from quintet.audio.augment import AudioAugmentation
from quintet.classifiers.penalties import settings_without_auto
from quintet.classifiers.registry import TABLE_MEMBERS, check_member
from quintet.errors import ConfigError, MissingExtraError, unknown_name
from quintet.settings import (
    LARGEST_SEED,
    MOST_FOLDS,
    MOST_RESAMPLES,
    Stage,
    TomlTable,
    merge_settings,
    parse_settings,
)
from quintet.training.settings import SPLIT_SETTINGS, Protocol, TrainSettings
from quintet.tuning.spaces import Range, search_space


@dataclass(frozen=True)
class SearchBudget:
    """Limits of a search.

    Args:
        n_trials: trials per member, the default among them. A search with more trials than before continues.
        timeout_s: seconds after which no new trial starts, divided evenly among the members. The default is
            always fitted.
    """

    n_trials: int = 30
    timeout_s: float | None = None


class TuneSettings(Stage):
    """Members of a search, their fixed settings, and the rows on which they are compared.

    The options of the split must be those of the training that follows.

    Args:
        members: names of the members to tune.
        settings: member → settings that are fixed, not searched.
        base: member → settings of the recipe that is tuned. The search starts from them.
        decided: names of settings that another section of the recipe decides. They are not searched.
        augmentation: augmentation of the audio of training clips, for networks.
        metric: `log_loss` (smaller is better) or `macro_auc`, out of fold on the training part.
        pruning: whether a trial that is worse than the median of the earlier trials stops early.
        protocol: as in `TrainSettings`.
        split_values: as in `TrainSettings`.
        test_size: share of the clips in the test part, which is never used here.
        folds: number of folds. None means 5, or fewer if a class has fewer groups.
        seed: seed of the split, the members and the search.
        resamples: bootstrap resamples for the interval of the gain.
    """

    members: tuple[str, ...] = TABLE_MEMBERS
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    base: dict[str, dict[str, Any]] = Field(default_factory=dict)
    decided: tuple[str, ...] = ()
    augmentation: AudioAugmentation | None = None
    metric: Literal["log_loss", "macro_auc"] = "log_loss"
    pruning: bool = True
    protocol: Protocol = "auto"
    split_values: dict[str, str] = Field(default_factory=dict)
    test_size: float = Field(default=0.2, ge=0.0, lt=1.0)
    folds: int | None = Field(default=None, ge=2, le=MOST_FOLDS)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    resamples: int = Field(default=1000, ge=0, le=MOST_RESAMPLES)

    @property
    def training(self) -> TrainSettings:
        """Settings of the training that has the same split. They check the shared options."""
        shared = {"members", "resamples", "augmentation", *SPLIT_SETTINGS}
        content = self.model_dump(include=shared)
        content["settings"] = {name: self.base_settings(name) for name in self.members}
        return parse_settings(TrainSettings, content, where="quintet tune")

    def base_settings(self, member: str) -> TomlTable:
        """Settings of a member if nothing is searched."""
        return merge_settings(self.base.get(member, {}), self.settings.get(member, {}))

    def space(self, member: str) -> dict[str, Range]:
        """Settings of a member that are searched, with their ranges.

        Raises:
            ConfigError: no such member, or nothing is left to search.
        """
        fixed = {**self.settings.get(member, {}), **dict.fromkeys(self.decided)}
        return search_space(member, fixed)


def check_search(settings: TuneSettings, n_trials: int) -> None:
    """Refuse a search that cannot work, before anything runs.

    Args:
        settings: the search.
        n_trials: trials per member.

    Raises:
        MissingExtraError: optuna is not installed.
        ConfigError: no trials, no members, unknown settings, or nothing left to search.
        ArtefactError: pretrained weights that cannot be had.
    """
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("A search for settings", "tune")
    if n_trials < 1:
        raise ConfigError(f"A search must have at least one trial, the default. Received {n_trials}.")
    if not settings.members:
        raise ConfigError("A search must have at least one member. Received none.")
    for name in settings.members:
        settings.space(name)
        check_member(name, settings_without_auto(name, settings.base_settings(name)))
    strays = sorted(set(settings.settings) - set(settings.members))
    if strays:
        raise unknown_name("member whose settings are held", strays[0], settings.members)
