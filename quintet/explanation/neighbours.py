"""Training clips nearest to a track in the space of the hand-made features, and how unusual the distance is.

In: features of the training clips and of a track. Out: `Neighbours`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.errors import AlignmentError
from quintet.explanation.contracts import Floats

RELATIVE_ROUNDING = 1e-12
"""Deviation of a constant column, caused by rounding, as a share of its largest value."""
LIMIT = 8.0
"""Standard deviations at which a column is clipped, so that one extreme column does not decide a distance."""
N_REFERENCE = 400
"""Training clips whose distances to their own nearest clip show which distance is typical."""
AT_ONCE = 256
"""Rows whose distances are computed at once."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest training clips of a track.

    Args:
        nearest: columns `id, label, group, distance`, nearest first.
        typical_distance: median distance of a training clip to its nearest clip of another group.
        distance_percentile: share of training clips that are nearer to their nearest clip than the track is
            to its nearest. 0.99 means that the track is unlike all training clips.
    """

    nearest: pd.DataFrame
    typical_distance: float
    distance_percentile: float


def nearest_tracks(
    train: pd.DataFrame, rows: pd.DataFrame, about: pd.DataFrame, *, k: int = 8, seed: int = 0
) -> Neighbours:
    """The `k` training clips nearest to a track.

    Each column is measured in standard deviations of the training clips and clipped at ±8. A missing value
    counts as the mean. The distance is the root of the mean over columns of the squared difference (two
    unrelated clips: about √2), averaged over the segments of the track.

    Args:
        train: (n, d) features of the training clips, indexed by id.
        rows: (m, d) features of the segments of the track, the same columns.
        about: columns `label` and `group`, indexed as `train`.
        k: number of clips.
        seed: draws the training clips for the typical distance, if there are more than 400.

    Returns:
        The nearest clips, and the comparison of their distance with typical ones. Both comparisons are NaN if
        all training clips are in one group.

    Raises:
        AlignmentError: there are no training clips, or columns are missing.

    Example:
        >>> ids = ["a", "b", "c"]
        >>> train = pd.DataFrame({"x": [0.0, 1.0, 5.0], "y": [0.0, 1.0, 4.0]}, index=ids)
        >>> about = pd.DataFrame({"label": ["low", "low", "high"], "group": ids}, index=ids)
        >>> nearest_tracks(train, pd.DataFrame({"x": [4.8], "y": [4.0]}), about, k=1).nearest["id"].tolist()
        ['c']
    """
    missing = [column for column in train.columns if column not in rows.columns]
    if not len(train) or missing:
        raise AlignmentError(
            "Neighbours need training clips with the track's columns. "
            f"Received {len(train)} clips, {len(missing)} columns missing."
        )
    clips = standardise(train, train)
    segments = standardise(rows[list(train.columns)], train)
    distances = distances_between(segments, clips).mean(axis=0)
    order = np.argsort(distances, kind="stable")[:k]
    ids = train.index[order]
    groups = about.loc[train.index, "group"].astype(str).to_numpy()
    nearest = pd.DataFrame(
        {
            "id": ids.astype(str),
            "label": about.loc[ids, "label"].astype(str).to_numpy(),
            "group": groups[order],
            "distance": distances[order],
        }
    )
    rng = np.random.default_rng(seed)
    reference = _nearest_of_other_groups(clips, groups, rng)
    if not len(reference):
        return Neighbours(nearest, float("nan"), float("nan"))
    percentile = float((reference < distances[order[0]]).mean())
    return Neighbours(nearest, float(np.median(reference)), percentile)


def standardise(values: pd.DataFrame, reference: pd.DataFrame) -> Floats:
    """Columns in standard deviations from the mean of a reference table, clipped to ±8.

    Missing values become 0, the mean. Columns that do not vary in the reference are left out, whatever their
    unit is.

    Args:
        values: (n, d) features.
        reference: (m, d) features that give the mean and the deviation.

    Returns:
        (n, columns that vary).
    """
    known = reference.to_numpy(dtype=np.float64)
    known = np.where(np.isfinite(known), known, np.nan)
    has_values = np.isfinite(known).any(axis=0)
    known = known[:, has_values]
    mean = np.nanmean(known, axis=0)
    deviation = np.nanstd(known, axis=0)
    largest = np.nanmax(np.abs(known), axis=0, initial=0.0)
    varies = deviation > RELATIVE_ROUNDING * largest
    columns = values.to_numpy(dtype=np.float64)
    columns = columns[:, has_values][:, varies]
    z = (columns - mean[varies]) / deviation[varies]
    clipped = np.clip(z, -LIMIT, LIMIT)
    return np.where(np.isfinite(z), clipped, 0.0)


def distances_between(a: Floats, b: Floats) -> Floats:
    """Root of the mean over columns of the squared difference, `(n, m)`.

    Args:
        a: rows of `standardise`, `(n, d)`.
        b: likewise, `(m, d)`.

    Example:
        >>> distances_between(np.array([[0.0, 0.0]]), np.array([[1.0, 1.0], [2.0, 0.0]])).round(3).tolist()
        [[1.0, 1.414]]
    """
    n_columns = max(a.shape[1], 1)
    b_squares = (b**2).sum(axis=1)[None]
    parts = []
    for start in range(0, len(a), AT_ONCE):
        rows = a[start : start + AT_ONCE]
        row_squares = (rows**2).sum(axis=1)[:, None]
        squares = row_squares + b_squares - 2 * rows @ b.T
        squares = np.maximum(squares, 0.0)
        parts.append(np.sqrt(squares / n_columns))
    return np.concatenate(parts)


def _nearest_of_other_groups(values: Floats, groups: NDArray[np.str_], rng: np.random.Generator) -> Floats:
    """Distances of at most `N_REFERENCE` training clips to their nearest clip of another group.

    Clips without a clip of another group are left out.
    """
    positions = np.arange(len(values))
    if len(values) > N_REFERENCE:
        positions = np.sort(rng.choice(len(values), N_REFERENCE, replace=False))
    distances = distances_between(values[positions], values)
    own_groups = groups[positions]
    is_same_group = own_groups[:, None] == groups[None]
    distances[is_same_group] = np.inf
    nearest = distances.min(axis=1)
    return np.asarray(nearest[np.isfinite(nearest)])
