"""Where in the picture a network heard it: what is lost when a region is covered (occlusion), and where its filters answer (Grad-CAM).

Both are maps over the log-mel spectrogram of one clip. Occlusion asks the network again and again, with one rectangle of mel bands × time
replaced by nothing in particular; it works for anything that predicts. Grad-CAM looks inside: at the last picture that the filters made,
weighted by how the class's logit depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.classifiers.networks.gradients import gradient, split_network
from quintet.classifiers.spectrogram.fitting import forward
from quintet.classifiers.spectrogram.patches import even_patches
from quintet.classifiers.spectrogram.settings import PatchSettings
from quintet.errors import ConfigError

Array = NDArray[np.float64]
Predict = Callable[[Sequence[NDArray[np.float32]]], Any]
N_BANDS, N_TIMES = 12, 16
AT_ONCE = 32  # covered copies of a clip that are held at a time
SURE = 0.1  # of an axis's half length: less, and a picture's axis is not known to be bands or time


@dataclass(frozen=True)
class Occlusion:
    """What covering a region takes from a class's probability; positive: the region spoke for the class, negative: against it.

    Args:
        cells: (b, t): one rectangle covered. bands: (b,): a stripe of bands over all times. times: (t,): all bands for a while.
        band_edges: (b + 1,) mel bands. frame_edges: (t + 1,) frames.
        probability: of the class, nothing covered.
    """

    cells: Array
    bands: Array
    times: Array
    band_edges: NDArray[np.int64]
    frame_edges: NDArray[np.int64]
    probability: float


def occlusion(
    predict: Predict,
    clip: ArrayLike,
    column: int,
    *,
    n_bands: int = N_BANDS,
    n_times: int = N_TIMES,
    fill: ArrayLike | None = None,
) -> Occlusion:
    """What each region of a spectrogram adds to the probability of a class: `p(clip) - p(clip with the region covered)`.

    Args:
        predict: list of (n_mels, frames) float32 arrays → (n, classes) probabilities.
        clip: (n_mels, frames), dB.
        column: of the class.
        n_bands, n_times: how many stripes the two axes are cut into; fewer where there are fewer bands or frames.
        fill: what covers a region, a number or (n_mels,): for a network, the means that it standardises with, so that it hears nothing
            unusual. Default: the clip's own mean in each band.

    Raises:
        ConfigError: the clip is not a picture, or there are fewer than one stripe.

    Source:
        Zeiler and Fergus, "Visualizing and understanding convolutional networks" (2014), section 4.2.

    Example:
        >>> clip = np.zeros((4, 6), np.float32)
        >>> clip[2, 3:] = 1.0
        >>> found = occlusion(lambda clips: [[c[2].mean()] for c in clips], clip, 0, n_bands=4, n_times=2, fill=0.0)
        >>> found.bands.tolist(), found.times.tolist()
        ([0.0, 0.0, 0.5, 0.0], [0.0, 0.5])
    """
    picture = np.asarray(clip, dtype=np.float32)
    if picture.ndim != 2 or min(picture.shape) < 1 or min(n_bands, n_times) < 1:
        raise ConfigError(
            f"Occlusion needs (n_mels, frames) and at least one stripe. Received {picture.shape}, {n_bands} × {n_times}."
        )
    cover = (
        picture.mean(axis=1, keepdims=True)
        if fill is None
        else np.asarray(fill, dtype=np.float32).reshape(-1, 1)
    )
    bands, frames = _edges(picture.shape[0], n_bands), _edges(picture.shape[1], n_times)
    rows = [slice(a, b) for a, b in pairwise(bands)]
    columns = [slice(a, b) for a, b in pairwise(frames)]
    everything = slice(None)
    regions = (
        [(r, c) for r in rows for c in columns]
        + [(r, everything) for r in rows]
        + [(everything, c) for c in columns]
    )
    whole = float(np.asarray(predict([picture]), dtype=np.float64)[0, column])
    lost = whole - np.concatenate(
        [
            _probabilities(
                predict, picture, np.broadcast_to(cover, picture.shape), regions[i : i + AT_ONCE], column
            )
            for i in range(0, len(regions), AT_ONCE)
        ]
    )
    n_cells = len(rows) * len(columns)
    cells = lost[:n_cells].reshape(len(rows), len(columns))
    return Occlusion(
        cells, lost[n_cells : n_cells + len(rows)], lost[n_cells + len(rows) :], bands, frames, whole
    )


def cell_means(values: Array, found: Occlusion) -> Array:
    """The mean of a map (n_mels, frames) on every rectangle that was covered, (b, t); NaN, where no patch looked, counts as 0.

    Example:
        >>> grid = Occlusion(np.zeros((1, 2)), np.zeros(1), np.zeros(2), np.array([0, 2]), np.array([0, 1, 3]), 0.5)
        >>> cell_means(np.array([[1.0, 0.0, 2.0], [3.0, np.nan, 2.0]]), grid).tolist()
        [[2.0, 1.0]]
    """
    sums = np.add.reduceat(
        np.add.reduceat(np.nan_to_num(values), found.band_edges[:-1], axis=0), found.frame_edges[:-1], axis=1
    )
    return np.asarray(sums / np.outer(np.diff(found.band_edges), np.diff(found.frame_edges)))


def _edges(size: int, parts: int) -> NDArray[np.int64]:
    return np.rint(np.linspace(0, size, min(parts, size) + 1)).astype(np.int64)


def _probabilities(
    predict: Predict,
    picture: NDArray[np.float32],
    cover: NDArray[np.float32],
    regions: Sequence[Any],
    column: int,
) -> Array:
    covered = []
    for region in regions:
        copy = picture.copy()
        copy[region] = cover[region]
        covered.append(copy)
    return np.asarray(predict(covered), dtype=np.float64)[:, column]


def grad_cam(member: Any, clip: ArrayLike, column: int) -> Array | None:
    """Where a network's last filters answered for a class, in [0, 1] with 1 at the strongest; (n_mels, frames) like the clip.

    `max(0, Σ_c mean(∂logit/∂A[c]) · A[c])` of the last picture A, patch by patch, stretched to bands and frames. Where that picture has lost
    the order of the bands, the map says when, not where: its rows are equal. Frames that no patch covers are NaN.

    Args:
        member: a fitted `SpectrogramClassifier`.
        clip: (n_mels, frames), dB.
        column: of the class in `classes_`.

    Returns:
        None where the network has no convolutions to look at; zeros where no filter speaks for the class.

    Source:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization" (2017), equations 1 and 2.
    """
    halves = split_network(member.fitted_network())
    if halves is None:
        return None
    picture = np.asarray(clip, dtype=np.float32)
    cuts: PatchSettings = member.patch_settings
    patches = member.standardise(even_patches(picture, cuts)).astype(np.float32)
    made = forward(halves.front, patches, batch_size=member.batch_size)
    slopes = np.concatenate(
        [
            gradient(halves.head, made[i : i + member.batch_size], column)
            for i in range(0, len(made), member.batch_size)
        ]
    )
    inner = tuple(range(1, made.ndim - 1))
    maps = np.maximum((slopes.mean(axis=inner, keepdims=True) * made).sum(axis=-1), 0.0)
    upright = _as_bands_and_time(maps, halves.front, patches, member.batch_size)
    stretched = np.stack([_stretched(m, patches.shape[1:]) for m in upright])
    return _laid_out(stretched, picture.shape, cuts)


def _as_bands_and_time(maps: Array, front: Any, patches: NDArray[np.float32], batch_size: int) -> Array:
    """Maps (n, height, width) or (n, steps) as (n, bands, times), low bands first, whatever the network's order of axes is.

    It is found by asking: noise on the upper bands, and on the last frames, shows up somewhere in the picture.
    """
    probe = patches[:1]
    noise = np.random.default_rng(0).normal(scale=2.0, size=probe.shape).astype(np.float32)
    later, higher = noise.copy(), noise.copy()
    later[:, :, : 3 * probe.shape[2] // 4] = 0.0
    higher[:, : 3 * probe.shape[1] // 4] = 0.0
    before, after_later, after_higher = (
        forward(front, probe + change, batch_size=batch_size)[0] for change in (0.0 * noise, later, higher)
    )
    in_time, in_bands = (_shifts(np.abs(after - before)) for after in (after_later, after_higher))
    axis = int(np.abs(in_time).argmax())
    if in_time[axis] < 0:
        maps = np.flip(maps, axis + 1)
    if maps.ndim == 2:
        return maps[:, None, :]
    other = 1 - axis
    upright = np.moveaxis(maps, axis + 1, 2)
    if abs(in_bands[other]) < SURE:
        return np.asarray(upright.mean(axis=1, keepdims=True))
    return upright if in_bands[other] > 0 else np.flip(upright, 1)


def _shifts(change: Array) -> Array:
    """For each axis but the last, how far the centre of a change lies from the middle, in [-1, 1]."""
    found = []
    for axis in range(change.ndim - 1):
        profile = change.sum(axis=tuple(i for i in range(change.ndim) if i != axis))
        places = np.linspace(-1.0, 1.0, len(profile))
        found.append(float((profile * places).sum() / max(float(profile.sum()), 1e-12)))
    return np.array(found)


def _stretched(small: Array, shape: tuple[int, ...]) -> Array:
    """A map at another size, linear between the centres of its cells."""
    for size in shape:  # each turn stretches the rows and transposes
        n = small.shape[0]
        places = (np.arange(size) + 0.5) / size * n - 0.5
        small = np.stack([np.interp(places, np.arange(n), line) for line in small.T])
    return small


def _laid_out(patches: Array, shape: tuple[int, int], cuts: PatchSettings) -> Array:
    """Maps of patches (n, n_mels, patch) back in their places on the clip, averaged where they overlap, 1 at the largest."""
    padded = max(shape[1], cuts.patch_frames)
    ramp = np.where(np.arange(padded) < shape[1], np.arange(padded), np.arange(padded) % shape[1])
    places = even_patches(ramp[None].astype(np.float64), cuts).astype(int)[:, 0]
    total, times = np.zeros(shape), np.zeros(shape[1])
    for place, values in zip(places, patches, strict=True):
        np.add.at(total.T, place, values.T)
        np.add.at(times, place, 1.0)
    mean = np.where(times > 0, total / np.maximum(times, 1.0), np.nan)
    top = float(np.nanmax(mean))
    return np.asarray(mean / top if top > 0 else mean)
