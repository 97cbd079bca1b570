"""Pooling: predictions for segments by average, vote and nearest neighbours, and their mean by clip."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from quintet.classifiers.spectrogram.pooling import Neighbours, mean_by_clip, segment_predictions
from quintet.errors import DatasetError


def segments(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(3), n), rng.integers(0, 3, n)


def test_average_and_vote_of_three_segments():
    p = np.array([[0.4, 0.6, 0.0], [0.4, 0.6, 0.0], [1.0, 0.0, 0.0]])
    owners = np.zeros(3, np.int64)
    average = mean_by_clip(segment_predictions(p, rule="average"), owners, 1)
    vote = mean_by_clip(segment_predictions(p, rule="vote"), owners, 1)
    assert average[0] == pytest.approx([0.6, 0.4, 0.0])
    assert vote[0] == pytest.approx([1 / 3, 2 / 3, 0.0])


def test_the_order_of_segments_does_not_matter():
    p, _ = segments(40)
    owners = np.random.default_rng(1).integers(0, 8, 40)
    order = np.random.default_rng(2).permutation(40)
    expected = mean_by_clip(p, owners, 8)
    np.testing.assert_allclose(mean_by_clip(p[order], owners[order], 8), expected, atol=1e-12)


def test_nearest_neighbours_equal_scikit_learn():
    scores, codes = segments(200)
    new, _ = segments(30, seed=2)
    expected = KNeighborsClassifier(7).fit(scores, codes).predict_proba(new)
    actual = segment_predictions(new, rule="knn", neighbours=Neighbours(scores, codes, k=7))
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_nearest_neighbours_need_training_segments():
    with pytest.raises(DatasetError, match="neighbours"):
        segment_predictions(segments(3)[0], rule="knn")
