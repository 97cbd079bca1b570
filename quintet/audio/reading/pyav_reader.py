"""Decoding with PyAV (extra `codecs`) of formats that soundfile does not know: m4a, aac, wma, mp4 and others."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from quintet.audio.reading.native import SHORTAGE_S, NativeSamples, Window
from quintet.errors import DecodeError

PREROLL_S = 0.5
"""Seconds before a window that are decoded too: a lossy decoder needs them to give the right samples."""
HEADER_SLACK_S = 0.25
"""Seconds by which these containers may misstate their length."""
BLOCK_FRAMES = 1 << 15
"""Frames of a block. The decoder's own frames are fifty times as short."""
UNKNOWN_LENGTH = sys.maxsize
"""Length, in frames, of a recording that states none."""
PLAYLISTS = ("hls", "concat", "dash", "image2")
"""Containers that open other files. They are refused: a recording is one file."""


def read_with_pyav(source: Path, window: Window) -> NativeSamples:
    """Native samples of the window, from the first audio stream.

    Raises:
        DecodeError: ffmpeg does not know the file either, finds no sound in it, or fails on the way.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(source.open("rb"))
            container = stack.enter_context(
                av.open(file, mode="r", options={"protocol_whitelist": "file"}, metadata_errors="ignore")
            )
            stream, rate = _audio_stream(container, source)
            if window.start_s > PREROLL_S:
                _seek(container, stream, window.start_s - PREROLL_S)
            frames = container.decode(stream)
            first_frame = next(frames, None)
        except (av.error.FFmpegError, UnicodeDecodeError) as error:
            raise DecodeError(
                f"A file must be audio that soundfile or ffmpeg can read. '{source}' is not "
                f"({getattr(error, 'strerror', error)}). Check that it is a recording and not damaged."
            ) from error
        begin = _position(first_frame, stream, rate)
        length_s = _stated_length_s(container, stream)
        total = UNKNOWN_LENGTH if length_s is None else round(length_s * rate)
        first, last = window.frames(rate, total, source)
        first = max(first, begin)
        expected = None if last == UNKNOWN_LENGTH else last - first
        slack_s = HEADER_SLACK_S if window.end_s is None else SHORTAGE_S
        all_frames = [] if first_frame is None else chain([first_frame], frames)
        pieces = _decode_pieces(all_frames, stream, rate, begin, source)
        blocks = _join_pieces(pieces, begin, first, last, stack.pop_all())
        return NativeSamples(blocks, rate, stream.channels, expected, slack_s)


def _audio_stream(container: InputContainer, source: Path) -> tuple[AudioStream, int]:
    """The first audio stream of a container, and its sample rate in Hz."""
    is_playlist = any(name in container.format.name for name in PLAYLISTS)
    if not container.streams.audio or is_playlist:
        raise DecodeError(
            f"A file must contain sound. '{source}' ({container.format.long_name}) has no audio track. "
            "Check that it is a recording."
        )
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise DecodeError(
            f"The codec of a file must be known. That of '{source}' is unknown to ffmpeg, or its header is "
            "damaged. "
            "Convert it to wav."
        )
    rate = int(stream.rate or 0)
    if rate <= 0 or stream.format is None or not stream.channels:
        raise DecodeError(
            f"A file must state its sample rate, format and channels. '{source}' does not: its header is "
            "damaged. "
            "Fetch it again."
        )
    return stream, rate


def _seek(container: InputContainer, stream: AudioStream, time_s: float) -> None:
    """Move to the last frame that begins at `time_s` or before."""
    if stream.time_base is not None:
        container.seek(int(time_s / stream.time_base) + (stream.start_time or 0), stream=stream)


def _stated_length_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None:
        return _seconds(stream.duration, stream.time_base)
    return None if container.duration is None else container.duration / 1e6


def _position(frame: AudioFrame | None, stream: AudioStream, rate: int) -> int:
    """Position of a decoded frame in the recording, in samples."""
    if frame is None or frame.pts is None:
        return 0
    origin_s = _seconds(stream.start_time or 0, stream.time_base)
    time_s = _seconds(frame.pts, frame.time_base) - origin_s
    return max(0, round(time_s * rate))


def _seconds(ticks: int, time_base: Fraction | None) -> float:
    """Time of a time stamp, in seconds; 0 if the unit of the stamp is unknown."""
    return 0.0 if time_base is None else float(ticks * time_base)


def _decode_pieces(
    frames: Iterable[AudioFrame], stream: AudioStream, rate: int, begin: int, source: Path
) -> Iterator[NDArray[np.generic]]:
    """Samples of decoded frames, shape `(n, channels)`: int16 if that loses nothing, else float32."""
    has_16_bits = stream.format.name in ("s16", "s16p", "u8", "u8p")
    resampler = av.AudioResampler(format="s16" if has_16_bits else "flt", layout=stream.layout, rate=rate)
    position = begin
    try:
        for frame in frames:
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().reshape(piece.samples, -1)
                position += piece.samples
    except av.error.FFmpegError as error:
        raise DecodeError(
            f"A recording must be whole. '{source}' is damaged or cut short: {position / rate:.2f} s could "
            "be "
            "decoded. Fetch it again."
        ) from error


def _join_pieces(
    pieces: Iterator[NDArray[np.generic]], begin: int, first: int, last: int, resources: ExitStack
) -> Iterator[NDArray[np.generic]]:
    """Blocks of about a second of the frames from `first` to `last`; at the end the file is closed.

    Args:
        pieces: short arrays of shape `(n, channels)`, one after the other.
        begin: position of the first piece, in frames.
        first: first frame of the window.
        last: the frame after the last one of the window.
        resources: open files, which are closed at the end.
    """
    with resources:
        position = begin
        block: list[NDArray[np.generic]] = []
        for piece in pieces:
            block.append(piece[max(0, first - position) : max(0, last - position)])
            position += len(piece)
            is_done = position >= last
            if sum(map(len, block)) >= BLOCK_FRAMES or is_done:
                yield np.concatenate(block)
                block = []
            if is_done:
                break
        if block:
            yield np.concatenate(block)
