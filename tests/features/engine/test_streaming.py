"""Tests of streaming: the numbers of the whole clip, for all sizes of blocks and stretches."""

from __future__ import annotations

import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import ClipSource, load_clip
from quintet.audio.reading import probe, soundfile_reader
from quintet.audio.reading.recording import Recording
from quintet.errors import SilentError, TooShortError
from quintet.features.describe import describe
from quintet.features.engine import streaming
from quintet.features.engine.streamed_moments import StreamedMedian
from quintet.features.engine.streaming import describe_recording, should_stream
from quintet.features.engine.stretches import clip_stretch, stretches
from quintet.features.extraction import worker as workers
from quintet.features.extraction.worker import ClipTask, Job, describe_clip
from quintet.features.parameters import FeatureParameters, LogMelParameters

wide = partial(FeatureParameters, feature_set="wide")
RATE = 44100
FULL, PAPER = wide(), FeatureParameters(feature_set="bahuleyan2018")
FLOORED = wide(masking_floor_db=-18)


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """Chords over noise that swell and pause. The loudest comes near the end, so the limits come late."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    sound = 0.01 * rng.standard_normal(len(t))
    for start in np.arange(0, seconds, 0.37):
        envelope = np.where(t >= start, np.exp(-6 * (t - start)), 0.0)
        for pitch in rng.choice([223.0, 265.6, 333.3, 421.3, 893.0], 3):
            sound += 0.2 * envelope * np.sin(2 * np.pi * pitch * (t - start))
    sound *= t / seconds
    sound[len(t) // 3 : len(t) // 2] = 0.0
    return sound


def written(folder: Path, samples: np.ndarray, name: str = "a.wav", **options: str) -> Path:
    soundfile.write(folder / name, samples, RATE, **options)
    return folder / name


@pytest.fixture
def small(monkeypatch):
    """Blocks of 8 kB and stretches of 16 frames."""
    monkeypatch.setattr(soundfile_reader, "BLOCK_SAMPLES", 4001)
    monkeypatch.setattr(streaming, "STRETCH", 16 * 512)


def assert_same(path: Path, parameters: FeatureParameters) -> None:
    rate = parameters.sample_rate
    expected = describe(load_clip(path, sample_rate=rate).clip, parameters, log_mel=True)
    received = describe_recording(Recording(path, sample_rate=rate), parameters, log_mel=True)
    np.testing.assert_array_equal(received.log_mel, expected.log_mel.astype(np.float16))
    assert list(received.features) == list(expected.features)
    for column, value in received.features.items():
        sums = column.startswith(("temporal.signal", "temporal.amplitude", "modulation"))
        assert value == (
            pytest.approx(expected.features[column], rel=1e-9, abs=1e-12)
            if sums
            else expected.features[column]
        ), column


@pytest.mark.parametrize("parameters", [FULL, FLOORED, PAPER], ids=["full", "floored", "paper"])
def test_a_streamed_row_equals_the_row_of_the_whole_clip(tmp_path, small, parameters):
    assert_same(written(tmp_path, music(7.0)), parameters)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_fft": 1200, "hop_length": 300},
        {"n_fft": 1024, "hop_length": 1024, "chroma_stride": 1},
        {"hop_length": 441, "chroma_stride": 3},
        {"sample_rate": 44100, "n_mels": 40, "n_mfcc": 13},
        {"log_mel": LogMelParameters(sample_rate=16000, n_fft=400, hop_length=160, n_mels=64, floor_db=-70)},
        {"families": ("temporal",)},
        {"families": ("tonal", "rhythm")},
        {"families": ("modulation", "covariance")},
        {"feature_set": "wide", "families": ("parts",)},
        {"feature_set": "wide", "families": ("parts",), "masking_floor_db": -18.0, "chroma_stride": 3},
        {"families": ("cepstral", "spectral")},
    ],
    ids=str,
)
def test_any_setting(tmp_path, small, settings):
    assert_same(written(tmp_path, music(4.0)), wide(**settings))


@pytest.mark.parametrize("n", [4096, 4097, 16 * 1024, 16 * 1024 + 1, 3 * 16 * 1024 - 2, 100_001])
def test_any_length(tmp_path, small, n):
    assert_same(written(tmp_path, music(3.0, seed=n)[:n]), PAPER)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_any_format(tmp_path, monkeypatch, name):
    monkeypatch.setattr(streaming, "STRETCH", 16 * 512)
    assert_same(written(tmp_path, np.stack([music(4.0), music(4.0, seed=1)], axis=1), name), PAPER)


@pytest.mark.parametrize(
    "settings",
    [
        {"pre_emphasis": 0.97},
        {"compression": "log", "sample_rate": 16000, "n_fft": 512, "hop_length": 200},
        {"compression": "power"},
        {"pre_emphasis": 0.5, "masking_floor_db": -18.0},
    ],
)
def test_a_streamed_spectrogram_by_the_definitions(tmp_path, small, settings):
    rate = 22050
    path = written(tmp_path, music(5.01))
    parameters = FeatureParameters(feature_set="bahuleyan2018", log_mel=LogMelParameters(**settings))
    expected = describe(load_clip(path, sample_rate=rate).clip, parameters, log_mel=True).log_mel
    received = describe_recording(Recording(path, sample_rate=rate), parameters, log_mel=True).log_mel
    assert received.shape == expected.shape
    np.testing.assert_allclose(received, expected.astype(np.float16), rtol=1e-3)


@pytest.mark.parametrize("block", [1, 7, 100, 5000])
@pytest.mark.parametrize(("n_fft", "hop_length", "at_once"), [(64, 16, 8), (64, 64, 16), (100, 37, 40)])
def test_stretches_hold_every_frame_once(block, n_fft, hop_length, at_once):
    samples = np.arange(1, 1234, dtype=np.float32)
    parts = stretches(
        np.split(samples, range(block, len(samples), block)),
        sample_rate=1,
        n_fft=n_fft,
        hop_length=hop_length,
        at_once=at_once,
    )
    frames = [
        [part.samples[i] if 0 <= i < len(part.samples) else 0 for i in range(first, first + n_fft)]
        for part in parts
        for first in range(part.first, part.first + part.frames * hop_length, hop_length)
    ]
    padded = np.pad(samples, n_fft)
    expected = [
        padded[n_fft + i * hop_length - n_fft // 2 :][:n_fft] for i in range(1 + len(samples) // hop_length)
    ]
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize("n", [1, 2, 3, 1000, 1001])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 0.0])
def test_the_median_of_blocks_is_that_of_all_samples(n, scale):
    values = (scale * np.random.default_rng(n).standard_normal(n)).astype(np.float32)
    middle = StreamedMedian()
    for add in (middle.add_first, middle.add_second):
        for block in np.array_split(values, min(n, 7)):
            add(block)
    assert middle.value == np.median(values.astype(np.float64))


def test_an_unusable_sound_is_refused(tmp_path):
    with pytest.raises(TooShortError, match=r"at least one frame.*'the id' has 1000 samples"):
        describe_recording(
            Recording(written(tmp_path, music(1.0)[5000:7000]), sample_rate=22050), PAPER, name="the id"
        )
    with pytest.raises(SilentError, match="silent"):
        describe_recording(Recording(written(tmp_path, np.zeros(9000)), sample_rate=22050), PAPER)


def test_only_long_recordings_are_streamed(tmp_path, monkeypatch):
    path = written(tmp_path, np.zeros(20 * RATE), "long.wav")
    assert not should_stream(path, FULL, log_mel=True)
    monkeypatch.setattr(probe, "LONG_S", 15.0)
    assert should_stream(path, FULL, log_mel=True)
    assert should_stream(path, FULL, log_mel=True, start_s=1.0, end_s=19.0)
    assert not should_stream(path, FULL, log_mel=True, start_s=1.0, end_s=9.0)
    assert not should_stream(path, FULL, log_mel=True, start_s=10.0)
    assert not should_stream(tmp_path / "missing.wav", FULL, log_mel=True)
    odd = wide(log_mel=LogMelParameters(n_fft=401))
    assert should_stream(path, odd, log_mel=False)
    assert not should_stream(path, odd, log_mel=True)


def test_a_stretch_of_a_clip_is_its_frames():
    from quintet.audio.clip import Clip

    stretch = clip_stretch(Clip(np.ones(1000, np.float32), 22050), n_fft=128, hop_length=100)
    assert (stretch.first, stretch.frames) == (-64, 11)


def test_a_worker_streams_a_long_recording_to_the_same_row(tmp_path, monkeypatch):
    path = str(written(tmp_path, music(14.0)))
    source, job = ClipTask(0, ClipSource(path, start_s=1.0, id="a")), Job(PAPER, log_mel=True)
    expected = describe_clip(source, job)
    monkeypatch.setattr(probe, "LONG_S", 12.0)
    monkeypatch.setattr(workers, "load_clip", None)  # would fail if it were called
    monkeypatch.setattr(streaming, "STRETCH", 16 * 512)
    received = describe_clip(source, Job(PAPER, log_mel=True, load=None))
    np.testing.assert_allclose(received.values, expected.values, rtol=1e-6)
    np.testing.assert_array_equal(received.log_mel, expected.log_mel)
    assert received.facts == expected.facts


@pytest.mark.slow
def test_memory_grows_with_the_series_only(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile_reader, "BLOCK_SAMPLES", 1 << 14)
    monkeypatch.setattr(streaming, "STRETCH", 64 * 512)
    peaks = []
    for seconds in (20, 100):
        path = written(tmp_path, np.tile(music(2.0), seconds // 2))
        tracemalloc.start()
        describe_recording(Recording(path, sample_rate=22050), PAPER, log_mel=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    frames = 80 * 22050 / 512
    assert (
        peaks[1] - peaks[0] < 1000 * frames
    )  # samples alone would be 2048 bytes per frame, the mel bands 1024
