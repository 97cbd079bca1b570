"""Augmentation of spectrogram patches while training: masks (SpecAugment) and mixtures (mixup). Never of what is held out.

A shift in time needs no function: every patch comes from a random place of its clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, unknown_name

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training patch; 0 is off.

    Attributes:
        mask_bands: the most mel bands that are masked in a patch, in one block. mask_frames: likewise frames.
        mixup: alpha of the Beta distribution of the shares in which two patches, with their labels, are mixed; 0.2 is usual.

    Raises:
        ConfigError: an unknown name, or a value below 0.
    """

    mask_bands: int = 0
    mask_frames: int = 0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ConfigError(f"{name} must be at least 0 (off). Received {value}.")

    @classmethod
    def from_settings(cls, settings: Mapping[str, float] | None) -> Augmentation:
        """The augmentation that `settings` name; None is off.

        Example:
            >>> Augmentation.from_settings({"mixup": 0.2})
            Augmentation(mask_bands=0, mask_frames=0, mixup=0.2)
        """
        for name in settings or {}:
            if name not in cls.__dataclass_fields__:
                raise unknown_name("augmentation", name, cls.__dataclass_fields__)
        return cls(**(settings or {}))  # type: ignore[arg-type]

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        return bool(self.mask_bands or self.mask_frames or self.mixup)

    def __call__(
        self, patches: Floats, targets: Floats, weights: Floats, rng: np.random.Generator
    ) -> tuple[Floats, Floats, Floats]:
        """Standardised patches (rows, n_mels, frames), targets (rows, classes) and weights (rows,), augmented."""
        if self.mask_bands or self.mask_frames:
            patches = mask_patches(patches, rng, bands=self.mask_bands, frames=self.mask_frames)
        if self.mixup:
            patches, targets, weights = mixup(patches, targets, weights, rng, alpha=self.mixup)
        return patches, targets, weights


def mask_patches(patches: Floats, rng: np.random.Generator, *, bands: int, frames: int) -> Floats:
    """A block of 0 … `bands` bands and one of 0 … `frames` frames of each patch set to 0, the mean. Park et al. 2019 (SpecAugment), §2."""
    patches = patches.copy()
    for axis, most in ((1, bands), (2, frames)):
        size = patches.shape[axis]
        widths = rng.integers(0, min(most, size) + 1, len(patches))
        starts = rng.integers(0, size - widths + 1)
        place = np.arange(size)
        hidden = (place >= starts[:, None]) & (place < (starts + widths)[:, None])
        patches[
            hidden[:, :, None].repeat(patches.shape[2], 2)
            if axis == 1
            else hidden[:, None, :].repeat(patches.shape[1], 1)
        ] = 0.0
    return patches


def mixup(
    patches: Floats, targets: Floats, weights: Floats, rng: np.random.Generator, *, alpha: float
) -> tuple[Floats, Floats, Floats]:
    """`share · row + (1 - share) · another row` of patches, targets and weights, `share ~ Beta(alpha, alpha)`. Zhang et al. 2018 (mixup)."""
    share = rng.beta(alpha, alpha, len(patches)).astype(np.float32)
    other = rng.permutation(len(patches))

    def mix(values: Floats) -> Floats:
        s = share.reshape(-1, *(1,) * (values.ndim - 1))
        result = values[other]
        result *= 1 - s
        result += s * values
        return result

    return mix(patches), mix(targets), mix(weights)
