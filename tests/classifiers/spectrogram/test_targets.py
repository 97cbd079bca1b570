"""Targets and weights: what a network is told of each clip, and how its verdicts are judged while it learns."""

import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from quintet.classifiers.networks.backend import load_keras
from quintet.classifiers.registry import make_member
from quintet.classifiers.spectrogram.targets import Rows, append_copies, mean_log_loss, tag_weights
from quintet.errors import ConfigError


def indicator(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((n, 4)) < [0.5, 0.1, 0.8, 0.3]).astype(np.float32)


def test_each_tag_is_balanced_as_a_problem_of_its_own():
    Y = indicator()
    for column, weights in zip(Y.T, tag_weights(Y).T, strict=True):
        np.testing.assert_allclose(
            weights,
            compute_class_weight("balanced", classes=np.array([0, 1]), y=column.astype(int)),
            rtol=1e-6,
        )
        assert weights[1] * column.sum() == pytest.approx(
            weights[0] * (1 - column).sum()
        )  # both sides weigh the same


def test_constant_tags_weigh_one():
    assert tag_weights(np.array([[1, 0], [1, 0], [1, 0]])).tolist() == [[1, 1], [1, 1]]


def test_weights_come_from_learners_and_their_copies_only():
    labels = np.array([0, 0, 0, 1, 1, 0])
    learners = np.array([0, 1, 3])  # two of class 0, one of class 1; clip 3 has two copies
    _, targets, learnt = append_copies(
        [np.zeros((1, 1))] * 6, labels, learners, ([np.zeros((1, 1))] * 3, np.array([3, 3, 5]))
    )
    assert learnt.tolist() == [0, 1, 3, 6, 7]  # the copy of clip 5, which is held out, is not learnt from
    rows = Rows.from_targets(targets, learnt, n_classes=2)
    expected = {0: 5 / (2 * 2), 1: 5 / (2 * 3)}
    assert rows.weights[learnt].tolist() == pytest.approx([expected[k] for k in targets[learnt]])
    assert Rows.from_targets(targets, learnt, n_classes=2, balanced=False).weights.tolist() == [1.0] * 9
    tags = np.eye(2, dtype=np.float32)[targets]
    np.testing.assert_allclose(Rows.from_targets(tags, learnt, n_classes=2).tags, tag_weights(tags[learnt]))


def test_the_loss_of_tags_is_keras_own_where_weights_are_one_and_a_weighted_log_loss_elsewhere():
    keras = load_keras()
    from quintet.classifiers.networks.losses import TagCrossentropy

    Y, logits = indicator(), np.random.default_rng(1).normal(0, 4, (40, 4)).astype(np.float32)
    plain = float(keras.losses.BinaryCrossentropy(from_logits=True)(Y, logits))
    assert float(TagCrossentropy(np.ones((2, 4), np.float32))(Y, logits)) == pytest.approx(plain, rel=1e-5)
    weights, said = tag_weights(Y), 1 / (1 + np.exp(-logits.astype(np.float64)))
    oracle = [
        log_loss(y, p, sample_weight=np.where(y > 0, w[1], w[0]))
        for y, p, w in zip(Y.T, said.T, weights.T, strict=True)
    ]
    assert float(TagCrossentropy(weights)(Y, logits)) == pytest.approx(
        np.mean(oracle), rel=1e-5
    )  # balanced weights sum to the number of clips
    assert float(TagCrossentropy(weights)(Y, logits * 100)) < 1e4  # finite where a sigmoid is 0 or 1


def test_a_rare_tags_misses_count_as_much_as_its_false_alarms():
    Y = np.zeros((10, 2))
    Y[0] = 1
    silent, loud = np.full((10, 2), 0.01), np.full((10, 2), 0.99)
    assert mean_log_loss(silent, Y) == pytest.approx(mean_log_loss(loud, Y))
    assert mean_log_loss(silent, Y, balanced=False) < mean_log_loss(loud, Y, balanced=False)
    assert mean_log_loss(silent, np.zeros((10, 2))) == pytest.approx(
        -np.log(0.99)
    )  # no clip with the tag: what there is, is judged
    assert mean_log_loss(silent, Y, balanced=False) == pytest.approx(
        np.mean([log_loss(y, p) for y, p in zip(Y.T, silent.T, strict=True)])
    )


def noisy(n=60):
    rng = np.random.default_rng(0)
    X = [rng.normal(-40, 5, (8, 16)).astype(np.float32) for _ in range(n)]
    rare = np.arange(n) % 10 == 0
    return X, np.stack([rare, ~rare], axis=1).astype(int)


def test_a_rare_tag_that_cannot_be_told_is_given_even_odds_when_balanced_and_its_share_otherwise():
    X, Y = noisy()
    settings = {
        "patch_frames": 16,
        "epochs": 30,
        "settings": {"filters": 2, "blocks": 1},
        "learning_rate": 0.03,
        "validation_share": 0.0,
    }
    means = {
        weight: make_member("vgg_small", **settings, augmentation=None, class_weight=weight)
        .fit(X, Y)
        .predict_proba(X)[:, 0]
        .mean()
        for weight in ("balanced", "none")
    }
    assert means["none"] < 0.25 < 0.35 < means["balanced"] < 0.65
    with pytest.raises(ConfigError, match="class weight must be one of"):
        make_member("vgg_small", **settings, class_weight="balance").fit(X, Y)
