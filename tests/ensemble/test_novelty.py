"""Novelty: distances of features detect unknown clips, and the coverage of known clips stays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from quintet.datasets.splits.folds import grouped_folds
from quintet.ensemble.classifier import EnsembleClassifier
from quintet.ensemble.conformal import ConformalPredictor, fit_conformal
from quintet.ensemble.coverage import coverage
from quintet.ensemble.novelty import Distance, held_out_distances
from quintet.errors import AlignmentError, ArtefactError, ConfigError

CENTRES = 4 * np.eye(3, 12)
CLASSES = ("a", "b", "c")


def corpus(n_groups=90, seed=0):
    """Three classes at three corners, groups of three similar clips, probabilities of a sure classifier."""
    rng = np.random.default_rng(seed)
    codes, group = np.repeat(np.arange(n_groups) % 3, 3), np.repeat(np.arange(n_groups), 3)
    X = CENTRES[codes] + rng.normal(size=(n_groups, 12))[group] + 0.5 * rng.normal(size=(3 * n_groups, 12))
    return X, np.array(CLASSES)[codes], group, predict(X)


def predict(X):
    z = X @ CENTRES.T / 4
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def fit(seed=0, n_groups=90):
    X, y, group, p = corpus(n_groups, seed)
    fold = group // 3 % 5  # one group of each class in turn: balanced folds that cost nothing
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(5)]
    far = held_out_distances(X, y, folds)
    return Distance.fit(X, y), fit_conformal(p, y, group, classes=CLASSES, score="novelty", distances=far)


def unknown_clips(n=60):
    """Clips far on one side of every boundary, and far away in directions that no boundary depends on."""
    X = (
        CENTRES[np.zeros(n, int)] * 1.5
        + np.r_[np.zeros(3), np.full(9, 3.0)]
        + np.random.default_rng(1).normal(size=(n, 12))
    )
    return X, predict(X)


def test_unknown_clips_with_sure_probabilities_are_detected():
    (distance, sets), (new, q), (X, _, _, p) = fit(), unknown_clips(), corpus(seed=1)
    is_new = np.r_[np.zeros(len(X)), np.ones(len(new))]
    assert roc_auc_score(is_new, np.r_[1 - p.max(axis=1), 1 - q.max(axis=1)]) < 0.5
    scores = sets.out_of_class(np.r_[p, q], distance(np.r_[X, new]))
    assert roc_auc_score(is_new, scores) > 0.8


def test_unsure_probabilities_raise_the_score():
    (distance, sets), (X, _, _, p) = fit(), corpus(seed=1)
    sure, unsure = (sets.out_of_class(q, distance(X)) for q in (p, np.full_like(p, 1 / 3)))
    assert (unsure >= sure).all()
    assert unsure.mean() > sure.mean() + 0.3


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [15, 90])
def test_coverage_holds_with_few_groups_and_with_many(n_groups):
    """Over 100 corpora, the mean coverage of new groups is within [0.9, 0.9 + 2 / (G + 1)] and the error."""
    hits = []
    for seed in range(100):
        (distance, sets), (X, y, group, p) = fit(seed, n_groups), corpus(30, 1000 + seed)
        hits.append(
            coverage(
                sets.sets(p, 0.9, distances=distance(X)), y, group, classes=CLASSES, confidence=0.9
            ).coverage
        )
    error = np.std(hits) / np.sqrt(len(hits))
    assert 0.9 - 2.6 * error <= np.mean(hits) <= 0.9 + 2 / (n_groups + 1) + 2.6 * error


def test_a_set_is_empty_exactly_if_the_score_reaches_the_confidence():
    (distance, sets), (X, _, _, p) = fit(), corpus(seed=1)
    p, far = np.r_[p, unknown_clips()[1]], distance(np.r_[X, unknown_clips()[0]])
    for confidence in (0.5, 0.8, 0.9, 0.95):
        empty = ~sets.sets(p, confidence, distances=far).any(axis=1)
        assert empty.any()
        np.testing.assert_array_equal(empty, sets.out_of_class(p, far) >= confidence - 1e-12)


def test_the_score_by_hand():
    """Ten clips without groups. A tenth exceeds the ninth distance, 4, so κ is one half there."""
    p, distances = np.tile([0.8, 0.2], (10, 1)), np.r_[np.zeros(8), 4.0, 8.0]
    sets = fit_conformal(p, np.array(["a"] * 10), classes=("a", "b"), score="novelty", distances=distances)
    assert sets.familiarity == (4.0, pytest.approx(np.std(distances)))
    np.testing.assert_allclose(
        np.exp(-sets.nonconformity), 0.8 / (1 + np.exp(2 * (distances - 4) / np.std(distances)))
    )
    new, halves = (
        np.array([[0.41, 0.59], [0.82, 0.18]]),
        np.array([-9.0, 4.0]),
    )  # p·κ is 0.41 for both: κ is 1 and 1/2
    np.testing.assert_allclose(sets.p_values(new, halves)[:, 0], [3 / 11, 3 / 11], atol=1e-12)
    np.testing.assert_allclose(sets.p_values(np.array([[1.0, 0.0]]), np.array([99.0]))[0], 1 / 11)


def test_held_out_distances_are_as_large_as_those_of_new_clips():
    """With as many columns as clips, training clips are closer to their own covariance than new clips."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 60)), np.array(["a", "b"] * 40)
    distances = held_out_distances(X, y, grouped_folds(y, list(range(80)), n_splits=4, seed=0))
    found = Distance.fit(X, y)
    inside, fresh = found(X), found(rng.normal(size=(400, 60)))
    assert inside.mean() < distances.mean() - 3 * distances.std() / np.sqrt(80)
    assert abs(np.median(distances) - np.median(fresh)) < 0.5 * fresh.std()


def test_units_do_not_matter_and_gaps_are_allowed():
    X, y, _, _ = corpus()
    scales = 10.0 ** np.arange(-6, 6)
    np.testing.assert_allclose(
        Distance.fit(X * scales, y)(X * scales), Distance.fit(X, y)(X), rtol=1e-6, atol=1e-6
    )
    with_gap = X.copy()
    with_gap[0, 0] = np.nan
    assert np.isfinite(Distance.fit(with_gap, y)(with_gap)).all()


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)], ids=["more rows", "more columns"])
def test_the_distance_equals_the_relative_mahalanobis_distance(shape):
    """Compared with the definition, computed with numpy's inverse."""
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=shape), np.array(["a", "b"] * (shape[0] // 2))
    found = Distance.fit(X, y)
    z = found.preparation.transform(X) @ found.components.T
    assert np.sum((z - z.mean(axis=0)) ** 2) >= 0.9 * np.sum(
        (found.preparation.transform(X) - found.preparation.transform(X).mean(axis=0)) ** 2
    )
    within, overall = (np.linalg.inv(root @ root.T) for root in (found.within, found.overall))
    means = [z[y == c].mean(axis=0) for c in ("a", "b")]
    expected = [
        min((row - m) @ np.linalg.inv(within) @ (row - m) for m in means)
        - (row - z.mean(axis=0)) @ np.linalg.inv(overall) @ (row - z.mean(axis=0))
        for row in z
    ]
    np.testing.assert_allclose(found(X), expected, rtol=1e-6, atol=1e-6)


def test_classes_without_spread_give_finite_distances():
    """Nothing is divided by zero, and a point between the classes is far from both."""
    X, y = np.repeat(np.eye(2), 5, axis=0), np.repeat(["a", "b"], 5)
    near, between = Distance.fit(X, y)(np.array([[1.0, 0.0], [0.5, 0.5]]))
    assert np.isfinite([near, between]).all()
    assert between > near


def test_stored_arrays_and_json_restore_the_score():
    X, _, _, p = corpus(seed=2)
    distance, sets = fit()
    restored_distance, restored_sets = (
        Distance.restore(distance.arrays(), n_features=12),
        ConformalPredictor.from_json(json.loads(json.dumps(sets.to_json()))),
    )
    np.testing.assert_array_equal(
        restored_sets.out_of_class(p, restored_distance(X)), sets.out_of_class(p, distance(X))
    )


def test_damaged_arrays_are_refused():
    arrays = fit()[0].arrays()
    for change, message in (
        ({"means": None}, "'means'"),
        ({"components": arrays["components"][:, :-1]}, "do not fit"),
        ({"within": arrays["within"][:-1]}, "do not fit"),
        ({"overall": np.full_like(arrays["overall"], np.nan)}, "do not fit"),
        ({"preparation.kept": arrays["preparation.kept"] + 1}, "do not fit"),
    ):
        changed = {name: values for name, values in (arrays | change).items() if values is not None}
        with pytest.raises(ArtefactError, match=message):
            Distance.restore(changed, n_features=12)


def test_sets_without_distances_are_refused():
    (distance, sets), (X, y, _, p) = fit(), corpus()
    with pytest.raises(AlignmentError, match="one finite number for each of the 270"):
        sets.sets(p, 0.9)
    with pytest.raises(AlignmentError, match="one finite number for each of the 270"):
        sets.out_of_class(p, distance(X[:-1]))
    with pytest.raises(AlignmentError, match="one finite number"):
        sets.sets(p, 0.9, distances=np.full(len(p), np.nan))
    with pytest.raises(ConfigError, match="'novelty' without distances"):
        fit_conformal(p, y, classes=CLASSES, score="novelty")
    with pytest.raises(ConfigError, match="'lac' with distances"):
        fit_conformal(p, y, classes=CLASSES, distances=distance(X))
    with pytest.raises(AlignmentError, match="one row of features per label"):
        Distance.fit(X[1:], y)
    with pytest.raises(ArtefactError, match="scale"):
        ConformalPredictor.from_json(sets.to_json() | {"familiarity": {"centre": 1.0}})


def test_the_ensemble_has_distances_for_a_table_with_single_labels():
    X, y, group, _ = corpus()
    ensemble = EnsembleClassifier(("logistic_regression",), n_splits=3).fit(X, y, group)
    new, known = unknown_clips()[0], corpus(seed=3)[0]
    scores = [
        ensemble.conformal_.out_of_class(ensemble.predict_proba(rows), ensemble.distances(rows))
        for rows in (known, new)
    ]
    assert scores[1].mean() > scores[0].mean() + 0.2
    folds = grouped_folds(y, group.tolist(), n_splits=3, seed=0)
    np.testing.assert_allclose(ensemble.oof_distances_, held_out_distances(X, y, folds))
    with pytest.raises(ConfigError, match="Received no feature table"):
        ensemble.distances()
    tags = EnsembleClassifier(("logistic_regression",), n_splits=3).fit(
        X, (y[:, None] == np.array(["a", "b"])).astype(int), group
    )
    assert tags.conformal_ is None
    assert tags.distances(X) is None
