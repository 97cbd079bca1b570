from __future__ import annotations

import numpy as np
import pytest

from quintet.features.descriptors.modulation import fluctuation_pattern, rate_weights

RATE = 22050 / 512
SETTINGS = {"frame_rate": RATE, "n_rates": 10, "limits_hz": (0.25, 20.0)}
EDGES = np.geomspace(0.25, 20.0, 11)


def pulse(hertz: float, seconds: float = 20.0, depth: float = 6.0) -> np.ndarray:
    return depth * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)[None]


@pytest.mark.parametrize("band", range(1, 10))
def test_a_pulse_is_strongest_in_its_rate_band(band):
    hertz = float(np.sqrt(EDGES[band] * EDGES[band + 1]))
    assert fluctuation_pattern(pulse(hertz), **SETTINGS)[0].argmax() == band


def test_twice_the_depth_is_six_decibels():
    quiet, loud = (fluctuation_pattern(pulse(4.0, depth=d), **SETTINGS)[0, 6] for d in (6.0, 12.0))
    assert loud - quiet == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_the_density_of_white_fluctuations_is_their_variance_over_the_band():
    noise = np.random.default_rng(0).standard_normal((8, 20000)) * 3.0
    expected = 10 * np.log10(9.0 / RATE)  # two-sided: variance spread over the frame rate
    np.testing.assert_allclose(fluctuation_pattern(noise, **SETTINGS).mean(axis=0)[1:], expected, atol=0.4)


@pytest.mark.parametrize("seconds", [8.0, 20.0, 61.0])
def test_the_length_of_the_clip_does_not_matter(seconds):
    noise = np.random.default_rng(0).standard_normal((200, int(seconds * RATE)))
    np.testing.assert_allclose(
        fluctuation_pattern(noise, **SETTINGS).mean(axis=0)[1:], 10 * np.log10(1 / RATE), atol=1.6
    )


def test_level_does_not_matter_and_a_constant_band_is_the_floor():
    bands = pulse(3.0)
    np.testing.assert_allclose(
        fluctuation_pattern(bands + 40, **SETTINGS), fluctuation_pattern(bands, **SETTINGS), atol=1e-6
    )
    np.testing.assert_allclose(fluctuation_pattern(np.full((2, 300), -7.5), **SETTINGS), -30.0, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 40, 256, 257, 511])
def test_any_length_is_finite(frames):
    pattern = fluctuation_pattern(np.random.default_rng(0).standard_normal((3, frames)), **SETTINGS)
    assert pattern.shape == (3, 10)
    assert np.isfinite(pattern).all()


def test_rate_weights_sum_to_one():
    weights = rate_weights(EDGES, RATE / 256, 129)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()
