"""The corpora of the evidence: features, labels, groups and folds, each by the rules that its own README states."""

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
from quintet.features.extraction.extract import extract
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable

Folds = list[tuple[NDArray[Any], NDArray[Any]]]
SESSION = 20  # Freesound ids of one label, no further apart: perhaps one session (instruments/README.md); at 100 the double basses are four groups


@dataclass(frozen=True)
class Corpus:
    """Features (n, d), labels and groups (n,), and (train, judged) positions."""

    name: str
    X: pd.DataFrame
    y: NDArray[Any]
    groups: NDArray[Any]
    folds: Folds

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.y)))

    @property
    def judged(self) -> NDArray[Any]:
        """The rows that are judged, in order."""
        return np.sort(np.concatenate([held_out for _, held_out in self.folds]))

    def with_columns(self, columns: Sequence[str]) -> Self:
        return type(self)(self.name, self.X[list(columns)], self.y, self.groups, self.folds)


def opinions(
    corpus: Corpus, members: Sequence[str] = TABLE_MEMBERS, *, seed: int = 0
) -> dict[str, NDArray[Any]]:
    """Member, and `mean` → (judged, K) probabilities by models that were fitted without the groups they judge."""
    inputs, rows = Inputs(corpus.X), corpus.scored_rows
    found = {
        member: Trainer(member, seed=seed).out_of_fold(
            inputs, corpus.y, corpus.groups, corpus.folds, corpus.classes
        )[0][rows]
        for member in members
    }
    return {**found, "mean": mean(list(found.values()))}


def instruments(given: argparse.Namespace, feature_set: str) -> Corpus:
    """300 instrument recordings; five folds that no recording session crosses."""
    table = _described(given, given.data / "instruments" / "clips.csv", "instruments", feature_set)
    listed = (
        pd.read_csv(given.data / "instruments" / "clips.csv")
        .set_index("path")
        .loc[_names(table, given.data / "instruments")]
    )
    groups = sessions(listed["label"].to_numpy(str), listed["freesound_id"].to_numpy())
    y = table.meta["label"].to_numpy(str)
    return Corpus(
        "instruments", table.features, y, groups, grouped_folds(y, groups.tolist(), n_splits=5, seed=0)
    )


def sessions(labels: NDArray[Any], freesound_ids: NDArray[Any]) -> NDArray[Any]:
    """Label and number of a chain of ids, each at most `SESSION` after the one before."""
    frame = pd.DataFrame({"label": labels, "id": freesound_ids}).sort_values(["label", "id"])
    begins = (frame["label"] != frame["label"].shift()) | (frame["id"].diff() > SESSION)
    return (frame["label"] + "-" + begins.cumsum().astype(str)).sort_index().to_numpy(str)


def esc10(given: argparse.Namespace, feature_set: str) -> Corpus:
    """400 environmental sounds; the five folds that come along, intervals by the recording that clips were cut from."""
    table = _described(given, given.data / "esc10" / "clips.csv", "esc10", feature_set)
    listed = (
        pd.read_csv(given.data / "esc10" / "clips.csv")
        .set_index("path")
        .loc[_names(table, given.data / "esc10")]
    )
    fold = listed["fold"].to_numpy()
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    return Corpus(
        "esc10",
        table.features,
        table.meta["label"].to_numpy(str),
        listed["freesound_id"].to_numpy(str),
        folds,
    )


def gtzan(given: argparse.Namespace, feature_set: str) -> Corpus:
    """The first two seconds of 509 GTZAN tracks; trained on train and valid of the fault-filtered split, judged on test; groups are artists."""
    listed = pd.read_csv(given.gtzan / "manifest.csv")
    listed = listed[listed["filtered_split"] != "fault_excluded"].reset_index(drop=True)
    manifest = given.work / "gtzan.csv"
    given.work.mkdir(parents=True, exist_ok=True)
    paths = [str((given.gtzan / path).resolve()) for path in listed["path"]]
    pd.DataFrame(
        {"id": listed["track"], "path": paths, "label": listed["label"], "start": 0.0, "end": 2.0}
    ).to_csv(manifest, index=False)
    table = _described(given, manifest, "gtzan", feature_set)
    listed = listed.set_index("track").loc[table.meta.index]
    groups = artists(given.data).reindex(listed.index).fillna(listed.index.to_series()).to_numpy(str)
    test = (listed["filtered_split"] == "test").to_numpy()
    return Corpus(
        "gtzan, 2 s",
        table.features,
        table.meta["label"].to_numpy(str),
        groups,
        [(np.flatnonzero(~test), np.flatnonzero(test))],
    )


def artists(data: Path) -> pd.Series:
    """Track → artist, from the lists of the by-artist folds."""
    lists = [
        pd.read_csv(file, dtype=str)
        for file in sorted((data / "gtzan97" / "splits").glob("artist_fold*_t*.csv"))
    ]
    return "artist " + pd.concat(lists).drop_duplicates("track").set_index("track")["group"]


CORPORA = {"instruments": instruments, "esc10": esc10, "gtzan": gtzan}


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every script here has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(__file__).parents[3] / "shared" / "data",
        help="holds instruments, esc10, gtzan97",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "quintet-evidence",
        help="where features are kept between runs",
    )
    return parser


def _described(given: argparse.Namespace, source: Path, name: str, feature_set: str) -> FeatureTable:
    target = given.work / f"{name}_{feature_set}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    extract(load_source(str(source)), target, parameters=FeatureParameters(feature_set=feature_set))
    return read_feature_table(target)


def _names(table: FeatureTable, root: Path) -> list[str]:
    return [Path(path).relative_to(root.resolve()).as_posix() for path in table.meta["path"]]
