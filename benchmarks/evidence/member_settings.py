"""Settings of the trees, and the default set beside `wide`, out of fold by group.

    python -m benchmarks.evidence.member_settings --tables FOLDER [--corpora gtzan esc10 …] [--seeds 2]

FOLDER has NAME.parquet, which `quintet extract --features wide` made with the true groups (artist, recording,
session). A row is a variant of one member alone, and of the mean of the four table members with it, on the
columns of each set. Losses of a clip are means over the seeds of the folds. Differences are paired: to the
first variant on the same columns, and of the second set to the first. Intervals (95 %) are by group. Classes
of one group are left out. Logistic regression and SVM are those of `pair.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import Corpus, arguments
from benchmarks.evidence.families import CORPORA, cell, without_single_groups
from benchmarks.evidence.pair import predict_pair
from benchmarks.evidence.tables import add_tables, read_corpus
from quintet.classifiers.registry import make_member
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.evaluation.losses import log_losses
from quintet.features.columns import feature_names
from quintet.features.parameters import FeatureParameters

Matrix = NDArray[np.float64]
SETS = ("wide", "selected")
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "forest, root": ("random_forest", {"max_features": "sqrt"}),
    "forest, tenth": ("random_forest", {"max_features": "tenth"}),
    "forest, fifth": ("random_forest", {"max_features": 0.2}),
    "boosting, depth 4": ("xgboost", {"max_depth": 4}),
    "boosting, depth 3": ("xgboost", {"max_depth": 3}),
    "boosting, depth 2": ("xgboost", {"max_depth": 2}),
    "boosting, half the rate": ("xgboost", {"learning_rate": 0.05, "n_estimators": 400}),
}
"""Name → member and settings; the first of each member stands in the mean of the others' rows."""
PAIR = ("logistic regression", "SVM")


def first_variant(member: str) -> str:
    """Name of the first variant of a member."""
    return next(name for name, (other, _) in VARIANTS.items() if other == member)


def predict(corpus: Corpus, columns: Sequence[str], seed: int) -> dict[str, Matrix]:
    """Out-of-fold probabilities `(n, K)` of each variant and of the pair."""
    X = corpus.X[list(columns)]
    classes, codes = np.unique(corpus.y, return_inverse=True)
    groups = corpus.groups.astype(str)
    n_splits = min(5, usable_folds(codes, groups.tolist()))
    folds = grouped_folds(codes, groups.tolist(), n_splits=n_splits, seed=seed)
    found = dict(zip(PAIR, predict_pair(X.to_numpy(np.float64), codes, groups, seed), strict=True))
    for name, (member, settings) in VARIANTS.items():
        found[name] = np.zeros((len(codes), len(classes)))
        for train, held_out in folds:
            model = make_member(member, seed=seed, **settings)
            model.fit(X.iloc[train], corpus.y[train], groups[train])
            found[name][held_out] = model.predict_proba(X.iloc[held_out])
    return found


def losses_of(corpus: Corpus, columns: Sequence[str], seed: int) -> dict[tuple[str, str], Matrix]:
    """Loss of each clip by (variant, "alone" or "mean of four")."""
    codes = np.unique(corpus.y, return_inverse=True)[1]
    found = predict(corpus, columns, seed)
    losses = {(name, "alone"): log_losses(codes, p) for name, p in found.items()}
    for name, (member, _) in VARIANTS.items():
        other = first_variant("xgboost" if member == "random_forest" else "random_forest")
        four = [found[one] for one in (*PAIR, name, other)]
        losses[name, "mean of four"] = log_losses(codes, np.mean(four, axis=0))
    return losses


def rows(corpus: Corpus, seeds: int) -> Iterator[dict[str, object]]:
    """A row per set, variant and way."""
    found = {}
    for feature_set in SETS:
        columns = feature_names(FeatureParameters(feature_set=feature_set))
        parts = [losses_of(corpus, columns, seed) for seed in range(seeds)]
        for name, way in parts[0]:
            found[feature_set, name, way] = np.mean([part[name, way] for part in parts], axis=0)
    for (feature_set, name, way), losses in found.items():
        first = name if name in PAIR else first_variant(VARIANTS[name][0])
        row: dict[str, object] = {"corpus": corpus.name, "set": feature_set, "variant": name, "way": way}
        row["log loss"] = cell(losses, corpus.groups)
        change = losses - found[feature_set, first, way]
        row["- first variant"] = cell(change, corpus.groups, "+") if name != first else ""
        change = losses - found[SETS[0], name, way]
        row[f"- {SETS[0]}"] = cell(change, corpus.groups, "+") if feature_set != SETS[0] else ""
        yield row


def main() -> None:
    """Print a table per corpus, as soon as it is finished."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA))
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    for name in given.corpora:
        corpus = without_single_groups(read_corpus(given, name))
        print(pd.DataFrame(rows(corpus, given.seeds)).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
