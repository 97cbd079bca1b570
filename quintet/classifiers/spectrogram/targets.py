"""Targets of the training clips: classes from labels, weights of rows and tags, and augmented copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import column_or_1d

from quintet.classifiers.labels import Labels, encode_labels, tag_names
from quintet.classifiers.spectrogram.sequences import (
    ConcatenatedSpectrograms,
    SpectrogramInput,
    SpectrogramSequence,
    as_sequence,
)
from quintet.errors import DatasetError

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]
Codes = NDArray[np.int64] | Floats
"""Column of the class of each clip `(clips,)` int64, or an indicator matrix `(clips, tags)` float32."""

Copies = tuple[SpectrogramInput, ArrayLike]
"""Augmented spectrograms, and the position of the clip from which each was made."""


class ClipTargets(NamedTuple):
    """Labels of clips as numbers.

    Args:
        codes: column of the class `(clips,)`, or an indicator matrix `(clips, tags)`.
        classes: sorted labels, or the names of the tags.
    """

    codes: Codes
    classes: Labels

    @property
    def multilabel(self) -> bool:
        """Whether clips carry label sets."""
        return self.codes.ndim == 2


def read_targets(y: ArrayLike, n_clips: int, names: Sequence[str] | None) -> ClipTargets:
    """Read labels `(clips,)`, or an indicator matrix `(clips, tags)` of 0 and 1.

    Args:
        y: labels or indicator matrix.
        n_clips: number of spectrograms.
        names: names of the tags. Default: 0 … tags - 1.

    Raises:
        DatasetError: if there is not one label per clip or one name per tag, a value is neither 0 nor 1, or
            there is one class only.
    """
    labels = np.asarray(y)
    if len(labels) != n_clips:
        raise DatasetError(
            "There must be one label per spectrogram. "
            f"Received {len(labels)} labels for {n_clips} spectrograms."
        )
    if labels.ndim == 2 and labels.shape[1] > 1:
        classes = tag_names(labels, names)
        return ClipTargets(labels.astype(np.float32), classes)
    classes, codes = encode_labels(column_or_1d(labels))
    return ClipTargets(codes, classes)


@dataclass(frozen=True)
class Rows:
    """Targets and weights of clips for the loss, float32.

    Args:
        targets: `(clips, classes)` one-hot, or `(clips, tags)`.
        weights: `(clips,)`.
        tags: for label sets, `(2, tags)`: weights of a clip without and with each tag. Otherwise None.
    """

    targets: Floats
    weights: Floats
    tags: Floats | None = None

    @classmethod
    def from_targets(
        cls, targets: Codes, learners: Positions, *, n_classes: int, balanced: bool = True
    ) -> Rows:
        """Rows from labels `(clips,)` or an indicator matrix `(clips, tags)`.

        Args:
            targets: codes of all clips.
            learners: positions of the clips that are learnt from.
            n_classes: number of classes or tags.
            balanced: balance the weights among the learners; otherwise all weights are 1.
        """
        weights = np.ones(len(targets), np.float32)
        if targets.ndim == 2:
            tags = tag_weights(targets[learners]) if balanced else np.ones((2, n_classes), np.float32)
            return cls(targets.astype(np.float32, copy=False), weights, tags)
        if balanced:
            weights[learners] = compute_sample_weight("balanced", targets[learners])
        return cls(np.eye(n_classes, dtype=np.float32)[targets.astype(np.int64, copy=False)], weights)


def tag_weights(indicator: Codes) -> Floats:
    """Weights of clips without and with each tag, `(2, tags)`: each tag is balanced as a problem of its own.

    `clips / (2 · clips without)` and `clips / (2 · clips with)`, as scikit-learn's 'balanced'. If all clips
    have a tag, or none has it, its weights are 1.

    Example:
        >>> tag_weights(np.array([[1, 0], [0, 0], [0, 0]])).tolist()
        [[0.75, 1.0], [1.5, 1.0]]
    """
    n_without, n_with = (indicator == 0).sum(axis=0), (indicator > 0).sum(axis=0)
    counts = np.stack([n_without, n_with]).astype(np.float64)
    is_constant = (counts == 0).any(axis=0)
    balanced = len(indicator) / (2.0 * np.maximum(counts, 1.0))
    return np.where(is_constant, 1.0, balanced).astype(np.float32)


def append_copies(
    clips: SpectrogramSequence, targets: Codes, learners: Positions, copies: Copies
) -> tuple[SpectrogramSequence, Codes, Positions]:
    """Append augmented copies to clips, targets and learners.

    Copies of held-out clips do not become learners.

    Args:
        clips: the original clips.
        targets: their codes.
        learners: positions of the clips that are learnt from.
        copies: augmented spectrograms and the positions of their originals.

    Raises:
        DatasetError: if a copy does not name an original.
    """
    spectrograms, origin = copies[0], np.asarray(copies[1], dtype=np.int64)
    is_complete = len(spectrograms) == len(origin)
    if not is_complete or (len(origin) and not 0 <= origin.min() <= origin.max() < len(clips)):
        raise DatasetError(
            "Every augmented copy must name the clip it was made of. "
            f"Received {len(spectrograms)} copies of {len(origin)} clips."
        )
    copied_learners = len(clips) + np.flatnonzero(np.isin(origin, learners))
    return (
        ConcatenatedSpectrograms(clips, as_sequence(spectrograms)),
        np.concatenate([targets, targets[origin]]),
        np.concatenate([learners, copied_learners]),
    )
