"""Recordings that follow each other in one file, where the decoders read one of them."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path

ANOTHER_FOLLOWS = "another recording follows in the same file (split it)"
OTHER_STREAM = "a stream with another rate or other channels follows"
MOST_ATOMS = 100
_STARTS = {
    "RF64": re.compile(rb"RF64.{4}WAVE", re.DOTALL),
    "AU": re.compile(rb"\.snd\0\0.{6}\0\0\0[\x01-\x1b]", re.DOTALL),
    "MAT4": re.compile(rb".{20}samplerate\0", re.DOTALL),
    "SDS": re.compile(rb"\xf0\x7e[\0-\x7f]\x01[\0-\x7f]{16}\xf7"),
    "CAF": re.compile(rb"caff\x00\x01\x00\x00desc"),
    "wav": re.compile(rb"RIFF.{4}WAVE", re.DOTALL),
    "aiff": re.compile(rb"FORM.{4}AIF[CF]", re.DOTALL),
    "iff": re.compile(rb"FORM.{4}(?:8SVX|16SV)", re.DOTALL),
    "asf": re.compile(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09"),
    "tta": re.compile(rb"TTA1[\x01-\x03]\0"),
}
"""Container → the bytes with which a recording begins.

Names are those of ffmpeg, and of libsndfile where it reads the first recording. It refuses joined wav, which
ffmpeg reads.
"""


def holds_another(source: Path, format: str) -> bool:
    """Whether another recording in the same container follows the first.

    Args:
        source: the file.
        format: the name of a container, as ffmpeg or libsndfile gives it.

    Returns:
        False also for a container in which all recordings are read.
    """
    if format == "mov":
        return [name for name, _ in mp4_atoms(source)].count(b"ftyp") > 1
    start = _STARTS.get(format)
    if start is None:
        return False
    with source.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return start.search(content, 1) is not None


def mp4_atoms(source: Path) -> Iterator[tuple[bytes, int]]:
    """Names and stated ends of the first outermost atoms of an MP4 file. Other files have none.

    Args:
        source: the file.
    """
    size, position = source.stat().st_size, 0
    with source.open("rb") as file:
        for _ in range(MOST_ATOMS):
            if position >= size:
                return
            file.seek(position)
            head = file.read(16)
            if len(head) < 8 or not head[4:8].isalpha():
                return
            length = struct.unpack(">I", head[:4])[0]
            if length == 1 and len(head) == 16:
                length = struct.unpack(">Q", head[8:])[0]
            position += max(8, int(length))
            yield head[4:8], position
