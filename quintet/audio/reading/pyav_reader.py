"""Reading with PyAV (extra `codecs`) of formats that soundfile does not know: m4a, aac, wma, mp4, others."""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, AudioStream, Packet
from av.codec.context import Flags2
from av.container import InputContainer
from numpy.typing import NDArray

from quintet.audio.reading.formats.containers import EXACT_CONTAINERS, index_fault, read_statement
from quintet.audio.reading.mpeg import FILTERBANK_DELAY
from quintet.audio.reading.native import (
    READER_ERRORS,
    SHORTAGE_S,
    Ending,
    NativeSamples,
    Window,
    close_window,
    reason_of,
)
from quintet.errors import DecodeError
from quintet.files.machine import machine_fault

PREROLL_S = 0.5
"""Seconds before a window that are decoded too: a lossy decoder needs them to give the right samples."""
HEADER_SLACK_S = 0.25
"""Seconds by which these containers may misstate their length."""
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
ALIKE_CODECS = ("pcm_", "alac", "flac", "mp3", "opus", "libopus")
"""Beginnings of the names of codecs that give the same samples wherever decoding begins, but for a moment.

Aac, ac3 and eac3 fill bands with noise from a generator that runs since the first frame; adpcm carries on its
last sample. Windows of them are decoded from the start of the recording.
"""
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
            file = stack.enter_context(_open(source))
            container = stack.enter_context(
                av.open(file, mode="r", options={"protocol_whitelist": "file"}, metadata_errors="ignore")
            )
            stream, rate = _audio_stream(container, source)
            is_exact = any(name in container.format.name.split(",") for name in EXACT_CONTAINERS)
            is_alike = stream.codec_context.name.startswith(ALIKE_CODECS)
            if is_exact and is_alike and window.start_s > PREROLL_S:
                _seek(container, stream, window.start_s - PREROLL_S)
            damage = _Damage(rate)
            frames = _decode(container, stream, damage)
            first_frame = next(frames, None)
            if first_frame is None and damage.error is not None:
                raise damage.error
        except DecodeError:
            raise
        except DECODER_ERRORS as error:
            reason = index_fault(source) or reason_of(error)
            raise DecodeError(
                f"A file must be audio that soundfile or ffmpeg can read. '{source}' is not ({reason}). "
                "Check that it is a recording and not damaged."
            ) from error
        begin = (
            _position(first_frame, stream, rate) if is_exact else -_priming(first_frame, stream, container)
        )
        statement = read_statement(source, container, stream, rate)
        if statement.frames is not None and begin < 0:
            statement = replace(statement, frames=statement.frames + begin)
        first, last = window.frames(rate)
        all_frames = [] if first_frame is None else chain([first_frame], frames)
        trimmed = _trim_last(all_frames, rate) if is_exact else ((f, f.samples) for f in all_frames)
        damage.position = begin
        pieces = _decode_pieces(trimmed, stream, rate, damage)
        ending = Ending()

        def read() -> Iterator[NDArray[np.generic]]:
            with resources:
                position = yield from _join_pieces(pieces, begin, first, last)
            ending.update(
                close_window(
                    window,
                    position=position,
                    stated=statement.frames_at_end(position),
                    sample_rate=rate,
                    slack_s=HEADER_SLACK_S if window.end_s is None else SHORTAGE_S,
                    source=source,
                    damage=damage.reason or ("" if last and position >= last else statement.damage),
                    lost=damage.n_lost(first),
                )
            )

        resources = stack.pop_all()
        lengths = [n for n in (last, statement.frames) if n is not None]
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


class _Source(io.BufferedReader):
    """A file in which a step to an impossible place fails as ffmpeg expects, and raises nothing.

    A damaged file may name places before its start.
    """

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place, and return it; -1 if there is no such place."""
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError) as error:
            if machine_fault(error) is not None:
                raise
            return -1


def _open(source: Path) -> _Source:
    return _Source(io.FileIO(source))


class _Damage:
    """Packets of a stream that could not be decoded. What follows them can be.

    Args:
        rate: of the stream, Hz.
    """

    def __init__(self, rate: int) -> None:
        self.rate, self.position = rate, 0
        """Frames from the start of the recording to the end of what was decoded."""
        self.error: Exception | None = None
        self._losses: list[tuple[int, int]] = []

    def lose(self, packet: Packet[AudioStream], error: Exception) -> None:
        """Count a packet."""
        frame_samples = packet.stream.codec_context.frame_size or 1
        duration = packet.duration and packet.time_base and packet.duration * packet.time_base
        self._losses.append((self.position, round(duration * self.rate) if duration else frame_samples))
        self.error = error

    def lose_frame(self, frame: AudioFrame, error: Exception) -> None:
        """Count a frame whose format is not that of the frames before it."""
        self._losses.append((self.position, frame.samples * self.rate // (frame.sample_rate or self.rate)))
        self.error = error

    def end(self, error: Exception) -> None:
        """Nothing can be decoded from here on."""
        self.error = error

    def n_lost(self, first: int) -> int:
        """Frames in the packets behind a place that could not be decoded."""
        return sum(n_frames for position, n_frames in self._losses if position >= first)

    @property
    def reason(self) -> str:
        """What is damaged; empty if nothing is."""
        if self.error is None:
            return ""
        if self._losses:
            return f"{len(self._losses)} damaged " + ("packet" if len(self._losses) == 1 else "packets")
        return reason_of(self.error)


def _decode(container: InputContainer, stream: AudioStream, damage: _Damage) -> Iterator[AudioFrame]:
    """Frames of the packets of a stream that can be decoded.

    Of wma also those that the decoder would drop, but not the frame after the last packet: it is one half of
    an overlap whose other half no packet holds.
    """
    is_wma = stream.codec_context.name in WMA
    if is_wma:
        stream.codec_context.flags2 |= Flags2.skip_manual
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except DECODER_ERRORS as error:
                if machine_fault(error) is not None:
                    raise
                if packet.size:  # the empty packet at the end asks for what the decoder has left
                    damage.lose(packet, error)
                continue
            if packet.size or not is_wma:
                yield from frames
    except DECODER_ERRORS as error:
        if machine_fault(error) is not None:
            raise
        damage.end(error)


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
    frames: Iterable[tuple[AudioFrame, int]], stream: AudioStream, rate: int, damage: _Damage
) -> Iterator[NDArray[np.generic]]:
    """Samples of decoded frames, shape `(n, channels)`: int16 if that loses nothing, else float32.

    Args:
        frames: each with the number of its samples that belong to the recording.
        stream: the stream that they are from.
        rate: Hz.
        damage: receives the position, and the frames whose format is not that of the others.
    """
    has_16_bits = stream.format.name in ("s16", "s16p", "u8", "u8p")
    resampler = av.AudioResampler(format="s16" if has_16_bits else "flt", layout=stream.layout, rate=rate)
    for frame, n_left in frames:
        try:
            pieces = [piece.to_ndarray().reshape(piece.samples, -1) for piece in resampler.resample(frame)]
        except DECODER_ERRORS as error:
            if machine_fault(error) is not None:
                raise
            damage.lose_frame(frame, error)
            continue
        for piece in pieces:
            samples = piece[:n_left]
            damage.position += len(samples)
            yield samples
            n_left -= len(samples)


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
