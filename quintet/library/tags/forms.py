"""Vorbis comments, MP4 atoms, APEv2 items and ASF attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from quintet.library.tags.entries import Entries, Entry
from quintet.library.tags.form import TagForm


class VorbisForm(TagForm):
    """Vorbis comments: ogg, opus, flac. Several values are several comments of one name."""

    keys: ClassVar = {
        "genre": ("GENRE",),
        "mood": ("MOOD",),
        "bpm": ("BPM",),
        "key": ("INITIALKEY", "KEY"),
    }

    @property
    def kind(self) -> str:
        """Vorbis comments."""
        return "Vorbis"

    def read(self, field: str) -> Entries:
        """Comments of a field with their positions."""
        names = self.keys[field]
        pairs = enumerate(self._pairs())
        return tuple(Entry(name, (text,), k) for k, (name, text) in pairs if name.upper() in names)

    def make(self, field: str, texts: tuple[str, ...]) -> Entries:
        """A comment for each text, where the first comment of the field stands now, or at the end."""
        old = self.read(field)
        name, place = (old[0].key, old[0].place) if old else (self.keys[field][0], len(self._pairs()))
        return tuple(Entry(name, (text,), place + k) for k, text in enumerate(texts))

    def put(self, field: str, entries: Entries) -> None:
        """Replace the comments of a field; the others keep their order."""
        names = self.keys[field]
        pairs = [(name, text) for name, text in self._pairs() if name.upper() not in names]
        for entry in sorted(entries, key=lambda entry: entry.place):
            pairs.insert(entry.place, (entry.key, entry.texts[0]))
        self.tags[:] = pairs

    def all_but(self, fields: Sequence[str]) -> dict[str, str]:
        """Comments of other fields, and the blocks of a FLAC file: covers, cue sheets, applications."""
        left_out = {name for field in fields for name in self.keys[field]}
        pairs = [(name, text) for name, text in self._pairs() if name.upper() not in left_out]
        found = {f"{k} {name}": text for k, (name, text) in enumerate(pairs)}
        blocks = [block for block in getattr(self.file, "metadata_blocks", ()) if block.code not in (1, 4)]
        return found | {f"block {k}": repr((block.code, block.write())) for k, block in enumerate(blocks)}

    def _pairs(self) -> list[tuple[str, str]]:
        return [(str(name), str(text)) for name, text in self.tags]


class Mp4Form(TagForm):
    """Atoms of MP4 and M4A files. Several values are several data atoms."""

    FREE = "----:com.apple.iTunes:"
    keys: ClassVar = {
        "genre": ("\xa9gen",),
        "mood": (f"{FREE}MOOD",),
        "bpm": ("tmpo",),
        "key": (f"{FREE}initialkey",),
    }

    @property
    def kind(self) -> str:
        """MP4 atoms."""
        return "MP4"

    def read(self, field: str) -> Entries:
        """Atoms of a field."""
        return tuple(Entry(key, tuple(map(_atom_text, self.tags[key]))) for key in self._atom_keys(field))

    def make(self, field: str, texts: tuple[str, ...]) -> Entries:
        """One atom. The tempo is a whole number."""
        whole = tuple(str(round(float(text))) for text in texts) if field == "bpm" else texts
        return (Entry(self.keys[field][0], whole),)

    def put(self, field: str, entries: Entries) -> None:
        """Replace the atoms of a field."""
        from mutagen.mp4 import AtomDataType, MP4FreeForm

        for key in self._atom_keys(field):
            del self.tags[key]
        for entry in entries:
            if entry.key == "tmpo":
                self.tags[entry.key] = [int(text) for text in entry.texts]
            elif entry.key.startswith("----"):
                forms = [MP4FreeForm(text.encode(), dataformat=AtomDataType.UTF8) for text in entry.texts]
                self.tags[entry.key] = forms
            else:
                self.tags[entry.key] = list(entry.texts)

    def all_but(self, fields: Sequence[str]) -> dict[str, str]:
        """Atoms of other fields."""
        left_out = {key for field in fields for key in self._atom_keys(field)}
        return {key: repr(value) for key, value in self.tags.items() if key not in left_out}

    def _atom_keys(self, field: str) -> list[str]:
        names = {name.lower() for name in self.keys[field]}
        return [key for key in self.tags if key.lower() in names]


class ApeForm(TagForm):
    """APEv2 items: Monkey's Audio, WavPack, Musepack. Zeros stand between the values of an item."""

    keys: ClassVar = {"genre": ("Genre",), "mood": ("Mood",), "bpm": ("BPM",), "key": ("InitialKey", "Key")}

    @property
    def kind(self) -> str:
        """APEv2."""
        return "APEv2"

    def read(self, field: str) -> Entries:
        """Items of a field."""
        return tuple(Entry(key, tuple(str(self.tags[key]).split("\0"))) for key in self._item_keys(field))

    def make(self, field: str, texts: tuple[str, ...]) -> Entries:
        """One item."""
        return (Entry(self.keys[field][0], texts),)

    def put(self, field: str, entries: Entries) -> None:
        """Replace the items of a field."""
        for key in self._item_keys(field):
            del self.tags[key]
        for entry in entries:
            self.tags[entry.key] = "\0".join(entry.texts)

    def all_but(self, fields: Sequence[str]) -> dict[str, str]:
        """Items of other fields."""
        left_out = {key for field in fields for key in self._item_keys(field)}
        return {key: repr(value) for key, value in self.tags.items() if key not in left_out}

    def _item_keys(self, field: str) -> list[str]:
        names = {name.lower() for name in self.keys[field]}
        # the tag has no iterator
        return [key for key in self.tags.keys() if key.lower() in names]  # noqa: SIM118


class AsfForm(TagForm):
    """Attributes of WMA files. Several values are several attributes of one name."""

    keys: ClassVar = {
        "genre": ("WM/Genre",),
        "mood": ("WM/Mood",),
        "bpm": ("WM/BeatsPerMinute",),
        "key": ("WM/InitialKey",),
    }

    @property
    def kind(self) -> str:
        """ASF attributes."""
        return "ASF"

    def read(self, field: str) -> Entries:
        """Attributes of a field with their positions."""
        names = self.keys[field]
        pairs = enumerate(self.tags)
        return tuple(Entry(name, (str(value),), k) for k, (name, value) in pairs if name in names)

    def make(self, field: str, texts: tuple[str, ...]) -> Entries:
        """An attribute for each text, where the first one of the field stands now, or at the end."""
        old = self.read(field)
        name, place = (old[0].key, old[0].place) if old else (self.keys[field][0], len(list(self.tags)))
        return tuple(Entry(name, (text,), place + k) for k, text in enumerate(texts))

    def put(self, field: str, entries: Entries) -> None:
        """Replace the attributes of a field; the others keep their order."""
        from mutagen.asf._attrs import ASFUnicodeAttribute

        pairs = [(name, value) for name, value in self.tags if name not in self.keys[field]]
        for entry in sorted(entries, key=lambda entry: entry.place):
            pairs.insert(entry.place, (entry.key, ASFUnicodeAttribute(entry.texts[0])))
        self.tags[:] = pairs

    def all_but(self, fields: Sequence[str]) -> dict[str, str]:
        """Attributes of other fields."""
        left_out = {name for field in fields for name in self.keys[field]}
        pairs = [(name, value) for name, value in self.tags if name not in left_out]
        return {f"{k} {name}": repr(value) for k, (name, value) in enumerate(pairs)}


def _atom_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
