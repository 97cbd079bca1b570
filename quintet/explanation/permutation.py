"""What is lost without it: the fall of the ensemble's AUC on held-out clips when a family, or a column, is shuffled among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from quintet.evaluation.intervals import compared_interval, group_codes, group_draws
from quintet.evaluation.metrics import defined_mean
from quintet.evaluation.ranking import rank_scores

Array = NDArray[np.float64]
Predictor = Callable[[NDArray[np.intp], Sequence[str]], Array]


def permutation_importance(
    predict: Predictor,
    truth: NDArray[np.bool_],
    groups: NDArray[Any],
    players: Mapping[str, Sequence[str]],
    *,
    n_repeats: int = 5,
    n_resamples: int = 300,
    seed: int = 0,
) -> pd.DataFrame:
    """The fall of macro AUC when the columns of a player are shuffled together among the clips.

    Args:
        predict: `(orders, columns) -> (repeats, clips, classes)`: probabilities when clip i is given the `columns` of clip `orders[r, i]`; the
            identity order gives the untouched ones.
        truth: (n, classes) bool. groups: (n,): intervals resample whole groups.
        players: name → the columns that are shuffled together.
        n_repeats: shuffles per player; their mean is reported.

    Returns:
        One row per player, largest fall first: `fall, low, high` (95 %, percentiles), and `low_corrected, high_corrected`: intervals at the
        level `1 - 0.05 / number of players` (Bonferroni), of which none excludes 0 by chance in 95 of 100 reports. That far out the percentiles
        of some hundred resamples of few groups say too little: there the fall's standard error and Student's t decide. NaN where all clips are
        of one group.

    Source:
        Breiman, "Random forests", 2001, §10; held-out and grouped as in Molnar, "Interpretable machine learning", ch. 8.5.
    """
    n = len(truth)
    rng = np.random.default_rng(seed)
    codes, n_groups = group_codes(groups, n)
    draws = group_draws(codes, n_groups, n_resamples, rng, rows=n_resamples)
    weights = np.vstack([np.ones((1, n)), *draws])
    untouched = _macro_auc(truth, predict(np.arange(n)[None], ())[0], weights)
    orders = np.stack(
        [rng.permutation(n) for _ in range(n_repeats)]
    )  # the same shuffles for every player, so that they can be compared
    rows = []
    for name, columns in players.items():
        falls = untouched - np.mean([_macro_auc(truth, p, weights) for p in predict(orders, columns)], axis=0)
        interval = compared_interval(float(falls[0]), falls[1:], n_groups=n_groups, n_compared=len(players))
        rows.append((name, falls[0], *interval))
    table = pd.DataFrame(rows, columns=["player", "fall", "low", "high", "low_corrected", "high_corrected"])
    return table.sort_values("fall", ascending=False, kind="stable").reset_index(drop=True)


def correlated_groups(
    values: pd.DataFrame, columns: Sequence[str], *, threshold: float = 0.9
) -> dict[str, list[str]]:
    """The given columns, each with all columns that say nearly the same, to be shuffled together.

    Two columns belong together where their rank correlation is at least `threshold` in size, directly or through others (single linkage).

    Args:
        values: (n, d) training rows, so that held-out clips have no say in the groups.
        columns: those of interest, most important first; one that falls into an earlier one's group is not listed again.

    Returns:
        Name → columns: `a` for a column of its own, `a + 2 alike` for one with two others.

    Example:
        >>> table = pd.DataFrame({"a": [1, 2, 3, 4], "b": [2, 4, 6, 9], "c": [1, -1, 1, -1]})
        >>> correlated_groups(table, ["b", "a", "c"])
        {'b + 1 alike': ['b', 'a'], 'c': ['c']}
    """
    ranks = values.rank().to_numpy(dtype=float)
    ranks = np.where(np.isfinite(ranks), ranks, np.nanmean(ranks, axis=0))
    centred = ranks - ranks.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(size > 0, size, 1.0)
    _, component = connected_components(csr_array(np.abs(unit.T @ unit) >= threshold - 1e-12), directed=False)
    names = np.asarray(values.columns.astype(str))
    found: dict[str, list[str]] = {}
    seen: set[int] = set()
    for column in columns:
        own = int(component[values.columns.get_loc(column)])
        if own in seen:
            continue
        seen.add(own)
        alike = [str(name) for name in names[component == own] if name != column]
        found[f"{column} + {len(alike)} alike" if alike else column] = [column, *alike]
    return found


def _macro_auc(truth: NDArray[np.bool_], probabilities: Array, weights: Array) -> Array:
    """(B,) macro one-vs-rest AUC under each row of weights; classes without a positive or a negative are left out."""
    columns = [
        rank_scores(truth[:, k], np.ascontiguousarray(probabilities[:, k]), weights).auc
        for k in range(truth.shape[1])
    ]
    return np.asarray(defined_mean(np.stack(columns, axis=-1)))


def ensemble_predictor(
    members: Mapping[str, Any],
    fuse: Callable[[Array], Array],
    rows: pd.DataFrame,
    networks: Mapping[str, Array],
    spectrogram: str,
    *,
    own: NDArray[np.intp] | None = None,
) -> Predictor:
    """The fused probabilities as `permutation_importance` asks for them.

    Args:
        members: name → fitted table member (None for a network), in the order that `fuse` expects.
        rows: (n, d) held-out clips. networks: member → probabilities (n, classes) of whole clips.
        spectrogram: the "column" that stands for what networks hear.
        own: the clips among `rows` that these members judge; default all.
    """
    judged = np.arange(len(rows)) if own is None else own
    mine = rows.iloc[judged]
    whole: dict[str, Array] = {}

    def opinion(name: str, orders: NDArray[np.intp], tabular: Sequence[str], hears_others: bool) -> Array:
        if name in networks:
            return np.stack([networks[name][order if hears_others else judged] for order in orders])
        if not tabular:
            if name not in whole:
                whole[name] = np.asarray(members[name].predict_proba(mine))
            return np.repeat(whole[name][None], len(orders), axis=0)
        shuffled = pd.concat([mine] * len(orders))
        shuffled[list(tabular)] = rows[list(tabular)].to_numpy()[orders.ravel()]
        return np.asarray(members[name].predict_proba(shuffled)).reshape(len(orders), len(mine), -1)

    def predict(orders: NDArray[np.intp], columns: Sequence[str]) -> Array:
        tabular = [column for column in columns if column != spectrogram]
        stack = np.stack(
            [opinion(name, orders[:, judged], tabular, spectrogram in columns) for name in members]
        )
        return np.stack([fuse(stack[:, r]) for r in range(len(orders))])

    return predict


def combine_predictors(parts: Sequence[tuple[NDArray[np.intp], Predictor]]) -> Predictor:
    """One predictor made of several, each answering for its own clips: together these are all clips, each once."""
    order = np.argsort(np.concatenate([own for own, _ in parts]), kind="stable")

    def predict(orders: NDArray[np.intp], columns: Sequence[str]) -> Array:
        return np.concatenate([part(orders, columns) for _, part in parts], axis=1)[:, order]

    return predict
