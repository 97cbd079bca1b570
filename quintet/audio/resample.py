"""Conversion of samples to another sample rate, and the mix to mono. No other module does either."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

REACH = 256
"""Samples of the lower rate on either side that decide a resampled sample. The filter is shorter."""
BLOCK = 1 << 16  # samples that are resampled at a time: few enough for the cache of the processor


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
    """Mixes to mono, block by block. Every result is in the same memory: the next block overwrites it.

    New memory for every block would take more time than the mixing itself.

    Example:
        >>> import numpy as np
        >>> mix = MonoMixer()
        >>> [mix(block).tolist() for block in np.ones((2, 3, 2), np.float32)]
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self) -> None:
        self._mono = np.empty(0, np.float32)
        self._floats = np.empty((0, 0), np.float32)
        self._weights = np.empty(0, np.float32)
        self._kind: tuple[int, np.dtype[np.generic]] | None = None  # channels and type that they are for

    def __call__(self, block: NDArray[np.generic]) -> NDArray[np.float32]:
        """The mix, shape `(n,)`, of a block of shape `(n, channels)`."""
        length, channels = block.shape
        if channels == 1 and block.dtype == np.float32:
            return np.asarray(block[:, 0], np.float32)
        if len(self._mono) < length:
            self._mono = np.empty(length, np.float32)
        mono = self._mono[:length]
        if self._kind != (channels, block.dtype):
            scale = 32768.0 if block.dtype == np.int16 else 1.0
            self._weights = np.full(channels, 1.0 / (scale * channels), np.float32)
            self._kind = (channels, block.dtype)
        if channels == 1:
            mono[:] = block[:, 0]
            mono *= self._weights[0]
            return mono
        with np.errstate(invalid="ignore", over="ignore"):  # samples that are not finite are counted later
            return np.dot(self._as_floats(block), self._weights, out=mono)

    def _as_floats(self, block: NDArray[np.generic]) -> NDArray[np.float32]:
        """The block as float32, not scaled."""
        if block.dtype == np.float32:
            return np.asarray(block, np.float32)
        if len(self._floats) < len(block) or self._floats.shape[1] != block.shape[1]:
            self._floats = np.empty(block.shape, np.float32)
        floats = self._floats[: len(block)]
        floats[:] = block
        return floats


def resample(samples: NDArray[np.floating], *, orig_sr: int, target_sr: int) -> NDArray[np.floating]:
    """Samples at another sample rate (soxr, quality HQ, linear phase).

    Args:
        samples: shape `(n,)`, float32 or float64.
        orig_sr: Hz, positive.
        target_sr: Hz, positive. If it equals `orig_sr`, the samples are returned unchanged.

    Returns:
        Shape `(ceil(n * target_sr / orig_sr),)`, the dtype of `samples`.

    Source:
        Equal to `librosa.resample(samples, res_type="soxr_hq")`, sample by sample.

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
    """Resampled blocks of a sound that comes in blocks.

    Joined, they are equal to the result of `resample` to the last bit, whatever the lengths of the blocks.

    Args:
        blocks: arrays of shape `(n,)`, of any lengths.
        orig_sr: Hz, positive.
        target_sr: Hz, positive.
        dtype: dtype of the blocks, float32 or float64. Default: float32.

    Example:
        >>> import numpy as np
        >>> tone = np.sin(0.01 * np.arange(44100))
        >>> rates = {"orig_sr": 44100, "target_sr": 16000}
        >>> parts = resample_blocks(iter(np.split(tone, 10)), **rates, dtype=tone.dtype)
        >>> bool((np.concatenate(list(parts)) == resample(tone, **rates)).all())
        True
    """
    if orig_sr == target_sr:
        yield from blocks
        return
    dtype = np.dtype(dtype or np.float32)
    stream = soxr.ResampleStream(orig_sr, target_sr, 1, dtype=dtype.name, quality="HQ")
    n_in = n_out = 0
    for block in blocks:
        n_in += len(block)
        resampled = stream.resample_chunk(np.ascontiguousarray(block))
        n_out += len(resampled)
        yield resampled
    # soxr may return one sample fewer than `length`, so a zero is added; any samples beyond it are cut off.
    length = math.ceil(n_in * target_sr / orig_sr)
    rest = stream.resample_chunk(np.zeros(0, dtype), last=True)[: max(0, length - n_out)]
    missing = length - n_out - len(rest)
    yield rest if missing <= 0 else np.concatenate([rest, np.zeros(missing, dtype)])


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a resampled sound, and the samples of the source that decide it.

    Args:
        first: first sample of the source.
        last: the sample of the source after its last.
        skipped: resampled samples of the source before the stretch begins.
        length: samples of the stretch.
    """

    first: int
    last: int
    skipped: int
    length: int


def plan_stretch(first: int, last: int, *, n_samples: int, orig_sr: int, target_sr: int) -> Stretch:
    """The samples of a source that decide the samples `first` to `last` of its resampled sound.

    Args:
        first: first sample of the stretch, at `target_sr`.
        last: the sample after its last, at `target_sr`; at most the length of the resampled sound.
        n_samples: length of the source.
        orig_sr: Hz, positive.
        target_sr: Hz, positive.
    """
    if orig_sr == target_sr:
        return Stretch(first, last, 0, last - first)
    common = math.gcd(orig_sr, target_sr)
    unit_in, unit_out = orig_sr // common, target_sr // common
    reach = math.ceil(REACH * max(1.0, orig_sr / target_sr))
    # a source that begins with a whole unit has its samples at the same places as the whole sound
    units = max(0, first // unit_out - math.ceil(reach / unit_in))
    end = min(n_samples, math.ceil(last * orig_sr / target_sr) + reach)
    return Stretch(units * unit_in, end, first - units * unit_out, last - first)


def resample_stretch(
    source: NDArray[np.float32], stretch: Stretch, *, orig_sr: int, target_sr: int
) -> NDArray[np.float32]:
    """A stretch of a resampled sound, from the samples of the source that decide it.

    Args:
        source: the samples `stretch.first` to `stretch.last` of the source.
        stretch: from `plan_stretch`.
        orig_sr: Hz, positive.
        target_sr: Hz, positive.

    Source:
        Equal to that part of `resample(whole source)` up to the rounding of float32.

    Example:
        >>> import numpy as np
        >>> tone = np.sin(0.01 * np.arange(88200)).astype(np.float32)
        >>> stretch = plan_stretch(10000, 12000, n_samples=88200, orig_sr=44100, target_sr=16000)
        >>> source = tone[stretch.first : stretch.last]
        >>> part = resample_stretch(source, stretch, orig_sr=44100, target_sr=16000)
        >>> whole = resample(tone, orig_sr=44100, target_sr=16000)
        >>> bool(np.abs(part - whole[10000:12000]).max() < 1e-6), len(source) < len(tone) / 8
        (True, True)
    """
    resampled = np.asarray(resample(source, orig_sr=orig_sr, target_sr=target_sr), np.float32)
    return resampled[stretch.skipped : stretch.skipped + stretch.length]
