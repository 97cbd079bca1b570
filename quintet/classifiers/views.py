"""Views: which columns of a feature table a member sees, and the names of members with views.

`svm@tags_msd` is the member `svm` that sees the columns of the feature family `tags_msd` only. A view is one
name, or several joined by `+`:

| name | columns |
|---|---|
| `handmade` | all columns that no pretrained network gave; the view of a member without `@` |
| `tags`, `embedding` | the means of all tag families, or of all embedding families |
| a family: `tags_msd`, `cepstral` | its columns; of a pretrained family, the means over windows |
| a pretrained family and a statistic, such as `tags_msd.std` | its columns of this statistic |
| `all` | every column |

A family is pretrained if its name starts with `tags_` or `embedding_`. Its columns are named
`family.name.statistic`, such as `tags_msd.happy.mean`; a column without `.std` at its end counts as a mean.
The deviation over the windows of a clip is left out because it makes scores of short clips worse
(docs/pretrained.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError
from quintet.features.catalogue import MEAN_STD, feature_family
from quintet.features.embedding_columns import EMBEDDING_FAMILY, TAG_FAMILY, split_column

if TYPE_CHECKING:
    from quintet.classifiers.member import Member

HANDMADE, TAGS, EMBEDDING, ALL = "handmade", "tags", "embedding", "all"
SPECTROGRAM = "spectrogram"
"""The view of a network. It is no set of columns, and it stands in no name."""
PREFIXES = {TAGS: TAG_FAMILY, EMBEDDING: EMBEDDING_FAMILY}
"""Group of pretrained families → how the names of its families start."""

_VIEW = re.compile(r"[A-Za-z0-9_.-]+(\+[A-Za-z0-9_.-]+)*")


def split_name(name: str) -> tuple[str, str | None]:
    """Kind and view of a member.

    Args:
        name: such as `svm` or `svm@tags_msd`.

    Returns:
        The name in the registry, and the view; None for a name without one.

    Raises:
        ConfigError: there is an `@` without a view behind it.

    Example:
        >>> split_name("svm@tags_msd"), split_name("svm")
        (('svm', 'tags_msd'), ('svm', None))
    """
    kind, at, view = name.partition("@")
    if not at:
        return kind, None
    if not _VIEW.fullmatch(view):
        raise ConfigError(
            "A member with a view must be written MEMBER@VIEW, such as svm@tags or svm@tags_msd+tags_mtt. "
            f"Received '{name}'."
        )
    return kind, view


def join_name(kind: str, view: str | None) -> str:
    """The name of a member from its kind and its view; the inverse of `split_name`.

    Example:
        >>> join_name("svm", "tags_msd"), join_name("svm", None)
        ('svm@tags_msd', 'svm')
    """
    return kind if view is None else f"{kind}@{view}"


def member_name(member: Member) -> str:
    """The name of a member with its view."""
    return join_name(member.member, getattr(member, "view", None))


def network_group(column: str) -> str | None:
    """Group of the pretrained family of a column: `tags`, `embedding`, or None for a hand-made column.

    Example:
        >>> network_group("tags_msd.happy.mean"), network_group("cepstral.mfcc_01.mean")
        ('tags', None)
    """
    parts = split_column(column)
    if parts is None:
        return None
    return TAGS if parts.is_tag else EMBEDDING


def is_pretrained_view(view: str | None) -> bool:
    """Whether a view has columns of pretrained families.

    Example:
        >>> is_pretrained_view("tags_msd.std"), is_pretrained_view("cepstral"), is_pretrained_view(None)
        (True, False, False)
    """
    parts = [] if view is None else view.split("+")
    return any(part in (*PREFIXES, ALL) or part.startswith(tuple(PREFIXES.values())) for part in parts)


def column_view(column: str) -> str:
    """The view that a column belongs to: `handmade`, `tags` or `embedding`."""
    return network_group(column) or HANDMADE


def table_views(columns: Iterable[str]) -> tuple[str, ...]:
    """The views of a table that members see by default: those of `handmade`, `tags`, `embedding` it has.

    Example:
        >>> table_views(["embedding_vgg_msd.017.mean", "rhythm.tempo.bpm"])
        ('handmade', 'embedding')
    """
    present = {column_view(str(column)) for column in columns}
    return tuple(view for view in (HANDMADE, TAGS, EMBEDDING) if view in present)


def view_positions(view: str | None, columns: Sequence[str]) -> NDArray[np.int64]:
    """Positions of the columns of a view, ascending.

    Args:
        view: a view; None for `handmade`, or for all columns if the table has none that is hand-made.
        columns: names of the columns of the table.

    Raises:
        ConfigError: a part of the view has no column in the table. The message lists the views of the table.

    Example:
        >>> columns = ["rhythm.tempo.bpm", "tags_msd.happy.mean", "tags_msd.happy.std"]
        >>> [view_positions(view, columns).tolist() for view in (None, "tags", "tags_msd.std", "all")]
        [[0], [1], [2], [0, 1, 2]]
    """
    names = [str(column) for column in columns]
    if view is None:
        own = [j for j, name in enumerate(names) if network_group(name) is None]
        return np.array(own or range(len(names)), dtype=np.int64)
    chosen: set[int] = set()
    for part in view.split("+"):
        sees = _part(part)
        found = [j for j, name in enumerate(names) if sees(name)]
        if not found:
            raise ConfigError(_absent(part, names))
        chosen.update(found)
    return np.array(sorted(chosen), dtype=np.int64)


def embedding_positions(columns: Sequence[str]) -> NDArray[np.int64]:
    """Positions of the columns of embeddings, whose tails are compressed where columns are scaled.

    Tags keep their scale: how near a probability is to 1 tells more than how far it is from those of other
    clips. Hand-made columns gain so little that an ensemble does not show it.

    Args:
        columns: names of the columns of the table.

    Example:
        >>> embedding_positions(["rhythm.tempo.bpm", "tags_x.happy.mean", "embedding_x.001.mean"]).tolist()
        [2]
    """
    return np.flatnonzero([network_group(str(name)) == EMBEDDING for name in columns])


def require_views(members: Iterable[str], columns: Sequence[str]) -> None:
    """Refuse members whose views a table does not have, before anything is fitted.

    Args:
        members: names of members.
        columns: names of the columns of the table.

    Raises:
        ConfigError: a view has no column.
    """
    for name in members:
        _, view = split_name(name)
        if view is not None:
            view_positions(view, columns)


def _part(part: str) -> Callable[[str], bool]:
    """Whether a column belongs to one part of a view."""
    if part == ALL:
        return lambda column: True
    if part == HANDMADE:
        return lambda column: network_group(column) is None
    if part in PREFIXES:
        return lambda column: network_group(column) == part and _statistic(column) == "mean"
    family, _, statistic = part.rpartition(".")
    if not family or statistic not in MEAN_STD:
        family, statistic = part, "mean"
    return lambda column: (
        feature_family(column) == family
        and (network_group(column) is None or _statistic(column) == statistic)
    )


def _statistic(column: str) -> str:
    parts = split_column(column)
    return "mean" if parts is None else parts.statistic or "mean"


def _absent(part: str, columns: Sequence[str]) -> str:
    """The message for a view that the table does not have."""
    families = dict.fromkeys(feature_family(name) for name in columns if "." in name)
    views = [*table_views(columns), *families]
    shown = ", ".join(views[:12]) + (", …" if len(views) > 12 else "")
    return (
        f"A view must have columns in the table. It has none for '{part}'. Its views are: {shown}. "
        "Pretrained families come from `quintet extract --embeddings`."
    )
