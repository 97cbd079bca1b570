"""Facts of the rows that are predicted: segments of files, or rows of a feature table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quintet.audio.reading.segments import Window
from quintet.features.extraction.segments import FileTask
from quintet.features.extraction.worker import Row
from quintet.files.display.file_names import name_text
from quintet.files.json_text import is_missing

if TYPE_CHECKING:
    from quintet.features.storage.table import FeatureTable

USABLE = ("ok", "truncated")
"""Values of `status` of a row with features, as in `features.storage.table`."""


@dataclass(frozen=True, slots=True)
class PredictedRow:
    """A segment of a file, or a row of a table.

    Args:
        file: name of the file, or id of the row.
        path: the file.
        start: start of the segment, seconds; NaN for a whole file.
        end: its end.
        status: `ok`, `truncated` or `failed`.
        stage: where it failed.
        reason: why it failed, or is cut short.
        duration_s: seconds that were used; NaN if they are not known.
        missing_s: seconds that a file states and does not hold; NaN if they are not known.
        digest: digest of the samples.
    """

    file: str
    path: str
    start: float
    end: float
    status: str
    stage: str | None
    reason: str | None
    duration_s: float
    missing_s: float
    digest: str | None

    @property
    def usable(self) -> bool:
        """Whether the row has features."""
        return self.status in USABLE


def file_row(task: FileTask, window: Window, row: Row) -> PredictedRow:
    """The facts of a segment of a file."""
    return _from_facts(task.name, name_text(task.path), window.start, window.end, row.facts)


def table_rows(table: FeatureTable) -> list[PredictedRow]:
    """The facts of the rows of a table."""
    names = ("id", "path", "start", "end", *_FACTS)
    columns = [table.frame[name].tolist() for name in names]
    rows = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return [
        _from_facts(str(row["id"]), str(row["path"]), _number(row["start"]), _number(row["end"]), row)
        for row in rows
    ]


def first_of_each(rows: Iterable[PredictedRow]) -> list[PredictedRow]:
    """The first row of each file."""
    first: dict[str, PredictedRow] = {}
    for row in rows:
        first.setdefault(row.file, row)
    return list(first.values())


def usable_rows(rows: Sequence[PredictedRow]) -> list[PredictedRow]:
    """Rows with features, in their order."""
    return [row for row in rows if row.usable]


_FACTS = ("status", "stage", "reason", "duration_s", "missing_s", "audio_digest")


def _from_facts(file: str, path: str, start: float, end: float, facts: dict[str, Any]) -> PredictedRow:
    status, stage, reason, duration_s, missing_s, digest = (facts.get(name) for name in _FACTS)
    return PredictedRow(
        file,
        path,
        start,
        end,
        str(status),
        _text(stage),
        _text(reason),
        _number(duration_s),
        _number(missing_s),
        _text(digest),
    )


def _number(value: object) -> float:
    return float("nan") if is_missing(value) else float(value)  # type: ignore[arg-type]


def _text(value: object) -> str | None:
    return None if is_missing(value) or value != value else str(value)
