"""Coverage of prediction sets on 200 random grouped splits of the demo corpus, and whether it lies in the binomial band.

    python -m benchmarks.evidence.conformal_demo [--splits 200]

In each split three quarters of the groups train `EnsembleClassifier` with a logistic regression, which calibrates the sets on what was said and
measured out of fold, as `quintet train` does; the rest is judged. `sets`: "novelty" look at the features too, as those of `quintet predict` do;
"lac" look at the probabilities alone. Clips of a group stand and fall together, so of each judged group one clip is drawn; the hits of all splits
are held against the 99 % band of Binomial(drawn, c … c + 1 / (groups + 1)), between which the promise lies. The judged groups of different splits
overlap: the band is that of independent draws, and a little too narrow for them.
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
from quintet.features.extraction.extract import extract
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable

CONFIDENCES = (0.8, 0.9, 0.95)


def one_split(table: FeatureTable, seed: int) -> list[dict[str, float]]:
    """What the sets of one split did, a row per kind and confidence."""
    X, y, groups = table.features, table.meta["label"].to_numpy(str), table.meta["group"].to_numpy(str)
    classes = tuple(sorted(set(y)))
    train, judged = hold_out(y, groups.tolist(), test_size=1 / 4, seed=seed)
    folds = grouped_folds(
        y[train], groups[train].tolist(), n_splits=usable_folds(y[train], groups[train].tolist()), seed=seed
    )
    ensemble = EnsembleClassifier(("logistic_regression",), seed=seed).fit(
        X.iloc[train], y[train], groups[train], folds=folds
    )
    q, far = ensemble.predict_proba(X.iloc[judged]), ensemble.distances(X.iloc[judged])
    kinds = {
        "novelty": ensemble.conformal_,
        "lac": fit_conformal(ensemble.oof_verdict_, y[train], groups[train], classes=classes),
    }
    drawn = pd.Series(np.arange(len(judged))).groupby(groups[judged]).sample(1, random_state=seed).to_numpy()
    known = {
        "groups": len(set(groups[train])),
        "drawn": len(drawn),
        "accuracy": float(np.mean(np.array(classes)[q.argmax(axis=1)] == y[judged])),
    }
    rows = []
    for (kind, conformal), confidence in itertools.product(kinds.items(), CONFIDENCES):
        sets = conformal.sets(q, confidence, distances=far)
        found = coverage(sets, y[judged], groups[judged], classes=classes, confidence=confidence)
        hits = sets[np.arange(len(judged)), np.searchsorted(classes, y[judged])][drawn].sum()
        told = {name: getattr(found, name) for name in ("coverage", "size", "empty")}
        rows.append({"sets": kind, "confidence": confidence, "hits": float(hits)} | told | known)
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
    everything = pd.DataFrame([row for seed in range(given.splits) for row in one_split(table, seed)])
    for (kind, confidence), found in everything.groupby(["sets", "confidence"]):
        drawn, groups = int(found["drawn"].sum()), found["groups"].mean()
        low = stats.binom.ppf(0.005, drawn, confidence) / drawn
        high = stats.binom.ppf(0.995, drawn, min(confidence + 1 / (groups + 1), 1)) / drawn
        hit = found["hits"].sum() / drawn
        means = found[["coverage", "size", "empty", "accuracy", "groups"]].mean().round(3).to_dict()
        band = {
            "drawn": drawn,
            "hit": round(hit, 4),
            "band": f"[{low:.3f}, {high:.3f}]",
            "inside": low <= hit <= high,
        }
        rows.append({"sets": kind, "confidence": confidence, **means, **band})
    print(f"{len(table.meta)} clips, {table.meta['group'].nunique()} groups, {given.splits} splits")
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
