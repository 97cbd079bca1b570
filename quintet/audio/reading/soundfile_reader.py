"""Reading with soundfile (libsndfile): wav, aiff, au, caf, flac, ogg, opus, mp3 and others.

The data of a file say how long the recording is. libsndfile stops at the length that a header states, or at
its own estimate; here a file is read until its data end, and streams that follow each other in one file are
read one after the other. What a header states is only used to notice that data are missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from quintet.audio.reading.formats.headers import (
    byte_share,
    frames_of_bytes,
    repair_header,
    stated_frames,
)
from quintet.audio.reading.formats.id3 import skip_id3
from quintet.audio.reading.formats.joined import ANOTHER_FOLLOWS, OTHER_STREAM, holds_another
from quintet.audio.reading.formats.ogg import ogg_frames, ogg_is_complete
from quintet.audio.reading.formats.voc import UNSUPPORTED, voc_is_split
from quintet.audio.reading.forward_file import FORK_ERRORS, ForwardFile, open_pieces
from quintet.audio.reading.miniaudio_reader import decode_flac
from quintet.audio.reading.mpeg import LAYER_3, MpegAudio, find_mpeg_audio, parse_header, xing_frame
from quintet.audio.reading.native import (
    SHORTAGE_S,
    Ending,
    NativeSamples,
    Window,
    close_window,
    damage_in_sentences,
    reason_of,
)
from quintet.audio.reading.streams import (
    MANY_FRAMES,
    OpenFile,
    another_follows,
    checked_statement,
    find_next_stream,
    flac_end,
    flac_goes_on,
    flac_is_cut,
    mpeg_goes_on,
    next_flac_stream,
    open_counted,
    open_view,
    stream_start,
)
from quintet.errors import DecodeError

BLOCK_SAMPLES = 1 << 17
"""Samples that are decoded at a time. From decoder to resampler a block stays in the processor's cache."""
SAMPLE_RATES = range(1000, 768_001)
"""Accepted sample rates, Hz. A header with another rate is damaged."""
SUBTYPE_BYTES = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "ULAW": 1,
    "ALAW": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}
SIXTEEN_BIT = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")
"""Subtypes whose every sample is an int16."""
SALVAGE_FRAMES = 1024
"""Frames of a block near damage: a read that fails loses the whole block."""
MPEG_SUFFIXES = (".mp3", ".mp2", ".mpga")
INEXACT_SEEKS = {("OGG", "FLAC"), ("OGG", "OPUS"), ("WAV", "GSM610"), ("AIFF", "GSM610"), ("W64", "GSM610")}
"""(format, subtype) in which libsndfile seeks to other samples than it reads from the start."""
PREROLL_FRAMES = {"MP3": 16 * 1152}
"""Format → frames before a window that are decoded too. A frame of an mp3 uses bits of those before it."""


class _DamageError(Exception):
    """The decoder cannot go on. The message is its reason."""


def read_with_soundfile(source: Path, window: Window) -> NativeSamples:
    """Native samples of the window.

    Raises:
        soundfile.LibsndfileError: libsndfile does not know the format.
        DecodeError: the file is damaged.
    """
    file = _open(source)
    try:
        rate = require_rate(file.decoder.samplerate, source)
    except DecodeError:
        file.decoder.close()
        raise
    first, last = window.frames(rate)
    lengths = [frames for frames in (last, file.stated, file.held, file.most) if frames is not None]
    hint = max(0, min(lengths) - first) if lengths else None
    ending = Ending()
    blocks = _read_window(file, source, window, ending)
    return NativeSamples(blocks, rate, file.decoder.channels, hint, ending)


def length_in_frames(source: Path) -> tuple[int, int] | None:
    """Frames and sample rate of a file whose stated length is true; None if it must be decoded.

    The statement is true if its last frame can be read and no other stream follows.

    Raises:
        soundfile.LibsndfileError: libsndfile does not know the format.
        DecodeError: the sample rate is impossible, or the file is damaged.
    """
    with damage_in_sentences(source, soundfile.LibsndfileError):
        return _length_in_frames(source)


def _length_in_frames(source: Path) -> tuple[int, int] | None:
    """The same, with the errors of the readers."""
    file = _open(source)
    with file.decoder as decoder:
        rate = require_rate(decoder.samplerate, source)
        n_frames = decoder.frames
        is_held = file.held is None or n_frames <= file.held
        if not is_held or not _can_seek(file, n_frames - 1):
            return None
        try:
            decoder.seek(n_frames - 1)
            has_last = len(decoder.read(1)) == 1
        except soundfile.LibsndfileError:
            return None
        goes_on = flac_goes_on(source, file, n_frames) or mpeg_goes_on(source, file)
        goes_on = goes_on or another_follows(source, file, n_frames)
    return (n_frames - file.delay, rate) if has_last and not goes_on else None


def require_rate(rate: int, source: Path) -> int:
    """The rate, if it lies in `SAMPLE_RATES`.

    Raises:
        DecodeError: it does not.
    """
    if rate not in SAMPLE_RATES:
        raise DecodeError(
            f"A sample rate must lie between 1 and 768 kHz. '{source}' claims {rate} Hz: its header is "
            "damaged. "
            "Fetch it again."
        )
    return rate


def _open(source: Path) -> OpenFile:
    audio = find_mpeg_audio(source) if _looks_like_mpeg(source) else None
    if audio is not None and audio.misleads_decoders:
        return _open_frames(source, audio, xing_frame(audio))
    if audio is not None and audio.rest_s and audio.first.layer != LAYER_3:
        return _open_frames(source, audio, b"")
    descriptor = None
    pieces = repair_header(source)
    if pieces is not None:
        decoder = open_pieces(source, pieces)
    else:
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            decoder = ForwardFile(descriptor, closefd=True)
        except soundfile.LibsndfileError as error:
            if audio is None or error.code not in FORK_ERRORS:
                raise
            decoder, descriptor = open_pieces(source, [(0, source.stat().st_size)]), None
    if decoder.format == "VOC" and voc_is_split(source):
        decoder.close()
        raise soundfile.LibsndfileError(UNSUPPORTED)
    if audio is not None:
        return _with_mpeg_facts(source, OpenFile(decoder, descriptor, None), audio)
    frame_bytes = SUBTYPE_BYTES.get(decoder.subtype, 0) * decoder.channels
    stated = stated_frames(source, format=decoder.format, frames=decoder.frames, frame_bytes=frame_bytes)
    held = frames_of_bytes(source, format=decoder.format)
    share = None if frame_bytes else byte_share(source, format=decoder.format)
    if decoder.format == "OGG":
        stated = ogg_frames(source, decoder.samplerate)
    return OpenFile(decoder, descriptor, stated, held, share, start=stream_start(source, decoder.format))


def _open_frames(source: Path, audio: MpegAudio, tag: bytes) -> OpenFile:
    """A decoder of the frames of MPEG audio alone, behind a tag."""
    decoder = open_pieces(source, [tag, *audio.ranges])
    return OpenFile(
        decoder,
        None,
        None,
        delay=audio.delay,
        counted=audio.n_stated,
        most=audio.n_samples,
        damage=OTHER_STREAM if audio.rest_s else "",
    )


def _with_mpeg_facts(source: Path, file: OpenFile, audio: MpegAudio) -> OpenFile:
    """A file of MPEG audio that is decoded as it is, with what is known of its length."""
    file.delay, file.counted, file.most = audio.delay, audio.n_stated, audio.n_samples
    if audio.tag_frames is not None:
        file.tagged = audio
    if audio.tag_frames == 0:
        open_counted(source, file)
    elif audio.tag_frames:
        file.stated = file.decoder.frames + audio.n_rest
    file.damage = OTHER_STREAM if audio.rest_s else ""
    return file


def _looks_like_mpeg(source: Path) -> bool:
    """Whether a file begins with an MPEG frame, perhaps behind tags, or is named like one."""
    with source.open("rb") as file:
        head = file.read(3)
        file.seek(skip_id3(file))
        behind_tags = file.read(4)
    begins_with_frame = len(head) == 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    is_named = source.suffix.lower() in MPEG_SUFFIXES
    return begins_with_frame or is_named or parse_header(behind_tags, 0) is not None


def _read_window(
    file: OpenFile, source: Path, window: Window, ending: Ending
) -> Iterator[NDArray[np.generic]]:
    """Blocks of the window. At the end the file is closed and `ending` is complete."""
    rate, channels, format = file.decoder.samplerate, file.decoder.channels, file.decoder.format
    first, last = window.frames(rate)
    if file.held is not None:
        last = file.held if last is None else min(last, file.held)
    position, n_streams = 0, 1  # frames before the current stream, and streams so far
    damage = ""
    try:
        while True:
            reached = position
            try:
                for start, block in _read_stream(file, source, first - position, last and last - position):
                    reached = position + start + len(block)
                    begin = max(0, first - position - start)
                    if begin < len(block):
                        yield block[begin:]
            except _DamageError as error:
                damage = str(error)
            position = reached
            if damage:
                break
            if last is not None and position >= last:
                break
            next_start = find_next_stream(source, file)
            if next_start is None:
                break
            try:
                decoder = open_view(source, next_start, None, format)
            except soundfile.LibsndfileError:
                damage = "a stream that cannot be read follows"
                break
            if (decoder.samplerate, decoder.channels) != (rate, channels):
                decoder.close()
                damage = OTHER_STREAM
                break
            file.replace(decoder, next_start)
            n_streams += 1
    finally:
        file.decoder.close()
    reached_end = last is None or position < last
    stated = file.frames_at_end(position) if n_streams == 1 else None
    if reached_end and stated is not None:
        stated = checked_statement(source, file, stated, position)
    if reached_end:
        damage = damage or file.damage
    if format == "OGG" and reached_end and not ogg_is_complete(source):
        damage = damage or "the end mark is missing"
    if stated is not None and reached_end and holds_another(source, format):
        damage = damage or ANOTHER_FOLLOWS
    ending.update(
        close_window(
            window,
            position=position,
            stated=stated,
            sample_rate=rate,
            slack_s=SHORTAGE_S,
            damage=damage,
            source=source,
        )
    )


def _read_stream(
    file: OpenFile, source: Path, first: int, last: int | None
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Positions and blocks of the current stream, from `first` or before up to `last` or the end."""
    decoder = file.decoder
    dtype = np.int16 if decoder.subtype in SIXTEEN_BIT else np.float32
    whole = _decode_whole(file, source, dtype) if first <= 0 and last is None else None
    if whole is not None:
        step = max(1, BLOCK_SAMPLES // decoder.channels)
        yield from ((begin, whole[begin : begin + step]) for begin in range(0, len(whole), step))
        return
    memory = np.empty((max(1, BLOCK_SAMPLES // decoder.channels), decoder.channels), dtype)
    position, stop = _seek(file, source, first)
    while last is None or position < last:
        n_wanted = len(memory) if last is None else min(len(memory), last - position)
        n_wanted = min(n_wanted, _n_left(file, position))
        try:
            block = file.decoder.read(n_wanted, out=memory[:n_wanted]) if n_wanted else memory[:0]
        except soundfile.LibsndfileError as error:
            boundary = find_next_stream(source, file) if stop is None else None
            if boundary is None and decoder.format == "FLAC":
                boundary = flac_end(source, file.start, stop, position, n_wanted)
            if boundary is not None:
                # the decoder ran into the next stream, or into other bytes: read up to these
                stop = boundary
            elif len(memory) > SALVAGE_FRAMES:
                # once more with short blocks, up to the damage
                memory = memory[:SALVAGE_FRAMES]
            else:
                raise _DamageError(reason_of(error)) from error
            _reopen(file, source, stop, position, memory)
            continue
        if len(block):
            yield position, block
            position += len(block)
        elif mpeg_goes_on(source, file):
            open_counted(source, file)
            _skip(file.decoder, position + file.delay, memory)
        elif stop is None and (next_flac_stream(source, file) or flac_goes_on(source, file, position)):
            stop = next_flac_stream(source, file) or source.stat().st_size
            _reopen(file, source, stop, position, memory)
        else:
            break
    if (last is None or position < last) and flac_is_cut(source, file, position):
        raise _DamageError("its last frame is cut off")


def _seek(file: OpenFile, source: Path, first: int) -> tuple[int, int | None]:
    """Go to a frame or to one before it.

    Returns:
        The frame, and the byte that the decoder reads up to; None if it is the end of the file.
    """
    stop = None
    target = first - PREROLL_FRAMES.get(file.decoder.format, 0)
    if not _can_seek(file, target + file.delay):
        return -file.delay, stop
    boundary = next_flac_stream(source, file)
    if boundary is not None:  # libFLAC looks for a frame's number, and both streams have it
        stop = boundary
        file.replace(open_view(source, file.start, stop, file.decoder.format), file.start)
    decoder = file.decoder
    try:
        return decoder.seek(target + file.delay) - file.delay, stop
    except soundfile.LibsndfileError:  # a damage in between: read from the start, up to it
        file.replace(open_view(source, file.start, stop, decoder.format), file.start)
        return -file.delay, stop


def _reopen(
    file: OpenFile, source: Path, stop: int | None, position: int, memory: NDArray[np.generic]
) -> None:
    """Go on at `position` with a decoder that reads the current stream up to byte `stop`."""
    file.replace(open_view(source, file.start, stop, file.decoder.format), file.start)
    _skip(file.decoder, position + file.delay, memory)


def _n_left(file: OpenFile, position: int) -> int:
    """Most frames that can be read at once: libsndfile fails if a read reaches into bytes behind a FLAC."""
    decoder = file.decoder
    is_known = decoder.format == "FLAC" and position <= decoder.frames < MANY_FRAMES
    return decoder.frames - position if is_known else MANY_FRAMES


def _can_seek(file: OpenFile, first: int) -> bool:
    """Whether a seek to frame `first` gives the samples that reading from the start gives."""
    decoder = file.decoder
    is_known = first < decoder.frames < MANY_FRAMES
    is_exact = (decoder.format, decoder.subtype) not in INEXACT_SEEKS and not _is_part_of_flac(file)
    return first > 0 and is_known and is_exact


def _is_part_of_flac(file: OpenFile) -> bool:
    """Whether the first frame of a FLAC file has a later number: libFLAC seeks to positions in the whole."""
    return file.decoder.format == "FLAC" and file.stated not in (None, file.decoder.frames)


def _skip(decoder: soundfile.SoundFile, n_frames: int, memory: NDArray[np.generic]) -> None:
    """Read and drop frames."""
    while n_frames > 0:
        block = decoder.read(min(n_frames, len(memory)), out=memory[: min(n_frames, len(memory))])
        if not len(block):
            return
        n_frames -= len(block)


def _decode_whole(file: OpenFile, source: Path, dtype: type) -> NDArray[np.generic] | None:
    """All samples of a plain FLAC file from a quicker decoder; None if there is none, or it is not plain."""
    decoder = file.decoder
    is_plain = decoder.format == "FLAC" and file.stated == decoder.frames
    if not is_plain or file.descriptor is None:
        return None
    samples = decode_flac(source, decoder, dtype)
    if samples is not None:  # as if the decoder had read it
        os.lseek(file.descriptor, 0, os.SEEK_END)
    return samples
