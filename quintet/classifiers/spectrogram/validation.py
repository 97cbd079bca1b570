"""Validation for early stopping: held-out clips that share no group with the rest, and the scores on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.keras_types import KerasModel
from quintet.classifiers.spectrogram.checkpoint import EpochRow
from quintet.classifiers.spectrogram.fitting import predict_probabilities
from quintet.classifiers.spectrogram.pooling import mean_by_clip
from quintet.classifiers.spectrogram.targets import ClipTargets, Codes
from quintet.datasets.groups import require_disjoint
from quintet.datasets.splits.folds import grouped_folds

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def hold_out(
    targets: ClipTargets, groups: NDArray[np.str_], *, share: float, seed: int
) -> tuple[Positions, Positions]:
    """Positions of the learners and of the held-out clips, which share no group.

    No clip is held out if `share` is 0 or a class has one group only.

    Args:
        targets: codes and classes of the clips.
        groups: `(clips,)` names of the groups.
        share: share of the groups that is held out, about.
        seed: controls which groups are held out.

    Raises:
        SplitLeakError: if a group would be on both sides.
    """
    all_clips = np.arange(len(groups))
    n_groups = _groups_per_class(targets, groups)
    fewest = len(np.unique(groups)) if targets.multilabel else int(n_groups.min())
    if share == 0 or fewest < 2:
        return all_clips, all_clips[:0]
    n_splits = min(fewest, max(2, round(1 / share)))
    codes = targets.codes[:, n_groups >= 2] if targets.multilabel else targets.codes
    learners, validation = grouped_folds(codes, groups.tolist(), n_splits=n_splits, seed=seed)[0]
    require_disjoint(groups[learners], groups[validation], where="the early stopping of a network")
    return learners, validation


def _groups_per_class(targets: ClipTargets, groups: NDArray[np.str_]) -> NDArray[np.int64]:
    """Number of groups that have a clip of each class, or with each tag."""
    counts = []
    for k in range(len(targets.classes)):
        has_class = targets.codes[:, k] > 0 if targets.multilabel else targets.codes == k
        counts.append(len(np.unique(groups[has_class])))
    return np.array(counts)


@dataclass(frozen=True)
class ClipValidation:
    """Scores of a network on held-out clips. A clip's prediction is the mean of its patches' probabilities.

    Args:
        inputs: `(patches, …)` standardised patches, or the output of a frozen base for them.
        owners: `(patches,)` held-out clip of each patch.
        targets: codes of the held-out clips.
        balanced: whether each class has the same weight in the loss.
        batch_size: patches per prediction.
    """

    inputs: NDArray[np.float32]
    owners: Positions
    targets: Codes
    balanced: bool
    batch_size: int

    def score(self, network: KerasModel) -> EpochRow:
        """`val_loss` and `val_accuracy` of a network with its current weights."""
        multilabel = self.targets.ndim == 2
        by_patch = predict_probabilities(
            network, self.inputs, batch_size=self.batch_size, multilabel=multilabel
        )
        probabilities = mean_by_clip(by_patch, self.owners, len(self.targets))
        return {
            "val_loss": mean_log_loss(probabilities, self.targets, balanced=self.balanced),
            "val_accuracy": accuracy(probabilities, self.targets),
        }


def mean_log_loss(probabilities: Floats, targets: Codes, *, balanced: bool = True) -> float:
    """Log loss of probabilities `(clips, K)` for classes `(clips,)` or an indicator matrix `(clips, K)`.

    With `balanced`, rare classes count as much as frequent ones: the loss is the mean over classes of the
    mean over their clips. For a tag it is the mean over the clips with it and the mean over the clips without
    it, averaged; if one of the two sets is empty, only the other counts.

    Example:
        >>> p = np.array([[0.5, 0.5]] * 3 + [[1.0, 0.0]])
        >>> targets = np.array([0, 0, 0, 1])
        >>> round(mean_log_loss(p, targets), 3), round(mean_log_loss(p, targets, balanced=False), 3)
        (8.406, 4.549)
    """
    p = np.clip(probabilities, 1e-7, 1 - 1e-7)
    if targets.ndim == 2:
        losses = -np.where(targets > 0, np.log(p), np.log(1 - p))
        return _balanced_tag_loss(losses, targets) if balanced else float(losses.mean())
    codes = targets.astype(np.int64, copy=False)
    true_class = p[np.arange(len(codes)), codes]
    losses = -np.log(true_class)
    if not balanced:
        return float(losses.mean())
    by_class = [losses[codes == k].mean() for k in np.unique(codes)]
    return float(np.mean(by_class))


def _balanced_tag_loss(losses: Floats, indicator: Codes) -> float:
    by_tag = []
    for k in range(indicator.shape[1]):
        sides = (indicator[:, k] > 0, indicator[:, k] == 0)
        means = [losses[rows, k].mean() for rows in sides if rows.any()]
        by_tag.append(np.mean(means))
    return float(np.mean(by_tag))


def accuracy(probabilities: Floats, targets: Codes) -> float:
    """Share of clips whose class is the most probable, or share of tags on the correct side of 0.5."""
    if targets.ndim == 2:
        return float(np.mean((probabilities >= 0.5) == targets))
    return float(np.mean(probabilities.argmax(axis=1) == targets))
