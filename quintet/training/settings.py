"""Settings of training: members, fusion rules, split, seed and learning curve."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from quintet.audio.augment import AudioAugmentation
from quintet.classifiers.registry import member_entry
from quintet.settings import Stage

Protocol = Literal["auto", "group", "random", "given"]


class LearningCurveSettings(Stage):
    """What more data would bring: `members` (default: those of the run that read tables) trained on `shares` of the groups of every training fold,
    drawn `repeats` times; the whole folds come on top."""

    shares: tuple[float, ...] = (0.25, 0.35, 0.5, 0.7)
    repeats: int = Field(default=3, ge=2)
    members: tuple[str, ...] = ()

    @field_validator("shares")
    @classmethod
    def _rise(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(shares) < 2 or not all(low < high for low, high in pairwise((0.0, *shares, 1.0))):
            raise ValueError(
                f"Shares must be two or more that rise between 0 and 1. Received: {', '.join(map(str, shares))}."
            )
        return shares


class TrainSettings(Stage):
    """How members are trained, joined and judged.

    `protocol`: `group` keeps groups together, `random` ignores them on purpose (its scores are stamped), `given` follows the
    data's own `split` column, `auto` takes `given` where there is such a column and `group` otherwise. `protocols`: the leak gate
    compares the same members under these splits, beside the run itself. `folds`: None is 5, or fewer where a class lies in fewer groups.
    `ensembles`: name → some of the members, whose plain mean is judged beside them. `augmentation`: of the audio of training clips, for networks.
    `learning_curve`: true, or its settings: what more data would bring.
    """

    members: tuple[str, ...] = ("logistic_regression", "random_forest", "xgboost", "svm", "vgg_small")
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rules: tuple[str, ...] = ("mean", "geometric", "weighted", "greedy", "stacked")
    rule: str = "auto"
    protocol: Protocol = "auto"
    protocols: tuple[Literal["random", "group", "given"], ...] = ()
    test_size: float = Field(default=0.2, ge=0.0, lt=1.0)
    folds: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)
    resamples: int = Field(default=1000, ge=0)
    ensembles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    augmentation: AudioAugmentation | None = None
    learning_curve: LearningCurveSettings | None = None

    @field_validator("learning_curve", mode="before")
    @classmethod
    def _switched_on(cls, given: Any) -> Any:
        return {} if given is True else None if given is False else given

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        if not self.members:
            raise ValueError("There must be at least one member. Received none.")
        if len(set(self.members)) != len(self.members):
            raise ValueError(f"Members must differ. Received: {', '.join(self.members)}.")
        if self.rule != "auto" and self.rule not in self.rules:
            raise ValueError(
                f"The rule must be 'auto' or one of the rules ({', '.join(self.rules)}). Received '{self.rule}'."
            )
        if len(set(self.protocols)) == 1:
            raise ValueError(f"The leak gate compares at least two protocols. Received: {self.protocols[0]}.")
        for name in self.members:
            member_entry(name)
        for name, members in self.ensembles.items():
            if (
                name in self.members
                or name in self.rules
                or len(members) < 2
                or not set(members) <= set(self.members)
            ):
                raise ValueError(
                    f"An ensemble must have a name of its own and join members that take part. Received {name}: {', '.join(members)}."
                )
        if stray := sorted(
            set(self.learning_curve.members) - set(self.members) if self.learning_curve else ()
        ):
            raise ValueError(
                f"A learning curve is drawn by members that take part. Received: {', '.join(stray)}."
            )
        if stray := sorted(set(self.settings) - set(self.members)):
            raise ValueError(
                f"Settings must be for members that take part. Received settings for: {', '.join(stray)}."
            )
        return self
