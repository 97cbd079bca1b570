"""Occlusion: the change of a class probability if a region of the spectrogram is covered.

In: a function that predicts spectrograms, and one spectrogram. Out: `Occlusion`, maps over mel bands and
time. The network predicts the spectrogram again and again, each time with one rectangle replaced by neutral
values. This works for any classifier of spectrograms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quintet.errors import ConfigError
from quintet.explanation.contracts import Floats

Spectrogram = NDArray[np.float32]
Region = tuple[slice, slice]
"""Bands and frames of a spectrogram."""
Predict = Callable[[Sequence[Spectrogram]], ArrayLike]
"""List of spectrograms `(n_mels, frames)` → probabilities `(n, K)`."""

N_BANDS, N_TIMES = 12, 16
AT_ONCE = 32
"""Covered copies of a clip that are predicted at once."""


@dataclass(frozen=True)
class Occlusion:
    """Losses of a class probability if regions are covered.

    Positive: the region speaks for the class. Negative: it speaks against the class.

    Args:
        cells: (b, t) loss if one rectangle is covered.
        bands: (b,) loss if a stripe of bands is covered at all times.
        times: (t,) loss if all bands are covered for a stripe of time.
        band_edges: (b + 1,) mel bands.
        frame_edges: (t + 1,) frames.
        probability: of the class, with nothing covered.
    """

    cells: Floats
    bands: Floats
    times: Floats
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
    """The contribution of each region of a spectrogram: `p(clip) - p(clip with the region covered)`.

    Args:
        predict: list of (n_mels, frames) float32 arrays → (n, K) probabilities.
        clip: (n_mels, frames), dB.
        column: of the class.
        n_bands: stripes along the bands; fewer if there are fewer bands.
        n_times: stripes along time; fewer if there are fewer frames.
        fill: what covers a region, a number or (n_mels,). For a network: the means by which it standardises,
            so that the covered region is neutral for it. Default: the clip's own mean in each band.

    Raises:
        ConfigError: the clip is not two-dimensional or empty, or there is no stripe.

    Source:
        Zeiler and Fergus, "Visualizing and understanding convolutional networks" (2014), section 4.2.

    Example:
        >>> clip = np.zeros((4, 6), np.float32)
        >>> clip[2, 3:] = 1.0
        >>> mean_of_band_2 = lambda clips: [[c[2].mean()] for c in clips]
        >>> result = occlusion(mean_of_band_2, clip, 0, n_bands=4, n_times=2, fill=0.0)
        >>> result.bands.tolist(), result.times.tolist()
        ([0.0, 0.0, 0.5, 0.0], [0.0, 0.5])
    """
    spectrogram = np.asarray(clip, dtype=np.float32)
    if spectrogram.ndim != 2 or min(spectrogram.shape) < 1 or min(n_bands, n_times) < 1:
        raise ConfigError(
            "Occlusion needs (n_mels, frames) and at least one stripe. "
            f"Received {spectrogram.shape}, {n_bands} × {n_times}."
        )
    band_edges = _edges(spectrogram.shape[0], n_bands)
    frame_edges = _edges(spectrogram.shape[1], n_times)
    rows = [slice(a, b) for a, b in pairwise(band_edges)]
    columns = [slice(a, b) for a, b in pairwise(frame_edges)]
    whole = slice(None)
    regions = [(r, c) for r in rows for c in columns]
    n_cells = len(regions)
    regions += [(r, whole) for r in rows]
    regions += [(whole, c) for c in columns]
    prediction = np.asarray(predict([spectrogram]), dtype=np.float64)
    probability = float(prediction[0, column])
    cover = _cover(spectrogram, fill)
    covered = _probabilities_without(predict, spectrogram, cover, regions, column)
    losses = probability - covered
    return Occlusion(
        cells=losses[:n_cells].reshape(len(rows), len(columns)),
        bands=losses[n_cells : n_cells + len(rows)],
        times=losses[n_cells + len(rows) :],
        band_edges=band_edges,
        frame_edges=frame_edges,
        probability=probability,
    )


def cell_means(values: Floats, grid: Occlusion) -> Floats:
    """The mean of a map on every rectangle of an occlusion.

    Args:
        values: (n_mels, frames). NaN (frames outside all patches) counts as 0.
        grid: with b × t rectangles.

    Returns:
        (b, t).

    Example:
        >>> edges = np.array([0, 2]), np.array([0, 1, 3])
        >>> grid = Occlusion(np.zeros((1, 2)), np.zeros(1), np.zeros(2), *edges, 0.5)
        >>> cell_means(np.array([[1.0, 0.0, 2.0], [3.0, np.nan, 2.0]]), grid).tolist()
        [[2.0, 1.0]]
    """
    first_bands, first_frames = grid.band_edges[:-1], grid.frame_edges[:-1]
    by_band = np.add.reduceat(np.nan_to_num(values), first_bands, axis=0)
    sums = np.add.reduceat(by_band, first_frames, axis=1)
    heights, widths = np.diff(grid.band_edges), np.diff(grid.frame_edges)
    sizes = np.outer(heights, widths)
    return np.asarray(sums / sizes)


def _edges(size: int, parts: int) -> NDArray[np.int64]:
    """Edges of stripes of nearly equal width on an axis."""
    return np.rint(np.linspace(0, size, min(parts, size) + 1)).astype(np.int64)


def _cover(spectrogram: Spectrogram, fill: ArrayLike | None) -> Spectrogram:
    """(n_mels, frames) the values that replace a covered region."""
    if fill is None:
        column = spectrogram.mean(axis=1, keepdims=True)
    else:
        column = np.asarray(fill, dtype=np.float32).reshape(-1, 1)
    return np.broadcast_to(column, spectrogram.shape)


def _probabilities_without(
    predict: Predict, spectrogram: Spectrogram, cover: Spectrogram, regions: Sequence[Region], column: int
) -> Floats:
    """(regions,) the probability of a class with each region covered."""
    parts = []
    for start in range(0, len(regions), AT_ONCE):
        copies = []
        for region in regions[start : start + AT_ONCE]:
            copy = spectrogram.copy()
            copy[region] = cover[region]
            copies.append(copy)
        parts.append(np.asarray(predict(copies), dtype=np.float64)[:, column])
    return np.concatenate(parts)
