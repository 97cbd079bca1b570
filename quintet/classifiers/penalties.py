"""Penalties that can be chosen for a member: which setting, and the values that are tried.

A member that sees a pretrained view has a ladder by default: few clips need a far stronger penalty there than
the hand-made columns do (docs/pretrained.md). Any other member of the same kind has one if its setting is
`"auto"`, such as `logistic_regression.C=auto`. A value that is given is not searched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from quintet.classifiers.views import is_pretrained_view, split_name
from quintet.files.json_types import JsonObject

AUTO = "auto"


class Ladder(NamedTuple):
    """Values of a setting, from the strongest penalty to the weakest.

    Args:
        setting: name of the setting.
        values: at least two.
    """

    setting: str
    values: tuple[float, ...]


LADDERS: Mapping[str, Ladder] = {
    "logistic_regression": Ladder("C", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)),
    "random_forest": Ladder("min_samples_leaf", (8, 4, 1)),
}
"""Kind of member → the penalties that are tried."""


def find_ladder(name: str, settings: Mapping[str, object]) -> Ladder | None:
    """The penalties that are tried for a member; None if its penalty is decided.

    Args:
        name: such as `logistic_regression@tags`.
        settings: the settings that it was given.

    Example:
        >>> find_ladder("random_forest@tags", {}).setting
        'min_samples_leaf'
        >>> find_ladder("random_forest@tags", {"min_samples_leaf": 2}) is None
        True
        >>> find_ladder("logistic_regression", {}) is None
        True
    """
    kind, view = split_name(name)
    ladder = LADDERS.get(kind)
    if ladder is None:
        return None
    given = settings.get(ladder.setting)
    searched = given == AUTO or (ladder.setting not in settings and is_pretrained_view(view))
    return ladder if searched else None


def settings_without_auto(name: str, settings: Mapping[str, object]) -> JsonObject:
    """The settings of a member without a penalty that is yet to be chosen.

    Example:
        >>> settings_without_auto("logistic_regression", {"C": "auto"})
        {}
        >>> settings_without_auto("svm", {"C": 3.0})
        {'C': 3.0}
    """
    ladder = LADDERS.get(split_name(name)[0])
    if ladder is None or settings.get(ladder.setting) != AUTO:
        return dict(settings)
    return {key: value for key, value in settings.items() if key != ladder.setting}
