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


def shapes(clips: Sequence[Any]) -> list[tuple[int, ...]]:
    """The shape of each clip; a store knows them without reading (`Spectrograms.shapes`)."""
    return list(clips.shapes) if hasattr(clips, "shapes") else [np.shape(clips[i]) for i in range(len(clips))]


def window(clips: Sequence[Any], i: int, start: int, stop: int) -> Floats:
    """Frames `start` … `stop` - 1 of clip `i`: (n_mels, frames) float32; of a store nothing else is read (`Spectrograms.window`)."""
    if hasattr(clips, "window"):
        return np.asarray(clips.window(i, start, stop), dtype=np.float32)
    return np.asarray(np.asarray(clips[i])[:, start:stop], dtype=np.float32)


def check_clips(X: Sequence[Any], *, n_mels: int | None = None) -> Sequence[Any]:
    """`X` if it is a sequence of (n_mels, frames) arrays with the same number of bands.

    Raises:
        DatasetError: it is empty, an item is not 2-D or has no frames, or the bands differ from `n_mels` or from each other.
    """
    if len(X) == 0:
        raise DatasetError("There must be at least one spectrogram. Received none.")
    found = shapes(X)
    expected = found[0][0] if n_mels is None else n_mels
    for i, shape in enumerate(found):
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


def pad_clip(clip: NDArray[Any], frames: int, *, padding: str) -> NDArray[Any]:
    """A clip of at least `frames` frames: shorter ones are repeated, or (`"floor"`) continued with their lowest value.

    Example:
        >>> pad_clip(np.array([[1.0, 2.0, 3.0]]), 5, padding="repeat").tolist()
        [[1.0, 2.0, 3.0, 1.0, 2.0]]
    """
    missing = frames - clip.shape[1]
    if missing <= 0:
        return clip
    if padding == "floor":
        return np.pad(clip, ((0, 0), (0, missing)), constant_values=clip.min())
    return np.tile(clip, (1, -(-frames // clip.shape[1])))[:, :frames]


def usable_frames(length: int, frames: int, *, skip: int) -> tuple[int, int]:
    """(first frame, number of frames) of what patches of `frames` frames are cut from in a clip of `length` frames: all but the first and last
    `skip`, or all of it where less than a patch would be left.

    Example:
        >>> usable_frames(9, 3, skip=2), usable_frames(5, 3, skip=2)
        ((2, 5), (0, 5))
    """
    return (skip, length - 2 * skip) if length - 2 * skip >= frames else (0, length)


def patch_starts(n_frames: int, *, frames: int, at_most: int, hop: int | None = None) -> list[int]:
    """Where the patches of a clip of `n_frames >= frames` frames begin.

    Without `hop` the fewest that reach both ends, `at_most` at the most; with it one every `hop` frames (whatever `at_most` says), and one more
    that ends where the clip ends if the last would leave more than half a patch unheard.

    Example:
        >>> patch_starts(10, frames=4, at_most=9), patch_starts(10, frames=4, at_most=9, hop=2), patch_starts(11, frames=4, at_most=9, hop=4)
        ([0, 3, 6], [0, 2, 4, 6], [0, 4, 7])
    """
    last = n_frames - frames
    if hop is not None:
        found = list(range(0, last + 1, hop))
        return [*found, last] if last - found[-1] > frames // 2 else found
    n_patches = min(at_most, -(-n_frames // frames))
    return (
        [last // 2] if n_patches == 1 else [int(place) for place in np.rint(np.linspace(0, last, n_patches))]
    )


def random_patches(
    clips: Sequence[Any],
    positions: Positions,
    rng: np.random.Generator,
    *,
    frames: int,
    padding: str,
    skip: int = 0,
) -> Floats:
    """One patch (n_mels, frames) from a random place of each clip at `positions`: (len(positions), n_mels, frames) float32."""
    lengths = np.array([shape[1] for shape in shapes(clips)])[positions]
    room = [max(usable_frames(int(length), frames, skip=skip)[1], frames) - frames + 1 for length in lengths]
    places = np.stack([positions, (rng.random(len(positions)) * room).astype(np.int64)], axis=1)
    return cut_patches(clips, places, frames=frames, padding=padding, skip=skip)


def cut_patches(
    clips: Sequence[Any], places: Positions, *, frames: int, padding: str, skip: int = 0
) -> Floats:
    """The patches at `places` (n, 2), rows of clip and first frame (after trimming): (n, n_mels, frames) float32."""
    found = shapes(clips)
    patches = np.empty((len(places), found[0][0], frames), np.float32)
    for patch, (i, start) in zip(patches, places, strict=True):
        first, length = usable_frames(found[i][1], frames, skip=skip)
        if length >= frames:
            patch[:] = window(clips, int(i), first + start, first + start + frames)
        else:
            patch[:] = pad_clip(window(clips, int(i), 0, length), frames, padding=padding)
    return patches


def segment_starts(
    clips: Sequence[Any], positions: Positions, *, frames: int, hop: int, skip: int = 0
) -> Positions:
    """Every segment of the clips at `positions`: rows (clip, first frame), (n, 2) int64."""
    rows, found = [], shapes(clips)
    for i in positions:
        _, length = usable_frames(found[int(i)][1], frames, skip=skip)
        rows += [
            (int(i), start) for start in patch_starts(max(length, frames), frames=frames, at_most=1, hop=hop)
        ]
    return np.array(rows, dtype=np.int64)


def even_patches(
    clip: NDArray[Any], *, frames: int, padding: str, at_most: int, hop: int | None = None, skip: int = 0
) -> Floats:
    """Patches that cover a clip evenly, at the places that `patch_starts` names, without its first and last `skip` frames: (patches, n_mels, frames).

    Example:
        >>> even_patches(np.arange(7.0)[None], frames=3, padding="repeat", at_most=9)[:, 0, 0].tolist()
        [0.0, 2.0, 4.0]
    """
    clip = np.asarray(clip, dtype=np.float32)
    first, length = usable_frames(clip.shape[1], frames, skip=skip)
    whole = pad_clip(clip[:, first : first + length], frames, padding=padding)
    return np.stack(
        [
            whole[:, start : start + frames]
            for start in patch_starts(whole.shape[1], frames=frames, at_most=at_most, hop=hop)
        ]
    )


def mean_by_clip(values: NDArray[np.float64], owners: Positions, n_clips: int) -> NDArray[np.float64]:
    """The mean of the rows of `values` (patches, …) that belong to each clip: (n_clips, …). `owners` (patches,): clip of each patch."""
    total = np.zeros((n_clips, *values.shape[1:]))
    np.add.at(total, owners, values)
    return np.asarray(total / np.bincount(owners, minlength=n_clips).reshape(-1, *(1,) * (values.ndim - 1)))


class ConcatenatedSpectrograms(Sequence[Any]):
    """Two sequences of spectrograms as one, read when asked for: the clips, then the augmented copies of some of them."""

    def __init__(self, first: Sequence[Any], second: Sequence[Any]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each."""
        return shapes(self.first) + shapes(self.second)

    def window(self, index: int, start: int, stop: int) -> Floats:
        """Frames `start` … `stop` - 1 of one of them."""
        n = len(self.first)
        return (
            window(self.first, index, start, stop)
            if index < n
            else window(self.second, index - n, start, stop)
        )

    def __getitem__(self, index: Any) -> Any:
        i = int(index)
        return self.first[i] if i < len(self.first) else self.second[i - len(self.first)]
