"""Permutation importance: the loss of held-out AUC of the ensemble if columns are shuffled among the clips.

In: a function that predicts clips with shuffled columns (`ensemble_predictor`), the true classes, and the
sets of columns that are shuffled together (feature families, or columns with those that correlate with them).
Out: a table with one row per set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from quintet.evaluation.intervals import group_codes, group_draws
from quintet.evaluation.metrics import mean_without_nan
from quintet.evaluation.percentile_intervals import comparison_interval
from quintet.evaluation.ranking import rank_scores
from quintet.explanation.contracts import Classifier, Floats, Fuse, Groups, Positions
from quintet.explanation.shapley.family_shapley import unused_name
from quintet.frozen.quick_table import QuickTable

Predictor = Callable[[Positions, Sequence[str]], Floats]
"""`(orders, columns) -> (repeats, clips, classes)`; see `permutation_importance`."""


def permutation_importance(
    predict: Predictor,
    truth: NDArray[np.bool_],
    groups: Groups,
    players: Mapping[str, Sequence[str]],
    *,
    n_repeats: int = 5,
    n_resamples: int = 300,
    seed: int = 0,
) -> pd.DataFrame:
    """The fall of macro AUC if the columns of a player are shuffled together among the clips.

    Args:
        predict: `(orders, columns) -> (repeats, clips, classes)`, the probabilities if clip i has the
            `columns` of clip `orders[r, i]`. The identity order gives the probabilities of the clips
            themselves.
        truth: (n, classes) the classes of each clip.
        groups: (n,) the group of each clip. Intervals resample whole groups.
        players: name → the columns that are shuffled together.
        n_repeats: shuffles per player. Their mean is reported.
        n_resamples: resamples of groups.
        seed: seed of the shuffles and resamples.

    Returns:
        One row per player, largest fall first: `player, fall, low, high` (95 %, percentiles) and
            `low_corrected,
        high_corrected`, corrected for the number of players: by chance, one of them excludes 0 in 5 of 100
            reports
        (`comparison_interval`). NaN if all clips are of one group.

    Source:
        Breiman, "Random forests", 2001, §10; held-out and grouped as in Molnar, "Interpretable machine
        learning", ch. 8.5.
    """
    n = len(truth)
    rng = np.random.default_rng(seed)
    codes, n_groups = group_codes(groups, n)
    draws = group_draws(codes, n_groups, n_resamples, rng, rows=n_resamples)
    weights = np.vstack([np.ones((1, n)), *draws])
    identity = np.arange(n)[None]
    unshuffled = predict(identity, ())[0]
    original = _macro_auc(truth, unshuffled, weights)
    # the same shuffles for every player, so that players can be compared
    orders = np.stack([rng.permutation(n) for _ in range(n_repeats)])
    rows = []
    for name, columns in players.items():
        shuffled = predict(orders, columns)
        aucs = [_macro_auc(truth, probabilities, weights) for probabilities in shuffled]
        falls = original - np.mean(aucs, axis=0)
        fall = falls[0]
        interval = comparison_interval(float(fall), falls[1:], n_groups=n_groups, n_compared=len(players))
        rows.append((name, fall, *interval))
    table = pd.DataFrame(rows, columns=["player", "fall", "low", "high", "low_corrected", "high_corrected"])
    return table.sort_values("fall", ascending=False, kind="stable").reset_index(drop=True)


def correlation_groups(
    values: pd.DataFrame, columns: Sequence[str], *, threshold: float = 0.9
) -> dict[str, list[str]]:
    """Each given column with all columns that correlate with it, to be shuffled together.

    Two columns belong together if their rank correlation is at least `threshold` in size, directly or through
    other columns (single linkage).

    Args:
        values: (n, d) training rows, so that held-out clips have no influence on the groups.
        columns: columns of interest, most important first. A column that belongs to the group of an earlier
            one is not listed again.
        threshold: least rank correlation, in (0, 1].

    Returns:
        Name → columns: `a` for a column on its own, `a + 2 alike` for a column with two others.

    Example:
        >>> table = pd.DataFrame({"a": [1, 2, 3, 4], "b": [2, 4, 6, 9], "c": [1, -1, 1, -1]})
        >>> correlation_groups(table, ["b", "a", "c"])
        {'b + 1 alike': ['b', 'a'], 'c': ['c']}
    """
    component = _correlation_components(values, threshold)
    names = np.asarray(values.columns.astype(str))
    groups: dict[str, list[str]] = {}
    seen: set[int] = set()
    for column in columns:
        number = int(component[values.columns.get_loc(column)])
        if number in seen:
            continue
        seen.add(number)
        alike = [str(name) for name in names[component == number] if name != column]
        title = f"{column} + {len(alike)} alike" if alike else column
        groups[unused_name(title, groups)] = [column, *alike]
    return groups


def _correlation_components(values: pd.DataFrame, threshold: float) -> NDArray[np.int32]:
    """(d,) the number of the group of each column; missing values have the mean rank."""
    ranks = values.rank().to_numpy(dtype=float)
    is_known = np.isfinite(ranks)
    mean_ranks = np.nansum(ranks, axis=0) / np.maximum(is_known.sum(axis=0), 1)
    ranks = np.where(is_known, ranks, mean_ranks)
    centred = ranks - ranks.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(size > 0, size, 1.0)
    correlations = unit.T @ unit
    is_close = np.abs(correlations) >= threshold - 1e-12
    _, component = connected_components(csr_array(is_close), directed=False)
    return np.asarray(component)


def _macro_auc(truth: NDArray[np.bool_], probabilities: Floats, weights: Floats) -> Floats:
    """(B,) macro one-vs-rest AUC under each row of weights; classes without a positive or a negative are left
    out."""
    aucs = []
    for k in range(truth.shape[1]):
        is_true = truth[:, k]
        scores = np.ascontiguousarray(probabilities[:, k])
        ranked = rank_scores(is_true, scores, weights)
        aucs.append(ranked.auc)
    return np.asarray(mean_without_nan(np.stack(aucs, axis=-1)))


def ensemble_predictor(
    members: Mapping[str, Classifier | None],
    fuse: Fuse,
    rows: pd.DataFrame,
    networks: Mapping[str, Floats],
    spectrogram: str,
    *,
    positions: Positions | None = None,
) -> Predictor:
    """The ensemble probabilities in the form that `permutation_importance` needs.

    Args:
        members: name → fitted table member (None for a network), in the order that `fuse` expects.
        fuse: (members, clips, classes) → (clips, classes).
        rows: (n, d) held-out clips.
        networks: member → its probabilities (n, classes) of the clips.
        spectrogram: the "column" that stands for the input of the networks.
        positions: positions in `rows` of the clips that these members predict. Default: all.

    Returns:
        A function `(orders, columns) -> (repeats, len(positions), classes)`.
    """
    own = np.arange(len(rows)) if positions is None else positions
    return _EnsemblePredictor(members, fuse, rows, networks, spectrogram, own)


@dataclass(frozen=True)
class _EnsemblePredictor:
    """Implementation of `ensemble_predictor`, whose arguments are the fields.

    `unshuffled` keeps the probabilities of the members on the clips as they are, and `prepared` their rows.
    """

    members: Mapping[str, Classifier | None]
    fuse: Fuse
    rows: pd.DataFrame
    networks: Mapping[str, Floats]
    spectrogram: str
    positions: Positions
    unshuffled: dict[str, Floats] = field(default_factory=dict)
    prepared: dict[str, Floats] = field(default_factory=dict)

    def __call__(self, orders: Positions, columns: Sequence[str]) -> Floats:
        """(repeats, own clips, classes) ensemble probabilities; `orders` is (repeats, n)."""
        own_orders = orders[:, self.positions]
        tabular = [column for column in columns if column != self.spectrogram]
        is_shuffled = self.spectrogram in columns
        predictions = []
        for name in self.members:
            if name in self.networks:
                predictions.append(self._predict_network(name, own_orders, is_shuffled))
            else:
                predictions.append(self._predict_table(name, own_orders, tabular))
        stack = np.stack(predictions)
        return np.stack([self.fuse(stack[:, r]) for r in range(len(orders))])

    def _predict_network(self, name: str, orders: Positions, is_shuffled: bool) -> Floats:
        probabilities = self.networks[name]
        return np.stack([probabilities[order if is_shuffled else self.positions] for order in orders])

    def _predict_table(self, name: str, orders: Positions, columns: Sequence[str]) -> Floats:
        member = cast(Classifier, self.members[name])
        own_rows = self.rows.iloc[self.positions]
        if not columns:
            if name not in self.unshuffled:
                self.unshuffled[name] = np.asarray(member.predict_proba(own_rows))
            probabilities = self.unshuffled[name]
            return np.repeat(probabilities[None], len(orders), axis=0)
        if isinstance(member, QuickTable):
            return self._predict_prepared(name, member, orders, columns)
        names = list(columns)
        values = self.rows[names].to_numpy()
        shuffled = pd.concat([own_rows] * len(orders))
        shuffled[names] = values[orders.ravel()]
        probabilities = np.asarray(member.predict_proba(shuffled))
        return probabilities.reshape(len(orders), len(own_rows), -1)

    def _predict_prepared(
        self, name: str, member: QuickTable, orders: Positions, columns: Sequence[str]
    ) -> Floats:
        """The same with prepared rows: columns are prepared one by one, before or after they are shuffled."""
        if name not in self.prepared:
            self.prepared[name] = member.fitted.prepare(self.rows)
        values = self.prepared[name]
        shuffled = np.tile(values[self.positions], (len(orders), 1))
        is_column = np.isin(member.fitted.prepared_names, list(columns))
        shuffled[:, is_column] = values[orders.ravel()][:, is_column]
        return member.predict_prepared(shuffled).reshape(len(orders), len(self.positions), -1)


def combine_predictors(parts: Sequence[tuple[Positions, Predictor]]) -> Predictor:
    """One predictor of all clips from predictors of different clips.

    Args:
        parts: pairs of positions and the predictor of the clips there. Together the positions are all clips,
            each once.

    Returns:
        A function `(orders, columns) -> (repeats, clips, classes)`.
    """
    positions = np.concatenate([own for own, _ in parts])
    order = np.argsort(positions, kind="stable")

    def predict(orders: Positions, columns: Sequence[str]) -> Floats:
        predictions = [part(orders, columns) for _, part in parts]
        return np.concatenate(predictions, axis=1)[:, order]

    return predict
