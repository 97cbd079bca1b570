"""Settings of training: members, fusion rules, split, seed and learning curve."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from quintet.audio.augment import AudioAugmentation
from quintet.classifiers.registry import DEFAULT_MEMBERS, member_entry
from quintet.ensemble import RULE_NAMES
from quintet.errors import unknown_name
from quintet.files.json_types import JsonObject
from quintet.settings import LARGEST_SEED, MOST_FOLDS, MOST_RESAMPLES, Stage

Protocol = Literal["auto", "group", "sound", "random", "given"]

SPLIT_SETTINGS = ("protocol", "split_values", "test_size", "folds", "seed")
"""Names of the settings that decide the split. A search has them too."""


class LearningCurveSettings(Stage):
    """Settings of a learning curve. Members are fitted on growing shares of every training fold and on the
    whole fold.

    Args:
        shares: shares of the groups of every training fold, rising, in (0, 1). The whole folds are added.
        repeats: number of draws of each share.
        members: members of the curve. Default: the members of the run that read tables.
    """

    shares: tuple[float, ...] = (0.25, 0.35, 0.5, 0.7)
    repeats: int = Field(default=3, ge=2, le=1_000)
    members: tuple[str, ...] = ()

    @field_validator("shares")
    @classmethod
    def _require_rising(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(shares) < 2 or not all(low < high for low, high in pairwise((0.0, *shares, 1.0))):
            raise ValueError(
                "Shares must be two or more that rise between 0 and 1. "
                f"Received: {', '.join(map(str, shares))}."
            )
        return shares


class TrainSettings(Stage):
    """Settings of training: members, fusion rules, split and scores.

    Args:
        members: names of the members.
        settings: member → its settings.
        rules: fusion rules that are fitted and compared.
        rule: rule of the ensemble; `auto` for the rule that does best on the training part.
        protocol: `group` keeps groups together. `sound` keeps clips together that sound alike, where groups
            are not known. `random` ignores groups on purpose, and its scores are marked. `given` follows the
            `split` column of the data. `auto` is `given` if the data have that column, `group` if groups are
            known, and `sound` otherwise.
        target: folder of songs (or feature table) that the model is to serve, under `sound`: the clips that
            stay together are chosen so that folds are as far from their training part as these songs are.
        protocols: splits of the leak gate, which compares the same members under each of them.
        split_values: value of the `split` column → part (`train`, `valid`, `test`, `unused`), for values that
            are no part's name. Clips of `unused` are left out.
        test_size: share of the clips that is held out for the test part, in [0, 1).
        folds: number of folds; None for 5, or fewer if a class has fewer groups.
        seed: controls all randomness.
        resamples: number of bootstrap resamples for intervals; 0 for no intervals.
        ensembles: name → two or more members, whose plain mean is scored beside the members.
        augmentation: augmentation of the audio of training clips, for networks.
        learning_curve: settings of the learning curve; true for the default settings.
    """

    members: tuple[str, ...] = DEFAULT_MEMBERS
    settings: dict[str, JsonObject] = Field(default_factory=dict)
    rules: tuple[str, ...] = RULE_NAMES
    rule: str = "auto"
    protocol: Protocol = "auto"
    target: str | None = None
    protocols: tuple[Literal["random", "group", "sound", "given"], ...] = ()
    split_values: dict[str, str] = Field(default_factory=dict)
    test_size: float = Field(default=0.2, ge=0.0, lt=1.0)
    folds: int | None = Field(default=None, ge=2, le=MOST_FOLDS)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    resamples: int = Field(default=1000, ge=0, le=MOST_RESAMPLES)
    ensembles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    augmentation: AudioAugmentation | None = None
    learning_curve: LearningCurveSettings | None = None

    @field_validator("learning_curve", mode="before")
    @classmethod
    def _accept_switch(cls, given: object) -> object:
        """Accept true for the default settings and false for none."""
        if given is True:
            return {}
        return None if given is False else given

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        self._require_members()
        self._require_rules()
        if self.rule != "auto" and self.rule not in self.rules:
            raise ValueError(
                f"The rule must be 'auto' or one of the rules ({', '.join(self.rules)}). "
                f"Received '{self.rule}'."
            )
        if self.target is not None and self.protocol not in ("sound", "auto"):
            raise ValueError(
                "A target chooses clips that stay together, so the protocol must be 'sound'. "
                f"Received '{self.protocol}'."
            )
        if len(set(self.protocols)) == 1:
            raise ValueError(f"The leak gate compares at least two protocols. Received: {self.protocols[0]}.")
        for name in self.members:
            member_entry(name)
        self._require_ensembles()
        curve_members = self.learning_curve.members if self.learning_curve else ()
        absent = sorted(set(curve_members) - set(self.members))
        if absent:
            raise ValueError(
                f"A learning curve is drawn by members that take part. Received: {', '.join(absent)}."
            )
        absent = sorted(set(self.settings) - set(self.members))
        if absent:
            raise ValueError(
                f"Settings must be for members that take part. Received settings for: {', '.join(absent)}."
            )
        return self

    def _require_members(self) -> None:
        if not self.members:
            raise ValueError("There must be at least one member. Received none.")
        if len(set(self.members)) != len(self.members):
            raise ValueError(f"Members must differ. Received: {', '.join(self.members)}.")

    def _require_rules(self) -> None:
        if not self.rules:
            raise ValueError(
                f"There must be at least one fusion rule ({', '.join(RULE_NAMES)}). Received none."
            )
        if len(set(self.rules)) != len(self.rules):
            raise ValueError(f"Fusion rules must differ. Received: {', '.join(self.rules)}.")
        for rule in self.rules:
            if rule not in RULE_NAMES:
                raise unknown_name("fusion rule", rule, RULE_NAMES)

    def _require_ensembles(self) -> None:
        for name, members in self.ensembles.items():
            is_taken = name in self.members or name in self.rules
            if is_taken or len(members) < 2 or not set(members) <= set(self.members):
                raise ValueError(
                    "An ensemble must have a new name and join two or more members that take part. "
                    f"Received {name}: {', '.join(members)}."
                )
