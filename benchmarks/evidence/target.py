"""`train --target`: folds as far from their training part as new songs, beside random folds and true groups.

    python -m benchmarks.evidence.target --tables FOLDER [--corpora gtzan97 esc10 demo gtzan] [--seeds 5]

Half of the groups (artists, recordings) are the training clips, whose groups are held back; the other half is
the target. `random`, `blocks` and `true` are accuracies out of fold in the first half, `target` that of a
model of the whole first half on the other one: what the blocks should tell. Means of a logistic regression
and an SVM over the seeds (halves, folds). `FOLDER` is that of `blocks.py`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.evidence.blocks import PAIR, hits, read
from benchmarks.evidence.corpora import Corpus, arguments, predict_out_of_fold
from benchmarks.evidence.tables import add_tables
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.training.blocks.target_blocks import target_blocks

CORPORA = ("gtzan97", "esc10", "demo", "gtzan")


def compare(name: str, given: argparse.Namespace) -> dict[str, object]:
    """A row: mean accuracies over the seeds, and mean distances to that of the target."""
    corpus, truths = read(name, given)
    (groups,) = truths.values()
    rows = [halves(corpus, groups, seed) for seed in range(given.seeds)]
    table = pd.DataFrame(rows)
    errors = {way: (table[way] - table["target"]).abs().mean() for way in ("random", "blocks", "true")}
    return {"corpus": name, **table.mean(), **{f"|{way} - target|": error for way, error in errors.items()}}


def halves(corpus: Corpus, groups: np.ndarray, seed: int) -> dict[str, float]:
    """One division of the groups."""
    train, target = grouped_folds(corpus.y, groups.tolist(), n_splits=2, seed=seed)[0]
    rows, y = corpus.X.iloc[train], corpus.y[train]
    ids = rows.index.astype(str).to_numpy()
    part = replace(corpus, X=rows, y=y, groups=groups[train])
    n_splits = usable_folds(y, groups[train].tolist())
    songs = corpus.X.iloc[target].to_numpy()
    found = target_blocks(rows.to_numpy(), y.tolist(), ids.tolist(), songs, n_splits=n_splits, seed=seed)
    whole = replace(corpus, groups=groups, folds=[(train, target)])
    probabilities = predict_out_of_fold(whole, PAIR, seed=seed)
    classes = np.array(corpus.classes)
    on_target = [classes[probabilities[name].argmax(axis=1)] == corpus.y[np.sort(target)] for name in PAIR]
    return {
        "random": float(hits(part, ids, PAIR, seed).mean()),
        "blocks": float(hits(part, found.names, PAIR, seed).mean()),
        "true": float(hits(part, groups[train], PAIR, seed).mean()),
        "target": float(np.mean(on_target)),
        "size": float(found.size),
    }


def main() -> None:
    """Print a row per corpus, as soon as it is finished."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    for name in given.corpora:
        print(pd.DataFrame([compare(name, given)]).round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
