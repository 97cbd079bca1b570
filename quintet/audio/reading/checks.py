"""Checks and facts of a recording that is read block by block: digest, length, silence, samples that are no
number."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray

from quintet.audio.clip import count_impossible, require_sound_in_blocks
from quintet.audio.reading.native import Ending
from quintet.errors import DecodeError

DIGEST_KIND = "xxh3:"
"""Beginning of an audio digest. Digests of different kinds are never equal."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of a recording that are known when all of it was decoded.

    Args:
        native_sample_rate: Hz.
        native_channels: number of channels.
        duration_s: seconds that were decoded.
        audio_digest: digest of the native samples, as in `decode.DecodedClip`.
        missing_s: seconds that the file states and does not hold; 0 if it is complete or does not state its
            length.
        truncation: why the recording counts as cut short, as a sentence; empty if it is complete.
    """

    native_sample_rate: int
    native_channels: int
    duration_s: float
    audio_digest: str
    missing_s: float = 0.0
    truncation: str = ""


class BlockChecks:
    """What the checks of a recording need, counted block by block.

    Args:
        sample_rate: of the file, Hz.
        channels: of the file.

    Example:
        >>> checks = BlockChecks(8000, 1)
        >>> block = np.ones((4000, 1), np.int16)
        >>> checks.add(block, block[:, 0].astype(np.float32) / 32768)
        >>> checks.facts(Ending(4000), Path("a.wav"), strict=True).duration_s
        0.5
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.sample_rate, self.channels = sample_rate, channels
        self.n_frames = self._n_bad = self._n_loud = 0
        self._any_sound = self._any_mixed_sound = False
        self._digest: xxhash.xxh3_128 | None = None

    def add(self, block: NDArray[np.generic], mono: NDArray[np.float32]) -> None:
        """Count a block.

        Args:
            block: native samples `(n, channels)`.
            mono: their mix `(n,)`.
        """
        if self._digest is None:
            kind = f"{self.sample_rate}:{self.channels}:{block.dtype.name}:"
            self._digest = xxhash.xxh3_128(kind.encode())
        # all channels of floats would be four times as many bytes as their mix
        content = block if block.dtype == np.int16 else mono
        self._digest.update(_little_endian(content))
        self.n_frames += len(block)
        if not self._any_mixed_sound:  # sound in the mix is sound in a channel
            with np.errstate(invalid="ignore"):  # of NaNs that signal
                self._any_mixed_sound = bool(mono.any())
                self._any_sound = self._any_sound or self._any_mixed_sound or bool(block.any())
        if block.dtype.kind == "f" and not _is_surely_finite(mono):
            n_bad, n_loud = count_impossible(block)
            self._n_bad += n_bad
            self._n_loud += n_loud

    def facts(self, ending: Ending, source: Path, *, strict: bool) -> Facts:
        """Facts of the recording, after its last block.

        Args:
            ending: how it ended.
            source: the file, for messages.
            strict: whether a recording that is cut short is refused.

        Raises:
            DecodeError: there are no samples, or some are missing and `strict`.
            SilentError, NonFiniteError: as `clip.require_sound`.
        """
        _require_complete(self.n_frames, ending, source, strict=strict)
        name, n_samples = str(source), self.n_frames * self.channels
        require_sound_in_blocks(self._n_bad, n_samples, n_loud=self._n_loud, sound=self._any_sound, name=name)
        mixed = f"{name} (mixed to mono)"
        require_sound_in_blocks(0, self.n_frames, sound=self._any_mixed_sound, name=mixed)
        return Facts(
            native_sample_rate=self.sample_rate,
            native_channels=self.channels,
            duration_s=self.n_frames / self.sample_rate,
            audio_digest=self.audio_digest,
            missing_s=ending.missing / self.sample_rate,
            truncation=truncation(ending, source),
        )

    @property
    def audio_digest(self) -> str:
        """Digest of the blocks so far, as in `decode.DecodedClip`. There must be one."""
        assert self._digest is not None
        return DIGEST_KIND + self._digest.hexdigest()


def truncation(ending: Ending, source: Path) -> str:
    """A sentence on what is missing; empty if nothing is."""
    if not ending.reason:
        return ""
    state = "damaged" if ending.has_gaps else "cut short"
    return f"A recording must be complete. '{source}' is {state}: {ending.reason}. Fetch it again."


def _little_endian(samples: NDArray[np.generic]) -> memoryview:
    """The bytes of samples, the least significant one first."""
    if sys.byteorder == "big":
        samples = samples.byteswap()
    return np.ascontiguousarray(samples).data


def _is_surely_finite(samples: NDArray[np.float32]) -> bool:
    """Whether the sum of squares is finite, and so every sample. Too large squares give False too."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(samples, samples)))


def _require_complete(n_decoded: int, ending: Ending, source: Path, *, strict: bool) -> None:
    """Require that frames were decoded and, if `strict`, as many as the file states."""
    if ending.reason and (strict or not n_decoded):
        raise DecodeError(truncation(ending, source))
    if not n_decoded:
        raise DecodeError(
            f"A recording must have samples. '{source}' has a header, but its length is zero. "
            "Fetch or export it again."
        )
