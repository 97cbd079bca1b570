"""Windows of a clip: equal to librosa's log-mel values, spread over the clip, and short clips."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest

from quintet.embeddings.front_end import clip_windows, window_starts, window_times
from quintet.errors import TooShortError
from tests.embeddings.test_contract import LOG_MEL, contract

RATE = 16000


def noise(seconds: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=int(seconds * RATE)).astype(np.float32) / 4


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"mel_scale": "htk", "norm": "none", "power": 1, "compression": "ln", "scale": 1.0, "offset": 0.01},
        {"win_length": 400, "fmin": 125.0, "fmax": 7500.0, "n_mels": 64},
        {"center": False, "hop_frames": 50},
        {"compression": "none"},
    ],
)
def test_windows_are_those_of_librosa(form: dict[str, Any]) -> None:
    form = LOG_MEL | {"frames": 40, "hop_frames": 20} | form
    samples = noise(2.0)
    windows = clip_windows(samples, contract(input=form), "all")
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=RATE,
        n_fft=512,
        hop_length=256,
        win_length=form.get("win_length"),
        center=form.get("center", True),
        n_mels=form["n_mels"],
        fmin=form.get("fmin", 0.0),
        fmax=form.get("fmax"),
        htk=form.get("mel_scale") == "htk",
        norm=None if form.get("norm") == "none" else "slaney",
        power=form.get("power", 2),
        dtype=np.float64,
    ).T
    compress = {"log10": np.log10, "ln": np.log, "none": lambda x: x}[form.get("compression", "log10")]
    expected = compress(form["scale"] * mel + form["offset"]) if form.get("compression") != "none" else mel
    starts = range(0, len(expected) - 39, form["hop_frames"])
    assert len(windows) == len(starts)
    for window, start in zip(windows, starts, strict=True):
        np.testing.assert_allclose(window, expected[start : start + 40], rtol=1e-5, atol=1e-6)


def test_spread_windows_are_windows_of_the_whole() -> None:
    terms = contract(input=LOG_MEL | {"frames": 20, "hop_frames": 1})
    samples = noise(3.0)
    spread, every = clip_windows(samples, terms, 5), clip_windows(samples, terms, "all")
    starts = window_starts(3 * RATE // 256 + 1, 20, 1, 5)
    np.testing.assert_array_equal(spread, every[starts])
    np.testing.assert_allclose(window_times(len(samples), terms, 5), starts * 0.016)
    assert starts[0] == 0
    assert starts[-1] == len(every) - 1


def test_the_order_of_axes_and_the_channel() -> None:
    plain = clip_windows(noise(1.0), contract(input=LOG_MEL | {"frames": 30}), 2)
    turned = clip_windows(noise(1.0), contract(input=LOG_MEL | {"frames": 30, "layout": "mel_time"}), 2)
    np.testing.assert_array_equal(turned, plain.transpose(0, 2, 1))
    for place, shape in (("first", (2, 1, 30, 96)), ("last", (2, 30, 96, 1))):
        form = LOG_MEL | {"frames": 30, "channel_axis": place}
        assert clip_windows(noise(1.0), contract(input=form), 2).shape == shape


def test_short_clips_are_repeated_padded_or_refused() -> None:
    form = {"kind": "waveform", "samples": 1000, "hop_samples": 500}
    samples = noise(1.0)[:600]
    repeated = clip_windows(samples, contract(input=form, shortest_s=0.0), "all")
    np.testing.assert_array_equal(repeated[0], np.r_[samples, samples[:400]])
    zero = clip_windows(samples, contract(input=form, shortest_s=0.0, short_clips="zero"), "all")
    np.testing.assert_array_equal(zero[0], np.r_[samples, np.zeros(400)])
    for terms in (contract(input=form, short_clips="refuse", shortest_s=0.0), contract(input=form)):
        with pytest.raises(TooShortError, match=r"0\.04 s"):
            clip_windows(samples, terms, "all")


def test_the_end_of_a_clip_is_dropped_or_fills_a_window() -> None:
    form = {"kind": "waveform", "samples": 1000, "hop_samples": 800}
    samples = noise(1.0)[:2100]  # whole windows start at 0 and 800; 300 samples are behind them
    received = {}
    for clip_end in ("drop", "zero", "repeat"):
        terms = contract(input=form, shortest_s=0.0, clip_end=clip_end)
        received[clip_end] = clip_windows(samples, terms, "all")
        assert len(window_times(2100, terms, "all")) == len(received[clip_end])
        assert len(clip_windows(samples[:1800], terms, "all")) == 2, "nothing is left"
        np.testing.assert_array_equal(clip_windows(samples, terms, 2), [samples[:1000], samples[1100:]])
    rest = samples[1600:]
    np.testing.assert_array_equal(received["drop"], [samples[:1000], samples[800:1800]])
    np.testing.assert_array_equal(received["zero"][:2], received["drop"])
    np.testing.assert_array_equal(received["zero"][2], np.r_[rest, np.zeros(500)])
    np.testing.assert_array_equal(received["repeat"][2], np.r_[rest, rest])
    far = contract(input=form | {"hop_samples": 2100}, shortest_s=0.0, clip_end="zero")
    assert len(clip_windows(samples, far, "all")) == 1


def test_whole_windows_are_the_same_whatever_the_end() -> None:
    form = LOG_MEL | {"frames": 40, "hop_frames": 40}
    whole = [
        clip_windows(noise(2.0), contract(input=form, clip_end=end), "all") for end in ("drop", "repeat")
    ]
    np.testing.assert_array_equal(whole[1][:-1], whole[0])
    assert len(whole[1]) == len(whole[0]) + 1
    aligned = noise(2.0)[: 79 * 256 + 1]  # two windows, and nothing is left
    for end in ("drop", "zero", "repeat"):
        windows = clip_windows(aligned, contract(input=form, clip_end=end), "all")
        np.testing.assert_array_equal(windows, clip_windows(aligned, contract(input=form), "all"))


@pytest.mark.parametrize("windows", [1, 3, 50, "all"])
def test_windows_lie_inside_the_clip(windows: Any) -> None:
    starts = window_starts(137, 40, 13, windows)
    assert starts.min() >= 0
    assert starts.max() + 40 <= 137
    assert len(set(starts.tolist())) == len(starts)
