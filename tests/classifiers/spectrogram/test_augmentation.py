"""Masks and mixtures of training patches."""

import numpy as np
import pytest

from quintet.classifiers.spectrogram.augmentation import Augmentation, mask_patches, mixup
from quintet.errors import ConfigError


def patches(n=50, bands=10, frames=20):
    return np.random.default_rng(0).normal(size=(n, bands, frames)).astype(np.float32) + 100


def test_masks_are_one_block_of_bands_and_one_of_frames_and_nothing_else_moves():
    before = patches()
    kept = before.copy()
    after = mask_patches(before, np.random.default_rng(1), bands=3, frames=5)
    np.testing.assert_array_equal(before, kept)
    hidden = after == 0
    np.testing.assert_array_equal(after[~hidden], before[~hidden])
    bands, frames = hidden.all(axis=2), hidden.all(axis=1)
    np.testing.assert_array_equal(hidden, bands[:, :, None] | frames[:, None, :])
    for block, most in ((bands, 3), (frames, 5)):
        assert set(block.sum(axis=1)) == set(range(most + 1))  # every width is drawn
        assert (np.abs(np.diff(block.astype(int), axis=1)).sum(axis=1) <= 2).all()  # in one piece


def test_mixtures_mix_patches_and_labels_by_the_same_share():
    n = 200
    values = np.arange(n, dtype=np.float32)
    x, targets, weights = mixup(
        values[:, None, None], np.eye(n, dtype=np.float32), values, np.random.default_rng(0), alpha=0.4
    )
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(
        x[:, 0, 0], targets @ values, rtol=1e-4
    )  # the label says of which rows, and how much
    np.testing.assert_allclose(weights, targets @ values, rtol=1e-4)
    assert ((targets > 0).sum(axis=1) == 2).mean() > 0.9


def test_off_is_off_and_unknown_names_are_refused():
    x = patches(4)
    targets, weights = np.eye(4, dtype=np.float32), np.ones(4, np.float32)
    assert Augmentation.from_settings(None)(x, targets, weights, np.random.default_rng(0))[0] is x
    with pytest.raises(ConfigError, match="Did you mean 'mask_bands'"):
        Augmentation.from_settings({"mask_band": 3})
    with pytest.raises(ConfigError, match="at least 0"):
        Augmentation.from_settings({"mixup": -1})
