"""Targets and weights of clips, and the loss on held-out clips."""

import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from quintet.classifiers.networks.backend import load_keras
from quintet.classifiers.registry import make_member
from quintet.classifiers.spectrogram.sequences import as_sequence
from quintet.classifiers.spectrogram.targets import Rows, append_copies, tag_weights
from quintet.classifiers.spectrogram.validation import mean_log_loss
from quintet.errors import ConfigError


def indicator(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((n, 4)) < [0.5, 0.1, 0.8, 0.3]).astype(np.float32)


def silent_clips(n):
    return as_sequence([np.zeros((1, 1), np.float32)] * n)


def test_each_tag_is_balanced_as_a_problem_of_its_own():
    Y = indicator()
    for column, weights in zip(Y.T, tag_weights(Y).T, strict=True):
        expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=column.astype(int))
        np.testing.assert_allclose(weights, expected, rtol=1e-6)
        # Presence and absence have the same total weight.
        assert weights[1] * column.sum() == pytest.approx(weights[0] * (1 - column).sum())


def test_constant_tags_have_weight_one():
    assert tag_weights(np.array([[1, 0], [1, 0], [1, 0]])).tolist() == [[1, 1], [1, 1]]


def test_weights_come_from_learners_and_their_copies_only():
    labels = np.array([0, 0, 0, 1, 1, 0])
    learners = np.array([0, 1, 3])  # two of class 0, one of class 1
    copies = (silent_clips(3), np.array([3, 3, 5]))  # clip 5 is held out
    _, targets, learners = append_copies(silent_clips(6), labels, learners, copies)
    assert learners.tolist() == [0, 1, 3, 6, 7]
    rows = Rows.from_targets(targets, learners, n_classes=2)
    expected = {0: 5 / (2 * 2), 1: 5 / (2 * 3)}
    assert rows.weights[learners].tolist() == pytest.approx([expected[k] for k in targets[learners]])
    assert Rows.from_targets(targets, learners, n_classes=2, balanced=False).weights.tolist() == [1.0] * 9
    tags = np.eye(2, dtype=np.float32)[targets]
    actual = Rows.from_targets(tags, learners, n_classes=2).tags
    np.testing.assert_allclose(actual, tag_weights(tags[learners]))


def test_the_loss_of_tags_equals_keras_without_weights_and_a_weighted_log_loss_with_weights():
    keras = load_keras()
    from quintet.classifiers.networks.losses import TagCrossentropy

    Y, logits = indicator(), np.random.default_rng(1).normal(0, 4, (40, 4)).astype(np.float32)
    plain = float(keras.losses.BinaryCrossentropy(from_logits=True)(Y, logits))
    assert float(TagCrossentropy(np.ones((2, 4), np.float32))(Y, logits)) == pytest.approx(plain, rel=1e-5)
    weights, probabilities = tag_weights(Y), 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = [
        log_loss(y, p, sample_weight=np.where(y > 0, w[1], w[0]))
        for y, p, w in zip(Y.T, probabilities.T, weights.T, strict=True)
    ]
    # Balanced weights sum to the number of clips, so the two means are equal.
    actual = float(TagCrossentropy(weights)(Y, logits))
    assert actual == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(TagCrossentropy(weights)(Y, logits * 100)) < 1e4  # finite where a sigmoid is 0 or 1


def test_misses_of_a_rare_tag_count_as_much_as_false_alarms():
    Y = np.zeros((10, 2))
    Y[0] = 1
    low, high = np.full((10, 2), 0.01), np.full((10, 2), 0.99)
    assert mean_log_loss(low, Y) == pytest.approx(mean_log_loss(high, Y))
    assert mean_log_loss(low, Y, balanced=False) < mean_log_loss(high, Y, balanced=False)
    by_tag = [log_loss(y, p) for y, p in zip(Y.T, low.T, strict=True)]
    assert mean_log_loss(low, Y, balanced=False) == pytest.approx(np.mean(by_tag))


def test_a_tag_that_no_clip_has_is_scored_on_the_clips_without_it():
    assert mean_log_loss(np.full((10, 2), 0.01), np.zeros((10, 2))) == pytest.approx(-np.log(0.99))


def noise(n=60):
    """Clips that do not depend on their tags; one in ten has the first tag."""
    rng = np.random.default_rng(0)
    X = [rng.normal(-40, 5, (8, 16)).astype(np.float32) for _ in range(n)]
    rare = np.arange(n) % 10 == 0
    return X, np.stack([rare, ~rare], axis=1).astype(int)


@pytest.mark.slow
def test_an_unpredictable_rare_tag_gets_one_half_if_balanced_and_otherwise_its_share():
    X, Y = noise()
    settings = {
        "patch_frames": 16,
        "epochs": 30,
        "settings": {"filters": 2, "blocks": 1},
        "learning_rate": 0.03,
        "validation_share": 0.0,
        "augmentation": None,
    }
    means = {}
    for class_weight in ("balanced", "none"):
        member = make_member("vgg_small", **settings, class_weight=class_weight).fit(X, Y)
        means[class_weight] = member.predict_proba(X)[:, 0].mean()
    assert means["none"] < 0.25 < 0.35 < means["balanced"] < 0.65
    with pytest.raises(ConfigError, match="class weight must be one of"):
        make_member("vgg_small", **settings, class_weight="balance").fit(X, Y)
