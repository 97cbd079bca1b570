"""Tags and other bytes around a FLAC, and FLACs that do not state their length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quintet.audio.decode import load_clip
from quintet.audio.reading.probe import probe_duration_s
from quintet.errors import DecodeError
from tests.audio.reading.sounds import (
    RATE,
    SECONDS,
    id3,
    sound,
    with_flac_total,
    write,
)


@pytest.mark.parametrize("total", [None, 0])
def test_tags_in_front_of_a_flac_change_no_sample(tmp_path: Path, total: int | None) -> None:
    """Every such file was refused: the stream behind the tag was taken for a second one."""
    path = write(tmp_path / "a.flac", sound())
    bare, samples = path.read_bytes(), load_clip(path, sample_rate=None).clip.samples
    if total is not None:
        bare = with_flac_total(path, total).read_bytes()
    for tags in (id3(3000), id3(10) + id3(400_000)):
        path.write_bytes(tags + bare)
        np.testing.assert_array_equal(load_clip(path, sample_rate=None).clip.samples, samples)
        assert probe_duration_s(path) == SECONDS
        for begin, end in ((0.5, 1.5), (4.25, 5.0), (5.5, None)):
            window = load_clip(path, sample_rate=None, start_s=begin, end_s=end).clip.samples
            stretch = samples[round(begin * RATE) : None if end is None else round(end * RATE)]
            np.testing.assert_array_equal(window, stretch)


JUNK = np.random.default_rng(3).integers(0, 256, 200_000, np.uint8).tobytes()


@pytest.mark.parametrize("rest", [b"TAG" + bytes(125), bytes(200_000), JUNK], ids=["a tag", "zeros", "junk"])
@pytest.mark.parametrize("options", [{}, {"subtype": "PCM_24"}], ids=str)
def test_bytes_behind_a_flac_of_unknown_length_cost_nothing(
    tmp_path: Path, rest: bytes, options: dict[str, str]
) -> None:
    """Its last block was lost, and the file marked as truncated."""
    whole = load_clip(write(tmp_path / "a.flac", sound(), **options), sample_rate=None)
    path = with_flac_total(tmp_path / "a.flac", 0)
    content = path.read_bytes()
    for behind in (rest, rest + content, rest + id3(3000) + content + rest):
        path.write_bytes(content + behind)
        clip = load_clip(path, sample_rate=None)
        n_streams = 1 + behind.count(b"fLaC\0\0\0")
        np.testing.assert_array_equal(clip.clip.samples, np.tile(whole.clip.samples, n_streams))
        assert probe_duration_s(path) == n_streams * SECONDS
        last = load_clip(path, sample_rate=None, start_s=5.9).clip.samples
        np.testing.assert_array_equal(last, clip.clip.samples[round(5.9 * RATE) :])


def test_a_flac_of_unknown_length_that_is_cut_or_damaged_is_marked(tmp_path: Path) -> None:
    path = with_flac_total(write(tmp_path / "a.flac", sound()), 0)
    content = path.read_bytes()
    for n_left in (len(content) * 6 // 10, len(content) * 3 // 4, len(content) - 200):
        for rest in (b"", b"TAG" + bytes(125), bytes(100_000), JUNK):
            path.write_bytes(content[:n_left] + rest)
            clip = load_clip(path, sample_rate=None, strict=False)
            assert "breaks off" in clip.truncation
            assert clip.duration_s < SECONDS
    damaged = bytearray(content + bytes(1000))
    damaged[len(content) * 9 // 10] ^= 1
    path.write_bytes(damaged)
    assert "breaks off" in load_clip(path, sample_rate=None, strict=False).truncation


def test_a_flac_behind_a_tag_says_how_much_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", sound())
    content = path.read_bytes()
    path.write_bytes(id3(3000) + content[: len(content) * 6 // 10])
    clip = load_clip(path, sample_rate=None, strict=False)
    assert "the file states 6.00 s" in clip.truncation
    assert clip.duration_s + clip.missing_s == pytest.approx(SECONDS, abs=1e-3)


def test_a_flac_that_claims_a_year_takes_no_memory_for_it(tmp_path: Path) -> None:
    path = with_flac_total(write(tmp_path / "a.flac", sound()), 2**36 - 1)
    with pytest.raises(DecodeError, match=r"6\.00 s could be decoded"):
        load_clip(path, sample_rate=None)
    assert probe_duration_s(path) == SECONDS
