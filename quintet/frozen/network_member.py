"""A frozen network as a fitted member: what explanations ask of a network, without Keras."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.spectrogram.pooling import mean_over_patches
from quintet.classifiers.spectrogram.sequences import SpectrogramInput, read_clips
from quintet.classifiers.spectrogram.settings import PatchSettings
from quintet.frozen.gradients import FrozenHalves
from quintet.frozen.members import FrozenNetwork

Array = NDArray[np.float32]
Floats = NDArray[np.float64]


class NetworkMember:
    """A fitted network that predicts, embeds and gives gradients. Names are those of
    `SpectrogramClassifier`.

    Args:
        member: name of the network in the registry.
        classes: sorted labels, or names of the tags.
        frozen: the network.
        halves: the network cut at its last feature map.
    """

    def __init__(
        self, member: str, classes: NDArray[np.object_], frozen: FrozenNetwork, halves: FrozenHalves
    ) -> None:
        self.member = member
        self.classes_ = classes
        self.multilabel_ = frozen.multilabel
        self.frozen = frozen
        self.halves = halves

    @classmethod
    def of(cls, member: str, classes: NDArray[np.object_], frozen: FrozenNetwork) -> Self | None:
        """The member, or None if this network has no gradient without Keras."""
        halves = FrozenHalves.cut(frozen.network)
        return None if halves is None else cls(member, classes, frozen, halves)

    @property
    def mean_(self) -> Array:
        """Mean of each band, `(n_mels, 1)`."""
        return self.frozen.statistics.mean

    @property
    def patch_settings(self) -> PatchSettings:
        """How clips are cut into patches."""
        return self.frozen.settings

    @property
    def patch_frames(self) -> int:
        """Frames of a patch."""
        return self.frozen.settings.patch_frames

    @property
    def max_patches(self) -> int:
        """Most patches of a clip."""
        return self.frozen.settings.max_patches

    def predict_proba(self, X: SpectrogramInput) -> Floats:
        """Probabilities `(clips, classes)`, as `FrozenNetwork.probabilities`."""
        return self.frozen.probabilities(np.empty((0, 0)), X)

    def embed(self, X: SpectrogramInput) -> Floats:
        """Output of the last hidden layer, the mean over the patches of each clip: `(clips, d)`."""
        clips = read_clips(X, n_mels=len(self.mean_))
        return mean_over_patches(
            clips,
            self.patch_settings,
            lambda patches: self.frozen.network.embedding(self.standardise(patches)),
        )

    def standardise(self, patches: Array) -> Array:
        """Patches `(n, n_mels, frames)` in dB as the network reads them."""
        return self.frozen.statistics.standardise(patches)
