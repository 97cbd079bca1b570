"""Decision trees as flat arrays, all nodes one after another, and the way of rows through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quintet.files.untrusted import limits
from quintet.files.untrusted.arrays import ArrayRule, StoredArray

Positions = NDArray[np.int32]
Values = NDArray[np.float32] | NDArray[np.float64]

WALK_NUMBERS = 1 << 21
"""Pairs of a row and a tree that are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees whose nodes are numbered through all trees. Every child has a larger number than its parent.

    Args:
        roots: node where each tree begins, `(T,)`.
        left: left child of each node, `(N,)`; a leaf is its own child.
        right: right child of each node, `(N,)`.
        column: column that an inner node compares, `(N,)`; of a leaf, a number of its own.
        threshold: number that an inner node compares it with, `(N,)`.
        inclusive: whether a row with exactly this number goes left, as in a forest of scikit-learn.
        cover: weight of the training rows that passed each node, `(N,)`, for explanations; None in models of
            early versions.
    """

    roots: Positions
    left: Positions
    right: Positions
    column: Positions
    threshold: Values
    inclusive: bool
    cover: NDArray[np.float64] | None = None

    def leaves(self, rows: NDArray[np.float32]) -> Positions:
        """The leaf of every row in every tree, `(n, T)`.

        Args:
            rows: `(n, columns)`.
        """
        n_rows = max(1, WALK_NUMBERS // max(1, len(self.roots)))
        parts = [self._walk(rows[begin : begin + n_rows]) for begin in range(0, len(rows), n_rows)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.roots)), np.int32)

    def _walk(self, rows: NDArray[np.float32]) -> Positions:
        n_trees = len(self.roots)
        node = np.tile(self.roots, len(rows))
        row = np.repeat(np.arange(len(rows)), n_trees)
        active = np.flatnonzero(self.left[node] != node)
        while len(active):
            at = node[active]
            value, threshold = rows[row[active], self.column[at]], self.threshold[at]
            goes_left = value <= threshold if self.inclusive else value < threshold
            at = np.where(goes_left, self.left[at], self.right[at])
            node[active] = at
            active = active[self.left[at] != at]
        return node.reshape(len(rows), n_trees)

    def arrays(self) -> dict[str, StoredArray]:
        """The arrays for storage, by name."""
        arrays: dict[str, StoredArray] = {
            "roots": self.roots,
            "left": self.left,
            "right": self.right,
            "column": self.column,
            "threshold": self.threshold,
        }
        return arrays if self.cover is None else {**arrays, "cover": self.cover}

    @staticmethod
    def rules() -> dict[str, ArrayRule]:
        """What the stored arrays may be. A threshold may be infinite."""
        numbers = dict.fromkeys(("roots", "left", "right", "column"), ArrayRule("i", (None,)))
        cover = ArrayRule("f", (None,))
        return {**numbers, "threshold": ArrayRule("f", (None,), finite=False), "cover": cover}

    @classmethod
    def restore(
        cls,
        arrays: Mapping[str, StoredArray],
        *,
        n_columns: int,
        n_leaf_numbers: int,
        inclusive: bool,
        wide: bool,
    ) -> Self:
        """The trees of stored arrays, if every number in them points inside them.

        Args:
            arrays: what `arrays` gave.
            n_columns: number of columns of the rows.
            n_leaf_numbers: bound of the numbers of leaves.
            inclusive: as in the class.
            wide: whether thresholds have 64 bits.

        Raises:
            ValueError: a number points outside, a child stands before its parent, or the nodes are no trees
                of a bounded depth.
        """
        roots, left, right, column = (
            arrays[name].astype(np.int32) for name in ("roots", "left", "right", "column")
        )
        stored = arrays["threshold"]
        threshold: Values = stored.astype(np.float64) if wide else stored.astype(np.float32)
        n_nodes = len(left)
        lengths = {len(right), len(column), len(threshold)}
        if lengths != {n_nodes} or not 0 < len(roots) <= min(n_nodes, limits.TREES):
            raise ValueError("trees whose arrays have different lengths")
        if roots.min() < 0 or roots.max() >= n_nodes or np.isnan(threshold).any():
            raise ValueError("a tree that begins outside its nodes, or a threshold that is no number")
        here = np.arange(n_nodes)
        is_leaf = left == here
        children = np.where(is_leaf, here + 1, np.minimum(left, right))
        outside = (children <= here) | (np.maximum(left, right) >= n_nodes) | (is_leaf & (right != here))
        bound = np.where(is_leaf, n_leaf_numbers, n_columns)
        if outside.any() or (column < 0).any() or (column >= bound).any():
            raise ValueError("a tree points outside itself")
        require_trees(roots, left, right)
        cover = arrays["cover"].astype(np.float64) if "cover" in arrays else None
        if cover is not None and (
            len(cover) != n_nodes or not (cover[~is_leaf] > 0).all() or cover.min() < 0
        ):
            raise ValueError("a node that no training row passed")
        return cls(roots, left, right, column, threshold, inclusive, cover)


def require_trees(roots: Positions, left: Positions, right: Positions) -> None:
    """Refuse nodes that are no trees one after another, with at most `limits.TREE_DEPTH` decisions on a path.

    Without it, many roots above one long path cost as much as roots times nodes, for each row.

    Args:
        roots: node where each tree begins, `(T,)`.
        left: left child of each node, a larger number; a leaf is its own child.
        right: right child of each node.

    Raises:
        ValueError: they are none.
    """
    here = np.arange(len(left), dtype=np.int32)
    inner = here[left != here]
    children = np.concatenate([left[inner], right[inner]])
    if roots[0] != 0 or (np.diff(roots) <= 0).any() or np.bincount(children).max(initial=0) > 1:
        raise ValueError("a tree that begins twice, or a node with two parents")
    tree = np.repeat(np.arange(len(roots), dtype=np.int32), np.diff(roots, append=len(left)))
    if (tree[children] != np.tile(tree[inner], 2)).any():
        raise ValueError("a tree that goes on in another one")
    level, depth = roots, 0
    while len(level := level[left[level] != level]):
        depth += 1
        if depth > limits.TREE_DEPTH:
            raise ValueError(f"a tree deeper than {limits.TREE_DEPTH} decisions")
        level = np.concatenate([left[level], right[level]])
