"""miniaudio gives libsndfile's samples of FLAC, and leaves every file that is not plain to libsndfile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quintet.audio.decode import load_clip
from quintet.audio.reading import miniaudio_reader, soundfile_reader
from quintet.errors import QuintetError

pytest.importorskip("_miniaudio", reason="needs the extra `decoding`")

RATE = 44100


def write_flac(path: Path, *, channels: int = 2, subtype: str = "PCM_16", seconds: float = 1.3) -> bytes:
    rng = np.random.default_rng(channels)
    t = np.arange(round(seconds * RATE))[:, None] / RATE
    samples = 0.4 * np.sin(2 * np.pi * 220 * (1 + np.arange(channels)) * t) + 0.05 * rng.normal(
        size=(len(t), channels)
    )
    soundfile.write(path, samples.clip(-1, 1), RATE, subtype=subtype)
    return path.read_bytes()


def answer(path: Path, *, strict: bool = False, **window: float) -> object:
    """All that is known of a recording, or why it is refused."""
    try:
        decoded = load_clip(path, sample_rate=None, strict=strict, **window)
    except QuintetError as error:
        return str(error)
    facts = (decoded.audio_digest, decoded.duration_s, decoded.missing_s, decoded.truncation)
    return facts, decoded.clip.samples.tobytes()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[object, bool]]:
    """The answer with miniaudio, which must be the one without it, and whether miniaudio gave the samples."""

    def compare(path: Path, **options: float) -> tuple[object, bool]:
        given = []

        def decode(*arguments: object) -> object:
            given.append(miniaudio_reader.decode_flac(*arguments))  # type: ignore[arg-type]
            return given[-1]

        with monkeypatch.context() as patch:
            patch.setattr(soundfile_reader, "decode_flac", decode)
            with_it = [answer(path, **options), answer(path, strict=True, **options)]
        with monkeypatch.context() as patch:
            patch.setattr(miniaudio_reader, "load_miniaudio", lambda: None)
            without = [answer(path, **options), answer(path, strict=True, **options)]
        assert with_it == without
        return with_it[0], any(samples is not None for samples in given)

    return compare


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_samples_are_equal_to_the_bit(
    tmp_path: Path, quick: Callable[..., tuple[object, bool]], subtype: str, channels: int
) -> None:
    write_flac(tmp_path / "a b \N{EURO SIGN}.flac", channels=channels, subtype=subtype)
    _, is_quick = quick(tmp_path / "a b \N{EURO SIGN}.flac")
    assert is_quick


def test_a_tag_in_front_changes_nothing(tmp_path: Path, quick: Callable[..., tuple[object, bool]]) -> None:
    content = write_flac(tmp_path / "a.flac")
    expected, _ = quick(tmp_path / "a.flac")
    (tmp_path / "b.flac").write_bytes(b"ID3\4\0\0\0\0\2\0" + bytes(256) + content)
    assert quick(tmp_path / "b.flac") == (expected, True)


def flip(content: bytes, share: float) -> bytes:
    position = round(len(content) * share)
    return content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :]


def with_total(content: bytes, total: int) -> bytes:
    field = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
    return content[:18] + field.to_bytes(8, "big") + content[26:]


N_FRAMES = round(1.3 * RATE)
NOT_PLAIN: dict[str, Callable[[bytes], bytes]] = {
    "damaged early": lambda content: flip(content, 0.1),
    "damaged late": lambda content: flip(content, 0.97),
    "cut short": lambda content: content[: len(content) * 2 // 3],
    "the same twice": lambda content: content * 2,
    "no total": lambda content: with_total(content, 0),
    "a small total": lambda content: with_total(content, N_FRAMES // 2),
    "one frame less": lambda content: with_total(content, N_FRAMES - 1),
    "one frame more": lambda content: with_total(content, N_FRAMES + 1),
    "a total of hours": lambda content: with_total(content, 2**30),
    "other channels in the header": lambda content: content[:20] + bytes([content[20] ^ 2]) + content[21:],
    "another rate in the header": lambda content: content[:18] + bytes([content[18] ^ 1]) + content[19:],
}


@pytest.mark.parametrize("kind", NOT_PLAIN)
def test_a_file_that_is_not_plain_is_read_as_without_miniaudio(
    tmp_path: Path, quick: Callable[..., tuple[object, bool]], kind: str
) -> None:
    content = write_flac(tmp_path / "a.flac")
    (tmp_path / "b.flac").write_bytes(NOT_PLAIN[kind](content))
    _, is_quick = quick(tmp_path / "b.flac")
    assert is_quick == (kind == "another rate in the header")  # that alone leaves the frames as they are


@pytest.mark.parametrize(
    "rest",
    [b"TAG" + bytes(125), bytes(1 << 20), b"text \xff\xf8 text", None],
    ids=["a tag", "zeros", "a mark of a frame", "part of a frame"],
)
def test_bytes_behind_the_sound_change_nothing(
    tmp_path: Path, quick: Callable[..., tuple[object, bool]], rest: bytes | None
) -> None:
    content = write_flac(tmp_path / "a.flac")
    expected, _ = quick(tmp_path / "a.flac")
    (tmp_path / "b.flac").write_bytes(content + (content[-2000:] if rest is None else rest))
    received, is_quick = quick(tmp_path / "b.flac")
    assert received == expected
    assert is_quick or not (rest or b"").startswith(b"TAG")


@pytest.mark.parametrize("second", [{"channels": 1}, {"channels": 6, "subtype": "PCM_24"}], ids=str)
def test_a_second_stream_of_another_kind_is_found(
    tmp_path: Path, quick: Callable[..., tuple[object, bool]], second: dict[str, int]
) -> None:
    # both have frames of the same numbers, and the first is longer than what is searched from the end
    first = write_flac(tmp_path / "a.flac", channels=6)
    (tmp_path / "b.flac").write_bytes(first + write_flac(tmp_path / "a.flac", **second))
    assert not quick(tmp_path / "b.flac")[1]


def test_windows_and_long_files_are_read_in_blocks(
    tmp_path: Path, quick: Callable[..., tuple[object, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_flac(tmp_path / "a.flac")
    assert not quick(tmp_path / "a.flac", start_s=0.3, end_s=0.9)[1]
    assert not quick(tmp_path / "a.flac", end_s=0.9)[1]
    monkeypatch.setattr(miniaudio_reader, "MOST_BYTES", 4 * N_FRAMES - 1)
    assert not quick(tmp_path / "a.flac")[1]
    monkeypatch.setattr(miniaudio_reader, "MOST_BYTES", 4 * N_FRAMES)
    assert quick(tmp_path / "a.flac")[1]
