"""Log-mel spectrograms of any length → patches of one length, and the statistics that standardise them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DatasetError

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]
PADDINGS = ("repeat", "floor")
STANDARDS = ("band", "global", "none")


def checked_clips(X: Sequence[Any], *, n_mels: int | None = None) -> Sequence[Any]:
    """`X` if it is a sequence of (n_mels, frames) arrays with the same number of bands.

    Raises:
        DatasetError: it is empty, an item is not 2-D or has no frames, or the bands differ from `n_mels` or from each other.
    """
    if len(X) == 0:
        raise DatasetError("There must be at least one spectrogram. Received none.")
    expected = np.shape(X[0])[0] if n_mels is None else n_mels
    for i in range(len(X)):
        shape = np.shape(X[i])
        if len(shape) != 2 or shape[0] != expected or shape[1] < 1:
            raise DatasetError(
                f"Every spectrogram must have shape ({expected} bands, frames > 0). Number {i} has {shape}. Extract all with the same parameters."
            )
    return X


def band_statistics(clips: Sequence[Any], positions: Positions, *, standard: str) -> tuple[Floats, Floats]:
    """Mean and standard deviation (n_mels, 1) over all frames of the clips at `positions`: the training part, nothing else.

    `standard`: `"band"` per mel band, `"global"` one pair for all bands, `"none"` 0 and 1. A band without variation gets 1.
    """
    n_mels = np.shape(clips[0])[0]
    if standard == "none":
        return np.zeros((n_mels, 1), np.float32), np.ones((n_mels, 1), np.float32)
    total, squares, frames = np.zeros(n_mels), np.zeros(n_mels), 0
    for i in positions:
        clip = np.asarray(clips[int(i)], dtype=np.float64)
        total += clip.sum(axis=1)
        squares += (clip**2).sum(axis=1)
        frames += clip.shape[1]
    if standard == "global":
        total, squares = np.full(n_mels, total.mean()), np.full(n_mels, squares.mean())
    mean = total / frames
    deviation = np.sqrt(np.maximum(squares / frames - mean**2, 0.0))
    deviation[deviation < 1e-6 * np.maximum(1.0, np.abs(mean))] = 1.0
    return mean[:, None].astype(np.float32), deviation[:, None].astype(np.float32)


def padded(clip: NDArray[Any], frames: int, *, padding: str) -> NDArray[Any]:
    """A clip of at least `frames` frames: shorter ones are repeated, or (`"floor"`) continued with their lowest value.

    Example:
        >>> padded(np.array([[1.0, 2.0, 3.0]]), 5, padding="repeat").tolist()
        [[1.0, 2.0, 3.0, 1.0, 2.0]]
    """
    missing = frames - clip.shape[1]
    if missing <= 0:
        return clip
    if padding == "floor":
        return np.pad(clip, ((0, 0), (0, missing)), constant_values=clip.min())
    return np.tile(clip, (1, -(-frames // clip.shape[1])))[:, :frames]


def random_patches(clips: Sequence[Any], positions: Positions, rng: np.random.Generator, *, frames: int, padding: str) -> Floats:
    """One patch (n_mels, frames) from a random place of each clip at `positions`: (len(positions), n_mels, frames) float32."""
    patches = []
    for i, place in zip(positions, rng.random(len(positions)), strict=True):
        clip = padded(np.asarray(clips[int(i)], dtype=np.float32), frames, padding=padding)
        start = int(place * (clip.shape[1] - frames + 1))
        patches.append(clip[:, start : start + frames])
    return np.stack(patches)


def even_patches(clip: NDArray[Any], *, frames: int, padding: str, at_most: int) -> Floats:
    """Patches that cover a clip evenly: the fewest that reach both ends, `at_most` at the most: (patches, n_mels, frames) float32.

    Example:
        >>> even_patches(np.arange(7.0)[None], frames=3, padding="repeat", at_most=9)[:, 0, 0].tolist()
        [0.0, 2.0, 4.0]
    """
    whole = padded(np.asarray(clip, dtype=np.float32), frames, padding=padding)
    n_patches = min(at_most, -(-whole.shape[1] // frames))
    last = whole.shape[1] - frames
    starts = [last // 2] if n_patches == 1 else np.rint(np.linspace(0, last, n_patches)).astype(int)
    return np.stack([whole[:, start : start + frames] for start in starts])


def pooled(values: NDArray[np.float64], owners: Positions, n_clips: int) -> NDArray[np.float64]:
    """The mean of the rows of `values` (patches, …) that belong to each clip: (n_clips, …). `owners` (patches,): clip of each patch."""
    total = np.zeros((n_clips, *values.shape[1:]))
    np.add.at(total, owners, values)
    return np.asarray(total / np.bincount(owners, minlength=n_clips).reshape(-1, *(1,) * (values.ndim - 1)))
