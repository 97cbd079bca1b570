"""The interface of a tag, whatever its format.

A tag has many forms: frames (ID3), comments (Vorbis), atoms (MP4), items (APE), attributes (ASF). Each form
has a class, which reads and writes the entries of one field and leaves all others as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import xxhash

from quintet.library.tags.entries import VALUE_SEPARATOR, Entries, FieldState, TagError, split_values

DAMAGED_TEXT = "\N{REPLACEMENT CHARACTER}"
"""Stands where mutagen has read bytes that are no text. To write them back would lose them."""
JOINED = f"{VALUE_SEPARATOR} "


class TagForm(ABC):
    """The tags of an open file.

    Args:
        path: the file.
        file: what mutagen has read.

    The class variable `keys` has the names of a field in this format: all are read, the first is written.
    """

    keys: ClassVar[dict[str, tuple[str, ...]]]
    holds_several: bool = True
    """Whether a field holds several values without a separator between them."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file = path, file
        self.is_new: bool = file.tags is None
        """Whether the file has had no tag of this form."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """Name of the format of the tag."""

    @property
    def tags(self) -> Any:
        """The tag, which is made if there is none."""
        if self.file.tags is None:
            self.file.add_tags()
        return self.file.tags

    def state(self, field: str) -> FieldState:
        """What a field has now.

        Args:
            field: a name of `entries.FIELDS`.
        """
        entries = () if self.file.tags is None else self.read(field)
        return FieldState(entries, self.values(entries))

    def values(self, entries: Entries) -> tuple[str, ...]:
        """Single values of entries."""
        return split_values(text for entry in entries for text in entry.texts)

    def encode(self, field: str, values: Sequence[str], separator: str | None) -> Entries:
        """Entries that hold values.

        Args:
            field: a name of `entries.FIELDS`.
            values: single values; none of them removes the field.
            separator: text between several values, for players that read only the first value of a field;
                None writes several values as the format has them.
        """
        if not values:
            return ()
        joint = separator if separator is not None else None if self.holds_several else JOINED
        texts = tuple(values) if joint is None else (joint.join(values),)
        return self.make(field, texts)

    def others(self, fields: Sequence[str]) -> dict[str, str]:
        """Digests of all entries that belong to none of the fields, by name.

        Raises:
            TagError: an entry holds bytes that are no text, which would be lost.
        """
        found = {} if self.file.tags is None else self.all_but(fields)
        damaged = [name for name, text in found.items() if DAMAGED_TEXT in text]
        if damaged:
            raise TagError(
                f"A tag must be text in its encoding. '{damaged[0]}' holds bytes that are none: "
                "mend it with a tag editor first."
            )
        return {
            name: xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))
            for name, text in found.items()
        }

    @abstractmethod
    def read(self, field: str) -> Entries:
        """Entries of a field."""

    @abstractmethod
    def make(self, field: str, texts: tuple[str, ...]) -> Entries:
        """New entries of a field with these texts."""

    @abstractmethod
    def put(self, field: str, entries: Entries) -> None:
        """Replace the entries of a field. Nothing is saved yet."""

    @abstractmethod
    def all_but(self, fields: Sequence[str]) -> dict[str, str]:
        """Content of all entries that belong to none of the fields, by name."""

    def is_empty(self) -> bool:
        """Whether the tag has no entries."""
        return not self.file.tags

    def save(self) -> None:
        """Write the tag to the file."""
        self.file.save()

    def drop(self) -> None:
        """Remove the tag from the file."""
        self.file.delete()
