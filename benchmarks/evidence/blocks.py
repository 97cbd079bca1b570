"""Folds over blocks by names and sound, beside random folds and folds over the true groups, held back.

    python -m benchmarks.evidence.blocks --tables FOLDER [--corpora gtzan97 esc10 instruments demo gtzan]
                                         [--seeds 3] [--ensemble]

`FOLDER` has `esc10.parquet`, `instruments.parquet`, `gtzan.parquet` (see `views.py`) and `demo.parquet`;
only their hand-made columns are used. `random`, `sound`, `blocks` and `true` are mean accuracies of a
logistic regression and an SVM over the seeds (draw of the blocks, division into folds). `sound` knows the
sound alone, `blocks` the names of the clips too. `error` is blocks minus true, with a 95 % interval from a
bootstrap by true group; `basis`, what the blocks follow from. `--ensemble`: the mean of all table members
instead, with one seed.

The truth of `instruments` is a guess from Freesound ids, so it stands under three guesses: ids of one
session are at most 20, 50 or 100 apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence import corpora
from benchmarks.evidence.calibration_margin import read_corpus
from benchmarks.evidence.corpora import Corpus, arguments, predict_out_of_fold
from benchmarks.evidence.pair import predict_pair
from benchmarks.evidence.tables import add_tables
from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.classifiers.views import HANDMADE, view_positions
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.evaluation.intervals import Intervals, Resampling, bootstrap
from quintet.features.storage.read import read_feature_table
from quintet.training.blocks.sound_blocks import sound_blocks

CORPORA = ("gtzan97", "esc10", "instruments", "demo", "gtzan")
PAIR = ("logistic_regression", "svm")
GAPS = (20, 50, 100)
Texts = NDArray[Any]


def read(name: str, given: argparse.Namespace) -> tuple[Corpus, dict[str, Texts]]:
    """A corpus with the hand-made columns, and its true groups: name → group of each clip."""
    if name == "gtzan97":
        corpus = read_corpus(name, given)
        return corpus, {"artist": corpus.groups}
    table = read_feature_table(given.tables / f"{name}.parquet")
    X = table.features.iloc[:, view_positions(HANDMADE, table.feature_names)]
    y, groups = table.meta["label"].to_numpy(str), table.meta["group"].to_numpy(str)
    corpus = Corpus(name, X, y, groups, [])
    if name == "instruments":
        return corpus, {f"ids {gap}": sessions(corpus, given, gap) for gap in GAPS}
    return corpus, {"recording" if name == "esc10" else "artist": groups}


def sessions(corpus: Corpus, given: argparse.Namespace, gap: int) -> Texts:
    """Sessions of the instrument recordings whose ids are at most `gap` apart."""
    clips = pd.read_csv(given.data / "instruments" / "clips.csv")
    ids = clips.set_index(clips["path"].map(lambda path: Path(path).stem))["freesound_id"]
    stems = [Path(str(name)).stem for name in corpus.X.index]
    corpora.SESSION = gap
    return corpora.sessions(corpus.y, ids.loc[stems].to_numpy())


def hits(corpus: Corpus, units: Texts, members: tuple[str, ...], seed: int) -> NDArray[np.float64]:
    """Share of the members that are right about each clip, `(n,)`, or whether the mean of all members is."""
    classes = np.array(corpus.classes)
    if members == PAIR:
        codes = np.searchsorted(classes, corpus.y)
        pair = predict_pair(corpus.X.to_numpy(np.float64), codes, units, seed)
        return np.asarray((pair.argmax(axis=2) == codes).mean(axis=0))
    n_splits = usable_folds(corpus.y, units.tolist())
    folds = grouped_folds(corpus.y, units.tolist(), n_splits=n_splits, seed=seed)
    divided = Corpus(corpus.name, corpus.X, corpus.y, units, folds)
    probabilities = predict_out_of_fold(divided, members, seed=seed)
    return np.asarray(classes[probabilities["mean"].argmax(axis=1)] == corpus.y, dtype=float)


def compare(name: str, given: argparse.Namespace) -> list[dict[str, object]]:
    """A row per truth of a corpus."""
    corpus, truths = read(name, given)
    members = TABLE_MEMBERS if given.ensemble else PAIR
    seeds = range(1 if given.ensemble else given.seeds)
    ids = corpus.X.index.astype(str).to_numpy()
    given_to_blocks = corpus.X.to_numpy(), corpus.y.tolist(), ids.tolist()
    alone = [sound_blocks(*given_to_blocks, at_least=5, seed=s) for s in seeds]
    blocks = [sound_blocks(*given_to_blocks, at_least=5, seed=s, names=ids.tolist()) for s in seeds]
    random = np.mean([hits(corpus, ids, members, s) for s in seeds], axis=0)
    by_sound = np.mean([hits(corpus, alone[s], members, s) for s in seeds], axis=0)
    by_block = np.mean([hits(corpus, blocks[s], members, s) for s in seeds], axis=0)
    rows = []
    for kind, groups in truths.items():
        true = np.mean([hits(corpus, groups, members, s) for s in seeds], axis=0)
        error = by_block - true
        interval = mean_interval(error, groups)
        rows.append(
            {
                "corpus": name,
                "truth": kind,
                "random": random.mean(),
                "sound": by_sound.mean(),
                "blocks": by_block.mean(),
                "true": true.mean(),
                "error": error.mean(),
                "low": interval.low[0],
                "high": interval.high[0],
                "basis": str(blocks[0][0]).rpartition("-")[0],
                "clips per block": len(ids) / np.mean([len(set(names)) for names in blocks]),
                "per group": len(ids) / len(set(groups)),
            }
        )
    return rows


def mean_interval(values: NDArray[np.float64], groups: Texts) -> Intervals:
    """95 % interval of the mean of values per clip, by group."""

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((weights @ values / weights.sum(axis=1))[:, None])

    return bootstrap(mean, groups, len(values), resampling=Resampling(0, 1000))


def main() -> None:
    """Print a row per corpus and truth, as soon as the corpus is finished."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ensemble", action="store_true")
    given = parser.parse_args()
    for name in given.corpora:
        table = pd.DataFrame(compare(name, given))
        print(table.round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
