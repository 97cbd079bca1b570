"""Sizes of members at many rows: settings with which a fit takes hours where it would take days.

Up to `MANY_ROWS` training rows nothing changes. Above, a member gets the settings of `SIZES` that the user
did not choose. The rows of the whole training part decide, so that the members of the folds are of the same
kind as the final one. docs/scaling.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quintet.classifiers.views import split_name
from quintet.files.json_types import JsonObject

MANY_ROWS = 10_000
"""Training rows above which members get the settings of `SIZES`."""

SIZES: Mapping[str, JsonObject] = {
    "svm": {"landmarks": 3_000},
    "random_forest": {"max_samples": 20_000, "max_features": "sqrt"},
    "xgboost": {"early_stopping_rounds": 10},
}
"""Kind of member → settings at many rows."""

WORDS = {
    "landmarks": "the SVM has {landmarks:,} landmarks in place of all rows (Nyström)",
    "max_samples": "each tree of the random forest is drawn from {max_samples:,} rows",
    "max_features": "a split of the random forest tries the root of the number of columns",
    "early_stopping_rounds": (
        "boosting stops after {early_stopping_rounds} rounds without gain on a tenth of the groups"
    ),
}


def sized_settings(name: str, settings: Mapping[str, object], n_rows: int) -> JsonObject:
    """The settings of a member, with those that many rows ask for.

    Args:
        name: such as `svm` or `svm@tags`.
        settings: settings that were chosen; they are kept.
        n_rows: rows of the training part.

    Example:
        >>> sized_settings("svm", {"C": 3.0}, 10_001)
        {'landmarks': 3000, 'C': 3.0}
        >>> sized_settings("svm", {"landmarks": None}, 10_001), sized_settings("svm", {}, 10_000)
        ({'landmarks': None}, {})
    """
    own = SIZES.get(split_name(name)[0], {}) if n_rows > MANY_ROWS else {}
    return {**own, **settings}


def size_note(
    members: Iterable[str], settings: Mapping[str, Mapping[str, object]], n_rows: int
) -> str | None:
    """One sentence about the members whose sizes many rows changed; None if there are none.

    Args:
        members: their names.
        settings: member → settings that were chosen.
        n_rows: rows of the training part.
    """
    parts: dict[str, None] = {}
    for name in members:
        kind = split_name(name)[0]
        own, chosen = SIZES.get(kind, {}), settings.get(name, {})
        for setting in own if n_rows > MANY_ROWS else ():
            if setting not in chosen:
                parts[WORDS[setting].format(**own)] = None
    if not parts:
        return None
    return f"{n_rows:,} training rows are many, so sizes are bounded: {'; '.join(parts)}."
