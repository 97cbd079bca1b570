"""Augmented copies of training clips, as spectrograms in a store of their own. A copy stands behind its clip and never on its own.

`AugmentedSpectrograms` goes wherever `Spectrograms` go: indexing, folds and prediction see the clips alone, and a network that is
fitted finds the copies of exactly the clips that it was given.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

from quintet.audio.augment import AudioAugmentation, augment_clip
from quintet.audio.clip import Clip
from quintet.audio.decode import ClipSource
from quintet.features.engine.analysis import make_analysis
from quintet.features.extraction.extract import Progress
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.spectrograms import Spectrograms, SpectrogramStore, SpectrogramWriter

COMMIT = 50  # copies after which the store is put on the disk


class AugmentedSpectrograms(Spectrograms):
    """Spectrograms with augmented copies behind them.

    Args:
        store, ids: the clips.
        copies: the store of the copies. of: clip id → ids of its copies.
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
        found: Any = super().__getitem__(index)  # type: ignore[index]
        return (
            AugmentedSpectrograms(self.store, found.ids, copies=self._copies, of=self._of)
            if isinstance(found, Spectrograms)
            else found
        )

    @property
    def copies(self) -> tuple[Spectrograms, NDArray[np.int64]]:
        """The copies of these clips, and the position among them of what each is a copy of."""
        pairs = [(copy, position) for position, id in enumerate(self.ids) for copy in self._of.get(id, ())]
        return Spectrograms(self._copies, [copy for copy, _ in pairs]), np.array(
            [position for _, position in pairs], dtype=np.int64
        )


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
    """Copies of these clips in the store `folder`: those that are there are kept, the others are made from the audio.

    Args:
        clips: `path, start, end, audio_digest`, indexed by id: clips of the training part.
        folder: a `SpectrogramStore`, made where it is missing.
        parameters: of the clips' own spectrograms.
        augmentation: what to do. seed: with it and its clip's id, a copy is always the same.
        n_jobs: worker processes; the copies and their order in the store do not depend on it. progress: called as copies are made.

    Returns:
        Clip id → ids of its copies.

    Raises:
        AudioError: if a clip cannot be read again.
    """
    recipe = hashlib.sha256(f"{augmentation.model_dump_json()} {seed}".encode()).hexdigest()[:8]
    wanted = {
        str(id): tuple(f"{id}#copy={recipe},{k}" for k in range(augmentation.copies)) for id in clips.index
    }
    with SpectrogramWriter(folder, parameters.log_mel) as writer:
        digests = {str(id): str(digest) for id, digest in clips["audio_digest"].items()}
        missing = [
            id for id, names in wanted.items() if any(writer.digest(name) != digests[id] for name in names)
        ]
        columns = (clips[name].loc[missing].tolist() for name in ("path", "start", "end"))
        sources = map(ClipSource.from_row, missing, *columns)
        jobs = (delayed(_made)(source, parameters, augmentation, seed) for source in sources)
        made = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
        reused, total = (len(wanted) - len(missing)) * augmentation.copies, len(wanted) * augmentation.copies
        for done, (id, pictures) in enumerate(zip(missing, made, strict=True), start=1):
            for name, picture in zip(wanted[id], pictures, strict=True):
                writer.add(name, picture, digests[id])
            if done * augmentation.copies % COMMIT < augmentation.copies:
                writer.commit()
            if progress:
                progress(Progress(total=total, done=reused + done * augmentation.copies, reused=reused))
    return wanted


def _made(
    source: ClipSource, parameters: FeatureParameters, augmentation: AudioAugmentation, seed: int
) -> list[NDArray[np.float32]]:
    """The pictures of a clip's copies, each of which knows nothing but the seed, the clip's id and its number."""
    clip = _read(source, parameters)
    name = zlib.crc32(source.key.encode())
    numbers = (np.random.default_rng([seed, name, k]) for k in range(augmentation.copies))
    return [
        make_analysis(augment_clip(clip, augmentation, rng), parameters).log_mel(parameters.log_mel)
        for rng in numbers
    ]


def _read(source: ClipSource, parameters: FeatureParameters) -> Clip:
    return source.load(sample_rate=parameters.sample_rate).clip
