"""MPEG audio (mp1, mp2, mp3): where its frames lie in a file, and how many there are.

An mp3 file has no header. A Xing, Info or VBRI frame at the start may state the number of frames; without it
decoders estimate the length from the first bit rate, and covers, padding and joined files mislead them. Here
the frames themselves are counted: each begins with four bytes that state its length.

Source:
    ISO/IEC 11172-3, 2.4.2.3 (header); the Xing frame as LAME writes it, the VBRI frame as
    encoders of Fraunhofer do.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from quintet.audio.reading.formats.id3 import skip_id3

LAYER_1, LAYER_2, LAYER_3 = 1, 2, 3
_LAYERS = {3: LAYER_1, 2: LAYER_2, 1: LAYER_3}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Version bits (3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5) → sample rates, Hz."""
_KBPS = {
    (True, LAYER_1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, LAYER_2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, LAYER_3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, LAYER_1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, LAYER_2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, LAYER_3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""(is MPEG 1, layer) → bit rates of the indices 1 to 14, kbit/s."""
SURE_FRAMES = 3
"""Frames that must follow each other before bytes count as MPEG audio."""
FILTERBANK_DELAY = 512 - 32 + 1
"""Samples by which analysis and synthesis of layer I and II delay the sound: filters of 512 taps, 32 bands.

It is the `initial_padding` that ffmpeg states for its encoder and for TwoLAME.
"""
ENCODER_DELAY = 576
"""Samples that LAME and most encoders put before a recording, for files that do not say how many."""
TAG_KBPS_INDEX = 9
"""Bit rate index of the Xing frame that `xing_frame` makes: long enough for the tag in every version."""


UNSURE_BLOCKS = 2
"""Frames that a decoder may drop in each stream."""
VBRI_AT = 4 + 32
"""Byte of a frame at which a VBRI tag stands, in mono too."""
TAG_SLACK = 2
"""Frames by which a tag may be wrong: it also says how many samples of padding to drop."""


class FrameHeader(NamedTuple):
    """The header of one MPEG audio frame.

    Args:
        length: bytes of the frame.
        samples: samples per channel in the frame.
        sample_rate: Hz.
        layer: 1, 2 or 3.
        is_mpeg_1: whether the version is MPEG 1 (not 2 or 2.5).
        is_mono: whether there is one channel.
    """

    length: int
    samples: int
    sample_rate: int
    layer: int
    is_mpeg_1: bool
    is_mono: bool

    @property
    def kind(self) -> tuple[int, int, bool]:
        """What all frames of a stream have in common."""
        return self.sample_rate, self.layer, self.is_mono


@dataclass(frozen=True, slots=True)
class MpegAudio:
    """The MPEG audio of a file.

    Args:
        ranges: byte ranges `(start, stop)` of the audio frames, without tags, covers, padding and Xing
            frames.
        n_frames: number of frames in all ranges.
        first: header of the first frame.
        first_bytes: the four bytes of that header.
        tag_frames: frames that a Xing, Info or VBRI frame at the start states; None if there is none.
        n_streams: number of streams that follow each other in the file.
        begins_clean: whether only ID3 tags stand before the first frame.
        count_at: byte at which a Xing or Info frame states its frames; None in a VBRI frame, of which
            decoders know nothing.
        holds_all: whether the frames were not counted: the tag states as many bytes as the file holds.
        n_missing: frames that the tag states and that were not found, unless all its bytes were.
        rest_s: seconds of streams of another rate, layer or number of channels, and of all behind them.
    """

    ranges: tuple[tuple[int, int], ...]
    n_frames: int
    first: FrameHeader
    first_bytes: bytes
    tag_frames: int | None
    n_streams: int
    begins_clean: bool
    count_at: int | None = None
    holds_all: bool = False
    n_missing: int = 0
    rest_s: float = 0.0

    @property
    def n_samples(self) -> int:
        """Samples per channel in all frames."""
        return self.n_frames * self.first.samples

    @property
    def n_sure(self) -> int:
        """Samples in all frames, less those that a decoder may drop at the ends of a stream."""
        return max(0, self.n_samples - self._dropped)

    @property
    def n_stated(self) -> int:
        """The same with the frames that are missing, and with the time of what cannot be read with them."""
        n_missing = self.n_missing * self.first.samples
        return max(0, self.n_samples + n_missing + self.n_rest - self._dropped)

    @property
    def n_rest(self) -> int:
        """Samples of the first stream that take the time of the streams that cannot be read with it."""
        return round(self.rest_s * self.first.sample_rate)

    @property
    def _dropped(self) -> int:
        return ENCODER_DELAY + FILTERBANK_DELAY + UNSURE_BLOCKS * self.first.samples * self.n_streams

    @property
    def delay(self) -> int:
        """Samples by which the decoded frames are late, and which no tag states: those of layer I and II."""
        return 0 if self.first.layer == LAYER_3 else FILTERBANK_DELAY

    @property
    def misleads_decoders(self) -> bool:
        """Whether a decoder would stop too early or refuse the file: it needs a Xing frame that is right.

        A tag that is wrong by `TAG_SLACK` is left alone. Only layer III has tags.
        """
        if self.first.layer != LAYER_3:
            return False
        is_known = self.tag_frames is not None and self.count_at is not None
        tag_is_right = is_known and abs((self.tag_frames or 0) - self.n_frames) <= TAG_SLACK
        return not (tag_is_right and self.n_streams == 1 and self.begins_clean)


def parse_header(content: bytes | mmap.mmap, position: int) -> FrameHeader | None:
    """The frame header at a position; None if no frame begins there.

    Example:
        >>> parse_header(bytes([0xFF, 0xFB, 0x90, 0x00]), 0)
        FrameHeader(length=417, samples=1152, sample_rate=44100, layer=3, is_mpeg_1=True, is_mono=False)
    """
    head = content[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, _LAYERS.get(head[1] >> 1 & 3)
    kbps_index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version not in _RATES or layer is None or not 1 <= kbps_index <= 14 or rate_index == 3:
        return None
    is_mpeg_1 = version == 3
    sample_rate = _RATES[version][rate_index]
    bits_per_s = 1000 * _KBPS[is_mpeg_1, layer][kbps_index - 1]
    if layer == LAYER_1:
        samples, length = 384, 4 * (12 * bits_per_s // sample_rate + padding)
    else:
        samples = 576 if layer == LAYER_3 and not is_mpeg_1 else 1152
        length = samples // 8 * bits_per_s // sample_rate + padding
    return FrameHeader(length, samples, sample_rate, layer, is_mpeg_1, head[3] >> 6 == 3)


def find_mpeg_audio(path: Path, *, count: bool = False) -> MpegAudio | None:
    """The MPEG audio of a file; None if there is none, or if its frames state no length ("free format").

    Args:
        path: the file.
        count: whether the frames are counted in every case. If not, the Xing frame is believed in a file that
            holds as many bytes as it states, until a decoder finds more frames (`goes_on`).
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _scan(content, count=count)


def goes_on(path: Path, position: int, kind: tuple[int, int, bool]) -> bool:
    """Whether more frames of a kind follow behind a byte than a tag may be wrong by."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = _find_stream(content, position)
        first = None if start is None else parse_header(content, start)
        if start is None or first is None or first.kind != kind:
            return False
        return _count_frames(content, start, first)[1] > TAG_SLACK


def xing_frame(audio: MpegAudio) -> bytes:
    """A Xing frame that states the number of frames of `audio`, to be put in front of them.

    Behind it stands what LAME adds: the samples that an encoder puts before the recording, which a decoder
    drops together with those by which it is late.
    """
    version_byte, rate_byte, mode_byte = audio.first_bytes[1], audio.first_bytes[2], audio.first_bytes[3]
    head = bytes([0xFF, version_byte | 1, TAG_KBPS_INDEX << 4 | rate_byte & 0x0C, mode_byte & 0xC0])
    header = parse_header(head, 0)
    assert header is not None
    delay = (ENCODER_DELAY << 12).to_bytes(3, "big")
    lame = b"LAME3.100" + bytes(12) + delay + bytes(12)
    tag = b"Xing" + struct.pack(">II", 1, audio.n_frames) + lame
    body = head + bytes(_side_info_bytes(header)) + tag
    return body + bytes(header.length - len(body))


def _scan(content: mmap.mmap, *, count: bool) -> MpegAudio | None:
    audio_start = skip_id3(content)
    start = _find_stream(content, audio_start)
    if start is None:
        return None
    first = parse_header(content, start)
    assert first is not None
    tag = _read_tag(content, start, first)
    about = _Start(start, first, content[start : start + 4], tag, start == audio_start)
    believed = None if count else _believe_tag(content, about)
    return believed or _count_streams(content, about)


class _Tag(NamedTuple):
    """What a tag in the first frame states: frames, bytes, and the place of the number of frames."""

    frames: int | None = None
    bytes: int | None = None
    count_at: int | None = None


class _Start(NamedTuple):
    """The first frame of a file, and whether only ID3 tags stand before it."""

    position: int
    header: FrameHeader
    header_bytes: bytes
    tag: _Tag
    is_clean: bool


def _believe_tag(content: mmap.mmap, about: _Start) -> MpegAudio | None:
    """The MPEG audio that a tag states; None if no tag states frames and bytes, or if frames follow these."""
    tag, first = about.tag, about.header
    if tag.count_at is None or tag.frames is None or tag.bytes is None:
        return None
    stop = min(about.position + tag.bytes, len(content))
    if _find_stream(content, stop) is not None:
        return None
    return MpegAudio(
        ranges=((about.position + first.length, stop),),
        n_frames=tag.frames,
        first=first,
        first_bytes=about.header_bytes,
        tag_frames=tag.frames,
        n_streams=1,
        begins_clean=about.is_clean,
        count_at=tag.count_at,
        holds_all=about.position + tag.bytes <= len(content),
    )


def _count_streams(content: mmap.mmap, about: _Start) -> MpegAudio:
    """The MPEG audio of a file, from its frames."""
    tag, first = about.tag, about.header
    found: list[tuple[int, int]] = []
    n_frames, rest_s = 0, 0.0
    position: int | None = about.position
    while position is not None:
        header = parse_header(content, position)
        assert header is not None
        if _read_tag(content, position, header).frames is not None:
            position += header.length
        stop, n_following = _count_frames(content, position, header)
        if not rest_s and header.kind == first.kind:
            found.append((position, stop))
            n_frames += n_following
        elif n_following >= SURE_FRAMES:
            rest_s += n_following * header.samples / header.sample_rate
        position = _find_stream(content, stop)
    is_whole = tag.bytes is not None and about.position + tag.bytes <= found[-1][1] + first.length
    return MpegAudio(
        ranges=tuple(found),
        n_frames=n_frames,
        first=first,
        first_bytes=about.header_bytes,
        tag_frames=tag.frames,
        n_streams=len(found),
        begins_clean=about.is_clean,
        count_at=tag.count_at,
        n_missing=0 if is_whole and len(found) == 1 else max(0, (tag.frames or 0) - n_frames),
        rest_s=rest_s,
    )


def _count_frames(content: mmap.mmap, position: int, first: FrameHeader) -> tuple[int, int]:
    """Where the frames that follow each other from a position end, and how many they are."""
    n_frames = 0
    while True:
        header = parse_header(content, position)
        if header is None or header.kind != first.kind or position + header.length > len(content):
            return position, n_frames
        position += header.length
        n_frames += 1


def _find_stream(content: mmap.mmap, position: int) -> int | None:
    """The next position at which several frames follow each other; None if there is none."""
    while True:
        position = content.find(b"\xff", position)
        if position < 0:
            return None
        if _begins_stream(content, position):
            return position
        position += 1


def _begins_stream(content: mmap.mmap, position: int) -> bool:
    """Whether frames of one kind follow each other from a position on."""
    first = parse_header(content, position)
    if first is None:
        return False
    header: FrameHeader | None = first
    for _ in range(SURE_FRAMES):
        if header is None or header.kind != first.kind:
            return False
        position += header.length
        if position == len(content):
            return True
        header = parse_header(content, position)
    return True


def _read_tag(content: mmap.mmap, position: int, header: FrameHeader) -> _Tag:
    """The Xing, Info or VBRI tag of a frame; empty if there is none."""
    vbri = content[position + VBRI_AT : position + VBRI_AT + 18]
    if header.layer == LAYER_3 and len(vbri) == 18 and vbri[:6] == b"VBRI\0\1":
        n_bytes, n_frames = struct.unpack(">II", vbri[10:])
        return _Tag(n_frames, n_bytes)
    at = position + 4 + _side_info_bytes(header)
    is_tag = header.layer == LAYER_3 and content[at : at + 4] in (b"Xing", b"Info")
    if not is_tag or len(content) < at + 16:
        return _Tag()
    flags, *numbers = struct.unpack(">III", content[at + 4 : at + 16])
    n_frames = numbers.pop(0) if flags & 1 else None
    n_bytes = numbers.pop(0) if flags & 2 else None
    return _Tag(n_frames, n_bytes, at + 8 if flags & 1 else None)


def _side_info_bytes(header: FrameHeader) -> int:
    """Bytes between the header and the data of a layer III frame."""
    if header.is_mpeg_1:
        return 17 if header.is_mono else 32
    return 9 if header.is_mono else 17
