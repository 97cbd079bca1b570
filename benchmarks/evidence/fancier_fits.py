"""Predictions of learners that Quintet does not have, in an environment of their own: a step of `fancier.py`.

    OTHER/bin/python fancier_fits.py autogluon|tabicl TABLE OUTPUT [--seconds 120] [--weights FILE]

TABLE is a parquet with the columns of the features, `label`, `fold` (in which a row is held out) and
`inner_K` (its fold where the rows outside fold K are divided once more; no group crosses either). OUTPUT
gets a probability per class, a row per row. Nothing of Quintet is imported.

autogluon: forests, extra trees, a network, LightGBM and CatBoost with the settings of AutoGluon, bagged over
the inner folds, then a weighted ensemble of them by log loss; no model needs a download. tabicl: one forward
pass of the pretrained network, whose weights must lie on this machine.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MODELS = {
    kind: {"ag_args": {"priority": 100 - k}} for k, kind in enumerate(("XT", "RF", "NN_TORCH", "GBM", "CAT"))
}
"""Models of AutoGluon, those that are ready soon first."""


def autogluon(
    rows: pd.DataFrame, inner: pd.Series, others: pd.DataFrame, given: argparse.Namespace
) -> pd.DataFrame:
    """Probabilities of other rows by AutoGluon."""
    tabular: Any = importlib.import_module("autogluon.tabular")
    with tempfile.TemporaryDirectory() as folder:
        predictor = tabular.TabularPredictor(
            "label", eval_metric="log_loss", groups="inner", path=folder, verbosity=0
        )
        predictor.fit(
            rows.assign(inner=inner),
            time_limit=given.seconds,
            num_bag_folds=5,
            num_bag_sets=1,
            num_stack_levels=0,
            dynamic_stacking=False,
            hyperparameters=MODELS,
            num_cpus=given.cores,
            num_gpus=0,
        )
        board = predictor.leaderboard()
        best = board.iloc[0]
        parts = predictor.info()["model_info"][best["model"]].get("children_info") or {}
        weights = next(iter(parts.values()), {}).get("model_weights", {})
        print(f"{len(board)} models, best {best['model']} {weights}", file=sys.stderr, flush=True)
        return pd.DataFrame(predictor.predict_proba(others))


def tabicl(rows: pd.DataFrame, _: pd.Series, others: pd.DataFrame, given: argparse.Namespace) -> pd.DataFrame:
    """Probabilities of other rows by TabICL."""
    classifier = importlib.import_module("tabicl").TabICLClassifier(
        model_path=given.weights, allow_auto_download=False, device="cpu", random_state=0
    )
    classifier.fit(rows.drop(columns="label"), rows["label"])
    return pd.DataFrame(classifier.predict_proba(others), columns=classifier.classes_)


def main() -> None:
    """Predict every row by a learner that was fitted on the other folds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("learner", choices=["autogluon", "tabicl"])
    parser.add_argument("table", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    if given.learner == "tabicl" and not (given.weights and given.weights.is_file()):
        sys.exit(
            "TabICL must have its weights on this machine. Received no file with --weights. Where there is "
            "a network, fit TabICLClassifier() once, which fetches a checkpoint, and bring the .ckpt here."
        )
    table = pd.read_parquet(given.table)
    folds = table.pop("fold")
    inner = table[[name for name in table if name.startswith("inner_")]]
    table = table.drop(columns=inner.columns)
    classes = sorted(table["label"].unique())
    found = pd.DataFrame(np.nan, index=table.index, columns=classes)
    for fold in sorted(folds.unique()):
        is_held_out = folds == fold
        rows, others = table[~is_held_out], table[is_held_out].drop(columns="label")
        learn = {"autogluon": autogluon, "tabicl": tabicl}[given.learner]
        probabilities = learn(rows, inner.loc[~is_held_out, f"inner_{fold}"].astype(str), others, given)
        found.loc[is_held_out, classes] = probabilities[classes].to_numpy()
    found.to_parquet(given.output)


if __name__ == "__main__":
    main()
