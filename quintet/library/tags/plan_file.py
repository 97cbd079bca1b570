"""The plan of tags as a CSV file, which people edit in a spreadsheet before it is carried out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quintet.errors import ArtefactError, QuintetError, unknown_name
from quintet.files.atomic import write_text
from quintet.files.display.file_names import name_text, text_path
from quintet.files.display.names import printable
from quintet.files.display.spreadsheets import columns_csv, plain_cell
from quintet.files.json_text import is_missing
from quintet.files.json_types import JsonObject
from quintet.library.tags.entries import (
    FIELDS,
    VALUE_SEPARATOR,
    TagError,
    require_writable,
    shown,
    split_values,
)

COLUMNS = ("file", "field", "now", "proposed", "confidence", "source")
NEEDED = COLUMNS[:4]
"""Columns that a plan must have. Others may be missing or added."""
MARK = "\ufeff"
"""Byte order mark at the start of the file, by which spreadsheets know UTF-8."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One field of one file.

    Args:
        file: absolute.
        field: a name of `entries.FIELDS`.
        now: what the field holds, as `entries.shown` gives it.
        values: what it shall hold.
        confidence: of the proposal, in [0, 1]; None if the plan does not say.
        source: what made the proposal.
    """

    file: Path
    field: str
    now: str
    values: tuple[str, ...]
    confidence: float | None = None
    source: str = ""

    @property
    def proposed(self) -> str:
        """The values in one line."""
        return shown(self.values)

    def to_json(self) -> JsonObject:
        """The cells of the row."""
        return {
            "file": name_text(self.file),
            "field": self.field,
            "now": self.now,
            "proposed": self.proposed,
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Refusal:
    """A field, or a whole file, that is left as it is.

    Args:
        file: text of the path.
        fields: the fields.
        reason: a sentence.
    """

    file: str
    fields: tuple[str, ...]
    reason: str

    def to_json(self) -> JsonObject:
        """The same as JSON."""
        return {"file": self.file, "fields": list(self.fields), "reason": self.reason}


def write_plan(rows: Sequence[PlanRow], path: Path) -> None:
    """Write a plan. No cell of it is a formula.

    Args:
        rows: the proposals.
        path: the CSV file.
    """
    cells = [row.to_json() for row in rows]
    columns = {name: [cell[name] for cell in cells] for name in COLUMNS}
    write_text(path, MARK + columns_csv(columns, for_spreadsheets=True))


@dataclass(frozen=True, slots=True)
class PlanFile:
    """Content of a plan.

    Args:
        rows: what shall be written.
        refusals: rows that cannot be carried out, with the reason.
        n_blank: rows whose cell `proposed` is empty: they propose nothing.
    """

    rows: tuple[PlanRow, ...]
    refusals: tuple[Refusal, ...]
    n_blank: int = 0

    def by_file(self) -> dict[Path, list[PlanRow]]:
        """The rows of each file, in the order of the plan."""
        files: dict[Path, list[PlanRow]] = {}
        for row in self.rows:
            files.setdefault(row.file, []).append(row)
        return files

    @classmethod
    def read(cls, path: Path) -> PlanFile:
        """Read a plan. Rows may have been removed, sorted and changed, and columns too.

        Args:
            path: the CSV file, in any usual dialect and encoding.

        Raises:
            ArtefactError: the file is no table, or has no column of one of the names `NEEDED`.
            DatasetError: two columns have one name.
        """
        from quintet.files.tables import read_table_file

        frame = read_table_file(path).frame
        names = require_columns(frame.columns, path)
        cells = [frame[names[name]].map(_cell) for name in NEEDED]
        rows: dict[tuple[Path, str], PlanRow] = {}
        refusals: list[Refusal] = []
        twice: dict[tuple[Path, str], None] = {}
        n_blank = 0
        for file, field, now, proposed in zip(*cells, strict=True):
            if not proposed.strip():
                n_blank += 1
                continue
            try:
                row = _row(file, field, now, proposed)
            except QuintetError as error:
                refusals.append(Refusal(printable(file), (printable(field),), str(error)))
                continue
            key = (row.file, row.field)
            if key in rows and rows[key].values != row.values:
                twice[key] = None
            rows[key] = row
        for key in twice:
            reason = "A plan must have one row per file and field. This one has two that differ: remove one."
            refusals.append(Refusal(name_text(key[0]), (key[1],), reason))
            del rows[key]
        return cls(tuple(rows.values()), tuple(refusals), n_blank)


def require_columns(columns: Iterable[object], path: Path) -> dict[str, str]:
    """Name of a column in small letters → its name in the file.

    Args:
        columns: of the file.
        path: the file, for the message.

    Raises:
        ArtefactError: one of `NEEDED` is missing.
    """
    names = {str(name).strip().casefold(): str(name) for name in columns}
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise ArtefactError(
            f"A plan must have the columns {', '.join(NEEDED)}. '{path}' lacks {', '.join(missing)}: "
            "make a new one with `quintet library tags --plan`."
        )
    return names


def _cell(value: object) -> str:
    return "" if is_missing(value) or value != value else str(value)


def _row(file: str, field: str, now: str, proposed: str) -> PlanRow:
    """A row from its cells.

    Raises:
        QuintetError: it cannot be carried out.
    """
    name = plain_cell(field).strip().casefold()
    if name not in FIELDS:
        raise unknown_name("field of a tag", name, FIELDS)
    values = tuple(dict.fromkeys(split_values([plain_cell(proposed)])))
    if not values:
        raise TagError(
            f"A proposal must be a text, or several with '{VALUE_SEPARATOR}' between them. Received "
            f"'{printable(proposed)}': write one, or remove the row."
        )
    require_writable(values)
    if name == "bpm":
        _require_tempo(values)
    return PlanRow(_file(file), name, plain_cell(now), values)


def _file(cell: str) -> Path:
    """The file that a cell names, with or without the apostrophe that a formula has in front.

    Raises:
        TagError: it names none, or two.
    """
    found = [Path(text_path(text)) for text in dict.fromkeys((cell, plain_cell(cell)))]
    if "\0" in cell or not found[0].is_absolute():
        raise TagError(
            f"The file of a row must be an absolute path. Received '{printable(cell)}': leave the column as "
            "the plan had it."
        )
    present = [path for path in found if path.is_symlink() or path.exists()]
    if len(present) > 1:
        raise TagError(
            f"The file of a row must be one file. '{printable(cell)}' may be two, of which one has an "
            "apostrophe more: rename one of them."
        )
    return present[0] if present else found[0]


def _require_tempo(values: Sequence[str]) -> None:
    try:
        tempo = float(values[0])
    except ValueError:
        tempo = 0.0
    if len(values) != 1 or not 0 < tempo < 1000:
        raise TagError(f"A tempo must be one number of beats per minute. Received '{shown(values)}'.")
