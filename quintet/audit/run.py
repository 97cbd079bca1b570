"""The audit: a source or a feature table goes in, everything that could spoil a score comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from quintet.audio.decode import ClipSource
from quintet.audit.balance import class_balance, oddities, spans
from quintet.audit.clip_facts import ClipMeasurement, measure_clips
from quintet.audit.duplicates import (
    empty_pairs,
    find_equal_digests,
    find_equal_rows,
    find_same_recordings,
    join_groups,
)
from quintet.audit.report import AuditReport
from quintet.audit.shortcuts import SHORTCUT_COLUMNS, shortcut_audit
from quintet.audit.warnings import warnings
from quintet.datasets.labels import label_set
from quintet.datasets.manifest import Manifest
from quintet.datasets.source import load_source
from quintet.errors import DatasetError
from quintet.features.extraction.extract import Progress
from quintet.features.storage.external_table import find_external_table
from quintet.features.storage.read import read_feature_table
from quintet.features.storage.table import METADATA_KEY, FeatureTable

FACTS = ("duration_s", "native_sample_rate", "native_channels", "audio_digest")


@dataclass(frozen=True, eq=False)
class _Subject:
    """What is audited: `clips` (path, label, group, start, end, by id), `known` facts, `features` if it is a table, `problems` so far."""

    name: str
    clips: pd.DataFrame
    grouped: bool
    known: pd.DataFrame
    features: pd.DataFrame | None
    problems: list[tuple[str, str]]
    notes: tuple[str, ...] = ()


def audit(
    source_or_table: str | Path | Manifest | FeatureTable,
    *,
    n_jobs: int = 1,
    progress: Callable[[Progress], object] | None = None,
    fingerprints: bool = True,
    seed: int = 0,
) -> AuditReport:
    """Duplicates, balance, odd clips and shortcuts of a corpus, before anything is trained on it.

    A source is listened to: every clip is decoded once. Of a feature table the rows are compared, and its clips are listened to where all
    their files are at hand and fingerprints are wanted.

    Args:
        source_or_table: a folder, a manifest (file or object), the name of a built-in dataset; a feature table, or the parquet file of one of ours.
        n_jobs: processes that decode.
        progress: called with a `Progress` after each clip.
        fingerprints: whether to look for copies that were re-encoded, re-levelled or trimmed.
        seed: of the shortcut audit.

    Raises:
        DatasetError: if the source cannot be listed.

    Example:
        >>> table = pd.DataFrame(np.random.default_rng(0).normal(size=(4, 9)), columns=[f"f{j}" for j in range(9)])
        >>> table.loc[3] = table.loc[0]
        >>> from quintet.features.storage.external_table import Roles, foreign_table
        >>> frame = table.assign(id=["a.0", "a.1", "b.0", "b.1"])
        >>> report = audit(foreign_table(frame, Roles(label_from="^(.)"), name="tiny"))
        >>> report.pairs_across_classes[["first", "second", "kind"]].values.tolist()
        [['a.0', 'b.1', 'same row']]
    """
    subject = _subject(source_or_table)
    heard = _heard(subject, fingerprints=fingerprints, n_jobs=n_jobs, progress=progress)
    failed = {h.id: h.problem for h in heard if h.problem is not None}
    problems = pd.DataFrame([*subject.problems, *failed.items()], columns=["id", "problem"], dtype="str")
    clips = subject.clips[~subject.clips.index.isin(list(failed))]
    facts = _facts(heard).reindex(clips.index) if heard else subject.known.reindex(clips.index)
    pairs = _described(
        _all_pairs(subject, clips, facts, [h for h in heard if h.problem is None]), clips["label"]
    )
    known = dict(zip(clips.index.tolist(), clips["group"].tolist(), strict=True)) if subject.grouped else None
    groups = join_groups(clips.index.tolist(), pairs, known=known)
    labelled = clips["label"].notna().to_numpy()
    balance = class_balance(clips["label"][labelled], groups[labelled])
    shortcuts = _shortcuts(facts[labelled], clips["label"][labelled], groups[labelled], seed=seed)
    odd = oddities(facts)
    return AuditReport(
        name=subject.name,
        clips=pd.concat([clips[["label", "group"]], facts], axis=1),
        problems=problems,
        pairs=pairs,
        groups=groups.rename_axis("id").reset_index(),
        balance=balance,
        oddities=odd,
        spans=spans(facts),
        shortcuts=shortcuts,
        warnings=tuple(warnings(problems, pairs, known or {}, balance, odd, shortcuts)),
        notes=subject.notes,
    )


def _subject(given: str | Path | Manifest | FeatureTable) -> _Subject:
    if isinstance(given, FeatureTable):
        return _of_table(given)
    if isinstance(given, str | Path) and _is_ours(Path(given)):
        return _of_table(read_feature_table(given))
    external = None if isinstance(given, Manifest) else find_external_table(Path(given))
    if external is not None:
        return _of_table(external)
    return _of_manifest(load_source(given))


def _is_ours(path: Path) -> bool:
    return (
        path.suffix.lower() == ".parquet"
        and path.is_file()
        and METADATA_KEY in (pq.read_schema(path).metadata or {})
    )


def _of_table(table: FeatureTable) -> _Subject:
    problems = [(str(r.id), f"{r.error}: {r.reason}") for r in table.failures.itertuples()]
    known = table.meta[[name for name in FACTS if table.meta[name].notna().any()]]
    clips = table.meta[["path", "label", "group", "start", "end"]]
    return _Subject(
        str(table.metadata.get("dataset", "")),
        clips,
        table.grouped,
        known,
        table.features,
        problems,
        tuple(table.metadata.get("notes", ())),
    )


def _of_manifest(manifest: Manifest) -> _Subject:
    bad = manifest.frame[manifest.frame["problem"].notna()]
    problems = list(zip(bad["id"].tolist(), bad["problem"].tolist(), strict=True))
    clips = manifest.usable.set_index("id")[["path", "label", "group", "start", "end"]]
    notes = tuple(note for note in manifest.ignored if " " in note)
    return _Subject(
        manifest.name, clips, manifest.grouped, pd.DataFrame(index=clips.index), None, problems, notes
    )


def _heard(
    subject: _Subject, *, fingerprints: bool, n_jobs: int, progress: Callable[[Progress], object] | None
) -> list[ClipMeasurement]:
    """The clips as listened to; empty for a table whose files are not at hand."""
    if subject.features is not None and not (
        fingerprints and all(Path(path).is_file() for path in subject.clips["path"])
    ):
        return []

    def tell(total: int, done: int, failed: int) -> None:
        if progress is not None:
            progress(Progress(total, done=done, failed=failed))

    return measure_clips(_sources(subject.clips), fingerprints=fingerprints, n_jobs=n_jobs, progress=tell)


def _sources(clips: pd.DataFrame) -> list[ClipSource]:
    columns = (clips.index.tolist(), clips["path"].tolist(), clips["start"].tolist(), clips["end"].tolist())
    return [ClipSource.from_row(*row) for row in zip(*columns, strict=True)]


def _facts(heard: list[ClipMeasurement]) -> pd.DataFrame:
    usable = [h for h in heard if h.problem is None]
    return pd.DataFrame(
        [h.facts for h in usable], index=pd.Index([h.id for h in usable], name="id", dtype="str")
    )


def _all_pairs(
    subject: _Subject, clips: pd.DataFrame, facts: pd.DataFrame, heard: list[ClipMeasurement]
) -> pd.DataFrame:
    """Pairs of every kind, each pair once, by its strongest evidence."""
    found = [find_equal_digests(facts["audio_digest"])] if "audio_digest" in facts else []
    again = set(found[0]["second"]) if found else set()
    if subject.features is not None:
        found.append(find_equal_rows(subject.features.loc[clips.index]))
    voices = {h.id: h.fingerprint for h in heard if h.fingerprint is not None and h.id not in again}
    if voices:
        sources = [source for source in _sources(clips) if source.key in voices]
        found.append(find_same_recordings(sources, [voices[source.key] for source in sources]))
    filled = [pairs for pairs in found if len(pairs)]
    joined = pd.concat(filled, ignore_index=True) if filled else empty_pairs()
    return joined.drop_duplicates(["first", "second"], ignore_index=True)


def _described(pairs: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """The pairs with their labels, those across classes first."""
    first, second = (labels.reindex(pairs[side]).to_numpy() for side in ("first", "second"))
    across = [
        not (pd.isna(a) or pd.isna(b)) and set(label_set(str(a))) != set(label_set(str(b)))
        for a, b in zip(first, second, strict=True)
    ]
    told = pairs.assign(first_label=first, second_label=second, across_classes=np.array(across, bool))
    return told.sort_values("across_classes", ascending=False, kind="stable", ignore_index=True)


def _shortcuts(facts: pd.DataFrame, labels: pd.Series, groups: pd.Series, *, seed: int) -> pd.DataFrame:
    """The shortcut audit; no rows where nothing but the music is known, or where the classes cannot be divided."""
    try:
        return shortcut_audit(facts, labels, groups, seed=seed)
    except DatasetError:
        return pd.DataFrame(columns=list(SHORTCUT_COLUMNS))
