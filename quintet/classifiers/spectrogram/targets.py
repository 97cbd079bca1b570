"""What a network is told of each clip (targets, weights, augmented copies), and how far its verdicts are from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.class_weight import compute_sample_weight

from quintet.classifiers.spectrogram.patches import ConcatenatedSpectrograms
from quintet.errors import DatasetError

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]
CLASS_WEIGHTS = ("balanced", "none")


@dataclass(frozen=True)
class Rows:
    """What is to be said of each clip: targets (clips, classes or tags) and weights (clips,), float32; of tags also `tags` (2, tags),
    the weights of a clip without and with each of them."""

    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    tags: NDArray[np.float32] | None = None

    @classmethod
    def from_targets(
        cls, targets: NDArray[Any], learners: Positions, *, n_classes: int, balanced: bool = True
    ) -> Rows:
        """Labels (clips,) one-hot, or an indicator (clips, tags) as it is; `balanced` among the learners, or all weights 1."""
        weights = np.ones(len(targets), np.float32)
        if targets.ndim == 2:
            return cls(
                targets,
                weights,
                tag_weights(targets[learners]) if balanced else np.ones((2, n_classes), np.float32),
            )
        if balanced:
            weights[learners] = compute_sample_weight("balanced", targets[learners])
        return cls(np.eye(n_classes, dtype=np.float32)[targets], weights)


def tag_weights(indicator: NDArray[Any]) -> NDArray[np.float32]:
    """Weights (2, tags) of clips without and with each tag: `clips / (2 · clips without)` and `clips / (2 · clips with)`, scikit-learn's
    'balanced' of each tag as a problem of its own. A tag that all clips have, or none, weighs 1.

    Example:
        >>> tag_weights(np.array([[1, 0], [0, 0], [0, 0]])).tolist()
        [[0.75, 1.0], [1.5, 1.0]]
    """
    having = np.stack([(indicator == 0).sum(axis=0), (indicator > 0).sum(axis=0)]).astype(np.float64)
    constant = (having == 0).any(axis=0)
    return np.where(constant, 1.0, len(indicator) / (2.0 * np.maximum(having, 1.0))).astype(np.float32)


def append_copies(
    clips: Sequence[Any], targets: NDArray[Any], learners: Positions, copies: tuple[Sequence[Any], ArrayLike]
) -> tuple[Sequence[Any], NDArray[Any], Positions]:
    """Clips, targets and learners with the augmented copies behind them; copies of what is held out are left out.

    Raises:
        DatasetError: a copy that does not name the clip it was made of.
    """
    spectrograms, origin = copies[0], np.asarray(copies[1], dtype=np.int64)
    if len(spectrograms) != len(origin) or (
        len(origin) and not 0 <= origin.min() <= origin.max() < len(clips)
    ):
        raise DatasetError(
            f"Every augmented copy must name the clip it was made of. Received {len(spectrograms)} copies of {len(origin)} clips."
        )
    learnt = len(clips) + np.flatnonzero(np.isin(origin, learners))
    return (
        ConcatenatedSpectrograms(clips, spectrograms),
        np.concatenate([targets, targets[origin]]),
        np.concatenate([learners, learnt]),
    )


def mean_log_loss(said: Floats, truth: NDArray[Any], *, balanced: bool = True) -> float:
    """Log loss of probabilities (clips, classes) for labels (clips,) or an indicator (clips, tags).

    With `balanced` rare ones count: the mean over classes of the mean over their clips; of each tag the mean over the clips with it and over
    those without it, as far as there are any.

    Example:
        >>> said = np.array([[0.5, 0.5]] * 3 + [[1.0, 0.0]])
        >>> round(mean_log_loss(said, np.array([0, 0, 0, 1])), 3), round(mean_log_loss(said, np.array([0, 0, 0, 1]), balanced=False), 3)
        (8.406, 4.549)
    """
    said = np.clip(said, 1e-7, 1 - 1e-7)
    if truth.ndim == 1:
        losses = -np.log(said[np.arange(len(truth)), truth])
        return float(
            np.mean([losses[truth == k].mean() for k in np.unique(truth)]) if balanced else losses.mean()
        )
    losses = -np.where(truth > 0, np.log(said), np.log(1 - said))
    if not balanced:
        return float(losses.mean())
    parts = [
        [losses[rows, k].mean() for rows in (truth[:, k] > 0, truth[:, k] == 0) if rows.any()]
        for k in range(truth.shape[1])
    ]
    return float(np.mean([np.mean(part) for part in parts]))


def agreement(said: Floats, truth: NDArray[Any]) -> float:
    """The share of labels that are the most probable, or of tags on the right side of 0.5."""
    return float(
        np.mean((said >= 0.5) == truth) if truth.ndim == 2 else np.mean(said.argmax(axis=1) == truth)
    )
