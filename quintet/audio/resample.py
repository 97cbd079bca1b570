"""The only resampler and the only mono mix-down."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

BLOCK = 1 << 16  # samples that are resampled at a time: they stay in the cache


def to_mono(samples: NDArray[np.generic]) -> NDArray[np.float32]:
    """The mean of all channels, scaled to [-1, 1].

    `mono[n] = Σ_c samples[n, c] / channels`, divided by 32768 if the samples are int16.

    Args:
        samples: shape `(n, channels)` (or `(n,)`), int16 or floating.

    Returns:
        Shape `(n,)`, float32.

    Example:
        >>> import numpy as np
        >>> to_mono(np.array([[16384, 0], [-32768, -32768]], np.int16))
        array([ 0.25, -1.  ], dtype=float32)
    """
    return MonoMixer()(samples.reshape(len(samples), -1))


class MonoMixer:
    """`to_mono` for one block after another, in the same memory: what it gives lasts until the next block.

    New memory for every block would cost more time than the mixing itself.

    Example:
        >>> import numpy as np
        >>> mix = MonoMixer()
        >>> [mix(block).tolist() for block in np.ones((2, 3, 2), np.float32)]
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self) -> None:
        self._mono = np.empty(0, np.float32)
        self._frames = np.empty((0, 0), np.float32)

    def __call__(self, block: NDArray[np.generic]) -> NDArray[np.float32]:
        """The mix, shape `(n,)`, of a block of shape `(n, channels)`."""
        length, channels = block.shape
        scale = 32768.0 if block.dtype == np.int16 else 1.0
        if channels == 1 and block.dtype == np.float32:
            return np.asarray(block[:, 0], np.float32)
        if len(self._mono) < length:
            self._mono = np.empty(length, np.float32)
        mono = self._mono[:length]
        if channels == 1:
            mono[:] = block[:, 0]
            mono *= np.float32(1.0 / scale)
            return mono
        weights = np.full(channels, 1.0 / (scale * channels), np.float32)
        return np.dot(self._as_floats(block), weights, out=mono)

    def _as_floats(self, block: NDArray[np.generic]) -> NDArray[np.float32]:
        if block.dtype == np.float32:
            return np.asarray(block, np.float32)
        if len(self._frames) < len(block) or self._frames.shape[1] != block.shape[1]:
            self._frames = np.empty(block.shape, np.float32)
        frames = self._frames[: len(block)]
        frames[:] = block
        return frames


def resample(samples: NDArray[np.floating], *, orig_sr: int, target_sr: int) -> NDArray[np.floating]:
    """The same sound at another sample rate (soxr, quality HQ, linear phase).

    Args:
        samples: shape `(n,)`, float32 or float64.
        orig_sr: Hz, positive.
        target_sr: Hz, positive. Equal to `orig_sr`: the samples come back untouched.

    Returns:
        Shape `(ceil(n * target_sr / orig_sr),)`, the dtype of `samples`.

    Source:
        Equal to `librosa.resample(samples, res_type="soxr_hq")`, to the sample.

    Example:
        >>> import numpy as np
        >>> resample(np.ones(44100, np.float32), orig_sr=44100, target_sr=22050).shape
        (22050,)
    """
    if orig_sr == target_sr:
        return samples
    blocks = (samples[first : first + BLOCK] for first in range(0, len(samples), BLOCK))
    return np.concatenate(
        [samples[:0], *resample_blocks(blocks, orig_sr=orig_sr, target_sr=target_sr, dtype=samples.dtype)]
    )


def resample_blocks(
    blocks: Iterator[NDArray[np.floating]],
    *,
    orig_sr: int,
    target_sr: int,
    dtype: np.dtype[np.floating] | None = None,
) -> Iterator[NDArray[np.floating]]:
    """`resample` for a sound that comes in blocks: what it would give in one piece, to the last bit, also in blocks.

    Args:
        blocks: arrays of shape `(n,)`, of any lengths.
        orig_sr: Hz, positive.
        target_sr: Hz, positive.
        dtype: of the blocks, float32 (None) or float64.

    Example:
        >>> import numpy as np
        >>> tone = np.sin(0.01 * np.arange(44100))
        >>> parts = resample_blocks(iter(np.split(tone, 10)), orig_sr=44100, target_sr=16000, dtype=tone.dtype)
        >>> bool((np.concatenate(list(parts)) == resample(tone, orig_sr=44100, target_sr=16000)).all())
        True
    """
    if orig_sr == target_sr:
        yield from blocks
        return
    dtype = np.dtype(dtype or np.float32)
    stream = soxr.ResampleStream(orig_sr, target_sr, 1, dtype=dtype.name, quality="HQ")
    received = given = 0
    for block in blocks:
        received += len(block)
        out = stream.resample_chunk(np.ascontiguousarray(block))
        given += len(out)
        yield out
    length = math.ceil(received * target_sr / orig_sr)
    rest = stream.resample_chunk(np.zeros(0, dtype), last=True)[: max(0, length - given)]
    missing = length - given - len(rest)
    yield rest if missing <= 0 else np.concatenate([rest, np.zeros(missing, dtype)])
