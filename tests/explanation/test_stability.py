"""Stability across folds: rankings agree for real causes and disagree for noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quintet.ensemble.crossfit import Trainer
from quintet.explanation.stability import agreement, fold_rankings, fold_stability
from quintet.model_folder.run import Run, read_run


@pytest.fixture(scope="module")
def run(model_folder: Path) -> Run:
    return read_run(model_folder)


def _with_causes(run: Run, *, n_causes: int) -> Run:
    """The run with features of noise, `n_causes` columns shifted for one class each, by decreasing
    amounts."""
    rng = np.random.default_rng(0)
    values = pd.DataFrame(
        rng.normal(size=run.values.shape), index=run.values.index, columns=run.values.columns
    )
    label = run.split.set_index("id")["label"].reindex(values.index)
    classes = sorted(label.dropna().unique())
    for j in range(n_causes):
        values.iloc[:, j] += (6.0 - 5.0 * j / max(n_causes, 1)) * (
            label == classes[j % len(classes)]
        ).to_numpy()
    return replace(run, features=values)


def test_constant_importance_has_correlation_0_with_other_folds() -> None:
    assert agreement(pd.DataFrame({"a": [3.0, 2.0, 1.0], "b": [0.0, 0.0, 0.0], "c": [6.0, 5.0, 4.0]})) == (
        0.333,
        0.0,
        1.0,
        3,
    )


def test_rankings_agree_for_causes_and_disagree_for_noise(run: Run) -> None:
    firm = fold_stability(_with_causes(run, n_causes=60), members=["logistic_regression"]).loc[
        "logistic_regression"
    ]
    loose = fold_stability(_with_causes(run, n_causes=0), members=["logistic_regression"]).loc[
        "logistic_regression"
    ]
    assert firm["low"] > loose["high"]
    assert firm["mean"] > 0.6
    assert firm["low"] <= firm["mean"] <= firm["high"] <= 1
    assert firm["n_folds"] == run.split["fold"].max() + 1


def test_member_of_a_fold_is_fitted_without_the_clips_that_it_explains(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    fit = Trainer.fit

    def record(self: Trainer, inputs, y, groups, *, fold):  # type: ignore[no-untyped-def]
        seen.append((fold, set(inputs.table.index), self.settings, set(groups)))
        return fit(self, inputs, y, groups, fold=fold)

    monkeypatch.setattr(Trainer, "fit", record)
    table = fold_rankings(run, "logistic_regression")
    split = run.split.set_index("id")
    assert list(table.columns) == [f"fold {k}" for k in range(len(seen))]
    for fold, ids, settings, groups in seen:
        assert ids == set(split.index[(split["part"] == "train") & (split["fold"] != fold)])
        assert not groups & set(split.loc[split["fold"] == fold, "group"])
        assert settings == dict(run.member_settings("logistic_regression"))
    assert list(table.index) == list(run.values.columns)


def test_runs_without_features_folds_or_members_give_empty_tables(run: Run) -> None:
    assert fold_stability(replace(run, features=run.features.iloc[:0])).empty
    assert fold_stability(run, members=["unknown"]).empty
    assert fold_rankings(run, "vgg_small").empty
    one_fold = run.split.assign(fold=np.minimum(run.split["fold"], 0))
    assert fold_stability(replace(run, split=one_fold), members=["logistic_regression"]).empty


def test_agreement_is_spearmans_correlation() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 4.0, 9.0, 16.0], "c": [4.0, 3.0, 2.0, 1.0]})
    assert agreement(table) == (-0.333, -1.0, 1.0, 3)
