"""Spectrograms of a training run: found beside the table, made from the audio, and augmented copies of training clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from quintet.classifiers.registry import member_entry
from quintet.datasets.manifest import COLUMNS, Manifest
from quintet.errors import ArtefactError, ConfigError
from quintet.features.extraction.extract import extract as extract_clips
from quintet.features.parameters import FeatureParameters
from quintet.features.storage.augmented_spectrograms import make_augmented_copies
from quintet.features.storage.spectrograms import SpectrogramStore
from quintet.features.storage.table import FeatureTable
from quintet.training.data import Copies, Material
from quintet.training.settings import TrainSettings


def find_spectrograms(
    features: str | Path | FeatureTable,
    table: FeatureTable,
    settings: TrainSettings,
    given: str | Path | None,
    **options: Any,
) -> SpectrogramStore | None:
    """The spectrograms that the CNNs of this run need: given, found beside the table, or made from the audio."""
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
            f"{', '.join(networks)} works on spectrograms, and this table was not made by quintet, so there is no audio to make them from. "
            "Choose table members: --members logistic_regression,random_forest,xgboost,svm."
        )
    if not (folder / "store.json").exists():
        if table.parameters is None:
            raise ArtefactError(
                f"A spectrogram store must be a folder made by `quintet extract --spectrograms`. {folder} is not one."
            )
        make_spectrograms(table, table.parameters, folder, **options)
    store = SpectrogramStore(folder)
    if table.parameters is not None and store.parameter_hash != table.parameters.log_mel.hash:
        raise ArtefactError(
            f"Spectrograms and table must come from the same parameters. {folder} has {store.parameter_hash}, the table "
            f"{table.parameters.log_mel.hash}: extract again with --spectrograms."
        )
    return store


def make_spectrograms(
    table: FeatureTable, parameters: FeatureParameters, folder: Path, **options: Any
) -> None:
    """The log-mel spectrograms of a table's clips, from the audio that its `path` column names."""
    meta = table.frame[table.frame["status"] == "ok"]
    if missing := [path for path in meta["path"] if not Path(str(path)).is_file()]:
        raise ArtefactError(
            f"A CNN needs the audio once, to make spectrograms. {len(missing)} of {len(meta)} files are gone (first: {missing[0]}): "
            "restore them, pass --spectrograms DIR, or choose table members."
        )
    frame = meta[[column for column in COLUMNS if column != "problem"]].copy()
    frame["problem"] = pd.Series(pd.NA, index=frame.index, dtype="string")
    manifest = Manifest(
        frame=frame.reset_index(drop=True),
        name="spectrograms",
        root=Path(),
        multilabel=table.multilabel,
        grouped=table.grouped,
    )
    scratch = folder.with_name(f".{folder.name}.features.parquet")
    extract_clips(manifest, scratch, parameters=parameters, spectrograms=folder, **options)
    scratch.unlink(missing_ok=True)


def augment_training_part(material: Material, settings: TrainSettings, **told: Any) -> Copies | None:
    """Augmented copies of the clips of the training part, and of no others; None where no network takes part."""
    store, parameters = material.spectrograms, material.table.parameters
    if store is None or settings.augmentation is None:
        return None
    if parameters is None:
        raise ConfigError(
            "Augmentation of audio needs a table that quintet made: it says how. Extract the clips, or leave [augmentation] out."
        )
    clips = material.table.meta.loc[material.ids[material.split.train]]
    folder = store.folder.with_name(f"{store.folder.name}.copies")
    of = make_augmented_copies(
        clips, folder, parameters=parameters, augmentation=settings.augmentation, seed=settings.seed, **told
    )
    return Copies(SpectrogramStore(folder), of)
