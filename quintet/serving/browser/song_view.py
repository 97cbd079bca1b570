"""The songs of a library as the page needs them: columns of numbers, names once each, texts apart."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from quintet.errors import QuintetError
from quintet.files.display.names import printable
from quintet.files.json_types import JsonObject
from quintet.library.query import SongQuery
from quintet.library.store import Library
from quintet.library.vectors import read_digests, read_vectors
from quintet.serving.browser.columns import (
    codes,
    numbers,
    pack,
    text_array,
    whole_numbers,
)
from quintet.serving.browser.song_map import first_map, make_map, read_map

if TYPE_CHECKING:
    import pyarrow as pa

    from quintet.serving.browser.song_map import Floats

TEXTS = ("id", "title", "path")
"""Columns of texts, which come after the map."""
NAMES = ("genre", "verdict", "key")
"""Columns whose values repeat: the page gets each value once, and a number per song."""
LONG_NAMES = ("artist", "album")
"""Columns of the same kind with so many values that they come with the texts."""
NUMBERS = ("seconds", "tempo", "energy", "verdict_probability", "out_of_class")
MAP_STEPS = 65_534
NO_PLACE = 65_535
"""Place on the map of a song that has none."""
MOOD = "mood_"


class SongView:
    """Songs whose files were there at the last scan, in the order of the library.

    Args:
        library: the library.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.songs = library.present_songs()
        self._lock = threading.Lock()
        self._drawn: Floats | None = None

    @cached_property
    def ids(self) -> list[str]:
        """Id of each song."""
        ids: list[str] = self.songs.column("id").to_pylist()
        return ids

    @cached_property
    def _digests(self) -> pa.Array:
        """Digest of the sound of each vector."""
        return read_digests(self.library.folder)

    @cached_property
    def _kept(self) -> Floats | None:
        """The map that is kept beside the library; None if there is none of these sounds."""
        return read_map(self.library.folder, self._digests.to_pylist()) if len(self._digests) else None

    @cached_property
    def _first(self) -> Floats:
        """The map before the one that takes a minute."""
        return first_map(self.vectors)

    @property
    def is_drawn(self) -> bool:
        """Whether the map has its last form."""
        return self._drawn is not None or self._kept is not None or not len(self._digests)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each id."""
        return {id: row for row, id in enumerate(self.ids)}

    @cached_property
    def query(self) -> SongQuery:
        """Questions about these songs, whose answers are rows."""
        return SongQuery(self.songs, self.library.table("activations"))

    @cached_property
    def vectors(self) -> Floats:
        """Vectors of the sounds, `(n, k)`."""
        return read_vectors(self.library.folder)[1]

    @cached_property
    def _places(self) -> NDArray[np.int32]:
        """Place of the sound of each song among the vectors; negative if it has none."""
        return whole_numbers(pc.index_in(self.songs.column("audio_digest"), value_set=self._digests))

    def rows_of(self, sounds: Collection[str]) -> list[int]:
        """Rows of the songs with these sounds."""
        if not sounds:
            return []
        all_sounds = self.songs.column("audio_digest").to_pylist()
        return [row for row, sound in enumerate(all_sounds) if sound in sounds]

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

    def prepare(self) -> None:
        """Read the map and encode the columns, which a page asks for first."""
        with self._lock:
            _ = self.is_drawn, self._columns

    def draw_map(self) -> bool:
        """Compute the map if it was not kept: one thread does it, in a minute. Whether it is there."""
        with self._lock:
            if not self.is_drawn:
                try:
                    self._drawn = make_map(self.library.folder, self._digests.to_pylist(), self.vectors)
                except QuintetError:  # the first map stays
                    return False
        return True

    def map_bytes(self) -> bytes:
        """Places of the songs, `x` and `y` from 0 to `MAP_STEPS`; `NO_PLACE` for songs without one."""
        is_drawn = self.is_drawn
        points = self._drawn if self._drawn is not None else self._kept
        steps = np.rint((self._first if points is None else points) * MAP_STEPS).astype(np.uint16)
        found = np.full((self.songs.num_rows, 2), NO_PLACE, np.uint16)
        known = self._places >= 0
        found[known] = steps[self._places[known]]
        return pack({"drawn": is_drawn}, {"x": found[:, 0], "y": found[:, 1]})

    @cached_property
    def _columns(self) -> tuple[JsonObject, dict[str, NDArray[np.generic]]]:
        """Values of `NAMES` and of the moods, and the arrays that the map and the groups need."""
        coded = {name: codes(self.songs.column(name)) for name in NAMES} | {"mood": self._moods()}
        arrays: dict[str, NDArray[np.generic]] = {name: found for name, (_, found) in coded.items()}
        for name in NUMBERS:
            arrays[name] = numbers(self.songs.column(name)).astype(np.float32)
        return {name: values for name, (values, _) in coded.items()}, arrays

    def columns_bytes(self, corrections: Mapping[str, str]) -> bytes:
        """What the map and the groups need: `names` and codes of `NAMES`, moods, the numbers of `NUMBERS`.

        Args:
            corrections: digest of a sound → the genre of its owner. `corrected` maps a row to it.
        """
        sounds = self.songs.column("audio_digest")
        corrected = {row: corrections[sounds[row].as_py()] for row in self.rows_of(corrections)}
        names, arrays = self._columns
        return pack({"n": self.songs.num_rows, "names": names, "corrected": corrected}, arrays)

    def texts_bytes(self) -> bytes:
        """What the list and the search need: the texts of `TEXTS`, `names` and codes of `LONG_NAMES`."""
        coded = {name: codes(self.songs.column(name)) for name in LONG_NAMES}
        return pack(
            {"names": {name: values for name, (values, _) in coded.items()}},
            {name: found for name, (_, found) in coded.items()}
            | {name: text_array(self.songs.column(name)) for name in TEXTS},
        )

    def _moods(self) -> tuple[list[str], NDArray[np.int32]]:
        """The moods, and the strongest of each song; negative if none is known."""
        activations = self.library.table("activations")
        names = [name for name in activations.column_names if name.startswith(MOOD)]
        if not names or not activations.num_rows:
            return [], np.full(self.songs.num_rows, -1, np.int32)
        matrix = np.column_stack([numbers(activations.column(name)) for name in names])
        strongest = matrix.argmax(axis=1).astype(np.int32)
        known = activations.column("id").combine_chunks()
        rows = whole_numbers(pc.index_in(self.songs.column("id"), value_set=known))
        words = [name.removeprefix(MOOD).replace("_", " ") for name in names]
        return words, np.where(rows < 0, np.int32(-1), strongest[rows])


def shown_text(text: str | None) -> str:
    """A text of a stranger on one line, without control characters; empty if it is missing."""
    return printable(text) if text else ""
