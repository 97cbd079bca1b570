"""Files of other kinds than sound: images, documents, archives, programs, data.

A decoder of a format without a header makes sound of any bytes, so these are noticed before it.
"""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 512
MARKS = (
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"GIF87a", "a GIF image"),
    (0, b"GIF89a", "a GIF image"),
    (8, b"WEBPVP8", "a WebP image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"8BPS\0\1", "a Photoshop image"),
    (0, b"\0\0\1\0\1\0", "an icon"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"%!PS-Adobe", "a PostScript document"),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    (0, b"PK\3\4", "a zip archive (or an Office document)"),
    (0, b"PK\5\6", "an empty zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a rar archive"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"PAR1", "a parquet table"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x7fELF", "a program"),
    (0, b"\xca\xfe\xba\xbe", "a program"),
    (0, b"\xcf\xfa\xed\xfe", "a program"),
    (0, b"MThd\0\0\0\6", "MIDI notes, which have no sound of their own"),
)
"""Place of some bytes in a file, the bytes, and what the file then is."""
PROGRAM_MARK_AT = 0x3C
"""Place where a program of Windows states the place of its second mark."""


def foreign_kind(path: Path) -> str | None:
    """What a file is if it is of another kind than sound, such as "a PDF document"; None if nothing says so.

    Args:
        path: a file that can be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "song.al"
        >>> _ = path.write_bytes(b"%PDF-1.7")
        >>> foreign_kind(path)
        'a PDF document'
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for place, mark, kind in MARKS:
        if head.startswith(mark, place):
            return kind
    if head[:2] == b"BM" and int.from_bytes(head[2:6], "little") == path.stat().st_size:
        return "a BMP image"
    place = int.from_bytes(head[PROGRAM_MARK_AT : PROGRAM_MARK_AT + 4], "little")
    return "a program" if head[:2] == b"MZ" and head[place : place + 4] == b"PE\0\0" else None
