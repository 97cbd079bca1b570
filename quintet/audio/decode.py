"""File to `Clip`: soundfile first, PyAV for what it does not know. Every refusal is a sentence."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from quintet.audio.clip import Clip, require_sound
from quintet.audio.native import Native, Window
from quintet.audio.resample import resample, to_mono
from quintet.audio.truncation import ogg_is_complete, promised_frames
from quintet.errors import DecodeError

BLOCK_FRAMES = 1 << 22  # no header decides how much memory is taken
SHORTAGE_S = 0.05  # the shortage that is still rounding (padding of lossy codecs, listed times)
SAMPLE_RATES = range(1000, 768_001)  # Hz; outside it a header is damaged
SUBTYPE_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
SIXTEEN_BIT = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")  # every sample of these is an int16


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A clip and what is known of where it came from.

    Args:
        clip: mono float32 at the rate that was asked for.
        native_sample_rate: Hz, in the file.
        native_channels: in the file.
        duration_s: seconds that were decoded (of the window, if there was one).
        audio_digest: 32 hex digits over the native samples of the window, their rate and their channels: equal for a wav
            and a flac of the same 16-bit recording, whatever their names and tags.
    """

    clip: Clip
    native_sample_rate: int
    native_channels: int
    duration_s: float
    audio_digest: str


def load_clip(
    path: str | os.PathLike[str], *, sample_rate: int | None, start_s: float = 0.0, end_s: float | None = None, id: str | None = None
) -> Decoded:
    """A recording, or a window of it, as mono float32.

    Args:
        path: wav, flac, ogg, mp3, au, aiff through soundfile; m4a, wma, mp4 and the rest through PyAV (extra `codecs`).
        sample_rate: Hz to resample to; None keeps the file's own.
        start_s: where the window begins, seconds. Only the window is decoded.
        end_s: where it ends, seconds; None is the end of the file. Up to 0.05 s beyond the end is taken as the end.
        id: the clip's key; the path if None.

    Raises:
        DecodeError: missing, unreadable, a folder, empty, not audio, damaged, cut short, no samples, or the window ends
            after the recording does.
        SilentError: every sample is zero.
        NonFiniteError: a sample is NaN or infinite.
        ConfigError: a window that ends before it begins.

    Example:
        >>> import numpy as np, soundfile, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.sin(np.arange(44100) * 0.1), 44100)
        >>> load_clip(path, sample_rate=22050, start_s=0.5).clip.duration_s
        0.5
    """
    source = Path(path)
    window = Window(start_s, end_s)
    _require_file(source)
    native = _native(source, window)
    _require_samples(native, source, window)
    name = str(path) if id is None else id
    mono = _mono(native, source)
    rate = native.sample_rate if sample_rate is None else sample_rate
    clip = Clip(resample(mono, orig_sr=native.sample_rate, target_sr=rate), rate, name)
    return Decoded(clip, native.sample_rate, native.samples.shape[1], len(native.samples) / native.sample_rate, _digest(native))


def _require_file(source: Path) -> None:
    """Refuses what is not a readable file with something in it."""
    if source.is_dir():
        raise DecodeError(f"An audio file was expected. '{source}' is a folder. Name a file in it.")
    try:
        with source.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise DecodeError(f"The file must exist. '{source}' does not. Check the path.") from None
    except PermissionError:
        raise DecodeError(f"The file must be readable. You have no permission to read '{source}'. Change its permissions.") from None
    except OSError as error:
        raise DecodeError(f"The file must be readable. '{source}' is not: {error}. Check the path and the disk.") from error
    if empty:
        raise DecodeError(f"The file must hold audio. '{source}' is empty (0 bytes). Fetch or export it again.")


def _native(source: Path, window: Window) -> Native:
    """The window as the file stores it: soundfile's, or PyAV's where soundfile does not know the format."""
    try:
        return _through_soundfile(source, window)
    except soundfile.LibsndfileError as refusal:
        return _av_reader(source, str(refusal))(source, window)


def _av_reader(source: Path, refusal: str) -> Callable[[Path, Window], Native]:
    try:
        from quintet.audio.codecs import through_av
    except ImportError:
        raise DecodeError(
            f"soundfile must know the format. It cannot read '{source}' ({refusal.strip()}). If it is m4a, wma, mp4 or the like, "
            "install the decoders: pip install 'quintet[codecs]'; otherwise it is damaged or no audio."
        ) from None
    return through_av


def _through_soundfile(source: Path, window: Window) -> Native:
    with soundfile.SoundFile(source) as file:
        rate, channels = _checked_rate(file.samplerate, source), file.channels
        frame_bytes = SUBTYPE_BYTES.get(file.subtype, 0) * channels
        total = promised_frames(source, format=file.format, frames=file.frames, frame_bytes=frame_bytes)
        first, last = window.frames(rate, max(file.frames, total or 0), source)
        if file.format == "OGG" and last >= file.frames and not ogg_is_complete(source):
            raise DecodeError(
                f"A recording must be complete. '{source}' breaks off after {file.frames / rate:.2f} s: the end mark is missing. Fetch it again."
            )
        samples = _blocks(file, first, last, source)
        exact = total is not None
    return Native(samples, rate, expected=last - first if exact else len(samples))


def _blocks(file: soundfile.SoundFile, first: int, last: int, source: Path) -> NDArray[np.generic]:
    """Frames first..last, as int16 where nothing is lost by it; what could be read if the data breaks off."""
    dtype = "int16" if file.subtype in SIXTEEN_BIT else "float32"
    blocks = []
    try:
        if first:
            file.seek(first)
        while first < last:
            block = file.read(min(BLOCK_FRAMES, last - first), dtype=dtype, always_2d=True)
            blocks.append(block)
            first += len(block)
            if not len(block):
                break
    except soundfile.LibsndfileError as error:
        rate, read = file.samplerate, file.tell()
        raise DecodeError(
            f"A recording must be whole. '{source}' is damaged or cut short: of {file.frames / rate:.2f} s promised, "
            f"{read / rate:.2f} s could be decoded ({_reason(error)}). Fetch it again, or ask for a window before the damage."
        ) from error
    if not blocks:
        return np.zeros((0, file.channels), dtype)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).strip(" .") or f"libsndfile error {error.code}"


def _checked_rate(rate: int, source: Path) -> int:
    if rate not in SAMPLE_RATES:
        raise DecodeError(f"A sample rate must lie between 1 and 768 kHz. '{source}' claims {rate} Hz: its header is damaged. Fetch it again.")
    return rate


def _require_samples(native: Native, source: Path, window: Window) -> None:
    read, rate = len(native.samples), native.sample_rate
    _checked_rate(rate, source)
    if native.expected - read > SHORTAGE_S * rate:
        what = "the header promises" if window.whole else "the window asks for"
        raise DecodeError(
            f"A recording must be complete. '{source}' is cut short: {what} {native.expected / rate:.2f} s, {read / rate:.2f} s could be "
            f"decoded ({1 - read / native.expected:.0%} is missing). Fetch it again."
        )
    if not read:
        raise DecodeError(f"A recording must have samples. '{source}' has a header, but its length is zero. Fetch or export it again.")


def _mono(native: Native, source: Path) -> NDArray[np.float32]:
    """The checked mix. Channels that cancel each other are silence, too."""
    require_sound(native.samples, name=str(source))
    mono = to_mono(native.samples)
    if native.samples.shape[1] > 1:
        require_sound(mono, name=f"{source} (mixed to mono)")
    return mono


def _digest(native: Native) -> str:
    digest = hashlib.sha256(f"{native.sample_rate}:{native.samples.shape[1]}:{native.samples.dtype.name}:".encode())
    little = native.samples.astype(native.samples.dtype.newbyteorder("<"), copy=False)
    digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()[:32]
