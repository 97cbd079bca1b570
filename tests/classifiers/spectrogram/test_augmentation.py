"""Augmentation of training patches: masks and mixtures."""

import numpy as np
import pytest

from quintet.classifiers.spectrogram.augmentation import Augmentation, mask_patches, mixup
from quintet.errors import ConfigError


def patches(n=50, bands=10, frames=20):
    return np.random.default_rng(0).normal(size=(n, bands, frames)).astype(np.float32) + 100


def test_a_mask_is_one_block_of_bands_and_one_of_frames_and_other_values_stay():
    before = patches()
    original = before.copy()
    after = mask_patches(before, np.random.default_rng(1), bands=3, frames=5)
    np.testing.assert_array_equal(before, original)
    masked = after == 0
    np.testing.assert_array_equal(after[~masked], before[~masked])
    bands, frames = masked.all(axis=2), masked.all(axis=1)
    np.testing.assert_array_equal(masked, bands[:, :, None] | frames[:, None, :])
    for block, most in ((bands, 3), (frames, 5)):
        assert set(block.sum(axis=1)) == set(range(most + 1))  # every width occurs
        n_edges = np.abs(np.diff(block.astype(int), axis=1)).sum(axis=1)
        assert (n_edges <= 2).all()  # one block


def test_patches_labels_and_weights_are_mixed_by_the_same_share():
    n = 200
    values = np.arange(n, dtype=np.float32)
    batch = (values[:, None, None], np.eye(n, dtype=np.float32), values)
    x, targets, weights = mixup(batch, np.random.default_rng(0), alpha=0.4)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-6)
    # The target of a row states of which rows it is a mixture, and with which shares.
    np.testing.assert_allclose(x[:, 0, 0], targets @ values, rtol=1e-4)
    np.testing.assert_allclose(weights, targets @ values, rtol=1e-4)
    assert ((targets > 0).sum(axis=1) == 2).mean() > 0.9


def test_no_augmentation_changes_nothing_and_unknown_names_are_refused():
    batch = (patches(4), np.eye(4, dtype=np.float32), np.ones(4, np.float32))
    assert Augmentation.from_settings(None)(batch, np.random.default_rng(0))[0] is batch[0]
    with pytest.raises(ConfigError, match="Did you mean 'mask_bands'"):
        Augmentation.from_settings({"mask_band": 3})
    with pytest.raises(ConfigError, match="mixup must be at least 0"):
        Augmentation.from_settings({"mixup": -1})
