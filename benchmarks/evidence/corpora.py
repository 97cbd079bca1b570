"""Corpora of the evidence scripts: features, labels, groups and folds by the README of each corpus."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.classifiers.registry import TABLE_MEMBERS
from quintet.datasets.source import load_source
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.crossfit import Inputs, Trainer
from quintet.ensemble.fusion import mean
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.workflow import extract

Folds = list[tuple[NDArray[Any], NDArray[Any]]]
SESSION = 20
"""Largest distance of the Freesound ids of two clips of one label that may come from one recording session.

See instruments/README.md. With 100, the double basses would be four groups.
"""


@dataclass(frozen=True)
class Corpus:
    """A corpus and its folds.

    Args:
        name: name in the tables.
        X: features `(n, d)`.
        y: labels `(n,)`.
        groups: group of each clip, `(n,)`.
        folds: positions to train on and positions to predict, one pair per fold.
    """

    name: str
    X: pd.DataFrame
    y: NDArray[Any]
    groups: NDArray[Any]
    folds: Folds

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(sorted(set(self.y)))

    @property
    def scored_rows(self) -> NDArray[Any]:
        """Positions of the rows that are predicted and scored, in order."""
        return np.sort(np.concatenate([held_out for _, held_out in self.folds]))

    def with_columns(self, columns: Sequence[str]) -> Self:
        """The same corpus with some of its columns."""
        return type(self)(self.name, self.X[list(columns)], self.y, self.groups, self.folds)


def predict_out_of_fold(
    corpus: Corpus, members: Sequence[str] = TABLE_MEMBERS, *, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Out-of-fold probabilities `(scored rows, K)` of each member and of their `mean`.

    Each row is predicted by a member that was fitted without the group of the row.
    """
    inputs, rows = Inputs(corpus.X), corpus.scored_rows
    probabilities = {}
    for member in members:
        trainer = Trainer(member, seed=seed)
        all_rows, _ = trainer.out_of_fold(inputs, corpus.y, corpus.groups, corpus.folds, corpus.classes)
        probabilities[member] = all_rows[rows]
    return {**probabilities, "mean": mean(list(probabilities.values()))}


def instruments(given: argparse.Namespace, feature_set: str) -> Corpus:
    """300 instrument recordings; five folds that no recording session crosses."""
    table, clips = _extract_listed(given, "instruments", feature_set)
    groups = sessions(clips["label"].to_numpy(str), clips["freesound_id"].to_numpy())
    y = table.meta["label"].to_numpy(str)
    folds = grouped_folds(y, groups.tolist(), n_splits=5, seed=0)
    return Corpus("instruments", table.features, y, groups, folds)


def sessions(labels: NDArray[Any], freesound_ids: NDArray[Any]) -> NDArray[Any]:
    """Session of each clip: its label and the number of a chain of ids that are at most `SESSION` apart."""
    frame = pd.DataFrame({"label": labels, "id": freesound_ids}).sort_values(["label", "id"])
    begins = (frame["label"] != frame["label"].shift()) | (frame["id"].diff() > SESSION)
    return (frame["label"] + "-" + begins.cumsum().astype(str)).sort_index().to_numpy(str)


def esc10(given: argparse.Namespace, feature_set: str) -> Corpus:
    """400 environmental sounds with the published five folds. A group is the recording of a clip."""
    table, clips = _extract_listed(given, "esc10", feature_set)
    fold = clips["fold"].to_numpy()
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    y, groups = table.meta["label"].to_numpy(str), clips["freesound_id"].to_numpy(str)
    return Corpus("esc10", table.features, y, groups, folds)


def demo(given: argparse.Namespace, feature_set: str) -> Corpus:
    """The demo corpus, 144 clips; four folds that none of its 24 artists crosses."""
    table = _extract_features(given, Path("demo"), "demo", feature_set)
    y, groups = (table.meta[column].to_numpy(str) for column in ("label", "group"))
    folds = grouped_folds(y, groups.tolist(), n_splits=4, seed=0)
    return Corpus("demo", table.features, y, groups, folds)


def gtzan(given: argparse.Namespace, feature_set: str) -> Corpus:
    """The first two seconds of 509 GTZAN tracks, with artists as groups.

    The members are trained on train and valid of the fault-filtered split, and scored on test.
    """
    listed = pd.read_csv(given.gtzan / "manifest.csv")
    listed = listed[listed["filtered_split"] != "fault_excluded"].reset_index(drop=True)
    manifest = given.work / "gtzan.csv"
    given.work.mkdir(parents=True, exist_ok=True)
    paths = [str((given.gtzan / path).resolve()) for path in listed["path"]]
    clips = {"id": listed["track"], "path": paths, "label": listed["label"], "start": 0.0, "end": 2.0}
    pd.DataFrame(clips).to_csv(manifest, index=False)
    table = _extract_features(given, manifest, "gtzan", feature_set)
    listed = listed.set_index("track").loc[table.meta.index]
    groups = artists(given.data).reindex(listed.index).fillna(listed.index.to_series()).to_numpy(str)
    is_test = (listed["filtered_split"] == "test").to_numpy()
    folds = [(np.flatnonzero(~is_test), np.flatnonzero(is_test))]
    return Corpus("gtzan, 2 s", table.features, table.meta["label"].to_numpy(str), groups, folds)


def artists(data: Path) -> pd.Series:
    """Track → artist, from the lists of the by-artist folds."""
    files = sorted((data / "gtzan97" / "splits").glob("artist_fold*_t*.csv"))
    lists = [pd.read_csv(file, dtype=str) for file in files]
    return "artist " + pd.concat(lists).drop_duplicates("track").set_index("track")["group"]


CORPORA = {"instruments": instruments, "esc10": esc10, "gtzan": gtzan}


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all scripts of this folder share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(__file__).parents[3] / "shared" / "data",
        help="folder with instruments, esc10, gtzan97",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "quintet-evidence",
        help="folder for the features, which are reused",
    )
    parser.set_defaults(settings={})  # of the features, beside the set
    return parser


def _extract_listed(
    given: argparse.Namespace, name: str, feature_set: str
) -> tuple[FeatureTable, pd.DataFrame]:
    """Features of the clips in `clips.csv` of a corpus, and the rows of that file in the same order."""
    folder = given.data / name
    table = _extract_features(given, folder / "clips.csv", name, feature_set)
    clips = pd.read_csv(folder / "clips.csv").set_index("path")
    return table, clips.loc[_names(table, folder)]


def _extract_features(given: argparse.Namespace, source: Path, name: str, feature_set: str) -> FeatureTable:
    parameters = FeatureParameters(feature_set=feature_set, **given.settings)
    target = given.work / f"{name}_{feature_set}{'_' + parameters.hash if given.settings else ''}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    extract(load_source(str(source)), target, parameters=parameters)
    return read_feature_table(target)


def _names(table: FeatureTable, root: Path) -> list[str]:
    return [Path(path).relative_to(root.resolve()).as_posix() for path in table.meta["path"]]
