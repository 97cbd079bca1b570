"""Reader of tables that people bring: CSV in any usual dialect and encoding, and parquet.

Cells of text columns stay as they are written: `007`, `1e5`, `NA` and `null` are texts, and only an empty
cell is missing. All other columns become numbers where they can; there, `NA` and its relatives are missing.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import pandas as pd
import pyarrow as pa

from quintet.errors import ArtefactError, DatasetError, QuintetError
from quintet.files.delimited.dialect import SAMPLE_ROWS, SEPARATORS, Dialect, find_dialect, join_levels
from quintet.files.delimited.marks import read_marked_numbers
from quintet.files.delimited.texts import unwrap
from quintet.files.display.names import printable
from quintet.files.text import BLOCK_BYTES, find_encoding
from quintet.files.untrusted.parquet import (
    PARQUET_ERRORS,
    PARQUET_SUFFIXES,
    is_parquet,
    read_parquet,
    read_schema,
)
from quintet.files.untrusted.reasons import reason

MISSING_NUMBERS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Texts that stand for a missing value in a column of numbers (the list of pandas)."""

MOST_CELL_CHARACTERS = csv.field_size_limit()
"""Longest text in a cell, 131,072 characters: that of Python's reader of CSV."""
MOST_LINE_BYTES = 1 << 25
"""Longest line of a CSV file: 32 MB, for tables of a million columns."""
MOST_UNPACKED_BYTES, MOST_PACKING = 1 << 28, 50
"""A packed CSV file may unpack to 256 MB, or to 50 times its size if that is more."""

_NAMELESS = re.compile(r"(Unnamed: \d+(\.\d+)*)?")
GZIP_MARK = b"\x1f\x8b"
_OTHER_KINDS = {
    b"PK\x03\x04": "a zip file, as Excel and OpenOffice write them",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF",
    b"SQLite format 3": "a database",
    b"ARROW1": "a Feather file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "an array of NumPy",
    b"BZh": "a file packed with bzip2",
    b"\xfd7zXZ": "a file packed with xz",
    b"\x28\xb5\x2f\xfd": "a file packed with Zstandard",
    b"\x80\x04\x95": "a pickle",
    b"\x80\x05\x95": "a pickle",
}
_SEPARATOR_BYTES = tuple(separator.encode() for separator in SEPARATORS)
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
_ARFF = re.compile(rb"^\s*@relation\s", re.IGNORECASE | re.MULTILINE)
_JSON = re.compile(rb"\{\s*[\"}]|\[\s*[\[{\"\]]")

TextColumns = Callable[[Sequence[str]], Collection[str]]
"""From the names of all columns to those of the columns that hold text."""


@dataclass(frozen=True)
class TableContent:
    """Content of a table file.

    Args:
        frame: one row per row of the file, with a plain index. Names of columns are unique. A column without
            a name is called `Unnamed: k`; the index of a parquet file is such a column if it has no name.
        notes: how the file was read, where that is a guess: one sentence each.
        index: names of the columns that were the index of a data frame, where the file says so.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    index: tuple[str, ...] = ()


def is_nameless(column: str) -> bool:
    """Whether a column has no name, or the name that pandas gives to columns without one.

    Example:
        >>> is_nameless(""), is_nameless("Unnamed: 0"), is_nameless("tempo")
        (True, True, False)
    """
    return _NAMELESS.fullmatch(column.strip()) is not None


def read_table_file(
    path: Path, *, text: TextColumns | None = None, rest_in_last: bool = False
) -> TableContent:
    """Read a CSV or parquet file.

    The separator (comma, semicolon, tab, bar), a first line `sep=;`, the encoding (UTF-8, UTF-16, otherwise
    Windows-1252), lines of comments (`#`) at the top, decimal commas and commas at the ends of lines are
    recognised.

    Args:
        path: the file. Its content, not its name, decides whether it is parquet.
        text: chooses the columns of a CSV file that hold text. Default: all columns. Parquet columns keep
            their types.
        rest_in_last: whether the last column of a tab-separated file may hold several cells in some rows,
            such as the tags of a track. Its cells then are lists of texts.

    Raises:
        ArtefactError: the file cannot be read as a table.
        DatasetError: two columns have the same name, or a cell is too long.
    """
    if not path.is_file():
        raise ArtefactError(f"A table must be a file. There is none at '{path}'. Check the name.")
    try:
        start = _first_bytes(path)
        kind = _other_kind(start)
        if kind is not None:
            raise ArtefactError(
                f"A table must be readable as CSV or parquet. '{path}' is {kind}: save it as CSV."
            )
        is_named_so = path.suffix.lower() in PARQUET_SUFFIXES
        if is_parquet(path) or (is_named_so and not _may_have_columns(start)):
            content = _read_parquet(path)
            _require_short_cells(path, content.frame)
            return content
        _require_short_lines(path)
        content = _read_csv(path, text or (lambda names: names), rest_in_last=rest_in_last)
        if path.stat().st_size > MOST_CELL_CHARACTERS or start.startswith(GZIP_MARK):
            _require_short_cells(path, content.frame)
        return content
    except (pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise _unreadable(path, error) from error
    except (UnicodeError, csv.Error, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    except OSError as error:
        if isinstance(error, ArtefactError):
            raise
        raise _unreadable(path, error) from error


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(256)


def _may_have_columns(start: bytes) -> bool:
    """Whether the first bytes of a file may be rows of a CSV file."""
    return start.startswith(GZIP_MARK) or (b"\0" not in start and any(map(start.count, _SEPARATOR_BYTES)))


def _other_kind(start: bytes) -> str | None:
    """What a file is that begins with these bytes; None if it may be CSV."""
    found = next((kind for mark, kind in _OTHER_KINDS.items() if start.startswith(mark)), None)
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if found is None and text.lower().startswith(_PAGES):
        return "a web page"
    if found is None and _ARFF.search(text):
        return "an ARFF file of Weka"
    return "JSON" if found is None and _JSON.match(text) else found


def _require_short_lines(path: Path) -> None:
    """Refuse a CSV file that a small file unpacks to, or whose lines are too long to be rows of a table."""
    packed = path.stat().st_size
    is_compressed = _first_bytes(path).startswith(GZIP_MARK)
    most = max(MOST_UNPACKED_BYTES, MOST_PACKING * packed) if is_compressed else packed
    total = length = 0
    with _open(path, is_compressed=is_compressed) as file:
        while block := file.read(BLOCK_BYTES):
            total += len(block)
            end = b"\n" if b"\n" in block else b"\r"
            first, last = block.find(end), block.rfind(end)
            length += len(block) if first < 0 else first
            if length > MOST_LINE_BYTES:
                raise _unreadable(path, f"a line has more than {MOST_LINE_BYTES >> 20} MB")
            if first >= 0:
                length = len(block) - last - 1
            if total > most:
                raise _unreadable(path, f"it unpacks to more than {most >> 20} MB: unpack it yourself")


def _require_short_cells(path: Path, frame: pd.DataFrame) -> None:
    """Refuse a table with a text that is too long to be a name or a label."""
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        is_text = isinstance(column.dtype, pd.StringDtype)
        texts = column if is_text else column[[isinstance(cell, str) for cell in column]]
        lengths = texts.str.len() if len(texts) else texts
        longest = 0 if not lengths.notna().any() else int(lengths.max())
        if longest > MOST_CELL_CHARACTERS:
            raise DatasetError(
                f"A cell of a table may have {MOST_CELL_CHARACTERS:,} characters. '{path}' has one of "
                f"{longest:,} in the column '{str(name)[:80]}'. Shorten it, or remove the column."
            )


def _open(path: Path, *, is_compressed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if is_compressed else path.open("rb"))


def _unreadable(path: Path, reason: object) -> ArtefactError:
    open_quote = re.search(r"EOF inside string starting at row (\d+)", str(reason))
    if open_quote:
        reason = f"the quotation mark that begins in row {int(open_quote[1]) + 1} has no end"
    too_long = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(reason))
    if too_long:
        reason = (
            f"line {too_long[2]} has {too_long[3]} cells, the first {too_long[1]}. Put a cell that holds a "
            "separator between quotation marks"
        )
    return ArtefactError(
        f"A table must be readable as CSV or parquet. '{path}' cannot be read: {str(reason).strip()}."
    )


def _read_parquet(path: Path) -> TableContent:
    """A parquet file; its index becomes columns, unless it only counts the rows."""
    _require_unique(path, read_schema(path).names)
    try:
        table = read_parquet(path)
        for k, field in enumerate(table.schema):
            if pa.types.is_decimal(field.type):  # numbers, which pandas would give as objects
                table = table.set_column(k, field.name, table.column(k).cast(pa.float64()))
        frame = table.to_pandas()
    except QuintetError:
        raise
    except PARQUET_ERRORS as error:
        raise _unreadable(path, reason(error)) from error
    index: tuple[str, ...] = ()
    is_count = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    if not is_count:
        levels = [name if name is not None else f"Unnamed: {k}" for k, name in enumerate(frame.index.names)]
        frame.index = frame.index.set_names(levels)
        frame = frame.reset_index()
        index = tuple(str(name).strip() for name in levels)
    names = [_flat_name(name) for name in frame.columns]
    _require_unique(path, names)
    frame.columns = pd.Index(names)
    return TableContent(frame.reset_index(drop=True), index=index)


def _flat_name(name: object) -> str:
    """Name of a column of a data frame, whose names may have several levels."""
    return join_levels(name) or str(name[0]) if isinstance(name, tuple) else str(name).strip()


def _read_csv(path: Path, text: TextColumns, *, rest_in_last: bool) -> TableContent:
    is_compressed = _first_bytes(path).startswith(GZIP_MARK)
    encoding, is_guess = _find_encoding(path, is_compressed=is_compressed)
    dialect = _find_dialect(path, encoding, is_compressed=is_compressed)
    if not dialect.rows:
        raise _unreadable(path, "it has no rows")
    if any("\0" in name for name in dialect.rows[0]):
        raise _unreadable(path, "its first row holds bytes of value 0, so it is no text")
    if rest_in_last and dialect.separator == "\t":
        ragged = _read_ragged(path, encoding, dialect, is_compressed=is_compressed)
        if ragged is not None:
            return TableContent(ragged, _encoding_notes(path, encoding, is_guess=is_guess))
    names, extra = _column_names(path, dialect.rows)
    index = [names[position] for position in dialect.index]
    texts = [name for name in (*text(names), *index) if name in set(names)]
    missing = {name: [""] if name in set(texts) else list(MISSING_NUMBERS) for name in names}
    options: dict[str, Any] = {
        "sep": dialect.separator,
        "names": names,
        "header": 0,
        "skiprows": dialect.skipped_lines,
        "keep_default_na": False,
        "na_values": missing,
        "encoding": encoding,
        "skipinitialspace": True,
        "compression": "gzip" if is_compressed else None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        frame = pd.read_csv(path, dtype=dict.fromkeys(texts, "str"), **options)
    if not isinstance(frame.index, pd.RangeIndex):
        first = dialect.separator.join(dialect.rows[0])[:60]
        raise _unreadable(
            path,
            f"its rows have more cells than its first row ({first!r}). Remove lines above the names",
        )
    frame = frame.drop(columns=[name for name in extra if frame[name].isna().all()])
    for name in frame.columns.intersection(texts):
        frame[name] = unwrap(frame[name])
    notes = _encoding_notes(path, encoding, is_guess=is_guess)
    if dialect.comments:
        notes += (f"{path.name} begins with lines of comments (#), which are left out: {dialect.comments}.",)
    if dialect.separator != ",":
        notes += read_marked_numbers(
            frame,
            texts,
            lambda columns: pd.read_csv(path, usecols=list(columns), dtype="str", **options),
            file_name=path.name,
        )
    return TableContent(frame, notes, index=tuple(index))


def _encoding_notes(path: Path, encoding: str, *, is_guess: bool) -> tuple[str, ...]:
    if not is_guess:
        return ()
    advice = "if names with accents look wrong, save it as UTF-8"
    return (f"{path.name} is not UTF-8 and was read as {encoding}: {advice}.",)


def _read_ragged(path: Path, encoding: str, dialect: Dialect, *, is_compressed: bool) -> pd.DataFrame | None:
    """Rows whose last column holds one cell or more; None if all rows are as long as the header."""
    with (
        _open(path, is_compressed=is_compressed) as file,
        io.TextIOWrapper(file, encoding=encoding, newline="") as reader,
    ):
        lines = islice(reader, dialect.skipped_lines, None)
        rows = [row for row in csv.reader(lines, delimiter=dialect.separator) if row]
    names, *body = rows
    names = [name.strip() for name in names]
    lengths = {len(row) for row in body}
    if not names[-1] or max(lengths, default=0) <= len(names) or min(lengths) < len(names):
        return None
    if lengths == {len(names) + 1} and all(row[0].strip().isdecimal() for row in body):
        return None  # rows with numbers, under a header that does not count them
    if not any(cell.strip() for row in body for cell in row[len(names) :]):
        return None  # only separators at the ends of lines
    _require_unique(path, names)
    last = len(names) - 1
    cells = [[cell.strip() or None for cell in row[:last]] for row in body]
    rests = [_filled_cells(row[last:]) for row in body]
    frame = pd.DataFrame(cells, columns=names[:last], dtype="str")
    return frame.assign(**{names[last]: pd.Series(rests, index=frame.index, dtype="object")})


def _filled_cells(row: Sequence[str]) -> list[str]:
    """Cells that hold more than blanks, without the blanks around them."""
    cells = (cell.strip() for cell in row)
    return [cell for cell in cells if cell]


def _find_encoding(path: Path, *, is_compressed: bool) -> tuple[str, bool]:
    """Encoding of a text file, and whether it is a guess."""
    with _open(path, is_compressed=is_compressed) as file:
        return find_encoding(file)


def _find_dialect(path: Path, encoding: str, *, is_compressed: bool) -> Dialect:
    with (
        _open(path, is_compressed=is_compressed) as file,
        io.TextIOWrapper(file, encoding=encoding) as reader,
    ):
        lines = list(islice(reader, SAMPLE_ROWS))
    is_tabbed = path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab"))
    return find_dialect(lines, "\t" if is_tabbed else ",")


def _column_names(path: Path, rows: list[list[str]]) -> tuple[list[str], list[str]]:
    """Names of all columns, and those that only separators at the ends of lines have made."""
    names = [name.strip() for name in rows[0]]
    lengths = {len(row) for row in rows[1:]}
    longest = max(lengths, default=0)
    beyond = [cell for row in rows[1:] for cell in row[len(names) :]]
    if longest > len(names) and not any(cell.strip() for cell in beyond):
        names += [""] * (longest - len(names))
    elif lengths == {len(names) + 1}:  # rows with names, under a header that does not count them
        names.insert(0, "")
    _require_unique(path, [name for name in names if name])
    filled = [name or f"Unnamed: {k}" for k, name in enumerate(names)]
    _require_unique(path, filled)
    return filled, [new for name, new in zip(names, filled, strict=True) if not name]


def _require_unique(path: Path, names: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DatasetError(
            f"Every column of a table must have its own name. '{path}' has one name twice or more: "
            f"{', '.join(printable(name) for name in repeated[:5])}. Rename one of each or remove it."
        )
