"""A recording in blocks: soundfile first, PyAV for what it does not know. Every refusal is a sentence."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import xxhash
from numpy.typing import NDArray

from quintet.audio.clip import require_sound_in_blocks
from quintet.audio.headers import declared_frames, ogg_is_complete
from quintet.audio.native import NativeSamples, Window
from quintet.audio.resample import MonoMixer, resample_blocks
from quintet.errors import DecodeError

TRUSTED_SAMPLES = 1 << 26  # memory that is set aside because a header promises as much
BLOCK_SAMPLES = (
    1 << 16
)  # decoded at a time, whatever a header promises: from the decoder to the resampler a block stays in the cache
DIGEST_KIND = "xxh3:"  # what an audio digest begins with: digests of different kinds are never equal
SAMPLE_RATES = range(1000, 768_001)  # Hz; outside it a header is damaged
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
SIXTEEN_BIT = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")  # every sample of these is an int16


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a recording once it was gone through; as in `decode.DecodedClip`."""

    native_sample_rate: int
    native_channels: int
    duration_s: float
    audio_digest: str


class Recording:
    """A recording, or a window of it, which is decoded, checked, mixed and resampled block by block, as often as it is gone through.

    Args:
        path: as for `decode.load_clip`, like everything else.
        sample_rate: Hz; None keeps the file's own.
        start_s: seconds.
        end_s: seconds.

    Raises:
        DecodeError, SilentError, NonFiniteError, ConfigError: as `load_clip`, some of them when the last block has been read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tone.wav"
        >>> soundfile.write(path, np.sin(np.arange(44100) * 0.1), 44100)
        >>> recording = Recording(path, sample_rate=22050)
        >>> sum(map(len, recording.blocks())), recording.facts.duration_s
        (22050, 1.0)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sample_rate: int | None,
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> None:
        self.source = Path(path)
        self.window = Window(start_s, end_s)
        self.sample_rate = sample_rate or 0
        self._facts: Facts | None = None
        self._promised = 0  # samples at `sample_rate`, by the header

    @property
    def facts(self) -> Facts:
        """What the blocks had in common; known once all of them were read."""
        assert self._facts is not None, "all blocks must be read first"
        return self._facts

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Mono float32 at `sample_rate`, from the beginning; arrays of shape `(n,)`."""
        _require_file(self.source)
        native = _native(self.source, self.window)
        rate = _checked_rate(native.sample_rate, self.source)
        self.sample_rate = self.sample_rate or rate
        self._promised = math.ceil((native.expected or 0) * self.sample_rate / rate)
        heard = self._heard(native)
        if rate == self.sample_rate:
            yield from (mono.copy() for mono in heard)
        else:
            yield from resample_blocks(heard, orig_sr=rate, target_sr=self.sample_rate)

    def read_all(self) -> NDArray[np.float32]:
        """All blocks, shape `(n,)`, written into memory of the length that the header promises: to gather and join them would cost as much again."""
        whole, filled = np.empty(0, np.float32), 0
        for block in self.blocks():
            end = filled + len(block)
            if end > len(whole):
                grown = np.empty(max(end, 2 * filled, min(self._promised, TRUSTED_SAMPLES)), np.float32)
                grown[:filled] = whole[:filled]
                whole = grown
            whole[filled:end] = block
            filled = end
        return whole[:filled]

    def _heard(self, native: NativeSamples) -> Iterator[NDArray[np.float32]]:
        """The mixed blocks, each of which lasts until the next; what must hold of all of them together is checked behind the last."""
        digest, frames, bad, sound, mixed_sound = None, 0, 0, False, False
        to_mono = MonoMixer()
        for block in native.blocks:
            if digest is None:
                digest = xxhash.xxh3_128(
                    f"{native.sample_rate}:{native.channels}:{block.dtype.name}:".encode()
                )
            mono = to_mono(block)
            digested = (
                block if block.dtype == np.int16 else mono
            )  # every channel of floats would be four times as many bytes
            digest.update(
                np.ascontiguousarray(digested.astype(digested.dtype.newbyteorder("<"), copy=False)).data
            )
            frames += len(block)
            if not mixed_sound:  # sound in the mix is sound in a channel
                mixed_sound = bool(mono.any())
                sound = sound or mixed_sound or bool(block.any())
            if block.dtype.kind == "f" and not _surely_finite(mono):
                bad += block.size - int(np.count_nonzero(np.isfinite(block)))
            yield mono
        _require_samples(frames, native, self.source, self.window)
        require_sound_in_blocks(bad, frames * native.channels, sound=sound, name=str(self.source))
        require_sound_in_blocks(0, frames, sound=mixed_sound, name=f"{self.source} (mixed to mono)")
        assert digest is not None
        self._facts = Facts(
            native.sample_rate, native.channels, frames / native.sample_rate, DIGEST_KIND + digest.hexdigest()
        )


def _surely_finite(samples: NDArray[np.float32]) -> bool:
    """Whether no sample is NaN or infinite, from one number; False also where only the squares are too large for it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(samples, samples)))


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its place to its end.

    soundfile seeks to where it already is after every read, and there a decoder of mp3 begins anew: slower, and not the samples of one piece.
    """

    def seekable(self) -> bool:
        return False


def _require_file(source: Path) -> None:
    """Refuses what is not a readable file with something in it."""
    if source.is_dir():
        raise DecodeError(f"An audio file was expected. '{source}' is a folder. Name a file in it.")
    if source.exists() and not source.is_file():
        raise DecodeError(
            f"An audio file was expected. '{source}' is a device or a pipe, which has no end. Name a regular file."
        )
    try:
        with source.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise DecodeError(f"The file must exist. '{source}' does not. Check the path.") from None
    except PermissionError:
        raise DecodeError(
            f"The file must be readable. You have no permission to read '{source}'. Change its permissions."
        ) from None
    except OSError as error:
        raise DecodeError(
            f"The file must be readable. '{source}' is not: {error}. Check the path and the disk."
        ) from error
    if empty:
        raise DecodeError(
            f"The file must hold audio. '{source}' is empty (0 bytes). Fetch or export it again."
        )


def _native(source: Path, window: Window) -> NativeSamples:
    """The window as the file stores it: soundfile's, or PyAV's where soundfile does not know the format."""
    try:
        return _through_soundfile(source, window)
    except soundfile.LibsndfileError as refusal:
        return _av_reader(source, str(refusal))(source, window)


def _av_reader(source: Path, refusal: str) -> Callable[[Path, Window], NativeSamples]:
    try:
        from quintet.audio.pyav import read_with_pyav
    except ImportError:
        raise DecodeError(
            f"soundfile must know the format. It cannot read '{source}' ({refusal.strip()}). If it is m4a, wma, mp4 or the like, "
            "install the decoders: pip install 'quintet[codecs]'; otherwise it is damaged or no audio."
        ) from None
    return read_with_pyav


def _through_soundfile(source: Path, window: Window) -> NativeSamples:
    file = _Forward(source)
    try:
        rate, channels = _checked_rate(file.samplerate, source), file.channels
        frame_bytes = SUBTYPE_BYTES.get(file.subtype, 0) * channels
        total = declared_frames(source, format=file.format, frames=file.frames, frame_bytes=frame_bytes)
        first, last = window.frames(rate, max(file.frames, total or 0), source)
        if file.format == "OGG" and last >= file.frames and not ogg_is_complete(source):
            raise DecodeError(
                f"A recording must be complete. '{source}' breaks off after {file.frames / rate:.2f} s: the end mark is missing. Fetch it again."
            )
    except BaseException:
        file.close()
        raise
    return NativeSamples(
        _blocks(file, first, last, source),
        rate,
        channels,
        expected=last - first if total is not None else None,
    )


def _blocks(file: soundfile.SoundFile, first: int, last: int, source: Path) -> Iterator[NDArray[np.generic]]:
    """Frames first..last, as int16 where nothing is lost by it, until the data breaks off; then the file is closed. All in the same memory."""
    dtype = np.int16 if file.subtype in SIXTEEN_BIT else np.float32
    memory = np.empty((max(0, min(BLOCK_SAMPLES // file.channels, last - first)), file.channels), dtype)
    with file:
        try:
            if first:
                file.seek(first)
            while first < last:
                block = file.read(last - first, out=memory)
                if not len(block):
                    break
                first += len(block)
                yield block
        except soundfile.LibsndfileError as error:
            rate, read = file.samplerate, file.tell()
            raise DecodeError(
                f"A recording must be whole. '{source}' is damaged or cut short: of {file.frames / rate:.2f} s promised, "
                f"{read / rate:.2f} s could be decoded ({_reason(error)}). Fetch it again, or ask for a window before the damage."
            ) from error


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).strip(" .") or f"libsndfile error {error.code}"


def _checked_rate(rate: int, source: Path) -> int:
    if rate not in SAMPLE_RATES:
        raise DecodeError(
            f"A sample rate must lie between 1 and 768 kHz. '{source}' claims {rate} Hz: its header is damaged. Fetch it again."
        )
    return rate


def _require_samples(read: int, native: NativeSamples, source: Path, window: Window) -> None:
    rate, expected = native.sample_rate, read if native.expected is None else native.expected
    if expected - read > native.slack_s * rate:
        what = "the header promises" if window.is_whole_file else "the window asks for"
        raise DecodeError(
            f"A recording must be complete. '{source}' is cut short: {what} {expected / rate:.2f} s, {read / rate:.2f} s could be "
            f"decoded ({1 - read / expected:.0%} is missing). Fetch it again."
        )
    if not read:
        raise DecodeError(
            f"A recording must have samples. '{source}' has a header, but its length is zero. Fetch or export it again."
        )
