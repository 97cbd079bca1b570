"""ID3 tags: mp3 and others with the tag at the start; AIFF, WAV and DSF with the tag in a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from quintet.files.atomic import synchronise
from quintet.library.tags.entries import Entries, Entry, split_values
from quintet.library.tags.form import TagForm


class Id3Form(TagForm):
    """ID3v2.3 and ID3v2.4, which keep their version. ID3v2.2 is written as ID3v2.3."""

    keys: ClassVar = {
        "genre": ("TCON",),
        "mood": ("TMOO", "TXXX:MOOD"),
        "bpm": ("TBPM",),
        "key": ("TKEY",),
    }
    V1_KEY = "ID3v1"
    """Key of an entry that stands in an ID3v1 tag at the end of the file, which is read and never written."""
    TAIL_BYTES = 4096

    def __init__(self, path: Path, file: Any) -> None:
        super().__init__(path, file)
        self._is_plain = _is_plain(file)  # the tag stands at the start of the file, not in a chunk
        self._v1: Any = _version_1(path) if self._is_plain else None
        if self.is_new and self._v1:
            file.add_tags()
            for frame in self._v1.values():
                file.tags.add(frame)
        version = 4 if self.is_new else int(file.tags.version[1])
        self.version = 4 if version == 4 else 3
        self.holds_several = self.version == 4

    @property
    def kind(self) -> str:
        """ID3v2.3 or ID3v2.4."""
        return f"ID3v2.{self.version}"

    def read(self, field: str) -> Entries:
        """Frames of a field; if there are none, what an ID3v1 tag states."""
        frames = [] if self.is_new else [self.tags[key] for key in self._frame_keys(field)]
        found = tuple(
            Entry(str(frame.HashKey), tuple(map(str, frame.text)), int(frame.encoding)) for frame in frames
        )
        if found or field != "genre" or not self._v1 or "TCON" not in self._v1:
            return found
        return (Entry(self.V1_KEY, tuple(self._v1["TCON"].genres)),)

    def values(self, entries: Entries) -> tuple[str, ...]:
        """Single values; the numbers of ID3v1 (`(17)`) have names."""
        from mutagen.id3 import TCON

        texts: list[str] = []
        for entry in entries:
            is_genre = entry.key == "TCON"
            texts += TCON(encoding=3, text=list(entry.texts)).genres if is_genre else entry.texts
        return split_values(texts)

    def make(self, field: str, texts: tuple[str, ...]) -> Entries:
        """A frame. A mood has no frame in ID3v2.3 and becomes a text of the name MOOD."""
        names = self.keys[field]
        key = names[0] if self.version == 4 else names[-1]
        is_latin = all(text.isascii() for text in texts)
        return (Entry(key, texts, 0 if is_latin else 3 if self.version == 4 else 1),)

    def put(self, field: str, entries: Entries) -> None:
        """Replace the frames of a field."""
        from mutagen.id3 import TXXX, Frames

        for key in self._frame_keys(field):
            del self.tags[key]
        for entry in entries:
            name, _, description = entry.key.partition(":")
            if name == "TXXX":
                self.tags.add(TXXX(encoding=entry.place, desc=description, text=list(entry.texts)))
            elif name != self.V1_KEY:
                self.tags.add(Frames[name](encoding=entry.place, text=list(entry.texts)))

    def all_but(self, fields: Sequence[str]) -> dict[str, str]:
        """Frames of other fields, and those that mutagen does not know."""
        left_out = {key for field in fields for key in self._frame_keys(field)}
        found = {key: repr(frame) for key, frame in self.tags.items() if key not in left_out}
        return found | {f"unknown frame {k}": repr(data) for k, data in enumerate(self.tags.unknown_frames)}

    def save(self) -> None:
        """Write the frames. What follows a tag at the start of the file stays as it was, to the byte."""
        if not self._is_plain:
            self.tags.save(self.path, v2_version=self.version, v23_sep=None)
            return
        before = 0 if self.is_new else int(self.tags.size)
        size = self.path.stat().st_size - before
        with self.path.open("rb") as file:
            file.seek(before + max(0, size - self.TAIL_BYTES))
            tail = file.read()
        self.tags.save(self.path, v2_version=self.version, v23_sep=None)
        after = _tag_size(self.path)
        with self.path.open("r+b") as file:
            file.seek(after + max(0, size - self.TAIL_BYTES))
            file.write(tail)
            file.truncate()
        synchronise(self.path)

    def drop(self) -> None:
        """Remove the ID3v2 tag."""
        if not self._is_plain:
            self.file.delete(self.path)
            return
        from mutagen.id3 import delete

        delete(self.path, delete_v1=False, delete_v2=True)

    def is_empty(self) -> bool:
        """Whether the tag has no frames but those of the ID3v1 tag at the end of the file."""
        known = {} if self._v1 is None else {key: str(frame) for key, frame in self._v1.items()}
        return all(known.get(key) == str(frame) for key, frame in self.tags.items())

    def _frame_keys(self, field: str) -> list[str]:
        if self.file.tags is None:
            return []
        names = self.keys[field]
        return [key for key in self.tags if key.upper() in names]


def has_id3(file: Any) -> bool:
    """Whether the tag of a file is an ID3 tag. `file` is what mutagen has read."""
    from mutagen.aiff import AIFF
    from mutagen.dsf import DSF
    from mutagen.id3 import ID3FileType
    from mutagen.wave import WAVE

    return isinstance(file, ID3FileType | AIFF | WAVE | DSF)


def _is_plain(file: Any) -> bool:
    from mutagen.id3 import ID3FileType

    return isinstance(file, ID3FileType)


def _version_1(path: Path) -> Any:
    """Frames that an ID3v1 tag at the end of a file states, by name; None if there is none."""
    from mutagen.id3 import ParseID3v1

    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 128))
        end = file.read()
    return ParseID3v1(end) if end.startswith(b"TAG") else None


def _tag_size(path: Path) -> int:
    """Bytes of the ID3v2 tag at the start of a file."""
    from mutagen.id3 import ID3

    return int(ID3(path, translate=False, load_v1=False).size)
