"""Groups of clips that must stay on one side of a split: their names, and the check of two sides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.datasets.labels import joined_notes, one_spelling
from quintet.errors import SplitLeakError

SHOWN = 5  # groups that a message lists


def group_name(group: object) -> str:
    """Name of a group in `one_spelling`; 3.0 and 3 have the same name.

    Two spellings of one artist would be two groups, and the artist could be on both sides of a split.

    Example:
        >>> group_name(" The  Band"), group_name(3.0) == group_name(3)
        ('The Band', True)
        >>> group_name("Beyonce\N{COMBINING ACUTE ACCENT}") == group_name("Beyoncé")
        True
    """
    if isinstance(group, (float, np.floating)) and group.is_integer():
        group = int(group)
    return one_spelling(str(group))


def group_names(groups: ArrayLike) -> NDArray[np.str_]:
    """`group_name` of every row, shape `(n,)`.

    Example:
        >>> group_names(["Queen ", 3.0, 3]).tolist()
        ['Queen', '3', '3']
    """
    return np.array([group_name(group) for group in np.asarray(groups, dtype=object)], dtype=np.str_)


def group_notes(groups: Iterable[object]) -> list[str]:
    """A note about groups that are written in several ways: they are joined.

    Args:
        groups: groups as they are written, none of them missing.

    Example:
        >>> group_notes(["Queen", "Queen ", "Air"])
        ["1 group is written in several ways, which are joined: 'Queen' ('Queen', 'Queen ')."]
    """
    spellings: dict[str, list[str]] = {}
    for group in dict.fromkeys(groups):
        name = group_name(group)
        if name:
            spellings.setdefault(name, []).append(str(group))
    return joined_notes(spellings, "group")


def missing_groups_note(n_missing: int, n_clips: int) -> list[str]:
    """A note if groups are known, but not those of all clips.

    Args:
        n_missing: clips without a group.
        n_clips: all clips.

    Example:
        >>> missing_groups_note(2, 90)
        ['2 of 90 clips have no group: each is taken for a group of its own.']
    """
    if not 0 < n_missing < n_clips:
        return []
    verb = "clips has" if n_missing == 1 else "clips have"
    return [f"{n_missing} of {n_clips} {verb} no group: each is taken for a group of its own."]


def require_disjoint(groups_a: Iterable[object], groups_b: Iterable[object], *, where: str) -> None:
    """Check that two sides share no group. Called at the moment of every fit.

    Args:
        groups_a: groups of one side.
        groups_b: groups of the other side.
        where: name of the two sides for the message, such as "train and test".

    Raises:
        SplitLeakError: if any group is on both sides. Its attribute `groups` lists them.

    Example:
        >>> require_disjoint(["queen", "kinks"], ["who"], where="train and test")
    """
    names_a = set(map(group_name, groups_a))
    names_b = set(map(group_name, groups_b))
    shared = tuple(sorted(names_a & names_b))
    if shared:
        examples = ", ".join(shared[:SHOWN])
        more = f" and {len(shared) - SHOWN} more" if len(shared) > SHOWN else ""
        raise SplitLeakError(
            f"No group may stand on both sides of a split. In {where} there are {len(shared)} on both: "
            f"{examples}{more}. Divide by group (protocol 'group').",
            shared,
        )
