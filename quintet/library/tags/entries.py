"""Tag fields of a song as they are stored in its file, and as a person reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import xxhash

from quintet.errors import QuintetError
from quintet.files.display.names import printable
from quintet.files.json_types import JsonObject

FIELDS = ("genre", "mood", "bpm", "key")
"""Fields that can be written. A command writes those that are asked for, and no others."""
VALUE_SEPARATOR = ";"
"""Stands between several values of a field in a plan, and in files whose format holds one value."""
MOST_SHOWN = 400
"""Longest text of a field in a plan. Of a longer one, the beginning and a digest are shown."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class TagError(QuintetError, OSError):
    """A file whose tags cannot be read or written; the file is as it was."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tag, as its format stores it.

    Args:
        key: name of the entry in the format: `TCON`, `GENRE`, `\N{COPYRIGHT SIGN}gen`.
        texts: its texts; formats without several texts in an entry have one.
        place: position among all entries (Vorbis, ASF), or encoding of the text (ID3); otherwise 0.
    """

    key: str
    texts: tuple[str, ...]
    place: int = 0

    def to_json(self) -> list[object]:
        """Key, texts and place, for a journal."""
        return [self.key, list(self.texts), self.place]


Entries = tuple[Entry, ...]


def entries_from_json(content: object) -> Entries:
    """Entries from the form that `Entry.to_json` gives.

    Raises:
        ValueError: the content has another form.

    Example:
        >>> entries_from_json([["TCON", ["Rock", "Live"], 3]])
        (Entry(key='TCON', texts=('Rock', 'Live'), place=3),)
    """
    if not isinstance(content, list):
        raise ValueError("entries must be a list")
    return tuple(map(_entry_from_json, content))


def _entry_from_json(content: object) -> Entry:
    match content:
        case [str(key), list(texts), int(place)] if all(isinstance(text, str) for text in texts):
            return Entry(key, tuple(texts), place)
    raise ValueError("an entry must be a key, texts and a place")


@dataclass(frozen=True, slots=True)
class FieldState:
    """One field of a file.

    Args:
        entries: as they are stored; empty if the field is absent.
        values: single values, as a person reads them.
    """

    entries: Entries
    values: tuple[str, ...]

    @property
    def text(self) -> str:
        """The values in one short line, as a plan shows them."""
        return shown(self.values)

    def to_json(self) -> JsonObject:
        """Entries and values, for a journal."""
        return {"entries": [entry.to_json() for entry in self.entries], "values": list(self.values)}


def split_values(texts: Iterable[str]) -> tuple[str, ...]:
    """Single values of stored texts. A text may hold several values with semicolons between them.

    Example:
        >>> split_values(["Rock; Live", "Folk"]), split_values([" "])
        (('Rock', 'Live', 'Folk'), ())
    """
    parts = (part.strip() for text in texts for part in re.split(f"[{VALUE_SEPARATOR}\0]", text))
    return tuple(part for part in parts if part)


def shown(values: Sequence[str]) -> str:
    """Values in one line without control characters. A very long line is cut, and has a digest at its end.

    Example:
        >>> shown(["Rock", "Li\\x1bve"]), len(shown(["x" * 10_000_000])) < 500
        ('Rock; Li\\\\x1bve', True)
    """
    whole = f"{VALUE_SEPARATOR} ".join(values)
    if len(whole) <= MOST_SHOWN:
        return printable(whole)
    digest = xxhash.xxh3_64_hexdigest(whole.encode("utf-8", "surrogatepass"))
    return f"{printable(whole[:MOST_SHOWN])}… ({len(whole):,} characters, {digest})"


def require_writable(values: Sequence[str]) -> None:
    """Refuse values that a tag cannot hold or should not: control characters, and very long texts.

    Raises:
        TagError: a value is of this kind.
    """
    for value in values:
        if _CONTROL.search(value):
            raise TagError(
                f"A tag must be plain text. '{printable(value)}' has control characters: leave them out."
            )
        if len(value) > MOST_SHOWN:
            raise TagError(
                f"A value of a tag may have {MOST_SHOWN} characters. Received {len(value):,}: shorten it."
            )
