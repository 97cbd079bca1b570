from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quintet.audio.clip import Clip, require_sound
from quintet.errors import ConfigError, NonFiniteError, SilentError


@pytest.mark.parametrize(
    ("n", "length_s", "hop_s"),
    [(100, 3.0, 1.0), (101, 3.0, 2.0), (95, 3.0, 3.0), (30, 3.0, 1.0), (31, 3.0, 1.0)],
)
def test_segments_have_one_length_and_leave_no_sample_out(n, length_s, hop_s):
    clip = Clip(np.arange(n, dtype=np.float32), 10, "c")
    segments = list(clip.segments(length_s, hop_s))
    assert {len(s.samples) for s in segments} == {30}
    assert set(np.concatenate([s.samples for s in segments])) == set(range(n))
    assert len({s.id for s in segments}) == len(segments)


def test_a_short_clip_is_its_own_segment():
    clip = Clip(np.ones(7, np.float32), 10, "c")
    assert next(clip.segments(3.0, 1.0)) is clip


@pytest.mark.parametrize(("length_s", "hop_s"), [(0, 1), (1, 0), (-1, 1)])
def test_segments_that_cannot_be_are_refused(length_s, hop_s):
    with pytest.raises(ConfigError, match="positive seconds"):
        list(Clip(np.ones(70), 10).segments(length_s, hop_s))


def test_two_channels_and_rate_zero_are_refused():
    with pytest.raises(ConfigError, match="mix to mono first"):
        Clip(np.ones((4, 2)), 10)
    with pytest.raises(ConfigError, match="positive number of Hz"):
        Clip(np.ones(4), 0)


def test_sound_is_finite_and_not_silent():
    require_sound(np.array([0, 0, 1], np.int16), name="a")
    with pytest.raises(SilentError, match="'a' is silent"):
        require_sound(np.zeros(3, np.int16), name="a")
    with pytest.raises(NonFiniteError, match="'a' holds 1 NaN or infinite samples of 2"):
        require_sound(np.array([1.0, np.inf]), name="a")


@pytest.mark.parametrize(
    "samples",
    [
        np.array([0, 16384, -16384], np.int16),  # as scipy.io.wavfile reads them
        np.array([128, 255, 0], np.uint8),
        np.array([True, False]),
        np.array([0.5, 0.5j]),
        ["a", "b"],
        "tone.wav",
        None,
    ],
)
def test_samples_of_another_scale_are_refused(samples):
    with pytest.raises(ConfigError, match=r"(?s)full scale|\(n,\)"):
        Clip(samples, 22050, "a")


@pytest.mark.parametrize("rate", ["22050", True, None, float("nan"), float("inf"), -1])
def test_a_rate_is_a_positive_number(rate):
    with pytest.raises(ConfigError, match="number of Hz"):
        Clip(np.ones(4), rate)


@pytest.mark.parametrize("kind", [list, pd.Series, np.float16, ">f4", np.float32])
def test_samples_of_any_container(kind):
    values = np.array([0.5, -0.25, 0.125])
    samples = kind(values) if kind in (list, pd.Series) else values.astype(kind)
    clip = Clip(samples, 22050)
    assert clip.samples.dtype in (np.float32, np.float64)
    assert clip.samples.dtype.isnative
    assert clip.samples.tolist() == values.tolist()
