"""Compiled loops over the leaves that hybrids of two clips reach; see `forests` and `linear_shapley`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.explanation.shapley.arrays import Floats, Forest, Integers
from quintet.features.engine.kernel_cache import Compiler, compiled

_compile_loop: Compiler = compiled(fastmath=False)
_compile_step: Compiler = compiled(forceinline=True, fastmath=False)
"""For the step of the walk through a tree: it becomes part of each loop."""


@_compile_step
def _next_leaf(
    forest: Forest,
    row: NDArray[np.float32],
    other: NDArray[np.float32],
    player: Integers,
    waiting: Integers,
    depth: int,
) -> tuple[int, int, int, int]:
    """The leaf below the uppermost waiting node, where hybrids of a clip and a background clip arrive.

    Where the two clips part, the walk goes on with the clip, and the node of the background clip waits.

    Args:
        forest: the trees.
        row: (d,) the clip.
        other: (d,) the background clip.
        player: (d,) player of each column.
        waiting: (3, …) the nodes that wait, the players that hybrids there must have, and must not have.
        depth: number of nodes that wait, at least 1.

    Returns:
        The leaf; bits of the players that its hybrids have; bits of those that they lack; nodes that wait.
    """
    depth -= 1
    node, yes, no = waiting[0, depth], waiting[1, depth], waiting[2, depth]
    while forest.left[node] >= 0:
        j = forest.feature[node]
        with_x = forest.left[node] if row[j] < forest.threshold[node] else forest.right[node]
        with_b = forest.left[node] if other[j] < forest.threshold[node] else forest.right[node]
        bit = 1 << player[j]
        if with_x == with_b or yes & bit:
            node = with_x
        elif no & bit:
            node = with_b
        else:
            waiting[0, depth], waiting[1, depth], waiting[2, depth] = with_b, yes, no | bit
            depth += 1
            node = with_x
            yes |= bit
    return node, yes, no, depth


@_compile_loop
def add_coalition_outputs(
    forest: Forest,
    rows: NDArray[np.float32],
    background: NDArray[np.float32],
    player: Integers,
    n_players: int,
    waiting: Integers,
    outputs: Floats,
) -> None:
    """Add the outputs of all trees on every hybrid of a clip and a background clip; see
    `forests.coalition_outputs`.

    Args:
        forest: the trees.
        rows: (n, d) clips.
        background: (m, d) background clips.
        player: (d,) player of each column.
        n_players: k.
        waiting: `waiting_nodes()`.
        outputs: (n·m, 2^k, outputs); the sums are added to it.
    """
    all_players = (1 << n_players) - 1
    n_background = len(background)
    n_outputs = forest.value.shape[1]
    for i in range(len(rows)):
        for b in range(n_background):
            pair = i * n_background + b
            for t in range(len(forest.start)):
                waiting[0, 0], waiting[1, 0], waiting[2, 0] = forest.start[t], 0, 0
                depth = 1
                while depth > 0:
                    node, yes, no, depth = _next_leaf(forest, rows[i], background[b], player, waiting, depth)
                    # every coalition that holds `yes`, lacks `no`, and has any subset of the other players
                    free = all_players & ~(yes | no)
                    chosen = free
                    while True:
                        for o in range(n_outputs):
                            outputs[pair, yes | chosen, o] += forest.value[node, o]
                        if chosen == 0:
                            break
                        chosen = (chosen - 1) & free


@_compile_loop
def add_hybrid_values(
    forest: Forest,
    rows: NDArray[np.float32],
    background: NDArray[np.float32],
    clips: Integers,
    backgrounds: Integers,
    present: Integers,
    player: Integers,
    waiting: Integers,
    outputs: Floats,
) -> None:
    """Add the outputs of all trees on some hybrids; see `forests.TreeWalk.hybrids`.

    A tree is walked once for hybrids of the same clip and background clip that follow each other.

    Args:
        forest: the trees.
        rows: (n, d) clips.
        background: (m, d) background clips.
        clips: (h,) the clip of each hybrid.
        backgrounds: (h,) its background clip.
        present: (h,) a bit for each player: 1 if it is present.
        player: (d,) player of each column.
        waiting: `waiting_nodes()`.
        outputs: (h, outputs); the sums are added to it.
    """
    first, last = 0, 0
    while first < len(clips):
        i, b = clips[first], backgrounds[first]
        while last < len(clips) and clips[last] == i and backgrounds[last] == b:
            last += 1
        for t in range(len(forest.start)):
            waiting[0, 0], waiting[1, 0], waiting[2, 0] = forest.start[t], 0, 0
            depth = 1
            while depth > 0:
                node, yes, no, depth = _next_leaf(forest, rows[i], background[b], player, waiting, depth)
                for s in range(first, last):
                    if present[s] & yes == yes and present[s] & no == 0:
                        for o in range(outputs.shape[1]):
                            outputs[s, o] += forest.value[node, o]
        first = last


@_compile_loop
def add_background_values(
    forest: Forest,
    row: NDArray[np.float32],
    background: NDArray[np.float32],
    player: Integers,
    shares: Floats,
    paths: Integers,
    values: Floats,
) -> None:
    """Add the Shapley values of the outputs for one clip against each background clip; see `forest_shapley`.

    Args:
        forest: the trees.
        row: (d,) the clip.
        background: (m, d) background clips.
        player: (d,) player of each column; any number of players.
        shares: (levels, levels) `a! c! / (a + c + 1)!`.
        paths: (levels, levels + 3) room for the nodes that wait: the node, how many players its hybrids have
            and lack, then these players, first those that they have, from the end those that they lack.
        values: (m, k, outputs); the values are added to it.
    """
    end = paths.shape[1] - 1
    for b in range(len(background)):
        for t in range(len(forest.start)):
            top = 0
            paths[0, 0], paths[0, 1], paths[0, 2] = forest.start[t], 0, 0
            while top >= 0:
                path = paths[top]
                node, n_has, n_lacks = path[0], path[1], path[2]
                while forest.left[node] >= 0:
                    j = forest.feature[node]
                    with_x = forest.left[node] if row[j] < forest.threshold[node] else forest.right[node]
                    goes_left = background[b, j] < forest.threshold[node]
                    with_b = forest.left[node] if goes_left else forest.right[node]
                    node = with_x
                    if with_x == with_b:
                        continue
                    known = 0
                    for s in range(n_has):
                        if path[3 + s] == player[j]:
                            known = 1
                    for s in range(n_lacks):
                        if path[end - s] == player[j]:
                            known = -1
                    if known == -1:
                        node = with_b
                    elif known == 0:
                        for s in range(end + 1):
                            paths[top + 1, s] = path[s]
                        path[0], path[1], path[2] = with_b, n_has, n_lacks + 1
                        path[end - n_lacks] = player[j]
                        top += 1
                        path = paths[top]
                        path[3 + n_has] = player[j]
                        n_has += 1
                for o in range(forest.value.shape[1]):
                    for s in range(n_has):
                        values[b, path[3 + s], o] += shares[n_has - 1, n_lacks] * forest.value[node, o]
                    for s in range(n_lacks):
                        values[b, path[end - s], o] -= shares[n_has, n_lacks - 1] * forest.value[node, o]
                top -= 1


@_compile_loop
def add_leaf_values(forest: Forest, rows: NDArray[np.float32], outputs: Floats) -> None:
    """Add the outputs of the leaves that each row reaches.

    Args:
        forest: the trees.
        rows: (n, d).
        outputs: (n, outputs), changed.
    """
    for tree in range(len(forest.start)):
        for row in range(len(rows)):
            node = forest.start[tree]
            while forest.left[node] >= 0:
                if rows[row, forest.feature[node]] < forest.threshold[node]:
                    node = forest.left[node]
                else:
                    node = forest.right[node]
            for k in range(outputs.shape[1]):
                outputs[row, k] += forest.value[node, k]
