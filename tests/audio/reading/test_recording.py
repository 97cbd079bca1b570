"""A recording in blocks is the recording in one piece."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.audio.reading import probe, recording, segments, soundfile_reader
from quintet.audio.reading.byte_view import ByteView
from quintet.audio.reading.formats.foreign import foreign_kind
from quintet.audio.reading.formats.text import text_kind
from quintet.audio.reading.native import READER_ERRORS, NativeSamples, damage_in_sentences
from quintet.audio.reading.probe import probe_duration_s
from quintet.audio.reading.recording import Recording, recording_digest
from quintet.errors import DecodeError, NonFiniteError, SilentError

RATE = 44100


def written(folder: Path, name: str, samples: np.ndarray, **options: str) -> Path:
    soundfile.write(folder / name, samples, RATE, **options)
    return folder / name


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_of_any_size_give_the_same_samples_and_facts(tmp_path, monkeypatch, name, channels):
    path = written(tmp_path, name, 0.1 * np.random.default_rng(0).standard_normal((2 * RATE, channels)))
    whole = load_clip(path, sample_rate=22050, start_s=0.1)
    for size in (5000, 32768):
        monkeypatch.setattr(soundfile_reader, "BLOCK_SAMPLES", size)
        parts = Recording(path, sample_rate=22050, start_s=0.1)
        for _ in range(2):  # as often as wanted
            samples = np.concatenate(list(parts.blocks()))
            np.testing.assert_array_equal(samples, whole.clip.samples)
            assert parts.facts.audio_digest == whole.audio_digest
            assert parts.facts.duration_s == whole.duration_s


def test_what_must_hold_of_the_whole_is_checked_behind_the_last_block(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile_reader, "BLOCK_SAMPLES", 1000)
    late = np.zeros(5000)
    late[4999] = 0.5
    assert sum(map(len, Recording(written(tmp_path, "late.wav", late), sample_rate=None).blocks())) == 5000
    with pytest.raises(SilentError, match="is silent"):
        list(Recording(written(tmp_path, "silent.wav", np.zeros(5000)), sample_rate=None).blocks())
    late[[3, 4000]] = np.nan
    with pytest.raises(NonFiniteError, match="2 NaN or infinite samples of 5000"):
        list(Recording(written(tmp_path, "nan.wav", late, subtype="FLOAT"), sample_rate=None).blocks())


def test_numbers_whose_squares_are_too_large_are_numbers(tmp_path):
    loud = np.full((5000, 2), 1e30)
    load_clip(written(tmp_path, "loud.wav", loud, subtype="FLOAT"), sample_rate=None)
    loud[17, 1] = np.inf
    with pytest.raises(NonFiniteError, match="1 NaN or infinite samples of 10000"):
        load_clip(written(tmp_path, "inf.wav", loud, subtype="FLOAT"), sample_rate=None)
    loud[17] = np.inf, -np.inf  # their mix is a NaN: no warning of numpy, as no warning is let through here
    with pytest.raises(NonFiniteError, match="2 NaN or infinite samples of 10000"):
        load_clip(written(tmp_path, "both.wav", loud, subtype="FLOAT"), sample_rate=None)


def test_samples_far_beyond_full_scale_are_no_nan(tmp_path):
    """Finite samples of 1e38 were said to be NaN: resampling makes NaN of them, and mixing infinity."""
    loud = np.full((5000, 2), 0.5)
    loud[17, 1] = loud[18, 0] = -3e38
    for rate in (None, 8000):
        with pytest.raises(NonFiniteError, match=r"holds 2 samples of 10000 beyond 1e\+31"):
            load_clip(written(tmp_path, "loud.wav", loud, subtype="FLOAT"), sample_rate=rate)
    with pytest.raises(
        NonFiniteError, match="2 NaN or infinite samples of 10000, read as numbers of 32 bits"
    ):
        load_clip(written(tmp_path, "loud.wav", loud * 10, subtype="DOUBLE"), sample_rate=None)


def test_a_signalling_nan_is_a_nan(tmp_path):
    """Any 32 bits may stand in a file of floats; numpy warns of those that are a NaN that signals."""
    path = written(tmp_path, "a.wav", np.full(5000, 0.5), subtype="FLOAT")
    data = path.read_bytes()
    at = data.index(b"data") + 8
    path.write_bytes(data[:at] + b"\x01\x00\x80\x7f" + data[at + 4 :])
    with pytest.raises(NonFiniteError, match="1 NaN or infinite samples of 5000"):
        load_clip(path, sample_rate=None)


def test_a_header_that_promises_little_costs_nothing(tmp_path, monkeypatch):
    path = written(tmp_path, "a.wav", 0.1 * np.random.default_rng(0).standard_normal(20_000))
    whole = Recording(path, sample_rate=22050).read_all()
    monkeypatch.setattr(soundfile_reader, "BLOCK_SAMPLES", 1000)
    monkeypatch.setattr(recording, "TRUSTED_SAMPLES", 3)
    np.testing.assert_array_equal(Recording(path, sample_rate=22050).read_all(), whole)
    np.testing.assert_array_equal(np.concatenate(list(Recording(path, sample_rate=22050).blocks())), whole)


def test_blocks_may_be_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile_reader, "BLOCK_SAMPLES", 1000)
    ramp = np.arange(1, 5001, dtype=np.int16)
    for channels in (1, 2):
        path = written(tmp_path, "ramp.wav", np.repeat(ramp[:, None], channels, axis=1))
        np.testing.assert_array_equal(
            np.concatenate(list(Recording(path, sample_rate=None).blocks())), ramp / np.float32(32768)
        )


def test_channels_may_cancel_in_a_block_but_not_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile_reader, "BLOCK_SAMPLES", 1000)
    wave = np.sin(np.arange(5000.0) * 0.1)
    other = np.where(np.arange(5000) < 2500, -wave, wave)
    load_clip(
        written(tmp_path, "half.wav", np.stack([wave, other], axis=1), subtype="FLOAT"), sample_rate=None
    )
    with pytest.raises(SilentError, match="mixed to mono"):
        load_clip(
            written(tmp_path, "all.wav", np.stack([wave, -wave], axis=1), subtype="FLOAT"), sample_rate=None
        )


PAGE = "<!DOCTYPE html>\n<title>404 Not Found</title>\n" + "<p>Café</p>\n" * 400
NOTES = "Track 1, Zürich\nTrack 2\n" * 400
RUSSIAN, JAPANESE = "Песня первая\nПесня вторая\n" * 200, "最初の歌、東京\n次の歌\n" * 200


@pytest.mark.parametrize("suffix", ["al", "ul", "sw", "g722", "gsm", "sln", "au", "mp3", "wav", "xyz"])
@pytest.mark.parametrize(
    ("text", "encoding", "kind"),
    [
        (PAGE, "utf-8", "HTML"),
        (NOTES, "cp1252", "text"),
        (NOTES, "utf-16", "text"),
        (PAGE, "utf-8-sig", "HTML"),
        (RUSSIAN, "cp1251", "text"),
        (RUSSIAN, "koi8-r", "text"),
        (JAPANESE, "shift-jis", "text"),
        (JAPANESE, "euc-jp", "text"),
        (NOTES, "utf-16-le", "text"),
        (NOTES, "utf-16-be", "text"),
    ],
)
def test_text_named_like_audio_is_no_sound(tmp_path, suffix, text, encoding, kind):
    file = tmp_path / f"song.{suffix}"
    file.write_text(text, encoding=encoding)
    with pytest.raises(DecodeError, match=f"holds .*{kind}"):
        load_clip(file, sample_rate=None)
    assert probe_duration_s(file) is None


def of_another_kind(kind: str) -> bytes:
    """A file that holds no sound."""
    rest = np.random.default_rng(0).bytes(5000)
    content = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("a", rest)
    elif kind == "tar":
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a"))
    elif kind == "gzip":
        content.write(gzip.compress(rest))
    elif kind == "BMP":
        content.write(b"BM" + (6 + len(rest)).to_bytes(4, "little") + rest)
    else:
        content.write({"JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0"}.get(kind, b"") + rest)
        marks = {"PNG": b"\x89PNG\r\n\x1a\n", "PDF": b"%PDF-1.4\n", "SQLite": b"SQLite format 3\0"}
        marks |= {"program": b"\x7fELF\2\1\1\0"}
        return marks.get(kind, b"") + content.getvalue()
    return content.getvalue()


@pytest.mark.parametrize(
    "suffix", ["al", "ul", "sw", "ub", "g722", "gsm", "sln", "dfpwm", "302", "mp3", "xyz"]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "PDF", "zip", "tar", "gzip", "SQLite", "program"])
def test_a_file_of_another_kind_named_like_audio_is_no_sound(tmp_path, suffix, kind):
    """Formats without a header made sound of a JPEG image, and a model judged it."""
    file = tmp_path / f"song.{suffix}"
    file.write_bytes(of_another_kind(kind))
    with pytest.raises(DecodeError, match=f"must hold audio.*holds .*{kind}.*Fetch or export"):
        load_clip(file, sample_rate=None)
    assert probe_duration_s(file) is None


@pytest.mark.parametrize("loudness", [100, 1000, 8000, 32000])
@pytest.mark.parametrize("suffix", ["al", "ul", "ub", "sw"])
def test_no_sound_is_taken_for_text(tmp_path, suffix, loudness):
    tone = loudness * np.sin(np.arange(20_000) * 0.1)
    subtype = {"al": "ALAW", "ul": "ULAW", "ub": "PCM_U8", "sw": "PCM_16"}[suffix]
    file = tmp_path / f"tone.{suffix}"
    soundfile.write(file, tone / 32768, RATE, format="RAW", subtype=subtype)
    assert text_kind(file) is None
    assert foreign_kind(file) is None


def test_samples_without_a_header_are_read_if_they_are_named(tmp_path):
    rng = np.random.default_rng(0)
    tone = np.sin(np.arange(8000) * 0.1) + 0.1 * rng.normal(size=8000)
    (tmp_path / "tone.sw").write_bytes((8000 * tone).astype("<i2").tobytes())
    pytest.importorskip("av")
    assert load_clip(tmp_path / "tone.sw", sample_rate=None).duration_s == 8000 / 44100


@pytest.mark.parametrize("error", READER_ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("late", [False, True])
def test_every_error_of_a_decoder_is_a_sentence_about_its_file(tmp_path, monkeypatch, error, late):
    """PyAV raised an IndexError over a fuzzed nut file: `predict` ended without any verdict."""
    path = written(tmp_path, "a.wav", np.full(5000, 0.5))

    def read(source, window):
        def blocks():
            yield np.full((100, 1), 5, np.int16)
            raise error("of a library")

        if not late:
            raise error("of a library")
        return NativeSamples(blocks(), RATE, 1, None)

    monkeypatch.setattr(recording, "read_with_soundfile", read)
    for use in (lambda: load_clip(path, sample_rate=None), lambda: recording_digest(path)):
        with pytest.raises(DecodeError, match=r"a\.wav' is damaged .of a library"):
            use()
    monkeypatch.setattr(probe, "length_in_frames", lambda source: None)
    assert probe.probe_duration_s(path) == (100 / RATE if late else None)
    with pytest.raises(DecodeError, match="of a library") if not late else nullcontext():
        parts = list(segments.read_segments(path, sample_rate=RATE, segment_s=0.001, id="a"))
        assert len(parts) > 2


def test_no_message_names_an_object_or_a_number_for_a_file(tmp_path):
    """A FLAC was damaged because '<quintet.audio.reading.byte_view.ByteView object at 0x7f…>' was."""
    path = tmp_path / "a.flac"
    path.write_bytes(b"no sound" * 100)
    reasons = []
    with path.open("rb") as opened:
        for file in (ByteView(path, [(0, 800)]), opened.fileno()):
            with pytest.raises(DecodeError) as caught, damage_in_sentences(path):
                soundfile.SoundFile(file, closefd=False)
            reasons.append(str(caught.value))
    with pytest.raises(DecodeError) as caught, damage_in_sentences(path):
        raise ValueError(f"cannot read {object()} and {ByteView(path, [])}")
    reasons.append(str(caught.value))
    assert all(str(path) in reason and "0x" not in reason and "object" not in reason for reason in reasons)
    assert reasons[0] == reasons[1]
