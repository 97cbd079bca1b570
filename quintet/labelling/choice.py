"""Choice of clips to label next: those that stand for many doubtful clips, no two alike.

With doubts w[i] in [0, 1] of the m unlabelled clips and a similarity s(i, j) = exp(-d(i, j)² / 2h²) of any
two clips in the space of the features, a set C of clips is worth

f(C) = Σ_i w[i] · max over j in C and the labelled clips of s(i, j)

f grows most with a clip in a dense region of doubtful clips that no labelled and no chosen clip is near: so
doubt, density and difference are one number. Distances are those of the 30 leading principal components:
among hundreds of columns all distances are alike. C is built clip by clip, each time with the one that adds
most; f is submodular, so that this reaches at least 63 % of the best set (Nemhauser et al. 1978). h is the
median distance of an unlabelled clip to its fifth nearest.

Source: facility location for active learning, Wei, Iyer & Bilmes 2015, "Submodularity in data subset
selection and active learning", ICML. benchmarks/evidence/next_labels.py compares it with random choice, with
the smallest margin alone, and with BADGE.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.explanation.neighbours import distances_between

Floats = NDArray[np.float64]

COMPONENTS = 30
NEIGHBOUR = 5
"""The neighbour whose distance sets the width of the similarity."""
MOST_CANDIDATES = 4000
"""Clips among which is chosen: the most doubtful ones, so that the table of similarities fits in memory."""


def doubts(probabilities: Floats, *, multilabel: bool) -> Floats:
    """Doubt about each clip, `(n,)`, in [0, 1].

    For classes: 1 - the difference of the two largest probabilities of the ensemble. Members that disagree
    make it large, because the ensemble averages them. For label sets: mean of 1 - |2p - 1| over the tags.

    Args:
        probabilities: of the ensemble, `(n, K)`.
        multilabel: whether labels are sets.

    Example:
        >>> doubts(np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]]), multilabel=False).round(2).tolist()
        [0.5, 1.0]
    """
    if multilabel:
        return np.asarray((1 - np.abs(2 * probabilities - 1)).mean(axis=1))
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    largest = np.sort(probabilities, axis=1)[:, -2:]
    return np.asarray(1 - (largest[:, 1] - largest[:, 0]))


def choose(candidates: Floats, doubt: Floats, labelled: Floats, n: int) -> NDArray[np.intp]:
    """Positions of the clips to label next, the one that adds most first.

    Args:
        candidates: standardised features of the m unlabelled clips, `(m, d)`.
        doubt: doubt about each, `(m,)`, ≥ 0.
        labelled: standardised features of the labelled clips, `(l, d)`; l may be 0.
        n: number of clips to choose; at most m are chosen.

    Example:
        >>> clips = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]])
        >>> choose(clips, np.ones(6), np.array([[9.0]]), 2).tolist()  # the middle of a group, then another
        [1, 3]
    """
    rows = np.sort(np.argsort(-doubt, kind="stable")[:MOST_CANDIDATES])
    points, known = _components(candidates[rows], labelled)
    weights = np.maximum(doubt[rows], 1e-9)
    distances = distances_between(points, points)
    width = _width(distances)
    similarity = np.exp(-((distances / width) ** 2) / 2)
    covered = np.zeros(len(rows))
    if len(known):
        nearest = distances_between(points, known).min(axis=1)
        covered = np.exp(-((nearest / width) ** 2) / 2)
    chosen: list[int] = []
    for _ in range(min(n, len(rows))):
        gains = weights @ np.maximum(similarity - covered[:, None], 0.0)
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        covered = np.maximum(covered, similarity[:, best])
    return rows[np.array(chosen, dtype=np.intp)]


def _components(candidates: Floats, labelled: Floats) -> tuple[Floats, Floats]:
    """Leading principal components of all clips, for the candidates and for the labelled clips."""
    values = np.concatenate([candidates, labelled.reshape(-1, candidates.shape[1])])
    if values.shape[1] <= COMPONENTS:
        return values[: len(candidates)], values[len(candidates) :]
    centred = values - values.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    places = centred @ directions[:, : -COMPONENTS - 1 : -1]
    return places[: len(candidates)], places[len(candidates) :]


def _width(distances: Floats) -> float:
    """Median distance to the fifth nearest other clip; 1 if all clips are the same."""
    place = min(NEIGHBOUR, len(distances) - 1)
    width = float(np.median(np.partition(distances, place, axis=1)[:, place]))
    return width if width > 0 else 1.0
