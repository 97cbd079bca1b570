"""Patches of one length from log-mel spectrograms of any length, and the statistics that standardise them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.sequences import SpectrogramSequence
from quintet.classifiers.spectrogram.settings import PatchSettings

Floats = NDArray[np.float32]
Positions = NDArray[np.int64]

CHUNK_BYTES = 256 * 2**20
"""Size of the patches that are in memory at a time."""


def patches_per_chunk(n_mels: int, patch_frames: int, multiple: int) -> int:
    """Number of groups of `multiple` float32 patches that fit into `CHUNK_BYTES`, at least 1."""
    return max(1, CHUNK_BYTES // (4 * n_mels * patch_frames * multiple))


class BandStatistics(NamedTuple):
    """Mean and standard deviation of each mel band, both `(n_mels, 1)` float32."""

    mean: Floats
    std: Floats

    def standardise(self, patches: Floats) -> Floats:
        """Patches `(n, n_mels, frames)` in dB, each band minus its mean and divided by its deviation."""
        return (patches - self.mean) / self.std


def band_statistics(clips: SpectrogramSequence, positions: Positions, *, standard: str) -> BandStatistics:
    """Statistics over all frames of the clips at `positions`, which must be training clips only.

    Args:
        clips: spectrograms with the same number of bands.
        positions: of the training clips.
        standard: `"band"` for one pair per mel band, `"global"` for one pair for all bands, `"none"` for 0
            and 1. A band without variation gets the standard deviation 1.
    """
    n_mels = np.shape(clips[0])[0]
    if standard == "none":
        return _float32_statistics(np.zeros(n_mels), np.ones(n_mels))
    sums = np.zeros(n_mels)
    squares = np.zeros(n_mels)
    n_frames = 0
    for i in positions:
        clip = np.asarray(clips[int(i)], dtype=np.float64)
        sums += clip.sum(axis=1)
        squares += (clip**2).sum(axis=1)
        n_frames += clip.shape[1]
    if standard == "global":
        sums = np.full(n_mels, sums.mean())
        squares = np.full(n_mels, squares.mean())
    mean = sums / n_frames
    variance = squares / n_frames - mean**2
    std = np.sqrt(np.maximum(variance, 0.0))
    smallest = 1e-6 * np.maximum(1.0, np.abs(mean))
    std[std < smallest] = 1.0
    return _float32_statistics(mean, std)


def _float32_statistics(mean: NDArray[np.float64], std: NDArray[np.float64]) -> BandStatistics:
    return BandStatistics(mean[:, None].astype(np.float32), std[:, None].astype(np.float32))


def pad_clip(clip: Floats, frames: int, *, padding: str) -> Floats:
    """A clip of at least `frames` frames.

    A shorter clip is repeated, or with `"floor"` continued with its lowest value.

    Example:
        >>> pad_clip(np.array([[1.0, 2.0, 3.0]]), 5, padding="repeat").tolist()
        [[1.0, 2.0, 3.0, 1.0, 2.0]]
    """
    missing = frames - clip.shape[1]
    if missing <= 0:
        return clip
    if padding == "floor":
        return np.pad(clip, ((0, 0), (0, missing)), constant_values=clip.min())
    repeats = -(-frames // clip.shape[1])
    return np.tile(clip, (1, repeats))[:, :frames]


def usable_frames(length: int, settings: PatchSettings) -> tuple[int, int]:
    """First frame and number of frames of the part of a clip from which patches are cut.

    The part excludes the first and last `skip_frames`. If less than a patch would be left, it is the whole
    clip.

    Args:
        length: frames of the clip.
        settings: of the patches.

    Example:
        >>> settings = PatchSettings(patch_frames=3, skip_frames=2)
        >>> usable_frames(9, settings), usable_frames(5, settings)
        ((2, 5), (0, 5))
    """
    remaining = length - 2 * settings.skip_frames
    if remaining >= settings.patch_frames:
        return settings.skip_frames, remaining
    return 0, length


def patch_starts(n_frames: int, *, frames: int, at_most: int, hop: int | None = None) -> list[int]:
    """First frames of the patches of a clip.

    Without `hop`: the fewest patches that reach both ends, and not more than `at_most`. With `hop`: one patch
    every `hop` frames, whatever `at_most` is, and one more at the end of the clip if otherwise more than half
    a patch would not be covered.

    Args:
        n_frames: frames of the clip, at least `frames`.
        frames: length of a patch.
        at_most: greatest number of patches.
        hop: frames from one patch to the next.

    Example:
        >>> patch_starts(10, frames=4, at_most=9)
        [0, 3, 6]
        >>> patch_starts(10, frames=4, at_most=9, hop=2), patch_starts(11, frames=4, at_most=9, hop=4)
        ([0, 2, 4, 6], [0, 4, 7])
    """
    last = n_frames - frames
    if hop is not None:
        starts = list(range(0, last + 1, hop))
        return [*starts, last] if last - starts[-1] > frames // 2 else starts
    n_patches = min(at_most, -(-n_frames // frames))
    if n_patches == 1:
        return [last // 2]
    return [int(start) for start in np.rint(np.linspace(0, last, n_patches))]


def random_patches(
    clips: SpectrogramSequence, positions: Positions, rng: np.random.Generator, settings: PatchSettings
) -> Floats:
    """One patch from a random place of each clip at `positions`: `(n, n_mels, patch_frames)` float32."""
    shapes = clips.shapes
    n_starts = []
    for i in positions:
        _, length = usable_frames(shapes[i][1], settings)
        longest = max(length, settings.patch_frames)
        n_starts.append(longest - settings.patch_frames + 1)
    starts = (rng.random(len(positions)) * n_starts).astype(np.int64)
    places = np.stack([positions, starts], axis=1)
    return cut_patches(clips, places, settings)


def cut_patches(clips: SpectrogramSequence, places: Positions, settings: PatchSettings) -> Floats:
    """Patches at given places: `(n, n_mels, patch_frames)` float32.

    Args:
        clips: spectrograms; no more frames than necessary are read.
        places: `(n, 2)`, clip and first frame, counted from the first usable frame.
        settings: of the patches.
    """
    frames, shapes = settings.patch_frames, clips.shapes
    n_mels = shapes[0][0]
    patches = np.empty((len(places), n_mels, frames), np.float32)
    for patch, (i, start) in zip(patches, places, strict=True):
        first, length = usable_frames(shapes[i][1], settings)
        if length >= frames:
            patch[:] = clips.window(int(i), first + start, first + start + frames)
        else:
            patch[:] = pad_clip(clips.window(int(i), 0, length), frames, padding=settings.padding)
    return patches


def segment_starts(
    clips: SpectrogramSequence, positions: Positions, settings: PatchSettings, *, hop: int
) -> Positions:
    """Clip and first frame of all segments of the clips at `positions`, `(n, 2)` int64.

    There is a segment every `hop` frames.
    """
    frames, shapes = settings.patch_frames, clips.shapes
    places: list[tuple[int, int]] = []
    for i in positions:
        _, length = usable_frames(shapes[int(i)][1], settings)
        starts = patch_starts(max(length, frames), frames=frames, at_most=1, hop=hop)
        places += [(int(i), start) for start in starts]
    return np.array(places, dtype=np.int64)


def even_patches(clip: NDArray[np.floating], settings: PatchSettings) -> Floats:
    """Patches that cover a clip evenly, at the places of `patch_starts`: `(patches, n_mels, patch_frames)`.

    The first and last `skip_frames` are left out.

    Example:
        >>> even_patches(np.arange(7.0)[None], PatchSettings(patch_frames=3))[:, 0, 0].tolist()
        [0.0, 2.0, 4.0]
    """
    clip = np.asarray(clip, dtype=np.float32)
    frames = settings.patch_frames
    first, length = usable_frames(clip.shape[1], settings)
    usable = pad_clip(clip[:, first : first + length], frames, padding=settings.padding)
    starts = patch_starts(
        usable.shape[1], frames=frames, at_most=settings.max_patches, hop=settings.hop_frames
    )
    return np.stack([usable[:, start : start + frames] for start in starts])


def all_even_patches(
    clips: SpectrogramSequence, positions: Positions, settings: PatchSettings
) -> tuple[Floats, Positions]:
    """Patches that cover the clips at `positions` evenly, and their owners.

    Patches are `(n, n_mels, patch_frames)`, owners `(n,)`. The owner of a patch is the index in `positions`
    of its clip.
    """
    parts = [even_patches(clips[int(i)], settings) for i in positions]
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return np.concatenate(parts), owners
