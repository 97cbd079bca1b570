"""Spectrograms of a training run, and augmented copies of its training clips."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quintet.classifiers.registry import member_entry
from quintet.datasets.manifest import COLUMNS, Manifest
from quintet.errors import ArtefactError, ConfigError
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.extraction.extract import Options
from quintet.features.extraction.extract import extract as extract_clips
from quintet.features.extraction.worker import Job
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.augmented_spectrograms import make_augmented_copies
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable, is_usable
from quintet.files.display.file_names import text_path
from quintet.training.data import Copies, Material
from quintet.training.settings import TrainSettings


def find_spectrograms(
    features: str | Path | FeatureTable,
    table: FeatureTable,
    settings: TrainSettings,
    given: str | Path | None,
    *,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> SpectrogramStore | None:
    """The spectrograms that the networks of a run need; None if it has no networks.

    If the store does not exist, it is made from the audio.

    Args:
        features: the table as the caller named it; the default store is beside its file.
        table: the same table, read.
        settings: the members.
        given: the folder of the store; None for the store beside the table.
        n_jobs: number of worker processes.
        progress: called as clips are processed.

    Raises:
        ConfigError: if no store is given and none can be made.
        ArtefactError: if the folder is not a store, has other parameters than the table, or audio files are
            missing.
    """
    networks = [name for name in settings.members if member_entry(name).input == "spectrogram"]
    if not networks:
        return None
    if given is None and isinstance(features, FeatureTable):
        raise ConfigError(
            f"{', '.join(networks)} needs spectrograms: pass spectrograms=FOLDER, or leave it out."
        )
    folder = Path(given) if given is not None else Path(str(features)).with_suffix(".spectrograms")
    if given is None and not folder.exists() and table.parameters is None:
        raise ConfigError(
            f"{', '.join(networks)} works on spectrograms, and this table was not made by quintet, "
            "so there is no audio to make them from. "
            "Choose table members: --members logistic_regression,random_forest,xgboost,svm."
        )
    if not (folder / "store.json").exists():
        if table.parameters is None:
            raise ArtefactError(
                "A spectrogram store must be a folder made by `quintet extract --spectrograms`. "
                f"{folder} is not one."
            )
        make_spectrograms(table, table.parameters, folder, n_jobs=n_jobs, progress=progress)
    store = SpectrogramStore(folder)
    if table.parameters is not None and store.parameter_hash != table.parameters.log_mel.hash:
        raise ArtefactError(
            "Spectrograms and table must come from the same parameters. "
            f"{folder} has {store.parameter_hash}, the table {table.parameters.log_mel.hash}: "
            "extract again with --spectrograms."
        )
    _require_same_audio(store, table)
    return store


def _require_same_audio(store: SpectrogramStore, table: FeatureTable) -> None:
    """Check that the spectrograms are of the same sound as the rows, where both know its digest.

    A digest of an older kind cannot be compared. A clip without a spectrogram is an error of its own, later.

    Raises:
        ArtefactError: a spectrogram is of another sound.
    """
    known = table.meta["audio_digest"].dropna()
    known = known[[id in store for id in known.index]]
    pairs = zip(known.index, known.tolist(), store.digests(known.index.tolist()), strict=True)
    others = [id for id, row, stored in pairs if row != stored and stored and _kind(row) == _kind(stored)]
    if others:
        raise ArtefactError(
            "The spectrograms of a table must be of the same sound as its rows. "
            f"{len(others)} of {len(known)} in {store.folder} are of another, for example {others[0]!r}: "
            "extract again with --spectrograms, or move the store away."
        )


def _kind(digest: str) -> str:
    """Name of the method that made a digest; empty for early ones.

    Example:
        >>> _kind("xxh3:1f"), _kind("07")
        ('xxh3', '')
    """
    method, colon, _ = digest.partition(":")
    return method if colon else ""


def make_spectrograms(
    table: FeatureTable,
    parameters: FeatureParameters,
    folder: Path,
    *,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> None:
    """Make the log-mel spectrograms of a table's clips from the audio that its `path` column names.

    Args:
        table: the feature table.
        parameters: parameters of the table.
        folder: the store to write.
        n_jobs: number of worker processes.
        progress: called as clips are processed.

    Raises:
        ArtefactError: if an audio file does not exist.
    """
    usable = table.frame[is_usable(table.frame)]
    missing = [path for path in usable["path"] if not Path(text_path(str(path))).is_file()]
    if missing:
        raise ArtefactError(
            "A CNN needs the audio once, to make spectrograms. "
            f"{len(missing)} of {len(usable)} files are gone (first: {missing[0]}): "
            "restore them, pass --spectrograms DIR, or choose table members."
        )
    frame = usable[[column for column in COLUMNS if column != "problem"]].copy()
    frame["problem"] = pd.Series(pd.NA, index=frame.index, dtype="string")
    manifest = Manifest(
        frame=frame.reset_index(drop=True),
        name="spectrograms",
        root=Path(),
        multilabel=table.multilabel,
        grouped=table.grouped,
    )
    scratch = folder.with_name(f".{folder.name}.features.parquet")
    options = Options(Job(parameters.without_embeddings, log_mel=True), folder, n_jobs, progress)
    extract_clips(manifest, scratch, options)
    scratch.unlink(missing_ok=True)


def augment_training_part(
    material: Material,
    settings: TrainSettings,
    *,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> Copies | None:
    """Make augmented copies of the clips of the training part, and of no other clips.

    Args:
        material: data of the run.
        settings: the augmentation and its seed.
        n_jobs: number of worker processes.
        progress: called as clips are processed.

    Returns:
        The copies; None if the settings have no augmentation or the run has no networks.

    Raises:
        ConfigError: if quintet did not make the table, so that the parameters of its spectrograms are
            unknown.
    """
    store, parameters = material.spectrograms, material.table.parameters
    if store is None or settings.augmentation is None:
        return None
    if parameters is None:
        raise ConfigError(
            "Augmentation of audio needs a table that quintet made, because it holds the parameters. "
            "Extract the clips, or leave [augmentation] out."
        )
    ids = material.ids[material.split.train].tolist()
    clips = material.table.meta.loc[ids]
    folder = store.folder.with_name(f"{store.folder.name}.copies")
    copy_ids = make_augmented_copies(
        clips,
        folder,
        parameters=parameters,
        augmentation=settings.augmentation,
        seed=settings.seed,
        n_jobs=n_jobs,
        progress=progress,
    )
    return Copies(SpectrogramStore(folder), copy_ids)
