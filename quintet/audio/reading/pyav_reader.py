"""Reading with PyAV (extra `codecs`) of formats that soundfile does not know: m4a, aac, wma, mp4, others."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, AudioStream
from av.codec.context import Flags2
from av.container import InputContainer
from numpy.typing import NDArray

from quintet.audio.reading.mpeg import FILTERBANK_DELAY
from quintet.audio.reading.native import (
    READER_ERRORS,
    SHORTAGE_S,
    Ending,
    NativeSamples,
    Window,
    close_window,
)
from quintet.errors import DecodeError

PREROLL_S = 0.5
"""Seconds before a window that are decoded too: a lossy decoder needs them to give the right samples."""
HEADER_SLACK_S = 0.25
"""Seconds by which these containers may misstate their length."""
EXACT_CONTAINERS = ("mov", "mp4", "m4a")
"""Containers whose time stamps are exact: they are sought in, and their stated length is believed.

In the others a window is decoded from the start of the recording, since a seek would begin elsewhere.
"""
BLOCK_FRAMES = 1 << 15
"""Frames of a block. The decoder's own frames are fifty times as short."""
PRIMING_SAMPLES = {
    "ac3": 256,
    "eac3": 256,
    "dca": 512,
    "mp3": 1105,
    "mp3float": 1105,
    **dict.fromkeys(("mp1", "mp1float", "mp2", "mp2float"), FILTERBANK_DELAY),
}
"""Codec → samples at the start of a stream that no recording holds.

They are those that an encoder puts before it, so that its first block overlaps with one before, and those by
which the decoder is late (mp3: 576 of LAME, and 529). AAC has a whole frame of them. Raw streams, mpeg-ts and
Matroska do not state them. Of wma the decoder states them: `_wma_priming`.
"""
WMA = ("wmav1", "wmav2")
"""Codecs whose decoder drops two frames at the start, even if the encoder put only one there."""
PLAYLISTS = ("hls", "concat", "dash", "image2")
"""Containers that open other files. They are refused: a recording is one file."""

DECODER_ERRORS = (av.error.FFmpegError, *READER_ERRORS)
"""What PyAV raises over a damaged file: also ValueError for a frame of another format than those before it,
IndexError for a stream that begins late, and OSError for a step to a position before the file."""


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
            is_exact = any(name in container.format.name.split(",") for name in EXACT_CONTAINERS)
            if is_exact and window.start_s > PREROLL_S:
                _seek(container, stream, window.start_s - PREROLL_S)
            frames = _decode(container, stream)
            first_frame = next(frames, None)
        except DecodeError:
            raise
        except DECODER_ERRORS as error:
            raise DecodeError(
                f"A file must be audio that soundfile or ffmpeg can read. '{source}' is not "
                f"({getattr(error, 'strerror', error)}). Check that it is a recording and not damaged."
            ) from error
        begin = (
            _position(first_frame, stream, rate) if is_exact else -_priming(first_frame, stream, container)
        )
        stated = _stated_frames(container, stream, rate, is_exact=is_exact)
        if stated is not None and begin < 0:
            stated += begin
        first, last = window.frames(rate)
        all_frames = [] if first_frame is None else chain([first_frame], frames)
        trimmed = _trim_last(all_frames, rate) if is_exact else ((f, f.samples) for f in all_frames)
        pieces = _decode_pieces(trimmed, stream, rate, begin, source)
        ending = Ending()

        def read() -> Iterator[NDArray[np.generic]]:
            with resources:
                position = yield from _join_pieces(pieces, begin, first, last)
            ending.update(
                close_window(
                    window,
                    position=position,
                    stated=stated,
                    sample_rate=rate,
                    slack_s=HEADER_SLACK_S if window.end_s is None else SHORTAGE_S,
                    source=source,
                )
            )

        resources = stack.pop_all()
        lengths = [n for n in (last, stated) if n is not None]
        hint = max(0, min(lengths) - first) if lengths else None
        return NativeSamples(read(), rate, stream.channels, hint, ending)


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


def _stated_frames(
    container: InputContainer, stream: AudioStream, rate: int, *, is_exact: bool
) -> int | None:
    """Frames that the audio stream states; None if it states none, or only an estimate."""
    if is_exact and stream.duration is not None:
        return round(_seconds(stream.duration, stream.time_base) * rate)
    tag = stream.metadata.get("DURATION", "")  # matroska: hh:mm:ss.nnnnnnnnn
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", tag.strip("\0 "))
    if match is None:
        return None
    hours, minutes, seconds = (float(part) for part in match.groups())
    return round((3600 * hours + 60 * minutes + seconds) * rate)


def _decode(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Frames of a stream.

    Of wma also those that the decoder would drop, but not the frame after the last packet. It has no time
    stamp, and is one half of an overlap whose other half no packet holds.
    """
    if stream.codec_context.name not in WMA:
        return container.decode(stream)
    stream.codec_context.flags2 |= Flags2.skip_manual
    return (frame for frame in container.decode(stream) if frame.pts is not None)


def _priming(frame: AudioFrame | None, stream: AudioStream, container: InputContainer) -> int:
    """Samples before the recording begins, in a container that does not say how many they are.

    Where a container says it, ffmpeg leaves them out, and the decoder has a delay.
    """
    codec = stream.codec_context.name
    if codec in WMA:
        return _wma_priming(stream, container)
    if frame is None or stream.codec_context.delay:
        return 0
    return int(frame.samples) if codec.startswith("aac") else PRIMING_SAMPLES.get(codec, 0)


def _wma_priming(stream: AudioStream, container: InputContainer) -> int:
    """Samples before the recording in a wma: two frames, or the one that the encoder of ffmpeg writes."""
    delay = stream.codec_context.delay
    by_ffmpeg = any(text.startswith("Lavf") for text in container.metadata.values())
    return delay // 2 if by_ffmpeg else delay


def _trim_last(frames: Iterable[AudioFrame], rate: int) -> Iterator[tuple[AudioFrame, int]]:
    """Frames with the number of their samples. The last states a shorter time if it is padded."""
    previous: AudioFrame | None = None
    for frame in frames:
        if previous is not None:
            yield previous, previous.samples
        previous = frame
    if previous is None:
        return
    counts_samples = previous.time_base == Fraction(1, rate)
    is_short = counts_samples and 0 < (previous.duration or 0) < previous.samples
    yield previous, int(previous.duration) if is_short else previous.samples


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
    frames: Iterable[tuple[AudioFrame, int]], stream: AudioStream, rate: int, begin: int, source: Path
) -> Iterator[NDArray[np.generic]]:
    """Samples of decoded frames, shape `(n, channels)`: int16 if that loses nothing, else float32.

    Args:
        frames: each with the number of its samples that belong to the recording.
        stream: the stream that they are from.
        rate: Hz.
        begin: position of the first frame, in samples.
        source: the file, for messages.
    """
    has_16_bits = stream.format.name in ("s16", "s16p", "u8", "u8p")
    resampler = av.AudioResampler(format="s16" if has_16_bits else "flt", layout=stream.layout, rate=rate)
    position = begin
    try:
        for frame, n_left in frames:
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray().reshape(piece.samples, -1)[:n_left]
                yield samples
                position += len(samples)
                n_left -= len(samples)
    except DECODER_ERRORS as error:
        raise DecodeError(
            f"A recording must be whole. '{source}' is damaged or cut short: {position / rate:.2f} s could "
            "be decoded. Fetch it again."
        ) from error


def _join_pieces(
    pieces: Iterator[NDArray[np.generic]], begin: int, first: int, last: int | None
) -> Generator[NDArray[np.generic], None, int]:
    """Blocks of about a second of the frames from `first` to `last`; returns the position at the end.

    Args:
        pieces: short arrays of shape `(n, channels)`, one after the other.
        begin: position of the first piece, in frames.
        first: first frame of the window.
        last: the frame after the last one of the window; None is the end of the recording.
    """
    position = begin
    block: list[NDArray[np.generic]] = []
    n_frames = 0
    for piece in pieces:
        stop = len(piece) if last is None else max(0, last - position)
        part = piece[max(0, first - position) : stop]
        position += len(piece)
        if len(part):
            block.append(part)
            n_frames += len(part)
        is_done = last is not None and position >= last
        if block and (n_frames >= BLOCK_FRAMES or is_done):
            yield np.concatenate(block)
            block, n_frames = [], 0
        if is_done:
            break
    if block:
        yield np.concatenate(block)
    return position
