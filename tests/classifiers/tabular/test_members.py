"""Table members: scikit-learn's common checks, gaps, tags, groups and seeds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from quintet.classifiers.registry import make_member
from quintet.classifiers.tabular.members import (
    LogisticRegressionMember,
    RandomForestMember,
    SVMMember,
    XGBoostMember,
)
from quintet.classifiers.tabular.svm import MarginClassifier
from quintet.errors import DatasetError, SplitLeakError

QUICK = {"random_forest": {"n_estimators": 25}, "xgboost": {"n_estimators": 25}}
NAMES = ("logistic_regression", "random_forest", "xgboost", "svm")


def member(name, **settings):
    return make_member(name, **QUICK.get(name, {}), **settings)


def blobs(n=120, n_features=6, n_classes=3, distance=1.5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    centres = rng.normal(size=(n_classes, n_features)) * distance
    return pd.DataFrame(
        centres[y] + rng.normal(size=(n, n_features)), columns=[f"family.x_{j}" for j in range(n_features)]
    ), np.array(list("abcdefgh"))[y]


def expected_failures(estimator):
    if isinstance(estimator, RandomForestMember):
        reason = "the check wants probabilities of tags strictly below 1; a forest may be unanimous"
        return {"check_classifiers_multilabel_output_format_predict_proba": reason}
    return {}


@parametrize_with_checks(
    [
        LogisticRegressionMember(),
        RandomForestMember(n_estimators=10),
        XGBoostMember(n_estimators=10),
        SVMMember(calibration_folds=2),
    ],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_scikit_learns_common_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", NAMES)
def test_gaps_constant_and_infinite_columns_do_not_matter(name):
    X, y = blobs()
    plain = member(name).fit(X, y).predict_proba(X)

    dirty = X.assign(empty=np.nan, constant=7.0, infinite=np.inf)
    fitted = member(name).fit(dirty, y)

    assert fitted.prepared_names == list(X.columns)
    np.testing.assert_array_equal(fitted.predict_proba(dirty), plain)
    dirty.iloc[0, 0] = np.inf
    assert np.isfinite(fitted.predict_proba(dirty)).all()


@pytest.mark.parametrize("name", NAMES)
def test_classes_are_weighted_by_their_frequency(name):
    rng = np.random.default_rng(3)
    y = np.where(np.arange(400) < 40, "rare", "common")
    X = rng.normal(size=(400, 3)) + 1.2 * (y == "rare")[:, None]

    if name == "svm":  # the calibration restores the frequencies on purpose, so check the machines
        fitted = member(name).fit(X, y)
        machine = fitted.models_[0].machines[0]
        assert machine.class_weight_[0] / machine.class_weight_[1] == pytest.approx(1 / 9)
    else:
        settings = {"random_forest": {"min_samples_split": 60}, "xgboost": {"max_depth": 1}}.get(name, {})
        probabilities = member(name, **settings).fit(X, y).predict_proba(X)
        assert probabilities[:, 1].mean() > 0.25  # 0.10 without weights


@pytest.mark.parametrize("name", NAMES)
def test_several_labels_per_row(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 4))
    Y = pd.DataFrame(
        {"loud": X[:, 0] > 0, "fast": X[:, 1] > 0.5, "never": np.zeros(150), "always": np.ones(150)}
    ).astype(int)
    fitted = member(name).fit(X, Y)

    probabilities = fitted.predict_proba(X)

    assert list(fitted.classes_) == ["loud", "fast", "never", "always"]
    assert probabilities.shape == (150, 4)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities[:, 2:], [[0.5 / 151, 150.5 / 151]] * 150)
    assert (fitted.predict(X)[:, :2] == Y.to_numpy()[:, :2]).mean() > 0.9
    assert member(name).fit(X, Y.to_numpy()).classes_.tolist() == [0, 1, 2, 3]
    assert member(name).fit(X, Y.to_numpy(), classes=list("pqrs")).classes_.tolist() == list("pqrs")


def test_an_indicator_with_other_values_or_names_is_refused():
    with pytest.raises(DatasetError, match="0 and 1"):
        member("logistic_regression").fit(np.eye(3), np.full((3, 2), 2))
    with pytest.raises(DatasetError, match="1 names for 2"):
        member("logistic_regression").fit(np.eye(3), np.eye(3, 2, dtype=int), classes=["only"])


@pytest.mark.parametrize("name", NAMES)
def test_many_small_classes_are_no_regression(name):
    """scikit-learn warns of more classes than half the rows; a warning is an error here."""
    settings = {"n_estimators": 2} if name in ("random_forest", "xgboost") else {}
    X, y = np.arange(26.0)[:, None], np.minimum(np.arange(26), 13).astype(str)
    assert len(make_member(name, **settings).fit(X, y).classes_) == 14


def test_a_table_of_constants_is_refused():
    with pytest.raises(DatasetError, match="At least one feature must differ"):
        member("logistic_regression").fit(np.ones((4, 2)), list("aabb"))


def test_the_forest_does_not_depend_on_the_number_of_threads():
    X, y = blobs()
    one, two = (
        RandomForestMember(n_estimators=25, n_jobs=jobs, seed=3).fit(X, y).predict_proba(X) for jobs in (1, 2)
    )
    # Threads sum the trees in any order, so the last bit may differ.
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["random_forest", "xgboost"])
def test_another_seed_gives_another_member(name):
    X, y = blobs()
    assert not np.array_equal(
        member(name, seed=0).fit(X, y).predict_proba(X), member(name, seed=1).fit(X, y).predict_proba(X)
    )


def copies(n_tracks=60, n_copies=4, seed=0):
    """Rows of noise with each track repeated. Only a copy of the same track predicts a label."""
    rng = np.random.default_rng(seed)
    tracks = np.repeat(np.arange(n_tracks), n_copies)
    X = rng.normal(size=(n_tracks, 5))[tracks] + 0.01 * rng.normal(size=(len(tracks), 5))
    return X, (np.arange(n_tracks) % 3)[tracks], tracks.astype(str)


def test_the_svm_is_calibrated_across_groups_not_within_them():
    X, y, tracks = copies()

    grouped = SVMMember().fit(X, y, groups=tracks).models_[0].slope
    leaking = SVMMember().fit(X, y).models_[0].slope

    assert grouped < 0.3  # margins of held-out tracks are noise
    assert leaking > 3 * grouped  # margins of copies of training tracks are not


def test_a_leak_inside_the_calibration_is_an_error(monkeypatch):
    X, y, tracks = copies()
    halves = np.arange(len(y)) % 2
    leaking = [(np.flatnonzero(halves == 0), np.flatnonzero(halves == 1))]
    monkeypatch.setattr("quintet.classifiers.tabular.svm.grouped_folds", lambda *a, **k: leaking)
    with pytest.raises(SplitLeakError, match="calibration"):
        SVMMember().fit(X, y, groups=tracks)


def test_a_class_in_one_group_leaves_the_svm_uncalibrated():
    X, y = blobs(n=30)
    fitted = SVMMember().fit(X, y, groups=y)
    assert (fitted.models_[0].slope, fitted.models_[0].offset) == (1.0, 0.0)


def test_calibrated_probabilities_are_near_the_true_ones():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1500, 2))
    y = (rng.random(1500) < 1 / (1 + np.exp(-1.5 * X[:, 0]))).astype(int)
    fitted = SVMMember(C=1.0).fit(X[:500], y[:500])
    probabilities = fitted.predict_proba(X[500:])[:, 1]
    true = 1 / (1 + np.exp(-1.5 * X[500:, 0]))
    assert np.abs(probabilities - true).mean() < 0.1


def test_margins_of_two_and_of_more_classes_give_the_probabilities_of_the_formula():
    class Machine:
        def __init__(self, value):
            self.value = value

        def decision_function(self, X):
            return np.full(len(X), self.value)

    two = MarginClassifier([Machine(0.5)], slope=2.0, offset=-1.0).predict_proba(np.zeros((1, 1)))
    many = MarginClassifier([Machine(0.0), Machine(np.log(3.0)), None], slope=1.0, offset=0.0).predict_proba(
        np.zeros((1, 1))
    )

    np.testing.assert_allclose(two, [[0.5, 0.5]])
    np.testing.assert_allclose(many, [np.array([1.0, 3.0, np.exp(-1.0)]) / (4 + np.exp(-1.0))])
