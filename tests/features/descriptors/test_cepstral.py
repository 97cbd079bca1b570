from __future__ import annotations

import librosa
import numpy as np
import pytest

from quintet.features.descriptors.cepstral import delta, mfcc


@pytest.mark.parametrize("n_mfcc", [13, 20])
def test_mfcc_equal_librosa(n_mfcc):
    decibels = np.random.default_rng(0).standard_normal((128, 40)) * 20 - 30
    np.testing.assert_allclose(
        mfcc(decibels, n_mfcc=n_mfcc), librosa.feature.mfcc(S=decibels, n_mfcc=n_mfcc), rtol=1e-12, atol=1e-12
    )


def test_gain_moves_only_the_first_coefficient():
    decibels = np.random.default_rng(0).standard_normal((128, 5))
    difference = mfcc(decibels + 6.0, n_mfcc=20) - mfcc(decibels, n_mfcc=20)
    np.testing.assert_allclose(difference[0], 6.0 * np.sqrt(128), rtol=1e-12)
    np.testing.assert_allclose(difference[1:], 0.0, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("frames", [9, 10, 61])
def test_deltas_equal_librosa(order, frames):
    series = np.random.default_rng(0).standard_normal((20, frames)).cumsum(axis=1)
    np.testing.assert_allclose(
        delta(series, order=order), librosa.feature.delta(series, order=order), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("frames", range(3, 12))
def test_a_line_of_any_length_has_its_slope_everywhere(frames):
    line = 3.0 * np.arange(frames)[None] + 7
    np.testing.assert_allclose(delta(line, order=1), 3.0, rtol=1e-12)
    np.testing.assert_allclose(delta(line, order=2), 0.0, atol=1e-12)
    np.testing.assert_allclose(delta(line**2, order=2), 18.0, rtol=1e-10)


@pytest.mark.parametrize("frames", [1, 2])
def test_one_or_two_frames_have_no_slope(frames):
    assert not delta(np.ones((4, frames)) * 5, order=1).any()
