"""Views of pretrained networks: the tool's own choice, each view alone, and what lifts the scores most.

    quintet weights fetch musicnn
    python -m benchmarks.evidence.views --gtzan FOLDER [--corpora gtzan instruments esc10] [--push]

Members, penalties, temperatures, views, rule and weights are those that `quintet train` chooses by default on
a table with columns of `musicnn_msd` and `musicnn_mtt`. *gtzan*: the excerpts, fault-filtered; fitted on
train, chosen on valid, fitted again on both, and scored on the 135 test clips. *instruments* and *esc10*:
five folds by session or recording, scored out of fold; rule, weights and penalties of a fold are chosen
without it. `--push` tries other classifiers, poolings and projections on the excerpts: each is fitted on
train and judged on valid by its log loss after calibration; the test part is only shown beside.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
    """Columns of some groups of pretrained families (`tags`, `embedding`) or of the hand-made ones."""
    names = []
    for column in table.features.columns:
        group = column.split("_")[0]
        is_pretrained = group in ("tags", "embedding")
        kept = is_pretrained and group in groups and column.rsplit(".", 1)[1] in statistics
        if kept or (not is_pretrained and "handmade" in groups):
            names.append(column)
    return table.features[names].to_numpy(np.float64)


def regression(C: float, *before: Any) -> Callable[[], Any]:
    """Maker of a logistic regression behind other steps."""
    return lambda: make_pipeline(*before, LogisticRegression(C=C, class_weight="balanced", max_iter=2000))


def push(table: FeatureTable) -> None:
    """Print one row per trial: log loss on valid after calibration (the judge), and the scores on test."""
    material = gather(table, TrainSettings(members=("svm",)))
    ((train_rows, valid),) = material.split.training_folds()
    rows = material.split.train
    y, classes = material.labels, tuple(material.classes)
    both, means = ("tags", "embedding"), ("mean",)
    scale = StandardScaler
    ladder = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    searched = [regression(C, scale()) for C in ladder]
    leaves = [lambda n=n: make_member("random_forest", min_samples_leaf=n) for n in (8, 4, 1)]
    shrunk = LinearDiscriminantAnalysis("lsqr", shrinkage="auto")
    kinds: list[tuple[str, Sequence[Callable[[], Any]]]] = [
        ("logistic regression, C = .1", searched[-1:]),
        ("logistic regression, C searched", searched),
        ("rows of unit length, C searched", [regression(C, Normalizer()) for C in (0.1, 0.3, 1, 3, 10)]),
        ("PCA 50, C searched", [regression(C, scale(), PCA(50, random_state=0)) for C in ladder]),
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
        ("C searched, tags and embedding in one", both, means, searched),
        ("C searched, hand-made poured in", ("handmade", *both), means, searched),
    ]
    print("\nview | trial | valid log loss, calibrated | test accuracy, AUC, log loss | not calibrated")
    for words, groups, statistics, makers in trials:
        X = np.nan_to_num(columns_of(table, groups, statistics))
        results = []
        for make in makers:
            held_out = _probabilities(make(), X, y, rows[train_rows], rows[valid], classes)
            target = encode_labels(y[rows[valid]], classes)
            temperature = fit_temperature(held_out, target, len(target))
            calibrated = apply_temperature(held_out, temperature, multilabel=False)
            results.append((scores_of(target, calibrated)["log_loss"], temperature, make))
        loss, temperature, make = min(results, key=lambda result: result[0])
        raw = _probabilities(make(), X, y, rows, material.split.test, classes)
        target = encode_labels(y[material.split.test], classes)
        after = scores_of(target, apply_temperature(raw, temperature, multilabel=False))
        before = scores_of(target, raw)["log_loss"]
        texts = [f"{after[key]:.3f}" for key in SHOWN]
        print(f"{'+'.join(groups)} | {words} | {loss:.3f} | {', '.join(texts)} | {before:.3f}", flush=True)


def scores_of(target: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, float]:
    """Score → value."""
    scores = all_metrics(target, probabilities).scores
    return {key: float(np.squeeze(scores[key])) for key in SHOWN}


def _probabilities(
    model: Any,
    X: NDArray[Any],
    y: NDArray[Any],
    fit_on: NDArray[Any],
    rows: NDArray[Any],
    classes: Sequence[str],
) -> NDArray[Any]:
    """Probabilities `(n, K)` of some rows by a model that is fitted on others."""
    model.fit(X[fit_on], y[fit_on])
    result = np.zeros((len(rows), len(classes)))
    result[:, [classes.index(name) for name in model.classes_]] = model.predict_proba(X[rows])
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
        push(read_table("gtzan", given))


if __name__ == "__main__":
    main()
