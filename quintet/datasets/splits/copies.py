"""Rows of a feature table that are copies of other rows, and whether a split divides them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.splits.split import Split

FEW_COLUMNS = 8
"""Below this number of columns, more different rows than copies must be there: their values may be few."""
MOST_CHANCE = 0.01
"""Pairs of equal rows that columns without relation may give by chance, if equal rows shall be copies."""
SAME_ORDER = 0.999
"""Rank correlation from which a column tells nothing that another one does not."""

Numbers = NDArray[np.intp]


def copied_rows(features: pd.DataFrame, rows: Numbers | None = None) -> Numbers:
    """Position of the first row that is equal to each row in all columns, `(n,)`.

    It is the row itself if there is no other, or if rows of so few different values may be equal by chance:
    with m different rows and c of them per value, `(m (m - 1) / 2) Π_j (Σ c (c - 1) + 1) / (m (m - 1))` pairs
    are expected. The product goes over columns whose order is not that of another one.

    Args:
        features: `(n, d)`, finite.
        rows: positions of the rows to compare, `(m,)`; the result counts within them. Default: all.

    Example:
        >>> rows = pd.DataFrame({"f": [2, 4, 2, 7, 9.1], "g": [6, 8, 6, 7, 4.2], "h": [3, 1, 3, 2, 0.5]})
        >>> copied_rows(rows).tolist(), copied_rows(rows[["f"]]).tolist()
        ([0, 1, 0, 3, 4], [0, 1, 2, 3, 4])
    """
    rows = np.arange(len(features)) if rows is None else rows
    first, inverse = _distinct(features.iloc[:, :FEW_COLUMNS], rows)
    if len(first) < len(rows):  # most tables have no copies, and their other columns need not be read
        first, inverse = _distinct(features, rows)
    positions = np.arange(len(rows))
    n_pairs = len(first) * (len(first) - 1)
    if len(first) == len(rows) or not n_pairs:
        return positions
    expected = n_pairs / 2
    ranks: list[NDArray[np.float64]] = []
    for name in features.columns:
        column = features[name].iloc[rows[first]]
        counts = column.value_counts().to_numpy()
        rank = _scaled_ranks(column)
        if len(counts) == 1 or any(abs(rank @ other) > SAME_ORDER for other in ranks):
            continue
        ranks.append(rank)
        expected *= (float((counts * (counts - 1)).sum()) + 1) / n_pairs
        if expected < MOST_CHANCE and len(ranks) >= FEW_COLUMNS:
            break
    are_few = len(ranks) < FEW_COLUMNS and 2 * len(first) < len(rows)
    return positions if are_few or expected >= MOST_CHANCE else np.asarray(first[inverse], np.intp)


def _distinct(features: pd.DataFrame, rows: Numbers) -> tuple[Numbers, Numbers]:
    """Position of the first of each kind of rows, and for each row the number of its kind."""
    hashes = pd.util.hash_pandas_object(features, index=False).to_numpy()[rows]
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return first, inverse


def _scaled_ranks(column: pd.Series) -> NDArray[np.float64]:
    """Ranks of the values, centred and of length 1: products are correlations. Zeros if all are equal."""
    ranks = column.rank().to_numpy(np.float64)
    ranks = ranks - ranks.mean()
    return np.asarray(ranks / max(float(np.linalg.norm(ranks)), 1e-9), np.float64)


def copies_notes(features: pd.DataFrame, split: Split) -> list[str]:
    """How many rows are copies, and how many of them a split divides from an equal row: one note, or none.

    Args:
        features: `(n, d)`, finite, by clip id.
        split: part and fold of each row; rows in no part do not count.
    """
    used = np.sort(np.concatenate([split.train, split.test]))
    ids, places = features.index[used], _places(split)[used]
    first = copied_rows(features, used)
    copies = np.flatnonzero(first != np.arange(len(first)))
    if not len(copies):
        return []
    n_places = pd.Series(places).groupby(first).transform("nunique").to_numpy()
    n_divided = int((n_places[copies] > 1).sum())
    example = f"{ids[copies[0]]} = {ids[first[copies[0]]]}"
    verb, more = ("equals", "") if len(copies) == 1 else ("equal", ", …")
    note = f"{_count(len(copies))} {verb} an earlier row in all columns ({example}{more})."
    if n_divided:
        note += (
            f" The split divides {n_divided} of them from equal rows, so the scores are too high. Give "
            "equal rows one group: `quintet audit TABLE --groups-to FILE` writes it, `train "
            "--groups FILE` takes it."
        )
    return [note]


def _places(split: Split) -> Numbers:
    """A number for the part or fold of each row, `(n,)`."""
    places = np.full(len(split.frame), -1)
    places[split.test] = -2
    for fold, (_, held_out) in enumerate(split.training_folds()):
        places[split.train[held_out]] = fold
    return places


def _count(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"
