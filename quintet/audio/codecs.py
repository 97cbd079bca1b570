"""Formats that soundfile does not know (m4a, aac, wma, mp4 …), through PyAV: the extra `codecs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from quintet.audio.native import Native, Window
from quintet.errors import DecodeError

PREROLL_S = 0.5  # what a lossy decoder wants to have heard before the window begins
HEADER_SLACK_S = 0.25  # these containers state their length roughly
PLAYLISTS = ("hls", "concat", "dash", "image2")  # containers that open other files; a recording is one file


def through_av(source: Path, window: Window) -> Native:
    """The window of the first audio stream, as `Native`.

    Raises:
        DecodeError: if ffmpeg does not know the file either, finds no sound in it, or fails on the way.
    """
    try:
        with source.open("rb") as file, av.open(file, options={"protocol_whitelist": "file"}, metadata_errors="ignore") as container:
            return _stream(container, source, window)
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise DecodeError(
            f"A file must be audio that soundfile or ffmpeg can read. '{source}' is not ({getattr(error, 'strerror', error)}). "
            "Check that it is a recording and not damaged."
        ) from error


def _stream(container: Any, source: Path, window: Window) -> Native:
    if not container.streams.audio or any(name in container.format.name for name in PLAYLISTS):
        raise DecodeError(f"A file must contain sound. '{source}' ({container.format.long_name}) has no audio track. Check that it is a recording.")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise DecodeError(f"The codec of a file must be known. That of '{source}' is unknown to ffmpeg, or its header is damaged. Convert it to wav.")
    rate = int(stream.rate or 0)
    if rate <= 0 or stream.format is None or not stream.channels:
        raise DecodeError(f"A file must state its sample rate, format and channels. '{source}' does not: its header is damaged. Fetch it again.")
    if window.start_s > PREROLL_S:
        container.seek(int((window.start_s - PREROLL_S) / stream.time_base) + (stream.start_time or 0), stream=stream)
    begin, samples = _decoded(container, stream, rate, window, source)
    first, last = window.frames(rate, _total(container, stream, rate, begin + len(samples), window), source)
    first = max(first, begin)
    wanted = samples[first - begin : max(0, last - begin)]
    return Native(iter([wanted]), rate, wanted.shape[1], expected=last - first)


def _total(container: Any, stream: Any, rate: int, decoded: int, window: Window) -> int:
    """Frames in the recording: the header's figure, unless the decoder came nearly as far."""
    length = _length_s(container, stream)
    if length is None:
        return decoded
    promised = round(length * rate)
    complete = window.end_s is None and promised - HEADER_SLACK_S * rate <= decoded
    return min(promised, decoded) if complete else promised


def _length_s(container: Any, stream: Any) -> float | None:
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1e6


def _decoded(container: Any, stream: Any, rate: int, window: Window, source: Path) -> tuple[int, NDArray[np.generic]]:
    """Position of the first decoded frame in the recording, and the frames up to the window's end."""
    origin = float((stream.start_time or 0) * stream.time_base)
    stop = np.inf if window.end_s is None else window.end_s * rate
    packed = "s16" if stream.format.name in ("s16", "s16p", "u8", "u8p") else "flt"
    resampler = av.AudioResampler(format=packed, layout=stream.layout, rate=rate)
    blocks: list[NDArray[np.generic]] = []
    begin, position = 0, 0
    try:
        for frame in container.decode(stream):
            if not blocks:
                begin = position = 0 if frame.pts is None else max(0, round((float(frame.pts * frame.time_base) - origin) * rate))
            for piece in resampler.resample(frame):
                blocks.append(piece.to_ndarray().reshape(piece.samples, -1))
                position += piece.samples
            if position >= stop:
                break
    except av.error.FFmpegError as error:
        raise DecodeError(
            f"A recording must be whole. '{source}' is damaged or cut short: {position / rate:.2f} s could be decoded. Fetch it again."
        ) from error
    if not blocks:
        return 0, np.zeros((0, max(1, stream.channels)), np.float32)
    return begin, np.concatenate(blocks)
