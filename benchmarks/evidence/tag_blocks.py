"""Blocks of clips with label sets: folds over them beside random folds and folds over the true groups.

    python -m benchmarks.evidence.tag_blocks --tables FOLDER [--corpora gtzan97 esc10 instruments demo gtzan]
                                             [--seeds 3]

No corpus here has label sets of its own, so each clip gets its class, the families of its class (those of
`tag_sets.py`), and tags that differ between the clips of a source: `loud`, and `fast` for music, if its level
or tempo is above the median. The columns that such a tag comes from are left out. Tables as for `blocks.py`.

Numbers are macro AUC of a ridge regression with the RBF kernel, which gives all tags at once, mean over the
seeds (draw of the blocks, division into folds). `sound`: blocks by sound alone; `blocks`: names count too.
`- true` are differences to the true groups, with 95 % intervals from a bootstrap by true group. The truth of
the instruments is the widest guess of `blocks.py` (ids at most 100 apart).
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.blocks import CORPORA, read
from benchmarks.evidence.corpora import arguments
from benchmarks.evidence.tables import add_tables
from benchmarks.evidence.tag_sets import FAMILIES, label_sets
from quintet.classifiers.tabular.preparation import Preparation
from quintet.datasets.labels import label_indicator
from quintet.datasets.splits.folds import grouped_folds
from quintet.evaluation.intervals import Resampling, bootstrap
from quintet.evaluation.ranking import rank_scores
from quintet.features.storage.external_table import Roles, foreign_table
from quintet.features.storage.table import FeatureTable
from quintet.training.blocks.groups import sound_block_names
from quintet.training.settings import TrainSettings

Matrix = NDArray[np.float64]
Texts = NDArray[np.str_]
LOUD, FAST = ("rmse_mean", "temporal.rms.mean"), ("tempo", "rhythm.tempo.bpm")
"""Names of the column of level, and of that of tempo."""
TOLD = ("rmse", "tempo_", "temporal.rms", "temporal.signal", "rhythm.tempo")
"""Beginnings of the columns that tell level or tempo."""
PENALTY = 0.1
MUSIC = ("gtzan97", "gtzan", "demo")


def tagged(name: str, given: argparse.Namespace) -> tuple[FeatureTable, NDArray[np.int8], Texts]:
    """A table whose labels are sets, their indicator `(n, tags)`, and the true groups `(n,)`."""
    corpus, truths = read(name, given)
    family = "gtzan97" if name == "gtzan" else name
    labels = np.array(label_sets(family, corpus.y) if family in FAMILIES else corpus.y, dtype=object)
    for tag, columns in (("loud", LOUD), ("fast", FAST if name in MUSIC else ())):
        for column in set(columns) & set(corpus.X.columns):
            labels += np.where(corpus.X[column] > corpus.X[column].median(), f";{tag}", "")
    kept = [c for c in corpus.X.columns if not c.startswith(TOLD) and c not in FAST]
    frame = corpus.X[kept].reset_index(drop=True).assign(id=corpus.X.index.astype(str), label=labels)
    table = foreign_table(frame, Roles(), name=name)
    groups = pd.Series(list(truths.values())[-1], index=corpus.X.index.astype(str))
    return (
        table,
        label_indicator(table.meta["label"])[0],
        groups.loc[table.meta.index].to_numpy(str),
    )


def predict_tags(X: Matrix, y: NDArray[np.int8], units: Texts, seed: int) -> Matrix:
    """Out-of-fold values of the tags, `(n, tags)`, by ridge regression with the RBF kernel."""
    values = np.zeros(y.shape)
    for train, held_out in grouped_folds(y, units.tolist(), n_splits=5, seed=seed):
        rows = Preparation(scale=True).fit(X[train]).transform(X)
        squares = (rows**2).sum(axis=1)
        kernel = np.exp((2 * rows @ rows[train].T - squares[:, None] - squares[train]) / rows.shape[1])
        mean = y[train].mean(axis=0)
        weights = np.linalg.solve(kernel[train] + PENALTY * np.eye(len(train)), y[train] - mean)
        values[held_out] = mean + kernel[held_out] @ weights
    return values


def macro_auc(y: NDArray[np.int8], runs: list[Matrix], weights: Matrix | None = None) -> Matrix:
    """Mean AUC over tags and runs, `(B,)`."""
    areas = [rank_scores(y[:, k] > 0, p[:, k], weights).auc for p in runs for k in range(y.shape[1])]
    return np.asarray(np.nanmean(np.stack(list(map(np.atleast_1d, areas))), axis=0))


def without_names(table: FeatureTable, seed: int) -> FeatureTable:
    """The table with ids that tell nothing, in the same order of rows."""
    numbers = np.random.default_rng(seed).permutation(len(table.frame))
    return replace(table, frame=table.frame.assign(id=[f"clip {number:06}" for number in numbers], path=None))


def compare(name: str, given: argparse.Namespace) -> dict[str, object]:
    """Scores under random folds, both kinds of blocks, and true groups."""
    table, y, groups = tagged(name, given)
    X, ids = table.features.to_numpy(np.float64), table.meta.index.to_numpy(str)
    runs: dict[str, list[Matrix]] = {}
    sizes: dict[str, float] = {}
    for seed in range(given.seeds):
        settings = TrainSettings(members=("svm",), seed=seed)
        units = {
            "random": ids,
            "sound": sound_block_names(without_names(table, seed), settings),
            "blocks": sound_block_names(table, settings),
            "true": groups,
        }
        for kind, own in units.items():
            runs.setdefault(kind, []).append(predict_tags(X, y, own, seed))
            sizes[kind] = len(own) / len(set(own.tolist()))
    numbers: dict[str, object] = {"corpus": name, "clips": len(X), "tags": y.shape[1]}
    numbers |= {kind: f"{macro_auc(y, own)[0]:.3f}" for kind, own in runs.items()}
    for kind in ("random", "sound", "blocks"):
        numbers[f"{kind} - true"] = error(y, runs[kind], runs["true"], groups)
    numbers["basis"] = str(units["blocks"][0]).partition("-")[0]
    numbers["per block"] = f"{sizes['sound']:.1f}, {sizes['blocks']:.1f}, {sizes['true']:.1f}"
    return numbers


def error(y: NDArray[np.int8], runs: list[Matrix], true: list[Matrix], groups: Texts) -> str:
    """Difference of the macro AUC to that by true groups, with its interval."""

    def difference(weights: Matrix | None) -> Matrix:
        return np.asarray((macro_auc(y, runs, weights) - macro_auc(y, true, weights))[:, None])

    interval = bootstrap(difference, groups, len(y), resampling=Resampling(0, 200), width=y.shape[1])
    return f"{difference(None)[0, 0]:+.3f} [{interval.low[0]:+.3f}, {interval.high[0]:+.3f}]"


def main() -> None:
    """Print a row per corpus, as soon as it is finished."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    for name in given.corpora:
        print(pd.DataFrame([compare(name, given)]).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
