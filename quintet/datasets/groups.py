"""Groups of clips that must stay on one side of a split: their names, and the check that no group is on both sides."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import SplitLeakError


def group_name(group: object) -> str:
    """What a group is called: the same for equal numbers, and for a text with whatever blanks around it and however its accents are composed.

    Two spellings of one artist would be two groups, and the artist would stand on both sides of a split.

    Example:
        >>> group_name(" Queen "), group_name(3.0) == group_name(3), group_name("Beyonce\N{COMBINING ACUTE ACCENT}") == group_name("Beyoncé")
        ('Queen', True, True)
    """
    if isinstance(group, (float, np.floating)) and group.is_integer():
        group = int(group)
    return unicodedata.normalize("NFC", str(group)).strip()


def group_names(groups: ArrayLike) -> NDArray[np.str_]:
    """`group_name` of every row, shape `(n,)`.

    Example:
        >>> group_names(["Queen ", 3.0, 3]).tolist()
        ['Queen', '3', '3']
    """
    return np.array([group_name(group) for group in np.asarray(groups, dtype=object)], dtype=np.str_)


def require_disjoint(groups_a: Iterable[object], groups_b: Iterable[object], *, where: str) -> None:
    """Refuses two sides that share a group. Called at the moment of every fit.

    Args:
        groups_a: the groups of one side.
        groups_b: the groups of the other.
        where: what the two sides are, in words, for the message: "train and test".

    Raises:
        SplitLeakError: if any group is on both; `groups` names them.

    Example:
        >>> require_disjoint(["queen", "kinks"], ["who"], where="train and test")
    """
    shared = tuple(sorted(set(map(group_name, groups_a)) & set(map(group_name, groups_b))))
    if shared:
        more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
        raise SplitLeakError(
            f"No group may stand on both sides of a split. In {where} there are {len(shared)} on both: {', '.join(shared[:5])}{more}. "
            "Divide by group (protocol 'group').",
            shared,
        )
