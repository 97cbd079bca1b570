"""Pooling: the prediction for a clip from the predictions for its segments, by average, vote or nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from quintet.errors import DatasetError

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

POOLING = {
    "average": "the mean of the segments' probabilities",
    "vote": "the share of segments in which each class is the most probable",
    "knn": "the labels of the nearest training segments in the space of scores (Lavanya et al. 2021)",
}

N_NEIGHBOURS = 15
"""Number of neighbours of a segment in pooling by `knn`."""


@dataclass(frozen=True)
class Neighbours:
    """Training segments among which pooling by `knn` searches.

    Args:
        scores: `(n, K)` probabilities of segments that were held out in training.
        codes: `(n,)` column of the true class of each segment.
        k: number of neighbours.
    """

    scores: Floats
    codes: Positions
    k: int = N_NEIGHBOURS

    def probabilities(self, scores: Floats) -> Floats:
        """Share of each class among the k nearest training segments (Euclidean distance of scores), `(m, K)`."""
        search = NearestNeighbors(n_neighbors=self.k).fit(self.scores)
        nearest = search.kneighbors(scores, return_distance=False)
        classes = np.arange(self.scores.shape[1])
        is_class = self.codes[nearest][:, :, None] == classes
        return np.asarray(is_class.mean(axis=1))


def segment_predictions(probabilities: Floats, *, rule: str, neighbours: Neighbours | None = None) -> Floats:
    """Predictions for segments by a pooling rule, `(segments, K)`. Their mean is the prediction for the clip.

    Args:
        probabilities: `(segments, K)`, from the network.
        rule: key of `POOLING`.
        neighbours: training segments, for `knn`.

    Raises:
        DatasetError: for `knn` without neighbours.

    Example:
        >>> segment_predictions(np.array([[0.9, 0.1], [0.4, 0.6]]), rule="vote").tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if rule == "vote":
        winners = probabilities.argmax(axis=1)
        is_winner: NDArray[np.bool_] = winners[:, None] == np.arange(probabilities.shape[1])
        return is_winner.astype(np.float64)
    if rule == "knn":
        if neighbours is None:
            raise DatasetError(
                "Pooling by k-NN needs the scores of training segments. Received none. "
                "Give `neighbours`, or use 'average'."
            )
        return neighbours.probabilities(probabilities)
    return probabilities


def mean_by_clip(values: Floats, owners: Positions, n_clips: int) -> Floats:
    """Mean of the rows of each clip, `(n_clips, …)`.

    Args:
        values: `(patches, …)`.
        owners: `(patches,)` clip of each patch, 0 … n_clips - 1.
        n_clips: number of clips; each has at least one patch.

    Example:
        >>> mean_by_clip(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), 2).tolist()
        [[2.0], [5.0]]
    """
    sums = np.zeros((n_clips, *values.shape[1:]))
    np.add.at(sums, owners, values)
    counts = np.bincount(owners, minlength=n_clips)
    return np.asarray(sums / counts.reshape(-1, *(1,) * (values.ndim - 1)))
