"""Sequences of spectrograms: the interface that the classifier reads, and arrays in memory that offer it.

A store of spectrograms (`quintet.features.storage.spectrograms.Spectrograms`) offers the same interface. It
knows the shapes without reading a clip, and it reads no more frames of a clip than `window` asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from quintet.errors import DatasetError

Floats = NDArray[np.float32]


@runtime_checkable
class SpectrogramSequence(Protocol):
    """Log-mel spectrograms by position; each has shape `(n_mels, frames)` and is in dB."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Floats: ...

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """`(n_mels, frames)` of each spectrogram."""
        ...

    def window(self, index: int, start: int, stop: int, /) -> Floats:
        """Frames `start` … `stop` - 1 of one spectrogram: `(n_mels, frames)`."""
        ...


SpectrogramInput = SpectrogramSequence | Sequence[Floats] | Floats
"""Input of `fit` and `predict_proba`: a sequence, a list of 2-D arrays, or one 3-D array."""


class ArraySpectrograms:
    """Arrays in memory as a `SpectrogramSequence`.

    Args:
        arrays: a list of `(n_mels, frames)` arrays of any lengths, or one array `(clips, n_mels, frames)`.
    """

    def __init__(self, arrays: Sequence[Floats] | Floats) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int, /) -> Floats:
        return np.asarray(self.arrays[index])

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each array."""
        return [np.shape(self.arrays[i]) for i in range(len(self.arrays))]

    def window(self, index: int, start: int, stop: int, /) -> Floats:
        """Frames `start` … `stop` - 1 of one array, float32."""
        return np.asarray(self[index][:, start:stop], dtype=np.float32)


class ConcatenatedSpectrograms:
    """Two sequences of spectrograms as one: the clips, then the augmented copies of some of them.

    Args:
        first: the spectrograms at the first positions.
        second: the spectrograms at the positions behind them.
    """

    def __init__(self, first: SpectrogramSequence, second: SpectrogramSequence) -> None:
        self.first = first
        self.second = second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: int, /) -> Floats:
        part, position = self._locate(index)
        return part[position]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each spectrogram."""
        return [*self.first.shapes, *self.second.shapes]

    def window(self, index: int, start: int, stop: int, /) -> Floats:
        """Frames `start` … `stop` - 1 of one spectrogram."""
        part, position = self._locate(index)
        return part.window(position, start, stop)

    def _locate(self, index: int) -> tuple[SpectrogramSequence, int]:
        """The part that holds a position, and the position in that part."""
        n_first = len(self.first)
        if index < n_first:
            return self.first, index
        return self.second, index - n_first


def as_sequence(X: SpectrogramInput) -> SpectrogramSequence:
    """`X` itself if it offers the interface, otherwise its arrays with the interface added.

    Example:
        >>> as_sequence([np.zeros((8, 20)), np.zeros((8, 30))]).shapes
        [(8, 20), (8, 30)]
    """
    if isinstance(X, SpectrogramSequence):
        return X
    return ArraySpectrograms(X)


def read_clips(X: SpectrogramInput, *, n_mels: int | None = None) -> SpectrogramSequence:
    """Check that all spectrograms have the same number of bands, and return them as a sequence.

    Args:
        X: spectrograms `(n_mels, frames)` of any lengths.
        n_mels: number of bands that each must have. Default: the number of the first.

    Raises:
        DatasetError: if there is no spectrogram, one is not 2-D or has no frames, or the numbers of bands
            differ.
    """
    if len(X) == 0:
        raise DatasetError("There must be at least one spectrogram. Received none.")
    clips = as_sequence(X)
    shapes = clips.shapes
    expected = shapes[0][0] if n_mels is None else n_mels
    for i, shape in enumerate(shapes):
        if len(shape) != 2 or shape[0] != expected or shape[1] < 1:
            raise DatasetError(
                f"Every spectrogram must have shape ({expected} bands, frames > 0). Number {i} has {shape}. "
                "Extract all with the same parameters."
            )
    return clips
