"""Public names of the package."""

from __future__ import annotations

import quintet


def test_each_public_name_can_be_imported() -> None:
    for name in quintet.__all__:
        assert getattr(quintet, name).__name__ == name


def test_the_public_names_and_their_modules_are_one_list() -> None:
    assert set(quintet.__all__) == set(quintet._HOMES)
