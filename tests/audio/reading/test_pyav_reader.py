"""Formats that only PyAV reads: written here with PyAV itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import correlate

from quintet.audio.decode import load_clip
from quintet.audio.reading.native import Window
from quintet.audio.reading.probe import probe_duration_s
from quintet.audio.reading.pyav_reader import read_with_pyav
from quintet.audio.reading.recording import Recording
from quintet.errors import DecodeError

av = pytest.importorskip("av")
codecs = pytest.importorskip("quintet.audio.reading.pyav_reader")

RATE = 44100
WAVE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE) * 32767).astype(np.int16)


def encoded(path: Path, codec: str, samples: np.ndarray = WAVE, *, bit_rate: int = 128_000) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = bit_rate
        if codec == "alac":
            stream.format = "s16p"
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def test_alac_gives_the_very_samples_and_the_digest_of_the_wav(tmp_path):
    soundfile.write(tmp_path / "a.wav", WAVE, RATE)
    wav, m4a = (
        load_clip(tmp_path / "a.wav", sample_rate=None),
        load_clip(encoded(tmp_path / "a.m4a", "alac"), sample_rate=None),
    )
    np.testing.assert_array_equal(m4a.clip.samples, wav.clip.samples)
    assert (m4a.audio_digest, m4a.native_channels) == (wav.audio_digest, 1)


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.mp4", "aac"), ("a.wma", "wmav1")])
def test_a_lossy_format_gives_the_tone(tmp_path, name, codec):
    decoded = load_clip(encoded(tmp_path / name, codec), sample_rate=22050)
    assert decoded.duration_s == pytest.approx(3.0, abs=0.11)
    spectrum = np.abs(np.fft.rfft(decoded.clip.samples))
    assert spectrum.argmax() / decoded.clip.duration_s == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(decoded.clip.samples**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("codec", ["wmav1", "wmav2"])
@pytest.mark.parametrize("name", ["a.wav", "a.avi", "a.mka"])
def test_wma_gives_the_same_samples_in_every_container(tmp_path, name, codec):
    """In a wav, where a packet holds several frames, those without a time stamp of their own were dropped."""
    wma = load_clip(encoded(tmp_path / "a.wma", codec), sample_rate=None)
    other = load_clip(encoded(tmp_path / name, codec), sample_rate=None)
    np.testing.assert_array_equal(other.clip.samples, wma.clip.samples)


@pytest.mark.parametrize(("codec", "tolerance"), [("alac", 0.0), ("aac", 0.01)])
def test_a_window_is_the_same_stretch_of_the_whole(tmp_path, codec, tolerance):
    path = encoded(tmp_path / "a.m4a", codec)
    whole = load_clip(path, sample_rate=None).clip.samples
    window = load_clip(path, sample_rate=None, start_s=1.5, end_s=2.0).clip.samples
    np.testing.assert_allclose(window, whole[round(1.5 * RATE) : 2 * RATE], atol=tolerance)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.m4a", "aac"), ("a.mp4", "ac3"), ("a.mov", "adpcm_ima_qt"), ("a.m4a", "alac"), ("a.mp4", "mp3")],
)
def test_a_window_of_noise_has_the_very_samples_of_the_whole(tmp_path, name, codec):
    """Decoders make noise anew where decoding begins: a window of an m4a differed by up to .31."""
    noise = (6000 * np.random.default_rng(0).standard_normal(4 * RATE)).clip(-32768, 32767).astype(np.int16)
    path = encoded(tmp_path / name, codec, noise, bit_rate=64_000)
    whole = load_clip(path, sample_rate=None).clip.samples
    window = load_clip(path, sample_rate=None, start_s=2.0, end_s=3.0).clip.samples
    np.testing.assert_array_equal(window, whole[2 * RATE : 3 * RATE])


@pytest.mark.parametrize("codec", ["alac", "aac"])
def test_a_long_recording_comes_in_blocks_and_in_one_piece(tmp_path, codec):
    wave = np.tile(WAVE, 4)
    recording = Recording(encoded(tmp_path / "a.m4a", codec, wave), sample_rate=None, start_s=1.0)
    sizes = [len(block) for block in recording.blocks()]
    assert len(sizes) > 5
    assert max(sizes) < 2 * codecs.BLOCK_FRAMES
    assert sum(sizes) / RATE == pytest.approx(11.0, abs=0.11)
    if codec == "alac":
        np.testing.assert_array_equal(
            np.concatenate(list(recording.blocks())), wave[RATE:] / np.float32(32768)
        )


def test_beyond_the_end_states_the_length(tmp_path):
    with pytest.raises(DecodeError, match=r"is 3\.000 s long"):
        load_clip(encoded(tmp_path / "a.m4a", "alac"), sample_rate=None, end_s=4.0)


def test_a_cut_file_is_refused(tmp_path):
    path = encoded(tmp_path / "a.m4a", "alac")
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(DecodeError, match="must be"):
        load_clip(path, sample_rate=None)


CLICKS = np.zeros(2 * RATE, np.int16)
for _place in (9000, 31_000, 57_500, 80_000):
    CLICKS[_place : _place + 64] = (25_000 * np.hanning(64)).astype(np.int16)


def lag(samples: np.ndarray) -> int:
    """Samples by which a recording of the clicks is late."""
    correlation = correlate(samples.astype(np.float64), CLICKS.astype(np.float64), method="fft")
    return int(correlation.argmax()) - (len(CLICKS) - 1)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.aac", "aac"),
        ("a.mkv", "aac"),
        ("a.ts", "aac"),
        ("a.ac3", "ac3"),
        ("a.mkv", "eac3"),
        ("a.mka", "libmp3lame"),
        ("a.mp2", "mp2"),
        ("a.mpg", "mp2"),
        ("a.wma", "wmav2"),
        ("a.avi", "wmav1"),
        ("a.webm", "libopus"),
        ("a.mp4", "alac"),
    ],
)
def test_a_recording_begins_where_its_wav_begins(tmp_path, name, codec):
    if codec == "libopus":
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=48_000, layout="mono")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
            frame = av.AudioFrame.from_ndarray(CLICKS[None], format="s16", layout="mono")
            frame.sample_rate = RATE
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
    else:
        encoded(tmp_path / name, codec, CLICKS)
    whole = load_clip(tmp_path / name, sample_rate=RATE)
    assert abs(lag(whole.clip.samples)) <= 2
    window = load_clip(tmp_path / name, sample_rate=RATE, start_s=0.5, end_s=1.5)
    np.testing.assert_allclose(
        window.clip.samples[RATE // 4 :][: RATE // 2],
        whole.clip.samples[3 * RATE // 4 :][: RATE // 2],
        atol=2e-3,
    )


@pytest.mark.parametrize("n_samples", [2 * RATE, 2 * RATE + 1, 2 * RATE + 1000])
def test_an_m4a_ends_where_its_wav_ends(tmp_path, n_samples):
    samples = np.resize(WAVE, n_samples)
    path = encoded(tmp_path / "a.m4a", "aac", samples)
    assert load_clip(path, sample_rate=None).duration_s * RATE == pytest.approx(n_samples, abs=1e-6)
    assert probe_duration_s(path) * RATE == pytest.approx(n_samples, abs=1e-6)


def test_a_picture_is_refused(tmp_path):
    path = tmp_path / "picture.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for packet in [
            *stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")),
            *stream.encode(None),
        ]:
            container.mux(packet)
    with pytest.raises(DecodeError, match="no audio track"):
        load_clip(path, sample_rate=None)


def test_a_playlist_opens_nothing(tmp_path):
    encoded(tmp_path / "secret.m4a", "aac")
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nsecret.m4a\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(DecodeError, match="no audio track"):
        read_with_pyav(tmp_path / "list.m3u8", Window())


def test_a_stream_whose_rate_changes_is_damaged_from_there(tmp_path):
    """A raw stream may go on with another rate: PyAV's resampler refuses its frames with a ValueError."""
    parts = []
    for rate in (RATE, RATE // 2):
        path = tmp_path / f"{rate}.aac"
        with av.open(str(path), "w", format="adts") as container:
            stream = container.add_stream("aac", rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(WAVE[None, :RATE], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux([*stream.encode(frame), *stream.encode(None)])
        parts.append(path.read_bytes())
    both = tmp_path / "both.aac"
    both.write_bytes(b"".join(parts))
    clip = load_clip(both, sample_rate=None, strict=False)
    assert clip.duration_s == pytest.approx(1.0, abs=0.05)
    assert clip.missing_s == pytest.approx(2.0, abs=0.1)  # as many samples at half the rate
    assert "damaged" in clip.truncation


def test_a_stream_that_begins_late_is_damage(tmp_path):
    """PyAV has no place for a stream that a transport stream announces on its way: IndexError."""
    parts = []
    for number, codec in ((256, "mp2"), (300, "ac3")):
        path = tmp_path / f"{number}.ts"
        options = {"mpegts_start_pid": str(number), "mpegts_pmt_start_pid": str(number + 1000)}
        with av.open(str(path), "w", format="mpegts", options=options) as container:
            stream = container.add_stream(codec, rate=RATE, layout="mono")
            graph = av.AudioResampler(stream.format, "mono", RATE, frame_size=stream.frame_size or 1152)
            frame = av.AudioFrame.from_ndarray(WAVE[None], format="s16", layout="mono")
            frame.sample_rate = RATE
            for piece in graph.resample(frame):
                container.mux(stream.encode(piece))
            container.mux(stream.encode(None))
        parts.append(path.read_bytes())
    both = tmp_path / "both.ts"
    both.write_bytes(parts[0] * 30 + parts[1])
    clip = load_clip(both, sample_rate=None, strict=False)
    assert clip.duration_s == pytest.approx(89.3, abs=1)
    assert "breaks off" in clip.truncation
    assert probe_duration_s(both) == pytest.approx(89.3, abs=1)
