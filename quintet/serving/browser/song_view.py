"""The songs of a library as the page needs them: columns of short numbers, and names once each."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa

from quintet.errors import QuintetError
from quintet.files.display.names import printable
from quintet.files.json_types import JsonObject
from quintet.library.store import Library
from quintet.library.vectors import read_vectors
from quintet.serving.browser.song_map import first_map, make_map, read_map

TEXTS = ("title",)
NAMES = ("artist", "album", "genre", "verdict", "verdict_set", "key", "format")
"""Columns whose values repeat: the page gets each value once, and a number per song."""
NUMBERS = {
    "seconds": 1,
    "tempo": 1,
    "tempo_confidence": 2,
    "key_confidence": 2,
    "energy": 3,
    "verdict_probability": 3,
    "out_of_class": 3,
    "year": 0,
}
"""Columns of numbers, and the digits that the page gets."""
MISSING = -1
MAP_STEPS = 65_535
MOOD = "mood_"


class SongView:
    """Songs whose files were there at the last scan, in the order of the library.

    Args:
        library: the library.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.songs = library.present_songs()
        self.ids: list[str] = self.songs.column("id").to_pylist()
        self.row_of = {id: row for row, id in enumerate(self.ids)}
        self.sounds: list[str | None] = self.songs.column("audio_digest").to_pylist()
        self._digests, self.vectors = read_vectors(library.folder)
        place_of = {digest: place for place, digest in enumerate(self._digests)}
        self.places = np.array([place_of.get(sound or "", MISSING) for sound in self.sounds], np.int64)
        self._lock = threading.Lock()
        known = read_map(library.folder, self._digests) if self._digests else None
        self.is_drawn = known is not None or not self._digests
        self._points = first_map(self.vectors) if known is None else known

    def song(self, id: str) -> JsonObject | None:
        """A row of `songs`; None if there is no such song."""
        row = self.row_of.get(id)
        return None if row is None else self.songs.slice(row, 1).to_pylist()[0]

    def path(self, id: str) -> Path | None:
        """The file of a song, if it is in a scanned folder, and no link leads out of it.

        Args:
            id: of the song.
        """
        song = self.song(id)
        if song is None:
            return None
        path = self.library.path_of(song).resolve()
        roots = [
            self.library.path_of({"root": root, "path": ""}).resolve() for root in self.library.facts.roots
        ]
        return path if any(path.is_relative_to(root) for root in roots) else None

    def draw_map(self) -> bool:
        """Compute the map if it was not kept: one thread does it, in a minute. Whether it is there."""
        with self._lock:
            if not self.is_drawn:
                try:
                    self._points = make_map(self.library.folder, self._digests, self.vectors)
                except QuintetError:  # the first map stays
                    return False
                self.is_drawn = True
        return True

    def map_json(self) -> JsonObject:
        """Points of the songs, from 0 to `MAP_STEPS`; -1 for songs without one."""
        steps = np.rint(self._points * MAP_STEPS).astype(np.int64)
        found = np.full((len(self.ids), 2), MISSING, np.int64)
        known = self.places >= 0
        found[known] = steps[self.places[known]]
        return {"drawn": self.is_drawn, "x": found[:, 0].tolist(), "y": found[:, 1].tolist()}

    def to_json(self) -> JsonObject:
        """All songs: `id` and `title`, the values and codes of `NAMES`, the numbers of `NUMBERS`."""
        columns: JsonObject = {"id": self.ids, "n": len(self.ids), "missing": MISSING}
        for name in TEXTS:
            columns[name] = [shown_text(text) for text in self.songs.column(name).to_pylist()]
        paths = self.songs.column("path").to_pylist()
        columns["path"] = [shown_text(path) for path in paths]
        for name in NAMES:
            columns[name] = _codes(self.songs.column(name))
        for name, digits in NUMBERS.items():
            columns[name] = _numbers(self.songs.column(name), digits)
        columns["mood"] = _codes(self._moods())
        return columns

    def _moods(self) -> pa.ChunkedArray:
        """The strongest mood of each song."""
        activations = self.library.table("activations")
        names = [name for name in activations.column_names if name.startswith(MOOD)]
        if not names or not activations.num_rows:
            return pa.chunked_array([pa.nulls(len(self.ids), pa.string())])
        matrix = np.column_stack([activations.column(name).to_numpy() for name in names])
        strongest = np.nan_to_num(matrix, nan=-1.0).argmax(axis=1)
        words = [name.removeprefix(MOOD).replace("_", " ") for name in names]
        pairs = zip(activations.column("id").to_pylist(), strongest, strict=True)
        mood_of = {id: words[place] for id, place in pairs}
        return pa.chunked_array([pa.array([mood_of.get(id) for id in self.ids], pa.string())])


def shown_text(text: str | None) -> str:
    """A text of a stranger on one line, without control characters; empty if it is missing."""
    return printable(text) if text else ""


def _codes(column: pa.ChunkedArray) -> JsonObject:
    """Each value once, and the number of the value of each song; -1 where it is missing."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(MISSING).to_pylist()
    return {"values": [shown_text(text) for text in encoded.dictionary.to_pylist()], "codes": codes}


def _numbers(column: pa.ChunkedArray, digits: int) -> list[float]:
    """Rounded numbers; -1 where one is missing."""
    values = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    rounded = np.round(np.nan_to_num(values, nan=MISSING, posinf=MISSING, neginf=MISSING), digits)
    return list(rounded.tolist()) if digits else [int(value) for value in rounded]
