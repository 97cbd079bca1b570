"""What logistic regression and SVM gain by compressed tails of their columns, out of fold by group.

    quintet weights fetch musicnn
    python -m benchmarks.evidence.long_tails --tables FOLDER [--corpora gtzan97 gtzan esc10 instruments demo]

FOLDER has NAME.parquet, which `quintet extract --embeddings musicnn_msd,musicnn_mtt` made with the true
groups (artist, recording, session); gtzan97 needs none. The same members are fitted twice. They differ in the
columns whose tails are compressed: none, and all. The product compresses embeddings only. Losses of a clip
are means over the seeds of the folds. Differences are paired, with 95 % intervals by group.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.evidence.corpora import Corpus, arguments
from benchmarks.evidence.families import cell, without_single_groups
from benchmarks.evidence.tables import add_tables, read_corpus
from quintet.classifiers.tabular import members
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.evaluation.losses import log_losses
from quintet.features.storage.read import read_feature_table

KINDS = ("logistic_regression", "svm")
VIEWS = ("", "@embedding_musicnn_msd", "@embedding", "@tags_msd", "@tags")
CORPORA = ("gtzan97", "gtzan", "esc10", "instruments", "demo")


def read(given: argparse.Namespace, name: str) -> Corpus:
    """A corpus with all columns of its table."""
    if name == "gtzan97":
        return without_single_groups(read_corpus(given, name))
    table = read_feature_table(given.tables / f"{name}.parquet")
    y, groups = (table.meta[column].to_numpy(str) for column in ("label", "group"))
    return without_single_groups(Corpus(name, table.features, y, groups, []))


def losses(corpus: Corpus, member: str, seeds: int, *, compressed: bool) -> NDArray[np.float64]:
    """Log loss of each clip, out of fold."""
    columns = np.arange(corpus.X.shape[1]) if compressed else np.array([], np.int64)
    codes, groups = np.searchsorted(corpus.classes, corpus.y), corpus.groups.tolist()
    found = []
    with patch.object(members, "embedding_positions", lambda names: columns):
        for seed in range(seeds):
            n_splits = min(5, usable_folds(corpus.y, groups))
            folds = grouped_folds(corpus.y, groups, n_splits=n_splits, seed=seed)
            trainer = Trainer(member, seed=seed)
            p, _ = trainer.out_of_fold(Inputs(corpus.X), corpus.y, corpus.groups, folds, corpus.classes)
            found.append(log_losses(codes, p))
    return np.asarray(np.mean(found, axis=0))


def rows(corpus: Corpus, seeds: int) -> Iterator[dict[str, str]]:
    """A row per member whose view the table has."""
    groups = corpus.groups.astype(str)
    families = {str(column).partition(".")[0] for column in corpus.X}
    for view in VIEWS:
        if view and not any(family.startswith(view[1:]) for family in families):
            continue
        for kind in KINDS:
            plain = losses(corpus, kind + view, seeds, compressed=False)
            compressed = losses(corpus, kind + view, seeds, compressed=True)
            yield {
                "corpus": corpus.name,
                "member": kind + view,
                "log loss": f"{plain.mean():.3f}",
                "compressed": f"{compressed.mean():.3f}",
                "difference": cell(compressed - plain, groups, "+"),
            }


def main() -> None:
    """Print a table per corpus, as soon as it is finished."""
    parser = arguments(__doc__)
    add_tables(parser)
    parser.add_argument("--corpora", nargs="+", default=CORPORA)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    for name in given.corpora:
        print(pd.DataFrame(rows(read(given, name), given.seeds)).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
