"""Coverage of prediction sets on 200 random grouped splits of the demo corpus, against its binomial band.

    python -m benchmarks.evidence.conformal_demo [--splits 200]

In each split, three quarters of the groups train `EnsembleClassifier` with a logistic regression. It
calibrates the sets on out-of-fold predictions and distances, as `quintet train` does. The other groups are
the test part. `sets`: "novelty" uses the distance of the features too, as `quintet predict` does; "lac" uses
the probabilities alone.

Clips of one group depend on each other, so one clip of each test group is drawn. The number of sets that
contain the true class, over all splits, is compared with the 99 % band of Binomial(drawn, p), where p is
between the confidence c and c + 1 / (groups + 1), as promised. The test groups of different splits overlap.
The band assumes independent draws, so it is slightly too narrow.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.evidence.corpora import arguments
from quintet.datasets.source import load_source
from quintet.datasets.splits.folds import grouped_folds, hold_out, usable_folds
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import fit_conformal
from quintet.ensemble.coverage import coverage
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.workflow import extract

CONFIDENCES = (0.8, 0.9, 0.95)


def evaluate_split(table: FeatureTable, seed: int) -> list[dict[str, object]]:
    """Coverage and size of the sets of one split, a row per kind of sets and confidence."""
    X, y, groups = table.features, table.meta["label"].to_numpy(str), table.meta["group"].to_numpy(str)
    classes = tuple(sorted(set(y)))
    train, test = hold_out(y, groups.tolist(), test_size=1 / 4, seed=seed)
    train_groups = groups[train].tolist()
    n_splits = usable_folds(y[train], train_groups)
    folds = grouped_folds(y[train], train_groups, n_splits=n_splits, seed=seed)
    ensemble = EnsembleClassifier(("logistic_regression",), seed=seed).fit(
        X.iloc[train], y[train], groups[train], folds=folds
    )
    probabilities, distances = ensemble.predict_proba(X.iloc[test]), ensemble.distances(X.iloc[test])
    assert ensemble.conformal_ is not None
    kinds = {
        "novelty": ensemble.conformal_,
        "lac": fit_conformal(ensemble.oof_verdict_, y[train], groups[train], classes=classes),
    }
    drawn = pd.Series(np.arange(len(test))).groupby(groups[test]).sample(1, random_state=seed).to_numpy()
    split_facts = {
        "groups": len(set(groups[train])),
        "drawn": len(drawn),
        "accuracy": float(np.mean(np.array(classes)[probabilities.argmax(axis=1)] == y[test])),
    }
    codes = np.searchsorted(classes, y[test])
    rows: list[dict[str, object]] = []
    for (kind, conformal), confidence in itertools.product(kinds.items(), CONFIDENCES):
        sets = conformal.sets(probabilities, confidence, distances=distances)
        result = coverage(sets, y[test], groups[test], classes=classes, confidence=confidence)
        hits = sets[np.arange(len(test)), codes][drawn].sum()
        measures = {name: getattr(result, name) for name in ("coverage", "size", "empty")}
        rows.append({"sets": kind, "confidence": confidence, "hits": float(hits)} | measures | split_facts)
    return rows


def main() -> None:
    """Print a row per kind of sets and confidence."""
    parser = arguments(__doc__)
    parser.add_argument("--splits", type=int, default=200)
    given = parser.parse_args()
    target = given.work / "demo_bahuleyan2018.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    extract(load_source("demo"), target, parameters=FeatureParameters(feature_set="bahuleyan2018"))
    table, rows = read_feature_table(target), []
    split_rows = [row for seed in range(given.splits) for row in evaluate_split(table, seed)]
    for (kind, confidence), part in pd.DataFrame(split_rows).groupby(["sets", "confidence"]):
        drawn, groups, promise = int(part["drawn"].sum()), part["groups"].mean(), part["confidence"].iloc[0]
        low = stats.binom.ppf(0.005, drawn, promise) / drawn
        high = stats.binom.ppf(0.995, drawn, min(promise + 1 / (groups + 1), 1)) / drawn
        hit = part["hits"].sum() / drawn
        row: dict[str, object] = {"sets": kind, "confidence": confidence}
        means = part[["coverage", "size", "empty", "accuracy", "groups"]].mean().round(3)
        row |= {str(name): value for name, value in means.items()}
        row |= {"drawn": drawn, "hit": round(hit, 4), "band": f"[{low:.3f}, {high:.3f}]"}
        rows.append(row | {"inside": low <= hit <= high})
    print(f"{len(table.meta)} clips, {table.meta['group'].nunique()} groups, {given.splits} splits")
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
