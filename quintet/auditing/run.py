"""Audit of a source or a feature table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from quintet.auditing.balance import class_balance, oddities, spans
from quintet.auditing.clip_facts import ClipMeasurement, measure_clips
from quintet.auditing.corpus import Corpus, clip_sources, read_corpus
from quintet.auditing.duplicates import (
    empty_pairs,
    find_equal_digests,
    find_equal_rows,
    find_same_recordings,
    join_groups,
)
from quintet.auditing.report import AuditReport
from quintet.auditing.shortcuts import SHORTCUT_COLUMNS, shortcut_audit
from quintet.auditing.warnings import warnings
from quintet.datasets.grouping import named_groups_note
from quintet.datasets.labels import label_set
from quintet.datasets.manifest import Manifest
from quintet.datasets.splits.class_task import make_task
from quintet.errors import DatasetError
from quintet.evaluation.telling import MOST_CLIPS, TELLING_COLUMNS, row_order, telling_columns
from quintet.features.extraction.chunks import Progress
from quintet.features.storage.column_roles import quote_names
from quintet.features.storage.left_out import lost_classes_notes
from quintet.features.storage.table import FeatureTable
from quintet.files.display.file_names import text_path

if TYPE_CHECKING:
    from quintet.auditing.labels.suspects import Suspects


def audit(
    source_or_table: str | Path | Manifest | FeatureTable,
    *,
    n_jobs: int = 1,
    progress: Callable[[Progress], object] | None = None,
    fingerprints: bool = True,
    seed: int = 0,
    model: str | Path | None = None,
) -> AuditReport:
    """Find duplicates, imbalance, odd clips and shortcuts of a corpus, before training.

    If the input is a source, every clip is decoded once. If it is a feature table, its rows are compared. The
    audio of a table is also fingerprinted if `fingerprints` is true and every file exists.

    Args:
        source_or_table: a folder, a manifest (file or object), the name of a built-in dataset, a feature
            table, or the file of a feature table.
        n_jobs: number of processes that decode.
        progress: called with a `Progress` after each clip; for a table without audio, after each fact.
        fingerprints: whether to find copies that are re-encoded, trimmed, or of another level.
        seed: seed of the shortcut audit.
        model: a model folder that was trained on these clips. Its predictions of clips that its members were
            not fitted on tell which labels are probably wrong.

    Raises:
        ArtefactError: if the model is no finished model folder.
        DatasetError: if the source cannot be listed, or the model knows none of its clips.

    Example:
        >>> from quintet.features.storage.external_table import Roles, foreign_table
        >>> rows = np.random.default_rng(0).normal(size=(4, 9))
        >>> rows[3] = rows[0]
        >>> table = pd.DataFrame(rows, columns=[f"f{j}" for j in range(9)])
        >>> frame = table.assign(id=["a.0", "a.1", "b.0", "b.1"])
        >>> report = audit(foreign_table(frame, Roles(label_from="^(.)"), name="tiny"))
        >>> report.pairs_across_classes[["first", "second", "kind"]].values.tolist()
        [['a.0', 'b.1', 'same row']]
    """
    judge = None if model is None else _open_judge(model)  # a fault of it is said before the long work
    corpus = read_corpus(source_or_table)
    if corpus.clips.empty and not corpus.problems:
        raise DatasetError(
            f"An audit must have at least one clip. '{corpus.name}' has none: check the place."
        )
    measurements = _measure(corpus, fingerprints=fingerprints, n_jobs=n_jobs, progress=progress)
    failed = {clip.id: clip.problem for clip in measurements if clip.problem is not None}
    problems = pd.DataFrame([*corpus.problems, *failed.items()], columns=["id", "problem"], dtype="str")
    clips = corpus.clips[~corpus.clips.index.isin(list(failed))]
    facts = _facts_table(measurements) if measurements else corpus.known_facts
    facts = facts.reindex(clips.index)
    pairs = _add_labels(_find_pairs(corpus, clips, facts, measurements), clips["label"])
    source_groups = _source_groups(clips) if corpus.grouped else {}
    groups = join_groups(clips.index.tolist(), pairs, known=source_groups)
    has_label = clips["label"].notna().to_numpy()
    labels, groups_of_labels = clips["label"][has_label], groups[has_label]
    balance = class_balance(labels, groups_of_labels)
    count = None if measurements else progress  # the facts of a table: no clip was counted
    shortcuts = _find_shortcuts(facts[has_label], labels, groups_of_labels, seed=seed, progress=count)
    cut = {clip.id: clip.truncation for clip in measurements if clip.truncation}
    odd = oddities(facts, {**corpus.truncated, **cut})
    telling = _find_telling(corpus, labels, groups_of_labels, seed=seed)
    suspects = None if judge is None else judge(labels)
    order = None
    if corpus.is_in_order:
        labelled = corpus.clips[corpus.clips["label"].notna()]
        order = row_order(labelled["label"], labelled["group"])
    return AuditReport(
        name=corpus.name,
        clips=pd.concat([clips[["label", "group"]], facts], axis=1),
        problems=problems,
        pairs=pairs,
        groups=groups.rename_axis("id").reset_index(),
        balance=balance,
        oddities=odd,
        spans=spans(facts),
        shortcuts=shortcuts,
        telling_columns=telling,
        row_order=order,
        warnings=tuple(warnings(problems, pairs, source_groups, balance, odd, shortcuts, telling, order)),
        suspects=suspects,
        notes=(
            *corpus.notes,
            *_lost_classes(corpus, clips),
            *_named_groups(corpus, n_jobs=n_jobs),
            *(suspects.notes if suspects else ()),
            *_limits(corpus, clips, labels, groups_of_labels, fingerprints=fingerprints),
        ),
    )


def _named_groups(corpus: Corpus, *, n_jobs: int) -> list[str]:
    """What the tags of the files say about groups, if none are given; a table holds it."""
    if corpus.grouped:
        return []
    note = corpus.named_groups
    if corpus.features is None:
        note = named_groups_note(corpus.clips["path"].unique().tolist(), n_jobs=n_jobs)
    return [note] if note else []


def _lost_classes(corpus: Corpus, clips: pd.DataFrame) -> list[str]:
    """The classes of which no clip can be used."""
    kept = clips["label"].dropna().astype(str).tolist()
    listed = corpus.clips["label"].dropna().astype(str).tolist()
    return lost_classes_notes([*listed, *corpus.problem_labels], kept)


def _open_judge(model: str | Path) -> Callable[[pd.Series], Suspects]:
    """A function from the labels of clips to those that a trained model takes for wrong."""
    from quintet.auditing.labels.suspects import find_suspects
    from quintet.model_folder.run import read_run

    run = read_run(model)
    return lambda labels: find_suspects(
        run, labels=dict(zip(labels.index.astype(str), labels.astype(str), strict=True))
    )


def _limits(
    corpus: Corpus, clips: pd.DataFrame, labels: pd.Series, groups: pd.Series, *, fingerprints: bool
) -> list[str]:
    """What the audit did not look at, one sentence each.

    Args:
        corpus: the corpus.
        clips: its usable clips.
        labels: labels of the clips that have one.
        groups: their groups, in the same order.
        fingerprints: whether copies were to be found by their sound.
    """
    notes = []
    is_audio_table = corpus.features is not None and "audio_digest" in corpus.known_facts
    if fingerprints and is_audio_table and not corpus.has_all_files:
        n_absent = sum(not Path(text_path(path)).is_file() for path in corpus.clips["path"])
        notes.append(
            f"Sound was not compared: {n_absent} of {len(corpus.clips)} files of the table are not here. "
            "Copies that were encoded anew are not found."
        )
    if len(labels) < len(clips):
        notes.append(f"{len(clips) - len(labels)} of {len(clips)} clips have no label and are in no class.")
    if not len(labels):
        return notes
    try:
        task = make_task(labels, groups, 0)
    except DatasetError as error:
        notes.append(f"Shortcuts and columns that identify a class were not looked for. {error}")
        return notes
    names = {name for label in labels.unique() for name in label_set(str(label))}
    absent = sorted(names - set(task.classes))
    if absent:
        notes.append(
            f"Shortcuts were not looked for in {len(absent)} of {len(names)} classes, whose clips are in one "
            f"group, or are all clips: {quote_names(absent)}."
        )
    if corpus.features is not None and len(labels) > MOST_CLIPS:
        notes.append(
            f"Columns that identify a class were looked for in {MOST_CLIPS} of {len(labels)} clips, "
            "which were drawn at random."
        )
    return notes


def _measure(
    corpus: Corpus, *, fingerprints: bool, n_jobs: int, progress: Callable[[Progress], object] | None
) -> list[ClipMeasurement]:
    """Measurements of the clips; none for a table without fingerprints or without all its files."""
    is_table = corpus.features is not None
    if is_table and not (fingerprints and corpus.has_all_files):
        return []

    def report_progress(total: int, done: int, failed: int) -> None:
        if progress is not None:
            progress(Progress(total, done=done, failed=failed))

    return measure_clips(
        clip_sources(corpus.clips), fingerprints=fingerprints, n_jobs=n_jobs, progress=report_progress
    )


def _source_groups(clips: pd.DataFrame) -> dict[str, str]:
    """Clip id → group."""
    return dict(zip(clips.index.tolist(), clips["group"].tolist(), strict=True))


def _facts_table(measurements: list[ClipMeasurement]) -> pd.DataFrame:
    """Facts of the clips that can be read, by clip id."""
    ids, rows = [], []
    for clip in measurements:
        if clip.facts is not None:
            ids.append(clip.id)
            rows.append(clip.facts)
    return pd.DataFrame(rows, index=pd.Index(ids, name="id", dtype="str"))


def _find_pairs(
    corpus: Corpus, clips: pd.DataFrame, facts: pd.DataFrame, measurements: list[ClipMeasurement]
) -> pd.DataFrame:
    """Pairs of every kind. A pair with several kinds of evidence has one row, with the strongest kind."""
    tables = []
    exact_copies: set[str] = set()
    if "audio_digest" in facts:
        equal_audio = find_equal_digests(facts["audio_digest"])
        exact_copies = set(equal_audio["second"])
        tables.append(equal_audio)
    if corpus.features is not None:
        tables.append(find_equal_rows(corpus.features.loc[clips.index]))
    prints = {}
    for clip in measurements:
        if clip.fingerprint is not None and clip.id not in exact_copies:
            prints[clip.id] = clip.fingerprint
    if prints:
        sources = [source for source in clip_sources(clips) if source.key in prints]
        marks = [prints[source.key] for source in sources]
        durations_s = facts["duration_s"].loc[[source.key for source in sources]].tolist()
        tables.append(find_same_recordings(sources, marks, durations_s))
    tables = [table for table in tables if len(table)]
    pairs = pd.concat(tables, ignore_index=True) if tables else empty_pairs()
    return pairs.drop_duplicates(["first", "second"], ignore_index=True)


def _add_labels(pairs: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """The pairs with the labels of their clips; pairs across classes first."""
    first = labels.reindex(pairs["first"]).to_numpy()
    second = labels.reindex(pairs["second"]).to_numpy()
    across_classes = [_labels_differ(a, b) for a, b in zip(first, second, strict=True)]
    pairs = pairs.assign(
        first_label=first, second_label=second, across_classes=np.array(across_classes, bool)
    )
    return pairs.sort_values("across_classes", ascending=False, kind="stable", ignore_index=True)


def _labels_differ(first: str | float | None, second: str | float | None) -> bool:
    """Whether two clips have labels, and different ones. NaN and None stand for no label.

    The order of the labels in a set does not count.
    """
    if pd.isna(first) or pd.isna(second):
        return False
    return set(label_set(str(first))) != set(label_set(str(second)))


def _find_shortcuts(
    facts: pd.DataFrame,
    labels: pd.Series,
    groups: pd.Series,
    *,
    seed: int,
    progress: Callable[[Progress], object] | None,
) -> pd.DataFrame:
    """The shortcut audit; no rows if it is not possible with these classes and groups."""

    def report_progress(done: int, total: int) -> None:
        if progress is not None:
            progress(Progress(total, done=done))

    try:
        return shortcut_audit(facts, labels, groups, seed=seed, progress=report_progress)
    except DatasetError:
        return pd.DataFrame(columns=list(SHORTCUT_COLUMNS))


def _find_telling(corpus: Corpus, labels: pd.Series, groups: pd.Series, *, seed: int) -> pd.DataFrame:
    """Columns that identify a class by themselves; no rows for a source of audio."""
    if corpus.features is None:
        return pd.DataFrame(columns=list(TELLING_COLUMNS))
    return telling_columns(corpus.features.loc[labels.index], labels, groups, seed=seed)
