from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import median_filter

from quintet.audio.clip import Clip
from quintet.errors import ConfigError
from quintet.features.columns import feature_names
from quintet.features.describe import describe
from quintet.features.descriptors import parts
from quintet.features.engine import passes
from quintet.features.parameters import FeatureParameters
from quintet.features.words import column_words

RATE = 22050
PARAMETERS = FeatureParameters(feature_set="wide", families=("parts",))


def levels(frames: int = 40, bands: int = 32, seed: int = 0) -> np.ndarray:
    return 20 * np.random.default_rng(seed).standard_normal((bands, frames)) - 30


def row(samples: np.ndarray) -> dict[str, float]:
    return dict(describe(Clip(samples.astype(np.float32), RATE), PARAMETERS).features)


@pytest.mark.parametrize("width", [7, 9])
def test_the_median_equals_numpys_and_scipys(width):
    values = np.random.default_rng(width).normal(size=(width, 500)).round(1)
    np.testing.assert_array_equal(parts.median_of(list(values)), np.median(values, axis=0))
    rows = levels()
    expected = median_filter(rows, (1, width), mode="nearest")
    np.testing.assert_array_equal(parts._running_median(rows, width), expected)


@pytest.mark.parametrize("compute", [parts.median_gaps, passes.median_gaps])
@pytest.mark.parametrize("shape", [(40, 60), (16, 1), (20, 8), (33, 9), (3, 5)])
def test_the_medians_of_bands_less_those_of_frames_equal_scipys(compute, shape):
    rows = np.random.default_rng(shape[0]).normal(size=shape).round(1)
    expected = median_filter(rows, (9, 1), mode="nearest") - median_filter(rows, (1, 7), mode="nearest")
    np.testing.assert_array_equal(compute(rows), expected)


def test_the_share_follows_from_the_medians_of_the_power():
    power = 10 ** (levels() / 10)
    harmonic = median_filter(power, (1, 7), mode="nearest") ** 2
    percussive = median_filter(power, (9, 1), mode="nearest") ** 2
    expected = harmonic / (harmonic + percussive)
    np.testing.assert_allclose(parts.harmonic_share(levels()), expected, rtol=1e-9)


def test_the_powers_of_both_parts_add_up_to_that_of_the_band():
    harmonic, percussive, share = parts.parts(levels(), top_db=None)
    whole = (10 ** (levels() / 10)).reshape(16, 2, -1).sum(axis=1)
    np.testing.assert_allclose(10 ** (harmonic / 10) + 10 ** (percussive / 10), whole, rtol=1e-9)
    np.testing.assert_allclose(10 ** (harmonic / 10) / whole, share, rtol=1e-9)


def test_a_gain_moves_the_levels_and_not_the_shares():
    quiet, loud = (parts.parts(levels() + gain, top_db=None) for gain in (0, 20))
    np.testing.assert_allclose(loud[0] - quiet[0], 20, atol=1e-9)
    np.testing.assert_allclose(loud[2], quiet[2], atol=1e-12)


def test_blocks_of_frames_change_nothing(monkeypatch):
    whole = parts.parts(levels(101), top_db=80.0)
    monkeypatch.setattr(parts, "BLOCK", 10)
    for one, other in zip(whole, parts.parts(levels(101), top_db=80.0), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_few_frames_and_uneven_bands_have_levels(frames):
    found = parts.parts(levels(frames, bands=37), top_db=80.0)
    assert all(part.shape == (16, frames) and np.isfinite(part).all() for part in found)


def test_a_tone_is_harmonic_and_clicks_are_percussive():
    tone = row(np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE))
    clicks = np.zeros(2 * RATE)
    clicks[4096::8192] = 1.0
    struck = row(clicks)
    assert tone["parts.share_03.mean"] > 0.9  # 440 Hz
    assert max(struck[f"parts.share_{k:02}.mean"] for k in range(8, 17)) < 0.5
    assert tone["parts.harmonic_03.mean"] > tone["parts.percussive_03.mean"] + 10


def test_columns_have_names_and_words():
    names = feature_names(PARAMETERS)
    assert len(names) == 16 * 5
    assert column_words("parts.harmonic_03.mean") == "level of steady tones from 426 to 632 Hz, average"
    assert all(column_words(name) for name in names)
    assert column_words("parts.share_17.mean") == ""


def test_too_few_bands_are_refused():
    with pytest.raises(ConfigError, match="16 mel bands"):
        FeatureParameters(feature_set="wide", n_mels=15, n_mfcc=10)
    assert FeatureParameters(feature_set="full", n_mels=15, n_mfcc=10).n_mels == 15


@pytest.mark.parametrize("lengths", [[40], [1] * 40, [2, 0, 5, 1, 30, 2], [3, 37], [38, 1, 1]])
def test_blocks_of_any_length_are_divided_like_the_whole(lengths):
    levels = np.random.default_rng(0).normal(scale=15, size=(33, 40))
    divider, begin, powers = parts.Divider(), 0, []
    for length in lengths:
        powers.append(divider.add(levels[:, begin : begin + length]))
        begin += length
    received = parts.part_levels(np.concatenate([*powers, divider.end()], axis=1), top_db=60.0)
    for row, expected in zip(received, parts.parts(levels, top_db=60.0), strict=True):
        np.testing.assert_array_equal(row, expected)
