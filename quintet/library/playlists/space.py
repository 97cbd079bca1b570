"""Songs in the space of the library: which are near, which are the same song, who made them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quintet.errors import ConfigError, DatasetError
from quintet.files.display.file_names import name_text
from quintet.files.display.names import printable
from quintet.library.store import Library
from quintet.library.vectors import read_vectors

SAME_SONG = 0.92
"""Two sounds of the same length with at least this similarity are encodings of one song. Ogg and mp3 of usual
quality have .90 to .98 with their original; excerpts of other songs of the same length at most .94."""
SAME_SECONDS = 0.5
"""Two lengths that differ by less are the same."""
AT_ONCE = 2000
"""Nearest songs that are sorted at first."""
SHOWN = 5

Positions = NDArray[np.intp]


class Neighbour(NamedTuple):
    """A song near others.

    Args:
        id: its id.
        similarity: cosine of the angle between the vectors, in [-1, 1].
    """

    id: str
    similarity: float


class SongSpace:
    """The songs of a library that are there, and their vectors.

    Args:
        library: the library.

    Raises:
        ArtefactError: a file of the library is damaged.
        DatasetError: no song has a vector.
    """

    def __init__(self, library: Library) -> None:
        songs = library.present_songs()
        digests, vectors = read_vectors(library.folder)
        place = {digest: k for k, digest in enumerate(digests)}
        rows = np.array(
            [place.get(digest, -1) for digest in songs.column("audio_digest").to_pylist()], np.intp
        )
        if not (rows >= 0).any():
            raise DatasetError(
                f"Similar songs need a library with songs. '{library.folder}' has none that was described: "
                "scan a folder of music first."
            )
        is_described = rows >= 0
        self.songs: pa.Table = songs.filter(pa.array(is_described))
        self.vectors: NDArray[np.float32] = np.ascontiguousarray(vectors[rows[is_described]])
        self.ids: list[str] = self.songs.column("id").to_pylist()
        self.position = {id: k for k, id in enumerate(self.ids)}
        self._digests: list[str] = self.songs.column("audio_digest").to_pylist()
        self._seconds = self.songs.column("seconds").to_numpy()
        self.artists = self._keys("album_artist", "artist")
        self._titles = _joined_keys(self._keys("artist", "album_artist"), self._keys("title"))

    def _keys(self, *columns: str) -> list[str]:
        """Texts for comparison: the first column that is not empty, in lower case."""
        lists = [self.songs.column(name).to_pylist() for name in columns]
        return [_first_text(texts) for texts in zip(*lists, strict=True)]

    def find(self, text: str) -> str:
        """Id of the song that a user names.

        Args:
            text: an id, a file, or parts of artist, title, album and path. If several songs hold them, the
                song whose title it is, or the one that holds each as a whole word, is meant.

        Raises:
            ConfigError: no song, or several, are meant.
        """
        if text in self.position:
            return text
        roots, paths = self.songs.column("root").to_pylist(), self.songs.column("path").to_pylist()
        if os.path.exists(text):
            place = name_text(os.path.realpath(text))
            for k, (root, path) in enumerate(zip(roots, paths, strict=True)):
                if place == f"{root.rstrip('/')}/{path}":
                    return self.ids[k]
        wanted = text.casefold().split()
        lists = [self.songs.column(name).to_pylist() for name in ("artist", "title", "album", "path")]
        wholes = [" ".join(filter(None, texts)).casefold() for texts in zip(*lists, strict=True)]
        matches = [k for k, whole in enumerate(wholes) if all(word in whole for word in wanted)]
        titles, words = lists[1], _words(text)
        exact = [k for k in matches if titles[k] and titles[k].casefold() == " ".join(wanted)]
        for meant in (matches, exact, [k for k in matches if words <= _words(wholes[k])]):
            if len(meant) == 1:
                return self.ids[meant[0]]
        found = ", ".join(f"'{printable(paths[k])}'" for k in matches[:SHOWN])
        more = f" and {len(matches) - SHOWN} more" if len(matches) > SHOWN else ""
        raise ConfigError(
            "A song must be one of the library: an id, a file, or words of artist, title and path. "
            f"'{text}' is " + (f"{len(matches)} songs ({found}{more})." if matches else "none of them.")
        )

    def nearest(
        self,
        ids: Sequence[str],
        *,
        n: int,
        per_artist: int | None = None,
        among: Iterable[str] | None = None,
    ) -> list[Neighbour]:
        """Songs nearest to the mean of some songs. Each song comes once, in whatever encodings it is there.

        Args:
            ids: the songs, which are not among the result, nor are other encodings of them.
            n: number of neighbours, fewer if there are no more.
            per_artist: most songs of one artist. A song without an artist counts as one of its own.
            among: ids that may be chosen. Default: all.

        Raises:
            ConfigError: an id has no vector.
        """
        unknown = [id for id in ids if id not in self.position]
        if unknown:
            raise ConfigError(f"A song must have a vector. '{unknown[0]}' has none: scan again.")
        own = [self.position[id] for id in ids]
        similarity = self.similarity(self.vectors[own].mean(axis=0))
        chosen = self.choose(self.order(similarity, among), n=n, per_artist=per_artist, taken=own)
        return [Neighbour(self.ids[k], round(float(similarity[k]), 4)) for k in chosen]

    def similarity(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine of every song with a vector, `(n,)`."""
        norm = float(np.linalg.norm(vector))
        result: NDArray[np.float32] = self.vectors @ (vector / max(norm, 1e-12))
        return result

    def order(self, similarity: NDArray[np.float32], among: Iterable[str] | None = None) -> Iterator[int]:
        """Positions of songs from the nearest to the furthest; equally near ones by position.

        Args:
            similarity: of every song.
            among: ids that may be chosen. Default: all.
        """
        pool = np.arange(len(self.ids))
        if among is not None:
            pool = np.array(sorted(self.position[id] for id in set(among) if id in self.position), np.intp)
        values = -similarity[pool]
        if len(pool) > AT_ONCE:
            first = np.argpartition(values, AT_ONCE)[:AT_ONCE]
            edge = values[first].max()
            first = np.flatnonzero(values < edge)
            yield from pool[first[np.argsort(values[first], kind="stable")]].tolist()
            rest = np.flatnonzero(values >= edge)
            yield from pool[rest[np.argsort(values[rest], kind="stable")]].tolist()
            return
        yield from pool[np.argsort(values, kind="stable")].tolist()

    def choose(
        self, order: Iterable[int], *, n: int, per_artist: int | None, taken: Sequence[int] = ()
    ) -> list[int]:
        """The first songs of an order that are no repetitions.

        Args:
            order: positions, the best first.
            n: how many.
            per_artist: most songs of one artist.
            taken: songs that are there already.
        """
        chosen: list[int] = []
        counts: Counter[str] = Counter()
        for k in order:
            if len(chosen) == n:
                break
            artist = self.artists[k]
            if per_artist is not None and artist and counts[artist] >= per_artist:
                continue
            if self.is_repetition(k, [*taken, *chosen]):
                continue
            chosen.append(k)
            counts[artist] += 1
        return chosen

    def is_repetition(self, song: int, others: Sequence[int]) -> bool:
        """Whether a song is one of others: the same sound, artist and title, or another encoding of it."""
        if not others:
            return False
        places = np.asarray(others, np.intp)
        title, digest = self._titles[song], self._digests[song]
        if any(self._digests[k] == digest or (title and self._titles[k] == title) for k in others):
            return True
        same_length = np.abs(self._seconds[places] - self._seconds[song]) < SAME_SECONDS
        close = self.vectors[places] @ self.vectors[song] >= SAME_SONG
        return bool((same_length & close).any())


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _first_text(texts: Iterable[str | None]) -> str:
    """The first text that is not empty, in lower case."""
    return next(filter(None, texts), "").casefold().strip()


def _joined_keys(artists: list[str], titles: list[str]) -> list[str]:
    """Artist and title as one text; empty if one is missing."""
    return [
        f"{artist}\0{title}" if artist and title else ""
        for artist, title in zip(artists, titles, strict=True)
    ]
