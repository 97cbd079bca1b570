"""Formats that soundfile does not know (m4a, aac, wma, mp4 …), through PyAV: the extra `codecs`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from quintet.audio.native import SHORTAGE_S, NativeSamples, Window
from quintet.errors import DecodeError

PREROLL_S = 0.5  # what a lossy decoder wants to have heard before the window begins
HEADER_SLACK_S = 0.25  # these containers state their length roughly
BLOCK_FRAMES = 1 << 15  # a decoder's own are fifty times as short
FOR_EVER = sys.maxsize  # the length of what does not state it
PLAYLISTS = ("hls", "concat", "dash", "image2")  # containers that open other files; a recording is one file


def read_with_pyav(source: Path, window: Window) -> NativeSamples:
    """The window of the first audio stream, as `NativeSamples`.

    Raises:
        DecodeError: if ffmpeg does not know the file either, finds no sound in it, or fails on the way.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(source.open("rb"))
            container: Any = stack.enter_context(
                av.open(file, options={"protocol_whitelist": "file"}, metadata_errors="ignore")
            )
            stream, rate = _stream(container, source)
            if window.start_s > PREROLL_S:
                container.seek(
                    int((window.start_s - PREROLL_S) / stream.time_base) + (stream.start_time or 0),
                    stream=stream,
                )
            frames = container.decode(stream)
            head = next(frames, None)
        except (av.error.FFmpegError, UnicodeDecodeError) as error:
            raise DecodeError(
                f"A file must be audio that soundfile or ffmpeg can read. '{source}' is not ({getattr(error, 'strerror', error)}). "
                "Check that it is a recording and not damaged."
            ) from error
        begin = _position(head, stream, rate)
        length_s = _length_s(container, stream)
        total = FOR_EVER if length_s is None else round(length_s * rate)
        first, last = window.frames(rate, total, source)
        first = max(first, begin)
        expected = None if last == FOR_EVER else last - first
        slack_s = HEADER_SLACK_S if window.end_s is None else SHORTAGE_S
        pieces = _pieces([] if head is None else chain([head], frames), stream, rate, begin, source)
        return NativeSamples(
            _blocks(pieces, begin, first, last, stack.pop_all()), rate, stream.channels, expected, slack_s
        )


def _stream(container: Any, source: Path) -> tuple[Any, int]:
    """The audio stream and its rate."""
    if not container.streams.audio or any(name in container.format.name for name in PLAYLISTS):
        raise DecodeError(
            f"A file must contain sound. '{source}' ({container.format.long_name}) has no audio track. Check that it is a recording."
        )
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise DecodeError(
            f"The codec of a file must be known. That of '{source}' is unknown to ffmpeg, or its header is damaged. Convert it to wav."
        )
    rate = int(stream.rate or 0)
    if rate <= 0 or stream.format is None or not stream.channels:
        raise DecodeError(
            f"A file must state its sample rate, format and channels. '{source}' does not: its header is damaged. Fetch it again."
        )
    return stream, rate


def _length_s(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1e6


def _position(frame: Any, stream: Any, rate: int) -> int:
    """Where a decoded frame begins in the recording."""
    if frame is None or frame.pts is None:
        return 0
    origin = float((stream.start_time or 0) * stream.time_base)
    return max(0, round((float(frame.pts * frame.time_base) - origin) * rate))


def _pieces(
    frames: Iterable[Any], stream: Any, rate: int, begin: int, source: Path
) -> Iterator[NDArray[np.generic]]:
    """The samples of decoded frames: int16 where they are no more, else float32, `(n, channels)`."""
    packed = "s16" if stream.format.name in ("s16", "s16p", "u8", "u8p") else "flt"
    resampler = av.AudioResampler(format=packed, layout=stream.layout, rate=rate)
    position = begin
    try:
        for frame in frames:
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().reshape(piece.samples, -1)
                position += piece.samples
    except av.error.FFmpegError as error:
        raise DecodeError(
            f"A recording must be whole. '{source}' is damaged or cut short: {position / rate:.2f} s could be decoded. Fetch it again."
        ) from error


def _blocks(
    pieces: Iterator[NDArray[np.generic]], begin: int, first: int, last: int, opened: ExitStack
) -> Iterator[NDArray[np.generic]]:
    """Frames first..last, a second or so at a time; then the file is closed. `begin` is where the pieces begin."""
    with opened:
        waiting: list[NDArray[np.generic]] = []
        for piece in pieces:
            waiting.append(piece[max(0, first - begin) : max(0, last - begin)])
            begin += len(piece)
            if sum(map(len, waiting)) >= BLOCK_FRAMES or begin >= last:
                yield np.concatenate(waiting)
                waiting = []
            if begin >= last:
                break
        if waiting:
            yield np.concatenate(waiting)
