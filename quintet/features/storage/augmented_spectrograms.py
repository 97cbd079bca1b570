"""Augmented copies of training clips, as spectrograms in a store of their own.

A copy is stored with the id of its clip. `AugmentedSpectrograms` behaves like `Spectrograms`: length, index,
folds and prediction show the clips only. A network that is fitted also gets the copies of the clips that it
is fitted on.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray

from quintet.audio.augment import AudioAugmentation, augment_clip
from quintet.audio.decode import ClipSource
from quintet.audio.isolation.calls import map_isolated
from quintet.features.engine.analysis import make_analysis
from quintet.features.engine.warm_up import kernels_available
from quintet.features.extraction.chunks import Progress
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.spectrograms import Spectrograms, SpectrogramStore, SpectrogramWriter

COMMIT = 50
"""Copies after which the store is written to disk."""


class AugmentedSpectrograms(Spectrograms):
    """Spectrograms with augmented copies.

    Args:
        store: store of the clips.
        ids: the clips.
        copies: store of the copies.
        of: clip id → ids of its copies.
    """

    def __init__(
        self,
        store: SpectrogramStore,
        ids: Sequence[str],
        *,
        copies: SpectrogramStore,
        of: Mapping[str, Sequence[str]],
    ) -> None:
        super().__init__(store, ids)
        self._copies, self._of = copies, of

    def __getitem__(self, index: int | slice | ArrayLike) -> Any:
        selected: NDArray[np.float32] | Spectrograms = super().__getitem__(index)  # type: ignore[index]
        if not isinstance(selected, Spectrograms):
            return selected
        return AugmentedSpectrograms(self.store, selected.ids, copies=self._copies, of=self._of)

    @property
    def copies(self) -> tuple[Spectrograms, NDArray[np.int64]]:
        """The copies of these clips, and for each copy the position of its clip."""
        names: list[str] = []
        positions: list[int] = []
        for position, id in enumerate(self.ids):
            copies = self._of.get(id, ())
            names += copies
            positions += [position] * len(copies)
        return Spectrograms(self._copies, names), np.array(positions, dtype=np.int64)


def make_augmented_copies(
    clips: pd.DataFrame,
    folder: Path,
    *,
    parameters: FeatureParameters,
    augmentation: AudioAugmentation,
    seed: int,
    n_jobs: int = 1,
    progress: Callable[[Progress], object] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Make augmented copies of clips in the store `folder`. Existing copies are kept.

    Args:
        clips: clips of the training part: `path, start, end, audio_digest`, indexed by id.
        folder: a `SpectrogramStore`; it is made if it does not exist.
        parameters: feature parameters, whose log-mel parameters the copies have.
        augmentation: the transformations, and the number of copies of a clip.
        seed: seed. A copy depends on the seed, the id of its clip and its number only.
        n_jobs: worker processes. The copies and their order in the store do not depend on it.
        progress: called as copies are made.

    Returns:
        Clip id → ids of its copies.

    Raises:
        AudioError: a clip cannot be read again.
    """
    recipe = hashlib.sha256(f"{augmentation.model_dump_json()} {seed}".encode()).hexdigest()[:8]
    wanted = {
        str(id): tuple(f"{id}#copy={recipe},{k}" for k in range(augmentation.copies)) for id in clips.index
    }
    with SpectrogramWriter(folder, parameters.log_mel) as writer:
        digests = {str(id): str(digest) for id, digest in clips["audio_digest"].items()}
        missing: list[str] = []
        for id, names in wanted.items():
            if any(writer.digest(name) != digests[id] for name in names):
                missing.append(id)
        columns = (clips[name].loc[missing].tolist() for name in ("path", "start", "end"))
        sources = map(ClipSource.from_row, missing, *columns)
        calls = ((source, parameters, augmentation, seed) for source in sources)
        results = map_isolated(
            _make_copies, calls, n_workers=effective_n_jobs(n_jobs), set_up=kernels_available
        )
        n_copies = augmentation.copies
        n_total = len(wanted) * n_copies
        n_reused = n_total - len(missing) * n_copies
        for n_clips, (id, log_mels) in enumerate(zip(missing, results, strict=True), start=1):
            if isinstance(log_mels, Exception):
                raise log_mels
            for name, log_mel in zip(wanted[id], log_mels, strict=True):
                writer.add(name, log_mel, digests[id])
            n_made = n_clips * n_copies
            if n_made % COMMIT < n_copies:
                writer.commit()
            if progress:
                progress(Progress(total=n_total, done=n_reused + n_made, reused=n_reused))
    return wanted


def _make_copies(
    source: ClipSource, parameters: FeatureParameters, augmentation: AudioAugmentation, seed: int
) -> list[NDArray[np.float32]]:
    """Log-mel spectrograms of the copies of one clip."""
    clip = source.load(sample_rate=parameters.sample_rate).clip
    id_number = zlib.crc32(source.key.encode())
    log_mels: list[NDArray[np.float32]] = []
    for k in range(augmentation.copies):
        rng = np.random.default_rng([seed, id_number, k])
        analysis = make_analysis(augment_clip(clip, augmentation, rng), parameters)
        log_mels.append(analysis.log_mel(parameters.log_mel))
    return log_mels
