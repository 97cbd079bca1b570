"""Choice of clips to label: what a clip adds, in closed form and on clusters."""

from __future__ import annotations

import numpy as np
import pytest

from quintet.labelling.choice import choose, doubts


def clusters(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tight clusters far apart, and the cluster of each clip."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    centres = 20.0 * np.eye(len(sizes), max(len(sizes), 40))
    return centres[owner] + rng.normal(0, 0.3, (len(owner), centres.shape[1])), owner


def test_no_two_choices_are_of_one_cluster_while_others_are_left() -> None:
    points, owner = clusters([30, 20, 12, 8, 8])
    chosen = choose(points, np.ones(len(points)), np.empty((0, 0)), 5)
    assert sorted(owner[chosen]) == [0, 1, 2, 3, 4]
    assert owner[chosen[0]] == 0  # the densest cluster first


def test_a_labelled_cluster_is_left_alone() -> None:
    points, owner = clusters([30, 20, 12])
    chosen = choose(points, np.ones(len(points)), points[owner == 0][:3] + 0.01, 2)
    assert sorted(owner[chosen]) == [1, 2]


def test_doubt_decides_between_equal_clusters() -> None:
    points, owner = clusters([20, 20])
    for doubtful in (0, 1):
        weights = np.where(owner == doubtful, 0.9, 0.1)
        assert owner[choose(points, weights, np.empty((0, 0)), 1)].tolist() == [doubtful]


def test_each_choice_adds_most() -> None:
    """The first choice is the best single clip, and the greedy pair is at least as good as any first pair."""
    rng = np.random.default_rng(1)
    points, weights = rng.normal(size=(25, 3)), rng.random(25)
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).mean(axis=2))
    width = np.median(np.sort(distances, axis=1)[:, 5])
    similarity = np.exp(-((distances / width) ** 2) / 2)
    first, second = choose(points, weights, np.empty((0, 3)), 2)
    assert first == int((weights @ similarity).argmax())
    gains = [weights @ np.maximum(similarity[:, first], similarity[:, j]) for j in range(25)]
    assert second == int(np.argmax(gains))


def test_order_of_clips_does_not_matter_and_none_is_chosen_twice() -> None:
    rng = np.random.default_rng(2)
    points, weights = rng.normal(size=(60, 50)), rng.random(60)
    labelled = rng.normal(size=(10, 50))
    chosen = choose(points, weights, labelled, 60)
    assert sorted(chosen) == list(range(60))
    order = rng.permutation(60)
    assert order[choose(points[order], weights[order], labelled, 8)].tolist() == chosen[:8].tolist()


def test_equal_clips_and_few_clips_are_no_problem() -> None:
    assert sorted(choose(np.zeros((3, 4)), np.zeros(3), np.empty((0, 0)), 5)) == [0, 1, 2]
    assert choose(np.zeros((1, 4)), np.ones(1), np.zeros((2, 4)), 1).tolist() == [0]


def test_doubts_of_classes_and_tags() -> None:
    p = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert doubts(p, multilabel=False).tolist() == [1.0, 0.0]
    assert doubts(p, multilabel=True) == pytest.approx([2 / 3, 0.0])
    members = np.array([[[0.9, 0.1], [0.9, 0.1]], [[0.9, 0.1], [0.1, 0.9]]])  # they agree, and they do not
    agreed, disputed = doubts(members.mean(axis=1), multilabel=False)
    assert disputed > agreed
