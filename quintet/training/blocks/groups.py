"""Blocks of clips that sound alike as the groups of a table, where no groups are known.

A target, songs that the model is to serve, may decide how large the blocks are. Its songs are described like
the clips of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quintet.datasets.folder import audio_files
from quintet.datasets.labels import label_indicator
from quintet.datasets.manifest import build_manifest
from quintet.embeddings.columns.networks import find_embedder
from quintet.errors import ConfigError, DatasetError
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.extraction.in_memory import collect_rows, describe_clips
from quintet.features.extraction.worker import Job
from quintet.features.storage.column_roles import quote_names
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import FeatureTable, is_usable
from quintet.files.display.names import printable
from quintet.files.json_types import JsonObject
from quintet.training.blocks.sound_blocks import BY_NAME, BY_ORDER, sound_blocks
from quintet.training.blocks.strata import label_strata
from quintet.training.blocks.target_blocks import TargetBlocks, target_blocks
from quintet.training.settings import TrainSettings

Texts = NDArray[np.str_]
DEFAULT_FOLDS = 5
"""Folds of a run that names no number, if every class has as many groups."""
BLOCKS_PER_TAG = 3
"""Blocks that a tag must lie in, if it has as many clips: a part to fit on, one to predict, one to test."""
NOTES = {
    BY_NAME: "Clips whose names begin alike stay together: they sound alike, too.",
    BY_ORDER: "Clips whose names follow each other sound alike: runs of them stay together.",
}
"""What the blocks follow from, if it is not the sound alone."""


def with_sound_blocks(
    table: FeatureTable, settings: TrainSettings, target: NDArray[np.float64] | None = None
) -> FeatureTable:
    """The table, where the group of each usable clip is its block of clips that sound alike.

    Its `grouped` stays false: no group is known. With a target a note says how far the folds and the target
    are.

    Raises:
        ConfigError: if groups are known.
    """
    if table.grouped:
        raise ConfigError(
            "The protocol 'sound' is for data without groups. This table has groups: use 'group', or "
            "compare both (`protocols`: random, sound, group)."
        )
    frame, metadata = table.frame.copy(), table.metadata
    if target is None:
        names = sound_block_names(table, settings, with_test_part=bool(settings.test_size))
        metadata = _with_notes(metadata, names)
    else:
        n_splits = settings.folds or DEFAULT_FOLDS
        found = target_blocks(
            *_clips_of(table),
            target,
            n_splits=n_splits,
            at_least=n_splits + bool(settings.test_size),
            seed=settings.seed,
        )
        names = _with_blocks_per_tag(found.names, table)
        metadata = {**metadata, "notes": [*metadata.get("notes", []), _target_note(found, len(target))]}
    frame.loc[is_usable(frame), "group"] = names
    return FeatureTable(frame, metadata)


def with_blocks_in_parts(table: FeatureTable, settings: TrainSettings, parts: Texts) -> FeatureTable:
    """The table, where the group of each clip of a given split is its block within its part.

    A member is then calibrated and stopped early on clips that do not sound like those it was fitted on.

    Args:
        table: its groups are not known.
        settings: folds and seed.
        parts: part of each usable clip, `(n,)`; clips that are `unused` keep their group.
    """
    frame, names = table.frame.copy(), table.meta["group"].to_numpy(object, copy=True)
    rows = np.flatnonzero(is_usable(frame))
    for part in set(parts.tolist()) - {"unused"}:
        inside = parts == part
        clips = FeatureTable(frame.iloc[rows[inside]], table.metadata)
        names[inside] = [f"{name}-{part}" for name in sound_block_names(clips, settings)]
    frame.loc[is_usable(frame), "group"] = names.astype(np.str_)
    return FeatureTable(frame, _with_notes(table.metadata, names))


def _with_notes(metadata: Mapping[str, Any], names: Iterable[str]) -> JsonObject:
    """The metadata with notes on what the blocks follow from, if it is not the sound alone."""
    kinds = {kind for name in names for kind in NOTES if name.startswith(kind)}
    notes = [note for kind, note in NOTES.items() if kind in kinds]
    return {**metadata, "notes": [*metadata.get("notes", []), *notes]}


def sound_block_names(table: FeatureTable, settings: TrainSettings, *, with_test_part: bool = False) -> Texts:
    """Block of each usable clip, `(n,)`.

    Each class has a block per fold, and one more for a test part; each tag of label sets has
    `BLOCKS_PER_TAG`. A class with fewer clips has a block per clip.

    Args:
        table: the clips.
        settings: folds and seed.
        with_test_part: whether a test part is to be drawn from the blocks.
    """
    names = sound_blocks(
        *_clips_of(table),
        at_least=(settings.folds or DEFAULT_FOLDS) + with_test_part,
        seed=settings.seed,
        names=_clip_names(table),
        tags=label_indicator(table.meta["label"].astype(str))[0] if table.multilabel else None,
    )
    return _with_blocks_per_tag(names, table)


def _clip_names(table: FeatureTable) -> list[str]:
    """Path of each usable clip; its id if a clip has none."""
    paths = table.meta.get("path", pd.Series([None]))
    is_known = bool((paths.notna() & (paths.astype(str) != "")).all())
    return [str(name) for name in (paths if is_known else table.features.index)]


def _clips_of(table: FeatureTable) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Features, classes (for label sets: strata) and ids of the usable clips."""
    classes = table.meta["label"].astype(str).tolist()
    if table.multilabel:
        classes = label_strata(label_indicator(classes)[0]).astype(str).tolist()
    return table.features.to_numpy(np.float64), classes, table.features.index.astype(str).tolist()


def _with_blocks_per_tag(names: Texts, table: FeatureTable) -> Texts:
    """The blocks, where each tag of label sets has enough: its largest block is halved, by the ids."""
    if not table.multilabel:
        return names
    names = names.astype(object)
    by_id = np.argsort(table.features.index.astype(str).to_numpy(), kind="stable")
    for has_tag in label_indicator(table.meta["label"].astype(str))[0].T.astype(bool):
        rows = by_id[has_tag[by_id]]
        while len(set(names[rows])) < min(BLOCKS_PER_TAG, len(rows)):
            found, sizes = np.unique(names[rows].astype(str), return_counts=True)
            largest = rows[names[rows] == found[sizes.argmax()]]
            names[largest[len(largest) // 2 :]] = f"{found[sizes.argmax()]}-{len(set(names)) + 1}"
    return names.astype(np.str_)


def _target_note(found: TargetBlocks, n: int) -> str:
    """How far the folds are from their training part, beside the target."""
    kept = "need keep no clips together" if found.size == 1 else f"keep about {found.size} clips together"
    end = (
        " The folds are nearer, even with the largest blocks: expect lower scores on the target."
        if found.is_nearer
        else ""
    )
    return (
        f"Folds {kept} for this target: its {n} songs are {found.target:.2f} from their "
        f"nearest clip, a clip {found.folds:.2f} from the nearest one outside its fold "
        f"({found.single:.2f} under random folds; medians, 1 without a relation).{end}"
    )


def describe_target(
    target: str | Path, table: FeatureTable, *, n_jobs: int = 1, progress: ProgressCallback | None = None
) -> NDArray[np.float64]:
    """Features of the songs that a model is to serve, `(m, d)`, in the columns of its table.

    Args:
        target: a folder of audio files, or a feature table with the same columns. Labels are not used.
        table: the table that the model is trained from.
        n_jobs: worker processes.
        progress: receives the progress over the files of a folder.

    Raises:
        DatasetError: no file can be described, or columns are missing.
        ArtefactError: the table of the target cannot be read.
    """
    path = Path(target)
    if not path.exists():
        raise DatasetError(
            "The target must be a folder of audio files or a feature table. There is no "
            f"{printable(str(target))}: check the name."
        )
    songs = _describe(path, table, n_jobs, progress) if path.is_dir() else read_feature_table(path)
    absent = [name for name in table.feature_names if name not in songs.frame]
    if absent:
        raise DatasetError(
            f"The target must have the columns of the table. {printable(str(target))} lacks {len(absent)}: "
            f"{quote_names(absent[:3])}."
        )
    rows = songs.frame[is_usable(songs.frame)]
    if rows.empty:
        raise DatasetError(
            f"The target must have a song that can be described. None of {len(songs.frame)} in "
            f"{printable(str(target))} can be."
        )
    return rows[list(table.feature_names)].to_numpy(np.float64)


def _describe(
    folder: Path, table: FeatureTable, n_jobs: int, progress: ProgressCallback | None
) -> FeatureTable:
    """The audio files of a folder, described with the parameters of the table."""
    if table.parameters is None:
        raise DatasetError(
            "The target must be a feature table if quintet did not make the table of the training. "
            f"{printable(str(folder))} is a folder: give a table with the same columns."
        )
    files = audio_files(folder)
    if not files:
        raise DatasetError(
            f"The target must be a folder with audio files. {printable(str(folder))} has none."
        )
    names = [file.relative_to(folder).as_posix() for file in files]
    clips = pd.DataFrame({"id": names, "path": list(map(str, files)), "label": "target"})
    manifest = build_manifest(clips, name="target", root=Path())
    embedder = find_embedder(table.parameters) if table.parameters.embeddings else None
    rows = describe_clips(
        manifest, Job(table.parameters, embedder=embedder), n_jobs=n_jobs, progress=progress
    )
    return collect_rows(manifest, table.parameters, rows).table
