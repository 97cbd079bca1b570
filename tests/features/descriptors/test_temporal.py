from __future__ import annotations

import librosa
import numpy as np
import pytest

from quintet.audio.clip import Clip
from quintet.features.descriptors.temporal import rms, zero_crossing_rate

FRAME = {"frame_length": 2048, "hop_length": 512}


def clips() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(20001) * 0.1
    return {
        "noise": noise,
        "gaps": np.where(np.arange(20001) % 3000 < 900, 0.0, noise),
        "tiny": noise * 1e-10,
        "dc": np.full(20001, 0.25),
        "nyquist": 0.5 * np.cos(np.pi * np.arange(20001)),
        "one frame": noise[:2048],
        "float32": noise.astype(np.float32),
    }


@pytest.mark.parametrize(("name", "samples"), clips().items())
def test_zero_crossings_and_rms_equal_librosa(name, samples):
    clip = Clip(samples, 22050)
    np.testing.assert_array_equal(
        zero_crossing_rate(clip, **FRAME), librosa.feature.zero_crossing_rate(samples)[0]
    )
    np.testing.assert_allclose(
        rms(clip, **FRAME), librosa.feature.rms(y=samples.astype(float), dtype=np.float64)[0], rtol=1e-12
    )


def test_gain_doubles_rms_and_does_not_change_crossings():
    samples = clips()["noise"]
    np.testing.assert_allclose(rms(Clip(2 * samples, 1000), **FRAME), 2 * rms(Clip(samples, 1000), **FRAME))
    np.testing.assert_array_equal(
        zero_crossing_rate(Clip(2 * samples, 1000), **FRAME), zero_crossing_rate(Clip(samples, 1000), **FRAME)
    )


def test_a_signal_that_changes_sign_at_every_sample_crosses_at_every_sample():
    alternating = Clip(np.tile([0.5, -0.5], 5000), 8000)
    assert zero_crossing_rate(alternating, **FRAME)[8] == 2047 / 2048
