"""Strata of label sets: clips whose tags are about the same, among which sources are sought.

A source of clips with one label lies in its class. Clips with label sets have no one class, and sets such as
`rock;live;fast` may be almost as many as clips. So sets that share half of their tags are one stratum: clips
of one artist are compared although one of their songs is fast. What was measured is in
benchmarks/evidence/tag_blocks.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage, to_tree
from scipy.spatial.distance import pdist

from quintet.datasets.splits.split import Positions

ALIKE = 0.5
"""Mean share of tags that two sets do not share, up to which they are in one stratum."""
SMALLEST = 20
"""Clips that a stratum has at least."""
MOST_SETS = 2000
"""Different sets that are compared. Of more, the rarest tags are left out."""


def label_strata(indicator: NDArray[np.int8]) -> Positions:
    """Number of the stratum of each clip, `(n,)`.

    Sets are joined by the share of tags that they do not share (Jaccard distance, average linkage). From the
    top of that tree, two branches are two strata if they are farther apart than `ALIKE` and each has
    `SMALLEST` clips or more.

    Args:
        indicator: 1 where a clip has a tag, `(n, tags)`.

    Example:
        >>> rock, jazz, fast = [1, 0, 0], [0, 1, 0], [0, 0, 1]
        >>> fast_rock = np.add(rock, fast)
        >>> clips = [rock] * 15 + [fast_rock] * 15 + [jazz] * 30
        >>> a, b, c = label_strata(np.array(clips, np.int8))[[0, 15, 30]]
        >>> bool(a == b), bool(a == c)
        (True, False)
    """
    sets, number, counts = _different_sets(indicator)
    stratum, n_strata = np.zeros(len(sets), np.intp), 0
    waiting = [to_tree(linkage(pdist(sets, "jaccard"), "average"))] if len(sets) > 1 else []
    while waiting:
        node = waiting.pop()
        branches = [] if node.is_leaf() else [node.get_left(), node.get_right()]
        members = [branch.pre_order() for branch in branches]
        if node.dist > ALIKE and all(counts[rows].sum() >= SMALLEST for rows in members):
            waiting += branches
        else:
            stratum[node.pre_order()] = n_strata
            n_strata += 1
    return stratum[number]


def _different_sets(indicator: NDArray[np.int8]) -> tuple[NDArray[np.bool_], Positions, NDArray[np.intp]]:
    """The different sets `(sets, tags)`, the number of the set of each clip, and the clips of each set."""
    frequent_first = indicator[:, np.argsort(-indicator.sum(axis=0), kind="stable")].astype(bool)
    n_tags = frequent_first.shape[1]
    while True:
        sets, number, counts = np.unique(
            frequent_first[:, :n_tags], axis=0, return_inverse=True, return_counts=True
        )
        if len(sets) <= MOST_SETS:
            return sets, number.ravel(), counts
        n_tags = n_tags * 3 // 4
