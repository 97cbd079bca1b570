"""Proposals of a plan of tags (`quintet library tags --plan plan.csv`), with nothing but Python itself."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

FIELDS = ("genre", "mood", "bpm", "key")
"""Fields of a plan. Picard has tags of the same names."""
COLUMNS = ("file", "field", "now", "proposed")
DELIMITERS = (",", ";", "\t")
LARGEST_BYTES = 256 << 20
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_APOSTROPHE = re.compile(r"(^|[;\t\r\n]\s*)'(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n])")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class PlanError(ValueError):
    """A file that is no plan."""


class Metadata(Protocol):
    """Tags of a file, as Picard has them: name → values."""

    def getall(self, name: str) -> list[str]:
        """Values of a tag; empty if there are none."""

    def __setitem__(self, name: str, values: list[str]) -> None:
        """Replace the values of a tag."""


@dataclass(frozen=True)
class Proposal:
    """What a plan says of a field of a file.

    Args:
        now: what the field holds.
        values: what it shall hold.
    """

    now: tuple[str, ...]
    values: tuple[str, ...]


Plan = Mapping[str, Mapping[str, Proposal]]
"""Path of a file, as `place` gives it → field → proposal."""


def read_plan(path: Path) -> Plan:
    """The proposals of a plan. A spreadsheet may have sorted, changed and saved it in another encoding.

    Args:
        path: the CSV file.

    Returns:
        Proposals by file and field. Rows without a proposal, with an unknown field, or of a field that the
        plan names twice with different values are left out.

    Raises:
        PlanError: the file is no plan.
        OSError: it cannot be read.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise PlanError(f"A plan must be smaller than 256 MB. '{path}' is larger: choose another file.")
    found: dict[str, dict[str, Proposal]] = {}
    twice: set[tuple[str, str]] = set()
    for row in _rows(_decoded(path.read_bytes()), path):
        field = _plain(row["field"]).strip().casefold()
        values = _values(_plain(row["proposed"]))
        if field not in FIELDS or not values or any(map(_CONTROL.search, values)):
            continue
        proposal = Proposal(_values(_plain(row["now"])), values)
        for cell in {row["file"], _plain(row["file"])}:
            fields = found.setdefault(place(_path(cell)), {})
            if fields.setdefault(field, proposal) != proposal:
                twice.add((place(_path(cell)), field))
    for file, field in twice:
        del found[file][field]
    return found


def take(plan: Plan, file: str, original: Metadata, metadata: Metadata) -> tuple[int, int]:
    """Give the new tags of a file the values that a plan proposes.

    Args:
        plan: the plan.
        file: path of the file.
        original: tags of the file on the disk.
        metadata: its new tags, which are changed.

    Returns:
        Number of proposals that were taken, and of those that were left, because the field does not hold any
        more what the plan says, or Picard has another value for it.
    """
    n_taken = n_left = 0
    for field, proposal in plan.get(place(file), {}).items():
        now = tuple(metadata.getall(field))
        if now == proposal.values:
            continue
        if all(_values("; ".join(values.getall(field))) == proposal.now for values in (original, metadata)):
            metadata[field] = list(proposal.values)
            n_taken += 1
        else:
            n_left += 1
    return n_taken, n_left


def place(file: str) -> str:
    """The path of a file without links, in the spelling by which the system compares paths."""
    return os.path.normcase(os.path.realpath(file))


def _decoded(data: bytes) -> str:
    """A text in UTF-8, in the encoding that its mark names, or as spreadsheets of Windows save it."""
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _rows(text: str, path: Path) -> list[MutableMapping[str, str]]:
    """Rows with the cells of `COLUMNS`.

    Raises:
        PlanError: the text is no table, or lacks a column.
    """
    for delimiter in DELIMITERS:
        table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            names = [name.strip().casefold() for name in next(table, [])]
            if all(name in names for name in COLUMNS):
                places = {name: names.index(name) for name in COLUMNS}
                least = max(places.values()) + 1
                return [{name: row[k] for name, k in places.items()} for row in table if len(row) >= least]
        except csv.Error:
            continue
    raise PlanError(
        f"A plan must have the columns {', '.join(COLUMNS)}. '{path}' has not: make one with "
        "`quintet library tags my.library --plan plan.csv`."
    )


def _values(text: str) -> tuple[str, ...]:
    """Single values of a cell, each once."""
    parts = (part.strip() for part in text.split(";"))
    return tuple(dict.fromkeys(part for part in parts if part))


def _plain(cell: str) -> str:
    """A cell without the apostrophes that keep spreadsheets from running it."""
    return _APOSTROPHE.sub(r"\1", cell)


def _path(cell: str) -> str:
    r"""The path that a cell names: `\xe9` is a byte of a name that is no text."""
    return _ESCAPE.sub(_unescaped, cell)


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    if code == ord("\\"):
        return "\\"
    return chr(0xDC00 + code) if code >= 0x80 else match[0]
