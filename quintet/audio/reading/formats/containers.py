"""Lengths that containers state, for the formats that PyAV reads.

ffmpeg gives a length for every file, but in many formats it estimates it from bit rate, size or last packet.
Here it counts only where the header states it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av import AudioStream
from av.container import InputContainer

from quintet.audio.reading.formats.headers import byte_share
from quintet.audio.reading.formats.joined import ANOTHER_FOLLOWS, holds_another, mp4_atoms
from quintet.audio.reading.formats.ogg import ogg_frames, ogg_is_complete
from quintet.audio.reading.formats.voc import voc_is_complete

EXACT_CONTAINERS = ("mov", "mp4", "m4a")
"""Containers whose time stamps are exact: they are sought in (`pyav_reader.ALIKE_CODECS`), and their stated
length is believed.

In the others a window is decoded from the start of the recording, since a seek would begin elsewhere.
"""
STREAM_LENGTHS = frozenset(
    {*EXACT_CONTAINERS, "tta", "wv", "ape", "mpc", "mpc8", "tak", "dsf", "rm", "ast", "caf", "aiff", "au"}
)
"""ffmpeg's names of containers whose header states the length of the sound, which ffmpeg passes on."""
FILE_LENGTHS = frozenset({"matroska", "flv", "nut"})
"""Containers whose header states the length of the whole file, which is that of the sound if it is alone."""
END_MISSING = "the end mark is missing"
BYTE_COUNTS = {"wav": "WAV", "w64": "W64", "voc": "VOC", "iff": "SVX"}
"""ffmpeg's name of a container whose header states the bytes of its sound → libsndfile's name of it."""
FRAME_COUNTS = {"adx": (12, ">I", 1), "sox": (8, "<Q", 0)}
"""Container → place and type of the number of samples in its header; 1 if they are counted per channel."""
AVI_UNKNOWN = (0, 0x40000000, 0x7FFFFFFF, 0xFFFFFFFF)
"""Lengths in an AVI header that stand for an unknown one: ffmpeg writes the second to a pipe."""
AVI_SAMPLE_BYTES_AT = 44
"""Place, in the header of a stream of an AVI file, of the bytes of a sample; 0 if chunks are counted."""
RM_UNKNOWN_S = 3600
"""Length that ffmpeg states in a RealMedia file that it writes to a pipe."""
ASF_FILE_FACTS = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""Identifier of the object of an ASF file (wma) that states its length."""
ASF_HEAD_BYTES = 1 << 16
"""Bytes at the start of an ASF file in which that object is looked for."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a file says of its length.

    Args:
        frames: frames of the sound; None if the file states none.
        share: share of the stated bytes of sound that it holds; None if it holds all, or states none.
        damage: what shows, besides lengths, that sound is missing; empty if nothing does.
        count_void: counts frames of the statement that have no sound; it is asked only if sound seems to be
            missing.
    """

    frames: int | None = None
    share: float | None = None
    damage: str = ""
    count_void: Callable[[], int] | None = None

    def frames_at_end(self, position: int) -> int | None:
        """Frames that the file states, if its data end at `position`."""
        if self.share is not None:
            return round(position / self.share)
        if self.frames is None or self.count_void is None or position >= self.frames:
            return self.frames
        return self.frames - self.count_void()


def read_statement(source: Path, container: InputContainer, stream: AudioStream, rate: int) -> Statement:
    """What a file says of the length of its sound.

    Args:
        source: the file.
        container: the open file.
        stream: the sound in it.
        rate: Hz.
    """
    names = set(container.format.name.split(","))
    damage = ANOTHER_FOLLOWS if any(holds_another(source, name) for name in names) else ""
    if "voc" in names and not voc_is_complete(source):
        damage = END_MISSING
    for name in names & BYTE_COUNTS.keys():
        return Statement(share=byte_share(source, format=BYTE_COUNTS[name]), damage=damage)
    for name in names & FRAME_COUNTS.keys():
        return Statement(_count_frames(source, *FRAME_COUNTS[name], n_channels=stream.channels))
    if "ogg" in names:
        damage = "" if ogg_is_complete(source) else END_MISSING
        return Statement(ogg_frames(source, rate), damage=damage)
    if "avi" in names:
        return _avi_statement(source, stream, rate)
    seconds = _seconds_of_header(source, container, stream, names)
    return Statement(None if seconds is None else round(seconds * rate), damage=damage)


def index_fault(source: Path) -> str:
    """Why an MP4 file without its index cannot be decoded; empty if the file has one, or is none.

    The index stands at the end, unless the file was made for streaming.

    Args:
        source: the file.
    """
    size = source.stat().st_size
    for name, end in mp4_atoms(source):
        if name == b"mdat" and end > size:
            return "it is cut short before its index (moov), without which nothing can be decoded"
        if name == b"moov":
            break
    return ""


def _count_frames(source: Path, at: int, kind: str, per_channel: int, *, n_channels: int) -> int | None:
    """The number of frames in a field of a header; None if there is none."""
    with source.open("rb") as file:
        file.seek(at)
        field = file.read(struct.calcsize(kind))
    if len(field) < struct.calcsize(kind):
        return None
    return int(struct.unpack(kind, field)[0]) // (1 if per_channel else n_channels) or None


def _seconds_of_header(
    source: Path, container: InputContainer, stream: AudioStream, names: set[str]
) -> float | None:
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", "").strip("\0 "))
    late_s = max(0.0, _seconds(stream.start_time or 0, stream.time_base) or 0.0)  # part of the length
    is_alone = len(container.streams) == 1 or ("flv" in names and not _flv_has_video(source))
    if names & STREAM_LENGTHS and stream.duration is not None:
        seconds = _seconds(stream.duration, stream.time_base)
        return None if "rm" in names and seconds == RM_UNKNOWN_S else seconds
    if tag is not None:  # matroska
        hours, minutes, rest = (float(part) for part in tag.groups())
        return 3600 * hours + 60 * minutes + rest - late_s
    if names & FILE_LENGTHS and is_alone and container.duration:
        return container.duration / 1_000_000 - late_s
    return _asf_seconds(source) if "asf" in names and is_alone else None


def _avi_statement(source: Path, stream: AudioStream, rate: int) -> Statement:
    """The chunks of sound in an AVI header. It counts empty ones, which stand for a delay, too."""
    chunk_s, number = _seconds(1, stream.time_base), stream.index  # the file is closed when they are counted
    if stream.frames in AVI_UNKNOWN or chunk_s is None:
        return Statement()

    def count_void() -> int:
        return round(_count_empty_chunks(source, number) * chunk_s * rate)

    return Statement(round(stream.frames * chunk_s * rate), count_void=count_void)


def _count_empty_chunks(source: Path, number: int) -> int:
    """Chunks without bytes of a stream of an AVI file whose header counts chunks, not samples.

    Args:
        source: the file.
        number: of the stream.
    """
    found, n_streams, position, wanted = 0, 0, 0, b"%02dwb" % number
    with source.open("rb") as file:
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            position += 8
            if name in (b"RIFF", b"LIST"):  # their chunks follow
                position += 4
            else:
                if name == b"strh":
                    if n_streams == number and any(file.read(48)[AVI_SAMPLE_BYTES_AT:]):
                        return 0
                    n_streams += 1
                found += name == wanted and not size
                position += size + size % 2
            file.seek(position)
    return found


def _flv_has_video(source: Path) -> bool:
    """Whether the header says so. Damaged bytes may look like pictures."""
    with source.open("rb") as file:
        head = file.read(5)
    return len(head) == 5 and bool(head[4] & 0x01)


def _seconds(ticks: int, time_base: Fraction | None) -> float | None:
    return None if time_base is None else float(ticks * time_base)


def _asf_seconds(source: Path) -> float | None:
    """Play duration (in 100 ns) without preroll (in ms), of a file that is no broadcast (flag 1)."""
    with source.open("rb") as file:
        head = file.read(ASF_HEAD_BYTES)
    at = head.find(ASF_FILE_FACTS)
    if at < 0 or len(head) < at + 92:
        return None
    duration, _, preroll, flags = struct.unpack("<QQQI", head[at + 64 : at + 92])
    return None if flags & 1 or not duration else max(0.0, duration / 1e7 - preroll / 1e3)
