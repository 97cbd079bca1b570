"""Pooling: one row per track, whatever the order of its segments."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from quintet.classifiers.spectrogram.pooling import POOLING, Neighbours, pool
from quintet.errors import AlignmentError, ConfigError, DatasetError

CLASSES = ("a", "b", "c")


def segments(n=40, seed=0):
    rng = np.random.default_rng(seed)
    tracks = np.array([f"t{i}" for i in rng.integers(0, 8, n)])
    return rng.dirichlet(np.ones(3), n), tracks, np.array(CLASSES)[rng.integers(0, 3, n)]


@pytest.mark.parametrize("rule", POOLING)
def test_the_order_of_segments_does_not_matter(rule):
    p, tracks, y = segments()
    neighbours = Neighbours.from_labels(p, y, classes=CLASSES, k=5)
    order = np.random.default_rng(1).permutation(len(p))
    one, two = (
        pool(p, tracks, rule=rule, neighbours=neighbours),
        pool(p[order], tracks[order], rule=rule, neighbours=neighbours),
    )
    row = dict(zip(two.tracks, two.probabilities, strict=True))
    assert list(one.tracks) == list(dict.fromkeys(tracks))
    for name, values in zip(one.tracks, one.probabilities, strict=True):
        np.testing.assert_allclose(values, row[name], atol=1e-12)
    np.testing.assert_allclose(one.probabilities.sum(axis=1), 1)


def test_average_and_vote_by_hand():
    p = np.array([[0.4, 0.6, 0.0], [0.4, 0.6, 0.0], [1.0, 0.0, 0.0]])
    assert pool(p, np.array([7, 7, 7])).probabilities[0] == pytest.approx([0.6, 0.4, 0.0])
    assert pool(p, np.array([7, 7, 7]), rule="vote").probabilities[0] == pytest.approx([1 / 3, 2 / 3, 0.0])


def test_neighbours_equal_scikit_learn():
    p, tracks, y = segments(200)
    test, _, _ = segments(30, seed=2)
    oracle = KNeighborsClassifier(7).fit(p, y).predict_proba(test)
    found = Neighbours.from_labels(p, y, classes=CLASSES, k=7).probabilities(test)
    np.testing.assert_allclose(found, oracle, atol=1e-12)
    pooled = pool(
        test, np.repeat("x", 30), rule="knn", neighbours=Neighbours.from_labels(p, y, classes=CLASSES, k=7)
    )
    np.testing.assert_allclose(pooled.probabilities[0], oracle.mean(axis=0), atol=1e-12)
    assert len(tracks) == 200


def test_one_segment_a_track_is_itself():
    p, _, _ = segments()
    np.testing.assert_array_equal(
        pool(p.astype(np.float32), np.arange(40)).probabilities, p.astype(np.float32)
    )


def test_bad_input_is_refused():
    p, tracks, y = segments()
    with pytest.raises(ConfigError, match="Did you mean 'average'"):
        pool(p, tracks, rule="averag")
    with pytest.raises(AlignmentError, match="one track per segment"):
        pool(p, tracks[:-1])
    with pytest.raises(DatasetError, match="Give `neighbours`"):
        pool(p, tracks, rule="knn")
    with pytest.raises(DatasetError, match="k = 50"):
        Neighbours.from_labels(p, y, classes=CLASSES, k=50)
