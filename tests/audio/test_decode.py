"""What `load_clip` gives, and what it refuses, in words."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import xxhash

from quintet.audio.decode import load_clip
from quintet.errors import AudioError, ConfigError, DecodeError, NonFiniteError, SilentError

RATE = 44100
TONES = (0.3 * np.sin(np.arange(3 * RATE)[:, None] * np.array([0.05, 0.031])) * 32768).astype(
    np.int16
)  # stereo, 3 s


def written(folder: Path, name: str, samples: np.ndarray = TONES, rate: int = RATE, **options: str) -> Path:
    path = folder / name
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.au"])
def test_lossless_formats_give_the_very_samples_and_one_digest(tmp_path, name):
    decoded = load_clip(written(tmp_path, name), sample_rate=None)
    np.testing.assert_allclose(decoded.clip.samples, TONES.astype(float).mean(axis=1) / 32768, atol=1e-7)
    assert decoded.clip.samples.dtype == np.float32
    assert (decoded.native_sample_rate, decoded.native_channels, decoded.duration_s) == (RATE, 2, 3.0)
    assert decoded.audio_digest == load_clip(written(tmp_path, "b.wav"), sample_rate=22050).audio_digest


def test_the_digest_tells_different_sounds_rates_and_channels_apart(tmp_path):
    versions = [
        written(tmp_path, "a.wav"),
        written(tmp_path, "b.wav", TONES + np.int16(1)),
        written(tmp_path, "c.wav", rate=48000),
        written(tmp_path, "d.wav", TONES.reshape(-1, 1)),
    ]
    assert len({load_clip(path, sample_rate=None).audio_digest for path in versions}) == 4


def test_the_digest_is_the_xxh3_of_rate_channels_kind_and_samples(tmp_path):
    header = f"{RATE}:2:int16:".encode()
    expected = xxhash.xxh3_128_hexdigest(header + TONES.astype("<i2").tobytes())
    assert load_clip(written(tmp_path, "a.flac"), sample_rate=22050).audio_digest == f"xxh3:{expected}"


@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_gives_the_samples_of_one_piece(tmp_path, channels):
    """Also after the first block. A decoder that seeks between reads starts again and rounds differently."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((10 * RATE, channels))
    path = written(tmp_path, "a.mp3", noise)
    pieces, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(
        load_clip(path, sample_rate=None).clip.samples, pieces.sum(axis=1) / np.float32(channels)
    )


def test_24_bit_formats_share_a_digest_too(tmp_path):
    fine = (2e6 * np.sin(np.arange(3000)[:, None] * np.array([0.05, 0.031]))).astype(np.int32) << 8
    digests = {
        load_clip(written(tmp_path, name, fine, subtype="PCM_24"), sample_rate=None).audio_digest
        for name in ("a.wav", "a.flac", "a.aiff")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_formats_give_the_same_tones(tmp_path, name):
    samples = load_clip(
        written(tmp_path, name, TONES / 32768), sample_rate=None
    ).clip.samples  # (libsndfile garbles int16 stereo in mp3)
    assert len(samples) == 3 * RATE
    expected = np.abs(np.fft.rfft(TONES.astype(float).mean(axis=1) / 32768))
    heard = np.abs(np.fft.rfft(samples))
    peaks = np.sort(expected.argsort()[-2:])
    np.testing.assert_array_equal(np.sort(heard.argsort()[-2:]), peaks)
    np.testing.assert_allclose(heard[peaks], expected[peaks], rtol=0.05)


def test_24_bit_and_float_files_lose_nothing(tmp_path):
    fine = 1e-6 * np.sin(np.arange(1000) * 0.1) + 0.25  # a wave far below one step of 16 bits
    for subtype, atol in [("PCM_24", 1.3e-7), ("FLOAT", 2e-8)]:
        clip = load_clip(written(tmp_path, f"{subtype}.wav", fine, subtype=subtype), sample_rate=None).clip
        np.testing.assert_allclose(clip.samples, fine, atol=atol)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_window_is_the_same_stretch_of_the_whole(tmp_path, name):
    path = written(tmp_path, name)
    whole = load_clip(path, sample_rate=None).clip.samples
    window = load_clip(path, sample_rate=None, start_s=1.25, end_s=2.0)
    np.testing.assert_allclose(window.clip.samples, whole[round(1.25 * RATE) : 2 * RATE], atol=1e-4)
    assert window.duration_s == pytest.approx(0.75, abs=1e-4)


def test_only_the_window_is_read(tmp_path, monkeypatch):
    asked: list[int] = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda self, frames=-1, **kw: asked.append(frames) or read(self, frames, **kw),
    )
    load_clip(written(tmp_path, "a.wav"), sample_rate=None, start_s=1.0, end_s=1.1)
    assert sum(asked) == 4410


def test_resampling_keeps_the_pitch_and_the_length(tmp_path):
    clip = load_clip(
        written(tmp_path, "a.wav", np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)),
        sample_rate=16000,
        id="tone",
    ).clip
    spectrum = np.abs(np.fft.rfft(clip.samples))
    assert (clip.id, clip.sample_rate, len(clip.samples), spectrum.argmax()) == ("tone", 16000, 16000, 1000)


def test_int16_files_are_read_as_int16(tmp_path, monkeypatch):
    kinds: list[str] = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile,
        "read",
        lambda self, frames, out: kinds.append(out.dtype.name) or read(self, frames, out=out),
    )
    load_clip(written(tmp_path, "a.wav"), sample_rate=None)
    load_clip(written(tmp_path, "a.ogg"), sample_rate=None)
    assert list(dict.fromkeys(kinds)) == ["int16", "float32"]


# ---------------------------------------------------------------- refusals


def refused(path: Path, match: str, error: type[AudioError] = DecodeError, **window: float) -> None:
    with pytest.raises(error, match=match) as caught:
        load_clip(path, sample_rate=22050, **window)
    assert path.name in str(caught.value)


def test_what_is_not_a_file_is_refused(tmp_path):
    refused(tmp_path / "no.wav", "must exist")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty.wav").touch()
    refused(tmp_path / "empty.wav", "empty \\(0 bytes\\)")


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path, "a.wav")
    opened = Path.open

    def denied(self, *args, **kwargs):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", denied)
    refused(path, "no permission to read")


def test_text_that_is_called_wav_is_refused(tmp_path):
    (tmp_path / "poem.wav").write_text("Shall I compare thee to a summer's day?\n" * 40)
    refused(tmp_path / "poem.wav", "poem.wav")


def test_without_pyav_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "quintet.audio.reading.pyav_reader", raising=False)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(200))
    refused(tmp_path / "a.m4a", r"quintet-music\[codecs\]")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.aiff", "a.au"])
def test_a_file_that_was_cut_short_is_refused_with_how_much_is_left(tmp_path, name):
    path = written(tmp_path, name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    refused(path, r"3\.00 s.*1\.[678]\d s could be")


def test_an_ogg_without_its_end_is_refused(tmp_path):
    path = written(tmp_path, "a.ogg", 0.1 * np.random.default_rng(0).standard_normal(3 * RATE))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    refused(path, "states [12].* s, 1.* s could be decoded.*the end mark is missing")


def test_a_window_before_the_damage_can_still_be_read(tmp_path):
    path = written(tmp_path, "a.wav")
    path.write_bytes(path.read_bytes()[:300_000])
    assert load_clip(path, sample_rate=None, end_s=1.0).duration_s == 1.0


def test_a_streamed_wav_that_never_knew_its_length_is_read(tmp_path):
    path = written(tmp_path, "a.wav")
    data = path.read_bytes()
    position = data.index(b"data") + 4
    path.write_bytes(data[:position] + struct.pack("<I", 0xFFFFFFFF) + data[position + 4 :])
    assert load_clip(path, sample_rate=None).duration_s == 3.0


def test_zero_length_silence_and_nan_are_refused(tmp_path):
    refused(written(tmp_path, "zero.wav", np.zeros(0, np.int16)), "length is zero")
    refused(written(tmp_path, "silent.wav", np.zeros(5000, np.int16)), "is silent", SilentError)
    broken = np.sin(np.arange(5000.0))
    broken[7], broken[9] = np.nan, np.inf
    refused(
        written(tmp_path, "nan.wav", broken, subtype="FLOAT"),
        "2 NaN or infinite samples of 5000",
        NonFiniteError,
    )


def test_channels_that_cancel_are_silence(tmp_path):
    wave = np.sin(np.arange(5000.0) * 0.1)
    refused(
        written(tmp_path, "anti.wav", np.stack([wave, -wave], axis=1), subtype="FLOAT"),
        "mixed to mono",
        SilentError,
    )


def test_a_window_beyond_the_end_states_the_length(tmp_path):
    path = written(tmp_path, "a.wav")
    refused(path, r"is 3\.000 s long; asked for 2 s to 4 s", start_s=2, end_s=4)
    refused(path, r"is 3\.000 s long; asked for 5 s to the end", start_s=5)
    assert (
        load_clip(path, sample_rate=None, start_s=1, end_s=3.04).duration_s == 2.0
    )  # a listed time that was rounded up


@pytest.mark.parametrize(("start", "end"), [(-1.0, None), (2.0, 2.0), (2.0, 1.0), (float("nan"), None)])
def test_a_window_that_cannot_be_is_a_setting_error(tmp_path, start, end):
    with pytest.raises(ConfigError, match="A window must begin at 0 s or later"):
        load_clip(written(tmp_path, "a.wav"), sample_rate=None, start_s=start, end_s=end)


def test_an_absurd_sample_rate_is_damage_not_a_huge_clip(tmp_path):
    refused(written(tmp_path, "a.wav", rate=3), "claims 3 Hz")


def test_random_damage_never_raises_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    for name in ["a.wav", "a.flac", "a.ogg", "a.au", "a.aiff"]:
        data = bytearray(written(tmp_path, name, TONES[:20000]).read_bytes())
        for _ in range(12):
            flipped = bytearray(data)
            for position in rng.integers(0, min(len(data), 400), size=6):
                flipped[position] ^= 1 << rng.integers(8)
            (tmp_path / f"x{name}").write_bytes(flipped[: rng.integers(10, len(data))])
            try:
                load_clip(tmp_path / f"x{name}", sample_rate=22050)
            except AudioError as error:
                assert len(str(error)) > 40  # noqa: PT017
