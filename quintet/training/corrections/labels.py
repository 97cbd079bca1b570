"""Labels of a feature table, corrected by a CSV file that somebody has edited."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from quintet.datasets.labels import is_label_set, label_name, label_set
from quintet.datasets.manifest import build_manifest
from quintet.embeddings.columns.networks import find_embedder
from quintet.errors import AlignmentError, unknown_name
from quintet.features.extraction.chunks import ProgressCallback
from quintet.features.extraction.in_memory import collect_rows, describe_clips
from quintet.features.extraction.worker import Job
from quintet.features.storage.external_table import LABEL_MISSING
from quintet.features.storage.table import FeatureTable
from quintet.files.display.file_names import text_path
from quintet.files.display.names import printable
from quintet.files.display.spreadsheets import plain_cell
from quintet.training.corrections.edited_file import read_edited, require_one_value, with_ids_of

SHOWN = 3  # corrections that a note lists


def relabel(
    table: FeatureTable,
    file: str | Path,
    *,
    n_jobs: int = 1,
    progress: ProgressCallback | None = None,
) -> FeatureTable:
    """The same table with the labels of a CSV file, and a note that counts them.

    Rows whose cell `corrected` is empty change nothing. The file may lack rows, and may be sorted otherwise.
    A clip that the table has not is described and added if the file names its `path`.

    Args:
        table: the feature table.
        file: a CSV file with the columns `id` and `corrected`, for example from `quintet audit --labels-to`
            or `quintet suggest`. If it has a column `label` too, a label that has changed since is an error.
        n_jobs: number of worker processes that describe new clips.
        progress: called as they are described.

    Raises:
        AlignmentError: the file cannot be read or lacks a column, names a clip that the table has not, gives
            a clip two labels, or was made for other labels.
        ConfigError: a label that is written once is no label of the table: probably a mistype.

    Example:
        >>> import tempfile
        >>> from quintet.features.storage.external_table import Roles, foreign_table
        >>> rows = pd.DataFrame({"id": ["a.0", "b.0", "a.1"], "x": [1.0, 2.0, 3.0]})
        >>> table = foreign_table(rows, Roles(label_from="^(.)"), name="tiny")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "suspects.csv")
        ...     _ = file.write_text("id,label,corrected\\na.1,a,b\\n")
        ...     relabel(table, file).meta["label"].tolist()
        ['a', 'b', 'b']
    """
    (listed, read_notes), name = _read_corrections(table, file), printable(str(file))
    _require_known(listed["corrected"], table.meta["label"])
    table = _with_labelled_rows(table, listed.index)
    table, n_added = _with_new_clips(table, listed, n_jobs=n_jobs, progress=progress)
    known = table.meta["label"]
    absent = [clip for clip in listed.index if clip not in known.index]
    if absent:
        raise AlignmentError(
            f"A label can be corrected for a usable clip of the table. {name} names {len(absent)} "
            f"others, for example {printable(absent[0])!r}: take them out, or train from their table."
        )
    now = known.loc[listed.index].map(_spelling)
    new = listed["corrected"].map(_spelling)
    if "label" in listed:
        before = listed["label"].map(_spelling)
        stale = listed.index[(before != now) & (now != new)].tolist()
        if stale:
            raise AlignmentError(
                f"A file of corrections must be made for the labels of the table. {len(stale)} labels have "
                f"changed since {name} was written, for example that of {printable(stale[0])!r}: audit again."
            )
    sets = [str(clip) for clip, label in new.items() if is_label_set(label)]
    if sets and not table.multilabel:
        raise AlignmentError(
            f"A clip of this table must have one class. {name} gives {printable(sets[0])!r} a set, "
            f"{printable(new[sets[0]])!r}: write one class."
        )
    changed = new[new != now]
    ids = table.frame["id"]
    labels = table.frame["label"].mask(ids.isin(changed.index), ids.map(changed))
    frame = table.frame.assign(label=labels.astype(table.frame["label"].dtype))
    added = [] if not n_added else [f"{n_added} clips were added from {name}."]
    notes = [*table.metadata.get("notes", []), *read_notes, *added, _note(now, changed, file)]
    return FeatureTable(frame, {**table.metadata, "notes": notes})


def _with_labelled_rows(table: FeatureTable, ids: pd.Index) -> FeatureTable:
    """The table in which rows that lack nothing but a label are usable, if a label comes for them.

    A table of another program says of such rows that they cannot be used.

    Args:
        table: the feature table.
        ids: clips for which labels come.
    """
    frame = table.frame
    lacks_label = (frame["status"] == "failed") & (frame["reason"] == LABEL_MISSING) & frame["id"].isin(ids)
    features = frame.loc[lacks_label, list(table.feature_names)].to_numpy(np.float32)
    rows = frame.index[lacks_label][np.isfinite(features).all(axis=1)]
    if rows.empty:
        return table
    frame = frame.copy()
    frame.loc[rows, "status"] = "ok"
    frame.loc[rows, ["stage", "error", "reason"]] = None
    return FeatureTable(frame, table.metadata)


def _with_new_clips(
    table: FeatureTable, listed: pd.DataFrame, *, n_jobs: int, progress: ProgressCallback | None
) -> tuple[FeatureTable, int]:
    """The table with the labelled clips that it lacks and whose files are here, and their number."""
    is_known = listed.index.isin(table.frame["id"])
    parameters = table.parameters
    if "path" not in listed or parameters is None or is_known.all():
        return table, 0
    paths = listed["path"].where(~is_known).dropna()
    paths = paths[[Path(text_path(str(path))).is_file() for path in paths]]
    if paths.empty:
        return table, 0
    clips = pd.DataFrame({"id": paths.index.astype(str), "path": paths.tolist()})
    clips["label"] = listed.loc[paths.index, "corrected"].tolist()
    manifest = build_manifest(clips, name="labels", root=Path())
    job = Job(parameters, embedder=find_embedder(parameters) if parameters.embeddings else None)
    rows = describe_clips(manifest, job, n_jobs=n_jobs, progress=progress)
    new = collect_rows(manifest, parameters, rows).table.frame
    frame = pd.concat([table.frame, new[list(table.frame.columns)]], ignore_index=True)
    return FeatureTable(frame.astype(table.frame.dtypes), table.metadata), len(paths)


def _read_corrections(table: FeatureTable, file: str | Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Columns `corrected` and perhaps `label` and `path` by clip id, only rows with a correction; notes."""
    texts, notes = read_edited(
        file,
        "corrected",
        what="corrected labels",
        writer="audit --labels-to",
        more=("label", "path"),
    )
    texts = texts.map(lambda cell: plain_cell(cell) if isinstance(cell, str) else cell)
    filled = texts[texts["corrected"].map(lambda cell: isinstance(cell, str) and bool(label_set(cell)))]
    filled = with_ids_of(table, filled)
    require_one_value(filled, "corrected", label_name, noun="corrected label", file=file)
    return filled.drop_duplicates("id").set_index("id"), notes


def _spelling(label: object) -> str:
    """A label string in one spelling, its tags in order; empty if it is missing."""
    return ";".join(sorted(label_set(label))) if isinstance(label, str) else ""


def _require_known(new: pd.Series, known: pd.Series) -> None:
    """Refuse a name that is written once and is no label of the table."""
    names = {name for label in known.dropna() for name in label_set(str(label))}
    written = Counter(name for label in new for name in label_set(label))
    for name, count in written.items():
        if count == 1 and name not in names:
            raise unknown_name("label", name, sorted(names))


def _note(now: pd.Series, changed: pd.Series, file: str | Path) -> str:
    """How many labels were corrected, with examples."""
    examples = [
        f"{printable(str(clip))}: {printable(str(now.loc[str(clip)])) or 'none'} → {printable(str(label))}"
        for clip, label in changed.head(SHOWN).items()
    ]
    more = ", …" if len(changed) > SHOWN else ""
    noun = "label was" if len(changed) == 1 else "labels were"
    counted = f"{len(changed)} {noun} corrected by {printable(str(file))}"
    return f"{counted} ({', '.join(examples)}{more})." if examples else f"{counted}."
