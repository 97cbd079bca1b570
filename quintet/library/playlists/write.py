"""Files of playlists: M3U8 for players, NSP for Navidrome, JSON for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from math import isfinite
from pathlib import Path, PurePosixPath

from quintet.errors import ConfigError
from quintet.files.atomic import write_bytes
from quintet.files.display.file_names import text_path
from quintet.files.display.names import printable
from quintet.files.json_types import JsonObject

SUFFIXES = (".m3u8", ".m3u", ".nsp", ".json")
FACTS = (
    "id",
    "root",
    "path",
    "artist",
    "title",
    "album",
    "genre",
    "seconds",
    "tempo",
    "key",
    "energy",
    "verdict",
)
"""Columns of a song in JSON."""


def write_playlist(
    path: Path, songs: Sequence[JsonObject], *, absolute: bool = False, name: str | None = None
) -> list[str]:
    """Write a playlist; its suffix decides the format.

    Args:
        path: the file: .m3u8, .m3u, .nsp or .json.
        songs: rows of `songs`, in order.
        absolute: whether an M3U8 has absolute paths; else they are relative to its folder.
        name: title of the playlist. Default: the name of the file.

    Returns:
        Paths of songs that the format cannot name, and that were left out.

    Raises:
        ConfigError: the suffix is another one.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"A playlist must end in {', '.join(SUFFIXES)}. Received '{path}'.")
    title = name or path.stem
    if suffix == ".json":
        content = {"name": title, "songs": [{fact: song[fact] for fact in FACTS} for song in songs]}
        write_bytes(
            path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        )
        return []
    if suffix == ".nsp":
        write_bytes(path, (json.dumps(navidrome_rules(songs, title), indent=1) + "\n").encode())
        return []
    lines, left_out = m3u_lines(songs, path.absolute().parent, absolute=absolute, name=title)
    write_bytes(path, b"\n".join(lines) + b"\n")
    return left_out


def m3u_lines(
    songs: Sequence[JsonObject], folder: Path, *, absolute: bool, name: str
) -> tuple[list[bytes], list[str]]:
    r"""Lines of an M3U8 and the paths that it cannot name, because they hold a line break.

    Args:
        songs: rows of `songs`.
        folder: folder of the playlist.
        absolute: whether paths are absolute.
        name: title of the playlist.
    """
    lines = [b"#EXTM3U", f"#PLAYLIST:{printable(name)}".encode("utf-8", "replace")]
    left_out = []
    for song in songs:
        place = os.path.join(text_path(str(song["root"])), text_path(str(song["path"])))
        if "\n" in place or "\r" in place:
            left_out.append(str(song["path"]))
            continue
        shown = place if absolute else os.path.relpath(place, os.path.realpath(folder))
        shown = f"./{shown}" if shown.startswith("#") else shown
        seconds = round(float(song["seconds"])) if song["seconds"] and isfinite(song["seconds"]) else -1
        heading = f"#EXTINF:{seconds},{printable(song_name(song))}"
        lines += [heading.encode("utf-8", "replace"), os.fsencode(shown)]
    return lines, left_out


def song_name(song: JsonObject) -> str:
    """Artist and title of a song, or the name of its file.

    Example:
        >>> song_name({"artist": "A", "title": "B", "path": "x/y.mp3"})
        'A - B'
        >>> song_name({"artist": None, "title": None, "path": "x/y.mp3"})
        'y'
    """
    if song["title"] and song["artist"]:
        return f"{song['artist']} - {song['title']}"
    return str(song["title"] or PurePosixPath(str(song["path"])).stem)


def navidrome_rules(songs: Sequence[JsonObject], name: str) -> JsonObject:
    """A smart playlist of Navidrome that holds these songs. Navidrome sorts them itself.

    Args:
        songs: rows of `songs`, whose root is the music folder of Navidrome.
        name: title of the playlist.

    Source:
        Navidrome's smart playlists: `any` of the rules, and the operator `is` on `filepath`.
    """
    rules = [{"is": {"filepath": str(song["path"])}} for song in songs]
    return {"name": printable(name), "comment": "Made by Quintet", "any": rules, "limit": max(1, len(rules))}
