"""Batches of training patches for each epoch: new patches of the clips, or outputs of a frozen base."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quintet.classifiers.networks.keras_types import KerasModel
from quintet.classifiers.spectrogram.augmentation import Batch
from quintet.classifiers.spectrogram.fitting import forward
from quintet.classifiers.spectrogram.patches import (
    BandStatistics,
    cut_patches,
    even_patches,
    patches_per_chunk,
    random_patches,
    segment_starts,
)
from quintet.classifiers.spectrogram.sequences import SpectrogramSequence
from quintet.classifiers.spectrogram.settings import FitSettings, PatchSettings
from quintet.classifiers.spectrogram.targets import Rows
from quintet.errors import ConfigError

Positions = NDArray[np.int64]
EpochBatches = Callable[[int], Iterator[Batch]]
"""Epoch (from 0) → chunks of inputs, targets and weights."""


@dataclass(frozen=True)
class TrainingClips:
    """Clips from which a network learns.

    Args:
        clips: spectrograms, including clips that are held out.
        learners: positions of the clips that are learnt from.
        rows: targets and weights of all clips.
        statistics: of the learners.
    """

    clips: SpectrogramSequence
    learners: Positions
    rows: Rows
    statistics: BandStatistics


def epoch_batches(
    training: TrainingClips,
    base: KerasModel | None,
    patches: PatchSettings,
    fit: FitSettings,
    network: str,
) -> EpochBatches:
    """Batches of a network: augmented patches, or the outputs of its frozen base.

    Args:
        training: the clips.
        base: the frozen base; None if there is none.
        patches: settings of the patches.
        fit: settings of the fit.
        network: its name, for the message.

    Raises:
        ConfigError: augmentation is asked for, and a frozen base keeps its outputs.
    """
    if base is None:
        return patch_batches(training, patches, fit)
    if fit.augmentation.active:
        raise ConfigError(
            f"Augmentation needs new patches in each epoch, but '{network}' keeps the output of "
            "its base for the same patches. Switch it off."
        )
    return kept_output_batches(training, base, patches, fit)


def patch_batches(training: TrainingClips, patches: PatchSettings, fit: FitSettings) -> EpochBatches:
    """Augmented patches in a new random order for each epoch.

    They come from random places of the clips; with `hop_frames` they are all segments of the clips.
    """
    clips, learners = training.clips, training.learners
    n_mels = len(training.statistics.mean)
    chunk_size = patches_per_chunk(n_mels, patches.patch_frames, fit.batch_size) * fit.batch_size
    if patches.hop_frames is None:
        items = np.repeat(learners, fit.patches_per_clip)
    else:
        items = segment_starts(clips, learners, patches, hop=patches.hop_frames)

    def batches(epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([fit.seed, epoch])
        order = rng.permutation(items)
        for begin in range(0, len(order), chunk_size):
            yield _cut_batch(training, order[begin : begin + chunk_size], rng, patches, fit)

    return batches


def _cut_batch(
    training: TrainingClips,
    items: Positions,
    rng: np.random.Generator,
    patches: PatchSettings,
    fit: FitSettings,
) -> Batch:
    """Cut, standardise and augment patches of clips `(n,)`, or at places (clip, first frame) `(n, 2)`."""
    clips, rows, statistics = training.clips, training.rows, training.statistics
    if items.ndim == 1:
        owners, cut = items, random_patches(clips, items, rng, patches)
    else:
        owners, cut = items[:, 0], cut_patches(clips, items, patches)
    cut -= statistics.mean
    cut /= statistics.std
    return fit.augmentation((cut, rows.targets[owners], rows.weights[owners]), rng)


def kept_output_batches(
    training: TrainingClips, base: KerasModel, patches: PatchSettings, fit: FitSettings
) -> EpochBatches:
    """Outputs of a frozen base for evenly spaced patches, in a new random order for each epoch.

    They are computed once.
    """
    rows = training.rows
    outputs, owners = _base_outputs(training, base, replace(patches, max_patches=fit.patches_per_clip), fit)

    def batches(epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng([fit.seed, epoch]).permutation(len(outputs))
        yield outputs[order], rows.targets[owners[order]], rows.weights[owners[order]]

    return batches


def _base_outputs(
    training: TrainingClips, base: KerasModel, patches: PatchSettings, fit: FitSettings
) -> tuple[NDArray[np.float32], Positions]:
    """Outputs of the base for the patches of the learners, and the position of the clip of each."""
    outputs, owners = [], []
    for i in training.learners:
        cut = training.statistics.standardise(even_patches(training.clips[int(i)], patches))
        outputs.append(forward(base, cut, batch_size=fit.batch_size).astype(np.float32))
        owners += [int(i)] * len(cut)
    return np.concatenate(outputs), np.array(owners)
