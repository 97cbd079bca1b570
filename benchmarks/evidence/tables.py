"""Feature tables that several evidence scripts share, and means with intervals over seeds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.evidence.corpora import Corpus, artists
from benchmarks.evidence.gtzan97 import read_gtzan97
from quintet.datasets.splits.folds import grouped_folds, usable_folds
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.features.catalogue import feature_family
from quintet.features.storage.read import read_feature_table

FOREIGN = ("embedding_", "tags_", "musicnn")
"""Families that pretrained networks give: these scripts look at the hand-made features."""


def add_tables(parser: argparse.ArgumentParser) -> None:
    """The option that names the folder of the tables."""
    parser.add_argument(
        "--tables",
        type=Path,
        required=True,
        help="folder with esc10.parquet, instruments.parquet, demo.parquet",
    )


def read_corpus(given: argparse.Namespace, name: str) -> Corpus:
    """A corpus with the groups of its table: the hand-made features, and no folds yet."""
    if name == "gtzan97":
        table = read_gtzan97(given.data / "gtzan97")
        ids = table.meta.index.str.removesuffix(".wav")
        groups = artists(given.data).reindex(ids).fillna(ids.to_series()).to_numpy(str)
    else:
        table = read_feature_table(given.tables / f"{name}.parquet")
        groups = table.meta["group"].to_numpy(str)
    names = [column for column in table.feature_names if not feature_family(column).startswith(FOREIGN)]
    return Corpus(name, table.features[names], table.meta["label"].to_numpy(str), groups, [])


def out_of_fold(corpus: Corpus, y: NDArray[Any], members: Sequence[str], *, seed: int) -> NDArray[Any]:
    """Mean out-of-fold probabilities `(n, K)` of members for given labels, in the order of `np.unique(y)`."""
    groups = corpus.groups.tolist()
    folds = grouped_folds(y, groups, n_splits=min(5, usable_folds(y, groups)), seed=seed)
    tables = []
    for member in members:
        trainer = Trainer(member, seed=seed)
        p, _ = trainer.out_of_fold(Inputs(corpus.X), y, corpus.groups, folds, tuple(np.unique(y)))
        tables.append(p)
    return np.asarray(np.mean(tables, axis=0))


def with_interval(values: Sequence[float] | NDArray[Any], sign: str = "") -> str:
    """Mean over seeds with its 95 % interval (Student)."""
    numbers = np.asarray(values, dtype=float)
    half = stats.t.ppf(0.975, len(numbers) - 1) * stats.sem(numbers) if len(numbers) > 1 else np.nan
    return (
        f"{numbers.mean():{sign}.3f} [{numbers.mean() - half:{sign}.3f}, {numbers.mean() + half:{sign}.3f}]"
    )
