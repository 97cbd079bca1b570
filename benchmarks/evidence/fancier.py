"""The ensemble of Quintet against AutoGluon and TabICL, on the same grouped folds.

    python -m benchmarks.evidence.fancier --tables FOLDER --python OTHER/bin/python
        [--corpora instruments esc10 gtzan97 demo] [--folds 5] [--seconds 120] [--tabicl FILE]

OTHER is an environment with `autogluon.tabular[lightgbm,catboost]`, and with `torch` and `tabicl` if
`--tabicl` names a checkpoint (.ckpt), which must be there already. Folds by true group. *ensemble*: the
four table members, with rule, weights and calibration of a fold learnt without it. *AutoGluon*:
`fancier_fits.py`, with as many seconds per fold, its bags divided by group. Differences are paired, with 95
% intervals by group.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import Corpus, arguments
from benchmarks.evidence.tables import add_tables, read_corpus
from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.scores import Difference, Estimate, score

CORPORA = ("instruments", "esc10", "gtzan97", "demo")
SHOWN = ("accuracy", "macro_auc", "log_loss")
Matrix = NDArray[np.float64]
WORKER = Path(__file__).with_name("fancier_fits.py")


def fold_numbers(y: NDArray[np.str_], groups: NDArray[np.str_], most: int, seed: int) -> NDArray[np.int64]:
    """Fold in which each row is held out, `(n,)`."""
    n_splits = min(most, usable_folds(y, groups.tolist()))
    numbers = np.zeros(len(y), np.int64)
    for k, (_, held_out) in enumerate(grouped_folds(y, groups.tolist(), n_splits=n_splits, seed=seed)):
        numbers[held_out] = k
    return numbers


def divided(corpus: Corpus, n_folds: int) -> pd.DataFrame:
    """The table that the other environment reads."""
    fold = fold_numbers(corpus.y, corpus.groups, n_folds, 0)
    names = {f"f{k}": corpus.X.iloc[:, k].to_numpy(np.float32) for k in range(corpus.X.shape[1])}
    inner = {}
    for k in np.unique(fold):
        rows = np.flatnonzero(fold != k)
        inner[f"inner_{k}"] = np.full(len(fold), -1)
        inner[f"inner_{k}"][rows] = fold_numbers(corpus.y[rows], corpus.groups[rows], 5, 1)
    return pd.DataFrame({**names, "label": corpus.y, "fold": fold, **inner})


def own(corpus: Corpus, fold: NDArray[np.int64]) -> dict[str, Matrix]:
    """Out-of-fold probabilities of the ensemble and of the plain mean."""
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    ensemble = EnsembleClassifier(TABLE_MEMBERS, seed=0)
    ensemble.fit(corpus.X, corpus.y, corpus.groups, folds=folds)
    return {"ensemble": ensemble.oof_verdict_, "mean": ensemble.oof_["mean"]}


def others(name: str, learner: str, given: argparse.Namespace, *options: str) -> Matrix:
    """Probabilities of a learner of the other environment."""
    target = given.work / f"fancier {name} {learner}.parquet"
    if not target.exists():
        files = str(given.work / f"fancier {name}.parquet"), str(target)
        subprocess.run([given.python, str(WORKER), learner, *files, *options], check=True)
    return pd.read_parquet(target).to_numpy(np.float64)


def compare(name: str, given: argparse.Namespace) -> pd.DataFrame:
    """A row per learner."""
    corpus = read_corpus(given, name)
    table = divided(corpus, given.folds)
    given.work.mkdir(parents=True, exist_ok=True)
    table.to_parquet(given.work / f"fancier {name}.parquet")
    found = own(corpus, table["fold"].to_numpy())
    found["AutoGluon"] = others(name, "autogluon", given, "--seconds", str(given.seconds))
    found["mean with AutoGluon"] = (found["ensemble"] + found["AutoGluon"]) / 2
    if given.tabicl is not None:
        found["TabICL"] = others(name, "tabicl", given, "--weights", str(given.tabicl))
    rows = []
    for learner, probabilities in found.items():
        scores = score(corpus.y, probabilities, corpus.classes, corpus.groups).scores
        row = {"corpus": name, "learner": learner, **{key: cell(scores[key]) for key in SHOWN}}
        if learner != "ensemble":
            gains = metric_differences(
                corpus.y, probabilities, found["ensemble"], corpus.classes, corpus.groups
            )
            row |= {f"{key} - ensemble": cell(gains[key], "+") for key in SHOWN}
        rows.append(row)
    return pd.DataFrame(rows)


def cell(number: Estimate | Difference, sign: str = "") -> str:
    """Text of a number with its interval."""
    return f"{number.value:{sign}.3f} [{number.low:{sign}.3f}, {number.high:{sign}.3f}]"


def main() -> None:
    """Print a table per corpus."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--python", default="python", help="interpreter of the other environment")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120, help="time of AutoGluon per fold")
    parser.add_argument("--tabicl", type=Path, help="checkpoint of TabICL on this machine")
    given = parser.parse_args()
    if given.tabicl is None:
        print("TabICL: left out, no --tabicl FILE", flush=True)
    for name in given.corpora:
        print(compare(name, given).fillna("").to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
