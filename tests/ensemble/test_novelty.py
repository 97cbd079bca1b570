"""Novelty: strangers that fool the probabilities are seen among the features; known clips are called strange as often as promised."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from quintet.datasets.splits import grouped_folds
from quintet.ensemble.novelty import Distance, Novelty, fit_novelty
from quintet.errors import AlignmentError, ArtefactError

CENTRES = 4 * np.eye(3, 12)


def corpus(n_groups=90, seed=0):
    """Three classes at three corners, groups of three clips that lie together, and what a sure classifier says of each clip."""
    rng = np.random.default_rng(seed)
    codes, group = np.repeat(np.arange(n_groups) % 3, 3), np.repeat(np.arange(n_groups), 3)
    X = CENTRES[codes] + rng.normal(size=(n_groups, 12))[group] + 0.5 * rng.normal(size=(3 * n_groups, 12))
    return X, np.array(["a", "b", "c"])[codes], group, opinions(X)


def opinions(X):
    z = X @ CENTRES.T
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def fitted(seed=0):
    X, y, group, p = corpus(seed=seed)
    return fit_novelty(X, y, group, p, folds=grouped_folds(y, group.tolist(), n_splits=5, seed=0))


def strangers(n=60):
    """Deep on one side of every boundary, and far away in directions that no boundary looks at."""
    X = CENTRES[np.zeros(n, int)] * 1.5 + np.r_[np.zeros(3), np.full(9, 3.0)] + np.random.default_rng(1).normal(size=(n, 12))
    return X, opinions(X)


def test_strangers_that_fool_the_probabilities_are_found():
    found, (new, said), (X, _, _, p) = fitted(), strangers(), corpus(seed=1)
    is_new = np.r_[np.zeros(len(X)), np.ones(len(new))]
    assert roc_auc_score(is_new, np.r_[1 - p.max(axis=1), 1 - said.max(axis=1)]) < 0.5
    assert roc_auc_score(is_new, np.r_[found.out_of_class(X, p), found.out_of_class(new, said)]) > 0.8


def test_doubt_counts_too():
    X, _, _, p = corpus(seed=1)
    found, doubtful = fitted(), np.full_like(p, 1 / 3)
    assert (found.out_of_class(X, doubtful) >= found.out_of_class(X, p)).all()
    assert found.out_of_class(X, doubtful).mean() > 0.8


def test_known_clips_are_called_strange_as_often_as_promised():
    """Twenty corpora: a score of 0.9 or more, on new groups, for about a tenth of the clips."""
    shares = []
    for seed in range(20):
        X, _, _, p = corpus(seed=100 + seed)
        shares.append(np.mean(fitted(seed).out_of_class(X, p) >= 0.9))
    assert 0.06 < np.mean(shares) < 0.12


def test_the_distance_is_judged_out_of_fold():
    """With as many columns as clips, the clips that a covariance was learnt from lie closer to it than any new one."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 60)), np.array(["a", "b"] * 40)
    found = fit_novelty(X, y, None, np.full((80, 2), 0.5), folds=grouped_folds(y, list(range(80)), n_splits=4, seed=0))
    inside, fresh = Distance.fit(X, y)(X), found.distance(rng.normal(size=(400, 60)))
    assert inside.mean() < found.distances.mean() - 3 * found.distances.std() / np.sqrt(80)
    assert abs(np.median(found.distances) - np.median(fresh)) < 0.5 * fresh.std()


def test_units_and_gaps_do_not_matter():
    X, y, _, _ = corpus()
    scales = 10.0 ** np.arange(-6, 6)
    np.testing.assert_allclose(Distance.fit(X * scales, y)(X * scales), Distance.fit(X, y)(X), rtol=1e-6, atol=1e-6)
    with_gap = X.copy()
    with_gap[0, 0] = np.nan
    assert np.isfinite(Distance.fit(with_gap, y)(with_gap)).all()


def test_arrays_give_back_the_same_score():
    X, _, _, p = corpus(seed=2)
    found = fitted()
    np.testing.assert_array_equal(Novelty.restore(found.arrays()).out_of_class(X, p), found.out_of_class(X, p))
    with pytest.raises(ArtefactError, match="'means'"):
        Novelty.restore({name: values for name, values in found.arrays().items() if name != "means"})


def test_rows_that_do_not_match_are_refused():
    X, y, group, p = corpus()
    with pytest.raises(AlignmentError, match="269 features"):
        fit_novelty(X[1:], y, group, p, folds=[])
