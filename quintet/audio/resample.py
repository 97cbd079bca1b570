"""The only resampler and the only mono mix-down."""

from __future__ import annotations

import math

import numpy as np
import soxr
from numpy.typing import NDArray


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
    frames = samples.reshape(len(samples), -1).astype(np.float32, copy=False)
    scale = 32768.0 if samples.dtype == np.int16 else 1.0
    if frames.shape[1] == 1:
        mono = frames[:, 0]
        return mono if scale == 1.0 else mono * np.float32(1.0 / scale)
    weights = np.full(frames.shape[1], 1.0 / (scale * frames.shape[1]), np.float32)
    mixed: NDArray[np.float32] = frames @ weights
    return mixed


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
    length = math.ceil(len(samples) * target_sr / orig_sr)
    out: NDArray[np.floating] = soxr.resample(samples, orig_sr, target_sr, quality="HQ")
    if len(out) >= length:
        return out[:length]
    return np.pad(out, (0, length - len(out)))
