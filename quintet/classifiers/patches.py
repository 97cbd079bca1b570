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


def trimmed(clip: NDArray[Any], frames: int, *, skip: int) -> NDArray[Any]:
    """A clip without its first and last `skip` frames; whole where less than `frames` frames would be left.

    Example:
        >>> trimmed(np.arange(9.0)[None], 3, skip=2).tolist(), trimmed(np.arange(5.0)[None], 3, skip=2).shape
        ([[2.0, 3.0, 4.0, 5.0, 6.0]], (1, 5))
    """
    return clip[:, skip : clip.shape[1] - skip] if clip.shape[1] - 2 * skip >= frames else clip


def starts(n_frames: int, *, frames: int, at_most: int, hop: int | None = None) -> list[int]:
    """Where the patches of a clip of `n_frames >= frames` frames begin.

    Without `hop` the fewest that reach both ends, `at_most` at the most; with it one every `hop` frames (whatever `at_most` says), and one more
    that ends where the clip ends if the last would leave more than half a patch unheard.

    Example:
        >>> starts(10, frames=4, at_most=9), starts(10, frames=4, at_most=9, hop=2), starts(11, frames=4, at_most=9, hop=4)
        ([0, 3, 6], [0, 2, 4, 6], [0, 4, 7])
    """
    last = n_frames - frames
    if hop is not None:
        found = list(range(0, last + 1, hop))
        return [*found, last] if last - found[-1] > frames // 2 else found
    n_patches = min(at_most, -(-n_frames // frames))
    return [last // 2] if n_patches == 1 else [int(place) for place in np.rint(np.linspace(0, last, n_patches))]


def random_patches(clips: Sequence[Any], positions: Positions, rng: np.random.Generator, *, frames: int, padding: str, skip: int = 0) -> Floats:
    """One patch (n_mels, frames) from a random place of each clip at `positions`: (len(positions), n_mels, frames) float32."""
    patches = []
    for i, place in zip(positions, rng.random(len(positions)), strict=True):
        clip = padded(trimmed(np.asarray(clips[int(i)], dtype=np.float32), frames, skip=skip), frames, padding=padding)
        start = int(place * (clip.shape[1] - frames + 1))
        patches.append(clip[:, start : start + frames])
    return np.stack(patches)


def patches_at(clips: Sequence[Any], places: Positions, *, frames: int, padding: str, skip: int = 0) -> Floats:
    """The patches at `places` (n, 2), rows of clip and first frame (after trimming): (n, n_mels, frames) float32."""
    patches = []
    for i, start in places:
        clip = padded(trimmed(np.asarray(clips[int(i)], dtype=np.float32), frames, skip=skip), frames, padding=padding)
        patches.append(clip[:, start : start + frames])
    return np.stack(patches)


def places_of(clips: Sequence[Any], positions: Positions, *, frames: int, hop: int, skip: int = 0) -> Positions:
    """Every segment of the clips at `positions`: rows (clip, first frame), (n, 2) int64."""
    rows = []
    for i in positions:
        length = np.shape(clips[int(i)])[1]
        length = length - 2 * skip if length - 2 * skip >= frames else length
        rows += [(int(i), start) for start in starts(max(length, frames), frames=frames, at_most=1, hop=hop)]
    return np.array(rows, dtype=np.int64)


def even_patches(clip: NDArray[Any], *, frames: int, padding: str, at_most: int, hop: int | None = None, skip: int = 0) -> Floats:
    """Patches that cover a clip evenly, at the places that `starts` names, without its first and last `skip` frames: (patches, n_mels, frames).

    Example:
        >>> even_patches(np.arange(7.0)[None], frames=3, padding="repeat", at_most=9)[:, 0, 0].tolist()
        [0.0, 2.0, 4.0]
    """
    whole = padded(trimmed(np.asarray(clip, dtype=np.float32), frames, skip=skip), frames, padding=padding)
    return np.stack([whole[:, start : start + frames] for start in starts(whole.shape[1], frames=frames, at_most=at_most, hop=hop)])


def pooled(values: NDArray[np.float64], owners: Positions, n_clips: int) -> NDArray[np.float64]:
    """The mean of the rows of `values` (patches, …) that belong to each clip: (n_clips, …). `owners` (patches,): clip of each patch."""
    total = np.zeros((n_clips, *values.shape[1:]))
    np.add.at(total, owners, values)
    return np.asarray(total / np.bincount(owners, minlength=n_clips).reshape(-1, *(1,) * (values.ndim - 1)))


class Joined(Sequence[Any]):
    """Two sequences of spectrograms as one, read when asked for: the clips, then the augmented copies of some of them."""

    def __init__(self, first: Sequence[Any], second: Sequence[Any]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: Any) -> Any:
        i = int(index)
        return self.first[i] if i < len(self.first) else self.second[i - len(self.first)]
