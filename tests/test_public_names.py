"""The public names are what they say, and nothing else."""

from __future__ import annotations

import quintet


def test_every_public_name_loads_and_lives_where_it_is_said() -> None:
    for name in quintet.__all__:
        thing = getattr(quintet, name)
        assert thing.__name__ == name


def test_the_list_is_complete_both_ways() -> None:
    assert set(quintet.__all__) == set(quintet._HOMES)
