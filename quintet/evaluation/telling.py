"""Columns of a feature table that identify a class by themselves, and rows in the order of their classes.

A label written as a number, or a number that counted the rows of a sorted table, gives a perfect score and is
no music. A good feature separates classes too, and may even make no error. A column is named here if

- one decision tree of few leaves on this column alone recognises a class almost without error,
- it still does out of grouped folds, and a column of random numbers, one per group, would not, and
- its values do not thin out towards the border of two classes, as those of a feature do, or a class has one
  value that no other class has, such as a bit rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln
from sklearn.tree import DecisionTreeClassifier

from quintet.datasets.labels import join_labels, label_set
from quintet.datasets.splits.class_task import Task, make_task
from quintet.datasets.splits.split import Positions
from quintet.errors import DatasetError

Floats = NDArray[np.float64]

TELLING_COLUMNS = ("column", "labels", "clips", "errors")
FITTED_SHARE = 0.99
"""Share of right answers of a tree of few leaves on its own clips, from which a column identifies a class."""
LOWEST_SHARE = 0.9
"""The lower end of the interval of that share must be above it, unless the column has one value per class."""
HELD_OUT_SHARE = 0.85
"""Share of right answers out of fold: a column that only knows the artists does not reach it.

It is lower, because a number that rises from class to class errs at each border of two classes.
"""
WIDE_GAP = 2.0
"""Gap between two classes, in widths of the widest class, of a label in numbers."""
MOST_UNEVEN = 1.15
"""Standard deviation of the distances between the values of a counter, in mean distances.

A counter with regular steps has 0, one with random steps 1, and normal values of thirty clips 1.3.
"""
MOST_THINNING = 1.5
"""Distance of the values at a border of two classes, in mean distances, up to which they do not thin out.

Classes of normal values that are separated without error have 2 or more; a counter has 1.
"""
MOST_STEPS = 3.0
"""Mean distance of the values of a counter, in its smallest distance, at most."""
CHANCE = 0.01
"""Accepted probability that any column of random numbers, one per group, would identify a class."""
NORMAL_QUANTILE = 1.96
LEAF = 3
MOST_CLIPS = 2000
"""Clips that are looked at; more are drawn at random."""
MOST_INTERVALS = 0.4
"""A column that identifies a class has fewer intervals with its values than this, per clip of the class."""
SHARE_OF_NEIGHBOURS = 0.9
"""Share of rows with the label of the row before, from which the order of the rows identifies the class."""
DEVIATIONS = 3.0
"""Standard deviations by which runs of one label must be fewer than in a shuffled table."""


SHOWN_CLASSES = 3  # in a warning


@dataclass(frozen=True)
class RowOrder:
    """How the labels follow each other in the rows of a table.

    Args:
        runs: number of stretches of rows with one label.
        expected: number of such stretches if the rows were shuffled.
        tells_class: whether the place of a row identifies its class.
    """

    runs: int
    expected: float
    tells_class: bool


def telling_columns(
    features: pd.DataFrame, labels: pd.Series, groups: pd.Series, *, seed: int = 0
) -> pd.DataFrame:
    """Columns that identify a class, or all classes, by themselves.

    Args:
        features: features by clip id, finite.
        labels: label of each clip, in the same order: `"rock"`, or `"rock;live"` for sets.
        groups: group of each clip, in the same order.
        seed: seed of the folds.

    Returns:
        Columns column, labels (the classes that it identifies, joined by `;`), clips (of these classes),
        errors (clips that are wrongly taken for one of them, or for another class). There are no
        rows if no column does, or if fewer than two classes lie in two groups each.

    Example:
        >>> labels = pd.Series(["rock", "jazz"] * 40)
        >>> table = pd.DataFrame({"honest": np.arange(80) % 7, "code": (labels == "rock") * 1.0})
        >>> telling_columns(table, labels, pd.Series(range(80)))["column"].tolist()
        ['code']
    """
    empty = pd.DataFrame(columns=list(TELLING_COLUMNS))
    if len(labels) > MOST_CLIPS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(labels), MOST_CLIPS, replace=False))
        features, labels, groups = features.iloc[chosen], labels.iloc[chosen], groups.iloc[chosen]
    try:
        task = make_task(labels, groups, seed)
    except DatasetError:
        return empty
    values = features.to_numpy(np.float64)[task.rows]
    possible = _beyond_chance(task, n_columns=values.shape[1])
    candidates = _has_few_intervals(values, task.target) & possible
    rows = []
    for j in np.flatnonzero(candidates.any(axis=1)).tolist():
        errors = _tell(values[:, j], candidates[j], possible, task)
        if errors:
            is_wrong = np.any(list(errors.values()), axis=0)
            n_clips = int(task.target[:, list(errors)].any(axis=1).sum())
            names = join_labels(task.classes[k] for k in errors)
            rows.append((str(features.columns[j]), names, n_clips, int(is_wrong.sum())))
    return pd.DataFrame(rows, columns=list(TELLING_COLUMNS)) if rows else empty


def telling_warnings(columns: pd.DataFrame) -> list[str]:
    """One warning for each column that identifies classes by itself.

    Args:
        columns: result of `telling_columns`.
    """
    sentences = []
    for row in columns.itertuples():
        labels = label_set(str(row.labels))
        classes = f"the class '{labels[0]}'"
        if len(labels) > 1:
            classes = f"the {len(labels)} classes {', '.join(map(repr, labels[:SHOWN_CLASSES]))}"
            classes += ", …" if len(labels) > SHOWN_CLASSES else ""
        errors = f"{row.errors} {'error' if row.errors == 1 else 'errors'} for {row.clips} clips of them"
        sentences.append(
            f"The column '{row.column}' alone identifies {classes}, out of grouped folds ({errors}). "
            "If it is a label or a number of the file, and no property of the music, remove it."
        )
    return sentences


def _beyond_chance(task: Task, *, n_columns: int) -> NDArray[np.bool_]:
    """Classes in so many groups that no column of random numbers, one per group, holds them together.

    The g groups of a class stand side by side among all G in (G - g + 1) of the "G over g" orders.
    """
    in_group = pd.DataFrame(task.target).groupby(task.groups).max().to_numpy()
    n_groups, of_class = len(in_group), in_group.sum(axis=0)
    log_orders = gammaln(n_groups + 1) - gammaln(of_class + 1) - gammaln(n_groups - of_class + 1)
    log_chance = np.log(n_groups - of_class + 1) - log_orders
    n_looks = max(n_columns, 1) * len(task.classes)
    return np.asarray(log_chance + math.log(n_looks) < math.log(CHANCE))


def _has_few_intervals(values: Floats, target: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Whether the values of each class lie in few intervals of each column, `(columns, classes)`.

    It is a quick necessary condition: the others need no tree.
    """
    order = np.argsort(values, axis=0, kind="stable")
    result = np.empty((values.shape[1], target.shape[1]), dtype=bool)
    for k in range(target.shape[1]):
        is_class = target[:, k][order] == 1
        begins = is_class[0].astype(int) + (is_class[1:] & ~is_class[:-1]).sum(axis=0)
        result[:, k] = begins < MOST_INTERVALS * target[:, k].sum()
    return result


def _tell(
    column: Floats, candidates: NDArray[np.bool_], possible: NDArray[np.bool_], task: Task
) -> dict[int, NDArray[np.bool_]]:
    """Classes that a column identifies, together or one by one, and the clips it gets wrong out of fold."""
    has_single_labels = bool((task.target.sum(axis=1) == 1).all())
    if has_single_labels and possible.all():
        errors = _held_out_errors(column, task.target.argmax(axis=1), task, tells_all=True)
        if errors is not None:
            return dict.fromkeys(range(len(task.classes)), errors)
    told = {}
    for k in np.flatnonzero(candidates).tolist():
        errors = _held_out_errors(column, task.target[:, k].astype(int), task, tells_all=False)
        if errors is not None:
            told[k] = errors
    return told


def _held_out_errors(
    column: Floats, y: Positions, task: Task, *, tells_all: bool
) -> NDArray[np.bool_] | None:
    """Clips that one tree on a column gets wrong out of fold; None if the column does not give the answer.

    Args:
        column: shape `(n,)`.
        y: the answers, 0 … K - 1, shape `(n,)`.
        task: the folds.
        tells_all: whether the answers are all classes, and not one class (1) or another (0).
    """
    everything = np.arange(len(column))
    fitted = _predict(column, y, [(everything, everything)], task.seed)
    share = _share_right(fitted, y)
    n_values = len(np.unique(column))
    lowest = 0.0 if n_values <= y.max() + 1 else LOWEST_SHARE
    if (
        share < FITTED_SHARE
        or _lower_end(share, len(y)) <= lowest
        or not _is_made(column, fitted, tells_all=tells_all)
    ):
        return None
    held_out = _predict(column, y, task.folds, task.seed)
    return None if _share_right(held_out, y) < HELD_OUT_SHARE else held_out != y


def _predict(
    column: Floats, y: Positions, folds: Sequence[tuple[Positions, Positions]], seed: int
) -> Positions:
    """Predicted answers, shape `(n,)`, by one tree of few leaves per fold."""
    predicted = np.empty_like(y)
    for train, valid in folds:
        most_leaves = 2 * (int(y.max()) + 1)
        tree = DecisionTreeClassifier(min_samples_leaf=LEAF, max_leaf_nodes=most_leaves, random_state=seed)
        with np.errstate(over="ignore", invalid="ignore"):  # it adds up all values to find a NaN
            predicted[valid] = tree.fit(column[train, None], y[train]).predict(column[valid, None])
    return predicted


def _share_right(predicted: Positions, y: Positions) -> float:
    """Share of right answers: the mean over classes, where missed and wrongly taken clips count half each."""
    n_classes = int(y.max()) + 1
    wrong = predicted != y
    missed, taken = (
        np.bincount(y[wrong], minlength=n_classes),
        np.bincount(predicted[wrong], minlength=n_classes),
    )
    shares = 1 - (missed + taken) / (2 * np.bincount(y, minlength=n_classes))
    return float(shares.min() if n_classes == 2 else shares.mean())


def _is_made(column: Floats, predicted: Positions, *, tells_all: bool) -> bool:
    """Whether a column is made from the classes, or counts: its values do not thin out between two classes.

    The values of a feature become rare towards the border of two classes, however far apart the classes lie.
    A label in numbers has gaps wider than the spread of a class, or one value for each class that it tells; a
    counter goes on through the border.
    Numbers that are neither whole nor even steps are a counter only if they identify all classes.
    """
    order = np.argsort(column, kind="stable")
    values, answers = column[order], predicted[order]
    borders = np.flatnonzero(answers[1:] != answers[:-1]) + 1
    if not len(borders):
        return False
    stretches = np.split(values, borders)
    widest = max(float(stretch[-1] - stretch[0]) for stretch in stretches)
    gaps = values[borders] - values[borders - 1]
    if float(np.median(gaps)) >= WIDE_GAP * widest:
        return True
    is_told = [predicted.max() > 1 or bool(answers[k]) for k in (0, *borders)]  # of two answers, 1 is a class
    if all(stretch[0] == stretch[-1] for stretch, told in zip(stretches, is_told, strict=True) if told):
        return True
    is_number_of_row = bool((values == np.round(values)).all()) and bool((np.diff(values) > 0).all())
    if not (is_number_of_row or _has_even_steps(values)) and (
        not tells_all or _unevenness(stretches) > MOST_UNEVEN
    ):
        return False
    thinning = []
    for k, gap in enumerate(gaps.tolist()):
        if is_told[k]:
            thinning.append(_thinning(stretches[k][::-1], gap))
        if is_told[k + 1]:
            thinning.append(_thinning(stretches[k + 1], gap))
    return bool(np.median(thinning) <= MOST_THINNING)


def _has_even_steps(values: Floats) -> bool:
    """Whether rising numbers are one or few steps of one size apart, such as 0.5, 1, 2: they count something.

    The numbers are stored with 24 bits, so a step may be off by the last of them.
    """
    steps = np.diff(values)
    smallest = float(steps.min())
    rounding = 2.0**-22 * float(np.abs(values).max())
    if smallest <= 10 * rounding:
        return False
    multiples = steps / smallest
    is_multiple = np.abs(multiples - np.round(multiples)) * smallest <= np.round(multiples) * rounding
    return bool(is_multiple.all()) and float(multiples.mean()) <= MOST_STEPS


def _unevenness(stretches: Sequence[Floats]) -> float:
    """Standard deviation of the distances between neighbouring values, in mean distances of their stretch."""
    distances = []
    for stretch in stretches:
        steps = np.diff(stretch)
        if len(steps) and steps.mean() > 0:
            distances.append(steps / steps.mean())
    return float(np.concatenate(distances).std()) if distances else 0.0


def _thinning(stretch: Floats, gap: float) -> float:
    """Distance of the values at the begin of a stretch and of the gap before it, in mean distances.

    Args:
        stretch: values in the order from the border, shape `(n,)`, n > 1.
        gap: distance of the first value from the value across the border.
    """
    near = max(2, len(stretch) // 10)
    mean_distance = abs(float(stretch[-1] - stretch[0])) / (len(stretch) - 1)
    distance = (gap + abs(float(stretch[near - 1] - stretch[0]))) / near
    return distance / mean_distance if mean_distance else math.inf


def _lower_end(share: Floats | float, n: Floats | int) -> Floats:
    """Lower end of Wilson's 95 % interval of a share of n cases (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    z2 = NORMAL_QUANTILE**2
    spread = NORMAL_QUANTILE * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return np.asarray((share + z2 / (2 * n) - spread) / (1 + z2 / n))


def row_order(labels: pd.Series, groups: pd.Series) -> RowOrder:
    """Whether the place of a row identifies its class: the test of runs by Wald and Wolfowitz.

    Neighbouring rows of one group count once: an album is one stretch in any table.

    Args:
        labels: label of each row, in the order of the table.
        groups: group of each row.

    Example:
        >>> sorted_rows = row_order(pd.Series(["a"] * 30 + ["b"] * 30), pd.Series(range(60)))
        >>> sorted_rows.runs, sorted_rows.expected, sorted_rows.tells_class
        (2, 31.0, True)
        >>> row_order(pd.Series(["a", "b"] * 30), pd.Series(range(60))).tells_class
        False
    """
    rows = pd.DataFrame({"label": labels.to_numpy(), "group": groups.to_numpy()})
    units = rows["label"][(rows != rows.shift()).any(axis=1)].to_numpy()
    n = len(units)
    counts = pd.Series(units).value_counts().to_numpy(np.float64)
    if n < 2 or len(counts) < 2:
        return RowOrder(min(n, len(counts)), float(min(n, len(counts))), tells_class=False)
    runs = 1 + int((units[1:] != units[:-1]).sum())
    squares, cubes = float((counts**2).sum()), float((counts**3).sum())
    expected = (n * (n + 1) - squares) / n
    variance = (squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3) / (n**2 * (n - 1))
    is_rare = runs < expected - DEVIATIONS * math.sqrt(max(variance, 0.0))
    is_like_neighbours = 1 - (runs - 1) / (n - 1) >= SHARE_OF_NEIGHBOURS
    return RowOrder(runs, expected, tells_class=is_rare and is_like_neighbours)
