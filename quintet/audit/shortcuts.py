"""What a class can be told by without hearing any music.

If the clips of a class come from one source, they share its sample rate, its encoder, its level and its length, and a classifier that learns
these will score high and know nothing. This module measures how far they carry: the AUC that each of them, and all together, reach out of fold.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from quintet.datasets.labels import label_indicator
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.datasets.splits.split import Positions
from quintet.errors import DatasetError
from quintet.evaluation.intervals import Intervals, Resampling, block_intervals, bootstrap
from quintet.evaluation.ranking import rank_scores, ratio

SIGNALS = {
    "duration_s": "duration",
    "native_sample_rate": "sample rate",
    "native_channels": "channels",
    "cutoff_hz": "bandwidth cut-off",
    "loudness_db": "loudness",
    "silence_share": "silence",
}
ALL_SIGNALS = "all together"
HIGH_AUC = 0.65  # warn where even the lower end of the interval lies above
LEVEL = 0.95
RESAMPLES = 400
MANY_CLIPS = 20_000  # from here on the interval comes from the spread of blocks
TREES = 60
LEAF = 3
SHORTCUT_COLUMNS = ("signal", "auc", "low", "high", "warning")


def shortcut_audit(
    facts: pd.DataFrame, labels: pd.Series, groups: pd.Series, *, seed: int = 0
) -> pd.DataFrame:
    """The macro one-vs-rest AUC of each thing that is not music, alone and together.

    A random forest sees nothing but that thing and predicts out of grouped folds (five, or as many as the rarest class has groups). The interval
    is a bootstrap by group. `warning` is true where its lower end lies above 0.65: where the data do not carry that much, chance reaches it
    in less than one corpus in a hundred.

    Args:
        facts: indexed by clip id; those columns of `SIGNALS` that are known and vary take part. Rows with missing values in them count as zero
            and are marked as missing.
        labels: indexed alike: `"rock"`, or `"rock;live"` for sets.
        groups: indexed alike.
        seed: of the forest, the folds and the bootstrap.

    Returns:
        Columns signal, auc, low, high, warning; the signals from high to low, the row "all together" first. A thing that does not vary has AUC 0.5
        exactly; without any known thing there are no rows.

    Raises:
        DatasetError: if fewer than two classes lie in two groups each: then nothing can be predicted for a group that was not seen.
    """
    if not len(labels):
        raise DatasetError(
            "At least two classes must lie in two groups each, for shortcuts to be measured. Received no labels."
        )
    matrix, classes = label_indicator(labels)
    counted = pd.DataFrame(matrix, index=labels.index).groupby(groups.to_numpy()).max().sum(axis=0).to_numpy()
    usable = np.flatnonzero((counted >= 2) & (matrix.mean(axis=0) < 1))
    if len(usable) < 2:
        raise DatasetError(
            f"Shortcuts can be measured where two classes lie in two groups each. Received {len(usable)} such of {len(classes)} classes."
        )
    rows = np.flatnonzero(matrix[:, usable].any(axis=1))
    target, groups_used = matrix[rows][:, usable], groups.to_numpy()[rows]
    single = labels.to_numpy()[rows] if (matrix.sum(axis=1) == 1).all() else target
    names = groups_used.tolist()
    folds = grouped_folds(single, names, n_splits=usable_folds(single, names), seed=seed)
    columns = {
        name: _column(facts[name].iloc[rows])
        for name in SIGNALS
        if name in facts and facts[name].notna().any()
    }
    if not columns:
        return pd.DataFrame(columns=list(SHORTCUT_COLUMNS))
    varying = {name: column for name, column in columns.items() if (column != column[0]).any()}
    measured = {ALL_SIGNALS: np.concatenate(list(varying.values()), axis=1) if varying else None}
    measured |= {SIGNALS[name]: varying.get(name) for name in columns}
    found = [(signal, *_auc(x, target, groups_used, folds, seed)) for signal, x in measured.items()]
    table = pd.DataFrame(found, columns=list(SHORTCUT_COLUMNS[:-1]))
    table["warning"] = table["low"] > HIGH_AUC
    return pd.concat(
        [table[:1], table[1:].sort_values("auc", ascending=False, kind="stable")], ignore_index=True
    )


def _column(values: pd.Series) -> NDArray[np.float64]:
    """The values, and beside them whether they are missing, where some are."""
    numbers = values.astype("float64").to_numpy(np.float64, na_value=np.nan)
    missing = np.isnan(numbers)
    filled = np.where(missing, 0.0, numbers)
    return np.stack([filled, missing.astype(np.float64)], axis=1) if missing.any() else filled[:, None]


def _auc(
    x: NDArray[np.float64] | None,
    target: NDArray[np.int8],
    groups: NDArray[np.object_],
    folds: list[tuple[Positions, Positions]],
    seed: int,
) -> tuple[float, float, float]:
    """The macro AUC out of fold, and the ends of its interval."""
    if x is None:
        return 0.5, 0.5, 0.5
    scores = np.empty(target.shape)
    for train, valid in folds:
        scores[valid] = _predicted(x[train], target[train], x[valid], seed)
    value = _macro_auc(target, scores, np.ones((1, len(target))))[0, 0]
    interval = _interval(target, scores, groups, value, seed)
    return float(value), float(interval.low[0]), float(interval.high[0])


def _predicted(
    x: NDArray[np.float64], target: NDArray[np.int8], unseen: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """The probability of every class, `(n, classes)`, by a forest that answers for all classes at once."""
    forest = RandomForestClassifier(
        n_estimators=TREES, min_samples_leaf=LEAF, max_samples=min(len(x), 2000), random_state=seed
    )
    forest.fit(x, target)
    probabilities = []
    for k, (answer, known) in enumerate(zip(forest.predict_proba(unseen), forest.classes_, strict=True)):
        probabilities.append(answer[:, 1] if len(known) == 2 else np.full(len(unseen), float(target[0, k])))
    return np.stack(probabilities, axis=1)


def _macro_auc(
    target: NDArray[np.int8], scores: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights `(B, n)` → `(B, 1)`: the mean over the classes whose AUC exists."""
    each = np.stack(
        [rank_scores(target[:, k] == 1, scores[:, k], weights).auc for k in range(target.shape[1])]
    )
    known = ~np.isnan(each)
    total = np.where(known, each, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = ratio(total, known.sum(axis=0))
    return mean[:, None]


def _interval(
    target: NDArray[np.int8],
    scores: NDArray[np.float64],
    groups: NDArray[np.object_],
    value: float,
    seed: int,
) -> Intervals:
    n = len(target)
    resampling = Resampling(seed, RESAMPLES, LEVEL)
    if n >= MANY_CLIPS:
        return block_intervals(
            lambda rows: _macro_auc(target[rows], scores[rows], np.ones((1, len(rows))))[0],
            groups,
            np.array([value]),
            n,
            resampling=resampling,
        )
    return bootstrap(
        lambda weights: _macro_auc(target, scores, weights),
        groups,
        n,
        resampling=resampling,
    )
