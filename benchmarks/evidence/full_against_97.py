"""Feature set `full` against `bahuleyan2018`: paired differences of the same members on the same folds.

    python -m benchmarks.evidence.full_against_97 [--gtzan FOLDER] [--families]

`--gtzan` is a folder that `../shared/tools` made: tracks in folders, and a manifest.csv with path, label,
track, filtered_split. `--families` also scores the mean of the members without one feature family at a time,
out of fold on the training part alone, to show which family lowers the score. Intervals are by group.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.evidence.corpora import CORPORA, Corpus, arguments, predict_out_of_fold
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.intervals import NO_RESAMPLING
from quintet.evaluation.scores import score
from quintet.features.catalogue import feature_family

SHOWN = ("accuracy", "macro_auc", "log_loss")


def compare(small: Corpus, large: Corpus) -> pd.DataFrame:
    """A row per member and score: both scores, and the gain of `large`."""
    rows, classes = small.scored_rows, small.classes
    first, second = predict_out_of_fold(small), predict_out_of_fold(large)
    y, groups, table = small.y[rows], small.groups[rows], []
    for member in first:
        differences = metric_differences(y, second[member], first[member], classes, groups)
        before, after = (
            score(y, p[member], classes, groups, resampling=NO_RESAMPLING).scores for p in (first, second)
        )
        for name in SHOWN:
            d = differences[name]
            change = f"{d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}]"
            values = (round(before[name].value, 3), round(after[name].value, 3))
            table.append((small.name, member, name, *values, change, round(d.p_value, 4)))
    return pd.DataFrame(table, columns=["corpus", "member", "score", "97", "full", "full - 97", "p"])


def score_without_families(corpus: Corpus) -> pd.DataFrame:
    """Out-of-fold scores of the mean on the training part, without one feature family at a time."""
    train = corpus.folds[0][0] if len(corpus.folds) == 1 else np.arange(len(corpus.y))
    y, groups = corpus.y[train], corpus.groups[train]
    n = usable_folds(y, groups.tolist())
    folds = grouped_folds(y, groups.tolist(), n_splits=n, seed=1)
    inside = Corpus(corpus.name, corpus.X.iloc[train], y, groups, folds)
    table = []
    for family in ("", *dict.fromkeys(feature_family(c) for c in corpus.X.columns)):
        part = inside.with_columns([c for c in corpus.X.columns if feature_family(c) != family])
        mean = predict_out_of_fold(part)["mean"]
        scores = score(y, mean, corpus.classes, groups, resampling=NO_RESAMPLING).scores
        values = [round(scores[name].value, 3) for name in SHOWN]
        table.append((corpus.name, family or "(nothing)", part.X.shape[1], *values))
    return pd.DataFrame(table, columns=["corpus", "without", "columns", *SHOWN])


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--gtzan", type=Path)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--families", action="store_true")
    given: argparse.Namespace = parser.parse_args()
    for name in given.corpora:
        if name == "gtzan" and given.gtzan is None:
            print("gtzan: left out, no --gtzan FOLDER", flush=True)
            continue
        small, large = (CORPORA[name](given, feature_set) for feature_set in ("bahuleyan2018", "full"))
        print(compare(small, large).to_string(index=False), flush=True)
        if given.families:
            print(score_without_families(large).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
