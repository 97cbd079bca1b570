"""Pictures of patches, and the matrices of steps that have no weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quintet.files.json_types import JsonObject
from quintet.files.untrusted import limits

Array = NDArray[np.float32]

BGR_MEAN = (103.939, 116.779, 123.68)
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's means and deviations, as in `classifiers.networks.images`."""


def picture(patches: Array, numbers: JsonObject) -> Array:
    """The pictures of `classifiers.networks.images.Picture`.

    Args:
        patches: standardised, `(n, bands, frames)`.
        numbers: `size` and `colours`.

    Raises:
        ValueError: no network of ours has such pictures.
    """
    size = numbers["size"]
    if not 0 < size <= limits.BANDS:
        raise ValueError("a picture of a size that no network of ours has")
    upright = (np.clip(patches, -3.0, 3.0)[:, ::-1] + 3.0) / np.float32(6.0)
    grey = resampling(upright.shape[1], size) @ upright @ resampling(upright.shape[2], size).T
    colours: list[Array]
    if numbers["colours"] == "jet":
        red = np.minimum((grey - 0.35) / 0.31, 1.0 - (grey - 0.89) * 0.5 / 0.11)
        green = np.minimum((grey - 0.125) / 0.25, (0.91 - grey) / 0.27)
        blue = np.minimum(0.5 + grey * 0.5 / 0.11, (0.65 - grey) / 0.31)
        colours = [np.clip(channel, 0.0, 1.0) for channel in (red, green, blue)]
    elif numbers["colours"] == "bgr":
        colours = [grey * 255.0 - mean for mean in BGR_MEAN]
    elif numbers["colours"] == "rgb":
        colours = [(grey - mean) / std for mean, std in zip(RGB_MEAN, RGB_STD, strict=True)]
    else:
        raise ValueError("colours that no network of ours has")
    return np.stack(colours, axis=-1).astype(np.float32)


def resampling(length: int, size: int) -> Array:
    """Matrix `(size, length)` of a bilinear change of length, with pixels as areas."""
    centre = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0, length - 1)
    lower = np.floor(centre).astype(np.int64)
    upper = np.minimum(lower + 1, length - 1)
    matrix = np.zeros((size, length))
    rows = np.arange(size)
    np.add.at(matrix, (rows, lower), 1 - (centre - lower))
    np.add.at(matrix, (rows, upper), centre - lower)
    return matrix.astype(np.float32)


def cosines(n_coefficients: int, n_bands: int) -> Array:
    """Matrix of the orthonormal DCT-II, `(n_coefficients, n_bands)`."""
    angles = np.pi * np.outer(np.arange(n_coefficients), np.arange(n_bands) + 0.5) / n_bands
    matrix = np.sqrt(2.0 / n_bands) * np.cos(angles)
    matrix[0] /= np.sqrt(2.0)
    return np.asarray(matrix, dtype=np.float32)
