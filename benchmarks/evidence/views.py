"""Views of pretrained networks: the tool's own choice, each view alone, and what lifts the scores most.

    quintet weights fetch musicnn
    python -m benchmarks.evidence.views --gtzan FOLDER [--corpora gtzan instruments esc10] [--push]

Members, penalties, temperatures, views, rule and weights are those that `quintet train` chooses by default on
a table with columns of `musicnn_msd` and `musicnn_mtt`. *gtzan*: the excerpts, fault-filtered; fitted on
train, chosen on valid, fitted again on both, and scored on the 135 test clips. *instruments* and *esc10*:
five folds by session or recording, scored out of fold; rule, weights and penalties of a fold are chosen
without it. `--push` tries other classifiers, poolings and projections on the excerpts, and self-training on
clips without labels: each is fitted on train and judged on valid by its log loss after calibration; the test
part is only shown beside. `fine_tuning.py` does the same with networks.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from benchmarks.evidence.corpora import arguments, artists, sessions
from quintet.classifiers.registry import make_member
from quintet.datasets.source import load_source
from quintet.ensemble.model_selection.temperatures import apply_temperature, fit_temperature
from quintet.evaluation.comparisons import metric_differences
from quintet.evaluation.metrics import all_metrics, encode_labels
from quintet.explanation.shapley.view_game import view_game
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.model_folder.run import read_run
from quintet.training.data import gather
from quintet.training.pretrained import default_members
from quintet.training.settings import TrainSettings
from quintet.training.train import TrainOptions, train
from quintet.workflow import extract

NETWORKS = ("musicnn_msd", "musicnn_mtt")
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""C of the regressions whose penalty is searched."""
SHOWN = ("accuracy", "macro_auc", "log_loss")


def manifest(name: str, given: argparse.Namespace) -> pd.DataFrame:
    """Clips of a corpus: `id, path, label, group`, and `split` for the excerpts."""
    if name == "gtzan":
        listed = pd.read_csv(given.gtzan / "manifest.csv")
        listed = listed[listed["filtered_split"].isin(["train", "valid", "test"])].reset_index(drop=True)
        paths = [str((given.gtzan / path).resolve()) for path in listed["path"]]
        group = artists(given.data).reindex(listed["track"]).to_numpy()
        group = np.where(pd.isna(group), listed["track"], group)
        facts = {"id": listed["track"], "path": paths, "label": listed["label"], "group": group}
        return pd.DataFrame({**facts, "split": listed["filtered_split"]})
    root = given.data / name
    clips = pd.read_csv(root / "clips.csv")
    ids = clips["freesound_id"].to_numpy()
    group = sessions(clips["label"].to_numpy(str), ids) if name == "instruments" else ids
    paths = [str(root / path) for path in clips["path"]]
    return pd.DataFrame({"id": clips["path"], "path": paths, "label": clips["label"], "group": group})


def read_table(name: str, given: argparse.Namespace) -> FeatureTable:
    """The feature table of a corpus with columns of pretrained networks: a ready one, or extracted here."""
    if given.tables is not None:
        return read_feature_table(given.tables / f"{name}.parquet")
    given.work.mkdir(parents=True, exist_ok=True)
    clips, target = given.work / f"views_{name}.csv", given.work / f"views_{name}.parquet"
    manifest(name, given).to_csv(clips, index=False)
    extract(load_source(str(clips)), target, embeddings=NETWORKS, n_jobs=-1)
    return read_feature_table(target)


def read_excluded(given: argparse.Namespace) -> FeatureTable | None:
    """Columns of the excerpts that the split excludes because of their faults; None without the audio."""
    if given.gtzan is None:
        return None
    listed = pd.read_csv(given.gtzan / "manifest.csv")
    listed = listed[listed["filtered_split"] == "fault_excluded"]
    paths = [str((given.gtzan / path).resolve()) for path in listed["path"]]
    given.work.mkdir(parents=True, exist_ok=True)
    clips, target = given.work / "views_excluded.csv", given.work / "views_excluded.parquet"
    facts = {"id": listed["track"], "path": paths, "label": "not read"}
    pd.DataFrame(facts).to_csv(clips, index=False)
    extract(load_source(str(clips)), target, embeddings=NETWORKS, n_jobs=-1)
    return read_feature_table(target)


def own_choice(name: str, table: FeatureTable) -> None:
    """Print the scores of `quintet train` by default, and those of the ensembles of some views."""
    members = tuple(member for member in default_members(table) if member != "vgg_small")
    settings = TrainSettings(members=members, test_size=0.2 if name == "gtzan" else 0.0)
    with tempfile.TemporaryDirectory() as folder:
        train(table, folder, settings=settings, options=TrainOptions(overwrite=True))
        run = read_run(folder)
        scores = run.report_scores
        game = view_game(run)
    assert scores is not None
    assert game is not None
    shown = {key: scores.scores[key] for key in SHOWN}
    texts = [f"{key} {one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for key, one in shown.items()]
    print(f"\n{name}: rule {run.best}, {scores.n} clips, {scores.n_groups} groups: {', '.join(texts)}")
    weights = run.fusion["rules"][run.best]["weights"]
    print("weights:", ", ".join(f"{member} {weight:.2f}" for member, weight in weights.items() if weight))
    chosen = {member: run.member_settings(member) for member in run.bundle.get("penalties", {})}
    print("penalties:", ", ".join(f"{member} {own}" for member, own in chosen.items()))
    print(game.coalitions.round(4).to_string(index=False))
    print(game.additions.round(4).to_string(index=False))


def columns_of(
    table: FeatureTable, groups: Sequence[str], statistics: Sequence[str] = ("mean",)
) -> NDArray[Any]:
    """Columns of pretrained families or groups of them (`tags`, `embedding`), or the hand-made ones."""
    names = []
    for column in table.features.columns:
        group = column.split("_")[0]
        is_pretrained = group in ("tags", "embedding")
        is_named = group in groups or column.split(".")[0] in groups
        kept = is_pretrained and is_named and column.rsplit(".", 1)[1] in statistics
        if kept or (not is_pretrained and "handmade" in groups):
            names.append(column)
    return table.features[names].to_numpy(np.float64)


def regression(C: float, *before: Any) -> Callable[[], Any]:
    """Maker of a logistic regression behind other steps."""
    return lambda: make_pipeline(*before, LogisticRegression(C=C, class_weight="balanced", max_iter=2000))


@dataclass(frozen=True)
class Excerpts:
    """The fault-filtered split of the excerpts, as positions in the rows of a table.

    Args:
        y: labels `(n,)`.
        groups: groups `(n,)`.
        classes: K names.
        train: rows of the train part.
        valid: rows of the valid part.
        test: rows of the test part.
    """

    y: NDArray[Any]
    groups: NDArray[Any]
    classes: tuple[str, ...]
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """What became of a trial.

    Args:
        valid_loss: log loss on valid, after a temperature; fitted on train.
        probabilities: of the test clips, after this temperature, `(n, K)`.
        raw_loss: log loss on test without the temperature.
    """

    valid_loss: float
    probabilities: NDArray[np.float64]
    raw_loss: float


Predict = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""Fits on some rows and gives the probabilities `(n, K)` of others."""


def split_excerpts(table: FeatureTable) -> tuple[FeatureTable, Excerpts]:
    """The usable rows of a table of the excerpts, sorted by id, and their parts."""
    material = gather(table, TrainSettings(members=("svm",)))
    ((learners, valid),) = material.split.training_folds()
    rows, classes = material.split.train, tuple(material.classes)
    parts = (rows[learners], rows[valid], material.split.test)
    return material.table, Excerpts(material.labels, material.groups, classes, *parts)


def try_out(parts: Excerpts, choices: Sequence[Predict], *, refit: bool = True) -> Trial:
    """Fit choices on train, and keep the one with the least log loss on valid after a temperature.

    Args:
        parts: the excerpts.
        choices: the choices.
        refit: whether the best choice is fitted again, on train and valid, before it is scored on test.
    """
    results = []
    target, n_valid = encode_labels(parts.y[parts.valid], parts.classes), len(parts.valid)
    rows = parts.valid if refit else np.concatenate([parts.valid, parts.test])
    for predict in choices:
        found = predict(parts.train, rows)
        temperature = fit_temperature(found[:n_valid], target, n_valid)
        calibrated = apply_temperature(found[:n_valid], temperature, multilabel=False)
        results.append((scores_of(target, calibrated)["log_loss"], temperature, predict, found[n_valid:]))
    loss, temperature, predict, raw = min(results, key=lambda result: result[0])
    if refit:
        raw = predict(np.concatenate([parts.train, parts.valid]), parts.test)
    raw_loss = scores_of(encode_labels(parts.y[parts.test], parts.classes), raw)["log_loss"]
    return Trial(loss, apply_temperature(raw, temperature, multilabel=False), raw_loss)


def show_trial(words: str, parts: Excerpts, trial: Trial, reference: Trial | None = None) -> None:
    """Print a row; with a reference also the differences of the scores on test and their intervals."""
    y, probabilities = parts.y[parts.test], trial.probabilities
    scores = scores_of(encode_labels(y, parts.classes), probabilities)
    texts = [f"{scores[key]:.3f}" for key in SHOWN]
    print(f"{words} | {trial.valid_loss:.3f} | {', '.join(texts)} | {trial.raw_loss:.3f}", flush=True)
    if reference is not None:
        groups = parts.groups[parts.test]
        found = metric_differences(y, probabilities, reference.probabilities, parts.classes, groups)
        shown = [
            f"{key} {found[key].value:+.3f} [{found[key].low:+.3f}, {found[key].high:+.3f}]" for key in SHOWN
        ]
        print(f"    more than the reference: {', '.join(shown)}", flush=True)


@dataclass
class SelfTrained:
    """A regression that learns in rounds from clips whose labels it does not know (self-training).

    In each round a larger share of these clips, the most confident ones, gets the label that the regression
    of the last round gives them, and a new regression is fitted on all.

    Args:
        make: maker of the regression.
        unlabelled: features of these clips, `(n, d)`.
        shares: shares of the rounds.
    """

    make: Callable[[], Any]
    unlabelled: NDArray[np.float64]
    shares: tuple[float, ...] = (0.2, 0.4, 0.6)

    def fit(self, X: NDArray[np.float64], y: NDArray[Any]) -> Any:
        """The last regression, fitted on labels `(n,)`."""
        model = self.make().fit(X, y)
        for share in self.shares:
            probabilities = model.predict_proba(self.unlabelled)
            order = np.argsort(-probabilities.max(axis=1))
            chosen = order[: round(share * len(order))]
            guesses = model.classes_[probabilities[chosen].argmax(axis=1)]
            model = self.make().fit(
                np.concatenate([X, self.unlabelled[chosen]]), np.concatenate([y, guesses])
            )
        return model


def push(table: FeatureTable, excluded: FeatureTable | None) -> None:
    """Print one row per trial: log loss on valid after calibration (the judge), and the scores on test."""
    table, parts = split_excerpts(table)
    both, means = ("tags", "embedding"), ("mean",)
    scale = StandardScaler
    searched = [regression(C, scale()) for C in LADDER]
    leaves = [lambda n=n: make_member("random_forest", min_samples_leaf=n) for n in (8, 4, 1)]
    shrunk = LinearDiscriminantAnalysis("lsqr", shrinkage="auto")
    kinds: list[tuple[str, Sequence[Callable[[], Any]]]] = [
        ("logistic regression, C = .1", searched[-1:]),
        ("logistic regression, C searched", searched),
        ("rows of unit length, C searched", [regression(C, Normalizer()) for C in (0.1, 0.3, 1, 3, 10)]),
        ("PCA 50, C searched", [regression(C, scale(), PCA(50, random_state=0)) for C in LADDER]),
        ("LDA, shrunk", [lambda: make_pipeline(scale(), shrunk)]),
        ("15 nearest, cosine", [lambda: make_pipeline(scale(), KNeighborsClassifier(15, metric="cosine"))]),
        ("forest, leaf 1", leaves[-1:]),
        ("forest, leaf searched", leaves),
        ("svm", [lambda: make_member("svm")]),
        ("xgboost", [lambda: make_member("xgboost")]),
    ]
    trials = [(words, (group,), means, makers) for group in both for words, makers in kinds]
    trials += [
        ("C searched, mean and std over windows", ("tags",), ("mean", "std"), searched),
        ("C searched, mean and std over windows", ("embedding",), ("mean", "std"), searched),
        ("C searched, one network", ("embedding_musicnn_msd",), means, searched),
        ("C searched, tags and embedding in one", both, means, searched),
        ("C searched, hand-made poured in", ("handmade", *both), means, searched),
    ]
    print("\nview | trial | valid log loss, calibrated | test accuracy, AUC, log loss | not calibrated")
    for words, groups, statistics, makers in trials:
        X = np.nan_to_num(columns_of(table, groups, statistics))
        trial = try_out(parts, table_predictors(makers, X, parts))
        show_trial(f"{'+'.join(groups)} | {words}", parts, trial)
    self_training(table, excluded, parts, searched)


def self_training(
    table: FeatureTable, excluded: FeatureTable | None, parts: Excerpts, makers: Sequence[Callable[[], Any]]
) -> None:
    """Print what clips without labels add to the default regression of each view.

    *excluded*: clips that the split leaves out because of their faults. *judged*: the clips whose labels are
    asked for, of which only the features are read (transductive).
    """
    for group in ("tags", "embedding"):
        X = np.nan_to_num(columns_of(table, (group,)))
        reference = try_out(parts, table_predictors(makers, X, parts))
        show_trial(f"{group} | reference: logistic regression, C searched", parts, reference)
        pools: dict[str, NDArray[np.float64] | Literal["judged"]] = {"judged clips": "judged"}
        if excluded is not None:
            pools["excluded clips"] = np.nan_to_num(columns_of(excluded, (group,)))
        for words, pool in pools.items():
            trial = try_out(parts, table_predictors(makers, X, parts, pool))
            show_trial(f"{group} | C searched, self-training on {words}", parts, trial, reference)


def scores_of(target: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float]:
    """Score → value."""
    scores = all_metrics(target, probabilities).scores
    return {key: float(np.squeeze(scores[key])) for key in SHOWN}


def table_predictors(
    makers: Sequence[Callable[[], Any]],
    X: NDArray[Any],
    parts: Excerpts,
    unlabelled: NDArray[np.float64] | Literal["judged"] | None = None,
) -> list[Predict]:
    """The choices of `try_out` that read columns `(n, d)`, with clips without labels if there are any."""
    return [partial(_probabilities, make, unlabelled, X, parts) for make in makers]


def _probabilities(
    make: Callable[[], Any],
    unlabelled: NDArray[np.float64] | Literal["judged"] | None,
    X: NDArray[Any],
    parts: Excerpts,
    fit_on: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Probabilities `(n, K)` of some rows by a model that is fitted on others and on clips without labels."""
    model = make()
    if unlabelled is not None:
        model = SelfTrained(make, X[rows] if isinstance(unlabelled, str) else unlabelled)
    fitted = model.fit(X[fit_on], parts.y[fit_on])
    result = np.zeros((len(rows), len(parts.classes)))
    result[:, [parts.classes.index(name) for name in fitted.classes_]] = fitted.predict_proba(X[rows])
    return result


def main() -> None:
    """Print the figures of every corpus, and the trials of `--push`."""
    parser = arguments(__doc__)
    parser.add_argument("--corpora", nargs="*", default=["gtzan", "instruments", "esc10"])
    parser.add_argument("--gtzan", type=Path, help="folder of the excerpts, with manifest.csv")
    parser.add_argument("--tables", type=Path, help="folder of ready tables NAME.parquet")
    parser.add_argument("--push", action="store_true", help="also try other classifiers and poolings")
    given = parser.parse_args()
    for name in given.corpora:
        own_choice(name, read_table(name, given))
    if given.push:
        push(read_table("gtzan", given), read_excluded(given))


if __name__ == "__main__":
    main()
