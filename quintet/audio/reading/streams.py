"""Sound files that are open, and the streams that follow each other in them."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import soundfile

from quintet.audio.reading.formats.flac import (
    STREAM_START,
    Frame,
    flac_start,
    frame_ends,
    holds_frames,
    is_too_large,
    last_frame,
    next_stream,
)
from quintet.audio.reading.forward_file import open_pieces
from quintet.audio.reading.mpeg import MpegAudio, find_mpeg_audio, goes_on

STREAM_STARTS = {"FLAC": STREAM_START, "OGG": b"OggS\x00\x02"}
"""Format → the bytes with which a stream begins, by which a second stream in the file is found."""
MANY_FRAMES = 1 << 40
"""Frames of a read without an end: more than any recording has."""
READ_AHEAD_BYTES = 1 << 17
"""Bytes that a decoder may have read beyond the end of a stream."""


@dataclass(slots=True)
class OpenFile:
    """An open file and what is known of its length.

    Args:
        decoder: reads the current stream of the file.
        descriptor: the file descriptor that the decoder reads; None if it reads a view.
        stated: frames that the file states reliably; None if it states none.
        held: frames that its bytes can hold, for a decoder that reads on without bytes; else None.
        share: share of the bytes of compressed data that the file holds, of those that it states; None if it
            holds all, or states none.
        start: byte at which the current stream begins.
        delay: frames at the start of a stream that no recording holds.
        counted: frames that an MPEG file surely has, from its blocks, since it states them nowhere.
        most: frames that it has at most.
        damage: what shows, besides lengths, that not all of the sound is read; empty if nothing does.
        tagged: the MPEG audio of a file whose tag is believed; None for any other.
    """

    decoder: soundfile.SoundFile
    descriptor: int | None
    stated: int | None
    held: int | None = None
    share: float | None = None
    start: int = 0
    delay: int = 0
    counted: int | None = None
    most: int | None = None
    damage: str = ""
    tagged: MpegAudio | None = None

    def frames_at_end(self, position: int) -> int | None:
        """Frames that the file states or surely has, if its data end at `position`."""
        if self.stated is None and self.counted is not None:
            return self.counted
        if self.share is None:
            return self.stated
        return max(self.stated or 0, round(position / self.share))

    def replace(self, decoder: soundfile.SoundFile, start: int) -> None:
        """Go on with another decoder, of a view that begins at byte `start`."""
        self.decoder.close()
        self.decoder, self.descriptor, self.start = decoder, None, start


def stream_start(source: Path, format: str) -> int:
    """The byte at which the first stream begins: a FLAC may stand behind tags."""
    if format != "FLAC":
        return 0
    with source.open("rb") as file:
        return flac_start(file)


def another_follows(source: Path, file: OpenFile, n_frames: int) -> bool:
    """Whether another stream follows the first, whose last frame the decoder has found by its number.

    In a FLAC that may be a frame of a later stream: where the decoder stands then says nothing.
    """
    if file.decoder.format == "FLAC" and is_too_large(source, n_frames):
        return next_flac_stream(source, file) is not None
    return find_next_stream(source, file) is not None


def open_view(source: Path, start: int, stop: int | None, format: str) -> soundfile.SoundFile:
    """A decoder of the stream in the bytes from `start` to `stop`. A FLAC stream states no length in it."""
    end = source.stat().st_size if stop is None else stop
    if format != "FLAC":
        return open_pieces(source, [(start, end)])
    return open_pieces(source, [(start, start + 8), *_without_total(source, start, end)])


def _without_total(source: Path, start: int, end: int) -> list[tuple[int, int] | bytes]:
    """The bytes of a FLAC stream up to `end`, from the body of its first block on, which states no length."""
    total_at = start + 18
    with source.open("rb") as file:
        file.seek(total_at)
        field = int.from_bytes(file.read(8), "big")
    return [(start + 8, total_at), (field >> 36 << 36).to_bytes(8, "big"), (total_at + 8, end)]


def flac_end(source: Path, start: int, stop: int | None, position: int, n_frames: int) -> int | None:
    """The byte behind the last frame of a FLAC stream, where a decoder fails over what follows it.

    Args:
        source: the file.
        start: the byte at which the stream begins.
        stop: the byte up to which the decoder reads; None is the end of the file.
        position: frames that were decoded.
        n_frames: frames of the block that failed.

    Returns:
        None if the stream does not end in that block, or its last frame is damaged.
    """
    stop = source.stat().st_size if stop is None else stop
    frame = last_frame(source, start, stop)
    if frame is None or not position <= frame.end <= position + n_frames:
        return None
    ends = frame_ends(source, start, stop, frame)
    end = next((end for end in ends if _is_frame(source, start, end, frame)), stop)
    return end if end < stop else None


def _is_frame(source: Path, start: int, end: int, frame: Frame) -> bool:
    """Whether the bytes of a FLAC file from the start of a frame to `end` can be decoded as this frame."""
    pieces = [
        (start, start + 4),
        b"\x80\0\0\x22",
        *_without_total(source, start, start + 42),
        (frame.at, end),
    ]
    try:
        with open_pieces(source, pieces) as decoder:
            return len(decoder.read(frame.end - frame.begin + 1)) == frame.end - frame.begin
    except soundfile.LibsndfileError:
        return False


def flac_is_cut(source: Path, file: OpenFile, position: int) -> bool:
    """Whether the last frame of a FLAC that states no length begins and cannot be decoded."""
    is_unsure = file.decoder.format == "FLAC" and file.decoder.frames >= MANY_FRAMES
    if not is_unsure or next_flac_stream(source, file) is not None:
        return False
    frame = last_frame(source, file.start, source.stat().st_size)
    return frame is not None and frame.end > position


def find_next_stream(source: Path, file: OpenFile) -> int | None:
    """The byte at which another stream begins behind the current one; None if there is none."""
    mark = STREAM_STARTS.get(file.decoder.format)
    if mark is None:
        return None
    begin = file.start + len(mark)
    if file.descriptor is not None:
        begin = max(begin, os.lseek(file.descriptor, 0, os.SEEK_CUR) - READ_AHEAD_BYTES)
    with source.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(mark, begin)
        while (
            found >= 0 and file.decoder.format == "OGG" and not _follows_data_page(content, file.start, found)
        ):
            found = content.find(mark, found + 1)
    return None if found < 0 else found


def next_flac_stream(source: Path, file: OpenFile) -> int | None:
    """The byte at which a FLAC stream begins behind the current one; None if there is none."""
    return next_stream(source, file.start) if file.decoder.format == "FLAC" else None


def _follows_data_page(content: mmap.mmap, start: int, position: int) -> bool:
    """Whether the Ogg page before a position is no first page: the first pages of one link stand together."""
    before = content.rfind(b"OggS", start, position)
    return before >= 0 and not content[before + 5] & 0x02


def mpeg_goes_on(source: Path, file: OpenFile) -> bool:
    """Whether more frames of MPEG audio follow the last one that a tag counts, and the decoder has read."""
    if file.tagged is None or file.descriptor is None:
        return False
    return goes_on(source, os.lseek(file.descriptor, 0, os.SEEK_CUR), file.tagged.first.kind)


def open_counted(source: Path, file: OpenFile) -> None:
    """Go on with a decoder to which the tag of a file of MPEG audio states the frames that were counted."""
    counted = find_mpeg_audio(source, count=True)
    if counted is None or counted.count_at is None:
        return
    n_frames, at = struct.pack(">I", counted.n_frames), counted.count_at
    pieces: list[tuple[int, int] | bytes] = [(0, at), n_frames, (at + len(n_frames), source.stat().st_size)]
    file.replace(open_pieces(source, pieces), file.start)
    file.stated = file.decoder.frames + counted.n_rest


def checked_statement(source: Path, file: OpenFile, stated: int, position: int) -> int:
    """Frames that a file of one stream states, or those that it has if that is surely wrong.

    A tag of MPEG audio that states too many frames, but the right number of bytes, is wrong if frames fill
    all of these.

    Args:
        source: the file.
        file: the open file.
        stated: frames that it states.
        position: frames before the end of its data.
    """
    if stated <= position or file.tagged is None or not file.tagged.holds_all:
        return stated
    counted = find_mpeg_audio(source, count=True)
    if counted is None or counted.n_streams > 1 or counted.ranges[-1][1] != file.tagged.ranges[-1][1]:
        return stated
    return min(stated, counted.n_sure)


def flac_goes_on(source: Path, file: OpenFile, position: int) -> bool:
    """Whether a FLAC file holds frames behind the total that its header states."""
    if file.decoder.format != "FLAC" or file.descriptor is None or position < file.decoder.frames:
        return False
    return holds_frames(source, os.lseek(file.descriptor, 0, os.SEEK_CUR))
