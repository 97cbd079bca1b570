from __future__ import annotations

import librosa
import numpy as np
import pytest
import soxr

from quintet.audio.resample import resample, resample_blocks, to_mono


@pytest.mark.parametrize(
    ("orig_sr", "target_sr", "n"),
    [(44100, 22050, 44100), (44100, 22050, 10001), (48000, 22050, 4999), (8000, 22050, 7777)],
)
def test_resampling_equals_librosas(orig_sr, target_sr, n):
    samples = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    theirs = librosa.resample(samples, orig_sr=orig_sr, target_sr=target_sr, res_type="soxr_hq")
    np.testing.assert_array_equal(resample(samples, orig_sr=orig_sr, target_sr=target_sr), theirs)


def test_the_same_rate_gives_the_same_samples():
    samples = np.arange(5, dtype=np.float32)
    assert resample(samples, orig_sr=8000, target_sr=8000) is samples


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_mono_is_the_mean_of_the_channels(channels, dtype):
    rng = np.random.default_rng(1)
    samples = rng.integers(-32768, 32768, (1000, channels)).astype(dtype)
    scale = 32768 if dtype == np.int16 else 1
    mono = to_mono(samples)
    np.testing.assert_allclose(
        mono, samples.astype(np.float64).mean(axis=1) / scale, rtol=2e-6, atol=2e-6 * 32768 / scale
    )
    assert (mono.dtype, mono.shape) == (np.float32, (1000,))


def test_the_loudest_integers_stay_within_one():
    assert to_mono(np.array([[-32768, -32768], [32767, 32767]], np.int16)).tolist() == [-1.0, 32767 / 32768]


@pytest.mark.parametrize(
    ("orig_sr", "target_sr"), [(44100, 22050), (48000, 22050), (8000, 22050), (37011, 16000)]
)
@pytest.mark.parametrize("n", [1, 999, 100_001])
def test_blocks_give_what_soxr_gives_in_one_piece(orig_sr, target_sr, n):
    samples = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    length = -(-n * target_sr // orig_sr)
    expected = soxr.resample(samples, orig_sr, target_sr, quality="HQ")[:length]
    expected = np.pad(expected, (0, length - len(expected)))
    np.testing.assert_array_equal(resample(samples, orig_sr=orig_sr, target_sr=target_sr), expected)
    blocks = (samples[first : first + 7001] for first in range(0, n, 7001))
    np.testing.assert_array_equal(
        np.concatenate(list(resample_blocks(blocks, orig_sr=orig_sr, target_sr=target_sr))), expected
    )
