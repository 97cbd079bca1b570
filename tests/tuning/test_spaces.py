"""Search spaces: each member has one, and its default lies in it."""

from __future__ import annotations

import pytest

from quintet.classifiers.registry import MEMBERS, make_member
from quintet.errors import ConfigError
from quintet.settings import flatten_settings, nest_settings
from quintet.tuning.spaces import SPACES, default_point, search_space


def test_every_member_has_a_space() -> None:
    assert set(SPACES) == {row.name for row in MEMBERS}


@pytest.mark.parametrize("member", SPACES)
def test_a_space_has_settings_of_the_member_and_contains_its_default(member: str) -> None:
    space = search_space(member)
    point = default_point(member, space, {}, n_columns=50)
    for name, limits in space.items():
        kind, *rest = limits
        assert point[name] in rest if kind == "choice" else rest[0] <= point[name] <= rest[1]
    parameters = make_member(member).get_params(deep=False)
    defaults = flatten_settings({name: value for name, value in parameters.items() if value is not None})
    for name in set(point) & set(defaults) - {"gamma"}:
        assert point[name] == defaults[name], "the default lies inside the range"
    assert make_member(member, **nest_settings(point)).get_params()["seed"] == 0


def test_fixed_settings_are_not_searched() -> None:
    assert set(search_space("svm", {"C": 1.0})) == {"gamma"}
    names = search_space("vgg_small", {"augmentation": {"mixup": 0.1}})
    assert not [name for name in names if name.startswith("augmentation")]
    with pytest.raises(ConfigError, match="C, gamma"):
        search_space("svm", {"C": 1.0, "gamma": 0.1})
