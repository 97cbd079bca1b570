"""Pooling of the predictions for the segments of a clip: average, vote or nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.patches import all_even_patches, patch_starts, patches_per_chunk
from quintet.classifiers.spectrogram.sequences import SpectrogramSequence
from quintet.classifiers.spectrogram.settings import PatchSettings
from quintet.errors import ConfigError, DatasetError

Floats = NDArray[np.float64]
Patches = NDArray[np.float32]
Positions = NDArray[np.int64]

POOLING = {
    "average": "the mean of the segments' probabilities",
    "vote": "the share of segments in which each class is the most probable",
    "knn": "the labels of the nearest training segments in the space of scores (Lavanya et al. 2021)",
}

N_NEIGHBOURS = 15
"""Number of neighbours of a segment in pooling by `knn`."""

BLOCK_NUMBERS = 1 << 22
"""Numbers that the search for neighbours has in memory at a time."""


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
        """Share of each class among the k nearest training segments, `(m, K)`.

        The distance is the Euclidean distance of scores; of equally near segments, the first counts.
        """
        n_classes = self.scores.shape[1]
        n_rows = max(1, BLOCK_NUMBERS // self.scores.size)
        shares = []
        for begin in range(0, len(scores), n_rows):
            offsets = scores[begin : begin + n_rows, None] - self.scores
            squares = np.einsum("ijk,ijk->ij", offsets, offsets)
            nearest = np.argsort(squares, axis=1, kind="stable")[:, : self.k]
            is_class = self.codes[nearest][:, :, None] == np.arange(n_classes)
            shares.append(is_class.mean(axis=1))
        return np.concatenate(shares) if shares else np.empty((0, n_classes))


def find_neighbours(
    clips: SpectrogramSequence,
    positions: Positions,
    codes: NDArray[np.generic],
    settings: PatchSettings,
    predict: Callable[[Patches], Floats],
) -> Neighbours:
    """Scores and classes of the held-out segments.

    Scores of segments that the network learnt from would be too close to 0 and 1.

    Args:
        clips: spectrograms.
        positions: positions of the held-out clips.
        codes: class of each clip.
        settings: of the patches.
        predict: patches `(n, n_mels, patch_frames)` in dB → probabilities `(n, K)`.
    """
    patches, owners = all_even_patches(clips, positions, settings)
    segment_codes = codes[positions].astype(np.int64, copy=False)[owners]
    return Neighbours(predict(patches), segment_codes, k=min(N_NEIGHBOURS, len(segment_codes)))


def require_pooling(rule: str, *, multilabel: bool, n_held_out: int) -> None:
    """Refuse a rule of pooling that the data do not allow.

    Args:
        rule: name of the rule, a key of `POOLING`.
        multilabel: whether clips carry label sets.
        n_held_out: number of clips that were held out in training.

    Raises:
        ConfigError: a vote over tags, or neighbours without held-out clips.
    """
    if multilabel and rule != "average":
        raise ConfigError(
            "Tags must be pooled by 'average', because a clip can have several tags and a vote has one "
            f"winner. Received '{rule}'."
        )
    if rule == "knn" and n_held_out == 0:
        raise ConfigError(
            "Pooling by 'knn' searches among segments that were held out in training. "
            "None were: raise validation_share."
        )


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
    inner_axes = (1,) * (values.ndim - 1)
    return np.asarray(sums / counts.reshape(-1, *inner_axes))


def mean_over_patches(
    clips: SpectrogramSequence, settings: PatchSettings, function: Callable[[Patches], Floats]
) -> Floats:
    """Mean of `function(patches)` over the patches of each clip, `(clips, …)`.

    It is computed for some clips at a time, to limit the memory.

    Args:
        clips: spectrograms with the same number of bands.
        settings: of the patches.
        function: patches `(n, n_mels, patch_frames)` → values `(n, …)`.
    """
    n_mels = clips.shapes[0][0]
    n_clips = patches_per_chunk(n_mels, settings.patch_frames, _most_patches(clips, settings))
    means = []
    for begin in range(0, len(clips), n_clips):
        part = np.arange(begin, min(begin + n_clips, len(clips)))
        patches, owners = all_even_patches(clips, part, settings)
        means.append(mean_by_clip(function(patches), owners, len(part)))
    return np.concatenate(means)


def _most_patches(clips: SpectrogramSequence, settings: PatchSettings) -> int:
    """Number of patches of a clip, estimated from the first clip."""
    if settings.hop_frames is None:
        return settings.max_patches
    frames = settings.patch_frames
    n_frames = max(int(clips.shapes[0][1]), frames)
    starts = patch_starts(n_frames, frames=frames, at_most=1, hop=settings.hop_frames)
    return max(settings.max_patches, len(starts))
