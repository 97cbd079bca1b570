"""Stretches: consecutive frames of a clip, or of a recording that comes in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.audio.clip import Clip
from quintet.audio.spectrum import require_frame
from quintet.features.engine.kernels.lanes import LANES

Blocks = Iterable[NDArray[np.floating]]


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive frames. Frame `i` begins at sample `first + i * hop`; zeros lie beyond both ends of the
    samples.

    Args:
        samples: shape `(n,)`, float32, contiguous, with at least one sample before each frame that is not the
            first of the clip.
        sample_rate: Hz.
        first: first sample of frame 0. It may be negative.
        frames: number of frames.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    first: int
    frames: int


def clip_stretch(clip: Clip, *, n_fft: int, hop_length: int) -> Stretch:
    """All frames of a clip. Frame `i` is centred on sample `i * hop_length`.

    Raises:
        TooShortError: if the clip is shorter than one frame.
    """
    require_frame(clip, n_fft)
    return Stretch(
        np.ascontiguousarray(clip.samples, np.float32),
        clip.sample_rate,
        first=-(n_fft // 2),
        frames=1 + len(clip.samples) // hop_length,
    )


def stretches(
    blocks: Blocks, *, sample_rate: int, n_fft: int, hop_length: int, at_once: int
) -> Iterator[Stretch]:
    """Frames of a sound that comes in blocks, `at_once` frames in a stretch.

    Args:
        blocks: consecutive samples, float32 or float64.
        sample_rate: Hz.
        n_fft: samples in a frame.
        hop_length: samples between frames.
        at_once: frames in each stretch except the last.

    Example:
        >>> blocks = np.ones((10, 100), np.float32)
        >>> parts = stretches(blocks, sample_rate=100, n_fft=64, hop_length=10, at_once=40)
        >>> [part.frames for part in parts]  # 1 + 1000 // 10
        [40, 40, 21]
    """
    pieces: list[NDArray[np.floating]] = []
    begin = length = 0  # first sample of the pieces, and their length
    first = -(n_fft // 2)  # first sample of the next frame
    span = (at_once - 1) * hop_length + n_fft
    for block in blocks:
        pieces.append(block)
        length += len(block)
        while first + span <= begin + length:
            samples = np.concatenate(pieces)
            yield Stretch(samples, sample_rate, first - begin, at_once)
            first += at_once * hop_length
            unused = first - LANES - begin  # the sample before a frame must stay
            done = min(max(unused, 0), length)
            pieces = [samples[done:].copy()]
            begin += done
            length -= done
    last_centre = begin + length - n_fft // 2
    rest = 1 + (last_centre - first) // hop_length
    if rest > 0:
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        yield Stretch(samples, sample_rate, first - begin, rest)


def cut_frames(
    samples: NDArray[np.floating], begin: int, count: int, *, n_fft: int, hop_length: int
) -> NDArray[np.float64]:
    """`count` frames of samples, shape `(count, n_fft)`. Zeros lie beyond both ends of the samples.

    Args:
        samples: shape `(n,)`.
        begin: first sample of the first frame. It may be negative.
        count: number of frames.
        n_fft: samples in a frame.
        hop_length: samples between frames.

    Example:
        >>> cut_frames(np.array([1.0, 2.0, 3.0]), -1, 2, n_fft=3, hop_length=2).tolist()
        [[0.0, 1.0, 2.0], [2.0, 3.0, 0.0]]
    """
    end = begin + (count - 1) * hop_length + n_fft
    start = max(begin, 0)
    inside = samples[start : max(end, 0)].astype(np.float64)
    before = max(-begin, 0)
    after = max(end - start - len(inside), 0)
    padded = np.pad(inside, (before, after))
    return np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
