"""Compiled loops of the moves of `source_moves` and `source_runs`. They allocate nothing.

`compiled` calls them as machine code. Values are deviations of clips on axes where W is the identity and B is
diagonal; see `Clips`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.features.engine.kernel_cache import Compiler, compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_compile_loop: Compiler = compiled(fastmath=False)
_compile_step: Compiler = compiled(forceinline=True, fastmath=False)
PER_LOGARITHM = 16
"""Factors of a product of which one logarithm is taken: the product of 16 stays finite."""
SMALLEST_CHANCE = 1e-300


@_compile_step
def _change(
    k: int,
    i: int,
    sign: float,
    clips: tuple[Floats, Floats, Floats],
    sources: tuple[Floats, Floats, Floats, Floats, Floats],
) -> None:
    """Put clip `i` into source `k` (sign 1), or take it out (sign -1)."""
    values, weights, ratios = clips
    counts, precision, sums, spread, centre = sources
    counts[k] += sign
    is_empty = counts[k] == 0
    precision[k] = 0.0 if is_empty else precision[k] + sign * weights[i]
    for d in range(ratios.size):
        sums[k, d] = 0.0 if is_empty else sums[k, d] + sign * weights[i] * values[i, d]
        spread[k, d] = 1 / (1 / ratios[d] + precision[k])
        centre[k, d] = spread[k, d] * sums[k, d]


@_compile_loop
def move_in_turn(
    clips: tuple[Floats, Floats, Floats],
    sources: tuple[Floats, Floats, Floats, Floats, Floats],
    source: Integers,
    order: Integers,
    chances: Floats,
    reached: Floats,
    used: int,
    concentration: float,
) -> None:
    """Draw the source of each clip in turn, given those of all others.

    Args:
        clips: values `(n, d)`, weights `(n,)` and ratios `(d,)` of the clips.
        sources: of each slot for a source its number of clips, the sum of their weights `(slots,)`, the sum
            of their weighted values, and variance and mean of its centre `(slots, d)`. They are kept up.
        source: slot of each clip, `(n,)`. It is written.
        order: the clips in the order of their turns, `(n,)`.
        chances: what selects the source of each turn, in [0, 1), `(n,)`.
        reached: room for a number per slot, `(slots,)`.
        used: slots that are looked at. One of them is empty.
        concentration: weight of a new source.
    """
    values, weights, ratios = clips
    counts, _, _, spread, centre = sources
    for turn in range(order.size):
        i = order[turn]
        _change(source[i], i, -1.0, clips, sources)
        empty = 0
        while counts[empty] != 0:
            empty += 1
        highest = -np.inf
        for k in range(used):
            share = concentration if k == empty else counts[k]
            if share == 0:
                reached[k] = -np.inf
                continue
            distance, product = 0.0, 1.0
            for d in range(ratios.size):
                excess = 1 + weights[i] * spread[k, d]
                distance += (values[i, d] - centre[k, d]) ** 2 / excess
                product *= excess
            reached[k] = np.log(share) - 0.5 * (weights[i] * distance + np.log(product))
            highest = max(highest, reached[k])
        total = 0.0
        for k in range(used):
            total += np.exp(reached[k] - highest)
            reached[k] = total
        new = 0
        while new < used - 1 and reached[new] <= chances[turn] * total:
            new += 1
        source[i] = new
        _change(new, i, 1.0, clips, sources)
        used = max(used, new + 2)


@_compile_step
def _log_density(precision: float, sums: Floats, ratios: Floats) -> float:
    """Log density of clips of one source, without what does not depend on the partition."""
    total, product = 0.0, 1.0
    for d in range(ratios.size):
        grown = 1 + ratios[d] * precision
        total += ratios[d] * sums[d] ** 2 / grown
        product *= grown
        if d % PER_LOGARITHM == PER_LOGARITHM - 1:
            total -= np.log(product)
            product = 1.0
    density: float = 0.5 * (total - np.log(product))
    return density


@_compile_step
def _allocate(
    clips: tuple[Floats, Floats, Floats],
    others: Integers,
    is_second: Integers,
    draws: Floats,
    is_drawn: bool,
    halves: tuple[Floats, Floats, Floats, Floats],
    grown: Floats,
) -> float:
    """Put clips one after another into two sources; the log chance of this allocation.

    Args:
        clips: values `(n, d)`, weights `(n,)` and ratios `(d,)` of the clips.
        others: the clips in their order, `(m,)`.
        is_second: 1 where a clip is put into the second source, `(m,)`. It is written if `is_drawn`.
        draws: what draws the side of each clip, in [0, 1), `(m,)`.
        is_drawn: whether sides are drawn, or are as `is_second` says.
        halves: of both sources the sum of the weights `(2,)`, the sum of the weighted values `(2, d)`, the
            number of clips `(2,)` and the log density `(2,)`. They are kept up.
        grown: room for two sums and two log densities, `(2, d + 1)`.
    """
    values, weights, ratios = clips
    precision, sums, counts, density = halves
    n_axes = ratios.size
    log_chance = 0.0
    for position in range(others.size):
        k = others[position]
        for side in range(2):
            for d in range(n_axes):
                grown[side, d] = sums[side, d] + weights[k] * values[k, d]
            grown[side, n_axes] = _log_density(precision[side] + weights[k], grown[side, :n_axes], ratios)
        odds = grown[0, n_axes] - density[0] + np.log(counts[0])
        odds -= grown[1, n_axes] - density[1] + np.log(counts[1])
        chance = 1 / (1 + np.exp(min(max(odds, -700.0), 700.0)))
        if is_drawn:
            is_second[position] = 1 if draws[position] < chance else 0
        side = is_second[position]
        log_chance += np.log(max(chance if side else 1 - chance, SMALLEST_CHANCE))
        precision[side] += weights[k]
        counts[side] += 1
        density[side] = grown[side, n_axes]
        for d in range(n_axes):
            sums[side, d] = grown[side, d]
    return log_chance


@_compile_step
def _begin_halves(
    clips: tuple[Floats, Floats, Floats], i: int, j: int, halves: tuple[Floats, Floats, Floats, Floats]
) -> None:
    """Two sources with one clip each."""
    values, weights, ratios = clips
    precision, sums, counts, density = halves
    for side in range(2):
        k = j if side else i
        precision[side], counts[side] = weights[k], 1.0
        for d in range(ratios.size):
            sums[side, d] = weights[k] * values[k, d]
        density[side] = _log_density(precision[side], sums[side], ratios)


@_compile_step
def _list_others(source: Integers, i: int, j: int, draws: Floats, others: Integers) -> int:
    """Write the other clips of the sources of two clips in a random order. Returns their number."""
    n_others = 0
    for k in range(source.size):
        if k != i and k != j and (source[k] == source[i] or source[k] == source[j]):
            at = int(draws[n_others] * (n_others + 1))
            others[n_others] = others[at]
            others[at] = k
            n_others += 1
    return n_others


@_compile_loop
def split_and_merge_in_turn(
    clips: tuple[Floats, Floats, Floats],
    slots: tuple[Integers, Integers],
    todo: tuple[Integers, int],
    draws: Floats,
    log_gamma: Floats,
    log_concentration: float,
    halves: tuple[Floats, Floats, Floats, Floats],
    room: tuple[Integers, Integers, Floats],
) -> tuple[float]:
    """Try for pairs of clips to split their common source, or to merge their two sources.

    Args:
        clips: values `(n, d)`, weights `(n,)` and ratios `(d,)` of the clips.
        slots: slot of each clip `(n,)`, and number of clips of each slot `(n + 1,)`. They are kept up.
        todo: the pairs, `(p, 2)`, and the number of the first one that is tried.
        draws: random numbers in [0, 1), `(m,)`, m > 2 n. A pair needs up to 2 n.
        log_gamma: log gamma of 0, 1, …, n, `(n + 1,)`.
        log_concentration: log weight of a new source.
        halves: room, as `_allocate` says.
        room: for clips `(n,)`, for a side of each `(n,)`, and as `grown` of `_allocate`.

    Returns:
        Number of the first pair that was not tried: random numbers are used up before it, or it is p.
    """
    ratios = clips[2]
    source, counts = slots
    pairs, begin = todo
    others, is_second, grown = room
    precision, sums, sizes, density = halves
    used = 0
    for number in range(begin, pairs.shape[0]):
        if used + 2 * source.size > draws.size:
            return (float(number),)
        i, j = pairs[number, 0], pairs[number, 1]
        is_split = source[i] == source[j]
        n = _list_others(source, i, j, draws[used:], others)
        used += n
        for position in range(n):
            is_second[position] = 1 if source[others[position]] == source[j] else 0
        _begin_halves(clips, i, j, halves)
        log_chance = _allocate(clips, others[:n], is_second, draws[used:], is_split, halves, grown)
        used += n
        for d in range(ratios.size):
            grown[0, d] = sums[0, d] + sums[1, d]
        whole = _log_density(precision[0] + precision[1], grown[0, : ratios.size], ratios)
        gain = density[0] + density[1] - whole - log_chance + log_concentration
        gain += log_gamma[int(sizes[0])] + log_gamma[int(sizes[1])] - log_gamma[n + 2]
        chance = np.log(max(draws[used], SMALLEST_CHANCE))
        used += 1
        if chance >= (gain if is_split else -gain):
            continue
        old = source[j]
        new = source[i]
        if is_split:
            new = 0
            while counts[new] != 0:
                new += 1
        source[j] = new
        n_moved = 1
        for position in range(n):
            if is_second[position]:
                source[others[position]] = new
                n_moved += 1
        counts[old] -= n_moved
        counts[new] += n_moved
    return (float(pairs.shape[0]),)


@_compile_loop
def fill_run_densities(
    clips: tuple[Floats, Floats, Floats], order: Integers, sums: Floats, densities: Floats
) -> None:
    """Log density of the clips from the i-th to the j-th in an order, for all i <= j.

    Args:
        clips: values `(n, d)`, weights `(n,)` and ratios `(d,)` of the clips.
        order: the clips in their order, `(n,)`.
        sums: room for a number per axis, `(d,)`.
        densities: result, `(n, n)`. It is written from the diagonal on.
    """
    values, weights, ratios = clips
    for first in range(order.size):
        precision = 0.0
        sums[:] = 0.0
        for last in range(first, order.size):
            k = order[last]
            precision += weights[k]
            for d in range(ratios.size):
                sums[d] += weights[k] * values[k, d]
            densities[first, last] = _log_density(precision, sums, ratios)
