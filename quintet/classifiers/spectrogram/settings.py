"""Settings of the spectrogram classifier in groups: patches, and the fit of the network.

The constructor of `SpectrogramClassifier` keeps them as flat keyword arguments with the same names, as
scikit-learn requires.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from quintet.classifiers.spectrogram.augmentation import Augmentation
from quintet.errors import ConfigError, unknown_name

PADDINGS = ("repeat", "floor")
STANDARDS = ("band", "global", "none")
SCHEDULES = ("cosine", "constant")
CLASS_WEIGHTS = ("balanced", "none")


def require_name(kind: str, value: str, valid: Iterable[str]) -> None:
    """Refuse a value that is not one of the valid names.

    Raises:
        ConfigError: the message lists the valid names and the nearest one.
    """
    names = tuple(valid)
    if value not in names:
        raise unknown_name(kind, value, names)


def require_positive(**values: int) -> None:
    """Refuse values below 1.

    Raises:
        ConfigError: the message names the setting.
    """
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1. Received {value}.")


@dataclass(frozen=True)
class PatchSettings:
    """How a clip is cut into patches of one length.

    Args:
        patch_frames: length of a patch, in frames.
        hop_frames: distance from one segment to the next in training and prediction (multi-framing). None:
            random patches in training, and in prediction the fewest patches that cover the clip.
        skip_frames: frames that are left out at both ends of a clip.
        max_patches: greatest number of patches per clip in prediction, without `hop_frames`.
        padding: how a clip shorter than a patch is continued: `"repeat"`, or `"floor"` (its lowest value).

    Raises:
        ConfigError: for an unknown padding or a number out of range.
    """

    patch_frames: int
    hop_frames: int | None = None
    skip_frames: int = 0
    max_patches: int = 8
    padding: str = "repeat"

    def __post_init__(self) -> None:
        require_name("padding", self.padding, PADDINGS)
        require_positive(patch_frames=self.patch_frames, max_patches=self.max_patches)
        if self.skip_frames < 0 or (self.hop_frames is not None and self.hop_frames < 1):
            raise ConfigError(
                "hop_frames must be at least 1 and skip_frames at least 0. "
                f"Received {self.hop_frames} and {self.skip_frames}."
            )


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted: epochs, learning rate, early stopping and the patches of an epoch.

    Args:
        epochs: greatest number of epochs.
        batch_size: patches per step.
        learning_rate: rate of Adam in the first epoch.
        schedule: `"cosine"` or `"constant"`, see `rate`.
        patience: number of epochs without a lower validation loss after which the fit stops.
        base_rate: factor on the learning rate for the pretrained base of a network that has one.
        patches_per_clip: random patches of each clip per epoch.
        class_weight: `"balanced"` or `"none"`.
        augmentation: of the training patches.
        validation_share: share of the groups that is held out for early stopping; 0 trains all epochs on all
            clips.
        seed: controls all randomness of the fit.

    Raises:
        ConfigError: for an unknown name or a number out of range.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str = "cosine"
    patience: int = 12
    base_rate: float = 1.0
    patches_per_clip: int = 1
    class_weight: str = "balanced"
    augmentation: Augmentation = field(default_factory=Augmentation)
    validation_share: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        require_name("schedule", self.schedule, SCHEDULES)
        require_name("class weight", self.class_weight, CLASS_WEIGHTS)
        require_positive(epochs=self.epochs, batch_size=self.batch_size)
        require_positive(patches_per_clip=self.patches_per_clip, patience=self.patience)
        if not 0 <= self.validation_share <= 0.5:
            raise ConfigError(f"validation_share must lie in 0 … 0.5. Received {self.validation_share}.")

    @property
    def balanced(self) -> bool:
        """Whether every class, or every tag's presence and absence, has the same weight."""
        return self.class_weight == "balanced"

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0): constant, or half a cosine from the full rate to almost zero.

        Example:
            >>> settings = FitSettings(epochs=10, batch_size=32, learning_rate=1.0, schedule="cosine")
            >>> settings.rate(0), settings.rate(5)
            (1.0, 0.5)
        """
        if self.schedule == "constant":
            return self.learning_rate
        return round(self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * epoch / self.epochs)), 15)
