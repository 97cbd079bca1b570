"""Augmentation of training patches: masks (SpecAugment) and mixtures (mixup).

Held-out clips are not augmented. There is no function for shifts in time, because every patch comes from a
random place of its clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, unknown_name

Floats = NDArray[np.float32]
Batch = tuple[Floats, Floats, Floats]
"""Patches `(rows, n_mels, frames)`, targets `(rows, classes)` and weights `(rows,)`."""


@dataclass(frozen=True)
class Augmentation:
    """Settings of the augmentation of a training patch; 0 switches a part off.

    Args:
        mask_bands: greatest number of mel bands that are masked in a patch, in one block.
        mask_frames: greatest number of frames that are masked in a patch, in one block.
        mixup: alpha of the Beta distribution of the shares in which two patches and their labels are mixed;
            0.2 is usual.

    Raises:
        ConfigError: for a value below 0.
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
        """Augmentation from a mapping of its settings; None is no augmentation.

        Raises:
            ConfigError: for an unknown name or a value below 0.

        Example:
            >>> Augmentation.from_settings({"mixup": 0.2})
            Augmentation(mask_bands=0, mask_frames=0, mixup=0.2)
        """
        names = [part.name for part in fields(cls)]
        for name in settings or {}:
            if name not in names:
                raise unknown_name("augmentation", name, names)
        return cls(**(settings or {}))  # type: ignore[arg-type]

    @property
    def active(self) -> bool:
        """Whether any part is switched on."""
        return bool(self.mask_bands or self.mask_frames or self.mixup)

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Augment standardised patches, their targets and their weights."""
        patches, targets, weights = batch
        if self.mask_bands or self.mask_frames:
            patches = mask_patches(patches, rng, bands=self.mask_bands, frames=self.mask_frames)
        if self.mixup:
            return mixup((patches, targets, weights), rng, alpha=self.mixup)
        return patches, targets, weights


def mask_patches(patches: Floats, rng: np.random.Generator, *, bands: int, frames: int) -> Floats:
    """Set a block of 0 … `bands` bands and a block of 0 … `frames` frames of each patch to 0, the mean.

    Source:
        Park et al. 2019 (SpecAugment), §2.
    """
    patches = patches.copy()
    band_mask = _random_blocks(len(patches), patches.shape[1], bands, rng)
    patches[band_mask[:, :, None].repeat(patches.shape[2], 2)] = 0.0
    frame_mask = _random_blocks(len(patches), patches.shape[2], frames, rng)
    patches[frame_mask[:, None, :].repeat(patches.shape[1], 1)] = 0.0
    return patches


def _random_blocks(n: int, size: int, longest: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """One random block of 0 … `longest` true values in each of `n` rows, `(n, size)`."""
    widths = rng.integers(0, min(longest, size) + 1, n)
    starts = rng.integers(0, size - widths + 1)
    places = np.arange(size)
    return (places >= starts[:, None]) & (places < (starts + widths)[:, None])


def mixup(batch: Batch, rng: np.random.Generator, *, alpha: float) -> Batch:
    """Mixtures `share · row + (1 - share) · another row` of patches, targets and weights.

    `share` is drawn from Beta(alpha, alpha), once per row.

    Source:
        Zhang et al. 2018 (mixup).
    """
    patches, targets, weights = batch
    shares = rng.beta(alpha, alpha, len(patches)).astype(np.float32)
    partners = rng.permutation(len(patches))
    return (
        _mix(patches, shares, partners),
        _mix(targets, shares, partners),
        _mix(weights, shares, partners),
    )


def _mix(values: Floats, shares: Floats, partners: NDArray[np.int64]) -> Floats:
    share = shares.reshape(-1, *(1,) * (values.ndim - 1))
    result = values[partners]
    result *= 1 - share
    result += share * values
    return result
