"""The demo corpus with a planted cause, which ranks first, and with shuffled labels, which have none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from quintet.classifiers.registry import make_member
from quintet.datasets.demo.corpus import render_demo
from quintet.datasets.manifest_file import read_table
from quintet.datasets.splits.folds import hold_out
from quintet.explanation.importance import column_importance, explain
from quintet.explanation.permutation import ensemble_predictor, permutation_importance
from quintet.features.transformer import FeatureExtractor

SETTINGS: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 100},
    "svm": {"calibration_folds": 3},
    "xgboost": {"n_estimators": 60},
}
PLANTED = [("rock", "spectral.centroid.mean"), ("bossa", "cepstral.mfcc_05.std")]


class Remembering:
    """A fitted member that computes the probabilities of each table once."""

    def __init__(self, member: Any) -> None:
        self.member = member
        self.classes_ = member.classes_
        self.known: dict[bytes, np.ndarray] = {}

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        content = X.to_numpy().tobytes()
        if content not in self.known:
            self.known[content] = self.member.predict_proba(X)
        return self.known[content]


class Corpus(NamedTuple):
    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray
    train: np.ndarray
    test: np.ndarray

    def fit(self, name: str) -> Remembering:
        member = make_member(name, **SETTINGS[name])
        member.fit(self.X.iloc[self.train], self.y[self.train], groups=self.groups[self.train])
        return Remembering(member)

    def falls(self, members: dict[str, Any], classes: list[str], seed: int = 0) -> pd.DataFrame:
        """The permutation importance of every column for these classes, on the held-out artists."""
        predict = ensemble_predictor(
            members, lambda stack: stack.mean(axis=0), self.X.iloc[self.test], {}, "spectrogram"
        )
        kept = [list(next(iter(members.values())).classes_).index(name) for name in classes]
        truth = self.y[self.test][:, None] == np.array(classes)
        players = {column: [column] for column in self.X.columns}
        return permutation_importance(
            lambda orders, columns: predict(orders, columns)[:, :, kept],
            truth,
            self.groups[self.test],
            players,
            n_repeats=3,
            seed=seed,
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    frame = read_table(render_demo(tmp_path_factory.mktemp("corpus") / "demo", pieces_per_style=14)).frame
    y, groups = frame["label"].to_numpy(dtype=str), frame["group"].to_numpy(dtype=str)
    return Corpus(
        FeatureExtractor("bahuleyan2018").fit_transform(list(frame["path"])),
        y,
        groups,
        *hold_out(y, groups, test_size=0.4, seed=0),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("style", "column"), [PLANTED[0], pytest.param(*PLANTED[1], marks=pytest.mark.slow)])
def test_planted_column_ranks_first_for_its_class(demo: Corpus, style: str, column: str) -> None:
    X = demo.X.copy()
    X.loc[demo.y == style, column] += 5 * X[column].std()
    corpus = demo._replace(X=X)
    members = {name: corpus.fit(name) for name in SETTINGS}
    for name, member in members.items():
        importance = column_importance(explain(member.member, X.iloc[corpus.test], X.iloc[corpus.train[:8]]))
        assert importance[style].idxmax() == column, name
        assert corpus.falls({name: member}, [style])["player"].iloc[0] == column, name
    fall = corpus.falls(members, [style]).iloc[0]
    assert fall["player"] == column
    assert fall["low"] > 0
    assert style != "rock" or fall["low_corrected"] > 0  # a bossa nova differs in many other columns


@pytest.mark.slow  # quick sibling: test_permutation.py::test_with_shuffled_labels_…
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffled_labels_give_no_corrected_interval_without_0(demo: Corpus, seed: int) -> None:
    corpus = demo._replace(y=np.random.default_rng(seed).permutation(demo.y))
    members = {name: corpus.fit(name) for name in ("logistic_regression", "random_forest")}
    for some in ({"random_forest": members["random_forest"]}, members):
        table = corpus.falls(some, sorted(set(corpus.y)), seed)
        chosen = table[(table["low_corrected"] > 0) | (table["high_corrected"] < 0)]
        assert chosen.empty, chosen
        assert (table["low"] > 0).any()  # without correction some columns seem to matter
