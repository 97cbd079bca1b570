"""Playlists: songs that meet a condition, near some songs, on the way from one song to another, along a
curve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quintet.errors import ConfigError, DatasetError, unknown_name
from quintet.library.playlists.space import SongSpace
from quintet.library.store import Library

CURVES = {
    "flat": (0.5, 0.5),
    "rise": (0.1, 0.9),
    "fall": (0.9, 0.1),
    "arc": (0.2, 0.9, 0.2),
    "valley": (0.9, 0.2, 0.9),
}
"""Energy curves by name: points that are joined by straight lines, as shares of the pool's range of
energy."""
POOL_FACTOR, LARGEST_POOL = 20, 3000
"""A curve is filled from the nearest songs: so many per place, at most so many."""
ORDER_WEIGHT = 0.1
"""Weight of the similarity beside the energy, when a curve is filled."""


@dataclass(frozen=True)
class PlaylistSettings:
    """What a playlist holds.

    Args:
        length: number of songs.
        where: condition on the songs; None: all.
        like: ids of songs that it is near to.
        start: id of its first song, for a path.
        end: id of its last song, for a path.
        energy: name of a curve of `CURVES`, or numbers from 0 to 1 separated by commas; None: no curve.
        per_artist: most songs of one artist; None: any number.
        seed: of the draw, if nothing else decides the order.
    """

    length: int = 25
    where: str | None = None
    like: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    energy: str | None = None
    per_artist: int | None = 2
    seed: int = 0


def build_playlist(library: Library, settings: PlaylistSettings, space: SongSpace | None = None) -> list[str]:
    """Ids of the songs of a playlist, in order; fewer than asked for if there are no more.

    Args:
        library: the library.
        settings: what it holds.
        space: the songs in their space, if they were read before.

    Raises:
        ConfigError: settings contradict each other, or a condition or curve is not valid.
        DatasetError: no song meets the condition.
    """
    if settings.length < 1:
        raise ConfigError(f"A playlist must have at least 1 song. Received a length of {settings.length}.")
    if (settings.start is None) != (settings.end is None):
        raise ConfigError("A path must have a first and a last song: give --from and --to. Received one.")
    if settings.start is not None and (settings.like or settings.energy):
        raise ConfigError(
            "A playlist must follow one order. Received a path, and --like or --energy: leave out one."
        )
    space = space or SongSpace(library)
    pool = library.query.select(settings.where).column("id").to_pylist()
    pool = [id for id in pool if id in space.position]
    if not pool:
        raise DatasetError(
            "A playlist must have songs to choose from. No song of the library meets the condition: "
            f"{settings.where!r}."
        )
    if settings.start is not None and settings.end is not None:
        return _path(space, settings, pool)
    if settings.energy is not None:
        return _along_curve(space, settings, pool)
    return [space.ids[k] for k in _ranked(space, settings, pool, settings.length)]


def _ranked(space: SongSpace, settings: PlaylistSettings, pool: list[str], n: int) -> list[int]:
    """The first n songs of a pool by similarity, or in a drawn order."""
    if settings.like:
        own = [space.position[id] for id in settings.like]
        similarity = space.similarity(space.vectors[own].mean(axis=0))
        order = list(space.order(similarity, pool))
        return space.choose(order, n=n, per_artist=settings.per_artist, taken=own)
    positions = sorted(space.position[id] for id in pool)
    order = np.random.default_rng(settings.seed).permutation(positions).tolist()
    return space.choose(order, n=n, per_artist=settings.per_artist)


def _path(space: SongSpace, settings: PlaylistSettings, pool: list[str]) -> list[str]:
    """Songs on the arc between two songs: each place takes the song nearest to its point of the arc."""
    first, last = space.position[str(settings.start)], space.position[str(settings.end)]
    if first == last:
        raise ConfigError("A path must lead from one song to another. Received the same song twice.")
    if settings.length < 2:
        raise ConfigError(f"A path must have at least 2 songs. Received a length of {settings.length}.")
    start, end = space.vectors[first].astype(np.float64), space.vectors[last].astype(np.float64)
    between = settings.length - 2
    chosen: list[int] = []
    for place in _outside_in(between):
        point = arc_point(start, end, (place + 1) / (between + 1))
        order = space.order(space.similarity(point.astype(np.float32)), pool)
        found = space.choose(
            _without_full_artists(space, order, chosen, settings.per_artist),
            n=1,
            per_artist=None,
            taken=[first, last, *chosen],
        )
        chosen += found
    ranked = sorted(chosen, key=lambda k: _progress(space, k, start, end))
    return [space.ids[k] for k in (first, *ranked, last)]


def _outside_in(n: int) -> list[int]:
    """Places from both ends to the middle, so that no end is left with what the other does not want.

    Example:
        >>> _outside_in(5)
        [0, 4, 1, 3, 2]
    """
    order = []
    for k in range((n + 1) // 2):
        order += [k] if k == n - 1 - k else [k, n - 1 - k]
    return order


def _without_full_artists(
    space: SongSpace, order: Iterator[int], chosen: list[int], per_artist: int | None
) -> Iterator[int]:
    """An order without the songs of artists who have their number of songs already."""
    counts = Counter(space.artists[k] for k in chosen)
    for k in order:
        artist = space.artists[k]
        if per_artist is None or not artist or counts[artist] < per_artist:
            yield k


def arc_point(start: NDArray[np.float64], end: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The point of the great circle between two directions of length 1.

    Args:
        start: the first.
        end: the last.
        share: 0 for the first, 1 for the last.

    Example:
        >>> arc_point(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5).round(3).tolist()
        [0.707, 0.707]
    """
    angle = float(np.arccos(np.clip(start @ end, -1, 1)))
    if np.sin(angle) < 1e-6:
        point = (1 - share) * start + share * end
    else:
        point = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)
    result: NDArray[np.float64] = point
    return result


def _progress(space: SongSpace, song: int, start: NDArray[np.float64], end: NDArray[np.float64]) -> float:
    """How far a song is on the way: its similarity to the end minus that to the start."""
    return float(space.vectors[song] @ (end - start))


def parse_curve(text: str) -> tuple[float, ...]:
    """Points of an energy curve.

    Args:
        text: a name of `CURVES`, or numbers from 0 to 1 separated by commas.

    Raises:
        ConfigError: it is neither.

    Example:
        >>> parse_curve("arc"), parse_curve("0.2,1")
        ((0.2, 0.9, 0.2), (0.2, 1.0))
    """
    if text in CURVES:
        return CURVES[text]
    try:
        points = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise unknown_name("energy curve", text, CURVES) from None
    if len(points) < 2 or not all(0 <= point <= 1 for point in points):
        raise ConfigError(f"An energy curve must have two or more numbers from 0 to 1. Received '{text}'.")
    return points


def _along_curve(space: SongSpace, settings: PlaylistSettings, pool: list[str]) -> list[str]:
    """Songs whose energies follow a curve: the assignment to places with the smallest sum of errors."""
    from scipy.optimize import linear_sum_assignment

    points = parse_curve(str(settings.energy))
    size = min(LARGEST_POOL, max(POOL_FACTOR * settings.length, 100))
    candidates = _ranked(space, settings, pool, size)
    energy = space.songs.column("energy").to_numpy(zero_copy_only=False).astype(np.float64)
    known = [k for k in candidates if np.isfinite(energy[k])]
    if not known:
        raise DatasetError("An energy curve needs songs with an energy. None of the chosen songs has one.")
    length = min(settings.length, len(known))
    low, high = np.quantile(energy[known], [0.05, 0.95])
    places = np.linspace(0, len(points) - 1, length) if length > 1 else np.zeros(1)
    targets = low + (high - low) * np.interp(places, np.arange(len(points)), points)
    spread = max(float(high - low), 1e-9)
    cost = np.abs(energy[known][None, :] - targets[:, None]) / spread
    cost = cost + ORDER_WEIGHT * np.linspace(0, 1, len(known))[None, :]
    _, columns = linear_sum_assignment(cost)
    return [space.ids[known[column]] for column in columns]
