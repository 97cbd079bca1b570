"""Pooling: the segments of a track speak with one voice: their average, their vote, or the labels of their nearest training segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from quintet.errors import AlignmentError, DatasetError, unknown_name
from quintet.evaluation.metrics import label_codes

POOLING = {
    "average": "the mean of the segments' probabilities",
    "vote": "the share of segments in which each class is the most probable",
    "knn": "the labels of the nearest training segments in the space of scores (Lavanya et al. 2021)",
}


class Pooled(NamedTuple):
    """Track names in the order of their first segment, and (tracks, K) probabilities."""

    tracks: NDArray[Any]
    probabilities: NDArray[Any]


@dataclass(frozen=True)
class Neighbours:
    """Scores (n, K) of training segments, out of fold, and the column of each one's class (n,): what `knn` looks among."""

    scores: NDArray[Any]
    codes: NDArray[np.int64]
    k: int = 15

    @classmethod
    def from_labels(
        cls, scores: NDArray[Any], y: NDArray[Any], *, classes: Sequence[str], k: int = 15
    ) -> Neighbours:
        """From labels (n,). Raises DatasetError where there are fewer segments than `k`."""
        if len(scores) < k or k < 1:
            raise DatasetError(
                f"k-NN pooling needs at least k = {k} ≥ 1 training segments. Received {len(scores)}. Lower k."
            )
        return cls(np.asarray(scores), label_codes(np.asarray(y), tuple(classes)), k)

    def probabilities(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """(m, K) the share of each class among the k nearest training segments (Euclidean distance of scores)."""
        found = (
            NearestNeighbors(n_neighbors=self.k).fit(self.scores).kneighbors(scores, return_distance=False)
        )
        return np.asarray((self.codes[found][:, :, None] == np.arange(self.scores.shape[1])).mean(axis=1))


def pool(
    probabilities: NDArray[Any],
    tracks: NDArray[Any],
    *,
    rule: str = "average",
    neighbours: Neighbours | None = None,
) -> Pooled:
    """One row per track out of one row per segment.

    Args:
        probabilities: (segments, K).
        tracks: (segments,) the track of each segment, in any order.
        rule: a name of `POOLING`.
        neighbours: for `knn`.

    Raises:
        ConfigError: no such rule. AlignmentError: not one track per segment. DatasetError: `knn` without neighbours.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
        >>> pool(p, np.array(["x", "x", "y"])).probabilities.round(2).tolist()
        [[0.65, 0.35], [0.2, 0.8]]
        >>> pool(p, np.array(["x", "x", "y"]), rule="vote").probabilities.tolist()
        [[0.5, 0.5], [0.0, 1.0]]
    """
    if rule not in POOLING:
        raise unknown_name("pooling rule", rule, POOLING)
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or len(tracks) != len(probabilities) or not len(tracks):
        raise AlignmentError(
            f"There must be one track per segment, and at least one. Received {len(tracks)} tracks for {probabilities.shape}. Align them."
        )
    said = segment_predictions(probabilities, rule=rule, neighbours=neighbours)
    names, first, inverse = np.unique(
        np.asarray(tracks, dtype=object).astype(str), return_index=True, return_inverse=True
    )
    sums = (
        np.stack([np.bincount(inverse, column.astype(np.float64)) for column in said.T], axis=1)
        / np.bincount(inverse)[:, None]
    )
    order = np.argsort(first)
    return Pooled(names[order].astype(object), sums[order].astype(said.dtype))


def segment_predictions(
    probabilities: NDArray[Any], *, rule: str, neighbours: Neighbours | None = None
) -> NDArray[Any]:
    """What each segment says (segments, K); the mean of its segments' opinions is a track's verdict.

    Raises:
        DatasetError: `knn` without neighbours.
    """
    if rule == "vote":
        return np.asarray(
            (probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1])).astype(
                probabilities.dtype
            )
        )
    if rule == "knn":
        if neighbours is None:
            raise DatasetError(
                "Pooling by k-NN needs the scores of training segments. Received none. Give `neighbours`, or use 'average'."
            )
        return neighbours.probabilities(probabilities)
    return probabilities
