"""Corpus of an audit: the clips of a source or of a feature table, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from quintet.audio.decode import ClipSource
from quintet.datasets.manifest import Manifest
from quintet.datasets.source import is_manifest_file, load_source
from quintet.features.storage.external_table import find_external_table, is_external_table
from quintet.features.storage.left_out import missing_numbers_notes
from quintet.features.storage.read import is_own_table, read_feature_table
from quintet.features.storage.table import FeatureTable
from quintet.files.display.file_names import text_path
from quintet.files.paths import require_path

FACTS = ("duration_s", "native_sample_rate", "native_channels", "audio_digest")
CLIP_COLUMNS = ["path", "label", "group", "start", "end"]


@dataclass(frozen=True, eq=False)
class Corpus:
    """Clips to audit.

    Args:
        name: name of the source.
        clips: columns path, label, group, start, end, by clip id.
        grouped: whether the source has groups.
        known_facts: facts that a table holds, by clip id; no columns for a source of audio.
        features: features by clip id; None for a source of audio.
        problems: id and problem of the clips that cannot be used.
        problem_labels: labels of those that have one.
        truncated: clip id → reason, of the clips that a table says are cut short.
        is_in_order: whether somebody wrote the rows in their order: a manifest file, a table from elsewhere.
        notes: how the source was read: columns that were ignored, spellings that were joined.
        named_groups: what a table says about the artists in the tags of its files.
    """

    name: str
    clips: pd.DataFrame
    grouped: bool
    known_facts: pd.DataFrame
    features: pd.DataFrame | None
    problems: list[tuple[str, str]]
    problem_labels: tuple[str, ...] = ()
    truncated: Mapping[str, str] = field(default_factory=dict)
    is_in_order: bool = False
    notes: tuple[str, ...] = ()
    named_groups: str = ""

    @property
    def has_all_files(self) -> bool:
        """Whether every clip has a file on this machine."""
        return all(Path(text_path(path)).is_file() for path in self.clips["path"])


def read_corpus(source_or_table: str | Path | Manifest | FeatureTable) -> Corpus:
    """Corpus of a source or of a feature table.

    Args:
        source_or_table: a folder, a manifest (file or object), the name of a built-in dataset, a feature
            table, or the file of a feature table.

    Raises:
        DatasetError: if the source cannot be listed.
    """
    if isinstance(source_or_table, FeatureTable):
        return _table_corpus(source_or_table)
    if not isinstance(source_or_table, Manifest):
        source_or_table = require_path(source_or_table, "The source of an audit")
    if isinstance(source_or_table, str | Path) and is_own_table(Path(source_or_table)):
        return _table_corpus(read_feature_table(source_or_table))
    if not isinstance(source_or_table, Manifest):
        external_table = find_external_table(Path(source_or_table))
        if external_table is not None:
            return _table_corpus(external_table)
    return _manifest_corpus(load_source(source_or_table), is_in_order=is_manifest_file(source_or_table))


def is_table(source: str | Path) -> bool:
    """Whether a source is a feature table: one of ours, or one of another program.

    Raises:
        ArtefactError: the file cannot be read.
    """
    return is_own_table(Path(source)) or is_external_table(Path(source))


def clip_sources(clips: pd.DataFrame) -> list[ClipSource]:
    """File and window of each clip.

    Args:
        clips: the table of a corpus.
    """
    rows = zip(
        clips.index.tolist(),
        clips["path"].tolist(),
        clips["start"].tolist(),
        clips["end"].tolist(),
        strict=True,
    )
    return [ClipSource.from_row(*row) for row in rows]


def _table_corpus(table: FeatureTable) -> Corpus:
    cut = table.frame[table.frame["status"] == "truncated"]
    truncated = {str(row.id): str(row.reason) for row in cut.itertuples()}
    problems = [(str(row.id), f"{row.error}: {row.reason}") for row in table.failures.itertuples()]
    known_facts = [name for name in FACTS if table.meta[name].notna().any()]
    return Corpus(
        name=str(table.metadata.get("dataset", "")),
        clips=table.meta[CLIP_COLUMNS],
        grouped=table.grouped,
        known_facts=table.meta[known_facts],
        features=table.features,
        problems=problems,
        problem_labels=tuple(table.failures["label"].dropna().astype(str)),
        truncated=truncated,
        is_in_order=table.parameters is None,
        notes=(*table.metadata.get("notes", ()), *missing_numbers_notes(table)),
        named_groups=str(table.metadata.get("named_groups", "")),
    )


def _manifest_corpus(manifest: Manifest, *, is_in_order: bool) -> Corpus:
    unusable = manifest.frame[manifest.frame["problem"].notna()]
    problems = zip(unusable["id"].tolist(), unusable["problem"].tolist(), strict=True)
    clips = manifest.usable.set_index("id")[CLIP_COLUMNS]
    return Corpus(
        name=manifest.name,
        clips=clips,
        grouped=manifest.grouped,
        known_facts=pd.DataFrame(index=clips.index),
        features=None,
        problems=list(problems),
        problem_labels=tuple(unusable["label"].dropna().astype(str)),
        is_in_order=is_in_order,
        notes=tuple(note for note in manifest.ignored if " " in note),  # the others are bare names
    )
