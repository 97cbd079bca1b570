"""The training clips that lie nearest to a track in the space of the hand-made features, and how strange the track is among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.errors import AlignmentError

Array = NDArray[np.float64]
LIMIT = 8.0  # standard deviations: one wild column must not decide a distance
WITNESSES = 400  # training clips whose own nearest neighbours say what is usual
AT_ONCE = 256


@dataclass(frozen=True)
class Neighbours:
    """The nearest training clips of a track.

    Args:
        nearest: columns `id, label, group, distance`, nearest first.
        typical_distance: distance that a training clip has to its nearest clip of another group, median.
        distance_percentile: share of training clips that are nearer to their nearest than the track is to its; 0.99 says that it is like nothing heard.
    """

    nearest: pd.DataFrame
    typical_distance: float
    distance_percentile: float


def nearest_tracks(
    train: pd.DataFrame, rows: pd.DataFrame, about: pd.DataFrame, *, k: int = 8, seed: int = 0
) -> Neighbours:
    """The `k` training clips nearest to a track.

    A column counts in standard deviations of the training clips, clipped at ±8, a gap as their mean. The distance is the root of the
    mean over columns of the squared difference (two unrelated clips: about √2), averaged over the track's segments.

    Args:
        train: (n, d) features of the training clips, indexed by id.
        rows: (m, d) features of the track's segments, the same columns.
        about: `label` and `group`, indexed as `train`.
        k: how many.
        seed: draws the training clips that say what is usual, where there are more than 400.

    Raises:
        AlignmentError: there are no training clips, or columns are missing.

    Example:
        >>> train = pd.DataFrame({"x": [0.0, 1.0, 5.0], "y": [0.0, 1.0, 4.0]}, index=["a", "b", "c"])
        >>> about = pd.DataFrame({"label": ["low", "low", "high"], "group": ["a", "b", "c"]}, index=train.index)
        >>> nearest_tracks(train, pd.DataFrame({"x": [4.8], "y": [4.0]}), about, k=1).nearest["id"].tolist()
        ['c']
    """
    missing = [column for column in train.columns if column not in rows.columns]
    if not len(train) or missing:
        raise AlignmentError(
            f"Neighbours need training clips with the track's columns. Received {len(train)} clips, {len(missing)} columns missing."
        )
    ours, theirs = _standardised(train, train), _standardised(rows[list(train.columns)], train)
    distance = _distances(theirs, ours).mean(axis=0)
    order = np.argsort(distance, kind="stable")[:k]
    groups = about.loc[train.index, "group"].astype(str).to_numpy()
    nearest = pd.DataFrame(
        {
            "id": train.index[order].astype(str),
            "label": about.loc[train.index[order], "label"].astype(str).to_numpy(),
            "group": groups[order],
            "distance": distance[order],
        }
    )
    usual = _nearest_of_others(ours, groups, np.random.default_rng(seed))
    strangeness = float((usual < distance[order[0]]).mean()) if len(usual) else float("nan")
    return Neighbours(nearest, float(np.median(usual)) if len(usual) else float("nan"), strangeness)


def _standardised(values: pd.DataFrame, reference: pd.DataFrame) -> Array:
    """Columns that vary in `reference`, by its mean and deviation; gaps become 0."""
    known = reference.to_numpy(dtype=np.float64)
    known = np.where(np.isfinite(known), known, np.nan)
    present = np.isfinite(known).any(axis=0)
    mean, deviation = np.nanmean(known[:, present], axis=0), np.nanstd(known[:, present], axis=0)
    varies = deviation > 1e-12
    z = (values.to_numpy(dtype=np.float64)[:, present][:, varies] - mean[varies]) / deviation[varies]
    return np.where(np.isfinite(z), np.clip(z, -LIMIT, LIMIT), 0.0)


def _distances(a: Array, b: Array) -> Array:
    """(len(a), len(b)): root of the mean squared difference over columns."""
    parts = []
    for i in range(0, len(a), AT_ONCE):
        rows = a[i : i + AT_ONCE]
        squared = (rows**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * rows @ b.T
        parts.append(np.sqrt(np.maximum(squared, 0.0) / max(a.shape[1], 1)))
    return np.concatenate(parts)


def _nearest_of_others(values: Array, groups: NDArray[np.str_], rng: np.random.Generator) -> Array:
    """For some training clips, the distance to the nearest clip of another group; those without one are left out."""
    chosen = (
        np.arange(len(values))
        if len(values) <= WITNESSES
        else np.sort(rng.choice(len(values), WITNESSES, replace=False))
    )
    distance = _distances(values[chosen], values)
    distance[groups[chosen][:, None] == groups[None]] = np.inf
    nearest = distance.min(axis=1)
    return np.asarray(nearest[np.isfinite(nearest)])
