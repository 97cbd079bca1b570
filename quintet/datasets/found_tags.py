"""Tags of an audio file as they are found, under one name per field for all formats.

Formats: ID3v2.2 to 2.4 (mp3, aiff, wav, dsf), Vorbis comments (flac, ogg, opus), MP4, APEv2 (ape, wv, mpc)
and ASF (wma). Pictures and other binary values are left out. Sizes are bounded: a tag costs no more than
`MOST_CHARACTERS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NamedTuple

from quintet.datasets.labels import join_labels, label_set
from quintet.errors import MissingExtraError
from quintet.files.display.file_names import name_text

VALUE_CHARACTERS = 20_000
"""Longest text of a value. Longer ones are cut."""
MOST_VALUES = 500
"""Values of a file. Further ones are left out."""
MOST_CHARACTERS = 500_000
"""Characters of all values of a file. Further values are left out."""

FIELDS = {
    "title": "TIT2 ©nam Title",
    "artist": "TPE1 ©ART Author",
    "albumartist": "TPE2 aART WM/AlbumArtist",
    "album": "TALB ©alb WM/AlbumTitle",
    "genre": "TCON ©gen WM/Genre",
    "mood": "TMOO WM/Mood",
    "bpm": "TBPM tmpo WM/BeatsPerMinute",
    "key": "TKEY WM/InitialKey",
    "comment": "COMM ©cmt Description",
    "date": "TDRC ©day WM/Year",
    "tracknumber": "TRCK trkn WM/TrackNumber",
    "discnumber": "TPOS disk WM/PartOfSet",
    "composer": "TCOM ©wrt WM/Composer",
    "grouping": "TIT1 ©grp WM/ContentGroupDescription",
    "compilation": "TCMP cpil WM/IsCompilation",
    "lyrics": "USLT ©lyr WM/Lyrics",
}
"""Field → its names in ID3, MP4 and ASF. Vorbis comments and APEv2 use the names of the fields."""

_FIELD_OF = {name: field for field, names in FIELDS.items() for name in names.split()}
_SYNONYMS = {
    "albumartist": "albumartist",
    "initialkey": "key",
    "tempo": "bpm",
    "year": "date",
    "track": "tracknumber",
    "disc": "discnumber",
    "description": "comment",
    "unsyncedlyrics": "lyrics",
}
"""Names of fields that users and programs invent → field; compared in lower case, without blanks."""

_FREE_MP4 = "----:"
_LEFT_OUT = re.compile(r"(?i)apic|pic|covr|.*picture.*|coverart.*|cover art.*|geob|priv|ufid|mcdi|private:.*")
_FORMATS = {
    "OggVorbis": "ogg",
    "OggOpus": "opus",
    "OggFLAC": "ogg",
    "OggSpeex": "spx",
    "MonkeysAudio": "ape",
    "WavPack": "wv",
    "Musepack": "mpc",
    "ASF": "wma",
    "MP4": "m4a",
    "WAVE": "wav",
    "OptimFROG": "ofr",
    "TrueAudio": "tta",
    "EasyMP3": "mp3",
}


class FoundTag(NamedTuple):
    """One value of a field.

    Args:
        field: name of the field, the same for all formats.
        position: number of the value in its field, from 0.
        value: the text.
        source: name of the field in the file.
    """

    field: str
    position: int
    value: str
    source: str


class FileTags(NamedTuple):
    """Tags of a file.

    Args:
        format: `mp3`, `flac`, `m4a`, …: by the content if it is known, else by the suffix.
        tags: the values.
        problem: why tags could not be read, or "".
        known: whether the content is of a format that can hold tags.
    """

    format: str
    tags: list[FoundTag]
    problem: str = ""
    known: bool = True


def read_tags(path: str) -> FileTags:
    """Tags of a file. A file whose tags are damaged has none, and the reason.

    Args:
        path: the file.

    Raises:
        MissingExtraError: mutagen is not installed.
    """
    try:
        import mutagen
    except ImportError as error:
        raise MissingExtraError("Reading tags", "tags") from error
    suffix = PurePath(path).suffix.lower().removeprefix(".")
    try:
        file = mutagen.File(path)
        tags = [] if file is None else _bounded(_values(file.tags))
    except Exception as error:  # noqa: BLE001  any damage of a file ends here, as one of its facts
        return FileTags(suffix, [], f"{type(error).__name__}: {name_text(str(error))[:200]}")
    kind = type(file).__name__
    return FileTags(
        suffix if file is None else _FORMATS.get(kind, kind.lower()), tags, known=file is not None
    )


def _values(tags: Any) -> Iterator[tuple[str, str, object]]:
    """(field, source, value) of everything in a tag, in the order of the file.

    Vorbis comments and ASF attributes are lists of pairs, whose `items` searches all of them for each name.
    """
    if tags is None:
        return
    for name, value in tags if isinstance(tags, list) else tags.items():
        key = str(name)
        frame = getattr(value, "FrameID", None)
        if _LEFT_OUT.fullmatch(frame or key):
            continue
        field, source = _field_of(key, frame, value)
        for text in _texts(frame, value):
            yield field, source, text


def _field_of(key: str, frame: str | None, value: Any) -> tuple[str, str]:
    """Name of a field, and its name in the file."""
    if frame == "TXXX":
        return _plain(str(value.desc)), f"TXXX:{value.desc}"
    source = frame or key
    if source.startswith(_FREE_MP4):
        return _plain(source.split(":")[-1]), source
    return _FIELD_OF.get(source) or _plain(source), source


def _plain(name: str) -> str:
    """A name of a field in one spelling.

    Example:
        >>> _plain("Album Artist"), _plain("INITIALKEY"), _plain("MusicBrainz_TrackId")
        ('albumartist', 'key', 'musicbrainztrackid')
    """
    text = re.sub(r"[\s_]+", "", name.casefold())[:100]
    return _SYNONYMS.get(text, text)


def _texts(frame: str | None, value: Any) -> Iterator[str]:
    """Texts of a value, which may be a frame, a list, a pair of numbers or a text."""
    if frame == "TCON":
        value = value.genres
    elif frame is not None:
        value = getattr(value, "text", None)
    if type(value).__name__ in ("APETextValue", "APEExtValue"):
        value = list(value) if type(value).__name__ == "APETextValue" else [str(value)]
    for one in value if isinstance(value, list) else [value]:
        content = getattr(one, "value", one)
        if isinstance(content, tuple):
            content = "/".join(str(number) for number in content if number)
        elif isinstance(content, bytes):
            try:
                content = content.decode()
            except UnicodeDecodeError:
                continue
        if isinstance(content, str) or (content is not None and not _is_binary(content)):
            yield str(content)


def _is_binary(content: object) -> bool:
    return isinstance(content, (bytearray, memoryview)) or type(content).__name__.startswith("APEBinary")


def _bounded(values: Iterator[tuple[str, str, object]]) -> list[FoundTag]:
    """The values within the bounds, each with its number in its field."""
    found: list[FoundTag] = []
    counts: dict[str, int] = {}
    left = MOST_CHARACTERS
    for field, source, value in values:
        text = name_text(str(value)).replace("\0", "")[:VALUE_CHARACTERS]
        if not text.strip():
            continue
        left -= len(text)
        if left < 0 or len(found) == MOST_VALUES:
            break
        found.append(FoundTag(field, counts.get(field, 0), text, source[:200]))
        counts[field] = counts.get(field, 0) + 1
    return found


def song_columns(tags: list[FoundTag]) -> dict[str, str | int | None]:
    """The columns of `songs` that come from tags.

    Args:
        tags: values of one file.

    Example:
        >>> song_columns([FoundTag("genre", 0, "Rock; Live", "TCON")])["genre"]
        'Rock;Live'
    """
    values: dict[str, list[str]] = {}
    for tag in tags:
        values.setdefault(tag.field, []).append(tag.value)
    columns: dict[str, str | int | None] = {
        column: _joined(values.get(field, []))
        for column, field in (
            ("title", "title"),
            ("artist", "artist"),
            ("album_artist", "albumartist"),
            ("album", "album"),
            ("genre", "genre"),
        )
    }
    columns["track"] = _first_number(values.get("tracknumber", []), r"\d{1,6}")
    columns["year"] = _first_number(values.get("date", []), r"\d{4}")
    return columns


def _joined(values: list[str]) -> str | None:
    return join_labels(label_set(join_labels(values))) or None


def _first_number(values: list[str], pattern: str) -> int | None:
    match = re.search(pattern, values[0], re.ASCII) if values else None
    return int(match[0]) if match else None
