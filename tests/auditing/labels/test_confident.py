"""Confident learning: closed forms, and planted errors come first."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.auditing.labels.confident import class_doubts, tag_doubts
from quintet.errors import AlignmentError


def sharp(codes: np.ndarray, n_classes: int, certainty: float) -> np.ndarray:
    """Probabilities that give `certainty` to the true class."""
    rest = (1 - certainty) / (n_classes - 1)
    return np.where(np.eye(n_classes, dtype=bool)[codes], certainty, rest)


def test_the_joint_counts_planted_errors_exactly() -> None:
    truth = np.repeat(np.arange(4), 25)
    labels = truth.copy()
    wrong = np.array([3, 30, 31, 77])
    labels[wrong] = (truth[wrong] + 1) % 4
    doubts = class_doubts(sharp(truth, 4, 0.85), labels)
    assert np.flatnonzero(doubts.is_suspect).tolist() == wrong.tolist()
    assert doubts.rival[wrong].tolist() == truth[wrong].tolist()
    assert doubts.n_wrong == pytest.approx(4)
    assert set(np.argsort(doubts.support)[:4]) == set(wrong.tolist())


def test_the_estimate_scales_each_row_of_the_joint_to_its_class() -> None:
    """Three clips of the first class are confident, one of them of another class; six more say nothing."""
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], *[[0.5, 0.5]] * 6, [0.1, 0.9], [0.1, 0.9]])
    codes = np.array([0] * 9 + [1] * 2)
    doubts = class_doubts(p, codes)
    assert np.flatnonzero(doubts.is_suspect).tolist() == [2]
    thresholds = p[:9, 0].mean(), 0.9
    assert doubts.support[[0, 9]].tolist() == pytest.approx([0.9 / thresholds[0] / 0.1, 1.0 / 0.1])
    confident_rows = int((p[:9, 0] >= thresholds[0]).sum()) + 1
    assert doubts.n_wrong == pytest.approx(9 * 1 / confident_rows)


def test_a_class_that_is_never_confident_is_not_suspected_as_a_whole() -> None:
    hard = np.full((20, 2), [0.4, 0.6])
    easy = np.full((20, 2), [0.02, 0.98])
    doubts = class_doubts(np.concatenate([hard, easy]), np.repeat([0, 1], 20))
    assert not doubts.is_suspect.any()  # the most probable class would be wrong for all twenty
    assert np.allclose(doubts.support, np.repeat([1 / 0.6, 1 / 0.02], 20))


def test_names_of_classes_and_order_of_clips_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), 200)
    codes = rng.integers(0, 5, 200)
    doubts = class_doubts(p, codes)
    rows, names = rng.permutation(200), rng.permutation(5)
    place = np.argsort(names)
    other = class_doubts(p[rows][:, names], place[codes[rows]])
    assert np.allclose(other.support, doubts.support[rows])
    assert np.array_equal(other.is_suspect, doubts.is_suspect[rows])
    assert np.array_equal(names[other.rival], doubts.rival[rows])
    assert other.n_wrong == pytest.approx(doubts.n_wrong)


def test_a_tag_is_a_question_of_two_classes() -> None:
    rng = np.random.default_rng(1)
    indicator = rng.random((80, 3)) < 0.4
    p = np.where(indicator, 0.8, 0.1)
    given = indicator.copy()
    given[5, 1], given[6, 2] = not given[5, 1], not given[6, 2]
    doubts = tag_doubts(p, given)
    assert np.flatnonzero(doubts.is_suspect).tolist() == [5, 6]
    assert doubts.rival[[5, 6]].tolist() == [1, 2]
    assert doubts.n_wrong == pytest.approx(2)


def test_a_tag_that_all_clips_have_says_nothing() -> None:
    indicator = np.array([[True, True], [True, False], [True, True]])
    doubts = tag_doubts(np.array([[0.1, 0.9], [0.2, 0.1], [0.3, 0.9]]), indicator)
    assert doubts.rival.tolist() == [1, 1, 1]
    assert not doubts.is_suspect.any()


@pytest.mark.parametrize(("p", "codes"), [(np.ones((3, 1)), [0, 0, 0]), (np.ones((3, 2)) / 2, [0, 1])])
def test_labels_without_a_row_are_refused(p: np.ndarray, codes: list[int]) -> None:
    with pytest.raises(AlignmentError, match="one row of two or more"):
        class_doubts(p, np.array(codes))
