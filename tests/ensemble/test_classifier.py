"""EnsembleClassifier: checks of scikit-learn, groups and folds, rules chosen without the scored rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from quintet.classifiers.registry import make_member
from quintet.classifiers.tabular.members import LogisticRegressionMember
from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble import selection
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.crossfit import FoldResult, Inputs, Trainer
from quintet.ensemble.fusion import LabelledPredictions
from quintet.ensemble.selection import compare_rules
from quintet.ensemble.support import plan_learning
from quintet.errors import ConfigError, DatasetError, SplitLeakError

SMALL = EnsembleClassifier(members=("logistic_regression",), rules=("mean",), n_splits=2)


@parametrize_with_checks([SMALL])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_common_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture
def data() -> tuple[pd.DataFrame, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Three classes, thirty groups of three rows, four informative columns and four of noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["blues", "jazz", "rock"], 30)
    groups = np.repeat(np.arange(30), 3).astype(str)
    X = rng.normal(size=(90, 8))
    X[:, :4] += 1.5 * np.repeat(np.eye(3, 4), 30, axis=0)
    return pd.DataFrame(X, columns=list("abcdefgh")), labels, groups


def test_the_same_seed_gives_the_same_probabilities(data: Any) -> None:
    X, y, groups = data
    make = clone(
        EnsembleClassifier(
            ("logistic_regression", "random_forest"),
            settings={"random_forest": {"n_estimators": 20}},
            n_splits=3,
        )
    )
    a, b = (clone(make).fit(X, y, groups).predict_proba(X) for _ in range(2))
    assert np.array_equal(a, b)


def test_out_of_fold_predictions_come_from_members_without_the_group(data: Any) -> None:
    """Random numbers per group identify the label inside a fold and carry no information outside it."""
    _, y, groups = data
    rng = np.random.default_rng(1)
    mark = pd.DataFrame(rng.normal(size=(30, 5))[groups.astype(int)], columns=list("vwxyz"))
    ensemble = EnsembleClassifier(
        ("random_forest",), settings={"random_forest": {"n_estimators": 30}}, n_splits=5
    ).fit(mark, y, groups)
    inside = np.mean(ensemble.members_["random_forest"].predict(mark) == y)
    outside = np.mean(np.asarray(ensemble.classes_)[ensemble.oof_["random_forest"].argmax(axis=1)] == y)
    assert inside > 0.95
    assert outside < 0.6


def test_given_folds_that_leak_are_refused(data: Any) -> None:
    X, y, groups = data
    folds = [(np.arange(1, 90, 2), np.arange(0, 90, 2)), (np.arange(0, 90, 2), np.arange(1, 90, 2))]
    with pytest.raises(SplitLeakError, match="fold 1 of logistic_regression"):
        EnsembleClassifier(("logistic_regression",)).fit(X, y, groups, folds=folds)


def test_spellings_of_one_group_are_one_group(data: Any) -> None:
    """Every other row spells its group differently, and the folds divide just these from the others."""
    X, y, groups = data
    even, odd = np.arange(0, 90, 2), np.arange(1, 90, 2)
    blanks, numbers = groups.astype("U3"), groups.astype(int).astype(object)
    blanks[odd] = [f"{group} " for group in groups[odd]]
    numbers[odd] = [float(group) for group in groups[odd]]
    accents = np.char.add("Beyonc\N{LATIN SMALL LETTER E WITH ACUTE} ", groups).astype("U16")
    accents[odd] = np.char.add("Beyonce\N{COMBINING ACUTE ACCENT} ", groups[odd])
    for spelt in (blanks, numbers, accents):
        with pytest.raises(SplitLeakError, match="fold 1 of logistic_regression"):
            EnsembleClassifier(("logistic_regression",)).fit(X, y, spelt, folds=[(odd, even), (even, odd)])


def test_every_row_needs_one_group_and_one_held_out_part(data: Any) -> None:
    X, y, groups = data
    ensemble, folds = (
        EnsembleClassifier(("logistic_regression",), rules=("mean",)),
        grouped_folds(y, groups.tolist(), n_splits=3, seed=0),
    )
    masked = np.ma.array(np.arange(90), mask=np.arange(90) == 3)
    no_names: list[Any] = [
        [None, *groups[1:]],
        np.full(90, np.nan),
        ["", *groups[1:]],
        [" ", *groups[1:]],
        masked,
    ]
    for wrong in (groups[:-1], np.stack([groups, groups], axis=1), *no_names):
        with pytest.raises(DatasetError, match="Every one of 90 rows must have one group"):
            ensemble.fit(X, y, wrong)
    for given in (folds[:2], [*folds, folds[0]], []):
        with pytest.raises(ConfigError, match="Folds must hold out every row once"):
            ensemble.fit(X, y, groups, folds=given)


def test_cached_predictions_do_not_hide_a_leak(data: Any) -> None:
    class FullCache:
        def load(self, member: str, fold: int) -> FoldResult:
            return FoldResult(np.full((30, 3), 1 / 3), [], 0.0)

        def save(self, member: str, fold: int, result: FoldResult) -> None: ...

        def importance(self, member: str, fold: int, estimator: Any, table: Any) -> None: ...

        def checkpoint(self, member: str, fold: int) -> None: ...

        def load_member(self, member: str) -> None: ...

        def save_member(self, member: str, estimator: Any) -> None: ...

    X, y, groups = data
    by_clip = grouped_folds(y, np.arange(90).tolist(), n_splits=3, seed=0)
    with pytest.raises(SplitLeakError, match="fold 1 of svm"):
        Trainer("svm", cache=FullCache()).out_of_fold(
            Inputs(X), y, groups, by_clip, ("blues", "jazz", "rock")
        )


def test_rules_are_compared_on_the_given_folds() -> None:
    """A member is right in one given fold and wrong in the other. A weight learnt in one harms the other."""
    rng = np.random.default_rng(0)
    y = np.tile(["a", "b"], 100)
    truth = (y[:, None] == np.array(["a", "b"])).astype(float)
    fickle = 0.9 * truth + 0.05
    fickle[100:] = 1 - fickle[100:]
    steady = np.clip(0.4 * truth + 0.3 + rng.normal(0, 0.02, (200, 1)) * [1, -1], 0, 1)
    halves = [(np.arange(100), np.arange(100, 200)), (np.arange(100, 200), np.arange(100))]
    stack = np.stack([fickle, steady])
    labelled = LabelledPredictions.from_labels(stack, y, members=("fickle", "steady"), classes=("a", "b"))
    losses = compare_rules(labelled, rules=("mean", "weighted"), folds=halves).losses
    assert losses["weighted"] > losses["mean"] + 0.05
    mixed = compare_rules(labelled, rules=("mean", "weighted")).losses
    assert mixed["weighted"] < mixed["mean"] + 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": ()}, "at least one member"),
        ({"members": ("svn",)}, "Did you mean 'svm'"),
        ({"members": ("svm",), "rule": "median"}, "must be 'auto' or one of"),
        ({"members": ("svm",), "settings": {"xgboost": {}}}, "members that take part"),
        ({"members": ("vgg_small",)}, "works on a spectrogram"),
        ({"members": ("svm", "svm")}, "must differ"),
        ({"members": (LogisticRegressionMember(),)}, "list of names"),
        ({"members": ("svm",), "rules": ()}, "at least one rule"),
        ({"members": ("svm",), "rules": ("mean", "mean")}, "must differ"),
        ({"members": ("svm",), "settings": ["svm"]}, "settings"),
        ({"members": ("svm",), "settings": {"svm": 5}}, "settings"),
        ({"members": ("svm",), "seed": None}, "seed"),
        ({"members": ("svm",), "seed": -1}, "seed"),
        ({"members": ("svm",), "n_splits": 2.5}, "n_splits"),
    ],
)
def test_wrong_arguments_are_refused(data: Any, settings: dict[str, Any], message: str) -> None:
    X, y, groups = data
    with pytest.raises(ConfigError, match=message):
        EnsembleClassifier(**({"n_splits": 3} | settings)).fit(X, y, groups)


def test_names_of_classes_without_that_of_a_label_are_refused(data: Any) -> None:
    X, y, groups = data
    with pytest.raises(ConfigError, match="'rock'"):
        EnsembleClassifier(("svm",), n_splits=3).fit(X, y, groups, classes=["blues", "jazz", "dub"])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("kind", ["ensemble", "member"])
def test_every_row_needs_a_label(data: Any, missing: object, kind: str) -> None:
    X, y, _ = data
    labels = pd.Series([missing, *y[1:]], dtype="string" if missing is pd.NA else object)
    estimator = EnsembleClassifier(("svm",)) if kind == "ensemble" else make_member("svm")
    with pytest.raises(DatasetError, match="1 of 90 rows has no label"):
        estimator.fit(X, labels)
    with pytest.raises(DatasetError, match="1 of 90 rows has no label"):
        estimator.fit(X, np.ma.array(np.arange(90) % 3, mask=np.arange(90) == 3))


def test_a_masked_value_is_a_gap(data: Any) -> None:
    X, y, groups = data
    values = np.array(X)
    gaps = np.zeros(values.shape, bool)
    gaps[::7, 0] = True
    masked = np.ma.array(np.where(gaps, 999.0, values), mask=gaps)
    absent = np.where(gaps, np.nan, values)
    for estimator in (
        EnsembleClassifier(("logistic_regression",), rules=("mean",), n_splits=3),
        make_member("svm"),
    ):
        expected = clone(estimator).fit(absent, y, groups).predict_proba(absent)
        np.testing.assert_array_equal(estimator.fit(masked, y, groups).predict_proba(masked), expected)


def test_soft_label_sets_are_refused_and_names_of_tags_are_kept(data: Any) -> None:
    X, y, groups = data
    tags = pd.DataFrame({"rock": y == "rock", "live": np.arange(90) % 2 == 0})
    ensemble = EnsembleClassifier(("logistic_regression",), rules=("mean",), n_splits=3)
    assert ensemble.fit(X, tags, groups).classes_.tolist() == ["rock", "live"]
    for estimator in (ensemble, make_member("logistic_regression")):
        with pytest.raises(DatasetError, match="0 and 1 only"):
            estimator.fit(X, tags * 0.9, groups)


def test_label_sets(data: Any) -> None:
    X, y, groups = data
    tags = np.stack([y == "jazz", y == "rock"], axis=1).astype(int)
    ensemble = EnsembleClassifier(("logistic_regression",), n_splits=3).fit(
        X, tags, groups, classes=["jazz", "rock"]
    )
    probabilities = ensemble.predict_proba(X)
    assert probabilities.shape == (90, 2)
    assert ensemble.predict(X).shape == (90, 2)
    assert np.mean(ensemble.predict(X) == tags) > 0.8


def test_calibration_uses_the_folds_of_the_run(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """New folds would share artists if groups are not known and the data bring their own validation part."""
    from quintet.ensemble import classifier

    X, y, groups = data
    folds = [(np.arange(45, 90), np.arange(45)), (np.arange(45), np.arange(45, 90))]
    order = np.argsort(groups.astype(int) % 2, kind="stable")  # whole groups on each side
    received = []
    for name in ("learn_calibration", "calibrate_held_out"):
        plain = getattr(classifier, name)
        monkeypatch.setattr(
            classifier, name, lambda *a, plain=plain, **k: received.append(k["folds"]) or plain(*a, **k)
        )
    EnsembleClassifier(("logistic_regression",), rules=("mean",)).fit(
        X.iloc[order], y[order], groups[order], folds=folds
    )
    assert [f is folds for f in received] == [True, True]


def fuse(y: Any, predictions: Any, folds: Any, **settings: Any) -> EnsembleClassifier:
    """Fusion and calibration of members with these out-of-fold predictions."""
    ensemble = EnsembleClassifier(("logistic_regression", "svm"), **settings)
    ensemble.classes_, ensemble.oof_ = np.unique(y), dict(zip(ensemble.members, predictions, strict=True))
    plan = plan_learning(y, np.arange(len(y)), folds, seed=0)
    ensemble._fit_fusions(y, np.arange(len(y)), plan)
    ensemble._fit_calibration(y, np.arange(len(y)), plan)
    return ensemble


def test_the_rule_that_judges_a_fold_is_chosen_without_it() -> None:
    """A member is right except in one fold. With that fold the mean is chosen, without it the weights."""
    rng, y = np.random.default_rng(1), np.tile(["a", "b"], 60)
    truth = (y[:, None] == np.array(["a", "b"])).astype(float)
    right = np.clip(0.25 + 0.5 * truth + rng.normal(0, 0.1, (120, 1)) * [1, -1], 0.02, 0.98)
    noise = rng.uniform(0.05, 0.95, (120, 1)) * [1, -1] + [0, 1]
    parts = np.array_split(np.arange(120), 4)
    folds = [(np.setdiff1d(np.arange(120), part), part) for part in parts]
    assert fuse(y, [right, noise], folds, rules=("mean", "weighted")).rule_ == "weighted"
    right[parts[0]] = 1 - right[parts[0]]
    fitted = fuse(y, [right, noise], folds, rules=("mean", "weighted"))
    assert (fitted.rule_, fitted.fold_rules_) == ("mean", ["weighted", "mean", "mean", "mean"])
    for rule, part in zip(fitted.fold_rules_, parts, strict=True):
        best = fitted.oof_[rule][part].argmax(axis=1)
        np.testing.assert_array_equal(fitted.oof_verdict_[part].argmax(axis=1), best)
    assert (
        fuse(y, [right, noise], folds, rules=("mean", "weighted"), rule="weighted").fold_rules_
        == ["weighted"] * 4
    )
    halves = [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))]
    two = fuse(y, [right, noise], halves, rules=("mean", "weighted"))
    assert two.fold_rules_ == [two.rule_] * 2


@pytest.mark.slow
def test_on_random_labels_the_choice_of_a_rule_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On random labels, a rule chosen on the scored folds gains AUC; `oof_verdict_` has no such gain."""
    monkeypatch.setattr(selection, "UNITS_PER_PARAMETER", 0)  # let `stacked` win, which gains most
    gains = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        y = rng.permutation(np.repeat(["a", "b", "c"], 40))
        folds = grouped_folds(y, list(range(120)), n_splits=5, seed=seed)
        predictions = []
        for C in (0.1, 10.0):
            X, p = rng.normal(size=(120, 6)), np.empty((120, 3))
            for train, held_out in folds:
                p[held_out] = LogisticRegression(C=C).fit(X[train], y[train]).predict_proba(X[held_out])
            predictions.append(p)
        fitted = fuse(y, predictions, folds)
        auc = [
            roc_auc_score(y, p, multi_class="ovr") for p in (fitted.oof_[fitted.rule_], fitted.oof_verdict_)
        ]
        gains.append(auc[0] - auc[1])
    assert np.mean(gains) > 0.005
