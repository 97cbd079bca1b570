"""Confident learning: which labels the predictions of unseen clips contradict.

The threshold of class k is the mean probability of k on the clips that are labelled k:

t[k] = mean of p[i, k] over the clips i with label k

So a class that the members never predict with confidence does not make all of its clips suspicious. Clips are
ranked by the support of their labels, the smallest first:

support[i] = (p[i, y[i]] / t[y[i]]) / max over k ≠ y[i] of p[i, k]

The confident joint counts clips by their label and by the class that they probably have: the most probable
of the classes whose probability reaches their threshold. Clips off its diagonal are suspects. Scaled to the
number of clips of each label, it estimates the number of wrong labels, far too high where members often err.

Source: Northcutt, Jiang & Chuang 2021, "Confident learning: estimating uncertainty in dataset labels", JAIR
70, equations 1 to 3. The ranking is ours: benchmarks/evidence/wrong_labels.py compares it with that of the
paper, with the probability of the label, and with the margin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.errors import AlignmentError
from quintet.evaluation.array_types import Codes, Floats

SMALLEST = 1e-12
"""Smallest threshold, which keeps quotients finite for a class whose clips all have probability 0."""
FLOOR = 1e-4
"""Smallest probability in the ranking: below it, the members' numbers mean little."""


class Doubts(NamedTuple):
    """What the predictions say against the labels of n clips.

    Args:
        support: support of the label, `(n,)`, > 0; a small one means a doubtful label. For label sets: the
            support of the tag that is most in doubt.
        rival: the class that the clip has more probably, `(n,)`; for label sets: the tag that is most in
            doubt.
        is_suspect: whether the confident joint counts the clip off its diagonal, `(n,)`.
        n_wrong: the estimate of the number of wrong labels; for label sets: of pairs of a clip and a tag.
    """

    support: Floats
    rival: Codes
    is_suspect: NDArray[np.bool_]
    n_wrong: float


def class_doubts(probabilities: Floats, codes: Codes) -> Doubts:
    """Doubts about one label per clip.

    A class without clips has the threshold 1, which no probability exceeds.

    Args:
        probabilities: of clips that the members were not fitted on, `(n, K)`.
        codes: column of the label of each clip, `(n,)`, in [0, K).

    Raises:
        AlignmentError: there are fewer than two classes, or not one row per label.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.9, 0.1]])
        >>> doubts = class_doubts(p, np.array([0, 0, 1, 1, 1]))
        >>> doubts.support.round(2).tolist()  # the thresholds are .9 and .6
        [10.0, 10.0, 6.67, 15.0, 0.19]
        >>> doubts.is_suspect.tolist(), doubts.rival.tolist(), round(doubts.n_wrong, 2)
        ([False, False, False, False, True], [1, 1, 0, 0, 0], 1.0)
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] < 2 or np.shape(codes) != (len(p),):
        raise AlignmentError(
            "Labels are compared with one row of two or more probabilities each. "
            f"Received {p.shape} for {np.shape(codes)} labels."
        )
    n_clips, n_classes = p.shape
    rows = np.arange(n_clips)
    thresholds = _thresholds(p, codes)
    others = p.copy()
    others[rows, codes] = -1.0
    rivals = others.max(axis=1)
    confident = np.where(p >= thresholds - SMALLEST, p, -1.0)
    confident[rows, codes] += SMALLEST  # of two equal probabilities, that of the label counts
    probable = np.where(confident.max(axis=1) >= 0, confident.argmax(axis=1), -1)
    return Doubts(
        support=np.maximum(p[rows, codes], FLOOR) / thresholds[codes] / np.maximum(rivals, FLOOR),
        rival=others.argmax(axis=1),
        is_suspect=np.logical_and(probable >= 0, np.not_equal(probable, codes)),
        n_wrong=_count_wrong(codes, probable, n_classes),
    )


def tag_doubts(probabilities: Floats, indicator: NDArray[np.bool_]) -> Doubts:
    """Doubts about label sets: each tag is a question of two classes, with two thresholds.

    A tag that every clip has, or none, has no second class, and is left out.

    Args:
        probabilities: of clips that the members were not fitted on, `(n, K)`.
        indicator: whether a clip has a tag, `(n, K)`.

    Example:
        >>> p = np.array([[0.9, 0.5], [0.8, 0.5], [0.1, 0.5], [0.9, 0.5]])
        >>> doubts = tag_doubts(p, np.array([[1, 0], [1, 1], [0, 0], [0, 1]], bool))
        >>> doubts.rival.tolist(), doubts.is_suspect.tolist()  # the last clip probably has the first tag
        ([1, 1, 1, 0], [False, False, False, True])
    """
    p = np.asarray(probabilities, dtype=np.float64)
    n_clips, n_tags = p.shape
    support = np.full((n_clips, n_tags), np.inf)
    is_suspect = np.zeros((n_clips, n_tags), dtype=bool)
    n_wrong = 0.0
    for k in range(n_tags):
        has_tag = indicator[:, k].astype(int)
        if has_tag.min(initial=1) == has_tag.max(initial=0):
            continue
        found = class_doubts(np.stack([1 - p[:, k], p[:, k]], axis=1), has_tag)
        support[:, k], is_suspect[:, k] = found.support, found.is_suspect
        n_wrong += found.n_wrong
    return Doubts(
        support.min(axis=1), support.argmin(axis=1), np.any(is_suspect, axis=1, keepdims=True)[:, 0], n_wrong
    )


def _thresholds(p: Floats, codes: Codes) -> Floats:
    """Mean probability of each class on the clips with its label, `(K,)`; 1 without such clips."""
    n_classes = p.shape[1]
    counts = np.bincount(codes, minlength=n_classes)
    sums = np.bincount(codes, p[np.arange(len(p)), codes], n_classes)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    return np.maximum(means, SMALLEST)


def _count_wrong(codes: Codes, probable: Codes, n_classes: int) -> float:
    """Estimate of the number of wrong labels from the confident joint.

    A class none of whose clips is confident is taken to be right.
    """
    is_confident = probable >= 0
    cells = codes[is_confident] * n_classes + probable[is_confident]
    joint = np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)
    totals = joint.sum(axis=1)
    share_right = np.where(totals > 0, np.diag(joint) / np.maximum(totals, 1), 1.0)
    labelled = np.bincount(codes, minlength=n_classes)
    return float(np.sum(labelled * (1 - share_right)))
